package payment

import (
	"slices"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment/ledger"
)

// RefundState is how far a refund came.
type RefundState string

// The states: WAITING → SUBMITTED → SUCCEEDED | FAILED, or WAITING → REJECTED. What a provider
// said to have succeeded can still come back: SUCCEEDED → FAILED.
const (
	RefundWaiting   RefundState = "WAITING"   // for a second person
	RefundSubmitted RefundState = "SUBMITTED" // the provider is to give the money back
	RefundSucceeded RefundState = "SUCCEEDED"
	RefundFailed    RefundState = "FAILED"
	RefundRejected  RefundState = "REJECTED" // by the second person
)

// RefundOrder is what a provider is told.
type RefundOrder struct {
	Refund   id.ID // idempotency key
	Session  string
	Tenant   id.ID
	Amount   money.Amount
	Currency string
}

// RefundResult is what a provider says of a refund: RefundSubmitted while it is under way,
// RefundSucceeded or RefundFailed.
type RefundResult struct {
	ID     string // the provider's
	State  RefundState
	Reason string // of a failure: snake_case
}

// Refund is money that goes back to a payer: of a payment, or a surplus.
type Refund struct {
	ID            id.ID        `db:"id"`
	TransactionID id.ID        `db:"transaction_id"`
	AttemptID     id.ID        `db:"attempt_id"` // by which the money came in
	Amount        money.Amount `db:"amount"`
	Note          string       `db:"note"` // why, for the staff
	State         RefundState  `db:"state"`
	Reason        string       `db:"reason"` // of FAILED and REJECTED: snake_case
	RequestedBy   string       `db:"requested_by"`
	DecidedBy     string       `db:"decided_by"` // the second person
	ProviderID    string       `db:"provider_id"`
	CreatedAt     db.Time      `db:"created_at"`
	EndedAt       *db.Time     `db:"ended_at"`
	CheckAt       db.Time      `db:"check_at"` // when the provider is asked next
	Checks        int          `db:"checks"`
}

// holds reports whether the refund's amount cannot be refunded again.
func (r *Refund) holds() bool { return r.State != RefundFailed && r.State != RefundRejected }

// refundable is what of the attempt's money was not given back and is not about to be.
func refundable(taken money.Amount, refunds []Refund) money.Amount {
	for i := range refunds {
		if refunds[i].holds() {
			taken -= refunds[i].Amount
		}
	}
	return taken
}

// byOne is what went back, or is about to, without a second person having looked at it.
func byOne(refunds []Refund) (sum money.Amount) {
	for i := range refunds {
		if r := &refunds[i]; r.holds() && r.State != RefundWaiting && r.DecidedBy == "" {
			sum += r.Amount
		}
	}
	return sum
}

// decide lets a second person approve or reject. Errors: refund_decided, second_person_needed.
func (r *Refund) decide(now db.Time, actor string, approve bool) error {
	switch {
	case r.State != RefundWaiting:
		return fault.Conflict("refund_decided", "the refund does not wait for a decision any more")
	case approve && (actor == "" || actor == r.RequestedBy):
		return fault.Forbidden("second_person_needed", "somebody else than who asked for the refund has to approve it")
	}
	r.DecidedBy = actor
	if approve {
		r.State, r.CheckAt = RefundSubmitted, now
	} else {
		r.State, r.Reason, r.EndedAt = RefundRejected, "rejected", &now
	}
	return nil
}

// settle takes over what the provider said and returns the word for the history; "" if
// nothing changed. A result that was overtaken changes nothing.
func (r *Refund) settle(now db.Time, result RefundResult) string {
	if result.ID != "" {
		r.ProviderID = result.ID
	}
	switch {
	case r.State == RefundSubmitted && result.State == RefundSucceeded:
		r.State, r.EndedAt = RefundSucceeded, &now
		return "refunded"
	case (r.State == RefundSubmitted || r.State == RefundSucceeded) && result.State == RefundFailed:
		r.State, r.Reason, r.EndedAt = RefundFailed, result.Reason, &now
		return "refund_failed"
	}
	return ""
}

// refundMoves spreads the amount over the budget lines in proportion to what they still have
// of the payment, to the cent: what is left over after rounding down goes to the lines that
// lost most, the first first.
func refundMoves(earned []ledger.Move, before []ledger.Move, provider string, amount money.Amount) []ledger.Move {
	type line struct {
		account          ledger.Account
		has, gives, lost money.Amount
	}
	var lines []line
	var total money.Amount
	for _, m := range earned {
		l := line{account: m.Credit, has: m.Amount}
		for _, b := range before {
			if b.Debit == m.Credit {
				l.has -= b.Amount
			}
			if b.Credit == m.Credit { // came back
				l.has += b.Amount
			}
		}
		lines, total = append(lines, l), total+l.has
	}
	left := amount
	for i := range lines {
		l := &lines[i]
		l.gives = l.has * amount / total // at most 10^8 cents each: no overflow
		l.lost = l.has * amount % total
		left -= l.gives
	}
	for ; left > 0; left-- {
		most := 0
		for i := range lines {
			if lines[i].lost > lines[most].lost {
				most = i
			}
		}
		lines[most].gives++
		lines[most].lost = 0
	}
	lines = slices.DeleteFunc(lines, func(l line) bool { return l.gives == 0 })
	moves := make([]ledger.Move, len(lines))
	for i, l := range lines {
		moves[i] = ledger.Move{Debit: l.account, Credit: ledger.Clearing(provider), Amount: l.gives}
	}
	return moves
}
