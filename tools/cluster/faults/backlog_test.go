package faults_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	backlogName = "a tenant with a backlog of 100,000 events"
	backlogSize = 100_000
	// bearable is the median time that another tenant's event may take meanwhile, on a machine
	// that does everything at once.
	bearable = time.Second
)

// backlog lets Jena have told so many events at once, in both instances of payment. Erfurt's
// go on beside it, and the backlog drains. That each was counted once is seen at the end of the
// run (backlogCounted).
func backlog(ctx context.Context, r *rig) (string, error) {
	began := time.Now()
	pass(ctx, 12*time.Second)
	before, err := r.eventLatency(ctx, began)
	if err != nil {
		return "", err
	}
	_, err = r.cluster.SQL(ctx, fmt.Sprintf(`INSERT INTO payment.outbox (tenant_id, id, type, subject, prior, holder, payload, traceparent, at)
		SELECT t.tenant_id, gen_random_uuid()::text, 'payment.transaction.created.v1', 'backlog-' || n, '', h.holders[1 + n %% cardinality(h.holders)],
			json_build_object('transaction_id', 'backlog-' || n, 'request_id', 'backlog-' || n, 'originator_id', 'backlog', 'end_point_id', 'backlog',
				'amount', 100, 'currency', 'EUR', 'status', 'INITIAL', 'at', '2026-11-22T10:00:00Z')::text, '', extract(epoch from now()) * 1000000
		FROM generate_series(1, %d) AS n, (SELECT tenant_id FROM tenants.tenants WHERE slug = 'jena') AS t,
			(SELECT array_agg(DISTINCT holder) AS holders FROM payment.outbox WHERE holder LIKE '%%payment-1' OR holder LIKE '%%payment-2') AS h`, r.backlog))
	if err != nil {
		return "", err
	}
	r.load.Ledger.Note(func() {
		r.load.Ledger.Told += r.backlog
		r.load.Ledger.Later["payment.transaction.created"] = true
	})
	inserted := time.Now()
	limit, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	left, problem := 0, error(nil)
	if !await(limit, func(ctx context.Context) bool {
		left, problem = r.unsent(ctx, "payment", "jena")
		return problem == nil && left == 0
	}) {
		return "", errors.Join(fmt.Errorf("%d events of Jena wait after %s", left, time.Since(inserted)), problem)
	}
	drained := time.Since(inserted)
	during, err := r.eventLatency(ctx, inserted)
	if err != nil {
		return "", err
	}
	note := fmt.Sprintf("sent after %.0f s; payment paid to application moved on in Erfurt: %s before, %s meanwhile", drained.Seconds(), before, during)
	if during.n == 0 || during.p50 > bearable {
		return note, fmt.Errorf("events of Erfurt take %s, want a median of %s at most", during, bearable)
	}
	return note, nil
}

// backlogCounted waits until tenants has counted every event of the backlog, and of everybody
// behind it, once.
func (r *rig) backlogCounted(t *testing.T, rep *report) {
	i := slices.IndexFunc(rep.lines, func(l line) bool { return l.fault.name == backlogName })
	if i < 0 {
		t.Log("there was no backlog")
		return
	}
	r.load.Ledger.Note(func() { clear(r.load.Ledger.Later) })
	began := time.Now()
	d, err := r.settled(t.Context(), 10*time.Minute)
	if err != nil {
		t.Error(err)
	}
	t.Logf("counted after another %s", time.Since(began).Round(time.Second))
	rep.lines[i].lost += d.Lost - r.known.Lost
	rep.lines[i].doubled += d.Doubled - r.known.Doubled
	if d.Lost > r.known.Lost || d.Doubled > r.known.Doubled {
		t.Error(d.Err())
	}
}

// latency of events.
type latency struct {
	p50, p95 time.Duration
	n        int
}

func (l latency) String() string {
	return fmt.Sprintf("p50 %d ms, p95 %d ms (%d)", l.p50.Milliseconds(), l.p95.Milliseconds(), l.n)
}

// eventLatency is the time from a payment's being paid to its application's moving on, of what
// was paid since then.
func (r *rig) eventLatency(ctx context.Context, since time.Time) (l latency, err error) {
	text, err := r.cluster.SQL(ctx, fmt.Sprintf(`SELECT coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY e.at - h.at), 0),
			coalesce(percentile_disc(0.95) WITHIN GROUP (ORDER BY e.at - h.at), 0), count(*)
		FROM payment.history AS h JOIN forms.payments AS p ON p.tenant_id = h.tenant_id AND p.transaction_id = h.transaction_id
			JOIN forms.application_events AS e ON e.tenant_id = p.tenant_id AND e.application_id = p.application_id AND e.kind = 'paid'
		WHERE h.what = 'payed' AND h.at > %d`, since.UnixMicro()))
	if err != nil {
		return l, err
	}
	var numbers []int64
	for field := range strings.SplitSeq(text, "|") {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return l, fmt.Errorf("%q: %w", text, err)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) != 3 {
		return l, fmt.Errorf("%q is not three numbers", text)
	}
	return latency{time.Duration(numbers[0]) * time.Microsecond, time.Duration(numbers[1]) * time.Microsecond, int(numbers[2])}, nil
}
