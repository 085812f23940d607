package request

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/services/payment"
)

const (
	requestColumns  = `transaction_id, email, language, days, due_at, created_by, created_at, ended_at, purge_at`
	reminderColumns = `transaction_id, n, id, send_at, state, reason, tries, tried_at, check_at, sent_at`
)

func errUnknownRequest() error {
	return fault.NotFound("unknown_request", "nobody is asked for this transaction by mail; POST asks")
}

// lockState keeps the transaction from ending while a request for it is stored, and returns its
// state, and whether money is held for it.
func lockState(ctx context.Context, tx *db.Tx, txID id.ID) (state payment.State, held bool, err error) {
	if err = tx.Get(ctx, &state, `SELECT state FROM transactions WHERE tenant_id = ? AND id = ?`+tx.ForUpdate(), tx.Tenant(), txID); err != nil {
		return "", false, err
	}
	var n int
	err = tx.Get(ctx, &n, `SELECT count(*) FROM attempts WHERE tenant_id = ? AND transaction_id = ? AND state = 'open' AND authorised_at IS NOT NULL`,
		tx.Tenant(), txID)
	return state, n > 0, err
}

func insertRequest(ctx context.Context, tx *db.Tx, r *Request, mails []Reminder) error {
	if err := tx.Send(ctx, `INSERT INTO payment_requests (tenant_id, `+requestColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), r.TransactionID, r.Email, r.Language, r.Days, r.DueAt, r.CreatedBy, r.CreatedAt, r.EndedAt, r.PurgeAt); err != nil {
		return err
	}
	for i := range mails {
		m := &mails[i]
		if err := tx.Send(ctx, `INSERT INTO payment_reminders (tenant_id, `+reminderColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			tx.Tenant(), m.TransactionID, m.N, m.ID, m.SendAt, m.State, m.Reason, m.Tries, m.TriedAt, m.CheckAt, m.SentAt); err != nil {
			return err
		}
	}
	return nil
}

// request reads one. Error: unknown_request.
func request(ctx context.Context, tx *db.Tx, txID id.ID) (r Request, err error) {
	err = tx.Get(ctx, &r, `SELECT `+requestColumns+` FROM payment_requests WHERE tenant_id = ? AND transaction_id = ?`, tx.Tenant(), txID)
	if errors.Is(err, db.ErrNoRows) {
		return r, errUnknownRequest()
	}
	return r, err
}

// reminders lists a request's mails in their order.
func reminders(ctx context.Context, tx *db.Tx, txID id.ID) (list []Reminder, err error) {
	err = tx.Select(ctx, &list, `SELECT `+reminderColumns+` FROM payment_reminders WHERE tenant_id = ? AND transaction_id = ? ORDER BY n LIMIT ?`,
		tx.Tenant(), txID, maxReminders+1)
	return list, err
}

// claim names a transaction and whose it is.
type claim struct {
	Tenant      id.ID `db:"tenant_id"`
	Transaction id.ID `db:"transaction_id"`
}

// asked tells for which of the claims a request goes on. For db.System contexts.
func asked(ctx context.Context, tx *db.Tx, claims []claim) ([]bool, error) {
	args := make([]any, 0, 2*len(claims))
	for _, c := range claims {
		args = append(args, c.Tenant, c.Transaction)
	}
	var list []claim
	err := tx.Select(ctx, &list, `SELECT tenant_id, transaction_id FROM payment_requests
		WHERE (tenant_id, transaction_id) IN (VALUES `+strings.Repeat(`, (?, ?)`, len(claims))[2:]+`) AND ended_at IS NULL`, args...)
	found := make([]bool, len(claims))
	for i, c := range claims {
		found[i] = slices.Contains(list, c)
	}
	return found, err
}

func endRequests(ctx context.Context, tx *db.Tx, claims []claim) error {
	for _, c := range claims {
		if err := endRequest(ctx, tx, c); err != nil {
			return err
		}
	}
	return nil
}

// endRequest deletes the address and what is not sent yet; nothing happens without a request.
func endRequest(ctx context.Context, tx *db.Tx, c claim) error {
	now := tx.Now()
	n, err := tx.Exec(ctx, `UPDATE payment_requests SET email = '', ended_at = ?, purge_at = ?
		WHERE tenant_id = ? AND transaction_id = ? AND ended_at IS NULL`, now, db.NewTime(now.Add(keepFor)), c.Tenant, c.Transaction)
	if err != nil || n == 0 {
		return err
	}
	return tx.Send(ctx, `UPDATE payment_reminders SET state = 'SKIPPED', reason = ? WHERE tenant_id = ? AND transaction_id = ? AND state = 'WAITING'`,
		reasonEnded, c.Tenant, c.Transaction)
}

// deleteRequest deletes all of it. Error: unknown_request.
func deleteRequest(ctx context.Context, tx *db.Tx, txID id.ID) error {
	n, err := tx.Exec(ctx, `DELETE FROM payment_requests WHERE tenant_id = ? AND transaction_id = ?`, tx.Tenant(), txID)
	if err == nil && n == 0 {
		return errUnknownRequest()
	}
	if err != nil {
		return err
	}
	return tx.Send(ctx, `DELETE FROM payment_reminders WHERE tenant_id = ? AND transaction_id = ?`, tx.Tenant(), txID)
}

// due is a mail that was claimed.
type due struct {
	Tenant id.ID `db:"tenant_id"`
	Reminder
}

// claimDue claims mails whose time has come. Each is due again after a pause, whatever becomes of
// it. For db.System contexts.
func claimDue(ctx context.Context, tx *db.Tx, limit int) (list []due, err error) {
	now := tx.Now()
	err = tx.Select(ctx, &list, `SELECT tenant_id, `+reminderColumns+` FROM payment_reminders WHERE state = 'WAITING' AND check_at <= ?
		ORDER BY check_at LIMIT ?`+tx.SkipLocked(), now, limit)
	if err != nil {
		return nil, err
	}
	for i := range list {
		m := &list[i]
		if m.CheckAt = db.NewTime(now.Add(pause(m.Tries))); m.TriedAt == nil {
			m.TriedAt = &now
		}
		m.Tries++
		if err := tx.Send(ctx, `UPDATE payment_reminders SET tries = ?, tried_at = ?, check_at = ? WHERE tenant_id = ? AND transaction_id = ? AND n = ?`,
			m.Tries, m.TriedAt, m.CheckAt, m.Tenant, m.TransactionID, m.N); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// finish stores what became of a mail, unless its request ended meanwhile or was replaced.
func finish(ctx context.Context, tx *db.Tx, m *Reminder) error {
	return tx.Send(ctx, `UPDATE payment_reminders SET state = ?, reason = ?, sent_at = ?
		WHERE tenant_id = ? AND transaction_id = ? AND n = ? AND id = ? AND state = 'WAITING'`,
		m.State, m.Reason, m.SentAt, tx.Tenant(), m.TransactionID, m.N, m.ID)
}

// purge deletes requests whose time is over, and returns how many. For db.System contexts.
func purge(ctx context.Context, tx *db.Tx, limit int) (int, error) {
	var list []struct {
		Tenant        id.ID `db:"tenant_id"`
		TransactionID id.ID `db:"transaction_id"`
	}
	err := tx.Select(ctx, &list, `SELECT tenant_id, transaction_id FROM payment_requests WHERE purge_at <= ? ORDER BY purge_at LIMIT ?`+tx.SkipLocked(),
		tx.Now(), limit)
	if err != nil {
		return 0, fmt.Errorf("find requests to delete: %w", err)
	}
	for _, r := range list {
		for _, table := range []string{"payment_reminders", "payment_requests"} {
			if err := tx.Send(ctx, `DELETE FROM `+table+` WHERE tenant_id = ? AND transaction_id = ?`, r.Tenant, r.TransactionID); err != nil {
				return 0, err
			}
		}
	}
	return len(list), nil
}
