// Package page bounds and continues lists: cursors that a client can carry but not make up.
package page

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"

	"basisdienste/platform/fault"
)

// List is one page of a list. Next is the cursor of the next page, empty after the last.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// Limit reads a limit parameter: def if s is empty, otherwise 1 to max.
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

// Signer makes and checks cursors. It is safe for concurrent use.
type Signer struct{ key []byte }

// NewSigner signs with the key; every process that serves the list has the same.
func NewSigner(key []byte) Signer { return Signer{key: key} }

const (
	signature = 16
	maxCursor = 512
)

// Encode returns the cursor that carries v, which must survive JSON.
func (s Signer) Encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(s.sign(b), b...)), nil
}

// Decode reads a cursor into v. An empty cursor leaves v as it is. Error: invalid_cursor.
func (s Signer) Decode(cursor string, v any) error {
	if cursor == "" {
		return nil
	}
	bad := fault.Invalid("invalid_cursor", "the cursor is not one that this list gave out; start again without it")
	if len(cursor) > maxCursor {
		return bad
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) <= signature || !hmac.Equal(b[:signature], s.sign(b[signature:])) {
		return bad
	}
	if err := json.Unmarshal(b[signature:], v); err != nil {
		return bad.Because(err)
	}
	return nil
}

func (s Signer) sign(b []byte) []byte {
	m := hmac.New(sha256.New, s.key)
	m.Write(b)
	return m.Sum(nil)[:signature]
}
