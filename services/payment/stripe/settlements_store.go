package stripe

import (
	"context"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
)

// Dispute is a payer's bank that wants its money back, as Stripe told it last.
type Dispute struct {
	ID          string       `db:"id"` // Stripe's
	Transaction id.ID        `db:"transaction_id"`
	Charge      string       `db:"charge"`
	Amount      money.Amount `db:"amount"`
	Net         money.Amount `db:"net"` // what it did to the balance so far, fees included; below zero is taken
	Fee         money.Amount `db:"fee"`
	Currency    string       `db:"currency"`
	Status      string       `db:"status"` // Stripe's: needs_response, under_review, won, lost, warning_…
	Reason      string       `db:"reason"`
	CreatedAt   db.Time      `db:"created_at"`
	ReadAt      db.Time      `db:"read_at"`
}

// Payout is money that Stripe sent to the municipality's bank, as it told last.
type Payout struct {
	ID        string       `db:"id"` // Stripe's
	Amount    money.Amount `db:"amount"`
	Currency  string       `db:"currency"`
	Status    string       `db:"status"` // Stripe's: pending, in_transit, paid, failed, canceled
	ArrivesAt db.Time      `db:"arrives_at"`
	CreatedAt db.Time      `db:"created_at"`
	Complete  bool         `db:"complete"` // its lines are known, and their nets sum up to Amount
	ReadAt    db.Time      `db:"read_at"`
}

// PayoutLine is one balance transaction of a payout: Net = Amount − Fee.
type PayoutLine struct {
	ID          string       `db:"id"`     // Stripe's
	Kind        string       `db:"kind"`   // Stripe's: charge, payment, refund, adjustment, …
	Source      string       `db:"source"` // Stripe's id of the charge, refund or dispute
	Transaction id.ID        `db:"transaction_id"`
	Amount      money.Amount `db:"amount"`
	Fee         money.Amount `db:"fee"`
	Net         money.Amount `db:"net"`
	CreatedAt   db.Time      `db:"created_at"`

	dispute bool // Source is one
}

const (
	disputeColumns = `id, transaction_id, charge, amount, net, fee, currency, status, reason, created_at, read_at`
	payoutColumns  = `id, amount, currency, status, arrives_at, created_at, complete, read_at`
	lineColumns    = `id, kind, source, transaction_id, amount, fee, net, created_at`
)

// Disputes lists the tenant's disputes that began from one time until before another.
func Disputes(ctx context.Context, tx *db.Tx, from, until time.Time) (list []Dispute, err error) {
	err = tx.Select(ctx, &list, `SELECT `+disputeColumns+` FROM stripe_disputes WHERE tenant_id = ? AND created_at >= ? AND created_at < ?
		ORDER BY created_at, id`, tx.Tenant(), db.NewTime(from), db.NewTime(until))
	return list, err
}

// Payouts lists the tenant's payouts that arrive from one time until before another.
func Payouts(ctx context.Context, tx *db.Tx, from, until time.Time) (list []Payout, err error) {
	err = tx.Select(ctx, &list, `SELECT `+payoutColumns+` FROM stripe_payouts WHERE tenant_id = ? AND arrives_at >= ? AND arrives_at < ?
		ORDER BY arrives_at, id`, tx.Tenant(), db.NewTime(from), db.NewTime(until))
	return list, err
}

// PayoutLines lists the lines of one of the tenant's payouts in the order of their ids, from
// behind after ("" is from the first).
func PayoutLines(ctx context.Context, tx *db.Tx, payout, after string, limit int) (list []PayoutLine, err error) {
	err = tx.Select(ctx, &list, `SELECT `+lineColumns+` FROM stripe_payout_lines WHERE tenant_id = ? AND payout_id = ? AND id > ?
		ORDER BY id LIMIT ?`, tx.Tenant(), payout, after, limit)
	return list, err
}

// saveDispute takes over how a dispute stands. What was read before is not taken back.
func saveDispute(ctx context.Context, tx *db.Tx, d Dispute) error {
	_, err := tx.Exec(ctx, `INSERT INTO stripe_disputes (tenant_id, `+disputeColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant_id, id) DO UPDATE SET net = excluded.net, fee = excluded.fee, status = excluded.status, reason = excluded.reason,
		read_at = excluded.read_at WHERE stripe_disputes.read_at <= excluded.read_at`,
		tx.Tenant(), d.ID, d.Transaction, d.Charge, d.Amount, d.Net, d.Fee, d.Currency, d.Status, d.Reason, d.CreatedAt, d.ReadAt)
	return err
}

// savePayout takes over how a payout stands. Once complete it stays so, and its lines.
func savePayout(ctx context.Context, tx *db.Tx, p Payout, lines []PayoutLine) error {
	_, err := tx.Exec(ctx, `INSERT INTO stripe_payouts (tenant_id, `+payoutColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant_id, id) DO UPDATE SET status = excluded.status, arrives_at = excluded.arrives_at,
		complete = stripe_payouts.complete OR excluded.complete, read_at = excluded.read_at WHERE stripe_payouts.read_at <= excluded.read_at`,
		tx.Tenant(), p.ID, p.Amount, p.Currency, p.Status, p.ArrivesAt, p.CreatedAt, p.Complete, p.ReadAt)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if err := tx.Send(ctx, `INSERT INTO stripe_payout_lines (tenant_id, payout_id, `+lineColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant_id, payout_id, id) DO NOTHING`,
			tx.Tenant(), p.ID, l.ID, l.Kind, l.Source, l.Transaction, l.Amount, l.Fee, l.Net, l.CreatedAt); err != nil {
			return err
		}
	}
	return nil
}
