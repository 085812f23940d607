package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/outbox"
)

// values are the samples of a scrape: "name consumer=hear" → value; of a histogram the count.
func values(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatalf("Gather: %v", err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetName() + "=" + l.GetValue()
			}
			out[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}

func TestMetrics_TellWhatHappensToEvents(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		reg := prometheus.NewRegistry()
		flaky := 0
		n := start(t, d, t.TempDir(), bus.Config{Metrics: reg}, func(r *bus.Router) {
			bus.Handle(r, "hear", func(_ context.Context, _ *db.Tx, _ bus.Meta, e event) error {
				switch e.Of {
				case "hopeless":
					return fault.Unprocessable("no_good", "no good")
				case "flaky":
					if flaky++; flaky == 1 {
						return errors.New("not yet")
					}
				case "away":
					return fault.Unavailable("service_unavailable", "away")
				}
				return nil
			})
		})
		first := values(t, reg)
		for _, key := range []string{"outbox_unsent_events", "outbox_oldest_unsent_seconds", "dead_letters consumer=hear", "event_given_up_total consumer=hear", "event_handle_failures_total consumer=hear reason=away"} {
			if v, known := first[key]; !known || v != 0 {
				t.Errorf("%s before the first event = %v (there: %v), want 0", key, v, known)
			}
		}
		n.put(ctx, event{"good", 1}, event{"hopeless", 1}, event{"flaky", 1}, event{"away", 1})
		eventually(t, "three are done with, one is away", func() bool {
			v := values(t, reg)
			return v["event_age_seconds consumer=hear"] == 2 && v["dead_letters consumer=hear"] == 1 && v["event_handle_failures_total consumer=hear reason=away"] > 0
		})
		got := values(t, reg)
		for key, want := range map[string]float64{
			"outbox_relayed_events_total": 4, "outbox_relay_failures_total": 0, "outbox_unsent_events": 0,
			"event_given_up_total consumer=hear": 1, "inbox_duplicates_total consumer=hear": 0,
			"event_handle_failures_total consumer=hear reason=event": 2, "event_handle_failures_total consumer=hear reason=error": 1,
		} {
			if got[key] != want {
				t.Errorf("%s = %v, want %v", key, got[key], want)
			}
		}
		if tries := got["event_handle_duration_seconds consumer=hear"]; tries < 2+2+1+1 {
			t.Errorf("event_handle_duration_seconds counts %v tries, want 6 and those of the one that is away", tries)
		}
		n.stop()

		// The broker has lost what it had, and what is told again has no effect again.
		if err := outbox.Resend(t.Context(), d, time.Hour); err != nil {
			t.Fatal(err)
		}
		if b, err := outbox.Waiting(t.Context(), d); err != nil || b.Unsent != 4 || b.Oldest <= 0 || fmt.Sprint(b.Dead) != "map[hear:1]" {
			t.Errorf("Waiting while nobody sends = %+v, %v, want 4 unsent, some time, and a dead letter of hear", b, err)
		}
		reg = prometheus.NewRegistry()
		start(t, d, t.TempDir(), bus.Config{Metrics: reg}, func(r *bus.Router) {
			bus.Handle(r, "hear", func(context.Context, *db.Tx, bus.Meta, event) error { return nil })
		})
		eventually(t, "two come again", func() bool {
			v := values(t, reg)
			return v["inbox_duplicates_total consumer=hear"] == 2 && v["outbox_unsent_events"] == 0
		})
	})
}
