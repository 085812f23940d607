package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"basisdienste/loadtest/internal/host"
)

func TestLimit(t *testing.T) {
	t.Parallel()
	before := spent{}
	for _, c := range []struct {
		after spent
		waits host.Waits
		want  string
	}{
		{spent{server: 1500 * time.Millisecond, cores: host.Processors{All: 2, Idle: 0.1}}, host.Waits{}, "our CPU"},
		{spent{postgres: time.Second, server: 600 * time.Millisecond, cores: host.Processors{All: 2, Idle: 0.1}}, host.Waits{Sync: 9}, "PostgreSQL's CPU"},
		{spent{server: 200 * time.Millisecond, cores: host.Processors{All: 2, Idle: 0.1}}, host.Waits{}, "other programs"},
		{spent{server: 200 * time.Millisecond, cores: host.Processors{All: 2, Idle: 1.5}}, host.Waits{Threads: 0.8}, "disk sync"},
		{spent{server: 200 * time.Millisecond, cores: host.Processors{All: 2, Idle: 1.5}}, host.Waits{Locks: 3, Sync: 1}, "waits for locks"},
		{spent{server: 200 * time.Millisecond, cores: host.Processors{All: 2, Idle: 1.5}}, host.Waits{}, "nothing that is full"},
	} {
		if got := limit(before, c.after, &c.waits); !strings.HasPrefix(got, c.want) {
			t.Errorf("limit(…, %+v, %+v) = %q, want %q", c.after, c.waits, got, c.want)
		}
	}
}

// Each row is compared with the one it has to be compared with: PostgreSQL with SQLite of as many
// tenants, many tenants with few on the same database.
func TestCells(t *testing.T) {
	t.Parallel()
	rows := []row{
		{name: "create", on: "sqlite", database: "sqlite", p99: 10, cpu: 100, all: 100},
		{name: "create", on: "sqlite, many", database: "sqlite", many: true, p99: 20, cpu: 200, all: 400},
		{name: "create", on: "postgres", database: "postgres", p99: 40, cpu: 150, all: 150},
		{name: "create", on: "postgres, many", database: "postgres", many: true, p99: 60, cpu: 500, all: 500},
	}
	r := report{rows: rows}
	want := [][3]string{{"", "", ""}, {"2.00", "", ""}, {"", "1.50", "1.50"}, {"1.50", "2.50", "1.25"}}
	for i, x := range rows {
		c := r.cells(x)
		if got := [3]string{c[5], c[7], c[9]}; got != want[i] {
			t.Errorf("cells(%s): p99 × few, CPU × SQLite, with what follows = %q, want %q", x.on, got, want[i])
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	got := median([]row{{perSecond: 3, p99: 30}, {perSecond: 1, p99: 10}, {perSecond: 2, p99: 90}})
	if got.perSecond != 2 || got.p99 != 30 {
		t.Errorf("median = %v/s, p99 %v, want 2/s and 30: of each figure", got.perSecond, got.p99)
	}
}

func TestMunicipalities(t *testing.T) {
	t.Parallel()
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "in.csv")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	bare := write("ars,population\n010010000000,90164\n160510000000,213981\n")
	file, places, err := municipalities(bare, t.TempDir())
	if err != nil {
		t.Fatalf("municipalities: %v", err)
	}
	text, err := os.ReadFile(file)
	const want = "ars,ags,name,district,association,association_kind\n010010000000,01001000,Gemeinde 01001000,,,50\n160510000000,16051000,Gemeinde 16051000,,,50\n"
	if err != nil || string(text) != want {
		t.Errorf("municipalities made %q, %v, want %q", text, err, want)
	}
	if len(places) != 2 || places[1].ars != "160510000000" {
		t.Errorf("municipalities = %v, want the two of the file", places)
	}
	whole := write(want)
	if file, places, err := municipalities(whole, t.TempDir()); err != nil || file != whole || len(places) != 2 {
		t.Errorf("municipalities of a whole file = %s, %v, %v, want the file itself and its two", file, places, err)
	}
	if _, _, err := municipalities(write("ars,population\n16051,1\n"), t.TempDir()); err == nil || !strings.Contains(err.Error(), "12 digits") {
		t.Errorf("municipalities with a short ARS: got %v, want an error that says how long it is", err)
	}
}
