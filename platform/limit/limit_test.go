package limit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/limit"
	"basisdienste/platform/tenant"
)

// clock is a time that moves when told.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

func as(slug string) context.Context {
	return tenant.With(context.Background(), tenant.Tenant{ID: id.ID("id-" + slug), Slug: slug})
}

// allowed counts how many of n requests pass.
func allowed(t *testing.T, l *limit.Limiter, ctx context.Context, op string, n int) int {
	t.Helper()
	passed := 0
	for range n {
		switch err := l.Allow(ctx, op); {
		case err == nil:
			passed++
		case !fault.Is(err, "rate_limited"):
			t.Fatalf("Allow(%s) = %v, want nil or rate_limited", op, err)
		}
	}
	return passed
}

func TestAllow_RateAndBurst(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := limit.New(limit.Config{Clock: c.now, Quotas: map[string]limit.Quota{"a": {PerMinute: 60, Burst: 5}, "b": {PerMinute: 1}}})
	l.Declare("free", limit.Quota{})
	erfurt, jena := as("erfurt"), as("jena")
	steps := []struct {
		name string
		wait time.Duration
		ctx  context.Context
		op   string
		want int
	}{
		{"burst from rest", 0, erfurt, "a", 5},
		{"other tenant has its own", 0, jena, "a", 5},
		{"other operation has its own", 0, erfurt, "b", 1},
		{"nothing left", 0, erfurt, "a", 0},
		{"just before a second", 999 * time.Millisecond, erfurt, "a", 0},
		{"one a second", time.Millisecond, erfurt, "a", 1},
		{"three after three", 3 * time.Second, erfurt, "a", 3},
		{"never more than the burst", time.Hour, erfurt, "a", 5},
		{"unbounded", 0, erfurt, "free", 10},
	}
	for _, s := range steps {
		c.advance(s.wait)
		if got := allowed(t, l, s.ctx, s.op, 10); got != s.want {
			t.Errorf("%s: %d of 10 requests for %s passed, want %d", s.name, got, s.op, s.want)
		}
	}
}

func TestAllow_SaysWhen(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := limit.New(limit.Config{Clock: c.now, Quotas: map[string]limit.Quota{"a": {PerMinute: 6, Burst: 1}}})
	if err := l.Allow(as("erfurt"), "a"); err != nil {
		t.Fatal(err)
	}
	c.advance(3 * time.Second)
	f := fault.From(l.Allow(as("erfurt"), "a"))
	if f == nil || f.Code != "rate_limited" || f.Kind.Status() != 429 || f.RetryAfter != 7*time.Second {
		t.Fatalf("second Allow after 3 s = %+v, want rate_limited, 429, retry after 7s", f)
	}
	c.advance(f.RetryAfter)
	if err := l.Allow(as("erfurt"), "a"); err != nil {
		t.Errorf("Allow after RetryAfter = %v, want nil", err)
	}
}

func TestAllow_Overrides(t *testing.T) {
	t.Parallel()
	l := limit.New(limit.Config{
		Clock: newClock().now, Quotas: map[string]limit.Quota{"a": {PerMinute: 1, Burst: 2, Concurrent: 1}},
		Override: func(_ context.Context, tenantID id.ID, op string) (limit.Quota, bool) {
			return limit.Quota{PerMinute: 1, Burst: 4, Concurrent: 2}, tenantID == "id-erfurt" && op == "a"
		},
	})
	for slug, want := range map[string]int{"erfurt": 4, "jena": 2} {
		if got := allowed(t, l, as(slug), "a", 10); got != want {
			t.Errorf("%d of 10 requests of %s passed, want %d", got, slug, want)
		}
	}
	for slug, want := range map[string]int{"erfurt": 2, "jena": 1} {
		got := 0
		for range 5 {
			if _, err := l.Acquire(as(slug), "a"); err == nil {
				got++
			}
		}
		if got != want {
			t.Errorf("%d of 5 places were given to %s, want %d", got, slug, want)
		}
	}
}

func TestMistakesOfOurs_AreNoFaults(t *testing.T) {
	t.Parallel()
	l := limit.New(limit.Config{Quotas: map[string]limit.Quota{"a": {PerMinute: 1}}})
	_, acquire := l.Acquire(as("erfurt"), "b")
	_, noTenant := l.Acquire(context.Background(), "a")
	for call, err := range map[string]error{
		"Allow undeclared":    l.Allow(as("erfurt"), "b"),
		"AllowKey undeclared": l.AllowKey(context.Background(), "b", "k"),
		"Acquire undeclared":  acquire,
		"Allow no tenant":     l.Allow(context.Background(), "a"),
		"Acquire no tenant":   noTenant,
	} {
		if f := fault.From(err); f == nil || f.Code != "internal" {
			t.Errorf("%s = %v, want an error of ours", call, err)
		}
	}
}

func TestAllowKey(t *testing.T) {
	t.Parallel()
	l := limit.New(limit.Config{Clock: newClock().now, Quotas: map[string]limit.Quota{"login": {PerMinute: 1, Burst: 1}}})
	for _, key := range []string{"a", "b"} {
		if err := l.AllowKey(context.Background(), "login", key); err != nil {
			t.Errorf("AllowKey(%s) = %v, want nil", key, err)
		}
		if err := l.AllowKey(context.Background(), "login", key); !fault.Is(err, "rate_limited") {
			t.Errorf("second AllowKey(%s) = %v, want rate_limited", key, err)
		}
	}
}

func TestAllow_RemembersAtMostItsKeys(t *testing.T) {
	t.Parallel()
	l := limit.New(limit.Config{Clock: newClock().now, Keys: 3, Quotas: map[string]limit.Quota{"a": {PerMinute: 1, Burst: 1}, "k": {PerMinute: 1, Burst: 1}}})
	for _, slug := range []string{"one", "two", "three"} {
		if err := l.Allow(as(slug), "a"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if err := l.AllowKey(context.Background(), "k", strings.Repeat("x", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Allow(as("one"), "a"); !fault.Is(err, "rate_limited") {
		t.Errorf("Allow(one) after many keys = %v, want rate_limited: keys must not push tenants out", err)
	}
	if err := l.Allow(as("four"), "a"); err != nil {
		t.Fatal(err)
	}
	if err := l.Allow(as("one"), "a"); !fault.Is(err, "rate_limited") {
		t.Errorf("Allow(one), used a moment ago, after a fourth tenant = %v, want rate_limited", err)
	}
	if err := l.Allow(as("two"), "a"); err != nil {
		t.Errorf("Allow(two), not seen for longest, after a fourth tenant = %v, want it forgotten", err)
	}
}

func TestAcquire(t *testing.T) {
	t.Parallel()
	l := limit.New(limit.Config{Quotas: map[string]limit.Quota{"a": {Concurrent: 2}, "free": {}}})
	ctx := as("erfurt")
	first, err1 := l.Acquire(ctx, "a")
	_, err2 := l.Acquire(ctx, "a")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatalf("two Acquire of two places = %v, want no error", err)
	}
	_, err := l.Acquire(ctx, "a")
	if f := fault.From(err); f == nil || f.Code != "too_many_concurrent" || f.Kind.Status() != 429 || f.RetryAfter != time.Second {
		t.Errorf("third Acquire of two places = %+v, want too_many_concurrent, 429, retry after 1s", f)
	}
	if _, err := l.Acquire(as("jena"), "a"); err != nil {
		t.Errorf("Acquire of another tenant = %v, want nil", err)
	}
	first()
	first()
	if _, err := l.Acquire(ctx, "a"); err != nil {
		t.Errorf("Acquire after release = %v, want nil", err)
	}
	if _, err := l.Acquire(ctx, "a"); !fault.Is(err, "too_many_concurrent") {
		t.Errorf("Acquire after one place was released twice = %v, want too_many_concurrent", err)
	}
	for range 10 {
		release, err := l.Acquire(ctx, "free")
		if err != nil {
			t.Fatalf("Acquire without cap = %v, want nil", err)
		}
		release()
	}
}

func TestLimiter_ManyAtOnceGetExactlyTheQuota(t *testing.T) {
	t.Parallel()
	l := limit.New(limit.Config{Clock: newClock().now, Quotas: map[string]limit.Quota{"a": {PerMinute: 1, Burst: 100, Concurrent: 3}}})
	var passed, most, now atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				if err := l.Allow(as("erfurt"), "a"); err == nil {
					passed.Add(1)
				} else if !fault.Is(err, "rate_limited") {
					t.Errorf("Allow = %v, want nil or rate_limited", err)
				}
				release, err := l.Acquire(as("erfurt"), "a")
				if err != nil {
					continue
				}
				n := now.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				now.Add(-1)
				release()
			}
		})
	}
	wg.Wait()
	if passed.Load() != 100 || most.Load() > 3 {
		t.Errorf("1000 requests by 50 at once: %d passed and %d at once, want 100 and at most 3", passed.Load(), most.Load())
	}
}

func TestByAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"direct", "192.0.2.1:4711", nil, "192.0.2.1"},
		{"untrusted may say what it likes", "192.0.2.1:4711", []string{"198.51.100.1"}, "192.0.2.1"},
		{"behind a proxy", "10.0.0.1:80", []string{"198.51.100.1"}, "198.51.100.1"},
		{"invented hops in front", "10.0.0.1:80", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies, two headers", "10.0.0.1:80", []string{"198.51.100.1", " 10.0.0.2 "}, "198.51.100.1"},
		{"with port", "10.0.0.1:80", []string{"198.51.100.1:9"}, "198.51.100.1"},
		{"IPv6 with port", "[fd00::1]:80", []string{"[2001:db8:1:2:3::4]:9"}, "2001:db8:1:2::"},
		{"IPv6 by /64", "[2001:db8:1:2:3:4:5:6]:80", nil, "2001:db8:1:2::"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:80", nil, "192.0.2.1"},
		{"IPv4 in IPv6 proxy", "[::ffff:10.0.0.1]:80", []string{"198.51.100.1"}, "198.51.100.1"},
		{"zone", "[fe80::1%eth0]:80", nil, "fe80::"},
		{"nonsense from the proxy", "10.0.0.1:80", []string{"unknown"}, "10.0.0.1"},
		{"nonsense before a proxy", "10.0.0.1:80", []string{"_hidden, 10.0.0.2"}, "10.0.0.2"},
		{"all ours", "10.0.0.1:80", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"Unix socket", "@", nil, "invalid IP"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := limit.New(limit.Config{Clock: newClock().now})
			var got string
			seen := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = limit.Address(r.Context()) })
			quota := limit.Quota{PerMinute: 1, Burst: 2}
			one, other := l.ByAddress(quota, trusted...)(seen), l.ByAddress(quota, trusted...)(seen)
			request := func(h http.Handler, remote string) *httptest.ResponseRecorder {
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.RemoteAddr = remote
				r.Header["X-Forwarded-For"] = test.forwarded
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				return w
			}
			for i, want := range []int{200, 200, 429} {
				if w := request(one, test.remote); w.Code != want {
					t.Errorf("request %d from %s %v answered %d, want %d", i+1, test.remote, test.forwarded, w.Code, want)
				}
			}
			if got != test.want {
				t.Errorf("Address of %s %v = %q, want %q", test.remote, test.forwarded, got, test.want)
			}
			if w := request(one, test.remote); w.Header().Get("Retry-After") != "60" || !strings.Contains(w.Body.String(), `"code":"rate_limited"`) {
				t.Errorf("answer over the limit = %v %s, want Retry-After 60 and the problem rate_limited", w.Header(), w.Body.String())
			}
			if w := request(other, test.remote); w.Code != 200 {
				t.Errorf("request at another limit answered %d, want 200", w.Code)
			}
		})
	}
	t.Run("from inside the installation", func(t *testing.T) {
		t.Parallel()
		l := limit.New(limit.Config{Clock: newClock().now})
		h := l.ByAddress(limit.Quota{PerMinute: 1, Burst: 1}, trusted...)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for i := range 3 {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = "10.0.0.1:80"
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != 200 {
				t.Errorf("request %d of a trusted network without X-Forwarded-For answered %d, want 200", i+1, w.Code)
			}
		}
	})
	if got := limit.Address(context.Background()); got != "" {
		t.Errorf("Address(background) = %q, want nothing", got)
	}
}

func BenchmarkLimiter(b *testing.B) {
	l := limit.New(limit.Config{Quotas: map[string]limit.Quota{"a": {PerMinute: 1_000_000_000, Burst: 1_000_000_000, Concurrent: 10}}})
	ctx := as("erfurt")
	b.Run("Allow", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := l.Allow(ctx, "a"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("AllowParallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := l.Allow(ctx, "a"); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("Acquire", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			release, err := l.Acquire(ctx, "a")
			if err != nil {
				b.Fatal(err)
			}
			release()
		}
	})
	b.Run("ByAddress", func(b *testing.B) {
		b.ReportAllocs()
		h := l.ByAddress(limit.Quota{PerMinute: 1_000_000_000, Burst: 1_000_000_000})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		w := httptest.NewRecorder()
		for b.Loop() {
			h.ServeHTTP(w, r)
		}
	})
}
