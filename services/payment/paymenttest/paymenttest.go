// Package paymenttest is what the service relies on in a payment.Gateway, as tests that every
// provider passes.
package paymenttest

import (
	"context"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment"
)

// World is a provider with a payer in front of its pages and a bank behind it.
type World interface {
	Gateway() payment.Gateway
	// Context acts for the tenant.
	Context() context.Context
	Tenant() id.ID
	Now() time.Time
	Pass(d time.Duration)

	// Pay lets the payer of an open session pay, or authorise if the money is to be held; Decline lets the bank refuse; PayLate sends money
	// that is on its way until Settle, and then arrives or not; PayShaky pays by a means to which a
	// refund comes back after it succeeded. An error means that the page offers nothing to pay.
	Pay(session string) error
	Decline(session string) error
	PayLate(session string, arrives bool) error
	PayShaky(session string) error
	Settle()

	// LoseAnswer lets the next change take effect without its answer; Away lets the next calls
	// fail without effect.
	LoseAnswer()
	Away(calls int)

	// Sessions is how many the provider has made, Taken what it took from payers for good,
	// Refunded what went back by it.
	Sessions() int
	Taken() money.Amount
	Refunded() money.Amount
}

const amount = money.Amount(30_70)

// suite is one test's world.
type suite struct {
	*testing.T
	World
}

// Run runs the suite, each test in a world of its own.
func Run(t *testing.T, world func(t *testing.T) World) {
	for name, test := range map[string]func(s suite){
		"create is idempotent":                  createTwice,
		"many create at once":                   createAtOnce,
		"create after a lost answer":            createAfterLostAnswer,
		"create in time of need":                createWhileAway,
		"create after the attempt's time":       createTooLate,
		"a lost session is found after a day":   foundAfterADay,
		"paid":                                  paid,
		"declined":                              declined,
		"money on its way arrives":              lateArrives,
		"money on its way does not arrive":      lateFails,
		"ended sessions take no money":          end,
		"end of a paid session":                 endPaid,
		"refund in parts":                       refundParts,
		"refund of more than there is":          refundTooMuch,
		"refund after a lost answer":            refundAfterLostAnswer,
		"refund asked for again after a day":    refundNextDay,
		"refund that fails after it succeeded":  refundComesBack,
		"refund of what nobody paid":            refundUnpaid,
		"refund of money that came by a debit":  refundDebit,
		"money that is held and captured":       holdAndCapture,
		"money that is held and released":       holdAndRelease,
		"capture after a lost answer":           captureAfterLostAnswer,
		"capture in time of need":               captureWhileAway,
		"capture and release at once":           captureAndRelease,
		"capture of what is not held":           captureNothing,
		"an unknown session is an error":        unknown,
		"an unknown refund is an error as well": unknownRefund,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(suite{t, world(t)})
		})
	}
}

func (s suite) checkout() payment.Checkout {
	return payment.Checkout{
		Attempt: id.New(), Transaction: id.New(), Tenant: s.Tenant(), Amount: amount, Currency: payment.Currency, Method: payment.CreditCard,
		Payee: "Erfurt", Reference: "K0001", Text: "Bewohnerparkausweis", Language: "de", ReturnURL: "https://pay.example/t/return",
		ServiceURL: "https://dienst.example/", ExpiresAt: s.Now().Add(time.Hour),
	}
}

func (s suite) debit() payment.Checkout {
	c := s.checkout()
	c.Method, c.Detail = payment.Other, "SEPA"
	return c
}

func (s suite) create(c payment.Checkout) payment.Session {
	s.Helper()
	got, err := s.Gateway().Create(s.Context(), c)
	if err != nil {
		s.Fatalf("Create: %v", err)
	}
	return got
}

func (s suite) get(session string) payment.Session {
	s.Helper()
	got, err := s.Gateway().Get(s.Context(), session)
	if err != nil {
		s.Fatalf("Get: %v", err)
	}
	return got
}

func (s suite) must(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

func (s suite) want(what string, got payment.Session, want payment.SessionState) {
	s.Helper()
	if got.State != want {
		s.Errorf("%s: session is %q, want %q", what, got.State, want)
	}
	if (want == payment.SessionPaid || want == payment.SessionAuthorised) && (got.Amount != amount || got.Currency != payment.Currency) {
		s.Errorf("%s: %s is %s %s, want %s %s", what, want, got.Amount, got.Currency, amount, payment.Currency)
	}
}

func (s suite) wantSessions(want int) {
	s.Helper()
	if n := s.Sessions(); n != want {
		s.Errorf("the provider made %d sessions, want %d", n, want)
	}
}

func createTwice(s suite) {
	c := s.checkout()
	first := s.create(c)
	s.want("Create", first, payment.SessionOpen)
	if first.URL == "" {
		s.Error("Create gave no address of a pay page")
	}
	again := c
	again.Language = "en" // who looks is not who began
	for _, c := range []payment.Checkout{c, again} {
		if got := s.create(c); got.ID != first.ID || got.URL != first.URL {
			s.Errorf("Create again = %s %s, want %s %s", got.ID, got.URL, first.ID, first.URL)
		}
	}
	s.must("pay", s.Pay(first.ID))
	s.want("Create after it was paid", s.create(c), payment.SessionPaid)
	s.wantSessions(1)
}

func createAtOnce(s suite) {
	c := s.checkout()
	var mu sync.Mutex
	ids := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := s.Gateway().Create(s.Context(), c)
			if err != nil { // passing ones are allowed
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[got.ID] = true
		})
	}
	wg.Wait()
	if len(ids) != 1 {
		s.Errorf("Create at once gave the sessions %v, want one", ids)
	}
	s.wantSessions(1)
}

func createAfterLostAnswer(s suite) {
	c := s.checkout()
	s.LoseAnswer()
	if got, err := s.Gateway().Create(s.Context(), c); err == nil {
		s.Errorf("Create without an answer = %+v, want an error", got)
	}
	c.Language = "en"
	s.want("Create again", s.create(c), payment.SessionOpen)
	s.wantSessions(1)
}

func createWhileAway(s suite) {
	c := s.checkout()
	s.Away(1)
	if got, err := s.Gateway().Create(s.Context(), c); err == nil {
		s.Errorf("Create at a provider that is away = %+v, want an error", got)
	}
	session := s.create(c)
	s.must("pay", s.Pay(session.ID))
	s.Away(2)
	if got, err := s.Gateway().Get(s.Context(), session.ID); err == nil {
		s.Errorf("Get at a provider that is away = %+v, want an error", got)
	}
	if got, err := s.Gateway().End(s.Context(), session.ID); err == nil {
		s.Errorf("End at a provider that is away = %+v, want an error", got)
	}
	s.want("Get", s.get(session.ID), payment.SessionPaid)
}

func createTooLate(s suite) {
	c := s.checkout()
	s.Pass(2 * time.Hour)
	session := s.create(c)
	s.want("Create for an attempt that is over", session, payment.SessionEnded)
	s.want("Get", s.get(session.ID), payment.SessionEnded)
	got, err := s.Gateway().End(s.Context(), session.ID)
	s.must("End", err)
	s.want("End", got, payment.SessionEnded)
	s.wantSessions(0)
}

func foundAfterADay(s suite) {
	c := s.debit()
	s.LoseAnswer()
	if _, err := s.Gateway().Create(s.Context(), c); err == nil {
		s.Error("Create without an answer succeeded, want an error")
	}
	// The payer has the page all the same, by an answer that came to another.
	s.must("pay", s.PayLate(s.create(c).ID, true))
	s.Pass(3 * 24 * time.Hour)
	s.want("Create after three days", s.create(c), payment.SessionProcessing)
	s.Settle()
	s.want("Create when the money arrived", s.create(c), payment.SessionPaid)
	s.wantSessions(1)
}

func paid(s suite) {
	session := s.create(s.checkout())
	s.must("pay", s.Pay(session.ID))
	got := s.get(session.ID)
	s.want("Get", got, payment.SessionPaid)
	if got.Detail == "" {
		s.Error("Get does not say with what was paid")
	}
	if err := s.Pay(session.ID); err == nil {
		s.Error("a paid session could be paid again")
	}
}

func declined(s suite) {
	session := s.create(s.checkout())
	s.must("try to pay", s.Decline(session.ID))
	got := s.get(session.ID)
	switch got.State {
	case payment.SessionOpen: // another card can be tried on the same page
		s.must("pay by another card", s.Pay(session.ID))
		s.want("Get", s.get(session.ID), payment.SessionPaid)
	case payment.SessionDeclined:
		if got.Reason == "" {
			s.Error("Get of a declined session gives no reason")
		}
	default:
		s.Errorf("Get of a declined session = %q, want open or declined", got.State)
	}
}

func lateArrives(s suite) {
	session := s.create(s.debit())
	s.must("pay", s.PayLate(session.ID, true))
	s.want("Get", s.get(session.ID), payment.SessionProcessing)
	got, err := s.Gateway().End(s.Context(), session.ID)
	s.must("End", err)
	s.want("End while money is on its way", got, payment.SessionProcessing)
	s.Settle()
	s.want("Get when it arrived", s.get(session.ID), payment.SessionPaid)
}

func lateFails(s suite) {
	session := s.create(s.debit())
	s.must("pay", s.PayLate(session.ID, false))
	s.want("Get", s.get(session.ID), payment.SessionProcessing)
	s.Settle()
	got := s.get(session.ID)
	s.want("Get when it failed", got, payment.SessionDeclined)
	if got.Reason != "insufficient_funds" {
		s.Errorf("reason = %q, want insufficient_funds", got.Reason)
	}
}

func end(s suite) {
	session := s.create(s.checkout())
	for range 2 {
		got, err := s.Gateway().End(s.Context(), session.ID)
		s.must("End", err)
		s.want("End", got, payment.SessionEnded)
	}
	if err := s.Pay(session.ID); err == nil {
		s.Error("an ended session could be paid")
	}
	s.want("Get", s.get(session.ID), payment.SessionEnded)
}

func endPaid(s suite) {
	session := s.create(s.checkout())
	s.must("pay", s.Pay(session.ID))
	got, err := s.Gateway().End(s.Context(), session.ID)
	s.must("End", err)
	s.want("End", got, payment.SessionPaid)
}

func unknown(s suite) {
	session := s.create(s.checkout())
	for _, name := range []string{session.ID + "x", "x", ""} {
		if got, err := s.Gateway().Get(s.Context(), name); err == nil {
			s.Errorf("Get(%q) = %+v, want an error", name, got)
		}
		if got, err := s.Gateway().End(s.Context(), name); err == nil {
			s.Errorf("End(%q) = %+v, want an error", name, got)
		}
		if got, err := s.Gateway().Capture(s.Context(), name); err == nil {
			s.Errorf("Capture(%q) = %+v, want an error", name, got)
		}
	}
}
