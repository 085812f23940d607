package payment

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
)

var sets = []db.Set{outbox.Migrations(), Migrations()}

// stored inserts a new transaction with its Kassenzeichen.
func stored(t *testing.T, ctx context.Context, d *db.DB, requestID string) Transaction {
	t.Helper()
	tr, err := newTransaction(order(requestID), "client:efa")
	if err != nil {
		t.Fatal(err)
	}
	err = d.Tx(ctx, func(tx *db.Tx) error {
		n, err := setAside(ctx, tx, "kassenzeichen", 1, 1)
		if err != nil {
			return err
		}
		tr.Kassenzeichen, tr.CreatedAt, tr.ExpiresAt = fmt.Sprintf("K%07d", n), tx.Now(), db.NewTime(tx.Now().Add(time.Hour))
		return insertTransaction(ctx, tx, &tr)
	})
	if err != nil {
		t.Fatalf("store %s: %v", requestID, err)
	}
	return tr
}

func TestStore(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		made := stored(t, ctx, d, "r-1")
		var got Transaction
		err := d.Read(ctx, func(tx *db.Tx) (err error) {
			got, err = transaction(ctx, tx, made.ID)
			return err
		})
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", made) {
			t.Errorf("transaction = %+v, %v\nwant %+v", got, err, made)
		}
		err = d.Tx(ctx, func(tx *db.Tx) error {
			got, err = lockTransaction(ctx, tx, made.ID)
			if err != nil {
				return err
			}
			if err := got.Pay(tx.Now(), CreditCard, "Visa"); err != nil {
				return err
			}
			return saveTransaction(ctx, tx, &got)
		})
		if err != nil {
			t.Fatalf("pay: %v", err)
		}
		err = d.Read(ctx, func(tx *db.Tx) error {
			again, err := transactionOfRequest(ctx, tx, "bewohnerparken", "16051000", "r-1")
			if err == nil && (again.State != Payed || again.Method != CreditCard || again.EndedAt == nil) {
				t.Errorf("transactionOfRequest = %+v, want it PAYED by CREDITCARD", again)
			}
			return err
		})
		if err != nil {
			t.Errorf("transactionOfRequest: %v", err)
		}
		err = d.Tx(ctx, func(tx *db.Tx) error {
			same := made
			same.ID, same.EndPointID, same.Kassenzeichen = id.New(), "16051000", "other"
			return insertTransaction(ctx, tx, &same)
		})
		if !db.IsUnique(err) {
			t.Errorf("insert of the same request under the AGS = %v, want a unique violation", err)
		}
		if err := d.Tx(ctx, func(tx *db.Tx) error {
			twin := made
			twin.ID, twin.RequestID = id.New(), "r-2"
			return insertTransaction(ctx, tx, &twin)
		}); !db.IsUnique(err) {
			t.Errorf("insert with a Kassenzeichen that is taken = %v, want a unique violation", err)
		}
	})
}

func TestStore_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
		made := stored(t, erfurt, d, "r-1")
		a := Attempt{ID: id.New(), TransactionID: made.ID, State: attemptOpen}
		back := Refund{ID: id.New(), TransactionID: made.ID, AttemptID: a.ID, Amount: 1, State: RefundWaiting}
		err := d.Tx(erfurt, func(tx *db.Tx) error {
			if err := note(erfurt, tx, &made, "created", "", ""); err != nil {
				return err
			}
			if err := insertAttempt(erfurt, tx, &a); err != nil {
				return err
			}
			return insertRefund(erfurt, tx, &back)
		})
		if err != nil {
			t.Fatal(err)
		}
		err = d.Tx(jena, func(tx *db.Tx) error {
			if _, err := transaction(jena, tx, made.ID); !fault.Is(err, "unknown_transaction") {
				t.Errorf("transaction = %v, want unknown_transaction", err)
			}
			if last, err := lastAttempt(jena, tx, made.ID); last != nil || err != nil {
				t.Errorf("lastAttempt = %+v, %v; want nothing", last, err)
			}
			if list, err := refundsOf(jena, tx, made.ID); len(list) > 0 || err != nil {
				t.Errorf("refundsOf = %+v, %v; want nothing", list, err)
			}
			if r, err := refund(jena, tx, back.ID); !fault.Is(err, "unknown_refund") {
				t.Errorf("refund = %+v, %v; want unknown_refund", r, err)
			}
			if list, err := history(jena, tx, made.ID); len(list) > 0 || err != nil {
				t.Errorf("history = %+v, %v; want nothing", list, err)
			}
			if list, err := transactions(jena, tx, Filter{Limit: 10}); len(list) > 0 || err != nil {
				t.Errorf("transactions = %+v, %v; want nothing", list, err)
			}
			if n, err := setAside(jena, tx, "kassenzeichen", 1, 1); n != 1 || err != nil {
				t.Errorf("setAside = %d, %v; want 1, a range of its own", n, err)
			}
			n, err := tx.Exec(jena, `UPDATE transactions SET reason = 'x' WHERE tenant_id = ?`, tx.Tenant())
			if n != 0 || err != nil {
				t.Errorf("update reached %d rows, %v; want none", n, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		same := stored(t, jena, d, "r-1") // the same request id is another claim here
		if same.Kassenzeichen == "" {
			t.Error("no Kassenzeichen at the other tenant")
		}
	})
}

func TestStore_OneOpenAttempt(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		made := stored(t, ctx, d, "r-1")
		insert := func() error {
			return d.Tx(ctx, func(tx *db.Tx) error {
				return insertAttempt(ctx, tx, &Attempt{ID: id.New(), TransactionID: made.ID, State: attemptOpen})
			})
		}
		if err := insert(); err != nil {
			t.Fatalf("first attempt: %v", err)
		}
		if err := insert(); !db.IsUnique(err) {
			t.Errorf("second open attempt = %v, want a unique violation", err)
		}
	})
}

func TestStore_NumbersGoUp(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		var got []int64
		for _, first := range []int64{5, 5, 1, 100, 100} { // the treasury sets a new range in between
			err := d.Tx(ctx, func(tx *db.Tx) error {
				n, err := setAside(ctx, tx, "k", first, 1)
				got = append(got, n)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if want := []int64{5, 6, 7, 100, 101}; !slices.Equal(got, want) {
			t.Errorf("numbers = %v, want %v", got, want)
		}
	})
}

func TestStore_Filters(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		at := november
		d = d.WithClock(func() time.Time { return at })
		var all []Transaction
		for i := range 5 {
			at = november.Add(time.Duration(i) * time.Hour)
			all = append(all, stored(t, ctx, d, fmt.Sprintf("r-%d", i)))
		}
		for _, c := range []struct {
			name string
			f    Filter
			want []int
		}{
			{"all", Filter{}, []int{4, 3, 2, 1, 0}},
			{"state", Filter{State: Payed}, nil},
			{"kassenzeichen", Filter{Kassenzeichen: all[2].Kassenzeichen}, []int{2}},
			{"request", Filter{RequestID: "r-3"}, []int{3}},
			{"from and until", Filter{From: november.Add(time.Hour), Until: november.Add(3 * time.Hour)}, []int{2, 1}},
			{"page", Filter{Before: all[3].ID, Limit: 2}, []int{2, 1}},
		} {
			if c.f.Limit == 0 {
				c.f.Limit = 10
			}
			var got []int
			err := d.Read(ctx, func(tx *db.Tx) error {
				list, err := transactions(ctx, tx, c.f)
				for _, l := range list {
					got = append(got, slices.IndexFunc(all, func(a Transaction) bool { return a.ID == l.ID }))
				}
				return err
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: transactions(%+v) = %v, %v; want %v", c.name, c.f, got, err, c.want)
			}
		}
	})
}

func TestStore_Due(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		at := november
		d = d.WithClock(func() time.Time { return at })
		sys := db.System(t.Context())
		var want []due
		for _, slug := range []string{"erfurt", "jena"} {
			ctx := dbtest.Tenant(t, slug)
			made := stored(t, ctx, d, "r-1")
			err := d.Tx(ctx, func(tx *db.Tx) error {
				want = append(want, due{tx.Tenant(), made.ID})
				return insertAttempt(ctx, tx, &Attempt{ID: id.New(), TransactionID: made.ID, State: attemptOpen, CheckAt: tx.Now()})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		claim := func() (list []due) {
			if err := d.Tx(sys, func(tx *db.Tx) (err error) {
				list, err = dueAttempts(sys, tx, 10)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return list
		}
		if got := claim(); len(got) != 2 || !slices.Contains(got, want[0]) || !slices.Contains(got, want[1]) {
			t.Errorf("dueAttempts = %v, want %v", got, want)
		}
		if got := claim(); len(got) != 0 {
			t.Errorf("dueAttempts right after = %v, want none", got)
		}
		at = at.Add(pause(0))
		if got := claim(); len(got) != 2 {
			t.Errorf("dueAttempts after a pause = %v, want both", got)
		}
		at = november.Add(time.Hour)
		var list, rest []due
		if err := d.Read(sys, func(tx *db.Tx) (err error) {
			if list, err = dueTransactions(sys, tx, due{}, 1); err != nil {
				return err
			}
			rest, err = dueTransactions(sys, tx, list[0], 10)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got := append(list, rest...); len(got) != 2 || got[0] == got[1] {
			t.Errorf("dueTransactions in two pages = %v, want both", got)
		}
	})
}
