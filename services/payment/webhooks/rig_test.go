package webhooks

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/audit"
	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/page"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

func sets() []db.Set { return []db.Set{audit.Migrations(), tenantdir.Migrations(), Migrations()} }

var november = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// receiver is a municipality's own system.
type receiver struct {
	URL string

	mu   sync.Mutex
	got  []received
	busy int
	most int // requests at once
	act  http.HandlerFunc
}

type received struct {
	id     string
	header http.Header
	body   []byte
}

// newReceiver answers by act, or 204 if that is nil.
func newReceiver(t testing.TB, act http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{act: act}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL + "/hook"
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	r.got = append(r.got, received{q.Header.Get("webhook-id"), q.Header, body})
	r.busy++
	r.most = max(r.most, r.busy)
	act := r.act
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.busy--
		r.mu.Unlock()
	}()
	if act == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	act(w, q)
}

func (r *receiver) now(act http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.act = act
}

func status(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) }
}

func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) ids() (ids []string) {
	for _, m := range r.all() {
		ids = append(ids, m.id)
	}
	return ids
}

// rig is the service over a database, with a tenant and a clock that the test moves.
type rig struct {
	*Service
	t   testing.TB
	ctx context.Context // acts for erfurt

	mu sync.Mutex
	at time.Time
}

func (g *rig) pass(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = g.at.Add(d)
}

func newRig(t testing.TB, d *db.DB) *rig {
	t.Helper()
	g := &rig{t: t, at: november}
	g.Service = g.process(d)
	g.ctx = g.tenant("erfurt")
	return g
}

// process is another process on the same database.
func (g *rig) process(d *db.DB) *Service {
	g.t.Helper()
	v, err := newVault(make([]byte, 32))
	if err != nil {
		g.t.Fatal(err)
	}
	clock := func() time.Time {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.at
	}
	d = d.WithClock(clock)
	return &Service{
		db: d, dir: tenantdir.New(d, clock), vault: v, cursors: page.NewSigner(make([]byte, 32)), client: newClient(publicOrLocal, tryTime), local: true,
		base: "https://dienste.example", sender: newSender(), woken: d.Woken(wakeName), chance: func() float64 { return 0.5 }, clock: clock,
		log: slog.New(slog.NewTextHandler(g.t.Output(), nil)),
	}
}

func (g *rig) tenant(slug string) context.Context {
	g.t.Helper()
	e := tenantdir.Entry{Tenant: tenant.Tenant{ID: id.New(), Slug: slug, Name: slug}, Status: tenantdir.Active, Version: 1}
	ctx := tenantdir.With(g.t.Context(), e)
	if err := g.db.Tx(ctx, func(tx *db.Tx) error { return g.dir.Apply(ctx, tx, e) }); err != nil {
		g.t.Fatal(err)
	}
	return ctx
}

func (g *rig) register(ctx context.Context, url string, types ...string) Created {
	g.t.Helper()
	c, err := g.Create(ctx, CreateRequest{URL: url, Events: types})
	if err != nil {
		g.t.Fatalf("Create(%s): %v", url, err)
	}
	return c
}

// payed lets the service hear that a transaction was payed, and returns the message's id.
func (g *rig) payed(ctx context.Context) id.ID {
	g.t.Helper()
	tx := id.New()
	return g.tell(ctx, tx, events.TransactionPayed{TransactionID: tx.String(), RequestID: "r-1", Amount: 3070, Currency: "EUR", Status: "PAYED", At: november})
}

func (g *rig) tell(ctx context.Context, transaction id.ID, e interface {
	EventType() string
	Subject() string
},
) id.ID {
	g.t.Helper()
	of, _ := tenant.From(ctx)
	m, sys := bus.Meta{ID: id.New(), Type: e.EventType(), Time: november, Tenant: of.ID}, db.System(ctx)
	if err := g.db.Tx(sys, func(tx *db.Tx) error { return g.hear(sys, tx, []heard{{m, transaction, e}}) }); err != nil {
		g.t.Fatalf("hear %s: %v", m.Type, err)
	}
	return m.ID
}

// send makes the tries that are due, and returns how many they were.
func (g *rig) send() (n int) {
	g.t.Helper()
	for {
		var tries sync.WaitGroup
		begun, err := g.dispatch(g.t.Context(), &tries)
		tries.Wait()
		if err != nil {
			g.t.Fatalf("dispatch: %v", err)
		}
		if n += begun; begun == 0 {
			return n
		}
	}
}

func (g *rig) delivery(of, message id.ID) DeliveryView {
	g.t.Helper()
	v, err := g.GetDelivery(g.ctx, DeliveryRequest{ID: of, Delivery: message})
	if err != nil {
		g.t.Fatalf("GetDelivery(%s): %v", message, err)
	}
	return v
}

func (g *rig) endpoint(of id.ID) View {
	g.t.Helper()
	v, err := g.Get(g.ctx, NameRequest{ID: of})
	if err != nil {
		g.t.Fatalf("Get(%s): %v", of, err)
	}
	return v
}
