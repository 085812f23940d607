package stripeapi

import (
	"maps"
	"slices"
	"time"
)

// payout is money on its way to the account's bank, or below zero from there.
type payout struct {
	id, account string
	created     time.Time
	amount      int64
	status      string // pending, paid, failed
	together    bool   // its balance transactions are known
	txn, back   *txn
}

// Payout pays out what the account has, or takes what it owes, and returns the payout's id; ""
// if there is nothing. It arrives at once.
func (s *Server) Payout(account string) string {
	id := s.Send(account)
	if id != "" {
		s.Arrive(id)
	}
	return id
}

// Send is Payout, but it is on its way until Arrive or Bounce, and not put together.
func (s *Server) Send(account string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &payout{account: account, created: s.opts.Clock(), status: "pending"}
	for _, t := range s.txns {
		if t.account == account && t.payout == "" {
			p.amount += t.amount - t.fee
		}
	}
	if p.amount == 0 {
		return ""
	}
	p.id = s.newID("po")
	for _, t := range s.txns {
		if t.account == account && t.payout == "" {
			t.payout = p.id
		}
	}
	p.txn = s.book(txn{account: account, kind: "payout", source: p.id, amount: -p.amount, payout: p.id})
	s.payouts[p.id] = p
	s.tell(account, "payout.created", s.payoutDoc(p))
	return p.id
}

// Arrive lets a payout come to the bank, and puts it together.
func (s *Server) Arrive(payoutID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.payouts[payoutID]
	p.status, p.together = "paid", true
	s.tell(p.account, "payout.paid", s.payoutDoc(p))
	s.tell(p.account, "payout.reconciliation_completed", s.payoutDoc(p))
}

// Bounce lets the bank send a payout back, also one that was said to be paid: the account has
// the money again.
func (s *Server) Bounce(payoutID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.payouts[payoutID]
	p.status, p.together = "failed", true
	p.back = s.book(txn{account: p.account, kind: "payout_failure", source: p.id, amount: p.amount})
	s.tell(p.account, "payout.failed", s.payoutDoc(p))
	s.tell(p.account, "payout.reconciliation_completed", s.payoutDoc(p))
}

func (s *Server) getPayout(c *call) (doc, error) {
	p, ok := s.payouts[c.path("id")]
	if !ok || p.account != c.account {
		return nil, missing("payout", c.path("id"))
	}
	return s.payoutDoc(p), nil
}

func (s *Server) listPayouts(c *call) (doc, error) {
	return listCreated(c, "/v1/payouts", s.payouts, func(p *payout) string { return p.account }, func(p *payout) time.Time { return p.created }, s.payoutDoc)
}

// listCreated lists the account's objects that were made since what the request says, the newest first.
func listCreated[T any](c *call, path string, all map[string]T, account func(T) string, created func(T) time.Time, object func(T) doc) (doc, error) {
	from := int64(0)
	if c.form.Get("created[gte]") != "" {
		n, err := c.number("created[gte]")
		if err != nil {
			return nil, err
		}
		from = n
	}
	ids := slices.Sorted(maps.Keys(all))
	slices.Reverse(ids)
	ids = slices.DeleteFunc(ids, func(id string) bool { return account(all[id]) != c.account || created(all[id]).Unix() < from })
	return list(c, path, ids, func(id string) string { return id }, func(id string) doc { return object(all[id]) })
}

func (s *Server) payoutDoc(p *payout) doc {
	reconciliation := "in_progress"
	if p.together {
		reconciliation = "completed"
	}
	d := doc{
		"id": p.id, "object": "payout", "amount": p.amount, "arrival_date": p.created.Add(24 * time.Hour).Unix(), "automatic": true,
		"balance_transaction": p.txn.id, "created": p.created.Unix(), "currency": "eur", "description": "STRIPE PAYOUT", "destination": "ba_1",
		"failure_balance_transaction": nil, "failure_code": nil, "failure_message": nil, "livemode": s.opts.Livemode, "metadata": doc{},
		"method": "standard", "reconciliation_status": reconciliation, "source_type": "card", "statement_descriptor": nil, "status": p.status, "type": "bank_account",
	}
	if p.back != nil {
		d["failure_balance_transaction"], d["failure_code"], d["failure_message"] = p.back.id, "account_closed", "The bank account has been closed"
	}
	return d
}
