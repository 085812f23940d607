package outbox

import (
	"context"
	"fmt"
	"time"

	"basisdienste/platform/db"
)

// NoteRestore writes into a database that it was brought back from a backup just now. The next
// start of its service acts on it: see Recover.
func NoteRestore(ctx context.Context, d *db.DB) error {
	ctx = db.System(ctx)
	return d.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO restored (at, done_at) VALUES (?, NULL)`, tx.Now())
		return err
	})
}

// Recover does, once for each restore, what lets the others go on with a database that is older
// than they are, and reports whether there was anything to do. All events that are kept are sent
// again, because the broker may have lost them, or a neighbour their effect; who has handled
// them knows. Then comes what the service itself has to do (also may be nil), under db.System,
// in the same transaction: processes that start at once do it once. Call it before anything of
// the service runs.
func Recover(ctx context.Context, d *db.DB, also func(ctx context.Context, tx *db.Tx) error) (done bool, err error) {
	ctx = db.System(ctx)
	err = d.Tx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE restored SET done_at = ? WHERE done_at IS NULL`, tx.Now())
		if done = n > 0; err != nil || !done {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE outbox SET sent_at = NULL WHERE sent_at IS NOT NULL`); err != nil {
			return err
		}
		tx.Wake(WakeName)
		if also == nil {
			return nil
		}
		return also(ctx, tx)
	})
	if err != nil {
		return false, fmt.Errorf("go on after a restore: %w", err)
	}
	return done, nil
}

// RestoredWithin reports that the last restore was no longer ago than that. Until then, marks of
// what was done must not be purged by their age: they are as old as the backup, and the events
// that they are about are being sent again.
func RestoredWithin(ctx context.Context, d *db.DB, ago time.Duration) (lately bool, err error) {
	ctx = db.System(ctx)
	err = d.Read(ctx, func(tx *db.Tx) error {
		var n int
		err := tx.Get(ctx, &n, `SELECT count(*) FROM restored WHERE at > ?`, db.NewTime(tx.Now().Add(-ago)))
		lately = n > 0
		return err
	})
	return lately, err
}
