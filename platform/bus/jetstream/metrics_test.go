package jetstream_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/bus/jetstream"
)

func TestMeasure(t *testing.T) {
	t.Parallel()
	nc := newBroker(t).client(t)
	tr := newTransport(t, nc, jetstream.Config{})
	reg := prometheus.NewRegistry()
	tr.Measure(reg)
	publish(t, tr, "test.happened", newMessage("t1", "a", 1))
	scrape := func() map[string]float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, f := range families {
			m := f.GetMetric()[0]
			out[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
		return out
	}
	if got := scrape(); got["broker_up"] != 1 || got["broker_reconnects_total"] != 0 || got["broker_stored_bytes"] <= 0 {
		t.Errorf("metrics after one message = %v, want it up, no reconnects, and something stored", got)
	}
	nc.Close()
	if got := scrape(); len(got) != 2 || got["broker_up"] != 0 {
		t.Errorf("metrics of a closed connection = %v, want it down, and nothing about what is stored", got)
	}
}
