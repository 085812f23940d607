package paymenttest

import (
	"sync"
	"time"

	"basisdienste/platform/money"
	"basisdienste/services/payment"
)

// hold is a checkout whose money is to be held.
func (s suite) hold() payment.Checkout {
	c := s.checkout()
	c.Hold = true
	return c
}

// heldSession is a session whose payer authorised: the money is held.
func (s suite) heldSession() string {
	s.Helper()
	session := s.create(s.hold())
	s.want("Create", session, payment.SessionOpen)
	s.must("authorise", s.Pay(session.ID))
	s.want("Get", s.get(session.ID), payment.SessionAuthorised)
	return session.ID
}

func (s suite) capture(session string) payment.Session {
	s.Helper()
	got, err := s.Gateway().Capture(s.Context(), session)
	if err != nil {
		s.Fatalf("Capture: %v", err)
	}
	return got
}

func (s suite) wantTaken(when string, want money.Amount) {
	s.Helper()
	if got := s.Taken(); got != want {
		s.Errorf("%s: the provider took %s, want %s", when, got, want)
	}
}

func holdAndCapture(s suite) {
	c := s.hold()
	session := s.create(c)
	s.must("authorise", s.Pay(session.ID))
	s.want("Create after it was authorised", s.create(c), payment.SessionAuthorised)
	if err := s.Pay(session.ID); err == nil {
		s.Error("a session whose money is held could be paid")
	}
	if got := s.refund(s.order(session.ID, 1)); got.State != payment.RefundFailed || got.Reason == "" {
		s.Errorf("Refund of money that is held = %+v, want it to fail with a reason", got)
	}
	s.wantTaken("authorised", 0)
	for range 2 {
		s.want("Capture", s.capture(session.ID), payment.SessionPaid)
	}
	got := s.get(session.ID)
	s.want("Get", got, payment.SessionPaid)
	if got.Detail == "" {
		s.Error("Get does not say with what was paid")
	}
	ended, err := s.Gateway().End(s.Context(), session.ID)
	s.must("End", err)
	s.want("End of a captured session", ended, payment.SessionPaid)
	s.Pass(3 * 24 * time.Hour) // idempotency keys are forgotten by then
	s.want("Capture after three days", s.capture(session.ID), payment.SessionPaid)
	s.wantTaken("captured", amount)
	if got := s.refund(s.order(session.ID, amount)); got.State != payment.RefundSucceeded {
		s.Errorf("Refund of captured money = %+v, want it to have succeeded", got)
	}
	s.wantSessions(1)
}

func holdAndRelease(s suite) {
	session := s.heldSession()
	s.Pass(4 * 24 * time.Hour)
	s.want("Get after four days", s.get(session), payment.SessionAuthorised)
	for range 2 {
		got, err := s.Gateway().End(s.Context(), session)
		s.must("End", err)
		s.want("End of a session whose money is held", got, payment.SessionEnded)
	}
	s.want("Capture of released money", s.capture(session), payment.SessionEnded)
	s.want("Get", s.get(session), payment.SessionEnded)
	s.wantTaken("released", 0)
	if err := s.Pay(session); err == nil {
		s.Error("a session whose money was released could be paid")
	}
}

func captureAfterLostAnswer(s suite) {
	session := s.heldSession()
	s.LoseAnswer()
	if got, err := s.Gateway().Capture(s.Context(), session); err == nil {
		s.Errorf("Capture without an answer = %+v, want an error", got)
	}
	s.want("Get", s.get(session), payment.SessionPaid)
	s.want("Capture again", s.capture(session), payment.SessionPaid)
	s.wantTaken("captured", amount)
}

func captureWhileAway(s suite) {
	session := s.heldSession()
	s.Away(1)
	if got, err := s.Gateway().Capture(s.Context(), session); err == nil {
		s.Errorf("Capture at a provider that is away = %+v, want an error", got)
	}
	s.want("Get", s.get(session), payment.SessionAuthorised)
	s.want("Capture again", s.capture(session), payment.SessionPaid)
	s.wantTaken("captured", amount)
}

// captureAndRelease: whoever comes first wins, and both are told the same in the end.
func captureAndRelease(s suite) {
	session := s.heldSession()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			act := s.Gateway().Capture
			if i%2 == 0 {
				act = s.Gateway().End
			}
			_, _ = act(s.Context(), session) // passing errors are allowed
		})
	}
	wg.Wait()
	captured := s.capture(session)
	ended, err := s.Gateway().End(s.Context(), session)
	s.must("End", err)
	s.want("End after it was decided", ended, captured.State)
	switch captured.State {
	case payment.SessionPaid:
		s.wantTaken("captured", amount)
	case payment.SessionEnded:
		s.wantTaken("released", 0)
	default:
		s.Errorf("Capture = %q, want paid or ended", captured.State)
	}
}

func captureNothing(s suite) {
	open := s.create(s.hold())
	s.want("Capture of a session that nobody authorised", s.capture(open.ID), payment.SessionOpen)
	s.must("authorise", s.Pay(open.ID))
	s.want("Get", s.get(open.ID), payment.SessionAuthorised)
	s.want("Capture of a session whose money was taken at once", s.capture(s.paidSession()), payment.SessionPaid)
	s.wantTaken("one of two", amount)
	late := s.checkout()
	s.Pass(2 * time.Hour)
	s.want("Capture of a session that was never made", s.capture(s.create(late).ID), payment.SessionEnded)
}
