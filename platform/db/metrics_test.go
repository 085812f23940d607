package db_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
)

func gauges(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatalf("Gather: %v", err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			out[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, nil, func(t *testing.T, d *db.DB) {
		reg := prometheus.NewRegistry()
		d.Measure(reg)
		idle := gauges(t, reg)
		if idle["db_up"] != 1 || idle["db_connections_in_use"] != 0 || idle["db_connections_max"] < 2 {
			t.Errorf("an idle database: %v, want it up, nothing in use of 2 or more", idle)
		}
		ctx := db.System(t.Context())
		err := d.Read(ctx, func(tx *db.Tx) error {
			var one int
			if err := tx.Get(ctx, &one, "SELECT 1"); err != nil {
				return err
			}
			if busy := gauges(t, reg); busy["db_up"] != 1 || busy["db_connections_in_use"] != 1 {
				t.Errorf("inside of a transaction: %v, want it up and one in use", busy)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
