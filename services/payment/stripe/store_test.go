package stripe

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/tenantdir"
)

var sets = []db.Set{tenantdir.Migrations(), Migrations()}

func aHint(name string) hint {
	return hint{ID: "evt_" + name, Type: "refund.updated", About: aboutRefund, Subject: id.New().String(), Account: "acct_1"}
}

func add(t *testing.T, ctx context.Context, d *db.DB, h hint) (fresh bool) {
	t.Helper()
	if err := d.Tx(ctx, func(tx *db.Tx) (err error) {
		fresh, err = insert(ctx, tx, h)
		return err
	}); err != nil {
		t.Fatalf("insert: %v", err)
	}
	return fresh
}

// claimed lists the events that are due, which are not due at once again.
func claimed(t *testing.T, d *db.DB) (list []hint) {
	t.Helper()
	sys := db.System(t.Context())
	if err := d.Tx(sys, func(tx *db.Tx) (err error) {
		list, err = due(sys, tx, 10)
		return err
	}); err != nil {
		t.Fatalf("due: %v", err)
	}
	return list
}

func TestStore_EventsAreKeptOnceAndForgotten(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		var passed atomic.Int64
		start := time.Now()
		d = d.WithClock(func() time.Time { return start.Add(time.Duration(passed.Load())) })
		ctx, sys := dbtest.Tenant(t, "erfurt"), db.System(t.Context())
		h := aHint("1")
		if !add(t, ctx, d, h) || add(t, ctx, d, h) {
			t.Error("insert twice: want it to be new the first time and not the second")
		}
		if got := claimed(t, d); len(got) != 0 {
			t.Errorf("due at once = %+v, want nothing: who stored it looks first", got)
		}
		passed.Store(int64(16 * time.Second))
		got := claimed(t, d)
		if len(got) != 1 || got[0].ID != h.ID || got[0].Subject != h.Subject || got[0].About != aboutRefund || got[0].Account != "acct_1" {
			t.Fatalf("due = %+v, want %+v", got, h)
		}
		if again := claimed(t, d); len(again) != 0 {
			t.Errorf("due again at once = %+v, want nothing", again)
		}
		passed.Store(int64(time.Hour))
		got = claimed(t, d)
		if len(got) != 1 || got[0].Tries != 1 {
			t.Fatalf("due an hour later = %+v, want one after one try", got)
		}
		if err := d.Tx(sys, func(tx *db.Tx) error { return done(sys, tx, got[0]) }); err != nil {
			t.Fatal(err)
		}
		passed.Store(int64(5 * time.Hour))
		if got := claimed(t, d); len(got) != 0 {
			t.Errorf("due after it was done = %+v, want nothing", got)
		}
		v := &events{db: d}
		for _, c := range []struct {
			after time.Duration
			fresh bool
		}{{keep - time.Hour, false}, {keep + time.Hour, true}} {
			passed.Store(int64(c.after))
			if err := v.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			if fresh := add(t, ctx, d, h); fresh != c.fresh {
				t.Errorf("insert %s later: new = %t, want %t", c.after, fresh, c.fresh)
			}
		}
	})
}

func TestStore_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
		add(t, erfurt, d, aHint("1"))
		err := d.Tx(jena, func(tx *db.Tx) error {
			var n int
			if err := tx.Get(jena, &n, `SELECT count(*) FROM stripe_events WHERE tenant_id = ?`, tx.Tenant()); err != nil || n != 0 {
				t.Errorf("events of another tenant = %d, %v; want 0", n, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if d.Postgres() { // without a WHERE clause too
			err = d.Read(jena, func(tx *db.Tx) error {
				var n int
				if err := tx.Get(jena, &n, `SELECT count(*) FROM stripe_events`); err != nil || n != 0 {
					t.Errorf("all events that another tenant sees = %d, %v; want 0", n, err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if !add(t, jena, d, aHint("1")) {
			t.Error("insert of the same id by another tenant: not new, want new")
		}
	})
}

// patient are payments that cannot be read at first.
type patient struct{ fails, refunds int }

func (p *patient) Notified(context.Context, id.ID, id.ID) error { return errors.New("not asked for") }

func (p *patient) RefundNotified(context.Context, id.ID, id.ID) error {
	if p.fails--; p.fails >= 0 {
		return errors.New("away")
	}
	p.refunds++
	return nil
}

func TestWork_LooksUntilItWorksAndNotForEver(t *testing.T) {
	t.Parallel()
	for fails, want := range map[int]int{0: 1, 3: 1, 1000: 0} {
		var passed atomic.Int64
		start := time.Now()
		d := dbtest.New(t, sets...).WithClock(func() time.Time { return start.Add(time.Duration(passed.Load())) })
		p := &patient{fails: fails}
		v := &events{db: d, payments: p, log: slog.New(slog.DiscardHandler)}
		add(t, dbtest.Tenant(t, "erfurt"), d, aHint("1"))
		for range 40 {
			passed.Add(int64(time.Hour))
			if err := v.Work(t.Context()); err != nil {
				t.Fatalf("Work: %v", err)
			}
		}
		if p.refunds != want {
			t.Errorf("after %d failed looks the refund was read %d times, want %d", fails, p.refunds, want)
		}
		if left := fails - p.fails; fails == 1000 && left > maxTries+1 {
			t.Errorf("it was tried %d times, want at most %d", left, maxTries+1)
		}
	}
}

// The tables can be taken away and made again, with those that a later migration dropped.
func TestMigrations_DownAndUp(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		if err := errors.Join(d.MigrateDown(t.Context(), Migrations()), d.Migrate(t.Context(), Migrations())); err != nil {
			t.Errorf("down and up again: %v", err)
		}
	})
}
