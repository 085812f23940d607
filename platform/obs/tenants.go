package obs

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// namedTenants bounds the series: so many tenants by name, and one for the rest.
	namedTenants = 25
	// restOfTenants cannot be a slug.
	restOfTenants = "_rest"
	// reviewEvery is how often tenants may change places, so that series do not come and go.
	reviewEvery = 10 * time.Minute
)

// tenantUse counts requests by tenant: the most active ones by their slug, all others
// together as "_rest". A tenant is exchanged for another only if that one was twice as active
// of late, and at a scrape at least 10 minutes after the last exchange. Each series only
// grows: a tenant that gets a name again goes on where it stopped, what it did meanwhile is
// in the rest. Counts are exact; memory is some 100 bytes for each tenant that was seen.
type tenantUse struct {
	clock func() time.Time
	named int // how many at most

	mu       sync.Mutex
	tenants  map[string]*tally
	top      map[string]*tally // those of tenants with a name
	rest     tally
	reviewed time.Time

	requests, failed, refused, seconds *prometheus.Desc
}

// tally is what one tenant used.
type tally struct {
	lately uint64 // requests, halved at each review

	requests, failed, refused uint64
	took                      time.Duration
}

func newTenantUse(named int, clock func() time.Time) *tenantUse {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help+"; the most active tenants by slug, the others as _rest.", []string{"tenant"}, nil)
	}
	return &tenantUse{
		clock: clock, named: named, tenants: map[string]*tally{}, top: map[string]*tally{}, reviewed: clock(),
		requests: desc("tenant_requests_total", "Requests that a tenant was found for"),
		failed:   desc("tenant_requests_failed_total", "Requests answered with 5xx"),
		refused:  desc("tenant_requests_refused_total", "Requests answered with 429"),
		seconds:  desc("tenant_request_seconds_total", "Time that requests took"),
	}
}

func (u *tenantUse) count(slug string, status int, took time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.tenants[slug]
	if t == nil {
		t = &tally{}
		u.tenants[slug] = t
		if len(u.top) < u.named {
			u.top[slug] = t
		}
	}
	t.lately++
	if _, named := u.top[slug]; !named {
		t = &u.rest
	}
	t.requests++
	t.took += took
	switch {
	case status >= http.StatusInternalServerError:
		t.failed++
	case status == http.StatusTooManyRequests:
		t.refused++
	}
}

// review lets active tenants take the places of quiet ones.
func (u *tenantUse) review() {
	now := u.clock()
	if now.Sub(u.reviewed) < reviewEvery {
		return
	}
	u.reviewed = now
	busiest := func(a, b string) int {
		return cmp.Or(cmp.Compare(u.tenants[b].lately, u.tenants[a].lately), cmp.Compare(a, b))
	}
	inside := slices.SortedFunc(maps.Keys(u.top), busiest)
	outside := slices.SortedFunc(maps.Keys(u.tenants), busiest)
	outside = slices.DeleteFunc(outside, func(slug string) bool { return u.top[slug] != nil })
	for i, out := range slices.Backward(inside) {
		n := len(inside) - 1 - i
		if n == len(outside) || u.tenants[outside[n]].lately <= 2*u.tenants[out].lately {
			break
		}
		delete(u.top, out)
		u.top[outside[n]] = u.tenants[outside[n]]
	}
	for _, t := range u.tenants {
		t.lately /= 2
	}
}

// Describe implements prometheus.Collector.
func (u *tenantUse) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{u.requests, u.failed, u.refused, u.seconds} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (u *tenantUse) Collect(out chan<- prometheus.Metric) {
	u.mu.Lock()
	u.review()
	all := map[string]tally{restOfTenants: u.rest}
	for slug, t := range u.top {
		all[slug] = *t
	}
	u.mu.Unlock() // not held while the other side reads
	for slug, t := range all {
		counter := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, slug)
		}
		counter(u.requests, float64(t.requests))
		counter(u.failed, float64(t.failed))
		counter(u.refused, float64(t.refused))
		counter(u.seconds, t.took.Seconds())
	}
}
