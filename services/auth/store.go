package auth

import (
	"context"
	"errors"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// Signing keys.

func selectKeys(ctx context.Context, tx *db.Tx) (rows []keyRow, err error) {
	err = tx.Select(ctx, &rows, `SELECT generation, kid, sealed, created_at, signs_from, gone_at FROM signing_keys
		WHERE tenant_id = ? AND (gone_at IS NULL OR gone_at > ?) ORDER BY generation`, tx.Tenant(), tx.Now())
	return rows, err
}

func insertKey(ctx context.Context, tx *db.Tx, k keyRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO signing_keys (tenant_id, generation, kid, sealed, created_at, signs_from)
		VALUES (?, ?, ?, ?, ?, ?)`, tx.Tenant(), k.Generation, k.KID, k.Sealed, k.CreatedAt, k.SignsFrom)
	return err
}

func retireKeys(ctx context.Context, tx *db.Tx, at db.Time) error {
	_, err := tx.Exec(ctx, `UPDATE signing_keys SET gone_at = ? WHERE tenant_id = ? AND (gone_at IS NULL OR gone_at > ?)`,
		at, tx.Tenant(), at)
	return err
}

// Clients.

const clientColumns = `tenant_id, client_id, name, login, auth_method, secret_hash, previous_hash, previous_until, jwks,
	redirect_uris, logout_uris, grant_types, scopes, min_level, enabled, all_tenants, version, created_at, dpop_bound, certificate_bound`

func insertClient(ctx context.Context, tx *db.Tx, c *Client) error {
	_, err := tx.Exec(ctx, `INSERT INTO clients (`+clientColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), c.ID, c.Name, c.Login, c.AuthMethod, c.SecretHash, c.PreviousHash, c.PreviousUntil, c.Keys,
		c.Redirects, c.AfterLogout, c.Grants, c.Scopes, c.MinLevel, c.Enabled, c.AllTenants, c.Version, c.CreatedAt, c.DPoPBound, c.CertBound)
	return err
}

// getClient returns the client or db.ErrNoRows; locked for the rest of the transaction if
// lock is set.
func getClient(ctx context.Context, tx *db.Tx, clientID string, lock bool) (*Client, error) {
	query := `SELECT ` + clientColumns + ` FROM clients WHERE tenant_id = ? AND client_id = ?`
	if lock {
		query += tx.ForUpdate()
	}
	var c Client
	if err := tx.Get(ctx, &c, query, tx.Tenant(), clientID); err != nil {
		return nil, err
	}
	return &c, nil
}

func selectClients(ctx context.Context, tx *db.Tx, after string, limit int) (rows []*Client, err error) {
	err = tx.Select(ctx, &rows, `SELECT `+clientColumns+` FROM clients WHERE tenant_id = ? AND client_id > ?
		ORDER BY client_id LIMIT ?`, tx.Tenant(), after, limit)
	return rows, err
}

// updateClient saves what may change of a client; its version grows.
func updateClient(ctx context.Context, tx *db.Tx, c *Client) error {
	c.Version++
	_, err := tx.Exec(ctx, `UPDATE clients SET secret_hash = ?, previous_hash = ?, previous_until = ?, enabled = ?,
		all_tenants = ?, version = ? WHERE tenant_id = ? AND client_id = ?`,
		c.SecretHash, c.PreviousHash, c.PreviousUntil, c.Enabled, c.AllTenants, c.Version, tx.Tenant(), c.ID)
	return err
}

func addTarget(ctx context.Context, tx *db.Tx, clientID string, target id.ID) error {
	_, err := tx.Exec(ctx, `INSERT INTO client_tenants (tenant_id, client_id, target_id) VALUES (?, ?, ?)
		ON CONFLICT DO NOTHING`, tx.Tenant(), clientID, target)
	return err
}

func removeTarget(ctx context.Context, tx *db.Tx, clientID string, target id.ID) error {
	_, err := tx.Exec(ctx, `DELETE FROM client_tenants WHERE tenant_id = ? AND client_id = ? AND target_id = ?`,
		tx.Tenant(), clientID, target)
	return err
}

func clearTargets(ctx context.Context, tx *db.Tx, clientID string) error {
	_, err := tx.Exec(ctx, `DELETE FROM client_tenants WHERE tenant_id = ? AND client_id = ?`, tx.Tenant(), clientID)
	return err
}

func hasTarget(ctx context.Context, tx *db.Tx, clientID string, target id.ID) (bool, error) {
	var n int
	err := tx.Get(ctx, &n, `SELECT count(*) FROM client_tenants WHERE tenant_id = ? AND client_id = ? AND target_id = ?`,
		tx.Tenant(), clientID, target)
	return n > 0, err
}

func countTargets(ctx context.Context, tx *db.Tx, clientID string) (n int, err error) {
	err = tx.Get(ctx, &n, `SELECT count(*) FROM client_tenants WHERE tenant_id = ? AND client_id = ?`, tx.Tenant(), clientID)
	return n, err
}

func selectTargets(ctx context.Context, tx *db.Tx, clientID string, after id.ID, limit int) (ids []id.ID, err error) {
	err = tx.Select(ctx, &ids, `SELECT target_id FROM client_tenants WHERE tenant_id = ? AND client_id = ? AND target_id > ?
		ORDER BY target_id LIMIT ?`, tx.Tenant(), clientID, after, limit)
	return ids, err
}

// Tokens and assertions.

func revoke(ctx context.Context, tx *db.Tx, jti string, expires db.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO revoked_tokens (tenant_id, jti, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		tx.Tenant(), jti, expires)
	return err
}

func isRevoked(ctx context.Context, tx *db.Tx, jti string) (bool, error) {
	var n int
	err := tx.Get(ctx, &n, `SELECT count(*) FROM revoked_tokens WHERE tenant_id = ? AND jti = ?`, tx.Tenant(), jti)
	return n > 0, err
}

// useAssertion reports whether the assertion is used for the first time.
func useAssertion(ctx context.Context, tx *db.Tx, clientID, jti string, expires db.Time) (bool, error) {
	n, err := tx.Exec(ctx, `INSERT INTO used_assertions (tenant_id, client_id, jti, expires_at) VALUES (?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, tx.Tenant(), clientID, jti, expires)
	return n == 1, err
}

// Logins, sessions, codes.

func insertRequest(ctx context.Context, tx *db.Tx, requestID, browser string, q loginRequest, expires db.Time) error {
	err := tx.Send(ctx, `INSERT INTO auth_requests (tenant_id, id, browser, request, expires_at) VALUES (?, ?, ?, ?, ?)`,
		tx.Tenant(), requestID, browser, db.JSON[loginRequest]{V: q}, expires)
	return err
}

// getRequest returns the login that was begun in the browser and has not expired.
// Error: login_stale.
func getRequest(ctx context.Context, tx *db.Tx, requestID, browser string) (loginRequest, error) {
	var q db.JSON[loginRequest]
	err := tx.Get(ctx, &q, `SELECT request FROM auth_requests WHERE tenant_id = ? AND id = ? AND browser = ? AND expires_at > ?`,
		tx.Tenant(), requestID, browser, tx.Now())
	if errors.Is(err, db.ErrNoRows) {
		return q.V, fault.Gone("login_stale", "this login was begun elsewhere, is finished, or took too long; open the page again that you came from")
	}
	return q.V, err
}

func deleteRequest(ctx context.Context, tx *db.Tx, requestID string) error {
	err := tx.Send(ctx, `DELETE FROM auth_requests WHERE tenant_id = ? AND id = ?`, tx.Tenant(), requestID)
	return err
}

const sessionColumns = `id, cookie, kind, subject, level, auth_time, profile, expires_at`

func insertSession(ctx context.Context, tx *db.Tx, s session) error {
	err := tx.Send(ctx, `INSERT INTO sessions (tenant_id, `+sessionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), s.ID, s.Cookie, s.Kind, s.Subject, s.Level, s.AuthTime, s.Profile, s.ExpiresAt)
	return err
}

// sessionByCookie returns the living session or db.ErrNoRows.
func sessionByCookie(ctx context.Context, tx *db.Tx, cookie string, kind string) (s session, err error) {
	err = tx.Get(ctx, &s, `SELECT `+sessionColumns+` FROM sessions WHERE tenant_id = ? AND cookie = ? AND kind = ? AND expires_at > ?`,
		tx.Tenant(), cookie, kind, tx.Now())
	return s, err
}

// sessionByID returns the living session or db.ErrNoRows.
func sessionByID(ctx context.Context, tx *db.Tx, sessionID id.ID) (s session, err error) {
	err = tx.Get(ctx, &s, `SELECT `+sessionColumns+` FROM sessions WHERE tenant_id = ? AND id = ? AND expires_at > ?`,
		tx.Tenant(), sessionID, tx.Now())
	return s, err
}

// deleteSession makes place for the session's successor.
func deleteSession(ctx context.Context, tx *db.Tx, sessionID id.ID) error {
	err := tx.Send(ctx, `DELETE FROM sessions WHERE tenant_id = ? AND id = ?`, tx.Tenant(), sessionID)
	return err
}

// endSessions ends the sessions whose column (a name from this package) has the value, and
// revokes the access tokens that came of them.
func endSessions(ctx context.Context, tx *db.Tx, column string, value any) error {
	for _, sql := range []string{
		`INSERT INTO revoked_tokens (tenant_id, jti, expires_at) SELECT c.tenant_id, c.jti, c.keep_until FROM codes c
			JOIN sessions s ON s.tenant_id = c.tenant_id AND s.id = c.session_id
			WHERE c.tenant_id = ? AND s.` + column + ` = ? AND c.jti IS NOT NULL ON CONFLICT DO NOTHING`,
		`DELETE FROM sessions WHERE tenant_id = ? AND ` + column + ` = ?`,
	} {
		if _, err := tx.Exec(ctx, sql, tx.Tenant(), value); err != nil {
			return err
		}
	}
	return nil
}

// codeRow is an authorization code with what it stands for.
type codeRow struct {
	SessionID id.ID                 `db:"session_id"`
	Request   db.JSON[loginRequest] `db:"request"`
	ExpiresAt db.Time               `db:"expires_at"`
	JTI       *string               `db:"jti"` // of the access token it was used for
	KeepUntil db.Time               `db:"keep_until"`
}

func insertCode(ctx context.Context, tx *db.Tx, code string, sessionID id.ID, q loginRequest, expires db.Time) error {
	err := tx.Send(ctx, `INSERT INTO codes (tenant_id, code, session_id, request, expires_at, keep_until) VALUES (?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), code, sessionID, db.JSON[loginRequest]{V: q}, expires, expires)
	return err
}

// lockCode returns the code, used or expired ones too, or db.ErrNoRows.
func lockCode(ctx context.Context, tx *db.Tx, code string) (c codeRow, err error) {
	err = tx.Get(ctx, &c, `SELECT session_id, request, expires_at, jti, keep_until FROM codes WHERE tenant_id = ? AND code = ?`+tx.ForUpdate(),
		tx.Tenant(), code)
	return c, err
}

func markCodeUsed(ctx context.Context, tx *db.Tx, code, jti string, keepUntil db.Time) error {
	err := tx.Send(ctx, `UPDATE codes SET jti = ?, keep_until = ? WHERE tenant_id = ? AND code = ?`, jti, keepUntil, tx.Tenant(), code)
	return err
}

// sessionOfToken returns the session that the access token came of, or db.ErrNoRows.
func sessionOfToken(ctx context.Context, tx *db.Tx, jti string) (s session, err error) {
	err = tx.Get(ctx, &s, `SELECT s.id, s.cookie, s.kind, s.subject, s.level, s.auth_time, s.profile, s.expires_at
		FROM codes c JOIN sessions s ON s.tenant_id = c.tenant_id AND s.id = c.session_id
		WHERE c.tenant_id = ? AND c.jti = ?`, tx.Tenant(), jti)
	return s, err
}

// Staff.

const staffColumns = `id, username, name, email, roles, password_hash, disabled, created_at, changed_at`

func insertStaff(ctx context.Context, tx *db.Tx, p Staff) error {
	_, err := tx.Exec(ctx, `INSERT INTO staff (tenant_id, `+staffColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), p.ID, p.Username, p.Name, p.Email, p.Roles, p.PasswordHash, p.Disabled, p.CreatedAt, p.ChangedAt)
	return err
}

// staffByUsername returns the person or db.ErrNoRows.
func staffByUsername(ctx context.Context, tx *db.Tx, username string) (p Staff, err error) {
	err = tx.Get(ctx, &p, `SELECT `+staffColumns+` FROM staff WHERE tenant_id = ? AND username = ?`, tx.Tenant(), username)
	return p, err
}

// getStaff returns the person; locked for the rest of the transaction if lock is set.
// Error: unknown_staff.
func getStaff(ctx context.Context, tx *db.Tx, staffID id.ID, lock bool) (p Staff, err error) {
	query := `SELECT ` + staffColumns + ` FROM staff WHERE tenant_id = ? AND id = ?`
	if lock {
		query += tx.ForUpdate()
	}
	err = tx.Get(ctx, &p, query, tx.Tenant(), staffID)
	if errors.Is(err, db.ErrNoRows) {
		err = fault.NotFound("unknown_staff", "nobody of the staff here has this id")
	}
	return p, err
}

func selectStaff(ctx context.Context, tx *db.Tx, after string, limit int) (rows []Staff, err error) {
	err = tx.Select(ctx, &rows, `SELECT `+staffColumns+` FROM staff WHERE tenant_id = ? AND username > ? ORDER BY username LIMIT ?`,
		tx.Tenant(), after, limit)
	return rows, err
}

func updateStaff(ctx context.Context, tx *db.Tx, p Staff) error {
	_, err := tx.Exec(ctx, `UPDATE staff SET name = ?, email = ?, roles = ?, password_hash = ?, disabled = ?, changed_at = ?
		WHERE tenant_id = ? AND id = ?`, p.Name, p.Email, p.Roles, p.PasswordHash, p.Disabled, tx.Now(), tx.Tenant(), p.ID)
	return err
}

// failures returns how often the account's password was wrong since the moment.
func failures(ctx context.Context, tx *db.Tx, account string, since db.Time) (n int, err error) {
	err = tx.Get(ctx, &n, `SELECT failures FROM password_failures WHERE tenant_id = ? AND account = ? AND since > ?`,
		tx.Tenant(), account, since)
	if errors.Is(err, db.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// countFailure counts one more; the count begins anew when the last one began before since.
func countFailure(ctx context.Context, tx *db.Tx, account string, since db.Time) error {
	err := tx.Send(ctx, `INSERT INTO password_failures (tenant_id, account, failures, since) VALUES (?, ?, 1, ?)
		ON CONFLICT (tenant_id, account) DO UPDATE SET
			failures = CASE WHEN password_failures.since > ? THEN password_failures.failures + 1 ELSE 1 END,
			since = CASE WHEN password_failures.since > ? THEN password_failures.since ELSE excluded.since END`,
		tx.Tenant(), account, tx.Now(), since, since)
	return err
}

func forgetFailures(ctx context.Context, tx *db.Tx, account string) error {
	err := tx.Send(ctx, `DELETE FROM password_failures WHERE tenant_id = ? AND account = ?`, tx.Tenant(), account)
	return err
}

// purge deletes what has expired, across all tenants.
func purge(ctx context.Context, tx *db.Tx, failuresBefore db.Time) error {
	now := tx.Now()
	for _, d := range []struct {
		sql string
		at  db.Time
	}{
		{`DELETE FROM auth_requests WHERE expires_at <= ?`, now},
		{`DELETE FROM codes WHERE keep_until <= ?`, now},
		{`DELETE FROM sessions WHERE expires_at <= ?`, now},
		{`DELETE FROM revoked_tokens WHERE expires_at <= ?`, now},
		{`DELETE FROM used_assertions WHERE expires_at <= ?`, now},
		{`DELETE FROM signing_keys WHERE gone_at <= ?`, now},
		{`DELETE FROM password_failures WHERE since <= ?`, failuresBefore},
	} {
		if _, err := tx.Exec(ctx, d.sql, d.at); err != nil {
			return err
		}
	}
	return nil
}
