package payment

import (
	"context"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// held makes a transaction whose payer authorised by card.
func (s *shop) held(t *testing.T, requestID string) Transaction {
	t.Helper()
	o := order(requestID)
	o.Delayed = true
	tr, err := s.Create(s.ctx, o)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	if _, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil {
		t.Fatalf("Start: %v", err)
	}
	s.desk.payAll()
	return tr
}

func (s *shop) wantState(t *testing.T, when string, of id.ID, want State) {
	t.Helper()
	if got, err := s.Get(s.ctx, of); err != nil || got.State != want {
		t.Errorf("%s: transaction is %s, %v; want %s", when, got.State, err, want)
	}
}

func (s *shop) wantHistory(t *testing.T, of id.ID, want string) {
	t.Helper()
	list, err := s.History(s.ctx, of)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, h := range list {
		words = append(words, h.What)
	}
	if got := strings.Join(words, " "); got != want {
		t.Errorf("history = %q, want %q", got, want)
	}
}

func TestCapture_TakesWhatIsHeldOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		tr := s.held(t, "r-1")
		p, err := s.Refresh(s.ctx, tr.ID)
		if err != nil || p.Transaction.State != Initial || !p.Attempt.held() {
			t.Fatalf("Refresh = %s, %+v, %v; want INITIAL and the money held", p.Transaction.State, p.Attempt, err)
		}
		if got, want := p.Transaction.ExpiresAt.Time, s.clock().Add(holdTime); !got.Equal(want) {
			t.Errorf("held until %s, want %s", got, want)
		}
		if got := s.balances(t)["clearing/desk"]; got != 0 {
			t.Errorf("the books say the desk has %s while the money is only held, want nothing", got)
		}
		for range 3 {
			if got, err := s.Capture(s.ctx, tr.ID); err != nil || got.State != Payed || got.Method != CreditCard {
				t.Errorf("Capture = %s by %s, %v; want PAYED by CREDITCARD", got.State, got.Method, err)
			}
		}
		if got := s.balances(t)["clearing/desk"]; got != tr.Amount {
			t.Errorf("the books say the desk has %s, want %s", got, tr.Amount)
		}
		s.wantHistory(t, tr.ID, "created started authorised capture_requested payed")
		s.consistent(t)
	})
}

// The desk takes the money and its answer is lost: what was asked for is durable, the sweep asks
// again, and the money is taken once.
func TestCapture_ALostAnswerIsRepeatedBySweep(t *testing.T) {
	t.Parallel()
	for name, done := range map[string]bool{"nothing was done": false, "all was done": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
				s := newShop(t, d)
				tr := s.held(t, "r-1")
				if _, err := s.Refresh(s.ctx, tr.ID); err != nil {
					t.Fatal(err)
				}
				for range 8 { // the sweep looks seldom by now
					s.pass(time.Hour)
					if err := s.Sweep(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				s.gateways["desk"] = deafDesk{s.desk, done}
				for range 2 {
					if got, err := s.Capture(s.ctx, tr.ID); !fault.Is(err, "provider_unavailable") {
						t.Errorf("Capture without an answer = %s, %v; want provider_unavailable", got.State, err)
					}
				}
				s.wantState(t, "the answer was lost", tr.ID, Initial)
				if _, err := s.Withdraw(s.ctx, tr.ID); !fault.Is(err, "provider_unavailable") {
					t.Errorf("Withdraw of what was asked to be taken = %v, want provider_unavailable", err)
				}
				s.gateways["desk"] = s.desk
				s.pass(time.Minute)
				if err := s.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.wantState(t, "after the sweep", tr.ID, Payed)
				s.wantHistory(t, tr.ID, "created started authorised capture_requested payed")
				s.consistent(t)
			})
		})
	}
}

// deafDesk loses the answers to Capture.
type deafDesk struct {
	*desk
	done bool // it is done all the same
}

func (d deafDesk) Capture(ctx context.Context, session string) (Session, error) {
	if d.done {
		_, _ = d.desk.Capture(ctx, session)
	}
	return Session{}, context.DeadlineExceeded
}

// A process that dies right after the capture was stored leaves it to the sweep of another.
func TestCapture_OutlivesTheProcess(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		tr := s.held(t, "r-1")
		if _, err := s.Refresh(s.ctx, tr.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.askCapture(s.ctx, tr.ID); err != nil {
			t.Fatal(err)
		}
		s.pass(holdTime) // also when nobody was there until the hold's end
		if err := s.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.wantState(t, "after the job", tr.ID, Payed)
		s.consistent(t)
	})
}

func TestCapture_Refusals(t *testing.T) {
	t.Parallel()
	s := newShop(t, dbtest.New(t, serviceSets...))
	plain, paid, open, withdrawn := s.create(t, "plain"), s.create(t, "paid"), s.held(t, "open"), s.held(t, "withdrawn")
	_, a, err := s.current(s.ctx, open.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.desk.sessions[a.SessionID].State = SessionOpen // its payer does nothing after all
	if _, err := s.Start(s.ctx, paid.ID, "card", "de"); err != nil {
		t.Fatal(err)
	}
	_, a, err = s.current(s.ctx, paid.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.desk.sessions[a.SessionID].State = SessionPaid
	if _, err := s.Refresh(s.ctx, paid.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Withdraw(s.ctx, withdrawn.ID); err != nil || got.State != Canceled {
		t.Fatalf("Withdraw of held money = %s, %v; want CANCELED", got.State, err)
	}
	for _, c := range []struct {
		name, code string
		of         id.ID
	}{
		{"nobody began", "not_capturable", plain.ID},
		{"nobody authorised", "not_capturable", open.ID},
		{"paid at once", "transaction_final", paid.ID},
		{"released", "transaction_final", withdrawn.ID},
		{"unknown", "unknown_transaction", id.New()},
	} {
		if got, err := s.Capture(s.ctx, c.of); !fault.Is(err, c.code) {
			t.Errorf("%s: Capture = %s, %v; want %s", c.name, got.State, err, c.code)
		}
	}
	if n := s.count(t, `SELECT count(*) FROM attempts WHERE capture_asked_at IS NOT NULL`); n != 0 {
		t.Errorf("%d captures were stored, want none", n)
	}
	s.consistent(t)
}

// Capture finds out what nobody has told us yet.
func TestCapture_BeforeTheNotification(t *testing.T) {
	t.Parallel()
	s := newShop(t, dbtest.New(t, serviceSets...))
	tr := s.held(t, "r-1")
	if got, err := s.Capture(s.ctx, tr.ID); err != nil || got.State != Payed {
		t.Errorf("Capture = %s, %v; want PAYED", got.State, err)
	}
}

func TestCapture_WhatNobodyDecidesIsReleased(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		tr := s.held(t, "r-1")
		// The payer authorised in the last minute, and nobody has told us.
		s.pass(tr.ExpiresAt.Sub(s.clock()))
		if err := s.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.wantState(t, "authorised in the last minute", tr.ID, Initial)
		s.pass(holdTime - time.Second)
		if err := s.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.wantState(t, "a second before the hold's end", tr.ID, Initial)
		s.pass(time.Second)
		if err := s.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.wantState(t, "five days later", tr.ID, Expired)
		s.wantHistory(t, tr.ID, "created started authorised attempt_ended expired")
		for _, session := range s.desk.sessions {
			if session.State != SessionEnded {
				t.Errorf("session is %s, want it released", session.State)
			}
		}
		s.consistent(t)
	})
}

// The hold lapses at the provider before anybody decides.
func TestCapture_OfAHoldThatLapsed(t *testing.T) {
	t.Parallel()
	s := newShop(t, dbtest.New(t, serviceSets...))
	tr := s.held(t, "r-1")
	if _, err := s.Refresh(s.ctx, tr.ID); err != nil {
		t.Fatal(err)
	}
	for _, session := range s.desk.sessions {
		session.State = SessionEnded
	}
	if got, err := s.Capture(s.ctx, tr.ID); !fault.Is(err, "not_capturable") {
		t.Errorf("Capture = %s, %v; want not_capturable", got.State, err)
	}
	if _, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil {
		t.Errorf("Start again: %v, want another try", err)
	}
	s.consistent(t)
}

// Money that is held for a claim that ended otherwise goes back by the sweep, asked for or not.
func TestCapture_AHoldWithoutAClaimIsReleased(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		t.Run("nobody asked for it", func(t *testing.T) { releasedByTransfer(t, d, false) })
		t.Run("it was asked for", func(t *testing.T) { releasedByTransfer(t, d, true) })
	})
}

func releasedByTransfer(t *testing.T, d *db.DB, asked bool) {
	t.Helper()
	s := newShop(t, d)
	tr := s.held(t, "r-1")
	if _, err := s.Refresh(s.ctx, tr.ID); err != nil {
		t.Fatal(err)
	}
	s.desk.away = true // so the transfer cannot release it
	if asked {
		if _, err := s.Capture(s.ctx, tr.ID); !fault.Is(err, "provider_unavailable") {
			t.Errorf("Capture at a provider that is away = %v, want provider_unavailable", err)
		}
	}
	err := s.PaidByTransfer(s.ctx, tr.ID, Transfer{
		Amount: tr.Amount, Reference: "camt-1",
		Wanted: func(context.Context, *db.Tx) (bool, error) { return true, nil },
		Done:   func(context.Context, *db.Tx, Transferred, State) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.desk.away = false
	s.pass(time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, session := range s.desk.sessions {
		if session.State != SessionEnded {
			t.Errorf("session is %s, want it released", session.State)
		}
	}
	if n := s.count(t, `SELECT count(*) FROM attempts WHERE state = 'open'`); n != 0 {
		t.Errorf("%d attempts are open, want none", n)
	}
	s.wantState(t, "paid by transfer", tr.ID, Payed)
	if _, err := s.Capture(s.ctx, tr.ID); !fault.Is(err, "transaction_final") {
		t.Errorf("Capture of what a transfer paid = %v, want transaction_final", err)
	}
}

func TestDelayed_OnlyCardsAreOffered(t *testing.T) {
	t.Parallel()
	s := newShop(t, dbtest.New(t, serviceSets...))
	o := order("r-1")
	o.Delayed = true
	tr, err := s.Create(s.ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(s.ctx, tr.ID, "paypal", "de"); !fault.Is(err, "unknown_offer") {
		t.Errorf("Start by a method that holds nothing = %v, want unknown_offer", err)
	}
	s.configure(t, func(raw map[string]any) {
		raw["methods"] = []map[string]any{
			{"key": "paypal", "method": "PAYPAL", "provider": "desk"},
			{"key": "transfer", "method": "OTHER", "detail": "transfer", "provider": "transfer"},
			{"key": "odd", "method": "CREDITCARD", "provider": "transfer"},
			{"key": "falls", "method": "CREDITCARD", "provider": "desk", "fallback": "transfer"},
			{"key": "large", "method": "CREDITCARD", "provider": "desk", "min": 500},
		}
	})
	o.RequestID = "r-2"
	if _, err := s.Create(s.ctx, o); !fault.Is(err, "no_method_for_amount") {
		t.Errorf("Create without a method that holds = %v, want no_method_for_amount", err)
	}
	o.Delayed = false
	if _, err := s.Create(s.ctx, o); err != nil {
		t.Errorf("Create of the same, paid at once: %v", err)
	}
	if _, err := (&Transaction{State: Initial, Amount: 1, Currency: Currency}).settle(&Attempt{State: attemptOpen},
		Session{State: SessionAuthorised, Amount: 1, Currency: Currency}, db.NewTime(november), 1); err == nil {
		t.Error("settle of money that is held though it should have been taken = nil, want an error")
	}
}
