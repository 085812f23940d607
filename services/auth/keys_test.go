package auth

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/dbtest"
)

// TestKeyStore_FirstUse has a clock that goes on with each look at it, as a real one does.
func TestKeyStore_FirstUse(t *testing.T) {
	t.Parallel()
	var ticks atomic.Int64
	clock := func() time.Time {
		return time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC).Add(time.Duration(ticks.Add(1)) * time.Millisecond)
	}
	d := dbtest.New(t, Migrations()).WithClock(clock)
	sec, err := newSecrets([]byte("master"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := newKeyStore(d, sec, clock, 15*time.Minute, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	erfurt := dbtest.Tenant(t, "erfurt")
	found := make(chan string, 8)
	for range cap(found) { // all at once
		go func(ctx context.Context) {
			ring, err := keys.ring(ctx)
			if err != nil || len(ring) != 1 {
				found <- "error: " + err.Error()
				return
			}
			found <- ring[0].KID
		}(erfurt)
	}
	first := <-found
	for range cap(found) - 1 {
		if got := <-found; got != first {
			t.Errorf("ring of the same issuer has the key %s, want %s", got, first)
		}
	}
	other, err := keys.ring(dbtest.Tenant(t, "jena"))
	if err != nil || other[0].KID == first {
		t.Errorf("ring(jena) = %v, %v; want a key of its own", other, err)
	}
}
