package payment

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
)

func takeNumber(ctx context.Context, d *db.DB, n *numbers, first int64) (number int64, err error) {
	err = d.Tx(ctx, func(tx *db.Tx) error {
		number, err = n.next(ctx, tx, "k", first)
		return err
	})
	return number, err
}

func TestNumbers_QuietCounterLeavesNoGap(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		ctx, at := dbtest.Tenant(t, "erfurt"), november
		d = d.WithClock(func() time.Time { return at })
		var got []int64
		for range 5 {
			number, err := takeNumber(ctx, d, &numbers{}, 7) // as if started anew each time
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, number)
		}
		n := &numbers{}
		for range 3 {
			at = at.Add(busy)
			number, err := takeNumber(ctx, d, n, 7)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, number)
		}
		if want := []int64{7, 8, 9, 10, 11, 12, 13, 14}; !slices.Equal(got, want) {
			t.Errorf("numbers = %v, want %v", got, want)
		}
		if number, err := takeNumber(dbtest.Tenant(t, "jena"), d, n, 1); number != 1 || err != nil {
			t.Errorf("first number of another tenant = %d, %v, want 1", number, err)
		}
	})
}

func TestNumbers_BusyCounterGivesEachOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		processes := []*numbers{{}, {}}
		const workers, each = 8, 100
		var (
			wg  sync.WaitGroup
			mu  sync.Mutex
			got []int64
		)
		for w := range workers {
			wg.Go(func() {
				for range each {
					number, err := takeNumber(ctx, d, processes[w%len(processes)], 1)
					if err != nil {
						t.Errorf("next: %v", err)
						return
					}
					mu.Lock()
					got = append(got, number)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		slices.Sort(got)
		if distinct := len(slices.Compact(slices.Clone(got))); distinct != workers*each {
			t.Errorf("%d distinct numbers of %d given out, want %d", distinct, len(got), workers*each)
		}
		if most := int64(workers*each + (workers+len(processes))*mostAside); got[len(got)-1] > most {
			t.Errorf("greatest number = %d, want at most %d: few are left over", got[len(got)-1], most)
		}
	})
}

func TestNumbers_NewRangeAndRollback(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		ctx, n := dbtest.Tenant(t, "erfurt"), &numbers{}
		d = d.WithClock(func() time.Time { return november })
		failed := errors.New("failed")
		for range 4 { // what a failed transaction set aside was not set aside
			err := d.Tx(ctx, func(tx *db.Tx) error {
				if _, err := n.next(ctx, tx, "k", 1); err != nil {
					return err
				}
				return failed
			})
			if !errors.Is(err, failed) {
				t.Fatalf("transaction = %v, want its own failure", err)
			}
		}
		var got []int64
		for _, first := range []int64{1, 1, 100, 100} { // 2 and 3 were set aside together; 3 is not in the new range
			number, err := takeNumber(ctx, d, n, first)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, number)
		}
		if want := []int64{1, 2, 100, 101}; !slices.Equal(got, want) {
			t.Errorf("numbers = %v, want %v", got, want)
		}
	})
}
