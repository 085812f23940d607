package forms

import (
	"context"
	"errors"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

// listen registers what the service hears: how payments end, and its own events, for which
// it writes to the applicant. The names are for good.
func (s *Service) listen(r *bus.Router) {
	bus.Handle(r, "payment-payed", s.onPayed)
	bus.Handle(r, "payment-failed", func(ctx context.Context, tx *db.Tx, _ bus.Meta, e events.TransactionFailed) error {
		return s.onOver(ctx, tx, e.RequestID, PaymentFailed)
	})
	bus.Handle(r, "payment-canceled", func(ctx context.Context, tx *db.Tx, _ bus.Meta, e events.TransactionCanceled) error {
		return s.onOver(ctx, tx, e.RequestID, PaymentCanceled)
	})
	bus.Handle(r, "payment-expired", func(ctx context.Context, tx *db.Tx, _ bus.Meta, e events.TransactionExpired) error {
		return s.onOver(ctx, tx, e.RequestID, PaymentExpired)
	})
	bus.Call(r, "mail-received", func(ctx context.Context, m bus.Meta, e events.ApplicationSubmitted) error {
		return s.write(ctx, m, e.ApplicationID, "application-received", nil)
	})
	bus.Call(r, "mail-paid", func(ctx context.Context, m bus.Meta, e events.ApplicationPaid) error {
		return s.write(ctx, m, e.ApplicationID, "payment-receipt", func(_ tenantdir.Entry, a *Matter) map[string]string {
			more := map[string]string{"amount": a.Amount.String(), "kassenzeichen": "", "paid_at": e.At.UTC().Format(time.RFC3339)}
			for _, p := range a.Payments {
				if p.TransactionID == e.TransactionID {
					more["kassenzeichen"] = p.Kassenzeichen
				}
			}
			return more
		})
	})
	bus.Call(r, "mail-accepted", func(ctx context.Context, m bus.Meta, e events.ApplicationAccepted) error {
		return s.write(ctx, m, e.ApplicationID, "application-accepted", func(e tenantdir.Entry, _ *Matter) map[string]string {
			return map[string]string{"booking_link": s.BaseURL + "/t/" + e.Slug + "/booking/"}
		})
	})
	bus.Call(r, "mail-rejected", func(ctx context.Context, m bus.Meta, e events.ApplicationRejected) error {
		return s.write(ctx, m, e.ApplicationID, "application-rejected", func(_ tenantdir.Entry, a *Matter) map[string]string {
			return map[string]string{"reason": a.Reason}
		})
	})
}

// write tells the applicant about one of our own events; the event's id is the key.
func (s *Service) write(ctx context.Context, meta bus.Meta, appID, template string, more func(tenantdir.Entry, *Matter) map[string]string) error {
	e, err := s.Dir.ByID(ctx, meta.Tenant)
	if err != nil {
		return err
	}
	ctx = actFor(ctx, e)
	m, err := s.read(ctx, id.ID(appID), func(tx *db.Tx, m *Matter) (err error) {
		if m.Amount > 0 {
			m.Payments, err = paymentsOf(ctx, tx, m.ID)
		}
		return err
	})
	if err != nil {
		return err
	}
	var values map[string]string
	if more != nil {
		values = more(e, m)
	}
	return s.tell(ctx, e, m, template, meta.ID.String(), values)
}

// actFor returns a context that acts for the tenant, with its settings.
func actFor(ctx context.Context, e tenantdir.Entry) context.Context {
	return tenantdir.With(db.For(ctx, tenant.Tenant{ID: e.ID, Slug: e.Slug, Name: e.Name}), e)
}

// onPayed moves the application on. Payments of other clients of the payment service, and
// of applications that were paid or left meanwhile, move nothing; of the latter the log
// tells the clerk, who has to give the money back.
func (s *Service) onPayed(ctx context.Context, tx *db.Tx, _ bus.Meta, e events.TransactionPayed) error {
	p, err := lockPayment(ctx, tx, e.RequestID)
	if errors.Is(err, db.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if p.State == PaymentPayed {
		return nil
	}
	p.State, p.TransactionID, p.Kassenzeichen, p.Method = PaymentPayed, e.TransactionID, e.Kassenzeichen, e.Method
	if err := savePayment(ctx, tx, p); err != nil {
		return err
	}
	a, err := lockApplication(ctx, tx, p.ApplicationID)
	if err != nil {
		return err
	}
	now := tx.Now()
	switch {
	case e.Amount != int64(p.Amount):
		return addLog(ctx, tx, a.ID, "paid_other_amount", "system", e.TransactionID)
	case !a.Pay(now):
		return addLog(ctx, tx, a.ID, "paid_in_vain", "system", e.TransactionID)
	}
	if err := addLog(ctx, tx, a.ID, "paid", "system", e.TransactionID); err != nil {
		return err
	}
	if err := outbox.Put(ctx, tx, a.event(now, e.TransactionID)); err != nil {
		return err
	}
	if err := a.Deliver(); err != nil {
		return err
	}
	a.EditedAt = now
	if err := saveApplication(ctx, tx, a); err != nil {
		return err
	}
	return s.tellDelivered(ctx, tx, a)
}

// onOver ends an attempt without money. The applicant may pay again.
func (s *Service) onOver(ctx context.Context, tx *db.Tx, requestID string, state PaymentState) error {
	p, err := lockPayment(ctx, tx, requestID)
	if errors.Is(err, db.ErrNoRows) {
		return nil
	}
	if err != nil || (p.State != PaymentWanted && p.State != PaymentOpen) {
		return err
	}
	p.State = state
	if err := savePayment(ctx, tx, p); err != nil {
		return err
	}
	return addLog(ctx, tx, p.ApplicationID, "payment_"+string(state), "system", p.TransactionID)
}
