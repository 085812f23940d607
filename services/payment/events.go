package payment

import (
	"context"
	"fmt"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
	"basisdienste/platform/outbox"
)

// tell publishes the state that the transaction has come to, in the transaction that stores
// it. The service hears no events of others but those that feed the tenant directory.
func tell(ctx context.Context, tx *db.Tx, t *Transaction) error {
	at := t.CreatedAt
	if t.EndedAt != nil {
		at = *t.EndedAt
	}
	e := eventOf(t, at)
	switch t.State {
	case Initial:
		return outbox.Put(ctx, tx, e)
	case Payed:
		return outbox.Put(ctx, tx, events.TransactionPayed(e))
	case Failed:
		return outbox.Put(ctx, tx, events.TransactionFailed(e))
	case Canceled:
		return outbox.Put(ctx, tx, events.TransactionCanceled(e))
	case Expired:
		return outbox.Put(ctx, tx, events.TransactionExpired(e))
	}
	return fmt.Errorf("no event for state %q", t.State)
}

// tellAuthorised publishes that the money of a transaction is held.
func tellAuthorised(ctx context.Context, tx *db.Tx, t *Transaction, a *Attempt) error {
	e := events.TransactionAuthorised(eventOf(t, *a.AuthorisedAt))
	e.Method, e.MethodDetail = string(a.Method), a.Detail
	return outbox.Put(ctx, tx, e)
}

func eventOf(t *Transaction, at db.Time) events.TransactionCreated {
	return events.TransactionCreated{
		TransactionID: t.ID.String(), RequestID: t.RequestID, OriginatorID: t.OriginatorID, EndPointID: t.EndPointID,
		Amount: int64(t.Amount), Currency: t.Currency, Method: string(t.Method), MethodDetail: t.MethodDetail,
		Kassenzeichen: t.Kassenzeichen, Status: string(t.State.Told()), ReasonCode: t.Reason, At: at.Time,
	}
}

// tellRefund publishes what a refund has come to, if others have to know.
func tellRefund(ctx context.Context, tx *db.Tx, t *Transaction, r *Refund) error {
	e := events.RefundRequested{
		RefundID: r.ID.String(), TransactionID: t.ID.String(), OriginatorID: t.OriginatorID, EndPointID: t.EndPointID,
		Amount: int64(r.Amount), Currency: t.Currency, Kassenzeichen: t.Kassenzeichen, Status: string(r.State), ReasonCode: r.Reason, At: tx.Now().Time,
	}
	switch r.State {
	case RefundWaiting, RefundSubmitted:
		if r.DecidedBy != "" {
			return nil // it was told when it was asked for
		}
		return outbox.Put(ctx, tx, e)
	case RefundSucceeded:
		return outbox.Put(ctx, tx, events.RefundSucceeded(e))
	case RefundFailed, RefundRejected:
		return outbox.Put(ctx, tx, events.RefundFailed(e))
	}
	return fmt.Errorf("no event for refund state %q", r.State)
}
