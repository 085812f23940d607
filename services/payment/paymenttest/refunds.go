package paymenttest

import (
	"time"

	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment"
)

// paidSession is a session that the payer paid.
func (s suite) paidSession() string {
	s.Helper()
	session := s.create(s.checkout())
	s.must("pay", s.Pay(session.ID))
	return session.ID
}

func (s suite) order(session string, a money.Amount) payment.RefundOrder {
	return payment.RefundOrder{Refund: id.New(), Session: session, Tenant: s.Tenant(), Amount: a, Currency: payment.Currency}
}

func (s suite) refund(r payment.RefundOrder) payment.RefundResult {
	s.Helper()
	got, err := s.Gateway().Refund(s.Context(), r)
	if err != nil {
		s.Fatalf("Refund: %v", err)
	}
	return got
}

func (s suite) wantRefund(session string, r payment.RefundResult, want payment.RefundState) {
	s.Helper()
	got, err := s.Gateway().GetRefund(s.Context(), session, r.ID)
	s.must("GetRefund", err)
	if got.State != want {
		s.Errorf("GetRefund = %s %q, want %s", got.State, got.Reason, want)
	}
	if want == payment.RefundFailed && got.Reason == "" {
		s.Error("GetRefund of a failed refund gives no reason")
	}
}

func (s suite) wantRefunded(want money.Amount) {
	s.Helper()
	if got := s.Refunded(); got != want {
		s.Errorf("the provider gave %s back, want %s", got, want)
	}
}

func refundParts(s suite) {
	session := s.paidSession()
	part, rest := s.order(session, 10_00), s.order(session, amount-10_00)
	first := s.refund(part)
	if first.State != payment.RefundSucceeded || first.ID == "" {
		s.Errorf("Refund = %+v, want it to have succeeded", first)
	}
	if again := s.refund(part); again != first {
		s.Errorf("Refund again = %+v, want %+v", again, first)
	}
	s.wantRefunded(10_00)
	second := s.refund(rest)
	if second.ID == first.ID {
		s.Errorf("two refunds have the id %s", second.ID)
	}
	s.wantRefund(session, second, payment.RefundSucceeded)
	s.wantRefunded(amount)
	s.want("Get of a refunded session", s.get(session), payment.SessionPaid)
	if more := s.refund(s.order(session, 1)); more.State != payment.RefundFailed || more.Reason == "" {
		s.Errorf("Refund of a cent more = %+v, want it to fail with a reason", more)
	}
	s.wantRefunded(amount)
}

func refundTooMuch(s suite) {
	session := s.paidSession()
	if got := s.refund(s.order(session, amount+1)); got.State != payment.RefundFailed || got.Reason == "" {
		s.Errorf("Refund = %+v, want it to fail with a reason", got)
	}
	s.wantRefunded(0)
}

func refundAfterLostAnswer(s suite) {
	r := s.order(s.paidSession(), 10_00)
	s.LoseAnswer()
	if got, err := s.Gateway().Refund(s.Context(), r); err == nil {
		s.Errorf("Refund without an answer = %+v, want an error", got)
	}
	if got := s.refund(r); got.State != payment.RefundSucceeded {
		s.Errorf("Refund again = %+v, want it to have succeeded", got)
	}
	s.wantRefunded(10_00)
}

func refundNextDay(s suite) {
	r := s.order(s.paidSession(), 10_00)
	first := s.refund(r)
	s.Pass(25 * time.Hour)
	if again := s.refund(r); again != first {
		s.Errorf("Refund again after a day = %+v, want %+v", again, first)
	}
	s.wantRefunded(10_00)
}

func refundComesBack(s suite) {
	session := s.create(s.checkout())
	s.must("pay", s.PayShaky(session.ID))
	r := s.order(session.ID, 10_00)
	made := s.refund(r)
	if made.State != payment.RefundSucceeded {
		s.Errorf("Refund = %+v, want it to have succeeded", made)
	}
	s.Settle()
	s.wantRefund(session.ID, made, payment.RefundFailed)
	if again := s.refund(r); again.State != payment.RefundFailed || again.ID != made.ID {
		s.Errorf("Refund again = %+v, want the one that failed", again)
	}
	s.wantRefunded(0)
}

func refundUnpaid(s suite) {
	session := s.create(s.checkout())
	if got := s.refund(s.order(session.ID, 10_00)); got.State != payment.RefundFailed || got.Reason == "" {
		s.Errorf("Refund = %+v, want it to fail with a reason", got)
	}
}

func refundDebit(s suite) {
	session := s.create(s.debit())
	s.must("pay", s.PayLate(session.ID, true))
	s.Settle()
	r := s.order(session.ID, amount)
	made := s.refund(r)
	if made.State != payment.RefundSubmitted {
		s.Errorf("Refund = %+v, want it submitted", made)
	}
	s.Settle()
	s.wantRefund(session.ID, made, payment.RefundSucceeded)
	if again := s.refund(r); again.State != payment.RefundSucceeded {
		s.Errorf("Refund again = %+v, want it succeeded by now", again)
	}
	s.wantRefunded(amount)
}

func unknownRefund(s suite) {
	if got, err := s.Gateway().GetRefund(s.Context(), s.paidSession(), "x"); err == nil {
		s.Errorf("GetRefund = %+v, want an error", got)
	}
}
