package payment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
)

// fuse is a context that ends after it was looked at so often: as if the process had died there.
type fuse struct {
	context.Context
	left atomic.Int64
}

func (f *fuse) Err() error {
	if f.left.Add(-1) < 0 {
		return context.Canceled
	}
	return f.Context.Err()
}

// mischief is a desk that loses answers after it has done what was asked.
type mischief struct {
	*desk
	mu  sync.Mutex
	rng *rand.Rand
}

func (m *mischief) lost() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rng.IntN(20) == 0
}

func (m *mischief) Create(ctx context.Context, c Checkout) (Session, error) {
	s, err := m.desk.Create(ctx, c)
	if m.lost() {
		return Session{}, context.DeadlineExceeded
	}
	return s, err
}

func (m *mischief) End(ctx context.Context, session string) (Session, error) {
	s, err := m.desk.End(ctx, session)
	if m.lost() {
		return Session{}, context.DeadlineExceeded
	}
	return s, err
}

func (m *mischief) Capture(ctx context.Context, session string) (Session, error) {
	s, err := m.desk.Capture(ctx, session)
	if m.lost() {
		return Session{}, context.DeadlineExceeded
	}
	return s, err
}

func (m *mischief) Refund(ctx context.Context, r RefundOrder) (RefundResult, error) {
	result, err := m.desk.Refund(ctx, r)
	if m.lost() {
		return RefundResult{}, context.DeadlineExceeded
	}
	return result, err
}

// Whatever happens, in whatever order, with processes that die and answers that are lost: what
// is booked is what is stored, and what the books say the provider has is what it has.
//
// PAYMENT_OPERATIONS sets how many each of four workers does (make test-books), PAYMENT_SEED what.
func TestRandom_TheBooksAreRight(t *testing.T) {
	t.Parallel()
	const workers = 4
	operations, seed := int(setting(t, "PAYMENT_OPERATIONS", 500)), setting(t, "PAYMENT_SEED", 1)
	s := newShop(t, dbtest.New(t, serviceSets...))
	s.configure(t, func(raw map[string]any) {
		raw["refunds"], raw["max_declined"] = map[string]any{"four_eyes_above": 10}, 2
	})
	provider := &mischief{desk: s.desk, rng: rand.New(rand.NewPCG(seed, 99))}
	s.gateways["desk"] = provider
	var (
		mu  sync.Mutex
		all []id.ID
		wg  sync.WaitGroup
	)
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := range operations {
				ctx := s.ctx
				if rng.IntN(10) == 0 {
					dying := &fuse{Context: ctx}
					dying.left.Store(rng.Int64N(12))
					ctx = dying
				}
				mu.Lock()
				var of id.ID
				if len(all) > 0 {
					of = all[len(all)-1-rng.IntN(min(len(all), 20))]
				}
				mu.Unlock()
				if of == "" || rng.IntN(6) == 0 {
					o := order(fmt.Sprintf("r-%d-%d", w, i))
					o.Delayed = rng.IntN(4) == 0
					if tr, err := s.Create(ctx, o); err == nil {
						mu.Lock()
						all = append(all, tr.ID)
						mu.Unlock()
					}
					continue
				}
				s.something(ctx, rng, of)
			}
		})
	}
	wg.Wait()
	// All comes to rest: the jobs do what is left, over and over, while time passes.
	for range 8 {
		s.pass(3 * 24 * time.Hour)
		for _, job := range []func(context.Context) error{s.Sweep, s.Expire, s.SweepRefunds} {
			_ = job(t.Context()) // an answer may be lost; the next round asks again
		}
	}
	if n := s.count(t, `SELECT (SELECT count(*) FROM transactions WHERE state = 'INITIAL') + (SELECT count(*) FROM attempts WHERE state = 'open')
		+ (SELECT count(*) FROM refunds WHERE state = 'SUBMITTED')`); n != 0 {
		t.Errorf("%d transactions, attempts and refunds do not come to an end", n)
	}
	for _, state := range []string{"PAYED", "CANCELED", "FAILED", "EXPIRED"} {
		if s.count(t, `SELECT count(*) FROM transactions WHERE state = ?`, state) == 0 {
			t.Errorf("no transaction came to %s: the test does too little", state)
		}
	}
	for _, state := range []attemptState{attemptPaid, attemptEnded} {
		n := s.count(t, `SELECT count(*) FROM attempts WHERE authorised_at IS NOT NULL AND state = ?`, state)
		t.Logf("%d attempts were authorised and came to %s", n, state)
		if n == 0 {
			t.Errorf("no attempt was authorised and came to %s: the test does too little", state)
		}
	}
	s.indexed(t)
	s.consistent(t)
	var has money.Amount
	for _, session := range s.desk.sessions {
		switch session.State {
		case SessionPaid:
			has += session.Amount
		case SessionAuthorised:
			t.Errorf("the desk holds the money of session %s for ever", session.ID)
		default:
		}
	}
	if got := s.balances(t)["clearing/desk"]; got != has-s.desk.gaveBack {
		t.Errorf("the books say the desk has %s, it took %s and gave %s back", got, has, s.desk.gaveBack)
	}
}

// indexed lets the checks of consistent find what belongs to a transaction without reading all,
// for which the service itself always names the tenant.
func (s *shop) indexed(t *testing.T) {
	t.Helper()
	sys := db.System(t.Context())
	for table, column := range map[string]string{
		"outbox": "subject", "ledger": "transaction_id", "attempts": "transaction_id", "history": "transaction_id", "refunds": "transaction_id",
	} {
		if err := s.db.Tx(sys, func(tx *db.Tx) error {
			_, err := tx.Exec(sys, `CREATE INDEX checked_`+table+` ON `+table+` (`+column+`)`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Logf("%s=%d", name, n)
	return n
}

// something happens to a transaction.
func (s *shop) something(ctx context.Context, rng *rand.Rand, of id.ID) {
	switch rng.IntN(13) {
	case 0, 1, 2:
		_, _ = s.Start(ctx, of, []string{"card", "paypal"}[rng.IntN(2)], "de")
	case 3, 4: // the payer does something at the desk
		s.desk.one(rng, SessionPaid)
	case 5:
		s.desk.one(rng, SessionDeclined)
	case 6, 7:
		_, _ = s.Refresh(ctx, of)
	case 8:
		if rng.IntN(2) == 0 {
			_, _ = s.Cancel(ctx, of)
		} else {
			_, _ = s.Withdraw(ctx, of)
		}
	case 9:
		if held := s.someHeld(); held != "" {
			of = held
		}
		if rng.IntN(3) == 0 {
			_, _ = s.Withdraw(ctx, of)
		} else {
			_, _ = s.Capture(ctx, of)
		}
	case 10:
		_, _ = s.RequestRefund(audit.WithActor(ctx, "person:clerk"), of, RefundWanted{Amount: money.Amount(1 + rng.IntN(2000))})
	case 11:
		list, err := s.Refunds(s.ctx, of)
		if err == nil && len(list) > 0 {
			r := list[rng.IntN(len(list))]
			_, _ = s.DecideRefund(audit.WithActor(ctx, "person:boss"), of, r.ID, rng.IntN(3) > 0)
		}
	default:
		_ = s.Sweep(ctx)
		s.pass(time.Minute)
	}
}

// someHeld is a transaction whose money is held, if there is one.
func (s *shop) someHeld() (of id.ID) {
	_ = s.db.Read(s.ctx, func(tx *db.Tx) error {
		return tx.Get(s.ctx, &of, `SELECT transaction_id FROM attempts WHERE tenant_id = ? AND state = 'open' AND authorised_at IS NOT NULL LIMIT 1`, tx.Tenant())
	})
	return of
}

// one lets a payer come to an end whose session is open.
func (d *desk) one(rng *rand.Rand, state SessionState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sessions { // in no order
		if s.State == SessionOpen && rng.IntN(3) == 0 {
			if s.State = state; state == SessionPaid {
				d.pay(s)
			}
			return
		}
	}
}
