package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"basisdienste/services/basis/clients"
)

// rate is how many operations begin in a second, however slow the answers are.
const rate = 15

// outcome of one request, as its client sees it.
type outcome int

const (
	answered outcome = iota
	refused          // 429 or 503, with a problem or a page that says so
	unclear          // no answer, or an error that does not say what to do
)

// watcher carries requests to the edges in turn, as a load balancer in front of them does,
// each from a client address of its own, and notes how they went.
type watcher struct {
	base *http.Transport

	mu       sync.Mutex
	rng      *rand.Rand
	counts   map[outcome]int
	examples []string             // of unclear ones
	lastBad  map[string]time.Time // by kind of request
	healed   map[string]time.Time // the first answer since
}

func newWatcher(edges []string, rng *rand.Rand) *watcher {
	var next atomic.Uint64
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	return &watcher{rng: rng, counts: map[outcome]int{}, lastBad: map[string]time.Time{}, healed: map[string]time.Time{}, base: &http.Transport{
		MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second,
		DialContext: func(ctx context.Context, network, _ string) (c net.Conn, err error) {
			first := int(next.Add(1))
			for i := range edges {
				if c, err = dialer.DialContext(ctx, network, edges[(first+i)%len(edges)]); err == nil {
					return c, nil
				}
			}
			return nil, err
		},
	}}
}

// RoundTrip implements http.RoundTripper.
func (w *watcher) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	from := fmt.Sprintf("10.%d.%d.%d", w.rng.IntN(256), w.rng.IntN(256), 1+w.rng.IntN(254))
	w.mu.Unlock()
	out := r.Clone(r.Context())
	out.Header.Set("X-Forwarded-For", from)
	resp, err := w.base.RoundTrip(out)
	w.note(r, resp, err)
	return resp, err
}

func (w *watcher) note(r *http.Request, resp *http.Response, err error) {
	kind, how, what := kindOf(r.URL.Path), answered, ""
	switch {
	case err != nil && errors.Is(r.Context().Err(), context.Canceled):
		return // the test ends
	case err != nil:
		how, what = unclear, err.Error()
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable:
		how, what = refused, resp.Status
		kind := resp.Header.Get("Content-Type")
		if !strings.HasPrefix(kind, "application/problem+json") && !strings.HasPrefix(kind, "text/html") && resp.Header.Get("Retry-After") == "" {
			how = unclear
		}
	case resp.StatusCode >= 500:
		how, what = unclear, resp.Status
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[how]++
	now := time.Now()
	switch {
	case how != answered:
		w.lastBad[kind] = now
		delete(w.healed, kind)
	case !w.lastBad[kind].IsZero() && w.healed[kind].IsZero():
		w.healed[kind] = now
	}
	if how == unclear && len(w.examples) < 5 {
		w.examples = append(w.examples, r.Method+" "+r.URL.Path+": "+what)
	}
}

// kindOf a request: the part of the installation that it is for.
func kindOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch {
	case parts[0] == "xbezahldienste" || parts[0] == "pay":
		return "payment"
	case len(parts) > 2 && parts[0] == "t":
		return parts[2]
	case len(parts) > 1:
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// seen is what clients saw since the last take.
type seen struct {
	answered, refused, unclear int
	examples                   []string
	healed                     time.Time // when the last kind of request was answered again; zero if nothing failed
	sick                       []string  // kinds that were not
}

func (w *watcher) take() seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := seen{answered: w.counts[answered], refused: w.counts[refused], unclear: w.counts[unclear], examples: w.examples}
	for kind := range w.lastBad {
		switch at := w.healed[kind]; {
		case at.IsZero():
			s.sick = append(s.sick, kind)
		case at.After(s.healed):
			s.healed = at
		}
	}
	slices.Sort(s.sick)
	clear(w.counts)
	clear(w.lastBad)
	clear(w.healed)
	w.examples = nil
	return s
}

// traffic begins operations at a steady rate, of kinds and at moments that the seed decides.
type traffic struct {
	load  *clients.Load
	rng   *rand.Rand
	clerk *clients.Clerk

	ctx    context.Context
	cancel context.CancelFunc
	stop   chan struct{}
	begin  sync.WaitGroup // the generator
	under  sync.WaitGroup // operations
	begun  int
}

// operations in the shares in which they begin.
func (f *traffic) kinds() []func(ctx context.Context, name string, n int) error {
	payment := func(ctx context.Context, name string, n int) error { return f.load.Payer(name)(ctx, n) }
	application := func(ctx context.Context, name string, n int) error { return f.load.Applicant(name)(ctx, n) }
	message := func(ctx context.Context, _ string, n int) error { return f.load.Notifier(ctx, n) }
	booking := func(ctx context.Context, name string, n int) error { return f.load.Booker(name)(ctx, n) }
	token := func(ctx context.Context, _ string, _ int) error { return f.load.Renew(ctx) }
	return []func(context.Context, string, int) error{
		payment, payment, payment, payment, application, application, application, message, message, message, message, booking, token, token, token, token,
	}
}

func newTraffic(ctx context.Context, l *clients.Load, rng *rand.Rand) *traffic {
	f := &traffic{load: l, rng: rng, clerk: l.NewClerk()}
	f.ctx, f.cancel = context.WithCancel(ctx)
	var n atomic.Int64
	l.Submitted = func(ctx context.Context, applicationID string) {
		if n.Add(1)%4 == 0 { // the others wait for a clerk
			f.clerk.Accept(ctx, applicationID)
		}
	}
	l.Pause = func(tries int) time.Duration { return min(100*time.Millisecond<<min(tries-1, 4), time.Second) }
	return f
}

// start begins operations until finish.
func (f *traffic) start() {
	f.stop = make(chan struct{})
	f.begin.Go(func() {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
			case <-f.stop:
				return
			case <-f.ctx.Done():
				return
			}
			timer.Reset(time.Duration(f.rng.ExpFloat64() / rate * float64(time.Second)))
			kinds := f.kinds()
			operation, n := kinds[f.rng.IntN(len(kinds))], f.begun
			f.begun++
			f.under.Go(func() {
				if err := operation(f.ctx, fmt.Sprintf("client%d", n), n); err != nil && f.ctx.Err() == nil {
					f.load.Ledger.Note(func() { f.load.Ledger.Trouble = append(f.load.Ledger.Trouble, err.Error()) })
				}
			})
		}
	})
}

// finish lets every operation that has begun come to its end, and fails if that takes longer
// than within.
func (f *traffic) finish(within time.Duration) error {
	close(f.stop)
	f.begin.Wait()
	done := make(chan struct{})
	go func() {
		f.under.Wait()
		close(done)
	}()
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case <-done:
		return nil
	case <-limit.C:
		f.cancel() // nothing is right from here on
		<-done
		return fmt.Errorf("operations were not answered within %s after the fault", within)
	}
}
