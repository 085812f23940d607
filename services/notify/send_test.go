package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/runtest"
)

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

// BenchmarkAccept is the durable part of a request to send, 32 at once, without the sending.
func BenchmarkAccept(b *testing.B) {
	r := newRig(b, dbtest.New(b, sets()...), nil)
	b.SetParallelism(16)
	began := runtest.CPU(b)
	defer func() { b.ReportMetric(float64((runtest.CPU(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op") }()
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
	began := runtest.CPU(b)
	b.ResetTimer()
	r.sendAll(b)
	b.ReportMetric(float64((runtest.CPU(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}
