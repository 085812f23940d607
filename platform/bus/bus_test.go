package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"basisdienste/platform/bus"
	"basisdienste/platform/bus/jetstream"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/obs"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenant"
)

type event struct {
	Of string `json:"of"`
	N  int    `json:"n"`
}

func (event) EventType() string { return "payment.test.happened.v1" }
func (e event) Subject() string { return e.Of }

var heard = db.Set{Name: "heard", FS: fstest.MapFS{"migrations/00001_heard.sql": {Data: []byte(`-- +goose Up
CREATE TABLE heard (tenant_id TEXT NOT NULL, what TEXT NOT NULL);
{{isolate "heard"}}
-- +goose Down
DROP TABLE heard;
`)}}}

// node is one run of a service: a broker on a folder, a transport, a router.
type node struct {
	t    *testing.T
	db   *db.DB
	r    *bus.Router
	bus  *jetstream.Transport
	stop func()
}

func start(t *testing.T, d *db.DB, dir string, cfg bus.Config, handlers func(r *bus.Router)) *node {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	srv, err := jetstream.StartServer(filepath.Join(dir, "events"), jetstream.Log(log))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := srv.Client()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := jetstream.New(t.Context(), nc, jetstream.Config{
		Streams: bus.Streams(), OwnConn: true, Log: log, Exclusive: true,
		Retry: func(int) time.Duration { return time.Millisecond },
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Service, cfg.DB, cfg.Transport, cfg.Log = "payment", d, tr, log
	n := &node{t: t, db: d, bus: tr, r: bus.New(cfg)}
	handlers(n.r)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.r.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		for _, err := range []error{<-ended, tr.Close(), srv.Close()} {
			if err != nil {
				t.Errorf("stop: %v", err)
			}
		}
	})
	t.Cleanup(n.stop)
	return n
}

func (n *node) put(ctx context.Context, events ...event) {
	n.t.Helper()
	err := n.db.Tx(ctx, func(tx *db.Tx) error {
		for _, e := range events {
			if err := outbox.Put(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// note is an effect in the database.
func note(ctx context.Context, tx *db.Tx, what string) error {
	_, err := tx.Exec(ctx, `INSERT INTO heard (tenant_id, what) VALUES (?, ?)`, tx.Tenant(), what)
	return err
}

func notes(ctx context.Context, t *testing.T, d *db.DB) string {
	t.Helper()
	var all []string
	if err := d.Read(ctx, func(tx *db.Tx) error {
		return tx.Select(ctx, &all, `SELECT what FROM heard WHERE tenant_id = ?`, tx.Tenant())
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func dead(t *testing.T, d *db.DB) (letters []outbox.DeadLetter) {
	t.Helper()
	sys := db.System(t.Context())
	if err := d.Read(sys, func(tx *db.Tx) (err error) { letters, err = outbox.Dead(sys, tx, db.Time{}, 100); return err }); err != nil {
		t.Fatal(err)
	}
	return letters
}

// eventually waits for f, looking again whenever something was done.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("did not happen: %s", what)
		}
	}
}

func each(t *testing.T, f func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, []db.Set{outbox.Migrations(), heard}, f)
}

func TestHandle_FailuresPanicsAndPoison(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		of, _ := tenant.From(ctx)
		var mu sync.Mutex
		tries := map[string]int{}
		broken := true
		n := start(t, d, t.TempDir(), bus.Config{Tries: 5}, func(r *bus.Router) {
			bus.Handle(r, "hear", func(ctx context.Context, tx *db.Tx, m bus.Meta, e event) error {
				mu.Lock()
				defer mu.Unlock()
				tries[e.Of]++
				if got, _ := tenant.From(ctx); got.ID != of.ID || m.Tenant != of.ID || tx.Tenant() != of.ID {
					t.Errorf("tenant of the handler = %s, %s, %s, want %s", got.ID, m.Tenant, tx.Tenant(), of.ID)
				}
				if err := note(ctx, tx, fmt.Sprint(e.Of, e.N)); err != nil { // rolled back with every failure
					return err
				}
				switch {
				case !broken || e.N == 2:
					return nil
				case e.Of == "panic":
					panic("oh")
				case e.Of == "hopeless":
					return fault.Unprocessable("no_good", "no good")
				case e.Of == "long":
					return errors.New("x" + strings.Repeat("ä", 2000) + "\x00")
				case e.Of == "flaky" && tries[e.Of] < 4:
					return errors.New("not yet")
				case e.Of == "error":
					return errors.New("never")
				}
				return nil
			})
		})
		for _, of := range []string{"panic", "hopeless", "long", "flaky", "error", "good"} {
			n.put(ctx, event{of, 1}, event{of, 2})
		}
		eventually(t, "four are given up, the rest is heard", func() bool { return len(dead(t, d)) == 4 && len(strings.Fields(notes(ctx, t, d))) == 8 })
		mu.Lock()
		if want := (map[string]int{"panic": 6, "hopeless": 3, "long": 6, "flaky": 5, "error": 6, "good": 2}); fmt.Sprint(tries) != fmt.Sprint(want) {
			t.Errorf("tries = %v, want %v (one for the second event of each)", tries, want)
		}
		broken = false
		mu.Unlock()
		got := notes(ctx, t, d)
		if i, j := strings.Index(got, "flaky1"), strings.Index(got, "flaky2"); i < 0 || j < i {
			t.Errorf("heard %s, want flaky1 before flaky2", got)
		}
		// The operator replays.
		m := kit.NewMux(slog.New(slog.DiscardHandler))
		n.r.Routes(m, kit.Public)
		for _, l := range dead(t, d) {
			if l.Consumer != "hear" || l.Tenant != of.ID || l.Type != "payment.test.happened.v1" || l.Error == "" {
				t.Errorf("dead letter = %+v", l)
			}
			for i, want := range []int{204, 404} {
				if code := call(t, m, http.MethodPost, "/payment/v1/events/dead/hear/"+l.ID.String()+"/replay"); code != want {
					t.Errorf("replay %d of %s = %d, want %d", i+1, l.Subject, code, want)
				}
			}
		}
		if got := len(strings.Fields(notes(ctx, t, d))); got != 12 || len(dead(t, d)) != 0 {
			t.Errorf("after the replay %d are heard and %d dead, want 12 and 0", got, len(dead(t, d)))
		}
		for path, want := range map[string]int{
			"/payment/v1/events/dead/nobody/" + id.New().String() + "/replay": 404, "/payment/v1/events/dead/hear/x/replay": 400,
		} {
			if code := call(t, m, http.MethodPost, path); code != want {
				t.Errorf("POST %s = %d, want %d", path, code, want)
			}
		}
	})
}

func TestHandle_WaitsForANeighbourThatIsAway(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, outbox.Migrations(), heard)
	ctx := dbtest.Tenant(t, "erfurt")
	var mu sync.Mutex
	calls := 0
	n := start(t, d, t.TempDir(), bus.Config{Tries: 3}, func(r *bus.Router) {
		bus.Handle(r, "hear", func(ctx context.Context, tx *db.Tx, _ bus.Meta, e event) error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls < 30 {
				return fmt.Errorf("ask: %w", fault.Unavailable("service_unavailable", "away"))
			}
			return note(ctx, tx, e.Of)
		})
	})
	n.put(ctx, event{"a", 1})
	eventually(t, "it is heard after 30 tries", func() bool { return notes(ctx, t, d) == "a" })
	if l := dead(t, d); len(l) != 0 {
		t.Errorf("dead letters = %v, want none", l)
	}
}

func TestHandle_PatienceEnds(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, outbox.Migrations(), heard)
	n := start(t, d, t.TempDir(), bus.Config{Tries: 3, Patience: time.Nanosecond}, func(r *bus.Router) {
		bus.Handle(r, "hear", func(context.Context, *db.Tx, bus.Meta, event) error {
			return fault.Unavailable("service_unavailable", "away")
		})
	})
	n.put(dbtest.Tenant(t, "erfurt"), event{"a", 1})
	eventually(t, "it is given up", func() bool { return len(dead(t, d)) == 1 })
}

// TestHandle_PoisonOfOneTenantHoldsUpNobodyElse has more bad aggregates than can be handled at once.
func TestHandle_PoisonOfOneTenantHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, outbox.Migrations(), heard)
	erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
	n := start(t, d, t.TempDir(), bus.Config{Tries: 1000}, func(r *bus.Router) {
		bus.Handle(r, "hear", func(ctx context.Context, tx *db.Tx, _ bus.Meta, e event) error {
			if e.N == 0 {
				return errors.New("poison")
			}
			return note(ctx, tx, e.Of)
		})
	})
	var bad []event
	for i := range 100 {
		bad = append(bad, event{fmt.Sprint("bad", i), 0})
	}
	n.put(erfurt, bad...)
	n.put(jena, event{"good", 1})
	eventually(t, "Jena's event is heard", func() bool { return notes(jena, t, d) == "good" })
}

func TestCall_AfterACrashAgainWithTheSameID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := dbtest.New(t, outbox.Migrations(), heard)
	ctx := dbtest.Tenant(t, "erfurt")
	var mu sync.Mutex
	var keys []id.ID
	calls := func() int { mu.Lock(); defer mu.Unlock(); return len(keys) }
	handlers := func(r *bus.Router) {
		bus.Call(r, "receipt", func(ctx context.Context, m bus.Meta, _ event) error {
			mu.Lock()
			defer mu.Unlock()
			keys = append(keys, m.ID)
			if len(keys) == 1 { // the call was made, and before the mark the process dies
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
	}
	first := start(t, d, dir, bus.Config{Timeout: 300 * time.Millisecond}, handlers)
	first.put(ctx, event{"a", 1})
	eventually(t, "the second call", func() bool { return calls() == 2 })
	first.stop()
	second := start(t, d, dir, bus.Config{}, handlers)
	second.put(ctx, event{"b", 1})
	eventually(t, "the third call", func() bool { return calls() == 3 })
	second.stop()
	mu.Lock()
	defer mu.Unlock()
	if keys[0] != keys[1] || keys[2] == keys[0] {
		t.Errorf("calls were made with the ids %v, want the first twice and then another", keys)
	}
}

func TestRun_GoesOnAfterARestart(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		dir := t.TempDir()
		ctx := dbtest.Tenant(t, "erfurt")
		hear := func(r *bus.Router) {
			bus.Handle(r, "hear", func(ctx context.Context, tx *db.Tx, _ bus.Meta, e event) error {
				return note(ctx, tx, fmt.Sprint(e.Of, e.N))
			})
		}
		for run := range 3 {
			n := start(t, d, dir, bus.Config{}, hear)
			for i := range 10 {
				n.put(ctx, event{"a", run*10 + i})
			}
			if run == 2 {
				eventually(t, "all are heard", func() bool { return len(strings.Fields(notes(ctx, t, d))) >= 30 })
			}
			n.stop() // at once: what was not sent or not handled is taken up by the next run
		}
		if err := outbox.Resend(t.Context(), d, time.Hour); err != nil { // as after an unclean stop
			t.Fatal(err)
		}
		n := start(t, d, dir, bus.Config{}, hear)
		n.put(ctx, event{"a", 30})
		eventually(t, "the last one is heard", func() bool { return strings.Contains(notes(ctx, t, d), "a30") })
		n.stop()
		var want []string
		for i := range 31 {
			want = append(want, fmt.Sprint("a", i))
		}
		if got := notes(ctx, t, d); got != strings.Join(want, " ") {
			t.Errorf("heard %s, want each once and in order", got)
		}
	})
}

func TestRun_SkipsWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, outbox.Migrations(), heard)
	ctx := dbtest.Tenant(t, "erfurt")
	of, _ := tenant.From(ctx)
	n := start(t, d, t.TempDir(), bus.Config{}, func(r *bus.Router) {
		bus.Handle(r, "hear", func(ctx context.Context, tx *db.Tx, m bus.Meta, e event) error {
			return note(ctx, tx, fmt.Sprint(e.Of, e.N, m.Subject, obs.TraceParent(ctx)))
		})
	})
	p := n.bus.Publisher()
	for _, m := range []struct{ id, tenant, payload string }{
		{id.New().String(), "", `{}`}, {"no-id", of.ID.String(), `{}`}, {id.New().String(), "erfurt", `{}`}, {id.New().String(), of.ID.String(), `{`},
	} {
		msg := message.NewMessage(m.id, []byte(m.payload))
		msg.Metadata = message.Metadata{jetstream.MetadataSubject: "a"}
		if m.tenant != "" {
			msg.Metadata[jetstream.MetadataTenant] = m.tenant
		}
		if err := p.Publish("payment.test.happened.v1", msg); err != nil {
			t.Fatal(err)
		}
	}
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	n.put(obs.WithTraceParent(ctx, trace), event{"a", 1})
	eventually(t, "the good one is heard", func() bool { return notes(ctx, t, d) != "" })
	if got := notes(ctx, t, d); !strings.HasPrefix(got, "a1a00-0af7651916cd43dd8448eb211c80319c-") {
		t.Errorf("heard %q, want the event under its trace", got)
	}
	eventually(t, "the unreadable one is a dead letter", func() bool { l := dead(t, d); return len(l) == 1 && l[0].Payload == "{" })
}

func call(t *testing.T, h http.Handler, method, path string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	w := &status{}
	h.ServeHTTP(w, r)
	return w.code
}

type status struct {
	h    http.Header
	code int
}

func (s *status) Header() http.Header {
	if s.h == nil {
		s.h = http.Header{}
	}
	return s.h
}
func (s *status) WriteHeader(code int)        { s.code = code }
func (s *status) Write(b []byte) (int, error) { return len(b), nil }
