package payment

import (
	"context"
	"errors"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenantdir"
)

// Notified is told by a provider's notification that something happened to a transaction. It
// believes nothing but that it may be worth a look, so a forged, repeated or late one does no
// harm. Errors: unknown_tenant, unknown_transaction, provider_unavailable; on an error the
// provider should notify again.
func (s *Service) Notified(ctx context.Context, tenantID, txID id.ID) error {
	ctx, err := s.enter(ctx, tenantID)
	if err != nil {
		return err
	}
	_, err = s.Refresh(ctx, txID)
	return err
}

// enter returns a context that acts for the tenant.
func (s *Service) enter(ctx context.Context, tenantID id.ID) (context.Context, error) {
	e, err := s.dir.ByID(ctx, tenantID)
	if err != nil {
		return ctx, err
	}
	return tenantdir.With(db.For(ctx, e.Tenant), e), nil
}

// Sweep asks the providers about the open attempts that are due, so that a payment is found
// even if neither notification nor browser ever came. One that cannot be read does not stop
// the others. Several processes may sweep at once.
func (s *Service) Sweep(ctx context.Context) error {
	sys := db.System(ctx)
	var errs []error
	for {
		var list []due
		err := s.db.Tx(sys, func(tx *db.Tx) (err error) {
			list, err = dueAttempts(sys, tx, s.cfg.SweepBatch)
			return err
		})
		if err != nil {
			return err
		}
		for _, d := range list {
			errs = keepFew(errs, s.Notified(ctx, d.Tenant, d.Transaction))
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if len(list) < s.cfg.SweepBatch {
			return errors.Join(errs...)
		}
	}
}

// Expire ends the transactions whose time is over. Where the provider cannot be asked whether
// money is under way, the transaction stays open until it can.
func (s *Service) Expire(ctx context.Context) error {
	sys := db.System(ctx)
	var errs []error
	var after due
	for {
		var list []due
		err := s.db.Read(sys, func(tx *db.Tx) (err error) {
			list, err = dueTransactions(sys, tx, after, s.cfg.SweepBatch)
			return err
		})
		if err != nil {
			return err
		}
		for _, d := range list {
			inTenant, err := s.enter(ctx, d.Tenant)
			if err == nil {
				err = s.expire(inTenant, d.Transaction)
			}
			if !fault.Is(err, "payment_processing") { // money is under way: later
				errs = keepFew(errs, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if len(list) < s.cfg.SweepBatch {
			return errors.Join(errs...)
		}
		after = list[len(list)-1]
	}
}

// keepFew collects errors, but not thousands of the same kind.
func keepFew(errs []error, err error) []error {
	if err == nil || len(errs) >= 3 {
		return errs
	}
	return append(errs, err)
}
