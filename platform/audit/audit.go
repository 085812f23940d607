// Package audit keeps, for each tenant, who did what to which object: an append-only log
// in which every entry carries the hash of the one before. What a person with access to the
// database changes, cuts off at the front or takes out of the middle, Verify finds. Who can
// also rewrite the whole rest of the chain and its head is found only by comparing with a
// hash that was kept elsewhere.
//
// Entries hold pseudonymous ids, states and amounts; never names, addresses or answers.
package audit

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the tables audit_log and audit_head.
func Migrations() db.Set { return db.Set{Name: "audit", FS: migrations} }

// Entry is one thing that was done.
type Entry struct {
	Seq    int64           `json:"seq"` // 1, 2, 3, … in each tenant
	At     db.Time         `json:"at"`
	Actor  string          `json:"actor,omitempty"`
	Action string          `json:"action"`
	Object string          `json:"object"`
	Detail json.RawMessage `json:"detail"`
	Hash   string          `json:"hash"` // SHA-256, hexadecimal
}

// maxDetail bounds the JSON of a detail: it points to data and is no copy of it.
const maxDetail = 8 << 10

var errNoTenant = errors.New("audit: the transaction has no tenant, so there is no log to write to or read from")

// row is an entry as it is stored.
type row struct {
	Seq      int64   `db:"seq"`
	At       db.Time `db:"at"`
	Actor    string  `db:"actor"`
	Action   string  `db:"action"`
	Object   string  `db:"object"`
	Detail   string  `db:"detail"`
	PrevHash []byte  `db:"prev_hash"`
	Hash     []byte  `db:"hash"`
}

type head struct {
	Seq  int64  `db:"seq"`
	Hash []byte `db:"hash"`
}

// Record adds an entry to the log of the transaction's tenant, if and only if the
// transaction commits. The actor is the context's (WithActor). action says what was done in
// the past tense ("application.accepted"), object to what ("application:0192…"); detail is
// anything that survives JSON, or nil.
//
// From here to the commit the tenant's other writers of its log wait. Call it last.
func Record(ctx context.Context, tx *db.Tx, action, object string, detail any) error {
	text, err := json.Marshal(detail)
	switch {
	case tx.Tenant() == "":
		return errNoTenant
	case action == "" || object == "":
		return fmt.Errorf("audit: action %q on object %q: both must be named", action, object)
	case err != nil:
		return fmt.Errorf("audit: detail of %s: %w", action, err)
	case len(text) > maxDetail:
		return fmt.Errorf("audit: detail of %s has %d bytes, at most %d are kept", action, len(text), maxDetail)
	}
	last, err := lockHead(ctx, tx)
	if err != nil {
		return fmt.Errorf("audit: lock the end of the log: %w", err)
	}
	r := row{
		Seq: last.Seq + 1, At: tx.Now(), Actor: Actor(ctx), Action: action, Object: object,
		Detail: string(text), PrevHash: last.Hash,
	}
	r.Hash = r.sum(tx.Tenant())
	if err := tx.Send(ctx, `INSERT INTO audit_log (tenant_id, seq, at, actor, action, object, detail, prev_hash, hash)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), r.Seq, r.At, r.Actor, r.Action, r.Object, r.Detail, r.PrevHash, r.Hash); err != nil {
		return fmt.Errorf("audit: add to the log: %w", err)
	}
	if err := tx.Send(ctx, `UPDATE audit_head SET seq = ?, hash = ? WHERE tenant_id = ?`, r.Seq, r.Hash, tx.Tenant()); err != nil {
		return fmt.Errorf("audit: move the end of the log: %w", err)
	}
	return nil
}

// lockHead returns the end of the tenant's log, which nobody else moves until the commit.
func lockHead(ctx context.Context, tx *db.Tx) (head, error) {
	query := `SELECT seq, hash FROM audit_head WHERE tenant_id = ?` + tx.ForUpdate()
	var h head
	err := tx.Get(ctx, &h, query, tx.Tenant())
	if !errors.Is(err, db.ErrNoRows) {
		return h, err
	}
	// The first entry. Of two that begin at once the second waits here, and finds the row.
	if _, err := tx.Exec(ctx, `INSERT INTO audit_head (tenant_id, seq, hash) VALUES (?, 0, ?) ON CONFLICT DO NOTHING`,
		tx.Tenant(), make([]byte, sha256.Size)); err != nil {
		return h, err
	}
	return h, tx.Get(ctx, &h, query, tx.Tenant())
}

// sum is the SHA-256 over a version, the tenant, every column and the hash before, each with
// its length in front, so that no two entries have the same text.
func (r row) sum(tenantID id.ID) []byte {
	h := sha256.New()
	var number [8]byte
	put := func(field []byte) {
		binary.BigEndian.PutUint64(number[:], uint64(len(field)))
		h.Write(number[:])
		h.Write(field)
	}
	integer := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	for _, field := range [][]byte{
		[]byte("audit.v1"), []byte(tenantID), integer(r.Seq), integer(r.At.UnixMicro()),
		[]byte(r.Actor), []byte(r.Action), []byte(r.Object), []byte(r.Detail), r.PrevHash,
	} {
		put(field)
	}
	return h.Sum(nil)
}
