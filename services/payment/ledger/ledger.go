// Package ledger keeps each municipality's books of its payments in double entry.
//
// A row moves an amount from one account to another (debit and credit), so that whatever is
// booked sums to zero by the shape of its rows; the database refuses an amount that is not
// above zero and a row that stays on one account. Rows are added and never changed: what was
// wrong is booked back. Every figure that a treasury gets is a sum over these rows.
//
// A booking is named by what it is about: transaction, kind and reference. It is made once,
// however often it is asked for.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
)

// Account of a municipality's books. Those with a slash are one for each name behind it.
type Account string

// The accounts.
const (
	Claims   Account = "claims"   // what payers owe (Forderungen)
	Surplus  Account = "surplus"  // what came in without a claim, and is owed back
	Bank     Account = "bank"     // what arrived on the municipality's own account
	Fees     Account = "fees"     // what providers kept
	Disputed Account = "disputed" // what providers hold back while a payer objects
	// Chargebacks is what payers' banks took back for good.
	Chargebacks Account = "chargebacks"

	revenue  = "revenue/"
	clearing = "clearing/"
)

// Revenue is what a budget line (Haushaltsstelle) earns.
func Revenue(budgetLine string) Account { return Account(revenue + budgetLine) }

// Clearing is what a provider has taken in and not yet paid out.
func Clearing(provider string) Account { return Account(clearing + provider) }

// BudgetLine returns the name behind Revenue, and whether it is such an account.
func (a Account) BudgetLine() (string, bool) { return strings.CutPrefix(string(a), revenue) }

// Provider returns the name behind Clearing, and whether it is such an account.
func (a Account) Provider() (string, bool) { return strings.CutPrefix(string(a), clearing) }

// Kind says why something was booked.
type Kind string

// The kinds.
const (
	Claim        Kind = "claim"         // Sollstellung
	Paid         Kind = "paid"          // Istbuchung
	Dropped      Kind = "dropped"       // the claim ended unpaid (Absetzung)
	Overpaid     Kind = "surplus"       // money for a claim that had ended
	Refund       Kind = "refund"        // given back to the payer
	RefundFailed Kind = "refund_failed" // what was to be given back came back
	Payout       Kind = "payout"        // the provider paid out to the bank
	Fee          Kind = "fee"
	Dispute      Kind = "dispute"       // the provider took money back because the payer objected
	DisputeWon   Kind = "dispute_won"   // and gave it back
	DisputeLost  Kind = "dispute_lost"  // and keeps it
	PayoutFailed Kind = "payout_failed" // the bank did not take the payout
)

// Move is an amount that goes from one account to another: Debit gets it, Credit gives it.
type Move struct {
	Debit  Account
	Credit Account
	Amount money.Amount // cents, above zero
}

// Back is the moves in the other direction.
func Back(moves []Move) []Move {
	back := make([]Move, len(moves))
	for i, m := range moves {
		back[i] = Move{Debit: m.Credit, Credit: m.Debit, Amount: m.Amount}
	}
	return back
}

// Sum of what is moved.
func Sum(moves []Move) (sum money.Amount) {
	for _, m := range moves {
		sum += m.Amount
	}
	return sum
}

// Booking is what is booked together.
type Booking struct {
	Transaction id.ID // the claim; empty where there is none, as for a payout
	Kind        Kind
	Reference   string // which of its kind: an attempt, a refund, a payout; may be empty
	Moves       []Move
}

// maxMoves of one booking: a claim has 99 items at most.
const maxMoves = 200

// Book adds the booking to the books of the transaction's tenant, if and only if the
// transaction commits. One that was made before is not made again.
func Book(ctx context.Context, tx *db.Tx, b Booking) error {
	if tx.Tenant() == "" || b.Kind == "" || b.Transaction == "" && b.Reference == "" {
		return errors.New("ledger: a booking has a tenant, a kind, and a transaction or a reference")
	}
	if len(b.Moves) == 0 || len(b.Moves) > maxMoves {
		return fmt.Errorf("ledger: %s: %d moves, want 1 to %d", b.Kind, len(b.Moves), maxMoves)
	}
	const columns = 9
	args := make([]any, 0, columns*len(b.Moves))
	for n, m := range b.Moves {
		args = append(args, tx.Tenant(), b.Transaction, b.Kind, b.Reference, n, m.Debit, m.Credit, m.Amount, tx.Now())
	}
	err := tx.Send(ctx, `INSERT INTO ledger (tenant_id, transaction_id, kind, reference, n, debit, credit, amount, at) VALUES `+
		strings.Repeat(`, (?, ?, ?, ?, ?, ?, ?, ?, ?)`, len(b.Moves))[2:]+` ON CONFLICT DO NOTHING`, args...)
	if err != nil {
		return fmt.Errorf("ledger: book %s: %w", b.Kind, err)
	}
	return nil
}

// Row is a move as it was booked.
type Row struct {
	Transaction id.ID        `db:"transaction_id"`
	Kind        Kind         `db:"kind"`
	Reference   string       `db:"reference"`
	N           int          `db:"n"`
	Debit       Account      `db:"debit"`
	Credit      Account      `db:"credit"`
	Amount      money.Amount `db:"amount"`
	At          db.Time      `db:"at"`
}

// maxRows of one transaction is beyond what there can be: 99 items, claimed and given back in a
// hundred refunds of which each came back.
const maxRows = 25_000

// Of lists all that was booked for a transaction, in no order but that of the moves of a booking.
func Of(ctx context.Context, tx *db.Tx, transaction id.ID) (rows []Row, err error) {
	err = tx.Select(ctx, &rows, `SELECT transaction_id, kind, reference, n, debit, credit, amount, at FROM ledger
		WHERE tenant_id = ? AND transaction_id = ? ORDER BY kind, reference, n LIMIT ?`, tx.Tenant(), transaction, maxRows+1)
	if err == nil && len(rows) > maxRows {
		err = fmt.Errorf("ledger: transaction %s has more than %d rows", transaction, maxRows)
	}
	return rows, err
}

// Turnover is what one kind of booking moved between two accounts in a time.
type Turnover struct {
	Kind   Kind         `db:"kind"`
	Debit  Account      `db:"debit"`
	Credit Account      `db:"credit"`
	Amount money.Amount `db:"amount"`
	Moves  int64        `db:"moves"`
}

// Turnovers sums up what was booked from one time until before another.
func Turnovers(ctx context.Context, tx *db.Tx, from, until time.Time) (list []Turnover, err error) {
	err = tx.Select(ctx, &list, `SELECT kind, debit, credit, CAST(sum(amount) AS BIGINT) AS amount, count(*) AS moves FROM ledger
		WHERE tenant_id = ? AND at >= ? AND at < ? GROUP BY kind, debit, credit ORDER BY kind, debit, credit`,
		tx.Tenant(), db.NewTime(from), db.NewTime(until))
	return list, err
}

// Balances returns, for each account, what it got less what it gave until before a time. They
// sum to zero.
func Balances(ctx context.Context, tx *db.Tx, until time.Time) (map[Account]money.Amount, error) {
	var list []Turnover
	err := tx.Select(ctx, &list, `SELECT debit, credit, CAST(sum(amount) AS BIGINT) AS amount FROM ledger
		WHERE tenant_id = ? AND at < ? GROUP BY debit, credit`, tx.Tenant(), db.NewTime(until))
	balances := map[Account]money.Amount{}
	for _, t := range list {
		balances[t.Debit] += t.Amount
		balances[t.Credit] -= t.Amount
	}
	return balances, err
}
