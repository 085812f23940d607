// Package limit keeps one tenant, or one address, from taking what is there for all: rates
// by GCRA (the generic cell rate algorithm: a steady rate with a burst), and caps on how
// much one tenant does at the same time.
//
// Each process counts for itself: with n processes behind a balancer a tenant gets up to n
// times its quota. What must not be exceeded by one belongs in the database.
package limit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

// Quota bounds one operation for one tenant. A zero leaves that side unbounded.
type Quota struct {
	PerMinute  int `json:"per_minute,omitempty"` // requests that may come steadily
	Burst      int `json:"burst,omitempty"`      // requests that may come at once, at least 1
	Concurrent int `json:"concurrent,omitempty"` // requests that may be under way at once
}

// Config is what New needs. Every field may be zero.
type Config struct {
	// Clock is read for every request; nil means time.Now.
	Clock func() time.Time
	// Quotas are the defaults by operation; Declare adds to them.
	Quotas map[string]Quota
	// Override returns a tenant's own quota for an operation, if it has one. It is asked for
	// every request, so it answers from memory.
	Override func(ctx context.Context, tenantID id.ID, op string) (Quota, bool)
	// Keys bounds how many tenants and operations, and how many addresses, are remembered; 0
	// means 100,000. Beyond it the one not seen for longest starts afresh.
	Keys int
	// Metrics gets limiter_refusals_total by operation; nil keeps none.
	Metrics prometheus.Registerer
}

// Limiter is safe for concurrent use. It runs nothing in the background.
type Limiter struct {
	override func(ctx context.Context, tenantID id.ID, op string) (Quota, bool)
	quotas   sync.Map // operation → Quota

	// Addresses have a store of their own, so that many of them cannot push tenants out.
	tenants, keys throttled.GCRAStoreCtx
	byAddress     atomic.Int64
	refused       *prometheus.CounterVec

	mu       sync.Mutex
	underWay map[string]int
}

// New returns a limiter that knows nothing yet.
func New(cfg Config) *Limiter {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Keys <= 0 {
		cfg.Keys = 100_000
	}
	l := &Limiter{
		override: cfg.Override, underWay: map[string]int{},
		tenants: newStore(cfg.Keys, cfg.Clock), keys: newStore(cfg.Keys, cfg.Clock), refused: newRefusals(cfg.Metrics),
	}
	l.refused.WithLabelValues(byAddress)
	for op, q := range cfg.Quotas {
		l.Declare(op, q)
	}
	return l
}

// newStore returns an LRU store. Its time goes on steadily when the wall clock is set back,
// which would otherwise lock everybody out for as long.
func newStore(keys int, clock func() time.Time) throttled.GCRAStoreCtx {
	store, err := memstore.New(keys)
	if err != nil {
		panic(err) // it refuses a size below 1 only
	}
	start := clock()
	store.SetTimeNow(func() time.Time { return start.Add(clock().Sub(start)) })
	return throttled.WrapStoreWithContext(store)
}

// Declare sets the default quota of an operation. Operations are named for their service
// first, "payment.create", for one process may serve them all.
func (l *Limiter) Declare(op string, q Quota) {
	l.quotas.Store(op, q)
	l.refused.WithLabelValues(op) // so that the first refusal is an increase
}

// Allow counts one request of the context's tenant. It must not be asked for an operation
// that was not declared, nor without a tenant: that is our mistake, and not a fault.
// Error: rate_limited, with the time after which the next request will pass.
func (l *Limiter) Allow(ctx context.Context, op string) error {
	key, q, err := l.find(ctx, op)
	if err != nil {
		return err
	}
	return l.note(op, count(ctx, l.tenants, op, key, q))
}

// AllowKey counts one request under a key of the caller's choice, for what happens before a
// tenant or person is known: key may be Address(ctx), or a login name's hash. The quota is
// the operation's default. Error: rate_limited.
func (l *Limiter) AllowKey(ctx context.Context, op, key string) error {
	q, err := l.declared(op)
	if err != nil {
		return err
	}
	return l.note(op, count(ctx, l.keys, op, op+"\x00"+key, q))
}

// Acquire takes one of the places that the context's tenant has for an operation; release
// gives it back, and may be called more than once. It never waits.
// Error: too_many_concurrent.
func (l *Limiter) Acquire(ctx context.Context, op string) (release func(), err error) {
	key, q, err := l.find(ctx, op)
	if err != nil {
		return nil, err
	}
	if q.Concurrent <= 0 {
		return func() {}, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.underWay[key] >= q.Concurrent {
		return nil, l.note(op, fault.RateLimited("too_many_concurrent", "%d requests for %s are under way already; try again when one of them is done", q.Concurrent, op).After(time.Second))
	}
	l.underWay[key]++
	var once sync.Once
	return func() { once.Do(func() { l.release(key) }) }, nil
}

func (l *Limiter) release(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.underWay[key]--; l.underWay[key] <= 0 {
		delete(l.underWay, key)
	}
}

func (l *Limiter) declared(op string) (Quota, error) {
	q, ok := l.quotas.Load(op)
	if !ok {
		return Quota{}, fmt.Errorf("limit: nobody declared the quota of %q", op)
	}
	return q.(Quota), nil
}

// find returns the key and the quota of the context's tenant.
func (l *Limiter) find(ctx context.Context, op string) (string, Quota, error) {
	q, err := l.declared(op)
	if err != nil {
		return "", Quota{}, err
	}
	t, ok := tenant.From(ctx)
	if !ok || t.ID == "" {
		return "", Quota{}, fmt.Errorf("limit: the context of %q names no tenant", op)
	}
	if l.override != nil {
		if own, ok := l.override(ctx, t.ID, op); ok {
			q = own
		}
	}
	return op + "\x00" + string(t.ID), q, nil
}

func count(ctx context.Context, store throttled.GCRAStoreCtx, op, key string, q Quota) error {
	if q.PerMinute <= 0 {
		return nil
	}
	gcra, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{
		MaxRate: throttled.PerMin(min(q.PerMinute, 1e9)), MaxBurst: max(q.Burst, 1) - 1,
	})
	if err != nil {
		return fmt.Errorf("limit %s: %w", op, err)
	}
	// The store is compare-and-swap: who has to try again was overtaken by another. The
	// library gives up after ten times, which a busy tenant on many cores would see.
	gcra.SetMaxCASAttemptsLimit(math.MaxInt)
	limited, result, err := gcra.RateLimitCtx(ctx, key, 1)
	if err != nil {
		return errors.New("limit: the store failed") // err holds the key, maybe an address
	}
	if limited {
		return fault.RateLimited("rate_limited", "too many requests for %s; %d a minute are allowed", op, q.PerMinute).After(result.RetryAfter)
	}
	return nil
}
