package notify

import (
	"context"
	"errors"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

const templateColumns = `id, name, language, version, subject, body, placeholders, created_at`

type templateRow struct {
	ID           id.ID                  `db:"id"`
	Name         string                 `db:"name"`
	Language     string                 `db:"language"`
	Version      int64                  `db:"version"`
	Subject      string                 `db:"subject"`
	Body         string                 `db:"body"`
	Placeholders db.JSON[[]Placeholder] `db:"placeholders"`
	CreatedAt    db.Time                `db:"created_at"`
}

func (r templateRow) template() (*Template, error) {
	t := &Template{
		ID: r.ID, Name: r.Name, Language: r.Language, Version: r.Version, Subject: r.Subject, Body: r.Body,
		Placeholders: r.Placeholders.V, CreatedAt: r.CreatedAt.Time, Own: true,
	}
	return t, t.Compile()
}

// insertTemplate adds a version.
func insertTemplate(ctx context.Context, tx *db.Tx, t *Template, by string) error {
	_, err := tx.Exec(ctx, `INSERT INTO templates (tenant_id, created_by, `+templateColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), by, t.ID, t.Name, t.Language, t.Version, t.Subject, t.Body, db.JSON[[]Placeholder]{V: t.Placeholders}, db.NewTime(t.CreatedAt))
	return err
}

// ownVersion returns the id and number of the tenant's newest version; 0 if it has none.
func ownVersion(ctx context.Context, tx *db.Tx, name, lang string) (tid id.ID, version int64, err error) {
	var row struct {
		ID      id.ID `db:"id"`
		Version int64 `db:"version"`
	}
	err = tx.Get(ctx, &row, `SELECT id, version FROM templates WHERE tenant_id = ? AND name = ? AND language = ?
		ORDER BY version DESC LIMIT 1`, tx.Tenant(), name, lang)
	if errors.Is(err, db.ErrNoRows) {
		return "", 0, nil
	}
	return row.ID, row.Version, err
}

// ownTemplate reads a tenant's version by id; the newest for 0; nil if there is none.
func ownTemplate(ctx context.Context, tx *db.Tx, tid id.ID, version int64) (*Template, error) {
	query, args := `SELECT `+templateColumns+` FROM templates WHERE tenant_id = ? AND id = ?`, []any{tx.Tenant(), tid}
	if version > 0 {
		query, args = query+` AND version = ?`, append(args, version)
	}
	var row templateRow
	err := tx.Get(ctx, &row, query+` ORDER BY version DESC LIMIT 1`, args...)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return row.template()
}

// ownTemplates reads the newest version of each of the tenant's templates.
func ownTemplates(ctx context.Context, tx *db.Tx) (out []*Template, err error) {
	var rows []templateRow
	err = tx.Select(ctx, &rows, `SELECT `+templateColumns+` FROM templates t WHERE tenant_id = ? AND version = (
			SELECT max(version) FROM templates n WHERE n.tenant_id = t.tenant_id AND n.name = t.name AND n.language = t.language)
		ORDER BY name, language LIMIT 1000`, tx.Tenant())
	for _, r := range rows {
		if err != nil {
			return nil, err
		}
		var t *Template
		t, err = r.template()
		out = append(out, t)
	}
	return out, err
}

type apiKeyRow struct {
	ID        id.ID    `db:"id"`
	Name      string   `db:"name"`
	Sealed    []byte   `db:"sealed"`
	CreatedAt db.Time  `db:"created_at"`
	RevokedAt *db.Time `db:"revoked_at"`
}

// apiKeys reads the keys of the tenant, revoked ones too, the oldest first.
func apiKeys(ctx context.Context, tx *db.Tx) (out []apiKeyRow, err error) {
	err = tx.Select(ctx, &out, `SELECT id, name, sealed, created_at, revoked_at FROM api_keys WHERE tenant_id = ? ORDER BY id LIMIT 200`, tx.Tenant())
	return out, err
}

func insertAPIKey(ctx context.Context, tx *db.Tx, k apiKeyRow, by string) error {
	_, err := tx.Exec(ctx, `INSERT INTO api_keys (tenant_id, id, name, sealed, created_by, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), k.ID, k.Name, k.Sealed, by, k.CreatedAt)
	return err
}

// revokeAPIKey ends a key; ending it again changes nothing. Error: unknown_api_key.
func revokeAPIKey(ctx context.Context, tx *db.Tx, kid id.ID) error {
	n, err := tx.Exec(ctx, `UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE tenant_id = ? AND id = ?`,
		tx.Now(), tx.Tenant(), kid)
	if err == nil && n == 0 {
		return fault.NotFound("unknown_api_key", "there is no such API key here")
	}
	return err
}
