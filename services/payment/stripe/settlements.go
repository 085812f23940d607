package stripe

import (
	"context"
	"fmt"
	"strings"
	"time"

	stripego "github.com/stripe/stripe-go/v79"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
)

// readDispute reads a dispute at the account. Its state is that of the object: an event of
// another name may have come before.
func (g *Gateway) readDispute(ctx context.Context, acct, dispute string) (Dispute, error) {
	d, err := g.api.disputes.Get(dispute, &stripego.DisputeParams{Params: params(ctx, acct, ""), Expand: stripego.StringSlice([]string{"charge"})})
	if err != nil {
		return Dispute{}, failed("read dispute "+dispute, acct, err)
	}
	seen := Dispute{
		ID: d.ID, Amount: money.Amount(d.Amount), Currency: strings.ToUpper(string(d.Currency)), Status: string(d.Status), Reason: string(d.Reason),
		CreatedAt: fromUnix(d.Created), ReadAt: db.NewTime(g.clock()),
	}
	if d.Charge != nil {
		seen.Charge, seen.Transaction = d.Charge.ID, transactionOf(d.Charge.Metadata)
	}
	for _, t := range d.BalanceTransactions {
		seen.Net += money.Amount(t.Net)
		seen.Fee += money.Amount(t.Fee)
	}
	return seen, nil
}

// readPayout reads a payout and, once Stripe has put it together, its lines. Those of a payout
// that somebody made by hand Stripe does not know.
func (g *Gateway) readPayout(ctx context.Context, acct, payout string) (Payout, []PayoutLine, error) {
	p, err := g.api.payouts.Get(payout, &stripego.PayoutParams{Params: params(ctx, acct, "")})
	if err != nil {
		return Payout{}, nil, failed("read payout "+payout, acct, err)
	}
	seen := Payout{
		ID: p.ID, Amount: money.Amount(p.Amount), Currency: strings.ToUpper(string(p.Currency)), Status: string(p.Status),
		ArrivesAt: fromUnix(p.ArrivalDate), CreatedAt: fromUnix(p.Created), ReadAt: db.NewTime(g.clock()),
	}
	if p.ReconciliationStatus != stripego.PayoutReconciliationStatusCompleted {
		return seen, nil, nil
	}
	list := g.api.balance.List(&stripego.BalanceTransactionListParams{
		ListParams: listParams(ctx, acct), Payout: stripego.String(payout), Expand: stripego.StringSlice([]string{"data.source"}),
	})
	var lines []PayoutLine
	var sum money.Amount
	for list.Next() {
		t := list.BalanceTransaction()
		if t.Type == stripego.BalanceTransactionTypePayout { // the payout itself
			continue
		}
		l := PayoutLine{
			ID: t.ID, Kind: string(t.Type), Amount: money.Amount(t.Amount), Fee: money.Amount(t.Fee), Net: money.Amount(t.Net), CreatedAt: fromUnix(t.Created),
		}
		if s := t.Source; s != nil {
			l.Source = s.ID
			switch {
			case s.Charge != nil:
				l.Transaction = transactionOf(s.Charge.Metadata)
			case s.Refund != nil:
				l.Transaction = transactionOf(s.Refund.Metadata)
			case s.Dispute != nil:
				l.dispute = true
			}
		}
		lines, sum = append(lines, l), sum+l.Net
	}
	if err := list.Err(); err != nil {
		return seen, nil, failed("list the lines of payout "+payout, acct, err)
	}
	if sum != seen.Amount {
		return seen, nil, fmt.Errorf("stripe: the %d lines of payout %s sum up to %s, not %s", len(lines), payout, sum, seen.Amount)
	}
	seen.Complete = true
	return seen, lines, nil
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
	return v.inTenant(ctx, h.Tenant, func(ctx context.Context, tx *db.Tx) error { return saveDispute(ctx, tx, d) })
}

// followPayout reads a payout and keeps how it stands, with its lines and the disputes among them.
func (v *events) followPayout(ctx context.Context, h hint) error {
	p, lines, err := v.gateway.readPayout(ctx, h.Account, h.Subject)
	if err != nil {
		return err
	}
	var disputes []Dispute
	for i := range lines {
		if l := &lines[i]; l.dispute { // names nothing of ours, but its charge does
			d, err := v.gateway.readDispute(ctx, h.Account, l.Source)
			if err != nil {
				return err
			}
			l.Transaction, disputes = d.Transaction, append(disputes, d)
		}
	}
	return v.inTenant(ctx, h.Tenant, func(ctx context.Context, tx *db.Tx) error {
		for _, d := range disputes {
			if err := saveDispute(ctx, tx, d); err != nil {
				return err
			}
		}
		return savePayout(ctx, tx, p, lines)
	})
}

func (v *events) inTenant(ctx context.Context, tenant id.ID, fn func(ctx context.Context, tx *db.Tx) error) error {
	entry, err := v.dir.ByID(ctx, tenant)
	if err != nil {
		return err
	}
	ctx = db.For(ctx, entry.Tenant)
	return v.db.Tx(ctx, func(tx *db.Tx) error { return fn(ctx, tx) })
}
