package limit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/limit"
)

func TestMetrics_CountRefusals(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	l := limit.New(limit.Config{Clock: newClock().now, Metrics: reg, Quotas: map[string]limit.Quota{
		"rate": {PerMinute: 1, Burst: 2}, "places": {Concurrent: 1}, "quiet": {PerMinute: 1},
	}})
	h := l.ByAddress(limit.Quota{PerMinute: 1, Burst: 1})(http.NotFoundHandler())
	for range 5 {
		_ = l.Allow(as("erfurt"), "rate")
		_ = l.AllowKey(t.Context(), "rate", "key")
		_, _ = l.Acquire(as("erfurt"), "places")
		_ = l.Allow(as("erfurt"), "nobody declared it")
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "limiter_refusals_total" {
		t.Fatalf("Gather = %v, %v, want limiter_refusals_total alone", families, err)
	}
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	if want := map[string]float64{"address": 4, "places": 4, "quiet": 0, "rate": 6}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("limiter_refusals_total after five of each = %v, want %v", got, want)
	}
}
