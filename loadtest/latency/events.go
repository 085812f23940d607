package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"basisdienste/platform/run"
	"basisdienste/tools/cluster/local"
)

// latency of n events.
type latency struct {
	p50, p95, p99, most time.Duration
	n                   int
}

// formLatency is the time from a payment's being paid to its application's moving on, of what
// was paid since then, and how many applications did not.
func formLatency(ctx context.Context, c *local.Cluster, since time.Time) (l latency, unmoved int, err error) {
	const moved = `FROM payment.history AS h JOIN forms.payments AS p ON p.tenant_id = h.tenant_id AND p.transaction_id = h.transaction_id
			LEFT JOIN forms.application_events AS e ON e.tenant_id = p.tenant_id AND e.application_id = p.application_id AND e.kind = 'paid'
		WHERE h.what = 'payed' AND h.at > `
	var n [6]int64
	// Events on the last payments may be under way.
	for limit, more := time.Now().Add(10*time.Second), true; more; more = n[5] > 0 && time.Now().Before(limit) && until(ctx, time.Now().Add(200*time.Millisecond)) {
		text, err := c.SQL(ctx, `SELECT coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY e.at - h.at), 0),
			coalesce(percentile_disc(0.95) WITHIN GROUP (ORDER BY e.at - h.at), 0), coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY e.at - h.at), 0),
			coalesce(max(e.at - h.at), 0), count(e.at), count(*) FILTER (WHERE e.at IS NULL) `+moved+strconv.FormatInt(since.UnixMicro(), 10))
		if err != nil {
			return l, 0, err
		}
		fields := strings.Split(text, "|")
		if len(fields) != len(n) {
			return l, 0, fmt.Errorf("%q is not %d numbers", text, len(n))
		}
		for i, field := range fields {
			if n[i], err = strconv.ParseInt(field, 10, 64); err != nil {
				return l, 0, fmt.Errorf("%q: %w", text, err)
			}
		}
	}
	at := func(i int) time.Duration { return time.Duration(n[i]) * time.Microsecond }
	return latency{at(0), at(1), at(2), at(3), int(n[4])}, int(n[5]), nil
}

// ages is the histogram event_age_seconds of each consumer, of all instances together: how
// many events were no older than each bound.
type ages map[string]map[float64]uint64

// readAges reads the metrics of all instances.
func readAges(ctx context.Context, c *local.Cluster) (ages, error) {
	a := ages{}
	for _, service := range run.Services() {
		for _, address := range c.Addresses(service) {
			if err := a.read(ctx, service, "http://"+address+"/metrics"); err != nil {
				return nil, fmt.Errorf("metrics of %s: %w", service, err)
			}
		}
	}
	return a, nil
}

// read adds what one instance tells.
func (a ages) read(ctx context.Context, service, url string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	for _, m := range families["event_age_seconds"].GetMetric() {
		name := service
		for _, l := range m.GetLabel() {
			if l.GetName() == "consumer" {
				name += " " + l.GetValue()
			}
		}
		if a[name] == nil {
			a[name] = map[float64]uint64{}
		}
		for _, b := range m.GetHistogram().GetBucket() { // the last is +Inf
			a[name][b.GetUpperBound()] += b.GetCumulativeCount()
		}
	}
	return nil
}

// consumer is how old events were when a consumer had handled them, in seconds.
type consumer struct {
	name     string
	n        uint64
	p50, p99 float64 // between the bounds of the histogram as if events were spread evenly
}

// since is what came between then and now, the busiest consumer first.
func (a ages) since(then ages) (list []consumer) {
	for name, now := range a {
		bounds := make([]float64, 0, len(now))
		for b := range now {
			bounds = append(bounds, b)
		}
		slices.Sort(bounds)
		counts := make([]uint64, len(bounds))
		for i, b := range bounds {
			counts[i] = now[b] - then[name][b]
		}
		if n := counts[len(counts)-1]; n > 0 {
			list = append(list, consumer{name, n, quantile(0.5, bounds, counts), quantile(0.99, bounds, counts)})
		}
	}
	slices.SortFunc(list, func(x, y consumer) int {
		if x.n != y.n {
			return int(y.n) - int(x.n)
		}
		return strings.Compare(x.name, y.name)
	})
	return list
}

// quantile of a cumulative histogram, as Prometheus reckons it: +Inf counts as the bound before.
func quantile(q float64, bounds []float64, counts []uint64) float64 {
	rank, below, from := q*float64(counts[len(counts)-1]), 0.0, 0.0
	for i, bound := range bounds {
		if n := float64(counts[i]); n >= rank {
			if math.IsInf(bound, 1) || n == below {
				return from
			}
			return from + (bound-from)*(rank-below)/(n-below)
		}
		below, from = float64(counts[i]), bound
	}
	return from
}
