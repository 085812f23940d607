package sandbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment"
	"basisdienste/services/payment/paymenttest"
)

// world is the sandbox behind a line that can fail, with a clock that the test moves.
type world struct {
	*line
	t   *testing.T
	ctx context.Context
	tid id.ID

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T, d *db.DB) *world {
	t.Helper()
	w := &world{t: t, ctx: dbtest.Tenant(t, "erfurt"), now: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	w.line = &line{Provider: New(d.WithClock(w.Now), "https://sandbox.example", slog.New(slog.NewTextHandler(t.Output(), nil)))}
	err := w.db.Read(w.ctx, func(tx *db.Tx) error { w.tid = tx.Tenant(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) Pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) Gateway() payment.Gateway { return w.line }
func (w *world) Context() context.Context { return w.ctx }
func (w *world) Tenant() id.ID            { return w.tid }

// press presses a button of the session's page.
func (w *world) press(session, button string) error {
	_, changed, err := w.Provider.act(w.ctx, session, outcomes[button])
	if err == nil && !changed {
		err = errors.New("the page offers nothing to pay")
	}
	return err
}

func (w *world) Pay(s string) error      { return w.press(s, "pay") }
func (w *world) Decline(s string) error  { return w.press(s, "decline") }
func (w *world) PayShaky(s string) error { return w.press(s, "shaky") }

// PayLate keeps the money on its way until Settle, however much time passes.
func (w *world) PayLate(s string, arrives bool) error {
	button := "late"
	if !arrives {
		button = "late-decline"
	}
	if err := w.press(s, button); err != nil {
		return err
	}
	return w.exec(`UPDATE sandbox_sessions SET settles_at = ? WHERE id = ?`, db.NewTime(w.Now().AddDate(1, 0, 0)), s)
}

func (w *world) Settle() {
	w.t.Helper()
	if err := w.exec(`UPDATE sandbox_sessions SET settles_at = ? WHERE settles_at IS NOT NULL`, db.NewTime(w.Now())); err != nil {
		w.t.Error(err)
	}
	w.Pass(settleAfter)
	if err := w.Work(w.ctx); err != nil {
		w.t.Error(err)
	}
}

func (w *world) exec(query string, args ...any) error {
	return w.tx(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
}

func (w *world) sum(query string) (n int) {
	w.t.Helper()
	err := w.tx(w.ctx, func(ctx context.Context, tx *db.Tx) error { return tx.Get(ctx, &n, query) })
	if err != nil {
		w.t.Error(err)
	}
	return n
}

func (w *world) Sessions() int { return w.sum(`SELECT count(*) FROM sandbox_sessions`) }

func (w *world) Taken() money.Amount {
	return money.Amount(w.sum(`SELECT CAST(COALESCE(sum(amount), 0) AS BIGINT) FROM sandbox_sessions WHERE state = 'paid'`))
}

func (w *world) Refunded() money.Amount {
	return money.Amount(w.sum(`SELECT CAST(COALESCE(sum(amount), 0) AS BIGINT) FROM sandbox_refunds WHERE state = 'SUCCEEDED'`))
}

// line leads to the provider, unless it fails.
type line struct {
	*Provider
	mu   sync.Mutex
	lose bool
	away int
}

func (l *line) LoseAnswer() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose = true
}

func (l *line) Away(calls int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = calls
}

var errLine = errors.New("the line is down")

// over calls the provider; change says that the call changes something there.
func over[T any](l *line, change bool, call func() (T, error)) (T, error) {
	l.mu.Lock()
	away, lost := l.away > 0, change && l.lose
	switch {
	case away:
		l.away--
	case lost:
		l.lose = false
	}
	l.mu.Unlock()
	var none T
	if away {
		return none, errLine
	}
	got, err := call()
	if lost {
		return none, errLine
	}
	return got, err
}

func (l *line) Create(ctx context.Context, c payment.Checkout) (payment.Session, error) {
	return over(l, true, func() (payment.Session, error) { return l.Provider.Create(ctx, c) })
}

func (l *line) Get(ctx context.Context, session string) (payment.Session, error) {
	return over(l, false, func() (payment.Session, error) { return l.Provider.Get(ctx, session) })
}

func (l *line) End(ctx context.Context, session string) (payment.Session, error) {
	return over(l, true, func() (payment.Session, error) { return l.Provider.End(ctx, session) })
}

func (l *line) Capture(ctx context.Context, session string) (payment.Session, error) {
	return over(l, true, func() (payment.Session, error) { return l.Provider.Capture(ctx, session) })
}

func (l *line) Refund(ctx context.Context, r payment.RefundOrder) (payment.RefundResult, error) {
	return over(l, true, func() (payment.RefundResult, error) { return l.Provider.Refund(ctx, r) })
}

func (l *line) GetRefund(ctx context.Context, session, refund string) (payment.RefundResult, error) {
	return over(l, false, func() (payment.RefundResult, error) { return l.Provider.GetRefund(ctx, session, refund) })
}

func TestProvider_KeepsThePromisesOfAProvider(t *testing.T) {
	t.Parallel()
	paymenttest.Run(t, func(t *testing.T) paymenttest.World { return newWorld(t, dbtest.New(t, Migrations())) })
}

// What the provider tells of refunds it tells until that is taken.
func TestProvider_TellsOfRefundsUntilItIsHeard(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, []db.Set{Migrations()}, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		told, deaf := map[id.ID]int{}, true
		w.refunded = func(_ context.Context, tenant, refund id.ID) error {
			if told[refund]++; deaf || tenant != w.tid {
				return errLine
			}
			return nil
		}
		s, err := w.Provider.Create(w.ctx, payment.Checkout{
			Attempt: id.New(), Transaction: id.New(), Tenant: w.tid, Amount: 30_70, Currency: payment.Currency, Method: payment.CreditCard,
			ExpiresAt: w.Now().Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.PayShaky(s.ID); err != nil {
			t.Fatal(err)
		}
		r := payment.RefundOrder{Refund: id.New(), Session: s.ID, Tenant: w.tid, Amount: 30_70}
		made, err := w.Provider.Refund(w.ctx, r)
		if err != nil || made.State != payment.RefundSucceeded {
			t.Fatalf("Refund = %+v, %v; want it to have succeeded", made, err)
		}
		for _, c := range []struct {
			when string
			pass time.Duration
			deaf bool
			told int
		}{
			{"before", 0, false, 0}, {"nobody hears", settleAfter, true, 1}, {"heard", 0, false, 2}, {"afterwards", time.Hour, false, 2},
		} {
			w.Pass(c.pass)
			deaf = c.deaf
			if err := w.Work(w.ctx); err != nil {
				t.Fatal(err)
			}
			if told[r.Refund] != c.told {
				t.Errorf("%s: told %d times, want %d", c.when, told[r.Refund], c.told)
			}
		}
		if got, err := w.Provider.GetRefund(w.ctx, s.ID, made.ID); err != nil || got.State != payment.RefundFailed || got.Reason != "account_closed" {
			t.Errorf("GetRefund = %+v, %v; want it failed", got, err)
		}
		r.Refund = id.New()
		if got, err := w.Provider.Refund(w.ctx, r); err != nil || got.State != payment.RefundSucceeded {
			t.Errorf("Refund of what came back = %+v, %v; want it to have succeeded", got, err)
		}
	})
}

func TestMigrations_DownAndUp(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, []db.Set{Migrations()}, func(t *testing.T, d *db.DB) {
		if err := errors.Join(d.MigrateDown(t.Context(), Migrations()), d.Migrate(t.Context(), Migrations())); err != nil {
			t.Errorf("down and up again: %v", err)
		}
	})
}
