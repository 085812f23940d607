package stripeapi

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// refund gives money of a charge back.
type refund struct {
	id, account, reason, status, failure string // pending, succeeded, failed
	charge                               *charge
	amount                               int64
	created                              time.Time
	metadata                             map[string]string
	txn, back                            *txn
}

func (s *Server) createRefund(c *call) (doc, error) {
	intentID, err := c.text("payment_intent")
	if err != nil {
		return nil, err
	}
	in, ok := s.intents[intentID]
	if !ok || in.session.account != c.account {
		return nil, missing("payment_intent", intentID)
	}
	if in.status != "succeeded" {
		return nil, invalid(http.StatusBadRequest, "", "", "This PaymentIntent (%s) does not have a successful charge to refund.", in.id)
	}
	ch, total := in.latest(), in.session.amount
	amount := total - ch.refunded
	if c.form.Get("amount") != "" {
		if amount, err = c.number("amount"); err != nil {
			return nil, err
		}
	}
	switch {
	case ch.disputed:
		return nil, invalid(http.StatusBadRequest, "charge_disputed", "", "Charge %s has been charged back; cannot issue a refund.", ch.id)
	case ch.refunded == total:
		return nil, invalid(http.StatusBadRequest, "charge_already_refunded", "", "Charge %s has already been refunded.", ch.id)
	case amount < 1:
		return nil, invalid(http.StatusBadRequest, "parameter_invalid_integer", "amount", "This value must be greater than or equal to 1.")
	case amount > total:
		return nil, invalid(http.StatusBadRequest, "", "amount", "Refund amount (%s) is greater than charge amount (%s)", euros(amount), euros(total))
	case amount > total-ch.refunded:
		return nil, invalid(http.StatusBadRequest, "", "amount", "Refund amount (%s) is greater than unrefunded amount on charge (%s)", euros(amount), euros(total-ch.refunded))
	}
	reason := c.form.Get("reason")
	if reason != "" && !slices.Contains([]string{"duplicate", "fraudulent", "requested_by_customer"}, reason) {
		return nil, invalid(http.StatusBadRequest, "", "reason", "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer")
	}
	r := &refund{
		id: s.newID("re"), account: c.account, reason: reason, status: "succeeded", charge: ch, amount: amount, created: c.now, metadata: c.pairs("metadata"),
	}
	kind := "refund"
	if in.method != "card" {
		kind = "payment_refund"
	}
	if ch.number == CardRefundPending || in.method != "card" {
		r.status = "pending"
	}
	r.txn = s.book(txn{account: c.account, kind: kind, source: r.id, amount: -amount})
	ch.refunded += amount
	s.refunds = append(s.refunds, r)
	s.tell(c.account, "charge.refunded", s.chargeDoc(ch, nil))
	s.tell(c.account, "refund.created", s.refundDoc(r, nil))
	return s.refundDoc(r, c.expand), nil
}

func euros(cents int64) string { return fmt.Sprintf("€%d.%02d", cents/100, cents%100) }

// settleRefund ends a refund that is pending, or takes back one that succeeds and fails later.
func (s *Server) settleRefund(r *refund) {
	switch {
	case r.status == "pending":
		r.status = "succeeded"
	case r.status == "succeeded" && r.charge.number == CardRefundFails:
		s.failRefund(r, "expired_or_canceled_card")
		return
	default:
		return
	}
	s.tellRefund(r)
}

// failRefund takes a refund back: the account has the money again.
func (s *Server) failRefund(r *refund, why string) {
	r.status, r.failure = "failed", why
	r.charge.refunded -= r.amount
	r.back = s.book(txn{account: r.account, kind: "refund_failure", source: r.id, amount: r.amount})
	s.tellRefund(r)
}

func (s *Server) tellRefund(r *refund) {
	s.tell(r.account, "refund.updated", s.refundDoc(r, nil))
	s.tell(r.account, "charge.refund.updated", s.refundDoc(r, nil))
}

func (s *Server) getRefund(c *call) (doc, error) {
	for _, r := range s.refunds {
		if r.id == c.path("id") && r.account == c.account {
			return s.refundDoc(r, c.expand), nil
		}
	}
	return nil, missing("refund", c.path("id"))
}

func (s *Server) listRefunds(c *call) (doc, error) {
	var found []*refund
	for _, r := range slices.Backward(s.refunds) {
		if in := c.form.Get("payment_intent"); r.account == c.account && (in == "" || r.charge.intent.id == in) {
			found = append(found, r)
		}
	}
	return list(c, "/v1/refunds", found, func(r *refund) string { return r.id }, func(r *refund) doc { return s.refundDoc(r, c.expand["data"]) })
}

func (s *Server) refundDoc(r *refund, x expand) doc {
	d := doc{
		"id": r.id, "object": "refund", "amount": r.amount,
		"balance_transaction": x.ref("balance_transaction", r.txn.id, func(x expand) doc { return s.txnDoc(r.txn, x) }),
		"charge":              x.ref("charge", r.charge.id, func(x expand) doc { return s.chargeDoc(r.charge, x) }),
		"created":             r.created.Unix(), "currency": r.charge.intent.session.currency, "metadata": r.metadata,
		"payment_intent": x.ref("payment_intent", r.charge.intent.id, func(x expand) doc { return s.intentDoc(r.charge.intent, x) }),
		"reason":         null(r.reason), "receipt_number": nil, "source_transfer_reversal": nil, "status": r.status, "transfer_reversal": nil,
	}
	if r.back != nil {
		d["failure_balance_transaction"], d["failure_reason"] = r.back.id, r.failure
	}
	return d
}

// Taken is what was taken from payers, in cents: not what is only held.
func (s *Server) Taken() (sum int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.txns {
		if t.kind == "charge" || t.kind == "payment" {
			sum += t.amount
		}
	}
	return sum
}

// Refunded is what went back to payers and stayed there, in cents.
func (s *Server) Refunded() (sum int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.refunds {
		if r.status != "failed" {
			sum += r.amount
		}
	}
	return sum
}
