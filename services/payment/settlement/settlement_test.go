package settlement_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/outbox"
	"basisdienste/services/payment"
	"basisdienste/services/payment/ledger"
	"basisdienste/services/payment/settlement"
)

var november = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func each(t *testing.T, f func(t *testing.T, k *kasse)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, []db.Set{outbox.Migrations(), payment.Migrations()}, func(t *testing.T, d *db.DB) {
		f(t, &kasse{t: t, db: d.WithClock(func() time.Time { return november }), ctx: dbtest.Tenant(t, "erfurt")})
	})
}

// kasse is a municipality's books.
type kasse struct {
	t   *testing.T
	db  *db.DB
	ctx context.Context
}

func (k *kasse) tx(f func(tx *db.Tx) error) {
	k.t.Helper()
	if err := k.db.Tx(k.ctx, f); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kasse) save(s settlement.Settlement) {
	k.t.Helper()
	s.Lines = slices.Clone(s.Lines)
	k.tx(func(tx *db.Tx) error { return settlement.Save(k.ctx, tx, s) })
}

func (k *kasse) dispute(d settlement.Dispute) {
	k.t.Helper()
	k.tx(func(tx *db.Tx) error { return settlement.SaveDispute(k.ctx, tx, d) })
}

func (k *kasse) balances() (found map[ledger.Account]money.Amount) {
	k.t.Helper()
	k.tx(func(tx *db.Tx) (err error) {
		found, err = ledger.Balances(k.ctx, tx, november.Add(time.Second))
		return err
	})
	maps.DeleteFunc(found, func(_ ledger.Account, a money.Amount) bool { return a == 0 })
	return found
}

func (k *kasse) want(when string, want map[ledger.Account]money.Amount) {
	k.t.Helper()
	if got := k.balances(); !maps.Equal(got, want) {
		k.t.Errorf("%s: balances = %v\nwant %v", when, got, want)
	}
}

// told lists the payloads of the events of a type.
func (k *kasse) told(eventType string) (list []map[string]any) {
	k.t.Helper()
	var bodies []string
	k.tx(func(tx *db.Tx) error {
		return tx.Select(k.ctx, &bodies, `SELECT CAST(payload AS TEXT) FROM outbox WHERE tenant_id = ? AND type = ? ORDER BY id`, tx.Tenant(), eventType)
	})
	for _, b := range bodies {
		var e map[string]any
		if err := json.Unmarshal([]byte(b), &e); err != nil {
			k.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func at(minutes int) db.Time { return db.NewTime(november.Add(time.Duration(minutes) * time.Minute)) }

func payout(name string, state settlement.State, lines ...settlement.Line) settlement.Settlement {
	s := settlement.Settlement{Provider: "bank-of-x", ID: name, Currency: "EUR", State: state, ArrivesAt: at(60), CreatedAt: at(0), Complete: true, Lines: lines}
	for i := range s.Lines {
		l := &s.Lines[i]
		l.Net = l.Amount - l.Fee
		s.Amount += l.Net
	}
	return s
}

func line(name string, kind settlement.Kind, of id.ID, amount, fee money.Amount) settlement.Line {
	return settlement.Line{ID: name, Kind: kind, Source: "src-" + name, Transaction: of, Amount: amount, Fee: fee, At: at(1)}
}

func TestSave_BooksOnceAndNeverGoesBack(t *testing.T) {
	each(t, func(t *testing.T, k *kasse) {
		of := id.New()
		paid := payout("po_1", settlement.Paid, line("b", settlement.LinePayment, of, 3070, 71), line("a", settlement.LineFee, "", -500, 0),
			line("c", settlement.LineOther, "", 20, 0), line("d", settlement.LineDispute, of, -3000, 2000))
		early := paid
		early.State, early.Complete, early.Lines = settlement.Pending, false, nil
		pending := paid
		pending.State = settlement.Pending

		k.save(early)
		k.want("when it is announced", map[ledger.Account]money.Amount{})
		k.save(pending)
		k.want("when its lines are known", map[ledger.Account]money.Amount{"clearing/bank-of-x": -71 - 500 + 20 - 3000 - 2000, "fees": 71 + 500 - 20 + 2000, "disputed": 3000})
		if got := k.told("payment.settlement.completed.v1"); len(got) != 0 {
			t.Errorf("told %v before it was paid, want nothing", got)
		}
		want := map[ledger.Account]money.Amount{"clearing/bank-of-x": -3070, "fees": 2551, "disputed": 3000, "bank": -2481}
		for range 2 {
			for _, s := range []settlement.Settlement{paid, early, pending, paid} {
				k.save(s)
				k.want("paid, and read again and earlier", want)
			}
		}
		got := k.told("payment.settlement.completed.v1")
		if len(got) != 1 || got[0]["settlement_id"] != "po_1" || got[0]["amount"] != -2481.0 || got[0]["lines"] != 4.0 || got[0]["provider"] != "bank-of-x" {
			t.Errorf("told %v, want once of po_1 with 4 lines", got)
		}
		k.tx(func(tx *db.Tx) error {
			lines, err := settlement.Lines(k.ctx, tx, "bank-of-x", "po_1", 1, 2)
			if err != nil || len(lines) != 2 || lines[0].N != 2 || lines[0].ID != "b" || lines[0].Transaction != of || lines[1].ID != "c" {
				t.Errorf("Lines = %+v, %v; want b and c", lines, err)
			}
			sums, err := settlement.Sums(k.ctx, tx, "bank-of-x", "po_1")
			if err != nil || len(sums) != 4 || sums[3].Kind != settlement.LinePayment || sums[3].Net != 2999 || sums[3].Foreign != 0 {
				t.Errorf("Sums = %+v, %v; want four kinds", sums, err)
			}
			return nil
		})
		failed := paid
		failed.State = settlement.Failed
		for _, s := range []settlement.Settlement{failed, paid, early, failed} {
			k.save(s)
			delete(want, "bank")
			want["clearing/bank-of-x"] = -5551
			k.want("it came back", want)
		}
	})
}

// What was paid before its lines were known is told when they are.
func TestSave_LinesComeLast(t *testing.T) {
	each(t, func(t *testing.T, k *kasse) {
		whole := payout("po_1", settlement.Paid, line("a", settlement.LinePayment, "", 3070, 70))
		bare := whole
		bare.Complete, bare.Lines = false, nil
		k.save(bare)
		k.want("paid", map[ledger.Account]money.Amount{"bank": 3000, "clearing/bank-of-x": -3000})
		due := func() (n int) {
			sys, later := db.System(k.ctx), k.db.WithClock(func() time.Time { return november.Add(7 * time.Hour) })
			if err := later.Tx(sys, func(tx *db.Tx) error {
				list, err := settlement.Claim(sys, tx, "bank-of-x", 10)
				n = len(list)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if one, two := due(), due(); one != 1 || two != 0 {
			t.Errorf("Claim = %d and then %d, want it once", one, two)
		}
		k.save(whole)
		k.save(bare)
		k.want("complete", map[ledger.Account]money.Amount{"bank": 3000, "fees": 70, "clearing/bank-of-x": -3070})
		if got := k.told("payment.settlement.completed.v1"); len(got) != 1 || got[0]["lines"] != 1.0 {
			t.Errorf("told %v, want once", got)
		}
		dollars := payout("po_2", settlement.Paid, line("z", settlement.LineFee, "", 100, 7))
		dollars.Currency = "USD"
		k.save(dollars)
		k.want("another currency is not booked", map[ledger.Account]money.Amount{"bank": 3000, "fees": 70, "clearing/bank-of-x": -3070})
	})
}

func TestSave_Refused(t *testing.T) {
	each(t, func(t *testing.T, k *kasse) {
		good := payout("po_1", settlement.Paid, line("a", settlement.LinePayment, "", 100, 1), line("b", settlement.LinePayment, "", 100, 1))
		k.save(good)
		for name, change := range map[string]func(s *settlement.Settlement){
			"a cent too much":      func(s *settlement.Settlement) { s.Amount++ },
			"a line twice":         func(s *settlement.Settlement) { s.Lines[1].ID = "a" },
			"net is not the rest":  func(s *settlement.Settlement) { s.Lines[1].Fee = 2 },
			"another state":        func(s *settlement.Settlement) { s.State = "lost" },
			"no id":                func(s *settlement.Settlement) { s.ID = "" },
			"lines, not complete":  func(s *settlement.Settlement) { s.Complete = false },
			"another currency now": func(s *settlement.Settlement) { s.Currency = "CHF" },
			"another amount now": func(s *settlement.Settlement) {
				s.Amount, s.Lines = 50, []settlement.Line{line("c", settlement.LineFee, "", 50, 0)}
				s.Lines[0].Net = 50
			},
		} {
			s := good
			s.Lines = slices.Clone(good.Lines)
			change(&s)
			if err := k.db.Tx(k.ctx, func(tx *db.Tx) error { return settlement.Save(k.ctx, tx, s) }); err == nil {
				t.Errorf("Save with %s = nil, want an error", name)
			}
		}
		k.want("after that", map[ledger.Account]money.Amount{"bank": 198, "fees": 2, "clearing/bank-of-x": -200})
		if err := k.db.Tx(k.ctx, func(tx *db.Tx) error {
			return settlement.SaveDispute(k.ctx, tx, settlement.Dispute{Provider: "x", ID: "y", State: "maybe"})
		}); err == nil {
			t.Error("SaveDispute in state maybe = nil, want an error")
		}
	})
}

func TestSaveDispute_FollowsItsStates(t *testing.T) {
	each(t, func(t *testing.T, k *kasse) {
		of := id.New()
		d := func(state settlement.DisputeState, taken money.Amount, read int) settlement.Dispute {
			return settlement.Dispute{
				Provider: "bank-of-x", ID: "dp_1", Transaction: of, Amount: 3070, Taken: taken, Currency: "EUR", Reason: "fraudulent", State: state,
				CreatedAt: at(0), ReadAt: at(read),
			}
		}
		nothing, lost := map[ledger.Account]money.Amount{}, map[ledger.Account]money.Amount{"chargebacks": 3070, "disputed": -3070}
		for _, c := range []struct {
			read settlement.Dispute
			want map[ledger.Account]money.Amount
		}{
			{d(settlement.Warning, 0, 1), nothing},
			{d(settlement.Closed, 0, 2), nothing},
			{d(settlement.NeedsResponse, 3070, 3), nothing},
			{d(settlement.Warning, 0, 4), nothing}, // an old one, read late
			{d(settlement.UnderReview, 3070, 5), nothing},
			{d(settlement.Lost, 0, 6), nothing}, // what was taken is not listed yet
			{d(settlement.Lost, 3070, 7), lost},
			{d(settlement.Lost, 3070, 7), lost},
			{d(settlement.NeedsResponse, 3070, 8), lost},
			{d(settlement.Won, 0, 9), nothing}, // decided anew
			{d(settlement.Lost, 3070, 8), nothing},
			{d(settlement.Lost, 3070, 10), lost},
		} {
			k.dispute(c.read)
			k.want(string(c.read.State), c.want)
		}
		var states []string
		for _, e := range k.told("payment.dispute.changed.v1") {
			states = append(states, e["status"].(string))
			if e["dispute_id"] != "dp_1" || e["transaction_id"] != of.String() || e["amount"] != 3070.0 || e["reason_code"] != "fraudulent" {
				t.Errorf("told %v, want dp_1 of %s", e, of)
			}
		}
		if got, want := strings.Join(states, " "), "warning closed needs_response under_review lost won lost"; got != want {
			t.Errorf("told of the states %s\nwant %s", got, want)
		}
	})
}

func TestList_FiltersAndPages(t *testing.T) {
	each(t, func(t *testing.T, k *kasse) {
		for i, name := range []string{"po_1", "po_2", "po_3"} {
			s := payout(name, settlement.Paid)
			s.CreatedAt = at(i / 2) // two at the same time
			k.save(s)
			k.dispute(settlement.Dispute{Provider: "bank-of-x", ID: strings.Replace(name, "po", "dp", 1), Currency: "EUR", State: settlement.Won, CreatedAt: s.CreatedAt, ReadAt: at(0)})
		}
		other := payout("po_9", settlement.Pending)
		other.Provider = "y"
		k.save(other)
		k.tx(func(tx *db.Tx) error {
			for name, c := range map[string]struct {
				filter settlement.Filter
				want   string
			}{
				"all":      {settlement.Filter{}, "po_3 po_9 po_2 po_1"},
				"provider": {settlement.Filter{Provider: "y"}, "po_9"},
				"state":    {settlement.Filter{State: "paid"}, "po_3 po_2 po_1"},
				"from":     {settlement.Filter{From: at(1)}, "po_3"},
				"until":    {settlement.Filter{Until: at(1), State: "paid"}, "po_2 po_1"},
				"after":    {settlement.Filter{After: settlement.Place{At: at(0), Provider: "bank-of-x", ID: "po_2"}}, "po_1"},
			} {
				c.filter.Limit = 10
				list, err := settlement.List(k.ctx, tx, c.filter)
				var got []string
				for _, s := range list {
					got = append(got, s.ID)
				}
				if strings.Join(got, " ") != c.want || err != nil {
					t.Errorf("List by %s = %v, %v; want %s", name, got, err, c.want)
				}
			}
			list, err := settlement.Disputes(k.ctx, tx, settlement.Filter{State: "won", Limit: 2})
			if err != nil || len(list) != 2 || list[0].ID != "dp_3" || list[1].ID != "dp_2" {
				t.Errorf("Disputes = %+v, %v; want the two newest", list, err)
			}
			return nil
		})
	})
}

func TestSettlement_OtherTenantSeesNothing(t *testing.T) {
	each(t, func(t *testing.T, k *kasse) {
		k.save(payout("po_1", settlement.Paid, line("a", settlement.LinePayment, "", 100, 1)))
		k.dispute(settlement.Dispute{Provider: "bank-of-x", ID: "dp_1", Currency: "EUR", State: settlement.Lost, Taken: 5, CreatedAt: at(0), ReadAt: at(0)})
		jena := &kasse{t: t, db: k.db, ctx: dbtest.Tenant(t, "jena")}
		jena.tx(func(tx *db.Tx) error {
			list, err := settlement.List(jena.ctx, tx, settlement.Filter{Limit: 10})
			if len(list) > 0 || err != nil {
				t.Errorf("List as another tenant = %+v, %v; want none", list, err)
			}
			if s, err := settlement.Get(jena.ctx, tx, "bank-of-x", "po_1"); err == nil {
				t.Errorf("Get as another tenant = %+v, want none", s)
			}
			if found, err := settlement.ByID(jena.ctx, tx, []string{"po_1"}); len(found) > 0 || err != nil {
				t.Errorf("ByID as another tenant = %+v, %v; want none", found, err)
			}
			if first, err := settlement.Arrive(jena.ctx, tx, &settlement.Settlement{Provider: "bank-of-x", ID: "po_1"}, "s", 1); first || err != nil {
				t.Errorf("Arrive as another tenant = %t, %v; want false", first, err)
			}
			if lines, err := settlement.Lines(jena.ctx, tx, "bank-of-x", "po_1", 0, 10); len(lines) > 0 || err != nil {
				t.Errorf("Lines as another tenant = %+v, %v; want none", lines, err)
			}
			if sums, err := settlement.Sums(jena.ctx, tx, "bank-of-x", "po_1"); len(sums) > 0 || err != nil {
				t.Errorf("Sums as another tenant = %+v, %v; want none", sums, err)
			}
			if disputes, err := settlement.Disputes(jena.ctx, tx, settlement.Filter{Limit: 10}); len(disputes) > 0 || err != nil {
				t.Errorf("Disputes as another tenant = %+v, %v; want none", disputes, err)
			}
			if !k.db.Postgres() {
				return nil
			}
			for _, table := range []string{"settlements", "settlement_lines", "disputes"} { // row-level security, whatever a query forgets
				var n int
				if err := tx.Get(jena.ctx, &n, `SELECT count(*) FROM `+table); n != 0 || err != nil {
					t.Errorf("rows of %s that another tenant sees = %d, %v; want 0", table, n, err)
				}
			}
			return nil
		})
		// The same ids are another municipality's own.
		jena.save(payout("po_1", settlement.Paid, line("a", settlement.LinePayment, "", 50, 1)))
		jena.want("its own", map[ledger.Account]money.Amount{"bank": 49, "fees": 1, "clearing/bank-of-x": -50})
		k.want("the first one's", map[ledger.Account]money.Amount{"bank": 99, "fees": 1, "clearing/bank-of-x": -100, "chargebacks": 5, "disputed": -5})
	})
}

func TestMigrations_DownAndUp(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, []db.Set{payment.Migrations()}, func(t *testing.T, d *db.DB) {
		if err := errors.Join(d.MigrateDown(t.Context(), payment.Migrations()), d.Migrate(t.Context(), payment.Migrations())); err != nil {
			t.Errorf("down and up again: %v", err)
		}
	})
}
