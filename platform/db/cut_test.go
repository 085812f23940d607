package db_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"basisdienste/platform/db"
)

// steps is a table in which each of three databases notes the same numbers.
var steps = db.Set{Name: "steps", FS: fstest.MapFS{"migrations/00001_steps.sql": &fstest.MapFile{
	Data: []byte("-- +goose Up\nCREATE TABLE steps (n BIGINT PRIMARY KEY, filler TEXT NOT NULL);\n-- +goose Down\nDROP TABLE steps;\n"),
}}}

func openSteps(t *testing.T, file string) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), db.Config{URL: "sqlite:" + file, Conns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.Migrate(t.Context(), steps); err != nil {
		t.Fatal(err)
	}
	return d
}

func last(t *testing.T, d *db.DB) (n int) {
	t.Helper()
	ctx := db.System(t.Context())
	if err := d.Read(ctx, func(tx *db.Tx) error { return tx.Get(ctx, &n, "SELECT COALESCE(max(n), 0) FROM steps") }); err != nil {
		t.Fatal(err)
	}
	return n
}

// Under full load a cut is one instant: what a database has noted, those before it in the
// chain have noted as well, and they are at most one step ahead. Copying the files one after
// the other breaks this at once, in whichever order.
func TestCut_IsOneInstantOfAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var files []string
	var dbs []*db.DB
	for i := range 3 {
		files = append(files, filepath.Join(dir, fmt.Sprintf("%d.db", i)))
		dbs = append(dbs, openSteps(t, files[i]))
	}
	ctx, stop := context.WithCancel(db.System(t.Context()))
	var wg sync.WaitGroup
	began := make(chan struct{}, 1)
	wg.Go(func() { // writes n to the first, then to the second, then to the third, as cause and effect do
		for n := 1; ctx.Err() == nil; n++ {
			for _, d := range dbs {
				if err := d.Tx(ctx, func(tx *db.Tx) error {
					_, err := tx.Exec(ctx, "INSERT INTO steps (n, filler) VALUES (?, ?)", n, strings.Repeat("x", 2000))
					return err
				}); err != nil {
					if ctx.Err() == nil {
						t.Errorf("a writer failed because of the cut: %v", err)
					}
					return
				}
			}
			if n == 20 {
				began <- struct{}{}
			}
		}
	})
	<-began
	for round := range 8 {
		cut, err := db.OpenCut(t.Context(), files[round%3], files[(round+1)%3], files[(round+2)%3]) // the order does not matter
		if err != nil {
			t.Fatalf("OpenCut = %v", err)
		}
		var at [3]int
		for i, file := range files {
			to := filepath.Join(dir, fmt.Sprintf("copy-%d-%d.db", round, i))
			copied, err := cut.Copy(t.Context(), file, to, nil)
			if err != nil || copied.Migrations["steps"] != 1 {
				t.Fatalf("Copy(%s) = %v, %v, want version 1 of steps", file, copied, err)
			}
			at[i] = last(t, openSteps(t, to))
		}
		if at[0] < at[1] || at[1] < at[2] || at[0] > at[2]+1 {
			t.Errorf("cut %d has the steps %v, want each as far as the one after it, and one more at most", round, at)
		}
		if err := cut.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	// Otherwise it would not be so: one cut after the other, each of one file, the first one first.
	apart := false
	for round := 0; round < 50 && !apart; round++ {
		var at [3]int
		for i, file := range files {
			at[i] = lastOf(t, file, filepath.Join(dir, fmt.Sprintf("apart-%d-%d.db", round, i)))
		}
		apart = at[0] < at[1] || at[1] < at[2]
	}
	if !apart {
		t.Error("files that were copied one after the other are of one instant too: the writer is too slow for this test")
	}
	stop()
	wg.Wait()
}

// lastOf cuts one file alone and returns its last step.
func lastOf(t *testing.T, file, to string) int {
	t.Helper()
	cut, err := db.OpenCut(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cut.Copy(t.Context(), file, to, nil); err != nil {
		t.Fatal(err)
	}
	if err := cut.Close(); err != nil {
		t.Fatal(err)
	}
	return last(t, openSteps(t, to))
}

func TestCut_HoldsNobodyUpForLong(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.db")
	d := openSteps(t, file)
	cut, err := db.OpenCut(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	ctx := db.System(t.Context())
	if err := d.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO steps (n, filler) VALUES (1, '')")
		return err
	}); err != nil {
		t.Errorf("Tx beside an open cut = %v, want nil", err)
	}
	to := file + ".copy"
	if _, err := cut.Copy(ctx, file, to, nil); err != nil {
		t.Fatal(err)
	}
	if n := last(t, openSteps(t, to)); n != 0 {
		t.Errorf("the copy has step %d, which came after the cut", n)
	}
	if err := cut.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func TestInspect_NamesDamage(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.db")
	d := openSteps(t, file)
	ctx := db.System(t.Context())
	for n := range 200 {
		if err := d.Tx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO steps (n, filler) VALUES (?, ?)", n, strings.Repeat("x", 500))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copy(text[len(text)-6000:], strings.Repeat("\xff", 4096))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Inspect(t.Context(), file); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("Inspect of a damaged file = %v, want to be told", err)
	}
}
