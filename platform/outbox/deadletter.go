package outbox

import (
	"context"
	"fmt"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// DeadLetter is an event that a consumer gave up on.
type DeadLetter struct {
	Tenant      id.ID    `db:"tenant_id" json:"tenant_id"`
	ID          id.ID    `db:"id" json:"id"`
	Consumer    string   `db:"consumer" json:"consumer"`
	Type        string   `db:"type" json:"type"`
	Source      string   `db:"source" json:"source"`
	Subject     string   `db:"subject" json:"subject"`
	Payload     string   `db:"payload" json:"payload"`
	TraceParent string   `db:"traceparent" json:"traceparent"`
	EventAt     db.Time  `db:"event_at" json:"event_at"`
	Error       string   `db:"error" json:"error"` // codes and our own words; no personal data
	At          db.Time  `db:"at" json:"at"`
	ReplayedAt  *db.Time `db:"replayed_at" json:"replayed_at,omitempty"`
}

const deadColumns = `tenant_id, id, consumer, type, source, subject, payload, traceparent, event_at, error, at, replayed_at`

// Bury keeps what a consumer gave up on. Burying it again renews the error and the time.
func Bury(ctx context.Context, tx *db.Tx, l DeadLetter) error {
	_, err := tx.Exec(ctx, `INSERT INTO dead_letters (`+deadColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)
		ON CONFLICT (tenant_id, consumer, id) DO UPDATE SET error = excluded.error, at = excluded.at, replayed_at = NULL`,
		tx.Tenant(), l.ID, l.Consumer, l.Type, l.Source, l.Subject, l.Payload, l.TraceParent, l.EventAt, l.Error, tx.Now())
	if err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	return nil
}

// Dead lists, oldest first, at most limit letters that were not replayed, after the given
// time. Under db.System it lists all tenants'.
func Dead(ctx context.Context, tx *db.Tx, after db.Time, limit int) (letters []DeadLetter, err error) {
	query, args := `SELECT `+deadColumns+` FROM dead_letters WHERE replayed_at IS NULL AND at > ?`, []any{after}
	if t := tx.Tenant(); t != "" {
		query, args = query+` AND tenant_id = ?`, append(args, t)
	}
	err = tx.Select(ctx, &letters, query+` ORDER BY at, consumer, id LIMIT ?`, append(args, limit)...)
	return letters, err
}

// Exhume returns one dead letter for another try; under db.System of whichever tenant. Error: dead_letter_not_found.
func Exhume(ctx context.Context, tx *db.Tx, consumer string, event id.ID) (l DeadLetter, err error) {
	query, args := `SELECT `+deadColumns+` FROM dead_letters WHERE consumer = ? AND id = ? AND replayed_at IS NULL`, []any{consumer, event}
	if t := tx.Tenant(); t != "" {
		query, args = query+` AND tenant_id = ?`, append(args, t)
	}
	var found []DeadLetter
	err = tx.Select(ctx, &found, query+` LIMIT 1`, args...)
	if err == nil && len(found) == 0 {
		return l, fault.NotFound("dead_letter_not_found", "no event %s waits for %s; it may have been replayed", event, consumer)
	}
	if err != nil {
		return l, err
	}
	return found[0], nil
}

// Replayed marks the letter as handled after all.
func Replayed(ctx context.Context, tx *db.Tx, consumer string, event id.ID) error {
	_, err := tx.Exec(ctx, `UPDATE dead_letters SET replayed_at = ? WHERE tenant_id = ? AND consumer = ? AND id = ?`,
		tx.Now(), tx.Tenant(), consumer, event)
	return err
}
