package ledger_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment"
	"basisdienste/services/payment/ledger"
)

var november = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func each(t *testing.T, f func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, []db.Set{payment.Migrations()}, func(t *testing.T, d *db.DB) {
		f(t, d.WithClock(func() time.Time { return november }))
	})
}

func claim(of id.ID) ledger.Booking {
	return ledger.Booking{Transaction: of, Kind: ledger.Claim, Moves: []ledger.Move{
		{Debit: ledger.Claims, Credit: ledger.Revenue("1100.10000"), Amount: 2000},
		{Debit: ledger.Claims, Credit: ledger.Revenue("1100.10001"), Amount: 1070},
	}}
}

func TestBook(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx, of := dbtest.Tenant(t, "erfurt"), id.New()
		paid := ledger.Booking{
			Transaction: of, Kind: ledger.Paid, Reference: "a-1",
			Moves: []ledger.Move{{Debit: ledger.Clearing("stripe"), Credit: ledger.Claims, Amount: 3070}},
		}
		for _, b := range []ledger.Booking{claim(of), paid, claim(of), paid} { // each once, however often
			if err := d.Tx(ctx, func(tx *db.Tx) error { return ledger.Book(ctx, tx, b) }); err != nil {
				t.Fatalf("Book(%s): %v", b.Kind, err)
			}
		}
		err := d.Read(ctx, func(tx *db.Tx) error {
			got, err := ledger.Balances(ctx, tx, november.Add(time.Second))
			want := map[ledger.Account]money.Amount{"claims": 0, "clearing/stripe": 3070, "revenue/1100.10000": -2000, "revenue/1100.10001": -1070}
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("Balances = %v, %v\nwant %v", got, err, want)
			}
			if got, err := ledger.Balances(ctx, tx, november); err != nil || len(got) != 0 {
				t.Errorf("Balances before = %v, %v, want none", got, err)
			}
			list, err := ledger.Turnovers(ctx, tx, november, november.Add(time.Second))
			if err != nil || len(list) != 3 || list[2] != (ledger.Turnover{Kind: ledger.Paid, Debit: "clearing/stripe", Credit: "claims", Amount: 3070, Moves: 1}) {
				t.Errorf("Turnovers = %+v, %v, want two of the claim and one of the payment", list, err)
			}
			rows, err := ledger.Of(ctx, tx, of)
			if err != nil || len(rows) != 3 {
				t.Errorf("Of = %+v, %v, want three rows", rows, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A claim on as many budget lines as it may have, given back in many parts: none of it is left out.
func TestOf_AllThatATransactionMayHave(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx, of := dbtest.Tenant(t, "erfurt"), id.New()
		var moves []ledger.Move
		for line := range 99 {
			moves = append(moves, ledger.Move{Debit: ledger.Claims, Credit: ledger.Revenue(fmt.Sprint(line)), Amount: 100})
		}
		const refunds = 25
		err := d.Tx(ctx, func(tx *db.Tx) error {
			for n := range refunds {
				if err := ledger.Book(ctx, tx, ledger.Booking{Transaction: of, Kind: ledger.Refund, Reference: fmt.Sprint(n), Moves: ledger.Back(moves)}); err != nil {
					return err
				}
			}
			return ledger.Book(ctx, tx, ledger.Booking{Transaction: of, Kind: ledger.Claim, Moves: moves})
		})
		if err != nil {
			t.Fatal(err)
		}
		err = d.Read(ctx, func(tx *db.Tx) error {
			rows, err := ledger.Of(ctx, tx, of)
			if want := (refunds + 1) * 99; len(rows) != want {
				t.Errorf("Of = %d rows, %v, want %d", len(rows), err, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestBook_Refused(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx, of := dbtest.Tenant(t, "erfurt"), id.New()
		for name, moves := range map[string][]ledger.Move{
			"nothing":          {},
			"zero":             {{Debit: ledger.Bank, Credit: ledger.Claims}},
			"below zero":       {{Debit: ledger.Bank, Credit: ledger.Claims, Amount: -1}},
			"from and to bank": {{Debit: ledger.Bank, Credit: ledger.Bank, Amount: 1}},
		} {
			err := d.Tx(ctx, func(tx *db.Tx) error {
				return ledger.Book(ctx, tx, ledger.Booking{Transaction: of, Kind: ledger.Paid, Moves: moves})
			})
			if err == nil {
				t.Errorf("Book(%s) = nil, want an error", name)
			}
		}
		sys := db.System(ctx)
		if err := d.Tx(sys, func(tx *db.Tx) error { return ledger.Book(sys, tx, claim(of)) }); err == nil {
			t.Error("Book without a tenant = nil, want an error")
		}
	})
}

// What is booked stays; another tenant sees nothing of it.
func TestLedger_AppendOnlyAndKeptApart(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx, jena, of := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena"), id.New()
		if err := d.Tx(ctx, func(tx *db.Tx) error { return ledger.Book(ctx, tx, claim(of)) }); err != nil {
			t.Fatal(err)
		}
		for _, change := range []string{`UPDATE ledger SET amount = 1 WHERE tenant_id = ?`, `DELETE FROM ledger WHERE tenant_id = ?`} {
			err := d.Tx(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec(ctx, change, tx.Tenant())
				return err
			})
			if err == nil {
				t.Errorf("%s = nil, want refused", change)
			}
		}
		err := d.Read(jena, func(tx *db.Tx) error {
			rows, err := ledger.Of(jena, tx, of)
			if len(rows) > 0 || err != nil {
				t.Errorf("Of as another tenant = %+v, %v, want nothing", rows, err)
			}
			balances, err := ledger.Balances(jena, tx, november.Add(time.Hour))
			if len(balances) > 0 || err != nil {
				t.Errorf("Balances as another tenant = %v, %v, want nothing", balances, err)
			}
			if !d.Postgres() {
				return nil
			}
			var n int // row-level security, whatever a query forgets
			if err := tx.Get(jena, &n, `SELECT count(*) FROM ledger`); n != 0 || err != nil {
				t.Errorf("rows that another tenant sees = %d, %v, want 0", n, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
