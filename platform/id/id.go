// Package id makes and checks identifiers: UUIDs of version 7 (RFC 9562), sortable by the
// time they were made, and random secrets.
package id

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/google/uuid"

	"basisdienste/platform/fault"
)

// ID is a UUID in its canonical lower-case text form of 36 characters; "" is no id.
type ID string

// New returns a new UUIDv7. It is safe for concurrent use.
func New() ID { return ID(uuid.Must(uuid.NewV7()).String()) }

// Parse returns the id in canonical form. Error: invalid_id.
func Parse(s string) (ID, error) {
	if len(s) != 36 {
		return "", fault.Invalid("invalid_id", "an id has 36 characters, for example %s", "0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d")
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return "", fault.Invalid("invalid_id", "an id has 36 characters, for example %s", "0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d")
	}
	return ID(u.String()), nil
}

func (i ID) String() string { return string(i) }

// Secret returns n random bytes as base64url text without padding. 16 bytes cannot be
// guessed; 32 bytes are used for keys.
func Secret(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b)
}
