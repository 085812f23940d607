package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/outbox"
)

// clock is a time that passes when the test says so.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func (c *clock) read() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) pass(by time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(by) }

// Each of two processes sends what it committed itself; what one left behind that is gone, the
// other takes over after a while.
func TestRelay_ProcessesShareADatabase(t *testing.T) {
	t.Parallel()
	time := newClock()
	d := dbtest.NewPostgres(t, outbox.Migrations()).WithClock(time.read)
	ctx := dbtest.Tenant(t, "erfurt")
	b := &broker{}
	one, two := d.WithProcess("one"), d.WithProcess("two")
	first, second := relay(one, b), relay(two, b)
	first.Clock, second.Clock = time.read, time.read

	put(ctx, t, one, event{"a", 1})
	if n := once(t, second); n != 0 {
		t.Errorf("the second process sent %d events of the first, want 0", n)
	}
	put(ctx, t, two, event{"b", 1})
	if n, m := once(t, second), once(t, first); n != 1 || m != 1 || fmt.Sprint(b.got) != "[b1 a1]" {
		t.Errorf("they sent %d and %d: %v, want each its own", n, m, b.got)
	}
	put(ctx, t, one, event{"c", 1})
	time.pass(19e9)
	if n := once(t, second); n != 0 {
		t.Errorf("after 19 s the second sent %d events of the first, want 0", n)
	}
	time.pass(2e9)
	if n := once(t, second); n != 1 {
		t.Errorf("after 21 s the second sent %d events of the first, want 1", n)
	}

	once(t, first) // it is back
	for i := range 40 {
		put(ctx, t, one, event{fmt.Sprint("many", i, "-"), i})
	}
	time.pass(60e9) // and dies; several take over at once
	before := len(b.got)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { _, _ = relay(d.WithProcess(fmt.Sprint("other", i)), b).Once(t.Context()) })
	}
	wg.Wait()
	got := slices.Clone(b.got[before:])
	slices.Sort(got)
	if all := len(got); all != 40 || len(slices.Compact(got)) != 40 {
		t.Errorf("four others sent %d events, %d of them different, want each of 40 once", all, len(slices.Compact(got)))
	}
}

// An event waits for the one of its aggregate that another process has committed before it,
// and names it.
func TestRelay_KeepsTheOrderOverProcesses(t *testing.T) {
	t.Parallel()
	d := dbtest.NewPostgres(t, outbox.Migrations())
	ctx := dbtest.Tenant(t, "erfurt")
	var sent []outbox.Record
	b := &broker{refuse: func(r outbox.Record) bool { sent = append(sent, r); return false }}
	one, two := d.WithProcess("one"), d.WithProcess("two")
	put(ctx, t, one, event{"a", 1})
	put(ctx, t, two, event{"a", 2}, event{"b", 1}, event{"a", 3})
	put(dbtest.Tenant(t, "jena"), t, two, event{"a", 9})
	for _, want := range []struct {
		of  *db.DB
		got string
	}{{two, "b1 a9"}, {one, "a1"}, {two, "a2 a3"}} {
		b.got = nil
		for range 3 {
			once(t, relay(want.of, b))
		}
		if got := strings.Join(b.got, " "); got != want.got {
			t.Errorf("%s sent %q, want %q", want.of.Process(), got, want.got)
		}
	}
	before := map[string]string{}
	for _, r := range sent {
		if key := r.Tenant.String() + r.Subject; string(r.Prior) != before[key] {
			t.Errorf("%s %s names %q as the one before, want %q", r.Subject, r.Payload, r.Prior, before[key])
		}
		before[r.Tenant.String()+r.Subject] = r.ID.String()
	}
}

// A tenant with a great backlog goes at its pace, and others at once.
func TestRelay_BacklogOfOneTenantStopsNobodyElse(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		time := newClock()
		var flood []event
		for i := range 3000 {
			flood = append(flood, event{fmt.Sprint("flood", i, "-"), i})
		}
		put(dbtest.Tenant(t, "erfurt"), t, d, flood...)
		var others []string
		for i := range 150 { // more than a batch has
			name := fmt.Sprint("tenant", i)
			others = append(others, name)
			put(dbtest.Tenant(t, name), t, d, event{name + "-", 1})
		}
		b := &broker{}
		r := relay(d, b)
		r.Clock, r.PerTenant = time.read, 500
		for range 4 {
			once(t, r)
		}
		for _, name := range others {
			if len(b.of(name+"-")) != 1 {
				t.Fatalf("after 4 batches %s's event is not sent; %d events are", name, len(b.got))
			}
		}
		for range 20 {
			once(t, r)
		}
		if n := len(b.got) - len(others); n != 125 {
			t.Errorf("%d events of the flood were sent without time passing, want a quarter of a second's", n)
		}
		for range 23 { // quarters of a second
			time.pass(1e9 / 4)
			for range 10 {
				once(t, r)
			}
		}
		if n := len(b.got) - len(others); n != 3000 {
			t.Errorf("%d events of the flood were sent in 6 s, want all 3000", n)
		}
	})
}

// Whoever wants more goes slower while those who hear the events do not keep up, and faster again
// when they do; others do not notice.
func TestRelay_KeepsThePaceOfTheSlowestConsumer(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		time, waiting := newClock(), 0
		var flood []event
		for i := range 6000 {
			flood = append(flood, event{fmt.Sprint("flood", i, "-"), i})
		}
		put(dbtest.Tenant(t, "erfurt"), t, d, flood...)
		b := &broker{}
		r := relay(d, b)
		r.Clock, r.PerTenant = time.read, 800
		r.Waiting = func(context.Context) (int, error) {
			if waiting < 0 {
				return 0, errors.New("no answer")
			}
			return waiting, nil
		}
		second := func() int {
			before := len(b.got)
			for range 4 {
				time.pass(1e9 / 4)
				for range 5 {
					once(t, r)
				}
			}
			return len(b.got) - before
		}
		second()
		if n := second(); n != 800 {
			t.Errorf("%d events in a second while nothing waits, want 800", n)
		}
		waiting = 1000
		second()
		if n := second(); n != 100 {
			t.Errorf("%d events in a second while 1000 wait for a consumer, want 100", n)
		}
		put(dbtest.Tenant(t, "jena"), t, d, event{"jena-", 1})
		if once(t, r); len(b.of("jena-")) != 1 {
			t.Errorf("the event of another tenant waits: sent %v", b.of("jena-"))
		}
		waiting = -1
		if n := second(); n != 100 {
			t.Errorf("%d events in a second while the broker does not say what waits, want 100 as before", n)
		}
		waiting = 10
		time.pass(11e9) // it was not asked for a while after that
		for range 3 {
			second()
		}
		if n := second(); n != 800 {
			t.Errorf("%d events in a second, three seconds after the consumers keep up again, want 800", n)
		}
	})
}
