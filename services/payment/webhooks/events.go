package webhooks

import (
	"context"
	"strings"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
)

// listen hears the service's own events: those of EventTypes.
func (s *Service) listen(r *bus.Router) {
	hear(s, r, func(e events.TransactionCreated) string { return e.TransactionID })
	hear(s, r, func(e events.TransactionPayed) string { return e.TransactionID })
	hear(s, r, func(e events.TransactionFailed) string { return e.TransactionID })
	hear(s, r, func(e events.TransactionCanceled) string { return e.TransactionID })
	hear(s, r, func(e events.TransactionExpired) string { return e.TransactionID })
	hear(s, r, func(e events.RefundRequested) string { return e.TransactionID })
	hear(s, r, func(e events.RefundSucceeded) string { return e.TransactionID })
	hear(s, r, func(e events.RefundFailed) string { return e.TransactionID })
	hear(s, r, func(e events.DisputeChanged) string { return e.TransactionID })
	hear(s, r, func(events.SettlementCompleted) string { return "" }) // is of many
}

// hear takes events of one type and names the transaction that they belong to; "" if none.
func hear[E outbox.Event](s *Service, r *bus.Router, transaction func(E) string) {
	var zero E
	name := "webhooks-" + strings.ReplaceAll(strings.TrimPrefix(zero.EventType(), "payment."), ".", "-")
	bus.Handle(r, name, func(ctx context.Context, tx *db.Tx, m bus.Meta, e E) error {
		return s.hear(ctx, tx, m, id.ID(transaction(e)), e)
	})
}
