package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/outbox"
)

func TestRecover_SendsAgainOnceForEachRestore(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		d = d.WithClock(func() time.Time { return now })
		b := &broker{}
		r := relay(d, b)
		put(dbtest.Tenant(t, "erfurt"), t, d, event{"a", 1}, event{"a", 2})
		for len(b.of("a")) < 2 {
			once(t, r)
		}
		recovers := func(also func(context.Context, *db.Tx) error) (done bool) {
			t.Helper()
			done, err := outbox.Recover(t.Context(), d, also)
			if err != nil {
				t.Fatalf("Recover = %v", err)
			}
			return done
		}
		if recovers(nil) {
			t.Error("Recover without a restore did something")
		}
		for restore := 1; restore <= 2; restore++ {
			now = now.Add(30 * 24 * time.Hour) // the backup is old: all that it has is
			if err := outbox.NoteRestore(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			wrong := errors.New("the service could not")
			if _, err := outbox.Recover(t.Context(), d, func(context.Context, *db.Tx) error { return wrong }); !errors.Is(err, wrong) {
				t.Errorf("Recover of a service that cannot = %v, want its error", err)
			}
			var done, also atomic.Int32
			var wg sync.WaitGroup
			for range 4 { // processes that start at once
				wg.Go(func() {
					if recovers(func(context.Context, *db.Tx) error { also.Add(1); return nil }) {
						done.Add(1)
					}
				})
			}
			wg.Wait()
			if done.Load() != 1 || also.Load() != 1 {
				t.Errorf("restore %d: Recover acted %d times, the service %d times, want once", restore, done.Load(), also.Load())
			}
			for len(b.of("a")) < 2+2*restore && once(t, r) > 0 {
				continue
			}
			if got, want := fmt.Sprint(b.of("a")[2*restore:]), "[1 2]"; got != want {
				t.Errorf("restore %d: sent again %s, want %s", restore, got, want)
			}
		}
	})
}

func TestRestoredWithin_MarksOutliveTheBackupsAge(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		d = d.WithClock(func() time.Time { return now })
		lately := func(want bool) {
			t.Helper()
			got, err := outbox.RestoredWithin(t.Context(), d, time.Hour)
			if err != nil || got != want {
				t.Errorf("RestoredWithin = %t, %v, want %t", got, err, want)
			}
		}
		lately(false)
		if err := outbox.NoteRestore(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		lately(true)
		now = now.Add(59 * time.Minute)
		lately(true)
		now = now.Add(time.Minute)
		lately(false)
	})
}
