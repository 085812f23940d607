// Package page bounds and continues lists: pages with cursors that a client can carry but
// not make up.
//
// A list is read from a position on ("after this time and id"), never from a number of rows
// on, so that nothing is shown twice or left out when rows come and go. The cursor is that
// position, signed. It is not secret: it holds ids, times and numbers only.
package page

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"basisdienste/platform/fault"
)

// List is one page of a list. Next is the cursor of the next page, empty on the last.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// MarshalJSON writes an empty list as [], never as null.
func (l List[T]) MarshalJSON() ([]byte, error) {
	type plain List[T]
	if l.Items == nil {
		l.Items = []T{}
	}
	return json.Marshal(plain(l))
}

// Limit reads a limit parameter: def if s is empty, otherwise 1 to most.
// Error: invalid_limit.
func Limit(s string, def, most int) (int, error) {
	if s == "" {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, fault.Invalid("invalid_limit", "limit is a number from 1 to %d", most)
	}
	return n, nil
}

// Cut makes a page of rows that were read with LIMIT limit+1: the row too many is taken off
// and says that there is a next page, after the position of the last row that stays.
func Cut[T any](s Signer, rows []T, limit int, position func(last T) any) (List[T], error) {
	if len(rows) <= limit {
		return List[T]{Items: rows}, nil
	}
	rows = rows[:limit]
	next, err := s.Encode(position(rows[limit-1]))
	return List[T]{Items: rows, Next: next}, err
}

const (
	signature = 16 // bytes of the HMAC-SHA256 that are kept (RFC 2104 section 5 allows half)
	maxCursor = 512
)

// Signer makes and checks cursors. It is safe for concurrent use.
type Signer struct{ key []byte }

// NewSigner signs with the key, of at least 16 random bytes; every process that serves the
// list has the same.
func NewSigner(key []byte) Signer { return Signer{key: key} }

// For returns the signer of one list. A cursor of another, with another name or filter, is
// refused there. Name the list first, then what restricts it: the tenant, a status.
func (s Signer) For(list ...string) Signer {
	m := hmac.New(sha256.New, s.key)
	var length [8]byte
	for _, part := range list {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		m.Write(length[:])
		m.Write([]byte(part))
	}
	return Signer{key: m.Sum(nil)}
}

// Encode returns the cursor, of at most 512 characters, for a position: a value that
// survives JSON. An error is our mistake: no position is that long.
func (s Signer) Encode(position any) (string, error) {
	b, err := json.Marshal(position)
	if err != nil {
		return "", fmt.Errorf("encode cursor: %w", err)
	}
	if n := base64.RawURLEncoding.EncodedLen(signature + len(b)); n > maxCursor {
		return "", fmt.Errorf("encode cursor: %d characters, at most %d are allowed", n, maxCursor)
	}
	return base64.RawURLEncoding.EncodeToString(append(s.sign(b), b...)), nil
}

// Decode reads a cursor into position, a pointer to what Encode was given. An empty cursor
// leaves it as it is. Error: invalid_cursor, also for a cursor of an older version of the
// program whose positions looked otherwise.
func (s Signer) Decode(cursor string, position any) error {
	if cursor == "" {
		return nil
	}
	if err := s.decode(cursor, position); err != nil {
		return fault.Invalid("invalid_cursor", "the cursor is not one that this list gave out; start again without it").Because(err)
	}
	return nil
}

func (s Signer) decode(cursor string, position any) error {
	if len(cursor) > maxCursor || strings.ContainsAny(cursor, "\r\n") { // base64 skips line ends
		return fmt.Errorf("%d characters, or several lines", len(cursor))
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return err
	}
	if len(b) <= signature || !hmac.Equal(b[:signature], s.sign(b[signature:])) {
		return fmt.Errorf("wrong signature")
	}
	dec := json.NewDecoder(bytes.NewReader(b[signature:]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(position); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("more than one value")
	}
	return nil
}

func (s Signer) sign(b []byte) []byte {
	m := hmac.New(sha256.New, s.key)
	m.Write(b)
	return m.Sum(nil)[:signature:signature]
}
