package obs

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestTenantUse_PlacesAreExchanged: who becomes busy gets a name, but not at once, and no
// series ever falls.
func TestTenantUse_PlacesAreExchanged(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	u := newTenantUse(2, func() time.Time { return now })
	reg := prometheus.NewRegistry()
	reg.MustRegister(u)
	busy := func(slug string, n int) {
		for range n {
			u.count(slug, http.StatusOK, time.Second)
		}
	}
	last := map[string]float64{}
	for _, step := range []struct {
		name  string
		do    func()
		after time.Duration
		want  string
	}{
		{"the first two have names", func() { busy("a", 10); busy("b", 4); busy("c", 8) }, 0, "_rest=8 a=10 b=4"},
		{"too early", func() { busy("c", 8) }, 9 * time.Minute, "_rest=16 a=10 b=4"},
		{"c takes the place of b", func() {}, 2 * time.Minute, "_rest=16 a=10 c=0"},
		{"less than twice as busy", func() { busy("b", 8) }, 11 * time.Minute, "_rest=24 a=10 c=0"},
		{"b takes that of a and goes on", func() { busy("b", 30); busy("c", 20) }, 11 * time.Minute, "_rest=54 b=4 c=20"},
	} {
		step.do()
		now = now.Add(step.after)
		got := map[string]float64{}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "tenant_requests_total" {
				for _, m := range f.GetMetric() {
					got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
		var list []string
		for _, slug := range slices.Sorted(maps.Keys(got)) {
			list = append(list, fmt.Sprintf("%s=%v", slug, got[slug]))
			if got[slug] < last[slug] {
				t.Errorf("%s: %s fell from %v to %v", step.name, slug, last[slug], got[slug])
			}
			last[slug] = got[slug]
		}
		if s := strings.Join(list, " "); s != step.want {
			t.Errorf("%s: tenant_requests_total = %s, want %s", step.name, s, step.want)
		}
	}
}

func BenchmarkTenantUse(b *testing.B) {
	u := newTenantUse(namedTenants, time.Now)
	for i := range 10_796 {
		u.count(fmt.Sprint("stadt-", i), http.StatusOK, time.Millisecond)
	}
	b.ReportAllocs()
	for b.Loop() {
		u.count("stadt-9000", http.StatusOK, time.Millisecond)
	}
}
