package main

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"basisdienste/loadtest/internal/host"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	bounds := []float64{0.01, 0.02, 0.1, math.Inf(1)}
	for _, c := range []struct {
		name   string
		counts []uint64
		q      float64
		want   float64
	}{
		{"all in one", []uint64{0, 100, 100, 100}, 0.5, 0.015},
		{"at a bound", []uint64{50, 100, 100, 100}, 0.5, 0.01},
		{"in the last but one", []uint64{98, 98, 100, 100}, 0.99, 0.06},
		{"beyond all bounds", []uint64{0, 0, 0, 10}, 0.5, 0.1},
	} {
		if got := quantile(c.q, bounds, c.counts); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: quantile(%g, …, %v) = %g, want %g", c.name, c.q, c.counts, got, c.want)
		}
	}
}

// Two instances count together, and what was before does not count.
func TestAges(t *testing.T) {
	t.Parallel()
	text := `# TYPE event_age_seconds histogram
event_age_seconds_bucket{consumer="payed",le="0.01"} 10
event_age_seconds_bucket{consumer="payed",le="0.02"} 20
event_age_seconds_bucket{consumer="payed",le="+Inf"} 20
event_age_seconds_sum{consumer="payed"} 0.2
event_age_seconds_count{consumer="payed"} 20
`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }))
	t.Cleanup(srv.Close)
	before, after := ages{}, ages{}
	for i, a := range []ages{before, after, after} {
		if err := a.read(t.Context(), "forms", srv.URL); err != nil {
			t.Fatalf("read %d: %v", i, err)
		}
	}
	got := after.since(before)
	if len(got) != 1 || got[0].name != "forms payed" || got[0].n != 20 || got[0].p50 != 0.01 {
		t.Errorf("since = %+v, want 20 events of forms payed with a median of 0.01", got)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	shares := []share{{"PostgreSQL", time.Second, 0.5}}
	for _, c := range []struct {
		cores host.Processors
		waits host.Waits
		want  string
	}{
		{host.Processors{Idle: 0.1, All: 2}, host.Waits{Sync: 9}, "the cores, of which PostgreSQL took most"},
		{host.Processors{Idle: 1, All: 2}, host.Waits{Sync: 9, Locks: 1}, "disk sync"},
		{host.Processors{Idle: 1, All: 2}, host.Waits{Locks: 1}, "waits for locks"},
		{host.Processors{Idle: 1, All: 2}, host.Waits{}, "nothing that is full"},
	} {
		if got := limit(shares, c.cores, &c.waits); !strings.HasPrefix(got, c.want) {
			t.Errorf("limit(%+v, %+v) = %q, want %q", c.cores, c.waits, got, c.want)
		}
	}
}

// The page says what failed, and a run with failures does not keep the budget.
func TestPage(t *testing.T) {
	t.Parallel()
	r := &result{
		took: time.Second, steps: 200, paid: latency{p50: 8 * time.Millisecond, p99: 40 * time.Millisecond, n: 30},
		shares: []share{{"PostgreSQL", time.Second, 0.5}}, cores: host.Processors{Idle: 1, All: 2},
	}
	for _, c := range []struct {
		change func()
		want   string
	}{
		{func() {}, ": budget kept"},
		{func() { r.trouble = []string{"POST /x: 400"} }, "**budget not kept**"},
		{func() {}, "- POST /x: 400"},
		{func() { r.trouble, r.paid.p99 = nil, time.Second }, "**budget not kept**"},
		{func() { r.paid = latency{} }, "**budget not kept**"},
	} {
		c.change()
		if page := string(r.page()); !strings.Contains(page, c.want) {
			t.Errorf("page: %q is not on it:\n%s", c.want, page)
		}
	}
}
