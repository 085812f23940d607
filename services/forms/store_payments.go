package forms

import (
	"context"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

const paymentColumns = `request_id, application_id, attempt, state, amount, transaction_id, pay_url, kassenzeichen, method,
	by_mail, mailed_at, tries, next_try_at, at`

func insertPayment(ctx context.Context, tx *db.Tx, p *Payment) error {
	err := tx.Send(ctx, `INSERT INTO payments (tenant_id, `+paymentColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), p.RequestID, p.ApplicationID, p.Attempt, p.State, p.Amount, p.TransactionID, p.PayURL, p.Kassenzeichen, p.Method,
		p.ByMail, p.MailedAt, p.Tries, p.NextTryAt, p.At)
	return err
}

func savePayment(ctx context.Context, tx *db.Tx, p *Payment) error {
	err := tx.Send(ctx, `UPDATE payments SET state = ?, transaction_id = ?, pay_url = ?, kassenzeichen = ?, method = ?, by_mail = ?,
		mailed_at = ?, tries = ?, next_try_at = ? WHERE tenant_id = ? AND request_id = ?`,
		p.State, p.TransactionID, p.PayURL, p.Kassenzeichen, p.Method, p.ByMail, p.MailedAt, p.Tries, p.NextTryAt, tx.Tenant(), p.RequestID)
	return err
}

// lockPayment finds an attempt by the id that the payment service knows it by; db.ErrNoRows
// if it is another client's payment.
func lockPayment(ctx context.Context, tx *db.Tx, requestID string) (*Payment, error) {
	var p Payment
	err := tx.Get(ctx, &p, `SELECT `+paymentColumns+` FROM payments WHERE tenant_id = ? AND request_id = ?`+tx.ForUpdate(), tx.Tenant(), requestID)
	return &p, err
}

func readPayment(ctx context.Context, tx *db.Tx, requestID string) (*Payment, error) {
	var p Payment
	err := tx.Get(ctx, &p, `SELECT `+paymentColumns+` FROM payments WHERE tenant_id = ? AND request_id = ?`, tx.Tenant(), requestID)
	return &p, err
}

// paymentsOf lists the attempts to pay for an application, the first one first.
func paymentsOf(ctx context.Context, tx *db.Tx, appID id.ID) (list []Payment, err error) {
	err = tx.Select(ctx, &list, `SELECT `+paymentColumns+` FROM payments WHERE tenant_id = ? AND application_id = ? ORDER BY attempt LIMIT 100`, tx.Tenant(), appID)
	return list, err
}

// duePayments lists attempts of all tenants, due by now, that the payment service has not
// answered yet, or whose link has to go by mail.
func duePayments(ctx context.Context, tx *db.Tx, limit int) (rows []row, err error) {
	err = tx.Select(ctx, &rows, `SELECT tenant_id, request_id AS id FROM payments
		WHERE (state = 'wanted' OR (state = 'open' AND by_mail AND mailed_at IS NULL)) AND next_try_at <= ? ORDER BY next_try_at LIMIT ?`, tx.Now(), limit)
	return rows, err
}

// File is an uploaded file. Its bytes are in the data folder.
type File struct {
	ID            id.ID   `db:"id"`
	ApplicationID id.ID   `db:"application_id"` // "": sent ahead by a client
	Field         string  `db:"field"`          // JSON pointer of the list that holds its id
	Owner         string  `db:"owner"`
	Name          string  `db:"name"`
	Type          string  `db:"type"`
	Size          int64   `db:"size"`
	SHA256        string  `db:"sha256"`
	At            db.Time `db:"at"`
}

const fileColumns = `id, application_id, field, owner, name, type, size, sha256, at`

func insertFile(ctx context.Context, tx *db.Tx, f *File) error {
	err := tx.Send(ctx, `INSERT INTO files (tenant_id, `+fileColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), f.ID, f.ApplicationID, f.Field, f.Owner, f.Name, f.Type, f.Size, f.SHA256, f.At)
	return err
}

func filesOf(ctx context.Context, tx *db.Tx, appID id.ID) (list []File, err error) {
	err = tx.Select(ctx, &list, `SELECT `+fileColumns+` FROM files WHERE tenant_id = ? AND application_id = ? ORDER BY id LIMIT 200`, tx.Tenant(), appID)
	return list, err
}

func getFile(ctx context.Context, tx *db.Tx, fileID id.ID) (*File, error) {
	var f File
	err := tx.Get(ctx, &f, `SELECT `+fileColumns+` FROM files WHERE tenant_id = ? AND id = ?`, tx.Tenant(), fileID)
	return &f, err
}

// fileExists looks across tenants, for the sweep.
func fileExists(ctx context.Context, tx *db.Tx, tenantID, fileID id.ID) (bool, error) {
	var n int
	err := tx.Get(ctx, &n, `SELECT count(*) FROM files WHERE tenant_id = ? AND id = ?`, tenantID, fileID)
	return n > 0, err
}

// claimFile gives a file that its owner sent ahead to an application.
func claimFile(ctx context.Context, tx *db.Tx, fileID, appID id.ID, owner, form, field string) (claimed bool, err error) {
	n, err := tx.Exec(ctx, `UPDATE files SET application_id = ?, field = ? WHERE tenant_id = ? AND id = ? AND application_id = '' AND owner = ? AND field = ?`,
		appID, field, tx.Tenant(), fileID, owner, looseField(form, field))
	return n == 1, err
}

// looseField marks which form and field a file was checked for that has no application yet.
func looseField(form, field string) string { return form + field }

func deleteFile(ctx context.Context, tx *db.Tx, fileID id.ID) error {
	err := tx.Send(ctx, `DELETE FROM files WHERE tenant_id = ? AND id = ?`, tx.Tenant(), fileID)
	return err
}

// looseFiles lists files of all tenants that a client sent before the time and never used.
func looseFiles(ctx context.Context, tx *db.Tx, before db.Time, limit int) (rows []row, err error) {
	err = tx.Select(ctx, &rows, `SELECT tenant_id, id FROM files WHERE application_id = '' AND at < ? ORDER BY at LIMIT ?`, before, limit)
	return rows, err
}
