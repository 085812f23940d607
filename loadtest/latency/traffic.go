package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"basisdienste/services/basis/clients"
	"basisdienste/tools/cluster/local"
)

// traffic is citizens and programs who begin errands at a steady rate, whatever becomes of
// those before (an open model), of kinds and at moments that the seed decides.
type traffic struct {
	load             *clients.Load
	rng              *rand.Rand
	steps, redirects atomic.Int64 // requests that were sent: by themselves, and after a redirect
	errands          int64        // that were begun
}

func newTraffic(ctx context.Context, c *local.Cluster, seed uint64) (*traffic, error) {
	t := &traffic{rng: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // repeatable
	d, err := clients.ReadDemo(c.DemoFile)
	if err != nil {
		return nil, err
	}
	site := &clients.Site{URL: c.URL, HTTP: &http.Client{Timeout: 30 * time.Second, Transport: t.carrier(c.Addresses("edge"), seed)}}
	if t.load, err = clients.NewLoad(ctx, site, d, time.Now); err != nil {
		return nil, err
	}
	t.load.Pause = func(tries int) time.Duration { return min(50*time.Millisecond<<min(tries-1, 5), time.Second) }
	return t, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// carrier takes requests to the edges in turn, as a load balancer in front of them does, each
// from a client address of its own, and counts them as steps but for followed redirects.
func (t *traffic) carrier(edges []string, seed uint64) http.RoundTripper {
	var next atomic.Uint64
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	base := &http.Transport{
		MaxIdleConnsPerHost: 128, IdleConnTimeout: 30 * time.Second,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, edges[next.Add(1)%uint64(len(edges))])
		},
	}
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // repeatable
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Response == nil { // it does not follow a redirect
			t.steps.Add(1)
		} else {
			t.redirects.Add(1)
		}
		mu.Lock()
		from := fmt.Sprintf("10.%d.%d.%d", rng.IntN(256), rng.IntN(256), 1+rng.IntN(254))
		mu.Unlock()
		out := r.Clone(r.Context())
		out.Header.Set("X-Forwarded-For", from)
		return base.RoundTrip(out)
	})
}

// kinds of errands, in the shares in which they begin: payments over XBezahldienste, two of
// three paid; applications with and without a fee, three of four fees paid; messages;
// appointments, given back.
func (t *traffic) kinds() []func(ctx context.Context, name string, n int) error {
	payment := func(ctx context.Context, name string, n int) error { return t.load.Payer(name)(ctx, n) }
	application := func(ctx context.Context, name string, n int) error { return t.load.Applicant(name)(ctx, n) }
	message := func(ctx context.Context, _ string, n int) error { return t.load.Notifier(ctx, n) }
	return []func(context.Context, string, int) error{payment, payment, application, application, application, application, message, message, message, t.book}
}

// book makes an appointment and gives it back, so that a long run does not use up the times.
func (t *traffic) book(ctx context.Context, name string, n int) error {
	if err := t.load.Booker(name)(ctx, n); err != nil {
		return err
	}
	var id, secret string
	t.load.Ledger.Note(func() {
		for key, a := range t.load.Ledger.Appointments {
			if a.Email == fmt.Sprintf("%s-%d@example.org", name, n) {
				id, secret = key, a.Secret
				delete(t.load.Ledger.Appointments, key)
			}
		}
	})
	_, err := t.load.Request(ctx, http.MethodPost, "/t/erfurt/booking/v1/appointments/"+id+"/cancel", id, map[string]string{"secret": secret}, nil)
	return err
}

// patience bounds what errands may take to come to their end after the last has begun.
const patience = time.Minute

// drive begins so many errands a second for a while, and returns when all have ended.
func (t *traffic) drive(ctx context.Context, perSecond float64, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d+patience)
	defer cancel()
	if err := t.load.Renew(ctx); err != nil {
		return err
	}
	var under sync.WaitGroup
	end, due := time.Now().Add(d), time.Now()
	for kinds := t.kinds(); ; t.errands++ {
		due = due.Add(time.Duration(t.rng.ExpFloat64() / perSecond * float64(time.Second)))
		if due.After(end) || !until(ctx, due) {
			break
		}
		errand, n := kinds[t.rng.IntN(len(kinds))], int(t.errands)
		under.Go(func() {
			if err := errand(ctx, fmt.Sprintf("client%d", n), n); err != nil {
				t.load.Ledger.Note(func() { t.load.Ledger.Trouble = append(t.load.Ledger.Trouble, err.Error()) })
			}
		})
	}
	under.Wait()
	if ctx.Err() != nil {
		return errors.New("errands did not come to their end: the cluster does not keep up with this rate")
	}
	return nil
}

// until waits for a moment, which may be past; false if ctx ends before.
func until(ctx context.Context, moment time.Time) bool {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// perErrand is how many steps an errand had so far.
func (t *traffic) perErrand() float64 { return float64(t.steps.Load()) / float64(max(t.errands, 1)) }

// trouble is what errands ended with.
func (t *traffic) trouble() (list []string) {
	t.load.Ledger.Note(func() { list = append(list, t.load.Ledger.Trouble...) })
	return list
}
