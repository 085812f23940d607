package discover_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/discover"
)

// TestMeasure_TellsWhoIsLeftOut: the instance that is gone has an open breaker, the other a
// closed one.
func TestMeasure_TellsWhoIsLeftOut(t *testing.T) {
	t.Parallel()
	good := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer good.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s, err := discover.NewStatic(map[string][]string{"payment": {good.URL, gone.URL}, "forms": nil}, nil)
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	s.Measure(reg)
	for range 10 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://payment/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client("payment").Do(r)
		if err != nil {
			t.Fatalf("GET = %v, want the answer of the one that is there", err)
		}
		resp.Body.Close()
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			got[key] = min(1, m.GetGauge().GetValue()) // after a second it is half-open
		}
	}
	want := map[string]float64{
		"client_instances forms": 0, "client_instances payment": 1, // that is, not 0
		"client_breaker_state payment " + strings.TrimPrefix(good.URL, "http://"): 0,
		"client_breaker_state payment " + strings.TrimPrefix(gone.URL, "http://"): 1,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("metrics after ten calls = %v, want %v", got, want)
	}
}
