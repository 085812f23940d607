package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// one is a page on which an arrival costs 10 ms, 5 requests, 20 KB on disk and 10 KB on the network.
const one = `# journey

| | |
| --- | ---: |
| its cores meanwhile | server 15 %, k6 10 %, other programs 30 %, taken by the host 5 %, idle 40 % |
| iterations | 100 |
| requests, redirects included | 500 |
| iterations a second | 20.0 |
| server CPU above rest per iteration | 10.000 ms |
| bytes stored per iteration | 20000 |
| bytes on the network per iteration | 10000 |
`

func TestNeeds(t *testing.T) {
	t.Parallel()
	m, err := read([]byte(one))
	if err != nil || m != (measured{0.01, 5, 20_000, 10_000, 20, 30}) {
		t.Fatalf("read: got %+v, %v", m, err)
	}
	a := assumed()
	a.applications.value, a.mix.value, a.day.value, a.hour.value, a.burst.value = 1, 0.5, 1, 0.1, 1
	a.pages.value, a.cluster.value, a.edge.value, a.database.value, a.target.value = 1, 2, 0.001, 0.5, 0.5
	a.proofs.value, a.assets.value = 0, 0
	// 65.7 M inhabitants make 131.4 M arrivals, 360,000 a day, 36,000 in the hour, 10 a second.
	got := needs(65_700_000, m, a)
	want := need{arrivals: 131.4e6, peak: 10, services: 10 * 0.025 / 0.5, database: 10 * 0.005 / 0.5, storage: 131.4e6 * 20e3, network: 10 * 80_000}
	for name, pair := range map[string][2]float64{
		"arrivals": {got.arrivals, want.arrivals}, "peak": {got.peak, want.peak}, "services": {got.services, want.services},
		"database": {got.database, want.database}, "storage": {got.storage, want.storage}, "network": {got.network, want.network},
	} {
		if math.Abs(pair[0]-pair[1]) > pair[1]*1e-9 {
			t.Errorf("needs, %s: got %v, want %v", name, pair[0], pair[1])
		}
	}
	if got := most(0.6, m, a); math.Abs(got-65_700_000) > 1 {
		t.Errorf("most(0.6 cores): got %.0f inhabitants, want 65700000", got)
	}
}

// TestTables_Disturbed: a figure from a busy machine says so.
func TestTables_Disturbed(t *testing.T) {
	t.Parallel()
	for others, want := range map[float64]bool{0: false, 20: false, 21: true} {
		page := string(tables("p.md", measured{0.01, 5, 20_000, 10_000, 20, others}, assumed(), places()))
		if got := strings.Contains(page, "Measure again"); got != want {
			t.Errorf("tables with %v %% for other programs: warned %v, want %v", others, got, want)
		}
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := newest(dir, "journey"); err == nil {
		t.Error("newest of an empty folder: got no error")
	}
	for name, text := range map[string]string{
		"2026-01-01-journey.md": one,
		"2026-01-02-journey.md": strings.Replace(one, "10.000 ms", "9.000 ms", 1),
		"2026-01-03-journey.md": strings.Replace(one, "| server CPU above rest per iteration | 10.000 ms |\n", "", 1), // of a target without metrics
		"2026-01-04-forms.md":   one,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name, m, err := newest(dir, "journey")
	if err != nil || name != "2026-01-02-journey.md" || m.cpu != 0.009 {
		t.Errorf("newest: got %s, %+v, %v; want the page of 2 January with 9 ms", name, m, err)
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	page := "# Capacity\n" + beginMark + "old\n" + endMark + "after\n"
	got, err := between([]byte(page), []byte("new\n"))
	if want := strings.Replace(page, "old", "new", 1); err != nil || string(got) != want {
		t.Errorf("between: got %q, %v, want %q", got, err, want)
	}
	if _, err := between([]byte("# no marks\n"), nil); err == nil {
		t.Error("between of a page without marks: got no error")
	}
}
