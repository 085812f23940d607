package payment

import (
	"fmt"
	"testing"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
)

func TestStore_RefundsListed(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
		var made []id.ID
		for i, state := range []RefundState{RefundWaiting, RefundSubmitted, RefundWaiting, RefundWaiting} {
			tr := stored(t, erfurt, d, fmt.Sprint("r-", i))
			a := Attempt{ID: id.New(), TransactionID: tr.ID, State: attemptOpen}
			r := Refund{ID: id.New(), TransactionID: tr.ID, AttemptID: a.ID, Amount: 1, State: state}
			if err := d.Tx(erfurt, func(tx *db.Tx) error {
				if err := insertAttempt(erfurt, tx, &a); err != nil {
					return err
				}
				return insertRefund(erfurt, tx, &r)
			}); err != nil {
				t.Fatal(err)
			}
			made = append(made, r.ID)
		}
		err := d.Read(erfurt, func(tx *db.Tx) error {
			for _, tt := range []struct {
				waiting bool
				before  id.ID
				limit   int
				want    []id.ID
			}{
				{true, "", 10, []id.ID{made[3], made[2], made[0]}},
				{true, "", 2, []id.ID{made[3], made[2]}},
				{true, made[2], 10, []id.ID{made[0]}},
				{false, "", 10, []id.ID{made[3], made[2], made[1], made[0]}},
			} {
				list, err := refundsListed(erfurt, tx, tt.waiting, tt.before, tt.limit)
				var got []id.ID
				for _, r := range list {
					if got = append(got, r.ID); r.Kassenzeichen == "" {
						t.Errorf("refundsListed: refund %s is without the Kassenzeichen of its transaction", r.ID)
					}
				}
				if err != nil || fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("refundsListed(waiting %v, before %q, %d) = %v, %v; want %v", tt.waiting, tt.before, tt.limit, got, err, tt.want)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Read(jena, func(tx *db.Tx) error {
			if list, err := refundsListed(jena, tx, false, "", 10); len(list) > 0 || err != nil {
				t.Errorf("refundsListed of another tenant = %+v, %v; want nothing", list, err)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}
