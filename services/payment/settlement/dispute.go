package settlement

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/outbox"
	"basisdienste/services/payment/ledger"
)

// DisputeState is how far a dispute came.
type DisputeState string

// The states. In an inquiry (warning, closed) no money moves; it may become a dispute, which
// is won or lost in the end, from the municipality's point of view. What was decided may be
// decided anew.
const (
	Warning       DisputeState = "warning"
	Closed        DisputeState = "closed"
	NeedsResponse DisputeState = "needs_response"
	UnderReview   DisputeState = "under_review"
	Won           DisputeState = "won"
	Lost          DisputeState = "lost"
)

// rank orders the states; a lower one is overtaken. -1 for none of them.
func (s DisputeState) rank() int {
	if s == Lost {
		s = Won
	}
	return slices.Index([]DisputeState{Warning, Closed, NeedsResponse, UnderReview, Won}, s)
}

// Dispute is a payer's bank that wants money of a payment back, as it stands. Amounts are cents.
type Dispute struct {
	Provider    string       `db:"provider"`
	ID          string       `db:"id"` // the provider's
	Transaction id.ID        `db:"transaction_id"`
	Amount      money.Amount `db:"amount"` // what is wanted back
	Taken       money.Amount `db:"taken"`  // what the provider has taken so far and not given back, without fees
	Fee         money.Amount `db:"fee"`
	Currency    string       `db:"currency"`
	Reason      string       `db:"reason"` // the provider's word
	State       DisputeState `db:"state"`
	CreatedAt   db.Time      `db:"created_at"`
	ReadAt      db.Time      `db:"read_at"` // when the provider was asked
}

// overtaken reports whether a read tells less than what is known.
func (d *Dispute) overtaken(read *Dispute) bool {
	if a, b := read.State.rank(), d.State.rank(); a != b {
		return a < b
	}
	return read.ReadAt.Before(d.ReadAt.Time)
}

// gone is what the municipality has lost by it.
func (d *Dispute) gone() money.Amount {
	if d.State == Lost && d.Currency == booksIn {
		return d.Taken
	}
	return 0
}

const disputeColumns = `provider, id, transaction_id, amount, taken, fee, currency, reason, state, created_at, read_at`

// SaveDispute keeps how a dispute stands, books what was lost by it, and tells of a new state.
func SaveDispute(ctx context.Context, tx *db.Tx, d Dispute) error {
	if d.Provider == "" || d.ID == "" || d.State.rank() < 0 {
		return fmt.Errorf("dispute %q of %q in state %q: want id, provider and a state", d.ID, d.Provider, d.State)
	}
	fresh, err := tx.Exec(ctx, `INSERT INTO disputes (tenant_id, `+disputeColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant_id, provider, id) DO NOTHING`,
		tx.Tenant(), d.Provider, d.ID, d.Transaction, d.Amount, d.Taken, d.Fee, d.Currency, d.Reason, d.State, d.CreatedAt, d.ReadAt)
	if err != nil {
		return err
	}
	ref, was := reference(d.Provider, d.ID), Dispute{}
	if fresh == 0 {
		if err := tx.Get(ctx, &was, `SELECT `+disputeColumns+` FROM disputes WHERE tenant_id = ? AND provider = ? AND id = ?`+tx.ForUpdate(),
			tx.Tenant(), d.Provider, d.ID); err != nil {
			return err
		}
		if was.overtaken(&d) {
			return nil
		}
		d.Transaction = was.Transaction // the ledger knows it by that
		if _, err := tx.Exec(ctx, `UPDATE disputes SET amount = ?, taken = ?, fee = ?, reason = ?, state = ?, read_at = ?
			WHERE tenant_id = ? AND provider = ? AND id = ?`,
			d.Amount, d.Taken, d.Fee, d.Reason, d.State, d.ReadAt, tx.Tenant(), d.Provider, d.ID); err != nil {
			return err
		}
		if was.State.rank() == Won.rank() { // decided before: another booking of the same dispute
			ref += "/" + strconv.FormatInt(d.ReadAt.UnixMicro(), 10)
		}
	}
	err = book(ctx, tx, ledger.Booking{
		Transaction: d.Transaction, Kind: ledger.DisputeLost, Reference: ref, Moves: moved(ledger.Chargebacks, ledger.Disputed, d.gone()-was.gone()),
	})
	if err != nil || d.State == was.State {
		return err
	}
	return outbox.Put(ctx, tx, events.DisputeChanged{
		Provider: d.Provider, DisputeID: d.ID, TransactionID: d.Transaction.String(), Amount: int64(d.Amount), Currency: d.Currency,
		Status: string(d.State), ReasonCode: d.Reason, At: tx.Now().Time,
	})
}

// Disputes lists the newest first. The state of the filter is that of a dispute.
func Disputes(ctx context.Context, tx *db.Tx, f Filter) (list []Dispute, err error) {
	where, args := f.where(tx)
	err = tx.Select(ctx, &list, `SELECT `+disputeColumns+` FROM disputes WHERE `+where, args...)
	return list, err
}

// book makes a booking that moves anything.
func book(ctx context.Context, tx *db.Tx, b ledger.Booking) error {
	if len(b.Moves) == 0 {
		return nil
	}
	return ledger.Book(ctx, tx, b)
}
