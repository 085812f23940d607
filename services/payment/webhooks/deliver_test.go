package webhooks

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenant"
)

func each(t *testing.T, f func(t *testing.T, g *rig)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) { f(t, newRig(t, d)) })
}

func TestDeliver_OnceForEachEndpointThatWantsIt(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		all, some, none, off := newReceiver(t, nil), newReceiver(t, nil), newReceiver(t, nil), newReceiver(t, nil)
		g.register(g.ctx, all.URL)
		made := g.register(g.ctx, some.URL, "payment.transaction.payed.v1", "payment.refund.failed.v1")
		g.register(g.ctx, none.URL, "payment.refund.failed.v1")
		enabled := false
		if _, err := g.Create(g.ctx, CreateRequest{URL: off.URL, Enabled: &enabled}); err != nil {
			t.Fatal(err)
		}
		m := g.payed(g.ctx)
		if n := g.send(); n != 2 {
			t.Errorf("%d tries, want 2", n)
		}
		for name, test := range map[string]struct {
			r    *receiver
			want []string
		}{"all": {all, []string{m.String()}}, "some": {some, []string{m.String()}}, "none": {none, nil}, "disabled": {off, nil}} {
			if got := test.r.ids(); !slices.Equal(got, test.want) {
				t.Errorf("%s got %v, want %v", name, got, test.want)
			}
		}
		if d := g.delivery(made.ID, m); d.State != Delivered || len(d.Tries) != 1 || d.Tries[0].Status != 204 || d.NextTryAt != nil || d.EndedAt == nil {
			t.Errorf("delivery = %+v, want it delivered by one try with 204", d)
		}
		got := some.all()[0]
		if !verify(made.Secret, got) || got.header.Get("content-type") != "application/json" || got.header.Get("webhook-timestamp") != "1795426200" {
			t.Errorf("message %s with %v: want it signed, as JSON, with the time of the try", got.body, got.header)
		}
		var body struct {
			Type string
			Data struct{ URL string }
		}
		if err := json.Unmarshal(got.body, &body); err != nil || !strings.HasPrefix(body.Data.URL, "https://dienste.example/t/erfurt/payment/v1/transactions/") {
			t.Errorf("body = %s, %v; want the transaction's address in it", got.body, err)
		}
	})
}

// The receiver answers, and we die before we know: it goes out again under the same id, and the
// one who comes late changes nothing.
func TestDeliver_CrashBetweenAnswerAndMark(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		r := newReceiver(t, nil)
		made := g.register(g.ctx, r.URL)
		m := g.payed(g.ctx)
		late := *g.delivering(made.ID)
		e := g.row(made.ID)
		a, err := g.post(t.Context(), r.URL, http.Header{"Webhook-Id": {m.String()}}, []byte("{}"))
		if err != nil || !a.ok() {
			t.Fatalf("post = %+v, %v", a, err)
		}
		if n := g.send(); n != 0 {
			t.Errorf("%d tries while the lease holds, want none", n)
		}
		g.pass(leaseTime)
		r.now(status(http.StatusServiceUnavailable))
		if n := g.send(); n != 1 {
			t.Errorf("%d tries after the lease, want 1", n)
		}
		if err := g.settle(t.Context(), &e, &late, a); err != nil {
			t.Errorf("settle too late: %v", err)
		}
		if d := g.delivery(made.ID, m); d.State != Pending || len(d.Tries) != 1 || d.Tries[0].Status != 503 {
			t.Errorf("delivery = %+v, want the second try alone to count", d)
		}
		r.now(nil)
		g.pass(5 * time.Second)
		g.send()
		if got, want := r.ids(), []string{m.String(), m.String(), m.String()}; !slices.Equal(got, want) {
			t.Errorf("receiver got %v, want %v", got, want)
		}
		if d := g.delivery(made.ID, m); d.State != Delivered {
			t.Errorf("delivery = %+v, want it delivered", d)
		}
	})
}

// delivering claims the one delivery that is due.
func (g *rig) delivering(of id.ID) (d *Delivery) {
	g.t.Helper()
	e, sys := g.row(of), db.System(g.t.Context())
	err := g.db.Tx(sys, func(tx *db.Tx) error {
		list, err := claim(sys, tx, &e, db.NewTime(tx.Now().Add(leaseTime)), 10)
		if err == nil && len(list) != 1 {
			g.t.Errorf("claim = %d deliveries, want 1", len(list))
		}
		d = &list[0]
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return d
}

func (g *rig) row(of id.ID) (e Endpoint) {
	g.t.Helper()
	err := g.db.Read(g.ctx, func(tx *db.Tx) (err error) {
		e, err = endpoint(g.ctx, tx, of)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return e
}

func TestDeliver_TwoProcesses(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		r := newReceiver(t, nil)
		g.register(g.ctx, r.URL)
		other := g.process(g.db)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, s := range []*Service{g.Service, other} {
			running.Go(func() {
				if err := s.Deliver(ctx); err != nil {
					t.Errorf("Deliver: %v", err)
				}
			})
		}
		const messages = 100
		var want []string
		for range messages {
			want = append(want, g.payed(g.ctx).String())
		}
		runtest.Eventually(t, "all messages arrive", func() bool { return len(r.ids()) >= messages })
		runtest.Eventually(t, "all are marked", func() bool {
			list, err := g.Deliveries(g.ctx, DeliveriesRequest{ID: g.first(), State: Pending, Limit: 10})
			return err == nil && len(list.Items) == 0
		})
		stop()
		running.Wait()
		got := r.ids()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%d messages arrived of %d sent, want each once", len(got), len(want))
		}
	})
}

func (g *rig) first() id.ID {
	list, err := g.List(g.ctx, ListRequest{})
	if err != nil || len(list.Items) == 0 {
		g.t.Fatalf("List = %+v, %v", list, err)
	}
	return list.Items[0].ID
}

// What comes in any order ends the same for a receiver that does as docs/webhooks.md says.
func TestDeliver_OrderDoesNotMatter(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		r := newReceiver(t, status(http.StatusBadGateway))
		g.register(g.ctx, r.URL)
		of := id.New()
		created := g.tell(g.ctx, of, events.TransactionCreated{TransactionID: of.String(), Status: "INITIAL", At: november})
		g.send()
		r.now(nil)
		payed := g.tell(g.ctx, of, events.TransactionPayed{TransactionID: of.String(), Status: "PAYED", At: november})
		g.send()
		g.pass(6 * time.Second)
		g.send()
		if got, want := r.ids(), []string{created.String(), payed.String(), created.String()}; !slices.Equal(got, want) {
			t.Fatalf("receiver got %v, want %v: the second before the first was taken", got, want)
		}
		state := ""
		for _, m := range r.all()[1:] {
			var body struct{ Data struct{ Status string } }
			if err := json.Unmarshal(m.body, &body); err != nil {
				t.Fatal(err)
			}
			if state != "PAYED" { // a final state wins
				state = body.Data.Status
			}
		}
		if state != "PAYED" {
			t.Errorf("the receiver ends with %s, want PAYED", state)
		}
	})
}

func TestDeliver_Rotation(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		r := newReceiver(t, nil)
		first := g.register(g.ctx, r.URL)
		rotate := func() Created {
			c, err := g.Rotate(g.ctx, NameRequest{ID: first.ID})
			if err != nil {
				t.Fatalf("Rotate: %v", err)
			}
			return c
		}
		second := rotate()
		signed := func(when string, want ...bool) {
			t.Helper()
			g.payed(g.ctx)
			g.send()
			all := r.all()
			m := all[len(all)-1]
			for i, secret := range []string{first.Secret, second.Secret} {
				if got := verify(secret, m); got != want[i] {
					t.Errorf("%s: secret %d verifies = %t, want %t", when, i+1, got, want[i])
				}
			}
		}
		signed("at once", true, true)
		if v := g.endpoint(first.ID); v.RotatingUntil == nil || !v.RotatingUntil.Equal(november.Add(24*time.Hour)) {
			t.Errorf("endpoint = %+v, want it to rotate for 24 h", v)
		}
		g.pass(24*time.Hour - time.Second)
		signed("before 24 h", true, true)
		g.pass(time.Second)
		signed("after 24 h", false, true)
		if v := g.endpoint(first.ID); v.RotatingUntil != nil {
			t.Errorf("endpoint = %+v, want it to rotate no more", v)
		}
		rotate()
		rotate()
		signed("rotated twice more", false, false)
	})
}

// The tenant is erased: nobody is called any more, and the delivery ends.
func TestDeliver_TenantGone(t *testing.T) {
	t.Parallel()
	g := newRig(t, dbtest.New(t, sets()...))
	r := newReceiver(t, nil)
	ctx := tenant.With(t.Context(), tenant.Tenant{ID: id.New(), Slug: "weg"})
	g.register(ctx, r.URL)
	g.payed(ctx)
	if n := g.send(); n != 1 || len(r.ids()) != 0 {
		t.Errorf("%d tries, %d requests; want one try and no request", n, len(r.ids()))
	}
}

func TestPurge(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		r := newReceiver(t, nil)
		made := g.register(g.ctx, r.URL)
		for range 3 {
			g.payed(g.ctx)
		}
		g.pass(time.Hour)
		young := g.payed(g.ctx)
		g.pass(keep - time.Hour + time.Second)
		for range 2 {
			if err := g.Purge(t.Context()); err != nil {
				t.Fatalf("Purge: %v", err)
			}
		}
		list, err := g.Deliveries(g.ctx, DeliveriesRequest{ID: made.ID, Limit: 10})
		if err != nil || len(list.Items) != 1 || list.Items[0].ID != young {
			t.Errorf("after 30 days = %+v, %v; want the young one alone", list.Items, err)
		}
	})
}

func TestOtherTenantSeesNothing(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		r := newReceiver(t, nil)
		made := g.register(g.ctx, r.URL)
		m, jena := g.payed(g.ctx), g.tenant("jena")
		g.payed(jena)
		if list, err := g.List(jena, ListRequest{}); err != nil || len(list.Items) != 0 {
			t.Errorf("List = %+v, %v; want nothing", list, err)
		}
		on := true
		for what, call := range map[string]func() error{
			"Get":         func() error { _, err := g.Get(jena, NameRequest{ID: made.ID}); return err },
			"Patch":       func() error { _, err := g.Patch(jena, PatchRequest{ID: made.ID, Enabled: &on}); return err },
			"Rotate":      func() error { _, err := g.Rotate(jena, NameRequest{ID: made.ID}); return err },
			"Test":        func() error { _, err := g.Test(jena, NameRequest{ID: made.ID}); return err },
			"Delete":      func() error { return g.Delete(jena, NameRequest{ID: made.ID}) },
			"Deliveries":  func() error { _, err := g.Deliveries(jena, DeliveriesRequest{ID: made.ID, Limit: 1}); return err },
			"GetDelivery": func() error { _, err := g.GetDelivery(jena, DeliveryRequest{ID: made.ID, Delivery: m}); return err },
			"Replay":      func() error { _, err := g.Replay(jena, DeliveryRequest{ID: made.ID, Delivery: m}); return err },
			"ReplaySince": func() error { _, err := g.ReplaySince(jena, ReplayRequest{ID: made.ID, State: Failed}); return err },
		} {
			if err := call(); err == nil || !strings.HasPrefix(err.Error(), "unknown_") {
				t.Errorf("%s of another tenant's webhook = %v, want it unknown", what, err)
			}
		}
		err := g.db.Tx(jena, func(tx *db.Tx) error {
			if n, err := dropDeliveries(jena, tx, made.ID, 10); n != 0 || err != nil {
				t.Errorf("dropDeliveries = %d, %v; want none", n, err)
			}
			if ids, err := reviveSince(jena, tx, made.ID, Pending, db.Time{}, "", 10); len(ids) != 0 || err != nil {
				t.Errorf("reviveSince = %v, %v; want none", ids, err)
			}
			if ours, err := finish(jena, tx, &Delivery{EndpointID: made.ID, ID: m, State: Pending}); ours || err != nil {
				t.Errorf("finish = %t, %v; want nothing to finish", ours, err)
			}
			return worked(jena, tx, made.ID)
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := g.send(); n != 1 || len(r.ids()) != 1 {
			t.Errorf("%d tries, %d requests; want erfurt's own message alone", n, len(r.ids()))
		}
	})
}

// Work is done for events alone that an enabled endpoint of their tenant wants.
func TestWanted(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		jena, weimar := g.tenant("jena"), g.tenant("weimar")
		g.register(g.ctx, "http://127.0.0.1:1/erfurt", "payment.transaction.payed.v1")
		off := g.register(weimar, "http://127.0.0.1:1/weimar")
		if _, err := g.Patch(weimar, PatchRequest{ID: off.ID, Enabled: new(bool)}); err != nil {
			t.Fatal(err)
		}
		of := func(ctx context.Context, e outbox.Event) heard {
			to, _ := tenant.From(ctx)
			return heard{bus.Meta{ID: id.New(), Tenant: to.ID, Type: e.EventType()}, "", e}
		}
		batch := []heard{
			of(g.ctx, events.TransactionPayed{}), of(g.ctx, events.TransactionCreated{}), of(jena, events.TransactionPayed{}), of(weimar, events.TransactionPayed{}),
		}
		check := func(want ...bool) {
			t.Helper()
			sys := db.System(t.Context())
			err := g.db.Read(sys, func(tx *db.Tx) error {
				got, err := g.wanted(sys, tx, batch)
				if err == nil && !slices.Equal(got, want) {
					t.Errorf("wanted(payed and created of erfurt, payed of jena and weimar) = %t, want %t", got, want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		check(true, false, false, false)
		g.register(jena, "http://127.0.0.1:1/jena")
		check(true, false, true, false)
	})
}
