package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
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

func TestSend_LocalOutbox(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		mid := r.post(t, r.ctx, Email, "erika@example.org", Attachment{"a.txt", "text/plain", []byte("hallo")})
		r.sendAll(t)
		m := r.message(t, r.ctx, mid)
		if m.Status != Delivered || m.CompletedAt == nil || m.DueAt != nil || len(m.History.V) != 3 {
			t.Errorf("message = %+v, want delivered in three steps", m)
		}
		if got := r.local(t); len(got) != 1 || got[0].Recipient != "erika@example.org" || !strings.Contains(string(got[0].Source), "aGFsbG8=") {
			t.Errorf("local outbox = %+v, want one mail with its file", got)
		}
		if got := r.told(t); !slices.Equal(got, []string{"accepted", "delivered"}) {
			t.Errorf("events = %v, want accepted, delivered", got)
		}
	})
}

// TestSend_LocalExactlyOnce: whatever dies between claiming and noting, there is one mail.
func TestSend_LocalExactlyOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		mid := r.post(t, r.ctx, Email, "erika@example.org")
		first, err := r.claimRound(t.Context())
		if err != nil || len(first) != 1 {
			t.Fatalf("claim = %v, %v, want one", first, err)
		}
		if again, err := r.claimRound(t.Context()); err != nil || len(again) != 0 {
			t.Fatalf("claim while leased = %v, %v, want none", again, err)
		}
		// The process dies here. Another takes over when the lease has ended.
		r.clock.add(leaseTime + time.Second)
		second, err := r.claimRound(t.Context())
		if err != nil || len(second) != 1 || second[0].Attempts != 2 {
			t.Fatalf("claim after the lease = %+v, %v, want the message again", second, err)
		}
		// Both finish, the late one too, each of them twice.
		for _, m := range []Message{second[0], first[0], second[0], first[0]} {
			if err := r.settle(t.Context(), []outcome{r.try(t.Context(), &m)}); err != nil {
				t.Errorf("settle: %v", err)
			}
		}
		if got := r.local(t); len(got) != 1 {
			t.Errorf("local outbox has %d mails, want 1", len(got))
		}
		if got := r.told(t); !slices.Equal(got, []string{"accepted", "delivered"}) {
			t.Errorf("events = %v, want each once", got)
		}
		if m := r.message(t, r.ctx, mid); m.Status != Delivered {
			t.Errorf("status = %s, want delivered", m.Status)
		}
	})
}

// TestSend_RestartReleasesLeases: after a crash the same process does not wait for its own lease.
func TestSend_RestartReleasesLeases(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		r.post(t, r.ctx, Email, "erika@example.org")
		if _, err := r.claimRound(t.Context()); err != nil {
			t.Fatal(err)
		}
		sys := db.System(t.Context())
		release := func(holder string) {
			if err := r.DB.Tx(sys, func(tx *db.Tx) error { return releaseLeases(sys, tx, holder) }); err != nil {
				t.Fatal(err)
			}
		}
		release("another")
		if got, err := r.claimRound(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("claim after another's leases were released = %d, %v, want none", len(got), err)
		}
		release("h")
		r.sendAll(t)
		if got := r.local(t); len(got) != 1 {
			t.Errorf("local outbox has %d mails, want 1", len(got))
		}
	})
}

// TestSend_SMTPAtLeastOnce: the server took the mail and we died before noting it. The mail
// goes again, the same to the byte, so that it can be known as a repeat.
func TestSend_SMTPAtLeastOnce(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, sets()...)
	f := &fakeMailer{held: make(chan struct{}), took: make(chan struct{}, 1)}
	r := newRig(t, d, f)
	mid := r.post(t, r.ctx, Email, "erika@example.org")
	dying, kill := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := r.SendDue(dying)
		done <- err
	}()
	<-f.took
	kill()
	if err := <-done; err != nil {
		t.Fatalf("SendDue of the dying process: %v", err)
	}
	if m := r.message(t, r.ctx, mid); m.Status != Sending || m.DueAt == nil {
		t.Fatalf("message = %s due %v, want to be sent again", m.Status, m.DueAt)
	}
	close(f.held)
	r.sendAll(t)
	if len(f.sent) != 2 || f.sent[0] != f.sent[1] || !strings.Contains(f.sent[0], "Message-ID: <"+mid.String()+"@service.example.de>\r\n") {
		t.Errorf("sent %d times, want twice the same with the message's id:\n%s", len(f.sent), strings.Join(f.sent, "\n---\n"))
	}
	if got := r.told(t); !slices.Equal(got, []string{"accepted", "delivered"}) {
		t.Errorf("events = %v", got)
	}
}

func TestSend_Failures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		errs   []error // of the tries in turn; then success
		rounds int
		want   Status
		steps  string
		events string
	}{
		{"deferred, then taken", []error{Failure{Kind: Later, Reason: "smtp_deferred"}}, 2, Delivered, "created sending temporary-failure sending delivered", "accepted delivered"},
		{"refused", []error{Failure{Kind: Refused, Reason: "recipient_refused"}}, 1, PermanentFailure, "created sending permanent-failure", "accepted failed"},
		{"unknown error", []error{errors.New("boom")}, 2, Delivered, "created sending temporary-failure sending delivered", "accepted delivered"},
		{"server down, then back", []error{Failure{Kind: Later, Reason: "smtp_unreachable", ServerDown: true}}, 2, Delivered, "created sending temporary-failure sending delivered", "accepted delivered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			errs := slices.Clone(c.errs)
			f := &fakeMailer{}
			f.err = func(string) error {
				if len(errs) == 0 {
					return nil
				}
				err := errs[0]
				errs = errs[1:]
				return err
			}
			r := newRig(t, dbtest.New(t, sets()...), f)
			mid := r.post(t, r.ctx, Email, "erika@example.org")
			for range c.rounds {
				r.sendAll(t)
				r.clock.add(5 * time.Minute)
			}
			m := r.message(t, r.ctx, mid)
			var steps []string
			for _, s := range m.History.V {
				steps = append(steps, string(s.Status))
			}
			if m.Status != c.want || strings.Join(steps, " ") != c.steps {
				t.Errorf("status %s, steps %v, want %s, %s", m.Status, steps, c.want, c.steps)
			}
			if got := strings.Join(r.told(t), " "); got != c.events {
				t.Errorf("events = %s, want %s", got, c.events)
			}
		})
	}
}

// TestSend_GivesUpAfterTwoDays: a server that always defers ends in a failure that is told once.
func TestSend_GivesUpAfterTwoDays(t *testing.T) {
	t.Parallel()
	f := &fakeMailer{err: func(string) error { return Failure{Kind: Later, Reason: "smtp_deferred"} }}
	r := newRig(t, dbtest.New(t, sets()...), f)
	mid := r.post(t, r.ctx, Email, "erika@example.org")
	for range 60 {
		r.sendAll(t)
		r.clock.add(time.Hour)
	}
	m := r.message(t, r.ctx, mid)
	last := m.History.V[len(m.History.V)-1]
	if m.Status != TechnicalFailure || last.Reason != "retries_exhausted" || m.CompletedAt.Sub(m.CreatedAt.Time) > giveUpAfter {
		t.Errorf("message = %s (%s) after %s, want given up within 48 h", m.Status, last.Reason, m.CompletedAt.Sub(m.CreatedAt.Time))
	}
	if got := r.told(t); !slices.Equal(got, []string{"accepted", "failed"}) {
		t.Errorf("events = %v, want accepted, failed", got)
	}
}

// TestSend_DownServerIsLeftAlone: one failed connection is enough for a round; the others go
// back to the queue untried.
func TestSend_DownServerIsLeftAlone(t *testing.T) {
	t.Parallel()
	tries := 0
	f := &fakeMailer{err: func(string) error {
		tries++
		return Failure{Kind: Later, Reason: "smtp_unreachable", ServerDown: true}
	}}
	r := newRig(t, dbtest.New(t, sets()...), f)
	r.Config.Workers = 1
	for range 10 {
		r.post(t, r.ctx, Email, "erika@example.org")
	}
	r.sendAll(t)
	if tries != 1 {
		t.Errorf("tried %d times, want once", tries)
	}
	f.err = nil
	r.clock.add(10 * time.Minute)
	r.sendAll(t)
	if len(f.sent) != 10 {
		t.Errorf("%d of 10 sent when the server was back", len(f.sent))
	}
}

// TestSend_TenantsTakeTurns: a municipality with one message does not wait behind another's
// thousand.
func TestSend_TenantsTakeTurns(t *testing.T) {
	t.Parallel()
	r := newRig(t, dbtest.New(t, sets()...), &fakeMailer{})
	for range 50 {
		r.post(t, r.ctx, Email, "erika@example.org")
	}
	mine := r.post(t, r.other, Email, "max@example.org")
	if n, err := r.SendDue(t.Context()); err != nil || n > r.Config.Workers*perWorker {
		t.Fatalf("SendDue = %d, %v, want one round", n, err)
	}
	if m := r.message(t, r.other, mine); m.Status != Delivered {
		t.Errorf("Jena's message is %s after the first round, want delivered", m.Status)
	}
}

func TestMailbox(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		mid := r.post(t, r.ctx, Mailbox, "citizen-1")
		if got, err := r.Inbox(r.ctx, "citizen-1", "", 10); err != nil || len(got) != 0 {
			t.Errorf("Inbox before delivery = %d, %v, want none", len(got), err)
		}
		r.sendAll(t)
		got, err := r.Inbox(r.ctx, "citizen-1", "", 10)
		if err != nil || len(got) != 1 || got[0].ID != mid || got[0].ReadAt != nil {
			t.Fatalf("Inbox = %+v, %v, want the message, not read", got, err)
		}
		for name, c := range map[string]struct {
			ctx     context.Context
			subject string
		}{"another citizen": {r.ctx, "citizen-2"}, "another tenant": {r.other, "citizen-1"}} {
			if _, err := r.ReadMail(c.ctx, c.subject, mid); !fault.Is(err, "unknown_message") {
				t.Errorf("ReadMail of %s = %v, want unknown_message", name, err)
			}
		}
		if _, err := r.ReadMail(r.ctx, "citizen-1", mid); err != nil {
			t.Fatal(err)
		}
		first := r.message(t, r.ctx, mid).ReadAt
		r.clock.add(time.Hour)
		if _, err := r.ReadMail(r.ctx, "citizen-1", mid); err != nil {
			t.Fatal(err)
		}
		if again := r.message(t, r.ctx, mid).ReadAt; first == nil || !again.Equal(first.Time) {
			t.Errorf("read_at = %v, then %v, want the first time kept", first, again)
		}
		if len(r.local(t)) != 0 {
			t.Error("a message to the mailbox went by mail too")
		}
		if got := r.told(t); !slices.Equal(got, []string{"accepted", "delivered"}) {
			t.Errorf("events = %v", got)
		}
	})
}

func TestForget(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		mail := r.post(t, r.ctx, Email, "erika@example.org", Attachment{"a.txt", "text/plain", []byte("x")})
		box := r.post(t, r.ctx, Mailbox, "citizen-1")
		r.sendAll(t)
		r.clock.add(29 * 24 * time.Hour)
		young := r.post(t, r.ctx, Email, "max@example.org")
		if err := r.forgetOld(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := r.message(t, r.ctx, mail); m.Recipient == "" {
			t.Error("forgotten after 29 days, want kept for 30")
		}
		r.clock.add(2 * 24 * time.Hour)
		if err := r.forgetOld(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := r.message(t, r.ctx, mail)
		if m.Recipient != "" || m.Title != "" || m.Body != "" || m.Status != Delivered || m.Reference != "ref" {
			t.Errorf("after 31 days = %+v, want the row without personal data", m)
		}
		if got := r.local(t); len(got) != 0 {
			t.Errorf("local outbox still has %d mails", len(got))
		}
		var n int
		err := r.DB.Read(r.ctx, func(tx *db.Tx) error {
			return tx.Get(r.ctx, &n, `SELECT count(*) FROM attachments WHERE tenant_id = ?`, tx.Tenant())
		})
		if err != nil || n != 0 {
			t.Errorf("%d attachments left, %v, want none", n, err)
		}
		for _, mid := range []id.ID{box, young} {
			if m := r.message(t, r.ctx, mid); m.Recipient == "" {
				t.Errorf("%s message was forgotten too early", m.Channel)
			}
		}
		r.clock.add(365 * 24 * time.Hour)
		if err := r.forgetOld(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := r.message(t, r.ctx, box); m.Recipient != "" {
			t.Error("the mailbox still holds the message after a year")
		}
		if m := r.message(t, r.ctx, young); m.Recipient == "" {
			t.Error("a message that was never sent was forgotten")
		}
	})
}

func TestStore_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		mid := r.post(t, r.ctx, Email, "erika@example.org", Attachment{"a.txt", "text/plain", []byte("x")})
		r.post(t, r.ctx, Mailbox, "citizen-1")
		r.sendAll(t)
		if _, err := r.CreateKey(r.ctx, KeyRequest{Name: "k"}); err != nil {
			t.Fatal(err)
		}
		put := PutTemplateRequest{TemplateRequest: TemplateRequest{Name: "own", Language: "de"}, Subject: "s", Body: "b"}
		own, err := r.PutTemplate(r.ctx, put)
		if err != nil {
			t.Fatal(err)
		}
		for name, seen := range map[string]func(ctx context.Context, tx *db.Tx) (bool, error){
			"message": func(ctx context.Context, tx *db.Tx) (bool, error) {
				_, err := message(ctx, tx, mid)
				return !fault.Is(err, "unknown_message"), nil
			},
			"messages": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := messages(ctx, tx, Filter{}, 10)
				return len(rows) > 0, err
			},
			"files": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := files(ctx, tx, mid)
				return len(rows) > 0, err
			},
			"localMails": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := localMails(ctx, tx, localFilter{Tenant: r.erfurt.ID}, 10)
				return len(rows) > 0, err
			},
			"oneLocalMail": func(ctx context.Context, tx *db.Tx) (bool, error) {
				_, err := oneLocalMail(ctx, tx, mid)
				return !fault.Is(err, "unknown_message"), nil
			},
			"inbox": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := inbox(ctx, tx, "citizen-1", "", 10)
				return len(rows) > 0, err
			},
			"apiKeys": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := apiKeys(ctx, tx)
				return len(rows) > 0, err
			},
			"ownTemplates": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := ownTemplates(ctx, tx)
				return len(rows) > 0, err
			},
			"ownTemplate": func(ctx context.Context, tx *db.Tx) (bool, error) {
				tpl, err := ownTemplate(ctx, tx, own.ID, 0)
				return tpl != nil, err
			},
			"ownVersion": func(ctx context.Context, tx *db.Tx) (bool, error) {
				_, v, err := ownVersion(ctx, tx, "own", "de")
				return v > 0, err
			},
		} {
			for of, ctx := range map[string]context.Context{"its own": r.ctx, "another": r.other} {
				err := r.DB.Read(ctx, func(tx *db.Tx) error {
					got, err := seen(ctx, tx)
					if err == nil && got != (of == "its own") {
						t.Errorf("%s seen by %s tenant = %t", name, of, got)
					}
					return err
				})
				if err != nil {
					t.Errorf("%s as %s tenant: %v", name, of, err)
				}
			}
		}
		if _, err := r.RevokeKey(r.other, RevokeRequest{ID: mid}); !fault.Is(err, "unknown_api_key") {
			t.Errorf("RevokeKey of another = %v, want unknown_api_key", err)
		}
	})
}

func TestTemplates_Own(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		shipped := r.catalogue.find("test-message", "de")
		put := func(subject string) TemplateView {
			v, err := r.PutTemplate(r.ctx, PutTemplateRequest{TemplateRequest: TemplateRequest{Name: "test-message", Language: "de"}, Subject: subject, Body: "Hallo ((name))"})
			if err != nil {
				t.Fatalf("PutTemplate(%s): %v", subject, err)
			}
			return v
		}
		v := put("Eigene")
		if v.ID != shipped.ID || v.Version != shipped.Version+1 || !v.Own {
			t.Errorf("first own version = %+v, want the catalogue's id and its next version", v)
		}
		if again := put("Eigene"); again.Version != v.Version {
			t.Errorf("the same text again = version %d, want %d", again.Version, v.Version)
		}
		if next := put("Zweite"); next.Version != v.Version+1 {
			t.Errorf("another text = version %d, want %d", next.Version, v.Version+1)
		}
		mid := r.post(t, r.ctx, Email, "erika@example.org")
		if m := r.message(t, r.ctx, mid); m.Title != "Zweite" || m.TemplateVersion != v.Version+1 {
			t.Errorf("message = %q of version %d, want the newest own one", m.Title, m.TemplateVersion)
		}
		if m := r.message(t, r.other, r.post(t, r.other, Email, "max@example.org")); m.TemplateVersion != shipped.Version {
			t.Errorf("another tenant's message = version %d, want the catalogue's", m.TemplateVersion)
		}
		for version, want := range map[int64]string{shipped.Version: shipped.Subject, v.Version: "Eigene", 0: "Zweite"} {
			if got, err := r.Template(r.ctx, shipped.ID, version); err != nil || got.Subject != want {
				t.Errorf("Template(version %d) = %v, %v, want %q", version, got, err, want)
			}
		}
		all, err := r.Templates(r.ctx)
		if err != nil || len(all) != len(r.catalogue.newest) {
			t.Errorf("Templates = %d, %v, want %d", len(all), err, len(r.catalogue.newest))
		}
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		k, err := r.CreateKey(r.ctx, KeyRequest{Name: "fach-verfahren"})
		if err != nil {
			t.Fatal(err)
		}
		secret := k.Key[len(k.Key)-36:]
		if service := k.Key[len(k.Key)-73 : len(k.Key)-37]; service != r.erfurt.ID.String() || !strings.HasPrefix(k.Key, "fach-verfahren-") {
			t.Errorf("key = %s, want name, tenant id and secret", k.Key)
		}
		keys, err := r.APIKeys(r.ctx)
		if err != nil || len(keys) != 1 || keys[0].Secret != secret || keys[0].Revoked {
			t.Fatalf("APIKeys = %+v, %v, want the secret", keys, err)
		}
		err = r.DB.Read(r.ctx, func(tx *db.Tx) error {
			rows, err := apiKeys(r.ctx, tx)
			if err == nil && strings.Contains(string(rows[0].Sealed), secret) {
				t.Error("the secret is stored in the clear")
			}
			if _, err := r.unseal(r.jena.ID, rows[0].ID, rows[0].Sealed); err == nil {
				t.Error("a sealed secret opens under another tenant")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if list, err := r.ListKeys(r.ctx, struct{}{}); err != nil || len(list.Items) != 1 || list.Items[0].Key != "" {
			t.Errorf("ListKeys = %+v, %v, want the key without its secret", list, err)
		}
		if v, err := r.RevokeKey(r.ctx, RevokeRequest{ID: k.ID}); err != nil || v.RevokedAt == nil {
			t.Errorf("RevokeKey = %+v, %v", v, err)
		}
		if keys, err := r.APIKeys(r.ctx); err != nil || !keys[0].Revoked {
			t.Errorf("APIKeys after revoking = %+v, %v", keys, err)
		}
	})
}

func TestMigrations_UpAndDown(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		if err := d.MigrateDown(t.Context(), Migrations()); err != nil {
			t.Fatalf("down: %v", err)
		}
		if err := d.Migrate(t.Context(), Migrations()); err != nil {
			t.Fatalf("up again: %v", err)
		}
	})
}

// BenchmarkAccept is the durable part of a request to send, 32 at once, without the sending.
func BenchmarkAccept(b *testing.B) {
	r := newRig(b, dbtest.New(b, sets()...), nil)
	b.SetParallelism(16)
	began := cpuTime(b)
	defer func() { b.ReportMetric(float64((cpuTime(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op") }()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.post(b, r.ctx, Email, "erika@example.org")
		}
	})
}

// BenchmarkSend makes mails and puts them into the local outbox.
func BenchmarkSend(b *testing.B) {
	r := newRig(b, dbtest.New(b, sets()...), nil)
	r.Config.Workers = 8
	for range b.N {
		r.post(b, r.ctx, Email, "erika@example.org")
	}
	began := cpuTime(b)
	b.ResetTimer()
	r.sendAll(b)
	b.ReportMetric(float64((cpuTime(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// TestLog_NoPersonalData: whatever goes wrong, log, history and errors of jobs hold neither
// names nor addresses nor texts.
func TestLog_NoPersonalData(t *testing.T) {
	t.Parallel()
	f := &fakeMailer{}
	n := 0
	f.err = func(to string) error {
		n++
		switch n % 3 {
		case 0:
			return Failure{Kind: Refused, Reason: "recipient_refused", Cause: errors.New("550 no such user " + to)}
		case 1:
			return errors.New("cannot send to " + to)
		}
		return Failure{Kind: Later, Reason: "smtp_deferred", Cause: errors.New("451 " + to)}
	}
	r := newRig(t, dbtest.New(t, sets()...), f)
	var log strings.Builder
	r.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.Config.Workers = 1
	var mids []id.ID
	for range 6 {
		mids = append(mids, r.post(t, r.ctx, Email, "erika.musterfrau@example.org"))
	}
	r.post(t, r.ctx, Mailbox, "citizen-1")
	for range 3 {
		r.sendAll(t)
		r.clock.add(time.Hour)
	}
	r.Config.From = "no address" // mails cannot be made any more
	r.post(t, r.ctx, Email, "erika.musterfrau@example.org")
	r.sendAll(t)
	if !strings.Contains(log.String(), "mail cannot be made") {
		t.Errorf("log = %q, want the failure in it", log.String())
	}
	history := ""
	for _, mid := range mids {
		m := r.message(t, r.ctx, mid)
		b, err := json.Marshal(viewOf(&m))
		if err != nil {
			t.Fatal(err)
		}
		history += string(b)
	}
	r.told(t) // checks events
	for _, personal := range []string{"erika", "Erika", "Musterfrau", "example.org", "Testnachricht", "citizen-1"} {
		if strings.Contains(log.String(), personal) {
			t.Errorf("the log holds %q:\n%s", personal, log.String())
		}
		if strings.Contains(history, personal) {
			t.Errorf("the history holds %q:\n%s", personal, history)
		}
	}
}
