package sandbox

import (
	"context"
	"errors"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment"
)

// refused are the cents of an amount that the sandbox does not give back, to try that.
const refused = 13

type refund struct {
	ID     string              `db:"id"`
	Amount money.Amount        `db:"amount"`
	State  payment.RefundState `db:"state"`
	Reason string              `db:"reason"`
}

func (r refund) result() payment.RefundResult {
	return payment.RefundResult{ID: r.ID, State: r.State, Reason: r.Reason}
}

// Refund implements payment.Gateway. Money is given back at once; an amount of which the cents
// are 13 is refused as if the payer's account had been closed.
func (p *Provider) Refund(ctx context.Context, o payment.RefundOrder) (payment.RefundResult, error) {
	var r refund
	s, err := p.read(ctx, o.Session) // the session is advanced, and silent if it has to be
	if err != nil {
		return r.result(), err
	}
	err = p.tx(ctx, func(ctx context.Context, tx *db.Tx) error {
		if s, err = lock(ctx, tx, o.Session); err != nil {
			return err
		}
		err := tx.Get(ctx, &r, `SELECT id, amount, state, reason FROM sandbox_refunds WHERE tenant_id = ? AND refund_id = ?`, s.Tenant, o.Refund)
		if !errors.Is(err, db.ErrNoRows) {
			return err
		}
		var back money.Amount
		err = tx.Get(ctx, &back, `SELECT CAST(COALESCE(sum(amount), 0) AS BIGINT) FROM sandbox_refunds WHERE tenant_id = ? AND session_id = ? AND state = ?`,
			s.Tenant, s.ID, payment.RefundSucceeded)
		if err != nil {
			return err
		}
		r = refund{ID: "sbr_" + id.Secret(16), Amount: o.Amount, State: payment.RefundSucceeded}
		switch {
		case s.State != payment.SessionPaid:
			r.State, r.Reason = payment.RefundFailed, "not_paid"
		case back+o.Amount > s.Amount:
			r.State, r.Reason = payment.RefundFailed, "above_balance"
		case o.Amount%100 == refused:
			r.State, r.Reason = payment.RefundFailed, "account_closed"
		}
		return tx.Send(ctx, `INSERT INTO sandbox_refunds (tenant_id, refund_id, id, session_id, amount, state, reason) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			s.Tenant, o.Refund, r.ID, s.ID, r.Amount, r.State, r.Reason)
	})
	return r.result(), err
}

// GetRefund implements payment.Gateway. Error: unknown_refund.
func (p *Provider) GetRefund(ctx context.Context, _, refundID string) (payment.RefundResult, error) {
	var r refund
	err := p.tx(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.Get(ctx, &r, `SELECT id, amount, state, reason FROM sandbox_refunds WHERE id = ?`, refundID)
	})
	if errors.Is(err, db.ErrNoRows) {
		return payment.RefundResult{}, fault.NotFound("unknown_refund", "there is no such refund at the sandbox")
	}
	return r.result(), err
}
