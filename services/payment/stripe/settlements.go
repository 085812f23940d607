package stripe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	stripego "github.com/stripe/stripe-go/v79"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment/settlement"
)

// readDispute reads a dispute at the account. Its state is that of the object: an event of
// another name may have come before.
func (g *Gateway) readDispute(ctx context.Context, acct, dispute string) (settlement.Dispute, error) {
	asked := db.NewTime(g.clock())
	d, err := g.api.disputes.Get(dispute, &stripego.DisputeParams{Params: params(ctx, acct, ""), Expand: stripego.StringSlice([]string{"charge"})})
	if err != nil {
		return settlement.Dispute{}, failed("read dispute "+dispute, acct, err)
	}
	state, ok := disputeStates[d.Status]
	if !ok {
		return settlement.Dispute{}, fmt.Errorf("stripe: dispute %s in state %q", d.ID, d.Status)
	}
	seen := settlement.Dispute{
		Provider: Name, ID: d.ID, Amount: money.Amount(d.Amount), Currency: strings.ToUpper(string(d.Currency)), Reason: string(d.Reason), State: state,
		CreatedAt: fromUnix(d.Created), ReadAt: asked,
	}
	if d.Charge != nil {
		seen.Transaction = transactionOf(d.Charge.Metadata)
	}
	for _, t := range d.BalanceTransactions { // funds_withdrawn, funds_reinstated
		seen.Taken -= money.Amount(t.Amount)
		seen.Fee += money.Amount(t.Fee)
	}
	return seen, nil
}

var disputeStates = map[stripego.DisputeStatus]settlement.DisputeState{
	stripego.DisputeStatusWarningNeedsResponse: settlement.Warning,
	stripego.DisputeStatusWarningUnderReview:   settlement.Warning,
	stripego.DisputeStatusWarningClosed:        settlement.Closed,
	stripego.DisputeStatusNeedsResponse:        settlement.NeedsResponse,
	stripego.DisputeStatusUnderReview:          settlement.UnderReview,
	stripego.DisputeStatusWon:                  settlement.Won,
	stripego.DisputeStatusLost:                 settlement.Lost,
}

var payoutStates = map[stripego.PayoutStatus]settlement.State{
	stripego.PayoutStatusPending:   settlement.Pending,
	stripego.PayoutStatusInTransit: settlement.Pending,
	stripego.PayoutStatusPaid:      settlement.Paid,
	stripego.PayoutStatusFailed:    settlement.Failed,
	stripego.PayoutStatusCanceled:  settlement.Failed,
}

// readPayout reads a payout and, once Stripe has put it together, its lines and the disputes
// among them. The lines of a payout that somebody made by hand Stripe does not know.
func (g *Gateway) readPayout(ctx context.Context, acct, payout string) (seen settlement.Settlement, disputes []settlement.Dispute, err error) {
	p, err := g.api.payouts.Get(payout, &stripego.PayoutParams{Params: params(ctx, acct, "")})
	if err != nil {
		return seen, nil, failed("read payout "+payout, acct, err)
	}
	state, ok := payoutStates[p.Status]
	if !ok {
		return seen, nil, fmt.Errorf("stripe: payout %s in state %q", p.ID, p.Status)
	}
	seen = settlement.Settlement{
		Provider: Name, ID: p.ID, Amount: money.Amount(p.Amount), Currency: strings.ToUpper(string(p.Currency)), State: state,
		ArrivesAt: fromUnix(p.ArrivalDate), CreatedAt: fromUnix(p.Created),
	}
	if p.ReconciliationStatus != stripego.PayoutReconciliationStatusCompleted {
		return seen, nil, nil
	}
	list := g.api.balance.List(&stripego.BalanceTransactionListParams{
		ListParams: listParams(ctx, acct), Payout: stripego.String(payout), Expand: stripego.StringSlice([]string{"data.source"}),
	})
	known := map[string]id.ID{} // transactions of disputes
	for list.Next() {
		t := list.BalanceTransaction()
		if t.Type == stripego.BalanceTransactionTypePayout { // the payout itself
			continue
		}
		l := settlement.Line{ID: t.ID, Kind: lineKind(t), Amount: money.Amount(t.Amount), Fee: money.Amount(t.Fee), Net: money.Amount(t.Net), At: fromUnix(t.Created)}
		if s := t.Source; s != nil {
			l.Source = s.ID
			switch {
			case s.Charge != nil:
				l.Transaction = transactionOf(s.Charge.Metadata)
			case s.Refund != nil:
				l.Transaction = transactionOf(s.Refund.Metadata)
			case s.Dispute != nil: // names nothing of ours, but its charge does
				if _, read := known[s.ID]; !read {
					d, err := g.readDispute(ctx, acct, s.ID)
					if err != nil {
						return seen, nil, err
					}
					known[s.ID], disputes = d.Transaction, append(disputes, d)
				}
				l.Transaction = known[s.ID]
			}
		}
		seen.Lines = append(seen.Lines, l)
	}
	if err := list.Err(); err != nil {
		return seen, nil, failed("list the lines of payout "+payout, acct, err)
	}
	seen.Complete = true
	return seen, disputes, nil
}

// lineKind says what a balance transaction is about. A dispute is an adjustment whose source it
// is, or the reversal of a debit: below zero when funds are withdrawn, above when they are reinstated. What a municipality's
// account does not have is other.
func lineKind(t *stripego.BalanceTransaction) settlement.Kind {
	switch t.Type {
	case stripego.BalanceTransactionTypeCharge, stripego.BalanceTransactionTypePayment:
		return settlement.LinePayment
	case stripego.BalanceTransactionTypeRefund, stripego.BalanceTransactionTypePaymentRefund,
		stripego.BalanceTransactionTypePaymentFailureRefund: // a debit that never arrived: takes its payment back
		return settlement.LineRefund
	case stripego.BalanceTransactionTypeRefundFailure:
		return settlement.LineRefundFailed
	case stripego.BalanceTransactionTypePayoutFailure, stripego.BalanceTransactionTypePayoutCancel:
		return settlement.LinePayoutFailed
	case stripego.BalanceTransactionTypeStripeFee, stripego.BalanceTransactionTypeStripeFxFee, stripego.BalanceTransactionTypeTaxFee,
		stripego.BalanceTransactionTypeApplicationFee:
		return settlement.LineFee
	}
	switch {
	case t.Type != stripego.BalanceTransactionTypePaymentReversal && (t.Source == nil || t.Source.Dispute == nil):
		return settlement.LineOther
	case t.Amount > 0:
		return settlement.LineDisputeWon
	}
	return settlement.LineDispute
}

func fromUnix(seconds int64) db.Time { return db.NewTime(time.Unix(seconds, 0)) }

// transactionOf returns the transaction that an object at Stripe names; "" if none.
func transactionOf(metadata map[string]string) id.ID {
	t, err := id.Parse(metadata[metaTransaction])
	if err != nil {
		return ""
	}
	return t
}

// followDispute reads a dispute and keeps how it stands.
func (v *events) followDispute(ctx context.Context, h hint) error {
	d, err := v.gateway.readDispute(ctx, h.Account, h.Subject)
	if err != nil {
		return err
	}
	return v.inTenant(ctx, h.Tenant, func(ctx context.Context, tx *db.Tx) error { return settlement.SaveDispute(ctx, tx, d) })
}

// followPayout reads a payout and keeps how it stands, with its lines and the disputes among them.
func (v *events) followPayout(ctx context.Context, h hint) error {
	s, disputes, err := v.gateway.readPayout(ctx, h.Account, h.Subject)
	if err != nil {
		return err
	}
	return v.inTenant(ctx, h.Tenant, func(ctx context.Context, tx *db.Tx) error {
		for _, d := range disputes {
			if err := settlement.SaveDispute(ctx, tx, d); err != nil {
				return err
			}
		}
		return settlement.Save(ctx, tx, s)
	})
}

// Unfinished reads payouts again that are not paid or not put together, in case no event tells.
func (v *events) Unfinished(ctx context.Context) error {
	sys := db.System(ctx)
	var list []settlement.Due
	err := v.db.Tx(sys, func(tx *db.Tx) (err error) {
		list, err = settlement.Claim(sys, tx, Name, batch)
		return err
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range list {
		err := v.again(ctx, d)
		if err == nil {
			continue
		}
		if errs = append(errs, err); ctx.Err() != nil || len(errs) == enough {
			break
		}
	}
	return errors.Join(errs...)
}

func (v *events) again(ctx context.Context, d settlement.Due) error {
	e, err := v.dir.ByID(ctx, d.Tenant)
	if err != nil {
		return err
	}
	acct, err := v.gateway.accountOf(ctx, e)
	if err != nil || acct == "" {
		return err
	}
	return v.followPayout(tenantdir.With(ctx, e), hint{Tenant: d.Tenant, Account: acct, Subject: d.ID})
}

func (v *events) inTenant(ctx context.Context, tenant id.ID, fn func(ctx context.Context, tx *db.Tx) error) error {
	entry, err := v.dir.ByID(ctx, tenant)
	if err != nil {
		return err
	}
	ctx = db.For(ctx, entry.Tenant)
	return v.db.Tx(ctx, func(tx *db.Tx) error { return fn(ctx, tx) })
}
