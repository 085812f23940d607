package obs_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/obs"
)

// gather returns the values of a metric by the label tenant.
func gather(t *testing.T, reg prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatalf("Gather: %v", err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			out[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	return out
}

// TestMetrics_TenantsAreBounded: all administrations of Germany ask, and a scrape has as many
// series as for 26 of them; nothing is lost of the sum.
func TestMetrics_TenantsAreBounded(t *testing.T) {
	t.Parallel()
	const tenants = 10_796
	reg := prometheus.NewRegistry()
	h := obs.Metrics(reg)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		obs.SetTenant(r.Context(), r.Header.Get("X-Tenant"))
		status, _ := strconv.Atoi(r.Header.Get("X-Status"))
		w.WriteHeader(status)
	}))
	rnd := rand.New(rand.NewPCG(1, 2))
	want := map[string]float64{"tenant_requests_total": 0, "tenant_requests_failed_total": 0, "tenant_requests_refused_total": 0}
	for i := range 2 * tenants {
		status := []int{200, 204, 429, 503}[rnd.IntN(4)]
		get(t, h, "/", "X-Tenant", fmt.Sprint("stadt-", i%tenants), "X-Status", strconv.Itoa(status))
		want["tenant_requests_total"]++
		switch status {
		case 429:
			want["tenant_requests_refused_total"]++
		case 503:
			want["tenant_requests_failed_total"]++
		}
	}
	get(t, h, "/", "X-Status", "200") // of no tenant
	for name, total := range want {
		got := gather(t, reg, name)
		sum := 0.0
		for _, v := range got {
			sum += v
		}
		if _, rest := got["_rest"]; len(got) != 26 || sum != total || !rest {
			t.Errorf("%s of %d tenants: %d series with the sum %v, want 26 with _rest and %v", name, tenants, len(got), sum, total)
		}
	}
}
