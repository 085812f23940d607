package sandbox

import (
	"context"
	"errors"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/services/payment"
)

const columns = `tenant_id, id, attempt_id, transaction_id, amount, currency, method, detail, payee, reference, subject,
	return_url, service_url, state, reason, expires_at, settles_at, silent_until, hold, shaky`

// insert stores a session, unless its attempt has one.
func insert(ctx context.Context, tx *db.Tx, s *session) error {
	_, err := tx.Exec(ctx, `INSERT INTO sandbox_sessions (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant_id, attempt_id) DO NOTHING`,
		s.Tenant, s.ID, s.Attempt, s.Transaction, s.Amount, s.Currency, s.Method, s.Detail, s.Payee, s.Reference, s.Subject,
		s.ReturnURL, s.ServiceURL, s.State, s.Reason, s.ExpiresAt, s.SettlesAt, s.SilentUntil, s.Hold, s.Shaky)
	return err
}

func byAttempt(ctx context.Context, tx *db.Tx, tenant, attempt id.ID) (s session, err error) {
	err = tx.Get(ctx, &s, `SELECT `+columns+` FROM sandbox_sessions WHERE tenant_id = ? AND attempt_id = ?`+tx.ForUpdate(), tenant, attempt)
	return s, err
}

// lock reads a session and keeps others from changing it. Error: unknown_session.
func lock(ctx context.Context, tx *db.Tx, sessionID string) (s session, err error) {
	err = tx.Get(ctx, &s, `SELECT `+columns+` FROM sandbox_sessions WHERE id = ?`+tx.ForUpdate(), sessionID)
	if errors.Is(err, db.ErrNoRows) {
		return s, fault.NotFound("unknown_session", "there is no such session at the sandbox")
	}
	return s, err
}

func save(ctx context.Context, tx *db.Tx, s *session) error {
	_, err := tx.Exec(ctx, `UPDATE sandbox_sessions SET state = ?, reason = ?, settles_at = ?, silent_until = ?, shaky = ? WHERE tenant_id = ? AND id = ?`,
		s.State, s.Reason, s.SettlesAt, s.SilentUntil, s.Shaky, s.Tenant, s.ID)
	return err
}

// settling lists sessions whose money arrives by now.
func settling(ctx context.Context, tx *db.Tx, limit int) (list []session, err error) {
	err = tx.Select(ctx, &list, `SELECT `+columns+` FROM sandbox_sessions WHERE settles_at <= ? AND state = ? LIMIT ?`+tx.ForUpdate(),
		tx.Now(), payment.SessionProcessing, limit)
	return list, err
}

// notice says that something happened to a transaction.
type notice struct {
	Tenant      id.ID `db:"tenant_id"`
	ID          id.ID `db:"id"`
	Transaction id.ID `db:"transaction_id"`
	Tries       int   `db:"tries"`
}

// announce queues a notification.
func announce(ctx context.Context, tx *db.Tx, s *session) error {
	_, err := tx.Exec(ctx, `INSERT INTO sandbox_notices (tenant_id, id, transaction_id, due_at, tries) VALUES (?, ?, ?, ?, 0)`,
		s.Tenant, id.New(), s.Transaction, tx.Now())
	return err
}

// notices claims what is to be told now; each is due again after a growing pause.
func notices(ctx context.Context, tx *db.Tx, limit int) (list []notice, err error) {
	err = tx.Select(ctx, &list, `SELECT tenant_id, id, transaction_id, tries FROM sandbox_notices WHERE due_at <= ? ORDER BY due_at LIMIT ?`+tx.SkipLocked(), tx.Now(), limit)
	if err != nil {
		return nil, err
	}
	for _, n := range list {
		again := db.NewTime(tx.Now().Add(time.Second << min(n.Tries, 12)))
		if _, err := tx.Exec(ctx, `UPDATE sandbox_notices SET due_at = ?, tries = tries + 1 WHERE tenant_id = ? AND id = ?`, again, n.Tenant, n.ID); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func forget(ctx context.Context, tx *db.Tx, n notice) error {
	_, err := tx.Exec(ctx, `DELETE FROM sandbox_notices WHERE tenant_id = ? AND id = ?`, n.Tenant, n.ID)
	return err
}
