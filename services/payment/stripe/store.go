package stripe

import (
	"context"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

// about is what an event makes us look at.
type about string

const (
	aboutTransaction about = "transaction"
	aboutRefund      about = "refund"
	aboutDispute     about = "dispute"
	aboutPayout      about = "payout"
)

// hint is a stored event.
type hint struct {
	Tenant  id.ID  `db:"tenant_id"`
	ID      string `db:"id"` // Stripe's, of the event
	Type    string `db:"type"`
	About   about  `db:"about"`
	Subject string `db:"subject"`
	Account string `db:"account"`
	Tries   int    `db:"tries"`
}

// keep is how long an event is known; Stripe repeats one for three days.
const keep = 30 * 24 * time.Hour

// pause before an event's subject is read again: 15 s, doubling up to an hour.
func pause(tries int) time.Duration { return min(15*time.Second<<min(tries, 8), time.Hour) }

// insert stores an event to be looked at after a pause, and reports whether it is new.
func insert(ctx context.Context, tx *db.Tx, h hint) (bool, error) {
	n, err := tx.Exec(ctx, `INSERT INTO stripe_events (tenant_id, id, type, about, subject, account, received_at, due_at, tries)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (tenant_id, id) DO NOTHING`,
		tx.Tenant(), h.ID, h.Type, h.About, h.Subject, h.Account, tx.Now(), db.NewTime(tx.Now().Add(pause(0))))
	return n == 1, err
}

// due claims events that are to be looked at; each is due again after a growing pause. For
// db.System contexts.
func due(ctx context.Context, tx *db.Tx, limit int) (list []hint, err error) {
	err = tx.Select(ctx, &list, `SELECT tenant_id, id, type, about, subject, account, tries FROM stripe_events
		WHERE due_at <= ? ORDER BY due_at LIMIT ?`+tx.SkipLocked(), tx.Now(), limit)
	if err != nil {
		return nil, err
	}
	for _, h := range list {
		if _, err := tx.Exec(ctx, `UPDATE stripe_events SET due_at = ?, tries = tries + 1 WHERE tenant_id = ? AND id = ?`,
			db.NewTime(tx.Now().Add(pause(h.Tries+1))), h.Tenant, h.ID); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// done marks an event as looked at. For db.System contexts.
func done(ctx context.Context, tx *db.Tx, h hint) error {
	_, err := tx.Exec(ctx, `UPDATE stripe_events SET due_at = NULL WHERE tenant_id = ? AND id = ?`, h.Tenant, h.ID)
	return err
}

// forget deletes events that Stripe does not repeat any more, a batch at a time, and returns
// how many. For db.System contexts.
func forget(ctx context.Context, tx *db.Tx, batch int) (int, error) {
	var old []struct {
		Tenant id.ID  `db:"tenant_id"`
		ID     string `db:"id"`
	}
	err := tx.Select(ctx, &old, `SELECT tenant_id, id FROM stripe_events WHERE received_at < ? ORDER BY received_at LIMIT ?`,
		db.NewTime(tx.Now().Add(-keep)), batch)
	if err != nil {
		return 0, err
	}
	for _, o := range old {
		if _, err := tx.Exec(ctx, `DELETE FROM stripe_events WHERE tenant_id = ? AND id = ?`, o.Tenant, o.ID); err != nil {
			return 0, err
		}
	}
	return len(old), nil
}
