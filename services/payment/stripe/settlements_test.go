package stripe_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/sandbox/stripeapi"
	"basisdienste/services/payment/stripe"
)

// read runs fn for the tenant.
func (o *town) read(e tenantdir.Entry, fn func(ctx context.Context, tx *db.Tx) error) {
	o.t.Helper()
	ctx := runtest.Context(o.t, e)
	if err := o.Process.Host("payment").DB.Read(ctx, func(tx *db.Tx) error { return fn(ctx, tx) }); err != nil {
		o.t.Fatal(err)
	}
}

func TestSettlements_PayoutsAddUpToTheirLinesAndNameTransactions(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]runtest.Option{"sqlite": nil, "postgres": {runtest.Postgres()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newTown(t, options...)
			jena := o.Put(withAccount(o.Tenant("jena", "160530000000"), o.api.Connect()))
			const paid = 102 // more than a page of Stripe's
			ids, sessions := make([]id.ID, paid), make([]string, paid)
			for i := range paid {
				ids[i] = id.New()
				s, err := o.gateway().Create(o.ctx, payment.Checkout{
					Attempt: id.New(), Transaction: ids[i], Tenant: o.erfurt.ID, Amount: 30_70, Currency: "EUR", Method: payment.CreditCard,
					Reference: "K0001", Text: "Ausweis", Language: "de", ReturnURL: "https://pay.example/return", ExpiresAt: o.Now().Add(time.Hour),
				})
				if err != nil {
					t.Fatal(err)
				}
				sessions[i] = session(s.ID)
				o.pay(sessions[i], stripeapi.CardOK)
			}
			o.api.Forget() // what is told of payments does not matter here
			refund := payment.RefundOrder{Refund: id.New(), Session: o.account + "/" + sessions[1], Tenant: o.erfurt.ID, Amount: 10_00, Currency: "EUR"}
			if got, err := o.gateway().Refund(o.ctx, refund); err != nil || got.State != payment.RefundSucceeded {
				t.Fatalf("Refund = %+v, %v; want it to have succeeded", got, err)
			}
			dispute, err := o.api.Dispute(sessions[0])
			if err != nil {
				t.Fatal(err)
			}
			payout := o.api.Payout(o.account)
			o.deliver(stripeapi.Delivery{Shuffle: rand.New(rand.NewPCG(5, 6)), Times: 2})

			from, until := o.Now().Add(-time.Hour), o.Now().Add(72*time.Hour)
			o.read(o.erfurt, func(ctx context.Context, tx *db.Tx) error {
				list, err := stripe.Payouts(ctx, tx, from, until)
				if err != nil || len(list) != 1 || list[0].ID != payout || !list[0].Complete || list[0].Status != "paid" || list[0].Currency != "EUR" {
					t.Fatalf("Payouts = %+v, %v; want %s, complete and paid", list, err, payout)
				}
				// 102 times 30.70 less 0.71; the refund; the dispute with its fee.
				want := paid*(money.Amount(30_70)-71) - 10_00 - 30_70 - 20_00
				if list[0].Amount != want {
					t.Errorf("payout of %s, want %s", list[0].Amount, want)
				}
				var net money.Amount
				of := map[id.ID]int{}
				for after := ""; ; {
					lines, err := stripe.PayoutLines(ctx, tx, payout, after, 50)
					if err != nil {
						return err
					}
					for _, l := range lines {
						net += l.Net
						of[l.Transaction]++
						after = l.ID
						if l.Amount-l.Fee != l.Net {
							t.Errorf("line %+v: net is not amount less fee", l)
						}
					}
					if len(lines) < 50 {
						break
					}
				}
				if net != want || of[""] != 0 || of[ids[0]] != 2 || of[ids[1]] != 2 || len(of) != paid {
					t.Errorf("lines sum up to %s and are of %d transactions, %d without; want %s of %d", net, len(of), of[""], want, paid)
				}
				return nil
			})

			o.api.Decide(dispute, true)
			o.deliver(stripeapi.Delivery{Shuffle: rand.New(rand.NewPCG(7, 8)), Times: 2})
			o.read(o.erfurt, func(ctx context.Context, tx *db.Tx) error {
				list, err := stripe.Disputes(ctx, tx, from, until)
				if err != nil || len(list) != 1 || list[0].ID != dispute || list[0].Status != "won" || list[0].Transaction != ids[0] ||
					list[0].Amount != 30_70 || list[0].Net != -20_00 || list[0].Fee != 20_00 {
					t.Errorf("Disputes = %+v, %v; want %s won, of %s, with a net of -20.00, its fee", list, err, dispute, ids[0])
				}
				return nil
			})
			o.read(jena, func(ctx context.Context, tx *db.Tx) error {
				payouts, err := stripe.Payouts(ctx, tx, from, until)
				if err != nil || len(payouts) > 0 {
					t.Errorf("Payouts of another tenant = %+v, %v; want none", payouts, err)
				}
				if lines, err := stripe.PayoutLines(ctx, tx, payout, "", 10); err != nil || len(lines) > 0 {
					t.Errorf("PayoutLines of another tenant = %+v, %v; want none", lines, err)
				}
				disputes, err := stripe.Disputes(ctx, tx, from, until)
				if err != nil || len(disputes) > 0 {
					t.Errorf("Disputes of another tenant = %+v, %v; want none", disputes, err)
				}
				return nil
			})
			if n := o.events("due_at IS NOT NULL"); n != 0 {
				t.Errorf("%d events wait, want none", n)
			}
		})
	}
}

func TestSettlements_WhatDoesNotAddUpIsNotComplete(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	o.pay(o.start(o.claim("r-1"), "card"), stripeapi.CardOK)
	payout := o.api.Payout(o.account)
	o.api.Fail("GET /v1/balance_transactions", stripeapi.Shorten, 100)
	o.deliver(stripeapi.Delivery{})
	o.read(o.erfurt, func(ctx context.Context, tx *db.Tx) error {
		list, err := stripe.Payouts(ctx, tx, o.Now().Add(-time.Hour), o.Now().Add(72*time.Hour))
		if err != nil || len(list) > 0 {
			t.Errorf("Payouts = %+v, %v; want none as long as its lines do not sum up", list, err)
		}
		return nil
	})
	o.api.Recover()
	o.Pass(time.Minute)
	runtest.Eventually(t, "the job reads the payout again", func() (complete bool) {
		o.read(o.erfurt, func(ctx context.Context, tx *db.Tx) error {
			list, err := stripe.Payouts(ctx, tx, o.Now().Add(-time.Hour), o.Now().Add(72*time.Hour))
			complete = len(list) == 1 && list[0].ID == payout && list[0].Complete
			return err
		})
		return complete
	})
}
