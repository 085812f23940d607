package webhooks

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
)

// hearWithin is how long an event may wait for more to be stored with it.
const hearWithin = 20 * time.Millisecond

// listen hears the service's own events: those of EventTypes. Those of a moment are handled
// together. The database is asked which of them an endpoint wants after they were stored and
// relayed, so none is missed whose transaction began after an endpoint was created, in whichever
// process; of one that nobody wants nothing is kept.
func (s *Service) listen(r *bus.Router) {
	g := bus.Gather(r, hearWithin, s.hear).Only(s.wanted)
	hear(g, func(e events.TransactionCreated) string { return e.TransactionID })
	hear(g, func(e events.TransactionAuthorised) string { return e.TransactionID })
	hear(g, func(e events.TransactionPayed) string { return e.TransactionID })
	hear(g, func(e events.TransactionFailed) string { return e.TransactionID })
	hear(g, func(e events.TransactionCanceled) string { return e.TransactionID })
	hear(g, func(e events.TransactionExpired) string { return e.TransactionID })
	hear(g, func(e events.RefundRequested) string { return e.TransactionID })
	hear(g, func(e events.RefundSucceeded) string { return e.TransactionID })
	hear(g, func(e events.RefundFailed) string { return e.TransactionID })
	hear(g, func(e events.DisputeChanged) string { return e.TransactionID })
	hear(g, func(events.SettlementCompleted) string { return "" }) // is of many
}

// hear takes events of one type and names the transaction that they belong to; "" if none.
func hear[E outbox.Event](g *bus.Gathering[heard], transaction func(E) string) {
	var zero E
	name := "webhooks-" + strings.ReplaceAll(strings.TrimPrefix(zero.EventType(), "payment."), ".", "-")
	bus.Into(g, name, func(m bus.Meta, e E) heard { return heard{m, id.ID(transaction(e)), e} })
}

// heard is an event and the transaction that it belongs to, if any.
type heard struct {
	bus.Meta
	transaction id.ID
	event       outbox.Event
}

// wanted tells which of the events an endpoint wants.
func (s *Service) wanted(ctx context.Context, tx *db.Tx, batch []heard) ([]bool, error) {
	to, err := receivers(ctx, tx, batch)
	wanted := make([]bool, len(batch))
	for i, h := range batch {
		wanted[i] = slices.ContainsFunc(to[h.Tenant], func(e Endpoint) bool { return e.wants(h.Type) })
	}
	return wanted, err
}

// hear makes a delivery of each event for each endpoint that wants it, in the transaction that
// marks them as heard.
func (s *Service) hear(ctx context.Context, tx *db.Tx, batch []heard) error {
	to, err := receivers(ctx, tx, batch)
	if err != nil {
		return err
	}
	for _, h := range batch {
		data, err := json.Marshal(h.event)
		if err != nil {
			return err
		}
		for i := range to[h.Tenant] {
			e := &to[h.Tenant][i]
			if !e.wants(h.Type) {
				continue
			}
			d := newDelivery(tx.Now(), e, h.ID, h.Type)
			d.At, d.TransactionID, d.Data = db.NewTime(h.Time), h.transaction, string(data)
			if err := insertDelivery(ctx, tx, h.Tenant, &d); err != nil {
				return err
			}
		}
	}
	tx.Wake(wakeName)
	return nil
}

// receivers lists the enabled endpoints of the events' tenants.
func receivers(ctx context.Context, tx *db.Tx, batch []heard) (map[id.ID][]Endpoint, error) {
	to := map[id.ID][]Endpoint{}
	for _, h := range batch {
		to[h.Tenant] = nil
	}
	list, err := listening(ctx, tx, slices.Sorted(maps.Keys(to)))
	for _, e := range list {
		to[e.Tenant] = append(to[e.Tenant], e)
	}
	return to, err
}
