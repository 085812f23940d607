package stripeapi

import "time"

// dispute is a payer's bank that wants the money back.
type dispute struct {
	id      string
	charge  *charge
	amount  int64
	created time.Time
	status  string // needs_response, won, lost; of an inquiry warning_needs_response, warning_closed
	txns    []*txn
}

// Dispute lets the payer of a session dispute what of its charge was not refunded, and returns
// the dispute's id. Refunds that are pending fail by it.
func (s *Server) Dispute(sessionID string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, err := s.paidCharge(sessionID)
	if err != nil {
		return "", err
	}
	for _, r := range s.refunds {
		if r.charge == ch && r.status == "pending" {
			s.failRefund(r, "charge_for_pending_refund_disputed")
		}
	}
	cs := ch.intent.session
	d := &dispute{id: s.newID("du"), charge: ch, amount: cs.amount - ch.refunded, created: s.opts.Clock(), status: "needs_response"}
	ch.disputed = true
	d.txns = []*txn{s.book(txn{account: cs.account, kind: "adjustment", source: d.id, amount: -d.amount, fee: 2000, feeText: "Dispute fee"})}
	s.disputes[d.id] = d
	s.tell(cs.account, "charge.dispute.created", s.disputeDoc(d, nil))
	s.tell(cs.account, "charge.dispute.funds_withdrawn", s.disputeDoc(d, nil))
	return d.id, nil
}

// Inquire lets the bank of a session's payer ask about its charge: no money moves.
func (s *Server) Inquire(sessionID string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, err := s.paidCharge(sessionID)
	if err != nil {
		return "", err
	}
	cs := ch.intent.session
	d := &dispute{id: s.newID("du"), charge: ch, amount: cs.amount - ch.refunded, created: s.opts.Clock(), status: "warning_needs_response"}
	s.disputes[d.id] = d
	s.tell(cs.account, "charge.dispute.created", s.disputeDoc(d, nil))
	return d.id, nil
}

// Answered ends an inquiry.
func (s *Server) Answered(disputeID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.disputes[disputeID]
	d.status = "warning_closed"
	s.tell(d.charge.intent.session.account, "charge.dispute.closed", s.disputeDoc(d, nil))
}

// Decide ends a dispute: won gives the money back to the account.
func (s *Server) Decide(disputeID string, won bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.disputes[disputeID]
	account := d.charge.intent.session.account
	d.status = "lost"
	if won {
		d.status = "won"
		d.txns = append(d.txns, s.book(txn{account: account, kind: "adjustment", source: d.id, amount: d.amount}))
		s.tell(account, "charge.dispute.funds_reinstated", s.disputeDoc(d, nil))
	}
	s.tell(account, "charge.dispute.closed", s.disputeDoc(d, nil))
}

func (s *Server) listDisputes(c *call) (doc, error) {
	return listCreated(c, "/v1/disputes", s.disputes, func(d *dispute) string { return d.charge.intent.session.account },
		func(d *dispute) time.Time { return d.created }, func(d *dispute) doc { return s.disputeDoc(d, nil) })
}

func (s *Server) getDispute(c *call) (doc, error) {
	d, ok := s.disputes[c.path("id")]
	if !ok || d.charge.intent.session.account != c.account {
		return nil, missing("dispute", c.path("id"))
	}
	return s.disputeDoc(d, c.expand), nil
}

func (s *Server) disputeDoc(d *dispute, x expand) doc {
	txns := []doc{}
	for _, t := range d.txns {
		txns = append(txns, s.txnDoc(t, nil))
	}
	return doc{
		"id": d.id, "object": "dispute", "amount": d.amount, "balance_transactions": txns,
		"charge":  x.ref("charge", d.charge.id, func(x expand) doc { return s.chargeDoc(d.charge, x) }),
		"created": d.created.Unix(), "currency": "eur", "evidence": doc{},
		"evidence_details":     doc{"due_by": d.created.Add(7 * 24 * time.Hour).Unix(), "has_evidence": false, "past_due": false, "submission_count": 0},
		"is_charge_refundable": false, "livemode": s.opts.Livemode, "metadata": doc{}, "payment_intent": d.charge.intent.id, "reason": "general", "status": d.status,
	}
}
