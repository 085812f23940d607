package tenants

import (
	"context"
	"fmt"
	"strings"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/outbox"
)

// listen counts what the tenants use, each event once.
func (s *Service) listen(r *bus.Router) {
	count(s, r, func(e events.TransactionCreated) int64 { return e.Amount })
	count(s, r, func(e events.TransactionPayed) int64 { return e.Amount })
	count(s, r, func(e events.ApplicationSubmitted) int64 { return e.Amount })
	count(s, r, func(e events.ApplicationAccepted) int64 { return e.Amount })
	count(s, r, func(e events.ApplicationRejected) int64 { return e.Amount })
	count(s, r, func(events.MessageAccepted) int64 { return 0 })
	count(s, r, func(events.MessageDelivered) int64 { return 0 })
	count(s, r, func(events.MessageFailed) int64 { return 0 })
	count(s, r, func(events.AppointmentConfirmed) int64 { return 0 })
	count(s, r, func(events.AppointmentCanceled) int64 { return 0 })
}

// count adds each event of one type, with its amount in cents, to the month in which it was
// told. The counter is named like the event, without the version.
func count[E outbox.Event](s *Service, r *bus.Router, amount func(E) int64) {
	var zero E
	counter := zero.EventType()[:strings.LastIndex(zero.EventType(), ".v")]
	bus.Handle(r, "usage-"+strings.ReplaceAll(counter, ".", "-"), func(ctx context.Context, tx *db.Tx, m bus.Meta, e E) error {
		return addUsage(ctx, tx, s.month(m.Time), counter, amount(e))
	})
}

// month is the calendar month at the tenants' place: "2026-11".
func (s *Service) month(t time.Time) string { return t.In(s.berlin).Format("2006-01") }

// usageSlots bounds the rows that one counter is spread over.
const usageSlots = 16

// addUsage counts one event. Those who count the same at once would wait for each other's
// commit: on PostgreSQL each takes a row of the counter that is free, or begins another.
func addUsage(ctx context.Context, tx *db.Tx, month, counter string, amount int64) error {
	query, args := `INSERT INTO usage_slots (tenant_id, month, counter, slot, n, amount) VALUES (?, ?, ?, 0, 1, ?)
		ON CONFLICT (tenant_id, month, counter, slot) DO UPDATE SET n = usage_slots.n + 1, amount = usage_slots.amount + excluded.amount`,
		[]any{tx.Tenant(), month, counter, amount}
	if tx.Postgres() {
		query = `WITH free AS (
			SELECT slot FROM usage_slots WHERE tenant_id = ? AND month = ? AND counter = ? ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED
		), counted AS (
			UPDATE usage_slots u SET n = u.n + 1, amount = u.amount + ? FROM free
			WHERE u.tenant_id = ? AND u.month = ? AND u.counter = ? AND u.slot = free.slot RETURNING u.slot
		)
		INSERT INTO usage_slots (tenant_id, month, counter, slot, n, amount)
		SELECT ?, ?, ?, floor(random() * ?)::int, 1, ?::bigint WHERE NOT EXISTS (SELECT 1 FROM counted)
		ON CONFLICT (tenant_id, month, counter, slot) DO UPDATE SET n = usage_slots.n + 1, amount = usage_slots.amount + excluded.amount`
		args = []any{tx.Tenant(), month, counter, amount, tx.Tenant(), month, counter, tx.Tenant(), month, counter, usageSlots, amount}
	}
	if err := tx.Send(ctx, query, args...); err != nil {
		return fmt.Errorf("count %s: %w", counter, err)
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
