package stripe_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/ledger"
	"basisdienste/services/payment/sandbox/stripeapi"
	"basisdienste/services/payment/settlement"
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

// settled lists the tenant's settlements, the newest first.
func (o *town) settled(e tenantdir.Entry) (list []settlement.Settlement) {
	o.t.Helper()
	o.read(e, func(ctx context.Context, tx *db.Tx) (err error) {
		list, err = settlement.List(ctx, tx, settlement.Filter{Limit: 100})
		return err
	})
	return list
}

func (o *town) wantSettled(e tenantdir.Entry, payout string) {
	o.t.Helper()
	list := o.settled(e)
	if len(list) != 1 || list[0].ID != payout || list[0].Provider != stripe.Name || !list[0].Complete || list[0].State != settlement.Paid || list[0].Currency != "EUR" {
		o.t.Errorf("settlements = %+v; want %s, complete and paid", list, payout)
	}
}

func (o *town) disputes(e tenantdir.Entry) (list []settlement.Dispute) {
	o.t.Helper()
	o.read(e, func(ctx context.Context, tx *db.Tx) (err error) {
		list, err = settlement.Disputes(ctx, tx, settlement.Filter{Limit: 100})
		return err
	})
	return list
}

func (o *town) wantBalances(when string, want map[ledger.Account]money.Amount) {
	o.t.Helper()
	o.read(o.erfurt, func(ctx context.Context, tx *db.Tx) error {
		got, err := ledger.Balances(ctx, tx, o.Now().Add(time.Second))
		maps.DeleteFunc(got, func(_ ledger.Account, a money.Amount) bool { return a == 0 })
		if err != nil || !maps.Equal(got, want) {
			o.t.Errorf("%s: balances = %v, %v\nwant %v", when, got, err, want)
		}
		return nil
	})
}

func (o *town) paid(request string) (txID id.ID, session string) {
	o.t.Helper()
	txID = o.claim(request)
	session = o.start(txID, "card")
	o.pay(session, stripeapi.CardOK)
	return txID, session
}

func (o *town) shuffled(seed uint64) {
	o.t.Helper()
	o.deliver(stripeapi.Delivery{Shuffle: rand.New(rand.NewPCG(seed, 7)), Times: 2})
}

func (o *town) refund(txID id.ID, amount money.Amount) payment.Refund {
	o.t.Helper()
	r, err := o.service.RequestRefund(o.ctx, txID, payment.RefundWanted{Amount: amount, Note: "Kulanz"})
	if err != nil {
		o.t.Fatalf("RequestRefund: %v", err)
	}
	return r
}

func (o *town) wantRefund(when string, r payment.Refund, state payment.RefundState, reason string) {
	o.t.Helper()
	list, err := o.service.Refunds(o.ctx, r.TransactionID)
	for _, got := range list {
		if got.ID == r.ID && (got.State != state || got.Reason != reason) {
			o.t.Errorf("%s: the refund is %s %q; want %s %q", when, got.State, got.Reason, state, reason)
		}
	}
	if err != nil || len(list) == 0 {
		o.t.Errorf("Refunds = %+v, %v; want some", list, err)
	}
}

// lookTime is after the next search of the accounts.
const lookTime = 25 * time.Hour

// fee is what the fake keeps of 30.70.
const fee = money.Amount(71)

func TestSettlements_FromPaymentToBank(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]runtest.Option{"sqlite": nil, "postgres": {runtest.Postgres()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newTown(t, options...)
			jena := o.Put(withAccount(o.Tenant("jena", "160530000000"), o.api.Connect()))
			disputed, session := o.paid("r-1")
			refunded, _ := o.paid("r-2")
			kept, other := o.paid("r-3")
			o.shuffled(1)
			o.refund(refunded, 10_00)
			dispute, err := o.api.Dispute(session)
			if err != nil {
				t.Fatal(err)
			}
			first := o.api.Send(o.account)
			o.shuffled(2)
			if list := o.settled(o.erfurt); len(list) != 1 || list[0].State != settlement.Pending || list[0].Complete {
				t.Errorf("settlements = %+v; want one on its way, without lines", list)
			}
			o.wantBalances("before it is put together", map[ledger.Account]money.Amount{"revenue/-": -3*30_70 + 10_00, "clearing/stripe": 3*30_70 - 10_00})

			o.api.Arrive(first)
			o.shuffled(3)
			o.wantSettled(o.erfurt, first)
			taken := 3*30_70 - 10_00 - 30_70 - 3*fee - 20_00
			o.wantBalances("arrived", map[ledger.Account]money.Amount{"revenue/-": -3*30_70 + 10_00, "bank": taken, "fees": 3*fee + 20_00, "disputed": 30_70})
			o.read(o.erfurt, func(ctx context.Context, tx *db.Tx) error {
				lines, err := settlement.Lines(ctx, tx, stripe.Name, first, 0, 100)
				of := map[id.ID]string{}
				for _, l := range lines {
					of[l.Transaction] += string(l.Kind) + " "
				}
				if err != nil || len(lines) != 5 || of[disputed] != "payment dispute " || of[refunded] != "payment refund " || of[kept] != "payment " {
					t.Errorf("Lines = %+v, %v; want five, each of its transaction", lines, err)
				}
				return nil
			})

			// The dispute is won; another one, of a payment that was settled long ago, is lost.
			lost, err := o.api.Dispute(other)
			if err != nil {
				t.Fatal(err)
			}
			o.api.Decide(dispute, true)
			o.api.Decide(lost, false)
			second := o.api.Payout(o.account) // below zero: Stripe takes it from the bank
			o.shuffled(4)
			o.wantBalances("decided", map[ledger.Account]money.Amount{
				"revenue/-": -3*30_70 + 10_00, "bank": taken - 20_00, "fees": 3*fee + 2*20_00, "chargebacks": 30_70,
			})
			if list := o.settled(o.erfurt); len(list) != 2 || list[0].ID != second && list[1].ID != second {
				t.Errorf("settlements = %+v; want two", list)
			}
			states := map[id.ID]settlement.DisputeState{}
			for _, d := range o.disputes(o.erfurt) {
				states[d.Transaction] = d.State
				if d.Amount != 30_70 || d.Fee != 20_00 || d.Reason != "general" || d.Currency != "EUR" {
					t.Errorf("dispute = %+v; want 30.70, a fee of 20.00 and the reason", d)
				}
			}
			if states[disputed] != settlement.Won || states[kept] != settlement.Lost || len(states) != 2 {
				t.Errorf("disputes = %v; want one won and one lost", states)
			}

			// A payout comes back: it is in the next one.
			_, _ = o.paid("r-4")
			third := o.api.Send(o.account)
			o.api.Arrive(third)
			o.shuffled(5)
			o.api.Bounce(third)
			o.shuffled(6)
			o.wantBalances("came back", map[ledger.Account]money.Amount{
				"revenue/-": -4*30_70 + 10_00, "bank": taken - 20_00, "fees": 4*fee + 2*20_00, "chargebacks": 30_70, "clearing/stripe": 30_70 - fee,
			})
			o.api.Payout(o.account)
			o.shuffled(7)
			o.wantBalances("paid out again", map[ledger.Account]money.Amount{
				"revenue/-": -4*30_70 + 10_00, "bank": taken - 20_00 + 30_70 - fee, "fees": 4*fee + 2*20_00, "chargebacks": 30_70,
			})
			if list, disputes := o.settled(jena), o.disputes(jena); len(list) > 0 || len(disputes) > 0 {
				t.Errorf("another tenant has %+v and %+v; want none", list, disputes)
			}
			if n := o.events("due_at IS NOT NULL"); n != 0 {
				t.Errorf("%d events wait, want none", n)
			}
		})
	}
}

// A payout has more lines than a page of Stripe's.
func TestSettlements_ManyLines(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	const paid = 102
	of := map[id.ID]int{}
	for range paid {
		txID := id.New()
		s, err := o.gateway().Create(o.ctx, payment.Checkout{
			Attempt: id.New(), Transaction: txID, Tenant: o.erfurt.ID, Amount: 30_70, Currency: "EUR", Method: payment.CreditCard,
			Reference: "K0001", Text: "Ausweis", Language: "de", ReturnURL: "https://pay.example/return", ExpiresAt: o.Now().Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		o.pay(session(s.ID), stripeapi.CardOK)
		of[txID] = 0
	}
	o.api.Forget() // what is told of payments does not matter here
	payout := o.api.Payout(o.account)
	o.shuffled(1)
	o.wantSettled(o.erfurt, payout)
	o.read(o.erfurt, func(ctx context.Context, tx *db.Tx) error {
		lines, err := settlement.Lines(ctx, tx, stripe.Name, payout, 0, 1000)
		for _, l := range lines {
			of[l.Transaction]++
		}
		if err != nil || len(lines) != paid || len(of) != paid || of[""] != 0 {
			t.Errorf("%d lines of %d transactions, %v; want %d of each", len(lines), len(of), err, paid)
		}
		return nil
	})
}

func TestSettlements_WhatDoesNotAddUpIsNotComplete(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	o.paid("r-1")
	payout := o.api.Payout(o.account)
	o.api.Fail("GET /v1/balance_transactions", stripeapi.Shorten, 100)
	o.deliver(stripeapi.Delivery{})
	if list := o.settled(o.erfurt); len(list) > 0 {
		t.Errorf("settlements = %+v; want none as long as its lines do not sum up", list)
	}
	o.api.Recover()
	o.Pass(time.Minute)
	runtest.Eventually(t, "the job reads the payout again", func() bool {
		list := o.settled(o.erfurt)
		return len(list) == 1 && list[0].ID == payout && list[0].Complete
	})
}

// Nobody tells that the payout arrived: it is looked for.
func TestSettlements_EventsAreLost(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	o.paid("r-1")
	payout := o.api.Send(o.account)
	o.deliver(stripeapi.Delivery{})
	o.api.Arrive(payout)
	o.api.Forget()
	o.Pass(7 * time.Hour)
	runtest.Eventually(t, "the job reads the payout again", func() bool {
		list := o.settled(o.erfurt)
		return len(list) == 1 && list[0].ID == payout && list[0].Complete && list[0].State == settlement.Paid
	})
}

// Not one event came for days.
func TestSettlements_NoEventAtAll(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]runtest.Option{"sqlite": nil, "postgres": {runtest.Postgres()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newTown(t, options...)
			o.paid("r-1")
			_, session := o.paid("r-2")
			dispute, err := o.api.Dispute(session)
			if err != nil {
				t.Fatal(err)
			}
			payout := o.api.Payout(o.account)
			o.api.Forget()
			jena := o.Put(o.Tenant("jena", "160530000000"))
			o.Pass(lookTime)
			runtest.Eventually(t, "what no event told is found", func() bool {
				settled, disputes := o.settled(o.erfurt), o.disputes(o.erfurt)
				return len(settled) == 1 && settled[0].ID == payout && settled[0].Complete && len(disputes) == 1 && disputes[0].ID == dispute
			})
			for e, want := range map[string]int{"erfurt": 1, "jena": 0} {
				of := o.erfurt
				if e == "jena" {
					of = jena
				}
				o.read(of, func(ctx context.Context, tx *db.Tx) (err error) {
					var n int
					if err = tx.Get(ctx, &n, `SELECT count(*) FROM stripe_looks WHERE tenant_id <> ?`, of.ID); n != 0 && name == "postgres" {
						t.Errorf("%s sees %d looks of others: the database lets it", e, n)
					}
					if err == nil {
						err = tx.Get(ctx, &n, `SELECT count(*) FROM stripe_looks WHERE tenant_id = ?`, of.ID)
					}
					if n != want {
						t.Errorf("%s has %d looks, want %d", e, n, want)
					}
					return err
				})
			}
		})
	}
}

// A payer disputes a payment of which money goes back, or went back.
func TestDisputes_CrossRefunds(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]runtest.Option{"sqlite": nil, "postgres": {runtest.Postgres()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newTown(t, options...)
			// After a refund of a part the rest is disputed, and nothing more can be given back.
			part, session := o.paid("r-1")
			o.shuffled(1)
			before := o.refund(part, 10_00)
			dispute, err := o.api.Dispute(session)
			if err != nil {
				t.Fatal(err)
			}
			after := o.refund(part, 5_00) // we have not heard of the dispute
			o.wantRefund("before the dispute", before, payment.RefundSucceeded, "")
			o.wantRefund("of a disputed charge", after, payment.RefundFailed, "charge_disputed")
			o.shuffled(2)
			if list := o.disputes(o.erfurt); len(list) != 1 || list[0].Amount != 20_70 || list[0].Taken != 20_70 || list[0].State != settlement.NeedsResponse {
				t.Errorf("disputes = %+v; want 20.70, the rest", list)
			}
			// A refund is on its way when the dispute comes: it fails, and the whole is disputed.
			flight := o.claim("r-2")
			second := o.start(flight, "card")
			o.pay(second, stripeapi.CardRefundPending)
			o.shuffled(3)
			pending := o.refund(flight, 10_00)
			o.wantRefund("on its way", pending, payment.RefundSubmitted, "")
			other, err := o.api.Dispute(second)
			if err != nil {
				t.Fatal(err)
			}
			o.shuffled(4)
			o.wantRefund("overtaken by a dispute", pending, payment.RefundFailed, "charge_for_pending_refund_disputed")
			o.api.Decide(dispute, false)
			o.api.Decide(other, true)
			o.api.Payout(o.account)
			o.shuffled(5)
			o.wantBalances("settled", map[ledger.Account]money.Amount{
				"revenue/-": -2*30_70 + 10_00, "bank": 2*30_70 - 10_00 - 20_70 - 2*fee - 2*20_00, "fees": 2*fee + 2*20_00, "chargebacks": 20_70,
			})
			o.Pass(time.Hour)
			if err := o.service.SweepRefunds(t.Context()); err != nil {
				t.Errorf("SweepRefunds = %v; want nothing left to ask for", err)
			}
			o.wantRefund("asked for no more", after, payment.RefundFailed, "charge_disputed")
			if n := o.events("due_at IS NOT NULL"); n != 0 {
				t.Errorf("%d events wait, want none", n)
			}
		})
	}
}

// The bank asks first: no money moves, and a refund is still possible.
func TestDisputes_Inquiry(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	asked, session := o.paid("r-1")
	o.shuffled(1)
	inquiry, err := o.api.Inquire(session)
	if err != nil {
		t.Fatal(err)
	}
	o.shuffled(2)
	want := func(state settlement.DisputeState) {
		t.Helper()
		if d := o.disputes(o.erfurt); len(d) != 1 || d[0].ID != inquiry || d[0].State != state || d[0].Taken != 0 || d[0].Fee != 0 || d[0].Transaction != asked {
			t.Errorf("disputes = %+v; want %s in state %s, with nothing taken", d, inquiry, state)
		}
	}
	want(settlement.Warning)
	o.wantRefund("during an inquiry", o.refund(asked, 5_00), payment.RefundSucceeded, "")
	o.api.Answered(inquiry)
	o.shuffled(3)
	want(settlement.Closed)
	o.wantBalances("after it", map[ledger.Account]money.Amount{"revenue/-": -25_70, "clearing/stripe": 25_70})
}
