package payment

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
)

const transactionColumns = `id, originator_id, end_point_id, request_id, created_by, amount, currency, purpose, description,
	redirect_url, items, document, content_hash, kassenzeichen, state, reason, method, method_detail, declines,
	metadata, due_at, delayed, created_at, expires_at, ended_at`

// insertTransaction stores a new transaction. If its request has one already, this or the next
// statement, or the commit, fails with a unique violation (db.IsUnique).
func insertTransaction(ctx context.Context, tx *db.Tx, t *Transaction) error {
	return tx.Send(ctx, `INSERT INTO transactions (tenant_id, authority, `+transactionColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), Authority(t.EndPointID), t.ID, t.OriginatorID, t.EndPointID, t.RequestID, t.CreatedBy, t.Amount, t.Currency, t.Purpose, t.Description,
		t.RedirectURL, t.ItemList, t.Document, t.ContentHash, t.Kassenzeichen, t.State, t.Reason, t.Method, t.MethodDetail, t.Declines,
		t.Metadata, t.DueAt, t.Delayed, t.CreatedAt, t.ExpiresAt, t.EndedAt)
}

// transactionOfRequest finds what a request became.
func transactionOfRequest(ctx context.Context, tx *db.Tx, originator, endPoint, request string) (t Transaction, err error) {
	err = tx.Get(ctx, &t, `SELECT `+transactionColumns+` FROM transactions
		WHERE tenant_id = ? AND originator_id = ? AND authority = ? AND request_id = ?`,
		tx.Tenant(), originator, Authority(endPoint), request)
	return t, err
}

func errUnknown() error {
	return fault.NotFound("unknown_transaction", "there is no such transaction here")
}

// transaction reads one. Error: unknown_transaction.
func transaction(ctx context.Context, tx *db.Tx, txID id.ID) (Transaction, error) {
	return getTransaction(ctx, tx, txID, "")
}

// lockTransaction reads one and keeps others from changing it. Error: unknown_transaction.
func lockTransaction(ctx context.Context, tx *db.Tx, txID id.ID) (Transaction, error) {
	return getTransaction(ctx, tx, txID, tx.ForUpdate())
}

func getTransaction(ctx context.Context, tx *db.Tx, txID id.ID, lock string) (t Transaction, err error) {
	err = tx.Get(ctx, &t, `SELECT `+transactionColumns+` FROM transactions WHERE tenant_id = ? AND id = ?`+lock, tx.Tenant(), txID)
	if errors.Is(err, db.ErrNoRows) {
		return t, errUnknown()
	}
	return t, err
}

// saveTransaction writes what may change.
func saveTransaction(ctx context.Context, tx *db.Tx, t *Transaction) error {
	n, err := tx.Exec(ctx, `UPDATE transactions SET state = ?, reason = ?, method = ?, method_detail = ?, declines = ?, ended_at = ?
		WHERE tenant_id = ? AND id = ?`,
		t.State, t.Reason, t.Method, t.MethodDetail, t.Declines, t.EndedAt, tx.Tenant(), t.ID)
	if err == nil && n != 1 {
		err = fmt.Errorf("save transaction %s: %d rows", t.ID, n)
	}
	return err
}

// setAside counts the named range up by size, beginning with first, and returns the last number.
func setAside(ctx context.Context, tx *db.Tx, name string, first, size int64) (last int64, err error) {
	err = tx.Get(ctx, &last, `INSERT INTO numbers (tenant_id, name, last) VALUES (?, ?, ?)
		ON CONFLICT (tenant_id, name) DO UPDATE SET last = CASE WHEN numbers.last < ? THEN excluded.last ELSE numbers.last + ? END
		RETURNING last`, tx.Tenant(), name, first+size-1, first, size)
	return last, err
}

// Filter narrows a list of transactions; zero values do not.
type Filter struct {
	State         State
	Kassenzeichen string
	RequestID     string
	Originator    string
	Method        Method       // of those that are paid
	Min, Max      money.Amount // both included
	From, Until   time.Time    // created at; until is excluded
	Before        id.ID        // the id that the page before ended with
	Limit         int
}

// transactions lists the newest first.
func transactions(ctx context.Context, tx *db.Tx, f Filter) (list []Transaction, err error) {
	where, args := []string{"tenant_id = ?"}, []any{tx.Tenant()}
	and := func(condition string, arg any) { where, args = append(where, condition), append(args, arg) }
	if f.State != "" {
		and("state = ?", f.State)
	}
	if f.Kassenzeichen != "" {
		and("kassenzeichen = ?", f.Kassenzeichen)
	}
	if f.RequestID != "" {
		and("request_id = ?", f.RequestID)
	}
	if f.Originator != "" {
		and("originator_id = ?", f.Originator)
	}
	if f.Method != "" {
		and("method = ?", f.Method)
	}
	if f.Min > 0 {
		and("amount >= ?", f.Min)
	}
	if f.Max > 0 {
		and("amount <= ?", f.Max)
	}
	// The id begins with the time in milliseconds, which the primary key can use.
	if !f.From.IsZero() {
		and("created_at >= ?", db.NewTime(f.From))
	}
	if !f.Until.IsZero() {
		and("created_at < ?", db.NewTime(f.Until))
	}
	if f.Before != "" {
		and("id < ?", f.Before)
	}
	err = tx.Select(ctx, &list, `SELECT `+transactionColumns+` FROM transactions WHERE `+strings.Join(where, " AND ")+
		` ORDER BY id DESC LIMIT ?`, append(args, f.Limit)...)
	return list, err
}

// Entry of a transaction's history.
type HistoryEntry struct {
	ID      id.ID   `db:"id"`
	What    string  `db:"what"`  // created, started, payed, declined, …
	State   State   `db:"state"` // of the transaction, after it
	Reason  string  `db:"reason"`
	Attempt id.ID   `db:"attempt_id"`
	Actor   string  `db:"actor"` // who did it; empty: the payer, or we
	At      db.Time `db:"at"`
}

// note writes down what happened to the transaction.
func note(ctx context.Context, tx *db.Tx, t *Transaction, what, reason string, attempt id.ID) error {
	err := tx.Send(ctx, `INSERT INTO history (tenant_id, transaction_id, id, what, state, reason, attempt_id, actor, at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), t.ID, id.New(), what, t.State, reason, attempt, audit.Actor(ctx), tx.Now())
	return err
}

// history lists what happened, the first first.
func history(ctx context.Context, tx *db.Tx, txID id.ID) (list []HistoryEntry, err error) {
	err = tx.Select(ctx, &list, `SELECT id, what, state, reason, attempt_id, actor, at FROM history
		WHERE tenant_id = ? AND transaction_id = ? ORDER BY id LIMIT 500`, tx.Tenant(), txID)
	return list, err
}
