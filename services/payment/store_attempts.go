package payment

import (
	"context"
	"errors"
	"fmt"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

const attemptColumns = `id, transaction_id, offer, method, detail, provider, session_id, url, state, reason,
	created_at, expires_at, check_at, checks, ended_at, authorised_at, capture_asked_at`

func insertAttempt(ctx context.Context, tx *db.Tx, a *Attempt) error {
	_, err := tx.Exec(ctx, `INSERT INTO attempts (tenant_id, `+attemptColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), a.ID, a.TransactionID, a.Offer, a.Method, a.Detail, a.Provider, a.SessionID, a.URL, a.State, a.Reason,
		a.CreatedAt, a.ExpiresAt, a.CheckAt, a.Checks, a.EndedAt, a.AuthorisedAt, a.CaptureAskedAt)
	return err
}

// saveAttempt writes what may change.
func saveAttempt(ctx context.Context, tx *db.Tx, a *Attempt) error {
	n, err := tx.Exec(ctx, `UPDATE attempts SET session_id = ?, url = ?, state = ?, reason = ?, check_at = ?, checks = ?, ended_at = ?,
		authorised_at = ?, capture_asked_at = ? WHERE tenant_id = ? AND id = ?`,
		a.SessionID, a.URL, a.State, a.Reason, a.CheckAt, a.Checks, a.EndedAt, a.AuthorisedAt, a.CaptureAskedAt, tx.Tenant(), a.ID)
	if err == nil && n != 1 {
		err = fmt.Errorf("save attempt %s: %d rows", a.ID, n)
	}
	return err
}

// lastAttempt returns the attempt of a transaction that is open, else the newest, or nil. A
// transfer that comes in while a provider does not answer is newer than the attempt there.
func lastAttempt(ctx context.Context, tx *db.Tx, transaction id.ID) (*Attempt, error) {
	var a Attempt
	err := tx.Get(ctx, &a, `SELECT `+attemptColumns+` FROM attempts WHERE tenant_id = ? AND transaction_id = ?
		ORDER BY CASE WHEN state = 'open' THEN 0 ELSE 1 END, id DESC LIMIT 1`, tx.Tenant(), transaction)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	return &a, err
}

// attempt reads one.
func attempt(ctx context.Context, tx *db.Tx, attemptID id.ID) (a Attempt, err error) {
	err = tx.Get(ctx, &a, `SELECT `+attemptColumns+` FROM attempts WHERE tenant_id = ? AND id = ?`, tx.Tenant(), attemptID)
	return a, err
}

// attemptsWithMoney lists the attempts of a transaction by which money came in.
func attemptsWithMoney(ctx context.Context, tx *db.Tx, txID id.ID) (list []Attempt, err error) {
	err = tx.Select(ctx, &list, `SELECT `+attemptColumns+` FROM attempts WHERE tenant_id = ? AND transaction_id = ? AND state IN ('paid', 'surplus')
		ORDER BY id LIMIT 100`, tx.Tenant(), txID)
	return list, err
}

// saveExpiry writes until when a transaction that is not final waits.
func saveExpiry(ctx context.Context, tx *db.Tx, t *Transaction) error {
	_, err := tx.Exec(ctx, `UPDATE transactions SET expires_at = ? WHERE tenant_id = ? AND id = ?`, t.ExpiresAt, tx.Tenant(), t.ID)
	return err
}

// due names a row that a job has to look at, across tenants.
type due struct {
	Tenant      id.ID `db:"tenant_id"`
	Transaction id.ID `db:"transaction_id"`
}

// dueAttempts claims open attempts whose time to be asked about has come: they are due again
// after a pause, whatever becomes of this look. For db.System contexts.
func dueAttempts(ctx context.Context, tx *db.Tx, limit int) ([]due, error) {
	var rows []struct {
		due
		ID     id.ID `db:"id"`
		Checks int   `db:"checks"`
	}
	now := tx.Now()
	err := tx.Select(ctx, &rows, `SELECT tenant_id, transaction_id, id, checks FROM attempts
		WHERE state = 'open' AND check_at <= ? ORDER BY check_at LIMIT ?`+tx.SkipLocked(), now, limit)
	if err != nil {
		return nil, err
	}
	list := make([]due, 0, len(rows))
	for _, r := range rows {
		if _, err := tx.Exec(ctx, `UPDATE attempts SET checks = checks + 1, check_at = ? WHERE tenant_id = ? AND id = ?`,
			db.NewTime(now.Add(pause(r.Checks))), r.Tenant, r.ID); err != nil {
			return nil, err
		}
		list = append(list, r.due)
	}
	return list, nil
}

// dueTransactions lists what has expired, in the order of tenants and ids, from behind after.
// For db.System contexts.
func dueTransactions(ctx context.Context, tx *db.Tx, after due, limit int) (list []due, err error) {
	err = tx.Select(ctx, &list, `SELECT tenant_id, id AS transaction_id FROM transactions
		WHERE state = 'INITIAL' AND expires_at <= ? AND (tenant_id > ? OR (tenant_id = ? AND id > ?))
		ORDER BY tenant_id, id LIMIT ?`, tx.Now(), after.Tenant, after.Tenant, after.Transaction, limit)
	return list, err
}
