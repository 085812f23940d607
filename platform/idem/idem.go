// Package idem makes a lost answer safe: a write that is repeated with the same
// Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07) has its effect once and
// gets the first answer again.
//
// The effect and its answer are stored in one transaction, so there is no moment at which
// one exists without the other. Keys belong to the caller and the operation.
package idem

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
)

// Header names the key.
const Header = "Idempotency-Key"

// Keep is how long an answer can be had again.
const Keep = 24 * time.Hour

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the table idempotency.
func Migrations() db.Set { return db.Set{Name: "idem", FS: migrations} }

type request struct{ operation, key, hash string }

type ctxKey struct{}

// With notes the key of a request in ctx; kit calls it. target is the path with its query. Error: invalid_idempotency_key.
func With(ctx context.Context, operation, key, target string, body []byte) (context.Context, error) {
	if len(key) > 255 {
		return ctx, fault.Invalid("invalid_idempotency_key", "an Idempotency-Key has 1 to 255 visible ASCII characters")
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return ctx, fault.Invalid("invalid_idempotency_key", "an Idempotency-Key has 1 to 255 visible ASCII characters")
		}
	}
	h := sha256.New()
	h.Write([]byte(target))
	h.Write([]byte{0})
	h.Write(body)
	return context.WithValue(ctx, ctxKey{}, request{operation, key, hex.EncodeToString(h.Sum(nil))}), nil
}

// Key returns the Idempotency-Key of the request that ctx serves, or "".
func Key(ctx context.Context) string {
	q, _ := ctx.Value(ctxKey{}).(request)
	return q.key
}

// Tx is db.Tx for a write that a client may repeat: with the same key and the same request
// it returns the first answer without running fn. R must survive JSON. A failing fn leaves
// nothing, so the key can be tried again.
// Errors: idempotency_key_reused (another request), idempotency_key_in_use (still running).
func Tx[R any](ctx context.Context, d *db.DB, fn func(tx *db.Tx) (R, error)) (answer R, err error) {
	q, ok := ctx.Value(ctxKey{}).(request)
	if !ok {
		err = d.Tx(ctx, func(tx *db.Tx) error {
			answer, err = fn(tx)
			return err
		})
		return answer, err
	}
	err = d.Tx(ctx, func(tx *db.Tx) error {
		var zero R
		answer = zero
		first, err := q.first(ctx, tx, &answer)
		if err != nil || !first {
			return err
		}
		if answer, err = fn(tx); err != nil {
			return err
		}
		return q.store(ctx, tx, answer)
	})
	if err != nil {
		var zero R
		return zero, err
	}
	return answer, nil
}

// first claims the key, or reads the stored answer into dst.
func (q request) first(ctx context.Context, tx *db.Tx, dst any) (bool, error) {
	actor, free := audit.Actor(ctx), `'true'`
	if tx.Postgres() {
		// Two requests at once: the second is told, instead of waiting for the first. The lock is
		// asked for in a statement of its own, because the next one sees what was committed before
		// it began; both travel together.
		err := tx.Send(ctx, `SELECT set_config('app.idem', pg_try_advisory_xact_lock(hashtextextended(?, 0))::text, true)`,
			tx.Tenant().String()+actor+q.operation+q.key)
		if err != nil {
			return false, err
		}
		free = `current_setting('app.idem')`
	}
	var was struct {
		Free   string `db:"free"`
		Hash   string `db:"hash"`
		Answer string `db:"answer"`
	}
	err := tx.Get(ctx, &was, `SELECT `+free+` AS free, COALESCE(i.hash, '') AS hash, COALESCE(i.answer, '') AS answer
		FROM (SELECT 1) AS one LEFT JOIN idempotency i ON i.tenant_id = ? AND i.actor = ? AND i.operation = ? AND i.key = ?`,
		tx.Tenant(), actor, q.operation, q.key)
	switch {
	case err != nil:
		return false, err
	case was.Free != "true":
		return false, fault.Conflict("idempotency_key_in_use", "the first request with this Idempotency-Key is still being served").After(time.Second)
	case was.Hash == "":
		return true, nil
	case was.Hash != q.hash:
		return false, fault.Unprocessable("idempotency_key_reused", "this Idempotency-Key was used with another request; take a new key for a new request")
	}
	return false, json.Unmarshal([]byte(was.Answer), dst)
}

func (q request) store(ctx context.Context, tx *db.Tx, answer any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // raw JSON inside has to come back as it was
	if err := enc.Encode(answer); err != nil {
		return fmt.Errorf("idem: marshal answer: %w", err)
	}
	err := tx.Send(ctx, `INSERT INTO idempotency (tenant_id, actor, operation, key, hash, answer, at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, tx.Tenant(), audit.Actor(ctx), q.operation, q.key, q.hash, text.String(), tx.Now())
	return err
}

// Purge deletes what is older than Keep, in small transactions.
func Purge(ctx context.Context, d *db.DB) error {
	const chunk = 1000
	ctx = db.System(ctx)
	for {
		var n int64
		err := d.Tx(ctx, func(tx *db.Tx) (err error) {
			// Two ends, so that it is read from the index by time, however much is old.
			n, err = tx.Exec(ctx, `DELETE FROM idempotency WHERE at BETWEEN (SELECT min(at) FROM idempotency)
				AND (SELECT max(at) FROM (SELECT at FROM idempotency WHERE at < ? ORDER BY at LIMIT ?) AS oldest)`,
				db.NewTime(tx.Now().Add(-Keep)), chunk)
			return err
		})
		if err != nil || n < chunk {
			return err
		}
	}
}
