package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// kills of one run. BASIS_KILL_SEED repeats the choices of a run; what the scheduler does
// between them it cannot repeat.
const kills = 60

// TestKill ends the process as a power cut would, again and again at random moments of
// starting, of serving and of what goes on behind, on one folder. Clients repeat what was not
// answered, with the same keys. At the end every acknowledged write is there, and everything
// exists once.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("BASIS_KILL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("BASIS_KILL_SEED: %v", err)
		}
	}
	t.Logf("BASIS_KILL_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))

	s := newServer(t)
	first := s.start(t)
	d := s.demo(t)
	token, err := d.EfA.token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := &load{s: s, d: d, token: token, ledger: newLedger(), began: make(chan struct{}, 1), stop: make(chan struct{}), decided: make(chan string, 10_000)}
	clients := l.run(t)

	var starts []time.Duration
	for range kills {
		if s.cmd == nil {
			began := time.Now()
			s.exec(t)
			if rng.IntN(6) == 0 { // while it starts
				l.wait(0, time.Duration(rng.IntN(1200))*time.Millisecond)
				s.kill(t)
				continue
			}
			s.awaitReady(t)
			starts = append(starts, time.Since(began))
		}
		if rng.IntN(5) == 0 { // in what goes on behind
			l.wait(0, time.Duration(rng.IntN(900))*time.Millisecond)
		} else { // while a request is served
			l.wait(rng.IntN(60), time.Duration(rng.IntN(15_000))*time.Microsecond)
		}
		s.kill(t)
	}
	starts = append(starts, s.start(t))
	clients.finish(t)
	slices.Sort(starts)
	t.Logf("%d kills; first start %s, later starts %s median, %s longest", kills, first.Round(time.Millisecond),
		starts[len(starts)/2].Round(time.Millisecond), starts[len(starts)-1].Round(time.Millisecond))

	eventually(t, time.Minute, "everything acknowledged is there", func() error { return l.settled(t) })
	if took := s.stop(t); took > 5*time.Second {
		t.Errorf("SIGTERM: ended after %s, want within 5 s", took)
	}
	// What was sent before the end is sent again now, and one more journey goes the same ways
	// behind it: whatever is done twice is seen.
	s.start(t)
	l.stop, l.decided = make(chan struct{}), make(chan string, 1)
	if err := l.applicant("last")(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	close(l.decided)
	l.clerk(t.Context())
	eventually(t, time.Minute, "everything acknowledged is there, once, after another start", func() error { return l.settled(t) })
	l.checkAPIs(t)
	s.stop(t)
	l.checkAudit(t)
	l.ledger.note(func() {
		for _, trouble := range l.ledger.trouble {
			t.Errorf("a client: %s", trouble)
		}
		accepted := 0
		for _, a := range l.ledger.applications {
			if a.accepted {
				accepted++
			}
		}
		t.Logf("acknowledged: %d payments, %d applications (%d accepted), %d messages, %d appointments",
			len(l.ledger.payments), len(l.ledger.applications), accepted, len(l.ledger.messages), len(l.ledger.appointments))
	})
}

// wait returns when so many requests began, and the delay after that; at most 3 s.
func (l *load) wait(requests int, delay time.Duration) {
	enough := time.NewTimer(3 * time.Second)
	defer enough.Stop()
	for range requests {
		select {
		case <-l.began:
		case <-enough.C:
			return
		}
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	<-timer.C
}

// clients are the workers of a load.
type clients struct {
	l             *load
	workers, desk sync.WaitGroup
	cancel        context.CancelFunc
}

// run starts the clients.
func (l *load) run(t *testing.T) *clients {
	ctx, cancel := context.WithCancel(t.Context())
	c := &clients{l: l, cancel: cancel}
	work := func(name string, operation func(context.Context, int) error) {
		c.workers.Go(func() { l.worker(ctx, name, operation) })
	}
	for i := range 2 {
		work("payer", l.payer(fmt.Sprintf("payer%d", i)))
		work("applicant", l.applicant(fmt.Sprintf("applicant%d", i)))
		work("booker", l.booker(fmt.Sprintf("booker%d", i)))
	}
	work("notifier", l.notifier)
	c.desk.Go(func() { l.clerk(ctx) })
	t.Cleanup(func() {
		cancel()
		c.workers.Wait()
	})
	return c
}

// finish lets every client bring its operation to an end.
func (c *clients) finish(t *testing.T) {
	t.Helper()
	late := time.AfterFunc(90*time.Second, c.cancel)
	defer late.Stop()
	close(c.l.stop)
	c.workers.Wait()
	close(c.l.decided)
	c.desk.Wait()
}
