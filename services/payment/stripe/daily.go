package stripe

import (
	"context"
	"errors"
	"time"

	stripego "github.com/stripe/stripe-go/v79"

	"basisdienste/platform/db"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment/settlement"
)

const (
	lookEvery = 24 * time.Hour
	lookAgain = time.Hour           // after a look that failed
	lookBack  = 10 * 24 * time.Hour // longer than any outage that we outlive, and than Stripe repeats its events
)

// Daily searches each account for payouts and disputes of which no event came: the endpoint was
// away for too long, or the database is back from a backup. Several processes may search at once.
func (v *events) Daily(ctx context.Context) error {
	if v.clock().Sub(v.searched) < lookAgain {
		return nil
	}
	v.searched = v.clock()
	var errs []error
	inARow := 0 // failures: Stripe is away, the rest waits for the next time
	err := v.dir.Each(ctx, func(e tenantdir.Entry) bool {
		asked, err := v.search(ctx, e)
		switch {
		case err != nil:
			inARow++
			if len(errs) < enough {
				errs = append(errs, err)
			}
		case asked:
			inARow = 0
		}
		return ctx.Err() == nil && inARow < enough
	})
	return errors.Join(append(errs, err)...)
}

// search looks at one account, if it is time to, and reports whether Stripe was asked.
func (v *events) search(ctx context.Context, e tenantdir.Entry) (asked bool, err error) {
	account, err := v.gateway.accountOf(ctx, e)
	if err != nil || account == "" {
		return false, err
	}
	mine := false
	err = v.inTenant(ctx, e.ID, func(ctx context.Context, tx *db.Tx) error {
		failed := db.NewTime(tx.Now().Add(lookAgain - lookEvery)) // it counts as that until it has succeeded
		n, err := tx.Exec(ctx, `INSERT INTO stripe_looks (tenant_id, at) VALUES (?, ?)
			ON CONFLICT (tenant_id) DO UPDATE SET at = excluded.at WHERE stripe_looks.at <= ?`, tx.Tenant(), failed, db.NewTime(tx.Now().Add(-lookEvery)))
		mine = n == 1
		return err
	})
	if err != nil || !mine {
		return false, err
	}
	found, err := v.gateway.since(ctx, account, v.clock().Add(-lookBack))
	if err != nil {
		return true, err
	}
	for _, h := range found {
		h.Tenant, h.Account = e.ID, account
		if err := v.catchUp(tenantdir.With(ctx, e), h); err != nil {
			return true, err
		}
	}
	return true, v.inTenant(ctx, e.ID, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE stripe_looks SET at = ? WHERE tenant_id = ?`, tx.Now(), tx.Tenant())
		return err
	})
}

// catchUp reads what was found, unless nothing of it can be new.
func (v *events) catchUp(ctx context.Context, h hint) error {
	if h.About == aboutDispute {
		return v.followDispute(ctx, h)
	}
	var known settlement.Settlement
	err := v.inTenant(ctx, h.Tenant, func(ctx context.Context, tx *db.Tx) (err error) {
		known, err = settlement.Get(ctx, tx, Name, h.Subject)
		return err
	})
	if errors.Is(err, db.ErrNoRows) || err == nil && !known.Complete {
		return v.followPayout(ctx, h)
	}
	return err
}

// since lists the payouts and disputes of an account that were made from then on.
func (g *Gateway) since(ctx context.Context, account string, then time.Time) (found []hint, err error) {
	created := &stripego.RangeQueryParams{GreaterThanOrEqual: then.Unix()}
	payouts := g.api.payouts.List(&stripego.PayoutListParams{ListParams: listParams(ctx, account), CreatedRange: created})
	for payouts.Next() {
		found = append(found, hint{About: aboutPayout, Subject: payouts.Payout().ID})
	}
	if err := payouts.Err(); err != nil {
		return nil, failed("list payouts", account, err)
	}
	disputes := g.api.disputes.List(&stripego.DisputeListParams{ListParams: listParams(ctx, account), CreatedRange: created})
	for disputes.Next() {
		found = append(found, hint{About: aboutDispute, Subject: disputes.Dispute().ID})
	}
	if err := disputes.Err(); err != nil {
		return nil, failed("list disputes", account, err)
	}
	return found, nil
}
