package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"basisdienste/services/basis/clients"
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
	l := newLoad(t, s, d)
	people := l.run(t)

	var starts []time.Duration
	for range kills {
		if s.PID() == 0 {
			began := time.Now()
			if err := s.Launch(); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(6) == 0 { // while it starts
				l.wait(0, time.Duration(rng.IntN(1200))*time.Millisecond)
				s.kill(t)
				continue
			}
			if err := s.AwaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
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
	people.finish(t)
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
	l.stop, l.submitted = make(chan struct{}), make(chan string, 1)
	if err := l.Applicant("last")(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	close(l.submitted)
	l.clerk(t.Context())
	eventually(t, time.Minute, "everything acknowledged is there, once, after another start", func() error { return l.settled(t) })
	if err := l.ReadBack(t.Context()); err != nil {
		t.Error(err)
	}
	s.stop(t)
	entries, err := l.Audit(t.Context())
	if err != nil {
		t.Error(err)
	}
	t.Logf("audit: %d entries in order", entries)
	l.Ledger.Note(func() {
		for _, trouble := range l.Ledger.Trouble {
			t.Errorf("a client: %s", trouble)
		}
		accepted := 0
		for _, a := range l.Ledger.Applications {
			if a.Accepted {
				accepted++
			}
		}
		t.Logf("acknowledged: %d payments, %d applications (%d accepted), %d messages, %d appointments",
			len(l.Ledger.Payments), len(l.Ledger.Applications), accepted, len(l.Ledger.Messages), len(l.Ledger.Appointments))
	})
}

// load is clients that repeat their operations one after the other until stop is closed.
type load struct {
	*clients.Load
	stop      chan struct{}
	submitted chan string // applications for the clerk
}

func newLoad(t *testing.T, s *server, d clients.Demo) *load {
	t.Helper()
	c, err := clients.NewLoad(t.Context(), s.site(), d, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	c.Tables = s.tables
	l := &load{Load: c, stop: make(chan struct{}), submitted: make(chan string, 10_000)}
	c.Submitted = func(_ context.Context, applicationID string) { l.submitted <- applicationID }
	return l
}

func (l *load) settled(t *testing.T) error {
	d, err := l.Count(t.Context())
	return errors.Join(err, d.Err())
}

// clerk decides what is submitted, until nothing more is.
func (l *load) clerk(ctx context.Context) {
	clerk := l.NewClerk()
	for applicationID := range l.submitted {
		clerk.Accept(ctx, applicationID)
	}
}

// worker repeats an operation until the load is to stop.
func (l *load) worker(ctx context.Context, name string, operation func(ctx context.Context, n int) error) {
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		if err := operation(ctx, n); err != nil {
			l.Ledger.Note(func() { l.Ledger.Trouble = append(l.Ledger.Trouble, name+": "+err.Error()) })
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// wait returns when so many requests began, and the delay after that; at most 3 s.
func (l *load) wait(requests int, delay time.Duration) {
	enough := time.NewTimer(3 * time.Second)
	defer enough.Stop()
	for range requests {
		select {
		case <-l.Began:
		case <-enough.C:
			return
		}
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	<-timer.C
}

// people are the workers of a load.
type people struct {
	l             *load
	workers, desk sync.WaitGroup
	cancel        context.CancelFunc
}

// run starts the clients.
func (l *load) run(t *testing.T) *people {
	ctx, cancel := context.WithCancel(t.Context())
	c := &people{l: l, cancel: cancel}
	work := func(name string, operation func(context.Context, int) error) {
		c.workers.Go(func() { l.worker(ctx, name, operation) })
	}
	for i := range 2 {
		work("payer", l.Payer(fmt.Sprintf("payer%d", i)))
		work("applicant", l.Applicant(fmt.Sprintf("applicant%d", i)))
		work("booker", l.Booker(fmt.Sprintf("booker%d", i)))
	}
	work("notifier", l.Notifier)
	c.desk.Go(func() { l.clerk(ctx) })
	t.Cleanup(func() {
		cancel()
		c.workers.Wait()
	})
	return c
}

// finish lets every client bring its operation to an end.
func (c *people) finish(t *testing.T) {
	t.Helper()
	late := time.AfterFunc(90*time.Second, c.cancel)
	defer late.Stop()
	close(c.l.stop)
	c.workers.Wait()
	close(c.l.submitted)
	c.desk.Wait()
}
