// Package outbox tells others what happened, without ever telling what did not happen and
// without ever forgetting to tell.
//
// Put writes the event in the transaction that changes the state. The Relay later picks the
// rows that were not yet sent, in their order, publishes them, waits for the broker's word
// and marks them. The table is the record, the broker is transport: sent rows are kept for a
// while, so that they can be sent again after the broker lost its last seconds.
// First is the other end: it makes a handler's effect happen once.
package outbox

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/obs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the tables outbox, inbox and dead_letters.
func Migrations() db.Set { return db.Set{Name: "outbox", FS: migrations} }

// Event is a fact in the past tense. The types are generated from contracts/events.
type Event interface {
	EventType() string // "payment.transaction.payed.v1"
	Subject() string   // the id of the aggregate; order is kept for each
}

// Record is an event with its CloudEvents 1.0 attributes.
type Record struct {
	Seq         int64    `db:"seq"`
	ID          id.ID    `db:"id"`
	Tenant      id.ID    `db:"tenant_id"`
	Type        string   `db:"type"`
	Subject     string   `db:"subject"`
	Prior       id.ID    `db:"prior"`   // see Put
	Waits       bool     `db:"waits"`   // Prior has not been sent yet
	Payload     string   `db:"payload"` // JSON
	TraceParent string   `db:"traceparent"`
	At          db.Time  `db:"at"`
	SentAt      *db.Time `db:"sent_at"`
}

// WakeName is what a committed Put wakes: see db.DB.Woken.
const WakeName = "outbox"

// Put tells e, of the transaction's tenant, if and only if the transaction commits. What could
// never be sent is refused here: an event of no tenant (see db.Tx.For), or without a subject.
//
// On PostgreSQL, where several processes share the handling, the record names the event of the
// same type and aggregate that was told before it, if that was within the last two hours: whoever
// handles it can wait for that one.
func Put(ctx context.Context, tx *db.Tx, e Event) error {
	if err := sendable(tx.Tenant(), e); err != nil {
		return err
	}
	payload, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("outbox: marshal %s: %w", e.EventType(), err)
	}
	if tx.Postgres() {
		err = tx.Send(ctx, `INSERT INTO outbox (tenant_id, id, type, subject, payload, traceparent, at, holder, prior)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, COALESCE((SELECT id FROM outbox WHERE tenant_id = ? AND subject = ? AND type = ? ORDER BY seq DESC LIMIT 1), ''))`,
			tx.Tenant(), id.New(), e.EventType(), e.Subject(), string(payload), obs.TraceParent(ctx), tx.Now(), tx.Process(),
			tx.Tenant(), e.Subject(), e.EventType())
	} else {
		err = tx.Send(ctx, `INSERT INTO outbox (tenant_id, id, type, subject, payload, traceparent, at, holder, prior)
			VALUES (?, ?, ?, ?, ?, ?, ?, '', '')`,
			tx.Tenant(), id.New(), e.EventType(), e.Subject(), string(payload), obs.TraceParent(ctx), tx.Now())
	}
	if err != nil {
		return fmt.Errorf("outbox: put %s: %w", e.EventType(), err)
	}
	tx.Wake(WakeName)
	return nil
}

func sendable(of id.ID, e Event) error {
	s := e.Subject()
	switch {
	case of == "":
		return fmt.Errorf("outbox: %s of no tenant", e.EventType())
	case e.EventType() == "":
		return fmt.Errorf("outbox: %T has no type", e)
	case s == "" || strings.TrimSpace(s) != s || strings.ContainsAny(s, "\r\n\x00"):
		return fmt.Errorf("outbox: %s: %q is no subject", e.EventType(), s)
	}
	return nil
}

// First reports whether consumer sees the event for the first time, and remembers it. Called
// in the transaction of the handler's effect, it makes the effect happen once.
func First(ctx context.Context, tx *db.Tx, consumer string, event id.ID) (bool, error) {
	n, err := tx.Exec(ctx, `INSERT INTO inbox (tenant_id, consumer, id, at) VALUES (?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, tx.Tenant(), consumer, event, tx.Now())
	if err != nil {
		return false, fmt.Errorf("inbox: %w", err)
	}
	return n == 1, nil
}

// Mark names an event that a consumer has handled.
type Mark struct {
	Tenant   id.ID  `db:"tenant_id"`
	Consumer string `db:"consumer"`
	ID       id.ID  `db:"id"`
}

// FirstOf is First for many events at once, of any tenants; ctx is a db.System one.
func FirstOf(ctx context.Context, tx *db.Tx, marks []Mark) (map[Mark]bool, error) {
	first := make(map[Mark]bool, len(marks))
	for len(marks) > 0 {
		chunk := 1 // a power of two, so that there are few statements to prepare
		for 2*chunk <= len(marks) && chunk < 64 {
			chunk *= 2
		}
		var rows []Mark
		args := make([]any, 0, 4*chunk)
		for _, m := range marks[:chunk] {
			args = append(args, m.Tenant, m.Consumer, m.ID, tx.Now())
		}
		err := tx.Select(ctx, &rows, `INSERT INTO inbox (tenant_id, consumer, id, at) VALUES `+
			strings.Repeat(`, (?, ?, ?, ?)`, chunk)[2:]+` ON CONFLICT DO NOTHING RETURNING tenant_id, consumer, id`, args...)
		if err != nil {
			return nil, fmt.Errorf("inbox: %w", err)
		}
		for _, m := range rows {
			first[m] = true
		}
		marks = marks[chunk:]
	}
	return first, nil
}

// Seen reports whether consumer has handled the event, without remembering anything.
func Seen(ctx context.Context, tx *db.Tx, consumer string, event id.ID) (bool, error) {
	var n int
	err := tx.Get(ctx, &n, `SELECT count(*) FROM inbox WHERE tenant_id = ? AND consumer = ? AND id = ?`,
		tx.Tenant(), consumer, event)
	return n > 0, err
}

// Settled reports whether consumer has handled the event or given it up.
func Settled(ctx context.Context, tx *db.Tx, consumer string, event id.ID) (bool, error) {
	var n int
	err := tx.Get(ctx, &n, `SELECT (SELECT count(*) FROM inbox WHERE tenant_id = ? AND consumer = ? AND id = ?) +
		(SELECT count(*) FROM dead_letters WHERE tenant_id = ? AND consumer = ? AND id = ?)`,
		tx.Tenant(), consumer, event, tx.Tenant(), consumer, event)
	return n > 0, err
}

// Purge deletes events that were sent longer ago than keepSent, and marks of handled ones
// older than keepSeen, in small transactions. Keep sent events more than twice the broker's
// time between two flushes to disk; marks longer than the broker keeps a message, because a
// process may die between an effect and its ack, and hear of it when it starts again.
func Purge(ctx context.Context, d *db.DB, keepSent, keepSeen time.Duration) error {
	const chunk = 1000
	ctx = db.System(ctx)
	// A range with two ends is read from the index by time, however many rows are older than
	// the chunk; more of one instant go with it.
	for _, p := range []struct {
		sql  string
		keep time.Duration
	}{
		{`DELETE FROM outbox WHERE sent_at BETWEEN (SELECT min(sent_at) FROM outbox WHERE sent_at IS NOT NULL)
			AND (SELECT max(sent_at) FROM (SELECT sent_at FROM outbox WHERE sent_at < ? ORDER BY sent_at LIMIT ?) AS oldest)`, keepSent},
		{`DELETE FROM inbox WHERE at BETWEEN (SELECT min(at) FROM inbox)
			AND (SELECT max(at) FROM (SELECT at FROM inbox WHERE at < ? ORDER BY at LIMIT ?) AS oldest)`, keepSeen},
	} {
		for {
			var n int64
			err := d.Tx(ctx, func(tx *db.Tx) (err error) {
				n, err = tx.Exec(ctx, p.sql, db.NewTime(tx.Now().Add(-p.keep)), chunk)
				return err
			})
			if err != nil {
				return fmt.Errorf("outbox: purge: %w", err)
			}
			if n < chunk {
				break
			}
		}
	}
	return nil
}
