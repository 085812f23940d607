package run

import (
	"context"
	"math"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/idem"
	"basisdienste/platform/outbox"
)

// recoverAll lets each service act on a restore of its database, before anything runs.
func (p *Process) recoverAll(ctx context.Context) error {
	for _, o := range p.opened {
		done, err := outbox.Recover(ctx, o.host.DB, o.unit.Restored)
		if err != nil {
			return err
		}
		if done {
			o.host.Log.InfoContext(ctx, "the database is back from a backup; what it told lately is told again")
		}
	}
	return nil
}

// purgeEvents deletes what nobody asks for any more. Marks of handled events stay for their
// whole time after a restore, however old the backup was.
func purgeEvents(ctx context.Context, d *db.DB) error {
	keep := keepHandled
	lately, err := outbox.RestoredWithin(ctx, d, keepHandled)
	if err != nil {
		return err
	}
	if lately {
		keep = time.Duration(math.MaxInt64)
	}
	return outbox.Purge(ctx, d, keepEvents, keep)
}

// purgeKeys deletes old answers to idempotent requests, with the same exception.
func purgeKeys(ctx context.Context, d *db.DB) error {
	lately, err := outbox.RestoredWithin(ctx, d, idem.Keep)
	if err != nil || lately {
		return err
	}
	return idem.Purge(ctx, d)
}
