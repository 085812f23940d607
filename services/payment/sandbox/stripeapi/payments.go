package stripeapi

import (
	"net/http"
	"time"
)

// intent is the PaymentIntent of a session.
type intent struct {
	id        string
	session   *session
	created   time.Time
	status    string // requires_payment_method, requires_action, processing, requires_capture, succeeded, canceled
	method    string // type of the payment method that was used last
	action    doc    // next_action
	lastError doc
	charges   []*charge
	canceled  time.Time
	why       string // cancellation_reason
}

// charge is one try to take money.
type charge struct {
	id       string
	intent   *intent
	created  time.Time
	status   string // pending, succeeded, failed; succeeded is also that the money is held
	captured bool
	failure  decline
	number   string // of the card or account, of the test ones
	refunded int64
	disputed bool
	txn      *txn
}

// decline says why the bank refused.
type decline struct{ code, declineCode, message string }

func (s *Server) getIntent(c *call) (doc, error) {
	in, ok := s.intents[c.path("id")]
	if !ok || in.session.account != c.account {
		return nil, missing("payment_intent", c.path("id"))
	}
	return s.intentDoc(in, c.expand), nil
}

func (s *Server) getCharge(c *call) (doc, error) {
	ch, ok := s.charges[c.path("id")]
	if !ok || ch.intent.session.account != c.account {
		return nil, missing("charge", c.path("id"))
	}
	return s.chargeDoc(ch, c.expand), nil
}

func (in *intent) latest() *charge {
	if len(in.charges) == 0 {
		return nil
	}
	return in.charges[len(in.charges)-1]
}

func (s *Server) intentDoc(in *intent, x expand) doc {
	cs := in.session
	received, capturable, capture := int64(0), int64(0), "automatic_async"
	switch in.status {
	case "succeeded":
		received = cs.amount
	case "requires_capture":
		capturable = cs.amount
	}
	if cs.manual {
		capture = "manual"
	}
	var latest, method, canceled any
	if !in.canceled.IsZero() {
		canceled = in.canceled.Unix()
	}
	if ch := in.latest(); ch != nil {
		latest = x.ref("latest_charge", ch.id, func(x expand) doc { return s.chargeDoc(ch, x) })
	}
	if in.method != "" && in.status != "requires_payment_method" {
		method = "pm_" + in.id
	}
	return doc{
		"id": in.id, "object": "payment_intent", "amount": cs.amount, "amount_capturable": capturable, "amount_received": received, "application": nil,
		"application_fee_amount": nil, "canceled_at": canceled, "cancellation_reason": null(in.why), "capture_method": capture, "client_secret": in.id + "_secret",
		"confirmation_method": "automatic", "created": in.created.Unix(), "currency": cs.currency, "customer": nil, "description": null(cs.description),
		"invoice": nil, "last_payment_error": in.lastError, "latest_charge": latest, "livemode": s.opts.Livemode, "metadata": cs.intentMetadata,
		"next_action": in.action, "on_behalf_of": nil, "payment_method": method, "payment_method_options": doc{"card": doc{"request_three_d_secure": "automatic"}},
		"payment_method_types": cs.methods, "receipt_email": nil, "review": nil, "setup_future_usage": nil, "shipping": nil, "source": nil,
		"statement_descriptor": nil, "statement_descriptor_suffix": nil, "status": in.status, "transfer_data": nil, "transfer_group": nil,
	}
}

func (s *Server) chargeDoc(ch *charge, x expand) doc {
	cs := ch.intent.session
	captured, outcome := int64(0), doc{"network_status": "approved_by_network", "reason": nil, "risk_level": "normal", "risk_score": 24, "seller_message": "Payment complete.", "type": "authorized"}
	if ch.captured {
		captured = cs.amount
	}
	if ch.status == "failed" {
		outcome = doc{
			"network_status": "declined_by_network", "reason": ch.failure.declineCode, "risk_level": "normal", "risk_score": 24,
			"seller_message": "The bank did not return any further details with this decline.", "type": "issuer_declined",
		}
	}
	var balance any
	if ch.txn != nil {
		balance = x.ref("balance_transaction", ch.txn.id, func(x expand) doc { return s.txnDoc(ch.txn, x) })
	}
	return doc{
		"id": ch.id, "object": "charge", "amount": cs.amount, "amount_captured": captured, "amount_refunded": ch.refunded, "application": nil,
		"application_fee": nil, "application_fee_amount": nil, "balance_transaction": balance,
		"billing_details":                 doc{"address": doc{"city": nil, "country": nil, "line1": nil, "line2": nil, "postal_code": nil, "state": nil}, "email": nil, "name": nil, "phone": nil},
		"calculated_statement_descriptor": "Stripe", "captured": ch.captured, "created": ch.created.Unix(), "currency": cs.currency,
		"customer": nil, "description": null(cs.description), "disputed": ch.disputed, "failure_code": null(ch.failure.code),
		"failure_message": null(ch.failure.message), "fraud_details": doc{}, "invoice": nil, "livemode": s.opts.Livemode, "metadata": cs.intentMetadata,
		"on_behalf_of": nil, "outcome": outcome, "paid": ch.status == "succeeded", "payment_intent": ch.intent.id, "payment_method": "pm_" + ch.intent.id,
		"payment_method_details": methodDetails(ch.intent.method, ch.number), "receipt_email": nil, "receipt_number": nil, "receipt_url": nil,
		"refunded": ch.refunded == cs.amount, "review": nil, "shipping": nil, "source": nil, "source_transfer": nil, "statement_descriptor": nil,
		"statement_descriptor_suffix": nil, "status": ch.status, "transfer_data": nil,
	}
}

func methodDetails(method, number string) doc {
	last4 := number[max(0, len(number)-4):]
	switch method {
	case "card":
		var secure any
		if number == Card3DS {
			secure = doc{"authentication_flow": "challenge", "result": "authenticated", "version": "2.1.0"}
		}
		return doc{"type": "card", "card": doc{
			"brand": "visa", "checks": doc{"address_line1_check": nil, "address_postal_code_check": nil, "cvc_check": "pass"}, "country": "US", "exp_month": 2,
			"exp_year": 2030, "fingerprint": "0CFI1ogMdJ3zM4Ey", "funding": "credit", "installments": nil, "last4": last4, "network": "visa",
			"three_d_secure": secure, "wallet": nil,
		}}
	case "sepa_debit":
		return doc{"type": "sepa_debit", "sepa_debit": doc{"bank_code": number[4:12], "branch_code": nil, "country": number[:2], "fingerprint": nil, "last4": last4, "mandate": nil}}
	}
	return doc{"type": method, method: doc{}}
}

// txn is a balance transaction: what an object did to the account's balance.
type txn struct {
	id, account, kind, source string // kind: charge, payment, refund, payment_refund, refund_failure, adjustment, payout, payout_failure
	created                   time.Time
	amount, fee               int64
	feeText                   string
	payout                    string // by which it was paid out
}

// book moves the account's balance.
func (s *Server) book(t txn) *txn {
	t.id, t.created = s.newID("txn"), s.opts.Clock()
	s.txns = append(s.txns, &t)
	return &t
}

func (s *Server) txnDoc(t *txn, x expand) doc {
	fees := []doc{}
	if t.fee != 0 {
		fees = append(fees, doc{"amount": t.fee, "application": nil, "currency": "eur", "description": t.feeText, "type": "stripe_fee"})
	}
	category := map[string]string{"payment": "charge", "payment_refund": "refund", "adjustment": "dispute"}[t.kind]
	switch {
	case t.kind == "adjustment" && t.amount > 0:
		category = "dispute_reversal"
	case t.kind == "payout_failure":
		category = "payout_reversal"
	case category == "":
		category = t.kind
	}
	return doc{
		"id": t.id, "object": "balance_transaction", "amount": t.amount, "available_on": t.created.Add(48 * time.Hour).Unix(), "created": t.created.Unix(),
		"currency": "eur", "description": nil, "exchange_rate": nil, "fee": t.fee, "fee_details": fees, "net": t.amount - t.fee, "reporting_category": category,
		"source": x.ref("source", t.source, func(x expand) doc { return s.sourceDoc(t.source, x) }), "status": "pending", "type": t.kind,
	}
}

// sourceDoc is the object that a balance transaction is about.
func (s *Server) sourceDoc(id string, x expand) doc {
	if ch, ok := s.charges[id]; ok {
		return s.chargeDoc(ch, x)
	}
	if d, ok := s.disputes[id]; ok {
		return s.disputeDoc(d, x)
	}
	if p, ok := s.payouts[id]; ok {
		return s.payoutDoc(p)
	}
	for _, r := range s.refunds {
		if r.id == id {
			return s.refundDoc(r, x)
		}
	}
	return doc{"id": id, "object": "unknown"}
}

func (s *Server) listTxns(c *call) (doc, error) {
	var found []*txn
	for i := range s.txns {
		t := s.txns[len(s.txns)-1-i]
		if p := c.form.Get("payout"); t.account == c.account && (p == "" || t.payout == p) {
			found = append(found, t)
		}
	}
	return list(c, "/v1/balance_transactions", found, func(t *txn) string { return t.id }, func(t *txn) doc { return s.txnDoc(t, c.expand["data"]) })
}

// paidCharge is the charge by which a session was paid.
func (s *Server) paidCharge(sessionID string) (*charge, error) {
	for _, cs := range s.sessions {
		if cs.id == sessionID && cs.intent != nil && cs.intent.status == "succeeded" {
			return cs.intent.latest(), nil
		}
	}
	return nil, invalid(http.StatusBadRequest, "", "", "session %s is not paid", sessionID)
}
