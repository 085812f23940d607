package webhooks

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/runtest"
)

func TestDeliver_Gone(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		r := newReceiver(t, status(http.StatusGone))
		made := g.register(g.ctx, r.URL)
		m := g.payed(g.ctx)
		g.send()
		if d := g.delivery(made.ID, m); d.State != Failed || len(d.Tries) != 1 {
			t.Errorf("delivery = %+v, want it failed after one try", d)
		}
		if v := g.endpoint(made.ID); v.Enabled || v.DisabledReason != reasonGone || v.DisabledAt == nil {
			t.Errorf("endpoint = %+v, want it disabled as gone", v)
		}
		g.payed(g.ctx)
		g.pass(time.Hour)
		if n := g.send(); n != 0 {
			t.Errorf("%d tries after 410, want none", n)
		}
	})
}

func TestDeliver_FiveDaysOfFailures(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		r := newReceiver(t, status(http.StatusInternalServerError))
		made := g.register(g.ctx, r.URL)
		g.payed(g.ctx)
		for range 4*24 + 12 { // one schedule ends, the next one begins
			g.pass(time.Hour)
			g.send()
		}
		waiting := g.payed(g.ctx)
		for range 11 {
			g.send()
			g.pass(time.Hour)
		}
		if v := g.endpoint(made.ID); !v.Enabled || v.FailingSince == nil {
			t.Fatalf("endpoint = %+v, want it enabled and failing", v)
		}
		for range 10 {
			g.pass(time.Hour)
			g.send()
		}
		if v := g.endpoint(made.ID); v.Enabled || v.DisabledReason != reasonFailing {
			t.Fatalf("endpoint after five days = %+v, want it disabled as failing", v)
		}
		r.now(nil)
		g.pass(24 * time.Hour)
		if n := g.send(); n != 0 {
			t.Errorf("%d tries while disabled, want none", n)
		}
		on := true
		v, err := g.Patch(g.ctx, PatchRequest{ID: made.ID, Enabled: &on})
		if err != nil || !v.Enabled || v.FailingSince != nil || v.DisabledReason != "" {
			t.Errorf("Patch(enabled) = %+v, %v; want a fresh start", v, err)
		}
		g.send()
		if d := g.delivery(made.ID, waiting); d.State != Delivered {
			t.Errorf("what waited = %+v, want it delivered", d)
		}
	})
}

// One success, and failures before it count no more.
func TestDeliver_SuccessForgetsFailures(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		r := newReceiver(t, status(http.StatusInternalServerError))
		made := g.register(g.ctx, r.URL)
		g.payed(g.ctx)
		g.send()
		if v := g.endpoint(made.ID); v.FailingSince == nil || !v.FailingSince.Equal(november) {
			t.Errorf("endpoint after a failure = %+v, want it failing since then", v)
		}
		r.now(nil)
		g.pass(time.Minute)
		g.send()
		if v := g.endpoint(made.ID); v.FailingSince != nil {
			t.Errorf("endpoint after a success = %+v, want it failing no more", v)
		}
		r.now(status(http.StatusInternalServerError))
		g.pass(failingFor)
		g.payed(g.ctx)
		g.send()
		if v := g.endpoint(made.ID); !v.Enabled {
			t.Errorf("endpoint after a failure five days later = %+v, want it enabled", v)
		}
	})
}

func TestDeliver_RetryAfterHoldsAllBack(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		g.register(g.ctx, r.URL)
		g.payed(g.ctx)
		g.send()
		r.now(nil)
		g.payed(g.ctx)
		g.pass(10*time.Minute - time.Second)
		if n := g.send(); n != 0 {
			t.Errorf("%d tries before the receiver's time, want none", n)
		}
		g.pass(time.Second)
		if n := g.send(); n != 2 {
			t.Errorf("%d tries at the receiver's time, want 2", n)
		}
	})
}

// A receiver that does not answer keeps its own messages waiting and nobody else's.
func TestDeliver_SlowReceiverStopsNobody(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		forever := make(chan struct{})
		slow := newReceiver(t, func(http.ResponseWriter, *http.Request) { <-forever })
		release := sync.OnceFunc(func() { close(forever) })
		t.Cleanup(release)
		fast, neighbour := newReceiver(t, nil), newReceiver(t, nil)
		g.register(g.ctx, slow.URL)
		quick, jena := g.register(g.ctx, fast.URL), g.tenant("jena")
		beside := g.register(jena, neighbour.URL)
		const messages = 30
		for range messages {
			g.payed(g.ctx)
		}
		g.payed(jena)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := g.Deliver(ctx); err != nil {
				t.Errorf("Deliver: %v", err)
			}
		})
		served := func(ctx context.Context, of id.ID) int {
			list, err := g.Deliveries(ctx, DeliveriesRequest{ID: of, State: Delivered, Limit: 200})
			if err != nil {
				t.Errorf("Deliveries: %v", err)
			}
			return len(list.Items)
		}
		runtest.Eventually(t, "the others are served", func() bool { return served(g.ctx, quick.ID) == messages && served(jena, beside.ID) == 1 })
		runtest.Eventually(t, "the slow one has its tries", func() bool { return len(slow.ids()) == perEndpoint })
		stop()
		running.Wait()
		release()
		if slow.most != perEndpoint || fast.most > perEndpoint {
			t.Errorf("at once: slow %d, fast %d; want at most %d", slow.most, fast.most, perEndpoint)
		}
		// What was under way when the process stopped is due at once, and no try is counted.
		slow.now(nil)
		if n := g.send(); n != messages {
			t.Errorf("%d tries after the stop, want %d", n, messages)
		}
		list, err := g.Deliveries(g.ctx, DeliveriesRequest{ID: g.first(), Limit: 200})
		for _, d := range list.Items {
			if len(d.Tries) != 1 || d.State != Delivered {
				t.Errorf("delivery %+v, want it delivered by one try", d)
			}
		}
		if err != nil || len(list.Items) != messages {
			t.Errorf("Deliveries = %d, %v; want %d", len(list.Items), err, messages)
		}
	})
}

func TestDeliver_FailingOneAtATime(t *testing.T) {
	t.Parallel()
	g := newRig(t, dbtest.New(t, sets()...))
	r := newReceiver(t, status(http.StatusInternalServerError))
	g.register(g.ctx, r.URL)
	g.payed(g.ctx)
	g.send()
	for range 10 {
		g.payed(g.ctx)
	}
	g.send()
	if r.most != 1 || len(r.ids()) != 11 {
		t.Errorf("%d tries, %d at once; want 11, one at a time", len(r.ids()), r.most)
	}
}
