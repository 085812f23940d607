package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"basisdienste/platform/db"
	"basisdienste/platform/page"
)

// Query selects entries. The zero value of Object selects all.
type Query struct {
	Object string
	Cursor string
	Limit  int // at least 1
}

const columns = `seq, at, actor, action, object, detail, prev_hash, hash`

// List returns the tenant's entries, the newest first. Error: invalid_cursor, also if the
// cursor was given out for another tenant or object.
func List(ctx context.Context, tx *db.Tx, s page.Signer, q Query) (page.List[Entry], error) {
	if tx.Tenant() == "" {
		return page.List[Entry]{}, errNoTenant
	}
	s = s.For("audit", tx.Tenant().String(), q.Object)
	before := int64(1 << 62)
	if err := s.Decode(q.Cursor, &before); err != nil {
		return page.List[Entry]{}, err
	}
	query, args := `SELECT `+columns+` FROM audit_log WHERE tenant_id = ? AND seq < ?`, []any{tx.Tenant(), before}
	if q.Object != "" {
		query, args = query+` AND object = ?`, append(args, q.Object)
	}
	var rows []row
	if err := tx.Select(ctx, &rows, query+` ORDER BY seq DESC LIMIT ?`, append(args, q.Limit+1)...); err != nil {
		return page.List[Entry]{}, fmt.Errorf("list the audit log: %w", err)
	}
	entries := make([]Entry, len(rows))
	for i, r := range rows {
		entries[i] = Entry{
			Seq: r.Seq, At: r.At, Actor: r.Actor, Action: r.Action, Object: r.Object,
			Detail: json.RawMessage(r.Detail), Hash: hex.EncodeToString(r.Hash),
		}
	}
	return page.Cut(s, entries, q.Limit, func(last Entry) any { return last.Seq })
}

// BrokenError says where the log of a tenant is no longer what was written.
type BrokenError struct {
	Seq    int64 // the first entry that is not in order
	Reason string
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("audit: entry %d: %s", e.Seq, e.Reason)
}

// verifyBatch is how many entries are read at a time.
const verifyBatch = 1000

// Verify reads the whole log of the context's tenant up to its end at the time of the call,
// while others may go on writing, and returns how many entries are in order. The error is a
// *BrokenError if one is not.
func Verify(ctx context.Context, d *db.DB) (n int, err error) {
	var end head
	var newest int64
	err = d.Read(ctx, func(tx *db.Tx) error {
		if tx.Tenant() == "" {
			return errNoTenant
		}
		end = head{Hash: make([]byte, sha256.Size)}
		err := tx.Get(ctx, &end, `SELECT seq, hash FROM audit_head WHERE tenant_id = ?`, tx.Tenant())
		if err != nil && !errors.Is(err, db.ErrNoRows) {
			return err
		}
		return tx.Get(ctx, &newest, `SELECT COALESCE(MAX(seq), 0) FROM audit_log WHERE tenant_id = ?`, tx.Tenant())
	})
	if err != nil {
		return 0, fmt.Errorf("read the end of the audit log: %w", err)
	}
	last := head{Hash: make([]byte, sha256.Size)}
	for last.Seq < end.Seq {
		var next head
		var broken *BrokenError
		if err := d.Read(ctx, func(tx *db.Tx) (err error) {
			next, broken, err = verifyFrom(ctx, tx, last, end.Seq)
			return err
		}); err != nil {
			return int(last.Seq), fmt.Errorf("read the audit log: %w", err)
		}
		last = next
		if broken != nil {
			return int(last.Seq), broken
		}
	}
	switch {
	case newest > end.Seq:
		return int(last.Seq), &BrokenError{Seq: end.Seq + 1, Reason: "it is not part of the chain, which ends before it"}
	case !bytes.Equal(last.Hash, end.Hash):
		return int(last.Seq) - 1, &BrokenError{Seq: last.Seq, Reason: "it is not the entry that the chain ends with"}
	}
	return int(last.Seq), nil
}

// verifyFrom checks the next entries after last, up to the end, and returns the last good one.
func verifyFrom(ctx context.Context, tx *db.Tx, last head, end int64) (head, *BrokenError, error) {
	var rows []row
	if err := tx.Select(ctx, &rows, `SELECT `+columns+` FROM audit_log WHERE tenant_id = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
		tx.Tenant(), last.Seq, end, verifyBatch); err != nil {
		return last, nil, err
	}
	if len(rows) == 0 {
		return last, &BrokenError{Seq: last.Seq + 1, Reason: "it is missing"}, nil
	}
	for _, r := range rows {
		switch want := last.Seq + 1; {
		case r.Seq != want:
			return last, &BrokenError{Seq: want, Reason: "it is missing"}, nil
		case !bytes.Equal(r.PrevHash, last.Hash):
			return last, &BrokenError{Seq: want, Reason: "it does not follow the entry before it"}, nil
		case !bytes.Equal(r.Hash, r.sum(tx.Tenant())):
			return last, &BrokenError{Seq: want, Reason: "its content was changed"}, nil
		}
		last = head{Seq: r.Seq, Hash: r.Hash}
	}
	return last, nil, nil
}
