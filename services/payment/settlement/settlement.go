package settlement

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment/ledger"
)

// State is how far a payout came.
type State string

// The states: pending → paid | failed. What was paid can still come back: paid → failed.
const (
	Pending State = "pending"
	Paid    State = "paid"
	Failed  State = "failed"
)

func (s State) rank() int { return slices.Index([]State{Pending, Paid, Failed}, s) }

// Kind says what a line is about.
type Kind string

// The kinds.
const (
	LinePayment      Kind = "payment"
	LineRefund       Kind = "refund"
	LineRefundFailed Kind = "refund_failed" // what was to go back to the payer came back
	LineDispute      Kind = "dispute"       // taken because the payer objected
	LineDisputeWon   Kind = "dispute_won"   // and given back
	LinePayoutFailed Kind = "payout_failed" // an earlier payout came back, and is paid out again
	LineFee          Kind = "fee"
	LineOther        Kind = "other" // booked as a fee
)

// Settlement is a payout of a provider, as it stands. Amounts are cents.
type Settlement struct {
	Provider  string       `db:"provider"`
	ID        string       `db:"id"`     // the provider's
	Amount    money.Amount `db:"amount"` // what goes to the bank; below zero it is taken from there
	Currency  string       `db:"currency"`
	State     State        `db:"state"`
	ArrivesAt db.Time      `db:"arrives_at"`
	CreatedAt db.Time      `db:"created_at"`
	Complete  bool         `db:"complete"`   // its lines are known
	Arrived   string       `db:"arrived_in"` // the bank statement that tells of it; empty: none yet
	ArrivedAs int64        `db:"arrived_as"` // the number of the movement there
	Lines     []Line       `db:"-"`          // for Save, if Complete
}

// Line is what one event did to a payout: Net = Amount − Fee.
type Line struct {
	N           int64        `db:"n"`  // from 1, in the order of time
	ID          string       `db:"id"` // the provider's
	Kind        Kind         `db:"kind"`
	Source      string       `db:"source"`         // the provider's id of the payment, refund or dispute
	Transaction id.ID        `db:"transaction_id"` // empty: of none of ours
	Amount      money.Amount `db:"amount"`
	Fee         money.Amount `db:"fee"`
	Net         money.Amount `db:"net"`
	At          db.Time      `db:"at"`
}

const (
	booksIn  = "EUR"
	askEvery = 6 * time.Hour       // a settlement that is not complete or not paid
	askFor   = 30 * 24 * time.Hour // after it was made
)

// check refuses a settlement that is not what the types promise, and puts its lines in order.
func (s *Settlement) check() error {
	switch {
	case s.Provider == "" || s.ID == "" || s.State.rank() < 0:
		return fmt.Errorf("settlement %q of %q in state %q: want id, provider and a state", s.ID, s.Provider, s.State)
	case !s.Complete && len(s.Lines) > 0:
		return fmt.Errorf("settlement %s: %d lines, but not complete", s.ID, len(s.Lines))
	case !s.Complete:
		return nil
	}
	slices.SortFunc(s.Lines, func(a, b Line) int { return cmp.Or(a.At.Compare(b.At.Time), cmp.Compare(a.ID, b.ID)) })
	seen := make(map[string]bool, len(s.Lines))
	var sum money.Amount
	for i := range s.Lines {
		l := &s.Lines[i]
		l.N = int64(i + 1)
		if l.Net != l.Amount-l.Fee || seen[l.ID] {
			return fmt.Errorf("settlement %s: line %s: %s less %s is %s; is it there twice: %t", s.ID, l.ID, l.Amount, l.Fee, l.Net, seen[l.ID])
		}
		seen[l.ID], sum = true, sum+l.Net
	}
	if sum != s.Amount {
		return fmt.Errorf("settlement %s: its %d lines sum up to %s, not %s", s.ID, len(s.Lines), sum, s.Amount)
	}
	return nil
}

// news is what a read of a settlement added to what was known.
type news struct {
	lines    bool // are known now
	paid     bool
	cameBack bool // what was paid
	done     bool // complete and paid
}

// follow takes over what is newer in a read.
func (s *Settlement) follow(read *Settlement) (n news, err error) {
	if s.Amount != read.Amount || s.Currency != read.Currency {
		return n, fmt.Errorf("settlement %s of %s %s is one of %s %s now", s.ID, s.Amount, s.Currency, read.Amount, read.Currency)
	}
	wasDone := s.Complete && s.State == Paid
	if read.State.rank() >= s.State.rank() {
		n.paid, n.cameBack = s.State == Pending && read.State == Paid, s.State == Paid && read.State == Failed
		s.State, s.ArrivesAt = read.State, read.ArrivesAt
	}
	if read.Complete && !s.Complete {
		n.lines, s.Complete = true, true
	}
	n.done = !wasDone && s.Complete && s.State == Paid
	return n, nil
}

// nextCheck is when the provider is asked again; nil if there is nothing to ask any more.
func (s *Settlement) nextCheck(now db.Time) *db.Time {
	if s.Complete && s.State != Pending || now.Sub(s.CreatedAt.Time) > askFor {
		return nil
	}
	at := db.NewTime(now.Add(askEvery))
	return &at
}

// moved is one move of an amount; below zero it goes the other way. Nothing moves for 0.
func moved(to, from ledger.Account, amount money.Amount) []ledger.Move {
	switch {
	case amount > 0:
		return []ledger.Move{{Debit: to, Credit: from, Amount: amount}}
	case amount < 0:
		return []ledger.Move{{Debit: from, Credit: to, Amount: -amount}}
	}
	return nil
}

// bookings of a line. Payments and refunds are booked by who asked for them, and a payout that
// came back when it did.
func (l *Line) bookings(provider string) []ledger.Booking {
	clearing := ledger.Clearing(provider)
	of := func(k ledger.Kind, moves []ledger.Move) ledger.Booking {
		return ledger.Booking{Transaction: l.Transaction, Kind: k, Reference: reference(provider, l.ID), Moves: moves}
	}
	fee := l.Fee
	var list []ledger.Booking
	switch l.Kind {
	case LineFee, LineOther:
		fee = -l.Net
	case LineDispute:
		list = append(list, of(ledger.Dispute, moved(ledger.Disputed, clearing, -l.Amount)))
	case LineDisputeWon:
		list = append(list, of(ledger.DisputeWon, moved(clearing, ledger.Disputed, l.Amount)))
	case LinePayment, LineRefund, LineRefundFailed, LinePayoutFailed:
	}
	return append(list, of(ledger.Fee, moved(ledger.Fees, clearing, fee)))
}

func reference(provider, its string) string { return provider + "/" + its }
