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

// refund is a row of the provider's books.
type refund struct {
	Tenant    id.ID               `db:"tenant_id"`
	Refund    id.ID               `db:"refund_id"` // the payment service's
	ID        string              `db:"id"`
	Amount    money.Amount        `db:"amount"`
	State     payment.RefundState `db:"state"`
	Reason    string              `db:"reason"`
	SettlesAt *db.Time            `db:"settles_at"` // when it succeeds, or fails if there is a reason
}

const refundColumns = `tenant_id, refund_id, id, amount, state, reason, settles_at`

// settled lets time pass for a refund.
func (r *refund) settled(now db.Time) {
	if r.SettlesAt == nil || now.Before(r.SettlesAt.Time) {
		return
	}
	r.State, r.SettlesAt = payment.RefundSucceeded, nil
	if r.Reason != "" {
		r.State = payment.RefundFailed
	}
}

// holds are the states in which a refund keeps its amount from being given back again.
const holds = `(state = 'SUBMITTED' OR state = 'SUCCEEDED' AND (reason = '' OR settles_at > ?))`

func (r *refund) result() payment.RefundResult {
	result := payment.RefundResult{ID: r.ID, State: r.State}
	if r.State == payment.RefundFailed {
		result.Reason = r.Reason
	}
	return result
}

// Refund implements payment.Gateway. Money that came by a card is given back at once, other money
// takes a while; an amount of which the cents are 13 is refused as if the payer's account had been
// closed.
func (p *Provider) Refund(ctx context.Context, o payment.RefundOrder) (payment.RefundResult, error) {
	var r refund
	s, err := p.read(ctx, o.Session) // the session is advanced, and silent if it has to be
	if err != nil {
		return r.result(), err
	}
	if s.ID == never {
		return payment.RefundResult{State: payment.RefundFailed, Reason: "not_paid"}, nil
	}
	err = p.tx(ctx, func(ctx context.Context, tx *db.Tx) error {
		if s, err = lock(ctx, tx, o.Session); err != nil {
			return err
		}
		now := tx.Now()
		err := tx.Get(ctx, &r, `SELECT `+refundColumns+` FROM sandbox_refunds WHERE tenant_id = ? AND refund_id = ?`, s.Tenant, o.Refund)
		if !errors.Is(err, db.ErrNoRows) {
			r.settled(now)
			return err
		}
		var back money.Amount
		err = tx.Get(ctx, &back, `SELECT CAST(COALESCE(sum(amount), 0) AS BIGINT) FROM sandbox_refunds WHERE tenant_id = ? AND session_id = ? AND `+holds,
			s.Tenant, s.ID, now)
		if err != nil {
			return err
		}
		r = newRefund(&s, o, back, now)
		return tx.Send(ctx, `INSERT INTO sandbox_refunds (session_id, `+refundColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			s.ID, r.Tenant, r.Refund, r.ID, r.Amount, r.State, r.Reason, r.SettlesAt)
	})
	return r.result(), err
}

// newRefund decides about a refund of a session of which so much went back before.
func newRefund(s *session, o payment.RefundOrder, back money.Amount, now db.Time) refund {
	r := refund{Tenant: s.Tenant, Refund: o.Refund, ID: "sbr_" + id.Secret(16), Amount: o.Amount, State: payment.RefundSucceeded}
	later := db.NewTime(now.Add(settleAfter))
	switch {
	case s.State != payment.SessionPaid:
		r.State, r.Reason = payment.RefundFailed, "not_paid"
	case back+o.Amount > s.Amount:
		r.State, r.Reason = payment.RefundFailed, "above_balance"
	case o.Amount%100 == refused:
		r.State, r.Reason = payment.RefundFailed, "account_closed"
	case s.Shaky:
		r.Reason, r.SettlesAt = "account_closed", &later
	case s.Method != payment.CreditCard:
		r.State, r.SettlesAt = payment.RefundSubmitted, &later
	}
	return r
}

// GetRefund implements payment.Gateway. Error: unknown_refund.
func (p *Provider) GetRefund(ctx context.Context, _, refundID string) (payment.RefundResult, error) {
	var r refund
	err := p.tx(ctx, func(ctx context.Context, tx *db.Tx) error {
		err := tx.Get(ctx, &r, `SELECT `+refundColumns+` FROM sandbox_refunds WHERE id = ?`, refundID)
		r.settled(tx.Now())
		return err
	})
	if errors.Is(err, db.ErrNoRows) {
		return payment.RefundResult{}, fault.NotFound("unknown_refund", "there is no such refund at the sandbox")
	}
	return r.result(), err
}

// settleRefunds tells of refunds that came to their end, until that is taken.
func (p *Provider) settleRefunds(ctx context.Context, limit int) error {
	var list []refund
	err := p.tx(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.Select(ctx, &list, `SELECT `+refundColumns+` FROM sandbox_refunds WHERE settles_at <= ? ORDER BY settles_at LIMIT ?`, tx.Now(), limit)
	})
	if err != nil {
		return err
	}
	for _, r := range list {
		if err := p.refunded(ctx, r.Tenant, r.Refund); err != nil && fault.From(err).Kind != fault.KindNotFound { // what is not there will not come
			p.log.WarnContext(ctx, "sandbox notification of a refund not taken", "error", err)
			continue
		}
		err := p.tx(ctx, func(ctx context.Context, tx *db.Tx) error {
			r.settled(tx.Now())
			_, err := tx.Exec(ctx, `UPDATE sandbox_refunds SET state = ?, settles_at = NULL WHERE tenant_id = ? AND refund_id = ?`, r.State, r.Tenant, r.Refund)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
