package payment

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
)

// teller is a desk that knows every session, and counts how often it is asked for each.
type teller struct {
	*desk
	mu    sync.Mutex
	asked map[string]int
	paid  map[string]bool
	look  func(asked int) // after every thousandth question
}

func (d *teller) Get(_ context.Context, session string) (Session, error) {
	d.mu.Lock()
	d.asked[session]++
	n := len(d.asked)
	d.mu.Unlock()
	if n%1000 == 0 {
		d.look(n)
	}
	s := Session{ID: session, State: SessionOpen, Amount: 30_70, Currency: "EUR"}
	if d.paid[session] {
		s.State = SessionPaid
	}
	return s, nil
}

// Ten thousand payers left their browsers open. Two processes sweep: each payment is asked
// about once, what was paid is found, and no more than a batch is taken at a time, so that
// memory does not grow with what is open. On PostgreSQL PAYMENT_OPEN sets how many (make test-books).
func TestSweep_TenThousandOpenTransactions(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		const processes = 2
		open := 10_000
		if d.Postgres() {
			open = int(setting(t, "PAYMENT_OPEN", 2000))
		}
		s := newShop(t, d)
		s.cfg.SweepBatch = DefaultConfig().SweepBatch
		asked := &teller{desk: s.desk, asked: map[string]int{}, paid: map[string]bool{}}
		s.gateways["desk"] = asked
		asked.look = func(n int) {
			claimed := s.count(t, `SELECT count(*) FROM attempts WHERE checks > 0`)
			if waiting := claimed - n; waiting > processes*s.cfg.SweepBatch {
				t.Errorf("%d attempts are taken and were not asked about, want at most a batch of %d in each of %d processes", waiting, s.cfg.SweepBatch, processes)
			}
		}
		template, err := newTransaction(order("r-0"), "client:efa")
		if err != nil {
			t.Fatal(err)
		}
		const atOnce = 1000
		for first := 0; first < open; first += atOnce {
			err := s.db.Tx(s.ctx, func(tx *db.Tx) error {
				for i := first; i < first+atOnce; i++ {
					tr := template
					tr.ID, tr.RequestID, tr.Kassenzeichen = id.New(), fmt.Sprint("r-", i), fmt.Sprintf("K%07d", i)
					tr.CreatedAt, tr.ExpiresAt = tx.Now(), db.NewTime(tx.Now().Add(24*time.Hour))
					if err := insertTransaction(s.ctx, tx, &tr); err != nil {
						return err
					}
					a := Attempt{
						ID: id.New(), TransactionID: tr.ID, Offer: "card", Method: CreditCard, Provider: "desk", SessionID: fmt.Sprint("cs-", i), State: attemptOpen,
						CreatedAt: tx.Now(), ExpiresAt: tr.ExpiresAt, CheckAt: tx.Now(),
					}
					asked.paid[a.SessionID] = i%100 == 0
					if err := insertAttempt(s.ctx, tx, &a); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		var wg sync.WaitGroup
		for range processes {
			wg.Go(func() {
				if err := s.Sweep(t.Context()); err != nil {
					t.Errorf("Sweep: %v", err)
				}
			})
		}
		wg.Wait()
		t.Logf("%d attempts in %s", open, time.Since(began).Round(time.Millisecond))
		for session, n := range asked.asked {
			if n != 1 {
				t.Errorf("asked %d times about %s, want once", n, session)
			}
		}
		if n := len(asked.asked); n != open {
			t.Errorf("asked about %d sessions, want %d", n, open)
		}
		if n := s.count(t, `SELECT count(*) FROM transactions WHERE state = 'PAYED'`); n != open/100 {
			t.Errorf("%d payments found, want %d", n, open/100)
		}
		if n := s.count(t, `SELECT count(*) FROM attempts WHERE state = 'open' AND check_at <= ?`, db.NewTime(s.clock())); n != 0 {
			t.Errorf("%d open attempts are still due, want none before their pause is over", n)
		}
	})
}
