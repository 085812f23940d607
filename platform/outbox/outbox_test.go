package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenant"
)

type event struct {
	Of string `json:"of"`
	N  int    `json:"n"`
}

func (event) EventType() string { return "payment.test.happened.v1" }
func (e event) Subject() string { return e.Of }

// broker takes what it is sent, and refuses what it is told to.
type broker struct {
	mu     sync.Mutex
	got    []string
	refuse func(r outbox.Record) bool
}

func (b *broker) send(_ context.Context, records []outbox.Record) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := make([]error, len(records))
	for i, r := range records {
		if b.refuse != nil && b.refuse(r) {
			errs[i] = errors.New("refused")
			continue
		}
		b.got = append(b.got, r.Subject+r.Payload[strings.LastIndex(r.Payload, ":")+1:len(r.Payload)-1])
	}
	return errs
}

func (b *broker) of(subject string) (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range b.got {
		if strings.HasPrefix(g, subject) {
			out = append(out, g[len(subject):])
		}
	}
	return out
}

func each(t *testing.T, f func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, []db.Set{outbox.Migrations()}, f)
}

func put(ctx context.Context, t *testing.T, d *db.DB, events ...event) {
	t.Helper()
	err := d.Tx(ctx, func(tx *db.Tx) error {
		for _, e := range events {
			if err := outbox.Put(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func relay(d *db.DB, b *broker) *outbox.Relay {
	return &outbox.Relay{DB: d, Send: b.send, Log: slog.New(slog.DiscardHandler)}
}

func once(t *testing.T, r *outbox.Relay) int {
	t.Helper()
	n, err := r.Once(t.Context())
	if err != nil {
		t.Errorf("Once = %v, want nil", err)
	}
	return n
}

func TestRelay_KeepsTheOrderOfEachAggregate(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		var all []event
		for n := range 120 { // more than one chunk of marks
			all = append(all, event{"a", n}, event{"b", n})
		}
		put(ctx, t, d, all...)
		var calls atomic.Int32
		b := &broker{}
		b.refuse = func(r outbox.Record) bool { return r.Subject == "a" && calls.Add(1)%3 == 0 }
		r := relay(d, b)
		for len(b.of("a")) < 120 || len(b.of("b")) < 120 {
			if n, err := r.Once(t.Context()); n == 0 && err == nil {
				break
			}
		}
		var want []string
		for n := range 120 {
			want = append(want, fmt.Sprint(n))
		}
		for _, of := range []string{"a", "b"} {
			if got := b.of(of); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("events of %s were sent as %v, want 0 to 119 in their order, each once", of, got)
			}
		}
		if n := once(t, r); n != 0 {
			t.Errorf("another Once sent %d events, want 0", n)
		}
	})
}

func TestRelay_OneBadEventStopsItsAggregateOnly(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		put(dbtest.Tenant(t, "erfurt"), t, d, event{"a", 1}, event{"bad", 1}, event{"a", 2}, event{"bad", 2}, event{"a", 3})
		put(dbtest.Tenant(t, "jena"), t, d, event{"bad2", 1}, event{"a", 4}) // the same subject at another tenant is another aggregate
		b := &broker{refuse: func(r outbox.Record) bool { return r.Subject == "bad" }}
		n, err := relay(d, b).Once(t.Context())
		if n != 5 || err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("Once = %d, %v, want 5 sent in one go, and the refusal", n, err)
		}
		if got := b.of("bad"); len(got) != 1 {
			t.Errorf("after a refusal %v were sent of it, want only 2 of the other tenant", got)
		}
	})
}

func TestRelay_BrokerAwayIsAskedOnce(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		var all []event
		for n := range 50 {
			all = append(all, event{"a", n}, event{fmt.Sprint("x", n), n})
		}
		put(dbtest.Tenant(t, "erfurt"), t, d, all...)
		calls := 0
		r := relay(d, &broker{})
		r.Send = func(_ context.Context, records []outbox.Record) []error {
			calls++
			errs := make([]error, len(records))
			for i := range errs {
				errs[i] = errors.New("away")
			}
			return errs
		}
		n, err := r.Once(t.Context())
		if n != 0 || err == nil || calls != 1 {
			t.Errorf("Once = %d, %v after %d sends, want 0, an error and 1", n, err, calls)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("the error has %d characters", len(err.Error()))
		}
	})
}

// On PostgreSQL a row with a lower number may be committed after a higher one was sent.
func TestRelay_SendsWhatWasCommittedLate(t *testing.T) {
	t.Parallel()
	d := dbtest.NewPostgres(t, outbox.Migrations())
	ctx := dbtest.Tenant(t, "erfurt")
	b := &broker{}
	r := relay(d, b)
	err := d.Tx(ctx, func(tx *db.Tx) error {
		if err := outbox.Put(ctx, tx, event{"early", 1}); err != nil {
			return err
		}
		put(ctx, t, d, event{"late", 2})
		if n := once(t, r); n != 1 {
			t.Errorf("Once = %d, want the committed one", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := once(t, r); n != 1 || fmt.Sprint(b.got) != "[late2 early1]" {
		t.Errorf("Once = %d, sent in all %v, want the late commit too", n, b.got)
	}
}

func TestRun_WokenByACommitAndEndsWithItsContext(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		sent := make(chan string, 10)
		r := relay(d, &broker{})
		fails := true
		r.Send = func(_ context.Context, records []outbox.Record) []error {
			if fails {
				fails = false
				return []error{errors.New("not the first time")}
			}
			sent <- records[0].Subject
			return make([]error, len(records))
		}
		var wg sync.WaitGroup
		wg.Go(func() { r.Run(ctx) })
		put(dbtest.Tenant(t, "erfurt"), t, d, event{"a", 1})
		if got := <-sent; got != "a" {
			t.Errorf("sent %s, want a", got)
		}
		cancel()
		wg.Wait()
	})
}

func TestResend_WhatWasSentLately(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		d = d.WithClock(func() time.Time { return now })
		ctx := dbtest.Tenant(t, "erfurt")
		b := &broker{}
		r := relay(d, b)
		put(ctx, t, d, event{"old", 1})
		once(t, r)
		now = now.Add(time.Minute)
		put(ctx, t, d, event{"new", 1})
		once(t, r)
		now = now.Add(5 * time.Second)
		woken := d.Woken(outbox.WakeName)
		if err := outbox.Resend(t.Context(), d, 20*time.Second); err != nil {
			t.Fatal(err)
		}
		if len(woken) != 1 {
			t.Error("Resend woke no relay")
		}
		if n := once(t, r); n != 1 || fmt.Sprint(b.got) != "[old1 new1 new1]" {
			t.Errorf("sent again: %d, in all %v, want the new one alone", n, b.got)
		}
	})
}

func TestPurge_SentAndSeenEachInItsTime(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		d = d.WithClock(func() time.Time { return now })
		ctx := dbtest.Tenant(t, "erfurt")
		b := &broker{refuse: func(r outbox.Record) bool { return r.Subject == "unsent" }}
		put(ctx, t, d, event{"sent", 1}, event{"unsent", 1})
		_, _ = relay(d, b).Once(t.Context())
		heard := id.New()
		first := func() (is bool) {
			t.Helper()
			if err := d.Tx(ctx, func(tx *db.Tx) (err error) { is, err = outbox.First(ctx, tx, "c", heard); return err }); err != nil {
				t.Fatal(err)
			}
			return is
		}
		counts := func() (n int) {
			t.Helper()
			if err := d.Read(ctx, func(tx *db.Tx) error { return tx.Get(ctx, &n, "SELECT count(*) FROM outbox") }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		first()
		now = now.Add(2 * time.Hour)
		if err := outbox.Purge(t.Context(), d, time.Hour, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if n := counts(); n != 1 {
			t.Errorf("events after Purge = %d, want the unsent one", n)
		}
		if first() {
			t.Error("Purge forgot too early what was handled")
		}
		now = now.Add(23 * time.Hour)
		if err := outbox.Purge(t.Context(), d, time.Hour, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if !first() || counts() != 1 {
			t.Error("Purge kept an old mark, or took an unsent event")
		}
	})
}

func TestFirst_ManyAtOnceOneIsFirst(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		heard := id.New()
		var firsts atomic.Int32
		var wg sync.WaitGroup
		wrong := errors.New("the handler failed")
		for i := range 24 {
			wg.Go(func() {
				var is bool
				err := d.Tx(ctx, func(tx *db.Tx) (err error) {
					if is, err = outbox.First(ctx, tx, "c", heard); err == nil && is && i%2 == 0 {
						return wrong
					}
					return err
				})
				if err == nil && is {
					firsts.Add(1)
				} else if err != nil && !errors.Is(err, wrong) {
					t.Errorf("First = %v", err)
				}
			})
		}
		wg.Wait()
		if n := firsts.Load(); n != 1 {
			t.Errorf("%d were first and committed, want 1", n)
		}
		for consumer, want := range map[string]bool{"c": true, "other": false} {
			var seen bool
			if err := d.Read(ctx, func(tx *db.Tx) (err error) { seen, err = outbox.Seen(ctx, tx, consumer, heard); return err }); err != nil || seen != want {
				t.Errorf("Seen by %s = %v, %v, want %v", consumer, seen, err, want)
			}
		}
	})
}

func TestPut_RefusesWhatCanNeverBeSent(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, outbox.Migrations())
	ctx, sys := dbtest.Tenant(t, "erfurt"), db.System(t.Context())
	for name, c := range map[string]struct {
		ctx context.Context
		of  string
	}{"no tenant": {sys, "a"}, "no subject": {ctx, ""}, "two lines": {ctx, "a\nb"}, "space around": {ctx, " a"}} {
		if err := d.Tx(c.ctx, func(tx *db.Tx) error { return outbox.Put(c.ctx, tx, event{c.of, 1}) }); err == nil {
			t.Errorf("%s: Put = nil, want an error", name)
		}
	}
	of, _ := tenant.From(ctx)
	if err := d.Tx(sys, func(tx *db.Tx) error {
		return tx.For(of.ID, func() error { return outbox.Put(sys, tx, event{"a", 1}) })
	}); err != nil {
		t.Errorf("Put for a tenant under System = %v, want nil", err)
	}
}

func TestDeadLetters(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
		sys := db.System(t.Context())
		letter := outbox.DeadLetter{ID: id.New(), Consumer: "c", Type: "t", Source: "s", Subject: "x", Payload: "{}", EventAt: db.NewTime(time.Now()), Error: "first"}
		bury := func(ctx context.Context, l outbox.DeadLetter) {
			t.Helper()
			if err := d.Tx(ctx, func(tx *db.Tx) error { return outbox.Bury(ctx, tx, l) }); err != nil {
				t.Fatal(err)
			}
		}
		dead := func(ctx context.Context) (errs []string) {
			t.Helper()
			var list []outbox.DeadLetter
			if err := d.Read(ctx, func(tx *db.Tx) (err error) { list, err = outbox.Dead(ctx, tx, db.Time{}, 10); return err }); err != nil {
				t.Fatal(err)
			}
			for _, l := range list {
				errs = append(errs, l.Error)
			}
			return errs
		}
		bury(erfurt, letter)
		letter.Error = "again"
		bury(erfurt, letter)
		other := letter
		other.ID, other.Error = id.New(), "Jena's"
		bury(jena, other)
		if a, b, all := dead(erfurt), dead(jena), dead(sys); fmt.Sprint(a, b) != "[again] [Jena's]" || len(all) != 2 {
			t.Errorf("dead letters of Erfurt %v, of Jena %v, of all %v", a, b, all)
		}
		exhume := func(ctx context.Context) error {
			return d.Read(ctx, func(tx *db.Tx) error { _, err := outbox.Exhume(ctx, tx, "c", letter.ID); return err })
		}
		if err := exhume(jena); !fault.Is(err, "dead_letter_not_found") {
			t.Errorf("Exhume of Erfurt's letter by Jena = %v, want dead_letter_not_found", err)
		}
		if err := exhume(sys); err != nil {
			t.Errorf("Exhume = %v, want nil", err)
		}
		if err := d.Tx(erfurt, func(tx *db.Tx) error { return outbox.Replayed(erfurt, tx, "c", letter.ID) }); err != nil {
			t.Fatal(err)
		}
		if err := exhume(sys); !fault.Is(err, "dead_letter_not_found") || len(dead(erfurt)) != 0 {
			t.Errorf("Exhume of what was replayed = %v, want dead_letter_not_found", err)
		}
		bury(erfurt, letter) // it fails once more, later
		if err := exhume(sys); err != nil {
			t.Errorf("Exhume of what failed again = %v, want nil", err)
		}
	})
}

func TestTables_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	d := dbtest.NewPostgres(t, outbox.Migrations())
	erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
	put(erfurt, t, d, event{"a", 1})
	err := d.Tx(erfurt, func(tx *db.Tx) error {
		if _, err := outbox.First(erfurt, tx, "c", id.New()); err != nil {
			return err
		}
		return outbox.Bury(erfurt, tx, outbox.DeadLetter{ID: id.New(), Consumer: "c"})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"outbox", "inbox", "dead_letters"} {
		for ctx, want := range map[context.Context]int{erfurt: 1, jena: 0} {
			var n int
			if err := d.Read(ctx, func(tx *db.Tx) error { return tx.Get(ctx, &n, "SELECT count(*) FROM "+table) }); err != nil || n != want {
				of, _ := tenant.From(ctx)
				t.Errorf("%s sees %d rows of %s, %v, want %d", of.Slug, n, table, err, want)
			}
		}
	}
}
