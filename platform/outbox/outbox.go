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
	"io/fs"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/obs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the tables outbox, outbox_lease, inbox and dead_letters.
func Migrations() db.Set {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return db.Set{Name: "outbox", FS: sub}
}

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
	Payload     string   `db:"payload"` // JSON
	TraceParent string   `db:"traceparent"`
	At          db.Time  `db:"at"`
	SentAt      *db.Time `db:"sent_at"`
}

// WakeName is what a committed Put wakes: see db.DB.Woken.
const WakeName = "outbox"

// Put tells e, of the transaction's tenant, if and only if the transaction commits.
func Put(ctx context.Context, tx *db.Tx, e Event) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("outbox: marshal %s: %w", e.EventType(), err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO outbox (tenant_id, id, type, subject, payload, traceparent, at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), id.New(), e.EventType(), e.Subject(), string(payload), obs.TraceParent(ctx), tx.Now())
	if err != nil {
		return fmt.Errorf("outbox: put %s: %w", e.EventType(), err)
	}
	tx.Wake(WakeName)
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

// Seen reports whether consumer has handled the event, without remembering anything.
func Seen(ctx context.Context, tx *db.Tx, consumer string, event id.ID) (bool, error) {
	var n int
	err := tx.Get(ctx, &n, `SELECT count(*) FROM inbox WHERE tenant_id = ? AND consumer = ? AND id = ?`,
		tx.Tenant(), consumer, event)
	return n > 0, err
}

// Purge deletes sent events and handled marks that are older than keep, in small
// transactions. Keep more than twice the broker's time between two flushes to disk, and
// more than the time after which a consumer is sure to have seen a message again.
func Purge(ctx context.Context, d *db.DB, keep time.Duration) error {
	const chunk = 1000
	ctx = db.System(ctx)
	for _, sql := range []string{
		`DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE sent_at < ? ORDER BY sent_at LIMIT ?)`,
		`DELETE FROM inbox WHERE (tenant_id, consumer, id) IN (SELECT tenant_id, consumer, id FROM inbox WHERE at < ? ORDER BY at LIMIT ?)`,
	} {
		for {
			var n int64
			err := d.Tx(ctx, func(tx *db.Tx) (err error) {
				n, err = tx.Exec(ctx, sql, db.NewTime(tx.Now().Add(-keep)), chunk)
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
