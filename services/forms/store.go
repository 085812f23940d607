package forms

import (
	"context"
	"errors"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

func definitionVersion(ctx context.Context, tx *db.Tx, form, hash string) (version int64, err error) {
	err = tx.Get(ctx, &version, `SELECT version FROM definitions WHERE tenant_id = ? AND form = ? AND hash = ?`, tx.Tenant(), form, hash)
	return version, err
}

func definitionBody(ctx context.Context, tx *db.Tx, form string, version int64) (body string, err error) {
	err = tx.Get(ctx, &body, `SELECT body FROM definitions WHERE tenant_id = ? AND form = ? AND version = ?`, tx.Tenant(), form, version)
	return body, err
}

func insertDefinition(ctx context.Context, tx *db.Tx, form, hash, body string) (version int64, err error) {
	if err := tx.Get(ctx, &version, `SELECT COALESCE(max(version), 0) + 1 FROM definitions WHERE tenant_id = ? AND form = ?`, tx.Tenant(), form); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO definitions (tenant_id, form, version, hash, body, at) VALUES (?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), form, version, hash, body, tx.Now())
	return version, err
}

const applicationColumns = `id, form, form_version, state, subject, client_id, level, language, answers, taken_over, contact,
	reference, amount, return_url, reason, created_at, edited_at, submitted_at, paid_at, decided_at`

func insertApplication(ctx context.Context, tx *db.Tx, a *Application) error {
	err := tx.Send(ctx, `INSERT INTO applications (tenant_id, `+applicationColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), a.ID, a.Form, a.FormVersion, a.State, a.Subject, a.ClientID, a.Level, a.Language, a.Answers, a.TakenOver, a.Contact,
		a.Reference, a.Amount, a.ReturnURL, a.Reason, a.CreatedAt, a.EditedAt, a.SubmittedAt, a.PaidAt, a.DecidedAt)
	return err
}

func saveApplication(ctx context.Context, tx *db.Tx, a *Application) error {
	err := tx.Send(ctx, `UPDATE applications SET state = ?, level = ?, language = ?, answers = ?, taken_over = ?, contact = ?, reference = ?,
		amount = ?, reason = ?, edited_at = ?, submitted_at = ?, paid_at = ?, decided_at = ? WHERE tenant_id = ? AND id = ?`,
		a.State, a.Level, a.Language, a.Answers, a.TakenOver, a.Contact, a.Reference,
		a.Amount, a.Reason, a.EditedAt, a.SubmittedAt, a.PaidAt, a.DecidedAt, tx.Tenant(), a.ID)
	return err
}

func notFound() error {
	return fault.NotFound("application_not_found", "there is no such application here, or it is not yours")
}

// getApplication reads an application, drafts too. Error: application_not_found.
func getApplication(ctx context.Context, tx *db.Tx, appID id.ID) (*Application, error) {
	return scanApplication(ctx, tx, appID, "")
}

// lockApplication is getApplication for changing it in this transaction.
func lockApplication(ctx context.Context, tx *db.Tx, appID id.ID) (*Application, error) {
	return scanApplication(ctx, tx, appID, tx.ForUpdate())
}

func scanApplication(ctx context.Context, tx *db.Tx, appID id.ID, lock string) (*Application, error) {
	var a Application
	err := tx.Get(ctx, &a, `SELECT `+applicationColumns+` FROM applications WHERE tenant_id = ? AND id = ?`+lock, tx.Tenant(), appID)
	if errors.Is(err, db.ErrNoRows) {
		return nil, notFound()
	}
	return &a, err
}

// applicationsOf lists what a citizen has here, the last edited first, at most 200.
func applicationsOf(ctx context.Context, tx *db.Tx, subject string) (list []Application, err error) {
	err = tx.Select(ctx, &list, `SELECT `+applicationColumns+` FROM applications WHERE tenant_id = ? AND subject = ?
		ORDER BY edited_at DESC, id DESC LIMIT 200`, tx.Tenant(), subject)
	return list, err
}

func countDrafts(ctx context.Context, tx *db.Tx, subject string) (n int, err error) {
	err = tx.Get(ctx, &n, `SELECT count(*) FROM applications WHERE tenant_id = ? AND subject = ? AND state = ?`, tx.Tenant(), subject, Draft)
	return n, err
}

// position is where a page of the staff's list ended.
type position struct {
	At int64 `json:"at"`
	ID id.ID `json:"id"`
}

// listApplications returns submitted applications, the newest first, after a position.
func listApplications(ctx context.Context, tx *db.Tx, state State, after position, limit int) (list []Application, err error) {
	query, args := `SELECT `+applicationColumns+` FROM applications WHERE tenant_id = ? AND submitted_at IS NOT NULL`, []any{tx.Tenant()}
	if state != "" {
		query, args = query+` AND state = ?`, append(args, state)
	}
	if after.ID != "" {
		query, args = query+` AND (submitted_at, id) < (?, ?)`, append(args, after.At, after.ID)
	}
	err = tx.Select(ctx, &list, query+` ORDER BY submitted_at DESC, id DESC LIMIT ?`, append(args, limit)...)
	return list, err
}

func deleteDraft(ctx context.Context, tx *db.Tx, appID id.ID) (gone bool, err error) {
	n, err := tx.Exec(ctx, `DELETE FROM applications WHERE tenant_id = ? AND id = ? AND state = ?`, tx.Tenant(), appID, Draft)
	if err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM application_events WHERE tenant_id = ? AND application_id = ?`, tx.Tenant(), appID); err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM files WHERE tenant_id = ? AND application_id = ?`, tx.Tenant(), appID)
	return true, err
}

// row is an id with its tenant, for jobs that look across tenants.
type row struct {
	Tenant id.ID `db:"tenant_id"`
	ID     id.ID `db:"id"`
}

// oldDrafts lists drafts of all tenants that were last edited before the time.
func oldDrafts(ctx context.Context, tx *db.Tx, before db.Time, limit int) (rows []row, err error) {
	err = tx.Select(ctx, &rows, `SELECT tenant_id, id FROM applications WHERE state = 'draft' AND edited_at < ? ORDER BY edited_at LIMIT ?`, before, limit)
	return rows, err
}

// LogEntry is one line of an application's event log.
type LogEntry struct {
	ID    id.ID   `db:"id" json:"id"`
	Kind  string  `db:"kind" json:"kind"`
	Actor string  `db:"actor" json:"actor"` // "applicant", "system", or the pseudonymous id of who acted
	Note  string  `db:"note" json:"note,omitempty"`
	At    db.Time `db:"at" json:"at"`
}

func addLog(ctx context.Context, tx *db.Tx, appID id.ID, kind, actor, note string) error {
	err := tx.Send(ctx, `INSERT INTO application_events (tenant_id, application_id, id, kind, actor, note, at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), appID, id.New(), kind, actor, note, tx.Now())
	return err
}

func logOf(ctx context.Context, tx *db.Tx, appID id.ID) (entries []LogEntry, err error) {
	err = tx.Select(ctx, &entries, `SELECT id, kind, actor, note, at FROM application_events
		WHERE tenant_id = ? AND application_id = ? ORDER BY at, id LIMIT 500`, tx.Tenant(), appID)
	return entries, err
}
