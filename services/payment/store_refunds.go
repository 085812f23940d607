package payment

import (
	"context"
	"errors"
	"fmt"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

const refundColumns = `id, transaction_id, attempt_id, amount, note, state, reason, requested_by, decided_by, provider_id,
	created_at, ended_at, check_at, checks`

func insertRefund(ctx context.Context, tx *db.Tx, r *Refund) error {
	return tx.Send(ctx, `INSERT INTO refunds (tenant_id, `+refundColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), r.ID, r.TransactionID, r.AttemptID, r.Amount, r.Note, r.State, r.Reason, r.RequestedBy, r.DecidedBy, r.ProviderID,
		r.CreatedAt, r.EndedAt, r.CheckAt, r.Checks)
}

// saveRefund writes what may change.
func saveRefund(ctx context.Context, tx *db.Tx, r *Refund) error {
	n, err := tx.Exec(ctx, `UPDATE refunds SET state = ?, reason = ?, decided_by = ?, provider_id = ?, ended_at = ?, check_at = ?, checks = ?
		WHERE tenant_id = ? AND id = ?`,
		r.State, r.Reason, r.DecidedBy, r.ProviderID, r.EndedAt, r.CheckAt, r.Checks, tx.Tenant(), r.ID)
	if err == nil && n != 1 {
		err = fmt.Errorf("save refund %s: %d rows", r.ID, n)
	}
	return err
}

// refund reads one. Error: unknown_refund.
func refund(ctx context.Context, tx *db.Tx, refundID id.ID) (r Refund, err error) {
	err = tx.Get(ctx, &r, `SELECT `+refundColumns+` FROM refunds WHERE tenant_id = ? AND id = ?`, tx.Tenant(), refundID)
	if errors.Is(err, db.ErrNoRows) {
		return r, fault.NotFound("unknown_refund", "there is no such refund here")
	}
	return r, err
}

// refundsOf lists a transaction's refunds, the first first.
func refundsOf(ctx context.Context, tx *db.Tx, txID id.ID) (list []Refund, err error) {
	err = tx.Select(ctx, &list, `SELECT `+refundColumns+` FROM refunds WHERE tenant_id = ? AND transaction_id = ? ORDER BY id LIMIT ?`,
		tx.Tenant(), txID, maxRefunds)
	return list, err
}

// ListedRefund is a refund in a list over all transactions.
type ListedRefund struct {
	Refund
	Kassenzeichen string `db:"kassenzeichen"`
}

// refundsListed lists the tenant's refunds, the newest first, from before the id on; an empty id
// is the beginning. PostgreSQL finds the few that wait by an index of their own, for which the
// state stands in the text.
func refundsListed(ctx context.Context, tx *db.Tx, waiting bool, before id.ID, limit int) (list []ListedRefund, err error) {
	where, args := "tenant_id = ?", []any{tx.Tenant()}
	if waiting {
		where += " AND state = 'WAITING'"
	}
	if before != "" {
		where, args = where+" AND id < ?", append(args, before)
	}
	err = tx.Select(ctx, &list, `SELECT `+refundColumns+`,
			(SELECT kassenzeichen FROM transactions t WHERE t.tenant_id = refunds.tenant_id AND t.id = refunds.transaction_id) AS kassenzeichen
		FROM refunds WHERE `+where+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
	return list, err
}

// dueRefund is a refund to tell a provider of, or to ask it for.
type dueRefund struct {
	Tenant id.ID `db:"tenant_id"`
	Refund id.ID `db:"id"`
}

// dueRefunds claims submitted refunds whose provider is to be asked now. Each is due again
// after a pause, whatever becomes of this one. For db.System contexts.
func dueRefunds(ctx context.Context, tx *db.Tx, limit int) ([]dueRefund, error) {
	var rows []struct {
		dueRefund
		Checks int `db:"checks"`
	}
	now := tx.Now()
	err := tx.Select(ctx, &rows, `SELECT tenant_id, id, checks FROM refunds WHERE state = 'SUBMITTED' AND check_at <= ?
		ORDER BY check_at LIMIT ?`+tx.SkipLocked(), now, limit)
	list := make([]dueRefund, 0, len(rows))
	for _, r := range rows {
		if err := tx.Send(ctx, `UPDATE refunds SET checks = checks + 1, check_at = ? WHERE tenant_id = ? AND id = ?`,
			db.NewTime(now.Add(pause(r.Checks))), r.Tenant, r.Refund); err != nil {
			return nil, err
		}
		list = append(list, r.dueRefund)
	}
	return list, err
}
