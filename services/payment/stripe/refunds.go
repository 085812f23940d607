package stripe

import (
	"context"
	"fmt"

	stripego "github.com/stripe/stripe-go/v79"

	"basisdienste/platform/money"
	"basisdienste/services/payment"
)

// Refund implements payment.Gateway. A refund that Stripe refuses to make has failed; one that
// it already made is found by its metadata, for Stripe forgets idempotency keys after a day.
func (g *Gateway) Refund(ctx context.Context, r payment.RefundOrder) (payment.RefundResult, error) {
	acct, cs, err := splitID(r.Session)
	if err != nil {
		return payment.RefundResult{}, err
	}
	if cs == never {
		return payment.RefundResult{State: payment.RefundFailed, Reason: "not_paid"}, nil
	}
	session, err := g.read(ctx, acct, cs)
	if err != nil {
		return payment.RefundResult{}, err
	}
	if session.Livemode != g.livemode {
		return payment.RefundResult{}, fmt.Errorf("stripe: session %s has livemode %t; this installation has %t", cs, session.Livemode, g.livemode)
	}
	if session.PaymentIntent == nil || session.PaymentIntent.Status != stripego.PaymentIntentStatusSucceeded {
		return payment.RefundResult{State: payment.RefundFailed, Reason: "not_paid"}, nil
	}
	var made *stripego.Refund
	for _, end := range []string{"", again} {
		made, err = g.findRefund(ctx, acct, session.PaymentIntent.ID, r)
		if err != nil || made != nil {
			return refundResult(made, err)
		}
		made, err = g.api.refunds.New(&stripego.RefundParams{
			Params:        params(ctx, acct, "refund:"+r.Refund.String()+end),
			PaymentIntent: stripego.String(session.PaymentIntent.ID), Amount: stripego.Int64(int64(r.Amount)),
			Reason: stripego.String(string(stripego.RefundReasonRequestedByCustomer)),
			Metadata: map[string]string{
				metaTenant: r.Tenant.String(), metaTransaction: session.Metadata[metaTransaction], metaRefund: r.Refund.String(),
			},
		})
		if !stuck(err) {
			break
		}
	}
	if e, no := refused(err, stripego.ErrorTypeInvalidRequest); no {
		return payment.RefundResult{State: payment.RefundFailed, Reason: refusalReason(e)}, nil
	}
	if err != nil {
		return payment.RefundResult{}, failed("refund session "+cs, acct, err)
	}
	if replayed(made.LastResponse) {
		return g.GetRefund(ctx, r.Session, made.ID)
	}
	return refundResult(made, nil)
}

// findRefund looks for the refund among those of the payment; nil if it was not made.
func (g *Gateway) findRefund(ctx context.Context, acct, intent string, r payment.RefundOrder) (*stripego.Refund, error) {
	list := g.api.refunds.List(&stripego.RefundListParams{ListParams: listParams(ctx, acct), PaymentIntent: stripego.String(intent)})
	for list.Next() {
		made := list.Refund()
		if made.Metadata[metaRefund] != r.Refund.String() {
			continue
		}
		if money.Amount(made.Amount) != r.Amount {
			return nil, fmt.Errorf("stripe: refund %s was made over %s, not %s", r.Refund, money.Amount(made.Amount), r.Amount)
		}
		return made, nil
	}
	if err := list.Err(); err != nil {
		return nil, failed("list refunds", acct, err)
	}
	return nil, nil
}

// GetRefund implements payment.Gateway.
func (g *Gateway) GetRefund(ctx context.Context, session, refund string) (payment.RefundResult, error) {
	acct, _, err := splitID(session)
	if err != nil {
		return payment.RefundResult{}, err
	}
	found, err := g.api.refunds.Get(refund, &stripego.RefundParams{Params: params(ctx, acct, "")})
	if err != nil {
		return payment.RefundResult{}, failed("read refund "+refund, acct, err)
	}
	return refundResult(found, nil)
}

func refundResult(r *stripego.Refund, err error) (payment.RefundResult, error) {
	if err != nil {
		return payment.RefundResult{}, err
	}
	result := payment.RefundResult{ID: r.ID}
	switch r.Status {
	case stripego.RefundStatusPending, stripego.RefundStatusRequiresAction:
		result.State = payment.RefundSubmitted
	case stripego.RefundStatusSucceeded:
		result.State = payment.RefundSucceeded
	case stripego.RefundStatusFailed, stripego.RefundStatusCanceled:
		result.State, result.Reason = payment.RefundFailed, string(r.FailureReason)
		if result.Reason == "" {
			result.Reason = string(r.Status)
		}
	default:
		return result, fmt.Errorf("stripe: refund %s in state %q", r.ID, r.Status)
	}
	return result, nil
}

// refusalReason is why Stripe made no refund.
func refusalReason(e *stripego.Error) string {
	switch {
	case e.Code != "":
		return string(e.Code)
	case e.Param != "":
		return e.Param + "_refused"
	}
	return "refused"
}
