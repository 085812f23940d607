package payment

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment/ledger"
)

// paid is a claim that was paid at the desk.
func (s *shop) paid(t *testing.T, requestID string) Transaction {
	t.Helper()
	tr := s.create(t, requestID)
	if _, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil {
		t.Fatalf("Start: %v", err)
	}
	s.desk.payAll()
	p, err := s.Refresh(s.ctx, tr.ID)
	if err != nil || p.Transaction.State != Payed {
		t.Fatalf("Refresh = %s, %v; want PAYED", p.Transaction.State, err)
	}
	return p.Transaction
}

func (s *shop) balances(t *testing.T) map[ledger.Account]money.Amount {
	t.Helper()
	var got map[ledger.Account]money.Amount
	err := s.db.Read(s.ctx, func(tx *db.Tx) (err error) {
		got, err = ledger.Balances(s.ctx, tx, s.clock().Add(time.Hour))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var sum money.Amount
	for _, a := range got {
		sum += a
	}
	if sum != 0 {
		t.Errorf("balances %v sum up to %s, want zero", got, sum)
	}
	return got
}

func TestRefunds_SeveralNeverExceedThePayment(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		tr := s.paid(t, "r-1") // 30.70
		var wg sync.WaitGroup
		var mu sync.Mutex
		given, refused := money.Amount(0), 0
		for range 8 {
			wg.Go(func() {
				r, err := s.RequestRefund(s.ctx, tr.ID, RefundWanted{Amount: 1000})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case fault.Is(err, "refund_above_balance"):
					refused++
				case err != nil || r.State != RefundSucceeded:
					t.Errorf("RequestRefund = %s, %v; want SUCCEEDED or refund_above_balance", r.State, err)
				default:
					given += r.Amount
				}
			})
		}
		wg.Wait()
		if given != 3000 || refused != 5 || s.desk.gaveBack != 3000 {
			t.Errorf("given back %s by us and %s by the desk, %d refused; want 30.00 and 5", given, s.desk.gaveBack, refused)
		}
		if r, err := s.RequestRefund(s.ctx, tr.ID, RefundWanted{Amount: 70}); err != nil || r.State != RefundSucceeded {
			t.Errorf("refund of the rest = %s, %v; want SUCCEEDED", r.State, err)
		}
		if _, err := s.RequestRefund(s.ctx, tr.ID, RefundWanted{Amount: 1}); !fault.Is(err, "refund_above_balance") {
			t.Errorf("refund of a cent more = %v, want refund_above_balance", err)
		}
		for account, left := range s.balances(t) {
			if left != 0 {
				t.Errorf("%s holds %s after everything was given back, want 0", account, left)
			}
		}
		s.consistent(t)
	})
}

func TestRefunds_FailureGivesTheBalanceBack(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		tr := s.paid(t, "r-1")
		r, err := s.RequestRefund(s.ctx, tr.ID, RefundWanted{Amount: 1013}) // the desk refuses it
		if err != nil || r.State != RefundFailed || r.Reason != "account_closed" {
			t.Fatalf("RequestRefund = %+v, %v; want FAILED, account_closed", r, err)
		}
		r, err = s.RequestRefund(s.ctx, tr.ID, RefundWanted{Amount: 3070})
		if err != nil || r.State != RefundSucceeded {
			t.Fatalf("RequestRefund of all = %+v, %v; want SUCCEEDED", r, err)
		}
		// The money comes back days later.
		s.desk.refunds[r.ProviderID].State, s.desk.refunds[r.ProviderID].Reason = RefundFailed, "account_closed"
		e, _ := tenantdir.From(s.ctx)
		for range 2 {
			if err := s.RefundNotified(t.Context(), e.ID, r.ID); err != nil {
				t.Errorf("RefundNotified: %v", err)
			}
		}
		list, err := s.Refunds(s.ctx, tr.ID)
		if err != nil || len(list) != 2 || list[1].State != RefundFailed {
			t.Errorf("Refunds = %+v, %v; want the second failed after it had succeeded", list, err)
		}
		if got := s.balances(t); got["clearing/desk"] != 3070 {
			t.Errorf("balances = %v, want 30.70 at the desk again", got)
		}
		if again, err := s.RequestRefund(s.ctx, tr.ID, RefundWanted{Amount: 3070}); err != nil || again.State != RefundSucceeded {
			t.Errorf("refund again = %+v, %v; want SUCCEEDED", again, err)
		}
		var told []string
		sys := db.System(t.Context())
		err = s.db.Read(sys, func(tx *db.Tx) error {
			return tx.Select(sys, &told, `SELECT type FROM outbox WHERE type LIKE 'payment.refund.%' ORDER BY seq`)
		})
		want := []string{
			"payment.refund.requested.v1", "payment.refund.failed.v1", "payment.refund.requested.v1", "payment.refund.succeeded.v1",
			"payment.refund.failed.v1", "payment.refund.requested.v1", "payment.refund.succeeded.v1",
		}
		if err != nil || !slices.Equal(told, want) {
			t.Errorf("told %v, %v\nwant %v", told, err, want)
		}
		s.consistent(t)
	})
}

func TestRefunds_FourEyes(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		s.configure(t, func(raw map[string]any) { raw["refunds"] = map[string]any{"four_eyes_above": 10} })
		tr := s.paid(t, "r-1")
		clerk, boss := audit.WithActor(s.ctx, "person:clerk"), audit.WithActor(s.ctx, "person:boss")
		r, err := s.RequestRefund(clerk, tr.ID, RefundWanted{Amount: 1001, Note: "fee waived"})
		if err != nil || r.State != RefundWaiting || s.desk.gaveBack != 0 {
			t.Fatalf("RequestRefund above the limit = %s, %v, desk gave %s; want WAITING and nothing", r.State, err, s.desk.gaveBack)
		}
		if _, err := s.RequestRefund(clerk, tr.ID, RefundWanted{Amount: 3070}); !fault.Is(err, "refund_above_balance") {
			t.Errorf("refund of all beside a waiting one = %v, want refund_above_balance", err)
		}
		if _, err := s.DecideRefund(clerk, tr.ID, r.ID, true); !fault.Is(err, "second_person_needed") {
			t.Errorf("approve by who asked = %v, want second_person_needed", err)
		}
		other := s.paid(t, "r-2")
		if _, err := s.DecideRefund(boss, other.ID, r.ID, true); !fault.Is(err, "unknown_refund") {
			t.Errorf("approve under another transaction = %v, want unknown_refund", err)
		}
		s.desk.away = true // the decision holds although the provider does not answer
		if r, err = s.DecideRefund(boss, tr.ID, r.ID, true); err != nil || r.State != RefundSubmitted {
			t.Errorf("approve = %s, %v; want SUBMITTED", r.State, err)
		}
		s.desk.away = false
		if _, err := s.DecideRefund(boss, tr.ID, r.ID, false); !fault.Is(err, "refund_decided") {
			t.Errorf("reject after that = %v, want refund_decided", err)
		}
		s.pass(time.Minute)
		if err := s.SweepRefunds(t.Context()); err != nil {
			t.Errorf("SweepRefunds: %v", err)
		}
		rejected, err := s.RequestRefund(clerk, tr.ID, RefundWanted{Amount: 2000})
		if err != nil {
			t.Fatal(err)
		}
		if rejected, err = s.DecideRefund(clerk, tr.ID, rejected.ID, false); err != nil || rejected.State != RefundRejected {
			t.Errorf("reject = %s, %v; want REJECTED", rejected.State, err)
		}
		list, err := s.Refunds(s.ctx, tr.ID)
		if err != nil || len(list) != 2 || list[0].State != RefundSucceeded || list[0].DecidedBy != "person:boss" || s.desk.gaveBack != 1001 {
			t.Errorf("Refunds = %+v, %v, desk gave %s; want the first given back by the sweep", list, err, s.desk.gaveBack)
		}
		s.consistent(t)
	})
}

// Nobody comes below the limit by asking for the same money in parts.
func TestRefunds_FourEyesInParts(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, serviceSets, func(t *testing.T, d *db.DB) {
		s := newShop(t, d)
		s.configure(t, func(raw map[string]any) { raw["refunds"] = map[string]any{"four_eyes_above": 10} })
		tr, other := s.paid(t, "r-1"), s.paid(t, "r-2")
		clerk, boss := audit.WithActor(s.ctx, "person:clerk"), audit.WithActor(s.ctx, "person:boss")
		for i, c := range []struct {
			of     id.ID
			amount money.Amount
			want   RefundState
		}{
			{tr.ID, 600, RefundSucceeded},
			{tr.ID, 401, RefundWaiting}, // 10.01 by one person
			{tr.ID, 400, RefundSucceeded},
			{tr.ID, 1, RefundWaiting},
			{other.ID, 1000, RefundSucceeded},
		} {
			r, err := s.RequestRefund(clerk, c.of, RefundWanted{Amount: c.amount})
			if err != nil || r.State != c.want {
				t.Errorf("refund %d, of %s = %s, %v; want %s", i, c.amount, r.State, err, c.want)
			}
			if r.State == RefundWaiting {
				if _, err := s.DecideRefund(boss, c.of, r.ID, true); err != nil {
					t.Errorf("approve refund %d: %v", i, err)
				}
			}
		}
		s.consistent(t)
	})
}

func TestRefundMoves(t *testing.T) {
	t.Parallel()
	earned := func(amounts ...money.Amount) (moves []ledger.Move) {
		for i, a := range amounts {
			moves = append(moves, ledger.Move{Debit: ledger.Claims, Credit: ledger.Revenue(fmt.Sprint(i)), Amount: a})
		}
		return moves
	}
	for _, c := range []struct {
		earned []ledger.Move
		amount money.Amount
		want   []money.Amount // by budget line; 0: none
	}{
		{earned(1000, 2000), 3000, []money.Amount{1000, 2000}},
		{earned(1000, 2000), 1, []money.Amount{0, 1}},
		{earned(1, 1, 1), 2, []money.Amount{1, 1, 0}},
		{earned(333, 333, 334), 100, []money.Amount{33, 33, 34}},
		{earned(99_999_900), 99_999_900, []money.Amount{99_999_900}},
	} {
		got := make([]money.Amount, len(c.earned))
		for _, m := range refundMoves(c.earned, nil, "desk", c.amount) {
			line, _ := m.Debit.BudgetLine()
			got[slices.IndexFunc(c.earned, func(e ledger.Move) bool { return e.Credit == ledger.Revenue(line) })] = m.Amount
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("refundMoves(%v, %s) = %v, want %v", c.earned, c.amount, got, c.want)
		}
	}
	// Whatever is given back, and comes back, in whatever parts: no line gives more than it has.
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var lines []money.Amount
		for range 1 + rng.IntN(5) {
			lines = append(lines, money.Amount(1+rng.IntN(1000)))
		}
		claim := earned(lines...)
		var before []ledger.Move
		left := ledger.Sum(claim)
		for left > 0 {
			amount := 1 + money.Amount(rng.Int64N(int64(left)))
			moves := refundMoves(claim, before, "desk", amount)
			if ledger.Sum(moves) != amount {
				t.Fatalf("refundMoves(%v, %v, %s) = %v, want the amount in all", claim, before, amount, moves)
			}
			before, left = append(before, moves...), left-amount
			if rng.IntN(4) == 0 {
				before, left = append(before, ledger.Back(moves)...), left+amount
			}
		}
		for _, e := range claim {
			var given money.Amount
			for _, m := range before {
				if m.Debit == e.Credit {
					given += m.Amount
				}
				if m.Credit == e.Credit {
					given -= m.Amount
				}
			}
			if given != e.Amount {
				t.Fatalf("%s gave %s back of %s", e.Credit, given, e.Amount)
			}
		}
	}
}
