package settlement_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment/ledger"
	"basisdienste/services/payment/settlement"
)

// vendor is a provider with a balance that it pays out, and the service that hears of payments
// and refunds.
type vendor struct {
	*kasse
	rng      *rand.Rand
	n        int
	payments []*taking
	disputes []*settlement.Dispute
	lines    []settlement.Line // not paid out yet
	sent     []settlement.Settlement

	fees, lost, bank, earned money.Amount // what has to come out
}

type taking struct {
	of       id.ID
	left     money.Amount
	disputed bool
}

func (v *vendor) happens(kind settlement.Kind, of id.ID, amount, fee money.Amount) {
	v.n++
	v.lines = append(v.lines, line(fmt.Sprintf("txn_%d", v.n), kind, of, amount, fee))
	v.lines[len(v.lines)-1].At = at(v.n)
	v.fees += fee
	if kind == settlement.LineFee || kind == settlement.LineOther {
		v.fees -= amount
	}
}

// core books what the service books itself.
func (v *vendor) core(of id.ID, kind ledger.Kind, debit, credit ledger.Account, amount money.Amount) {
	v.t.Helper()
	v.n++
	v.tx(func(tx *db.Tx) error {
		return ledger.Book(v.ctx, tx, ledger.Booking{
			Transaction: of, Kind: kind, Reference: fmt.Sprint("r-", v.n), Moves: []ledger.Move{{Debit: debit, Credit: credit, Amount: amount}},
		})
	})
}

func (v *vendor) step() {
	v.t.Helper()
	clearing, revenue := ledger.Clearing("bank-of-x"), ledger.Revenue("1100")
	cents := func(most int) money.Amount { return money.Amount(1 + v.rng.IntN(most)) }
	var p *taking
	if len(v.payments) > 0 {
		p = v.payments[v.rng.IntN(len(v.payments))]
	}
	switch what := v.rng.IntN(12); {
	case p == nil || what < 5:
		p = &taking{of: id.New(), left: cents(10000)}
		v.payments = append(v.payments, p)
		v.core(p.of, ledger.Claim, ledger.Claims, revenue, p.left)
		v.core(p.of, ledger.Paid, clearing, ledger.Claims, p.left)
		v.happens(settlement.LinePayment, p.of, p.left, cents(80)-1)
		v.earned += p.left
	case what < 7 && p.left > 0 && !p.disputed: // a refund, which may come back
		amount := cents(int(p.left))
		v.core(p.of, ledger.Refund, revenue, clearing, amount)
		v.happens(settlement.LineRefund, p.of, -amount, 0)
		if v.rng.IntN(3) == 0 {
			v.core(p.of, ledger.RefundFailed, clearing, revenue, amount)
			v.happens(settlement.LineRefundFailed, p.of, amount, 0)
		} else {
			p.left -= amount
			v.earned -= amount
		}
	case what < 9 && p.left > 0 && !p.disputed:
		p.disputed = true
		v.n++
		d := &settlement.Dispute{
			Provider: "bank-of-x", ID: fmt.Sprint("dp_", v.n), Transaction: p.of, Amount: p.left, Taken: p.left, Fee: 1500, Currency: "EUR",
			State: settlement.NeedsResponse, CreatedAt: at(v.n), ReadAt: at(v.n),
		}
		v.disputes = append(v.disputes, d)
		v.happens(settlement.LineDispute, p.of, -p.left, 1500)
		v.dispute(*d)
	case what == 9 && len(v.disputes) > 0:
		v.decide(v.disputes[v.rng.IntN(len(v.disputes))])
	case what == 10:
		v.happens([]settlement.Kind{settlement.LineFee, settlement.LineOther}[v.rng.IntN(2)], "", -cents(900), 0)
	case what == 11:
		v.payOut()
	}
}

func (v *vendor) decide(d *settlement.Dispute) {
	v.t.Helper()
	if d.State != settlement.NeedsResponse {
		return
	}
	open := *d
	v.n++
	d.State, d.ReadAt = settlement.Lost, at(v.n)
	if v.rng.IntN(2) == 0 {
		d.State = settlement.Won
		v.happens(settlement.LineDisputeWon, d.Transaction, d.Taken, money.Amount(-1500*v.rng.IntN(2))) // some give the fee back
		d.Taken = 0
	} else {
		v.lost += d.Taken
	}
	for _, read := range []settlement.Dispute{*d, open, *d} {
		v.dispute(read)
	}
}

// payOut pays out the balance; it may fail at once, or after it was said to be paid.
func (v *vendor) payOut() {
	v.t.Helper()
	v.n++
	s := payout(fmt.Sprint("po_", v.n), settlement.Paid, v.lines...)
	v.lines = nil
	v.sent = append(v.sent, s)
	bare, pending := s, s
	bare.State, bare.Complete, bare.Lines = settlement.Pending, false, nil
	pending.State = settlement.Pending
	reads := []settlement.Settlement{bare, pending, s}
	switch v.rng.IntN(5) {
	case 0: // before it was paid
		s.State = settlement.Failed
		reads = []settlement.Settlement{bare, pending, s}
	case 1:
		failed := s
		failed.State = settlement.Failed
		reads = []settlement.Settlement{bare, s, failed}
	}
	last := reads[len(reads)-1]
	v.rng.Shuffle(len(reads), func(i, j int) { reads[i], reads[j] = reads[j], reads[i] })
	for _, r := range append(reads, last) {
		v.save(r)
	}
	if last.State == settlement.Failed {
		v.happens(settlement.LinePayoutFailed, "", s.Amount, 0)
	} else {
		v.bank += s.Amount
	}
}

// Whatever happened: once all is paid out, the provider owes nothing, and the books say where
// the money is.
func TestRandom_ClearingIsZeroAfterAllSettlements(t *testing.T) {
	each(t, func(t *testing.T, k *kasse) {
		const seeds, steps = 6, 120
		for seed := range uint64(seeds) {
			name := fmt.Sprintf("town-%d", seed)
			v := &vendor{kasse: &kasse{t: t, db: k.db, ctx: dbtest.Tenant(t, name)}, rng: rand.New(rand.NewPCG(seed, 7))}
			for range steps {
				v.step()
			}
			for _, d := range v.disputes {
				v.decide(d)
			}
			for len(v.lines) > 0 { // until one does not fail
				v.payOut()
			}
			var sum money.Amount
			got := v.balances()
			for _, amount := range got {
				sum += amount
			}
			want := map[ledger.Account]money.Amount{
				"bank": v.bank, "fees": v.fees, "chargebacks": v.lost, "revenue/1100": -v.earned, "clearing/bank-of-x": 0, "disputed": 0, "claims": 0,
			}
			for account, amount := range want {
				if got[account] != amount {
					t.Errorf("seed %d: %s = %s, want %s", seed, account, got[account], amount)
				}
			}
			if sum != 0 || v.bank+v.fees+v.lost != v.earned {
				t.Errorf("seed %d: the books sum up to %s, and bank, fees and chargebacks to %s; want 0 and %s", seed, sum, v.bank+v.fees+v.lost, v.earned)
			}
			done := 0
			for _, s := range v.sent {
				k.check(v, s, &done)
			}
			if n := len(v.told("payment.settlement.completed.v1")); n < done || n > len(v.sent) || done == 0 {
				t.Errorf("seed %d: told of %d settlements, want at least %d that are paid, and each of %d once", seed, n, done, len(v.sent))
			}
		}
	})
}

// check counts the settlement if it is paid, and looks whether its lines are all there.
func (k *kasse) check(v *vendor, s settlement.Settlement, done *int) {
	k.t.Helper()
	v.tx(func(tx *db.Tx) error {
		found, err := settlement.Get(v.ctx, tx, s.Provider, s.ID)
		if err != nil {
			return err
		}
		lines, err := settlement.Lines(v.ctx, tx, s.Provider, s.ID, 0, 1000)
		if !found.Complete || len(lines) != len(s.Lines) {
			k.t.Errorf("%s has %d lines, complete: %t; want %d", s.ID, len(lines), found.Complete, len(s.Lines))
		}
		if found.State == settlement.Paid {
			*done++
		}
		return err
	})
}
