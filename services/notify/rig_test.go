package notify

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/limit"
	"basisdienste/platform/outbox"
	"basisdienste/platform/page"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

func sets() []db.Set {
	return []db.Set{outbox.Migrations(), audit.Migrations(), tenantdir.Migrations(), Migrations()}
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fakeMailer is an SMTP server as the service sees it.
type fakeMailer struct {
	mu   sync.Mutex
	sent []string // sources
	err  func(to string) error
	held chan struct{} // when not nil, Send waits for it after it took the mail
	took chan struct{}
}

func (f *fakeMailer) Send(ctx context.Context, _, to string, source []byte) error {
	f.mu.Lock()
	var err error
	if f.err != nil {
		err = f.err(to)
	}
	if err == nil {
		f.sent = append(f.sent, string(source))
	}
	f.mu.Unlock()
	if f.held != nil {
		f.took <- struct{}{}
		select {
		case <-f.held:
		case <-ctx.Done():
			return Failure{Kind: Later, Reason: "smtp_timeout", Cause: ctx.Err()}
		}
	}
	return err
}

func (*fakeMailer) Close() error { return nil }

// rig is a service on a database, without a process around it.
type rig struct {
	*Service
	clock        *clock
	erfurt, jena tenantdir.Entry
	ctx, other   context.Context // of Erfurt, of Jena
}

func newRig(t testing.TB, d *db.DB, m Mailer) *rig {
	t.Helper()
	c := newClock()
	d = d.WithClock(c.now)
	dir := tenantdir.New(d, c.now)
	cfg := DefaultConfig()
	cfg.From, cfg.Workers = "noreply@service.example.de", 2
	s, err := NewService(Deps{
		DB: d, Dir: dir, Clock: c.now, Log: slog.New(slog.DiscardHandler), Mailer: m, Limiter: limit.New(limit.Config{Clock: c.now}),
		Cursors: page.NewSigner([]byte("0123456789abcdef")), KeyKey: []byte("0123456789abcdef0123456789abcdef"), BaseURL: "http://example.test", Holder: "h", Config: cfg,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Service: s, clock: c}
	add := func(slug, name string) (tenantdir.Entry, context.Context) {
		e := tenantdir.Entry{Tenant: tenant.Tenant{ID: id.New(), Slug: slug, Name: name}, Status: tenantdir.Active, Version: 1}
		ctx := tenantdir.With(t.Context(), e)
		if err := d.Tx(ctx, func(tx *db.Tx) error { return dir.Apply(ctx, tx, e) }); err != nil {
			t.Fatal(err)
		}
		return e, ctx
	}
	r.erfurt, r.ctx = add("erfurt", "Landeshauptstadt Erfurt")
	r.jena, r.other = add("jena", "Stadt Jena")
	return r
}

// post accepts a message and returns its id.
func (r *rig) post(t testing.TB, ctx context.Context, channel Channel, to string, files ...Attachment) id.ID {
	t.Helper()
	var m Message
	err := r.DB.Tx(ctx, func(tx *db.Tx) error {
		tpl, err := r.findTemplate(ctx, tx, "test-message", "de")
		if err != nil {
			return err
		}
		m, err = r.Accept(ctx, tx, Draft{
			Template: tpl, Channel: channel, Recipient: to, Values: Values{"name": json.RawMessage(`"Erika Musterfrau"`)}, Reference: "ref", Attachments: files,
		})
		return err
	})
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	return m.ID
}

func (r *rig) sendAll(t testing.TB) {
	t.Helper()
	for {
		n, err := r.SendDue(t.Context())
		if err != nil {
			t.Fatalf("SendDue: %v", err)
		}
		if n == 0 {
			return
		}
	}
}

func (r *rig) message(t testing.TB, ctx context.Context, mid id.ID) Message {
	t.Helper()
	m, err := r.Message(ctx, mid)
	if err != nil {
		t.Fatalf("message %s: %v", mid, err)
	}
	return m
}

func (r *rig) local(t testing.TB) (out []localMail) {
	t.Helper()
	sys := db.System(t.Context())
	err := r.DB.Read(sys, func(tx *db.Tx) (err error) {
		out, err = localMails(sys, tx, localFilter{}, 1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// told lists the types of the events so far, and fails if one breaks its schema or holds
// personal data.
func (r *rig) told(t testing.TB) (out []string) {
	t.Helper()
	var rows []outbox.Record
	sys := db.System(t.Context())
	err := r.DB.Read(sys, func(tx *db.Tx) error {
		return tx.Select(sys, &rows, `SELECT seq, id, tenant_id, type, subject, payload, traceparent, at, sent_at FROM outbox ORDER BY seq`)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(row.Type, "notify.message."), ".v1"))
		if err := validEvent(row.Type, row.Payload); err != nil {
			t.Errorf("event %s breaks its schema: %v\n%s", row.Type, err, row.Payload)
		}
		for _, personal := range []string{"Erika", "Musterfrau", "@", "Testnachricht", "citizen-1"} {
			if strings.Contains(row.Payload, personal) {
				t.Errorf("event %s holds personal data: %s", row.Type, row.Payload)
			}
		}
	}
	return out
}
