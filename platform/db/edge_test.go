package db_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// holdWriter occupies the writer (SQLite) or a connection (PostgreSQL) until release is called.
func holdWriter(ctx context.Context, t *testing.T, d *db.DB) (release func()) {
	t.Helper()
	in, out, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- d.Tx(ctx, func(*db.Tx) error {
			close(in)
			<-out
			return nil
		})
	}()
	<-in
	return func() {
		close(out)
		if err := <-ended; err != nil {
			t.Errorf("holding Tx = %v, want nil", err)
		}
	}
}

func TestTx_FullDiskFailsWhoeverWasNotStored(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, notes)
	ctx := dbtest.Tenant(t, "erfurt")
	pages := func(n int64) error {
		return d.Tx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", n))
			return err
		})
	}
	if err := pages(1); err != nil { // not below what there is: the disk is full now
		t.Fatal(err)
	}
	big := strings.Repeat("x", 100_000)
	release := holdWriter(ctx, t, d)
	const writers = 12
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			errs[i] = d.Tx(ctx, func(tx *db.Tx) error {
				if i%3 == 1 {
					_ = put(ctx, tx, fmt.Sprint(i), big)                           // the error is ignored,
					_ = put(ctx, tx, fmt.Sprint(i, "later"), strings.ToUpper("x")) // and work goes on
					return nil
				}
				return put(ctx, tx, fmt.Sprint(i), "x")
			})
		})
	}
	release()
	wg.Wait()
	if err := pages(1_000_000); err != nil {
		t.Fatalf("the writer after a full disk: %v", err)
	}
	var keys []string
	if err := d.Read(ctx, func(tx *db.Tx) error { return tx.Select(ctx, &keys, "SELECT id FROM notes") }); err != nil {
		t.Fatal(err)
	}
	stored := map[string]bool{}
	for _, k := range keys {
		stored[k] = true
	}
	for i, err := range errs {
		if stored[fmt.Sprint(i)] != (err == nil) || stored[fmt.Sprint(i, "later")] {
			t.Errorf("writer %d: Tx = %v, its row is there: %v", i, err, stored[fmt.Sprint(i)])
		}
		if i%3 == 1 && err == nil {
			t.Errorf("writer %d stored 100 kB on a full disk", i)
		}
	}
}

func TestClose_EndsWhoStillWaits(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		var wg sync.WaitGroup
		hold, busy := make(chan struct{}), make(chan struct{}, 6)
		for range cap(busy) { // as many as there are connections, and then some
			wg.Go(func() {
				err := d.Read(ctx, func(tx *db.Tx) error {
					busy <- struct{}{}
					<-hold
					var n int
					return tx.Get(ctx, &n, "SELECT count(*) FROM notes")
				})
				if err != nil && !strings.Contains(err.Error(), "closed") {
					t.Errorf("Read during Close = %v, want nil or closed", err)
				}
			})
		}
		for range 4 {
			<-busy
		}
		closed := make(chan error, 1)
		go func() { closed <- d.Close() }()
		for { // until the Close has begun
			probe, cancel := context.WithTimeout(ctx, time.Millisecond)
			err := d.Tx(probe, func(*db.Tx) error { return nil })
			cancel()
			if err != nil && strings.Contains(err.Error(), "closed") {
				break
			}
		}
		close(hold)
		if err := <-closed; err != nil {
			t.Errorf("Close = %v, want nil", err)
		}
		wg.Wait() // nobody waits for ever
		if err := d.Tx(ctx, func(*db.Tx) error { return nil }); err == nil {
			t.Error("Tx after Close = nil, want an error")
		}
		if err := d.Read(ctx, func(*db.Tx) error { return nil }); err == nil {
			t.Error("Read after Close = nil, want an error")
		}
	})
}

func TestTx_PanicReachesTheCaller(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		for name, run := range map[string]func(context.Context, func(*db.Tx) error) error{"Tx": d.Tx, "Read": d.Read} {
			func() {
				defer func() {
					if p := recover(); p != "oh" {
						t.Errorf("%s: recovered %v, want oh", name, p)
					}
				}()
				_ = run(ctx, func(*db.Tx) error { panic("oh") })
			}()
		}
		mustPut(ctx, t, d, "a")
		if n := count(ctx, t, d); n != 1 {
			t.Errorf("rows = %d, want 1", n)
		}
	})
}

func TestTx_TextThatCannotBeStoredIsTheCallersMistake(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		type named string
		for _, arg := range []any{"a\x00b", "\xff", id.ID("a\x00b"), named("\xc3\x28"), new("a\x00b")} {
			err := d.Tx(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec(ctx, "INSERT INTO notes (tenant_id, id, body) VALUES (?, 'a', ?)", tx.Tenant(), arg)
				return err
			})
			if !fault.Is(err, "invalid_text") {
				t.Errorf("Exec with %q = %v, want invalid_text", arg, err)
			}
			err = d.Read(ctx, func(tx *db.Tx) error {
				var n int
				return tx.Get(ctx, &n, "SELECT count(*) FROM notes WHERE body = ?", arg)
			})
			if !fault.Is(err, "invalid_text") {
				t.Errorf("Get with %q = %v, want invalid_text", arg, err)
			}
		}
		const fine = "Äöß € 𝄞 \t\r\n \u2028"
		if err := d.Tx(ctx, func(tx *db.Tx) error { return put(ctx, tx, "a", fine) }); err != nil {
			t.Fatal(err)
		}
		var got string
		err := d.Read(ctx, func(tx *db.Tx) error { return tx.Get(ctx, &got, "SELECT body FROM notes WHERE body = ?", fine) })
		if err != nil || got != fine {
			t.Errorf("read back %q, %v, want %q", got, err, fine)
		}
	})
}

func TestTx_OnCommit(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		var seen []string
		hook := func(tx *db.Tx, key string) error {
			tx.OnCommit(func() { seen = append(seen, fmt.Sprint(key, count(ctx, t, d))) })
			return put(ctx, tx, key, "x")
		}
		wrong := errors.New("wrong")
		if err := d.Tx(ctx, func(tx *db.Tx) error { return errors.Join(hook(tx, "a"), wrong) }); !errors.Is(err, wrong) {
			t.Fatalf("Tx = %v, want %v", err, wrong)
		}
		if err := d.Tx(ctx, func(tx *db.Tx) error { return errors.Join(hook(tx, "b"), hook(tx, "c")) }); err != nil {
			t.Fatal(err)
		}
		if want := "[b2 c2]"; fmt.Sprint(seen) != want {
			t.Errorf("hooks ran as %v, want %s: after the commit, and only then", seen, want)
		}
	})
}

func TestStatements_MoreThanAreKept(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, notes)
	ctx := dbtest.Tenant(t, "erfurt")
	for i := range 1200 {
		var got int
		read := func(tx *db.Tx) error { return tx.Get(ctx, &got, fmt.Sprintf("SELECT %d + ?", i), 1) }
		if err := d.Tx(ctx, read); err != nil || got != i+1 {
			t.Fatalf("statement %d = %d, %v, want %d", i, got, err, i+1)
		}
	}
	mustPut(ctx, t, d, "a")
}

func TestTypes_RoundTrip(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		type row struct {
			At      db.Time                  `db:"at"`
			Later   *db.Time                 `db:"later"`
			Doc     db.JSON[map[string]any]  `db:"doc"`
			Nothing db.JSON[[]string]        `db:"emptied"`
			Missing *db.JSON[map[string]int] `db:"missing"`
		}
		berlin := time.FixedZone("CET", 3600)
		for _, at := range []time.Time{
			time.Date(2026, 11, 22, 12, 0, 0, 123456789, berlin), time.Unix(0, 0), {}, time.Date(1903, 2, 28, 23, 59, 59, 999999999, time.UTC),
		} {
			var got row
			err := d.Tx(ctx, func(tx *db.Tx) error {
				return tx.Get(ctx, &got, `SELECT CAST(? AS BIGINT) AS at, CAST(NULL AS BIGINT) AS later, CAST(? AS TEXT) AS doc,
					CAST(? AS TEXT) AS emptied, CAST(NULL AS TEXT) AS missing`,
					db.NewTime(at), db.JSON[map[string]any]{V: map[string]any{"ä": "<&>", "nul": "\x00"}}, db.JSON[[]string]{})
			})
			if err != nil {
				t.Fatalf("round trip of %v: %v", at, err)
			}
			if want := at.UTC().Truncate(time.Microsecond); !got.At.Equal(want) || got.At.Location() != time.UTC {
				t.Errorf("time = %v, want %v", got.At, want)
			}
			if got.Later != nil || got.Nothing.V != nil || got.Missing != nil {
				t.Errorf("NULL = %v, %v, %v, want nil", got.Later, got.Nothing, got.Missing)
			}
			if got.Doc.V["ä"] != "<&>" || got.Doc.V["nul"] != "\x00" {
				t.Errorf("document = %v", got.Doc.V)
			}
		}
	})
}

func TestTypes_RefuseWhatTheyAreNot(t *testing.T) {
	t.Parallel()
	var at db.Time
	var doc db.JSON[int]
	for name, err := range map[string]error{
		"time from text":   at.Scan("2026-11-22"),
		"time from NULL":   at.Scan(nil),
		"JSON from number": doc.Scan(int64(1)),
		"JSON from text":   doc.Scan("{"),
		"JSON of a type":   doc.Scan(`"a"`),
	} {
		if err == nil {
			t.Errorf("%s: Scan = nil, want an error", name)
		}
	}
	if err := doc.Scan([]byte("7")); err != nil || doc.V != 7 {
		t.Errorf("JSON from bytes = %d, %v, want 7", doc.V, err)
	}
	if err := doc.Scan(nil); err != nil || doc.V != 0 {
		t.Errorf("JSON from NULL = %d, %v, want 0: nothing of the row before", doc.V, err)
	}
}

func TestIn(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		for _, key := range []string{"a", "b", "c"} {
			mustPut(ctx, t, d, key)
		}
		query, args, err := db.In("SELECT id FROM notes WHERE body = ? AND id IN (?) ORDER BY id", "x", []string{"a", "c", "z"})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		err = d.Read(ctx, func(tx *db.Tx) error { return tx.Select(ctx, &got, query, args...) })
		if err != nil || fmt.Sprint(got) != "[a c]" {
			t.Errorf("Select = %v, %v, want [a c]", got, err)
		}
		if _, _, err := db.In("SELECT id FROM notes WHERE id IN (?)", []string{}); err == nil {
			t.Error("In without values = nil, want an error: SQL has no empty list")
		}
	})
}

func TestWoken_MergesAndReachesEverybody(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		first, second, other := d.Woken("relay"), d.Woken("relay"), d.Woken("other")
		for range 3 {
			err := d.Tx(ctx, func(tx *db.Tx) error { tx.Wake("relay"); tx.Wake("relay"); return nil })
			if err != nil {
				t.Fatal(err)
			}
		}
		if len(first) != 1 || len(second) != 1 || len(other) != 0 {
			t.Errorf("waiting wakes = %d, %d and %d of another name, want 1, 1 and 0", len(first), len(second), len(other))
		}
	})
}
