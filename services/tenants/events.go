package tenants

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
)

// countWithin is how long counting may wait for more to count with it.
const countWithin = 50 * time.Millisecond

// listen counts what the tenants use, each event once.
func (s *Service) listen(r *bus.Router) {
	g := bus.Gather(r, countWithin, addUsage)
	count(s, g, func(e events.TransactionCreated) int64 { return e.Amount })
	count(s, g, func(e events.TransactionPayed) int64 { return e.Amount })
	count(s, g, func(e events.ApplicationSubmitted) int64 { return e.Amount })
	count(s, g, func(e events.ApplicationAccepted) int64 { return e.Amount })
	count(s, g, func(e events.ApplicationRejected) int64 { return e.Amount })
	count(s, g, func(events.MessageAccepted) int64 { return 0 })
	count(s, g, func(events.MessageDelivered) int64 { return 0 })
	count(s, g, func(events.MessageFailed) int64 { return 0 })
	count(s, g, func(events.AppointmentConfirmed) int64 { return 0 })
	count(s, g, func(events.AppointmentCanceled) int64 { return 0 })
}

// count adds each event of one type, with its amount in cents, to the month in which it was
// told. The counter is named like the event, without the version.
func count[E outbox.Event](s *Service, g *bus.Gathering[used], amount func(E) int64) {
	var zero E
	counter := zero.EventType()[:strings.LastIndex(zero.EventType(), ".v")]
	bus.Into(g, "usage-"+strings.ReplaceAll(counter, ".", "-"), func(m bus.Meta, e E) used {
		return used{meter{m.Tenant, s.month(m.Time), counter}, 1, amount(e)}
	})
}

// meter counts one thing of a tenant in a month.
type meter struct {
	tenant         id.ID
	month, counter string
}

// used is what a meter is moved on by.
type used struct {
	meter
	n, amount int64
}

// month is the calendar month at the tenants' place: "2026-11".
func (s *Service) month(t time.Time) string { return t.In(s.berlin).Format("2006-01") }

// usageSlots bounds the rows that one counter is spread over.
const usageSlots = 16

// addUsage moves the meters on. Those who move the same at once would wait for each other's
// commit: on PostgreSQL each takes a row of the meter that is free, or begins another.
func addUsage(ctx context.Context, tx *db.Tx, list []used) error {
	sums := map[meter]used{}
	for _, u := range list {
		sum := sums[u.meter]
		sums[u.meter] = used{u.meter, sum.n + u.n, sum.amount + u.amount}
	}
	for _, u := range slices.SortedFunc(maps.Values(sums), func(a, b used) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.month, b.month), cmp.Compare(a.counter, b.counter))
	}) {
		query, args := `INSERT INTO usage_slots (tenant_id, month, counter, slot, n, amount) VALUES (?, ?, ?, 0, ?, ?)
			ON CONFLICT (tenant_id, month, counter, slot) DO UPDATE SET n = usage_slots.n + excluded.n, amount = usage_slots.amount + excluded.amount`,
			[]any{u.tenant, u.month, u.counter, u.n, u.amount}
		if tx.Postgres() {
			query = `WITH free AS (
				SELECT slot FROM usage_slots WHERE tenant_id = ? AND month = ? AND counter = ? ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED
			), counted AS (
				UPDATE usage_slots u SET n = u.n + ?, amount = u.amount + ? FROM free
				WHERE u.tenant_id = ? AND u.month = ? AND u.counter = ? AND u.slot = free.slot RETURNING u.slot
			)
			INSERT INTO usage_slots (tenant_id, month, counter, slot, n, amount)
			SELECT ?, ?, ?, floor(random() * ?)::int, ?::bigint, ?::bigint WHERE NOT EXISTS (SELECT 1 FROM counted)
			ON CONFLICT (tenant_id, month, counter, slot) DO UPDATE SET n = usage_slots.n + excluded.n, amount = usage_slots.amount + excluded.amount`
			args = []any{u.tenant, u.month, u.counter, u.n, u.amount, u.tenant, u.month, u.counter, u.tenant, u.month, u.counter, usageSlots, u.n, u.amount}
		}
		if err := tx.Send(ctx, query, args...); err != nil {
			return fmt.Errorf("count %s: %w", u.counter, err)
		}
	}
	return nil
}

// Usage returns what a tenant used in a month; without a month, in the current one.
// Errors: unknown_tenant, wrong_tenant.
func (s *Service) Usage(ctx context.Context, q UsageRequest) (Usage, error) {
	u := Usage{Tenant: q.Slug, Month: q.Month, Counters: []Counter{}}
	if u.Month == "" {
		u.Month = s.month(s.clock())
	}
	ctx, err := s.as(ctx, q.Slug)
	if err != nil {
		return u, err
	}
	return u, s.db.Read(ctx, func(tx *db.Tx) error {
		return tx.Select(ctx, &u.Counters, `SELECT counter, CAST(sum(n) AS BIGINT) AS n, CAST(sum(amount) AS BIGINT) AS amount FROM (
				SELECT counter, n, amount FROM usage_slots WHERE tenant_id = ? AND month = ?
				UNION ALL SELECT counter, n, amount FROM usage WHERE tenant_id = ? AND month = ?) AS parts
			GROUP BY counter ORDER BY counter LIMIT 1000`,
			tx.Tenant(), u.Month, tx.Tenant(), u.Month)
	})
}
