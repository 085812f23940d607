// Package id makes and checks identifiers: UUIDs of version 7 (RFC 9562), sortable by the
// time they were made, and random secrets.
package id

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"

	"github.com/google/uuid"

	"basisdienste/platform/fault"
)

// ID is a UUID in its canonical lower-case text form of 36 characters; "" is no id.
type ID string

// entropy spares New a system call each time: random bytes are read in blocks, and each is
// given out once.
var entropy struct {
	mu   sync.Mutex
	pool [64 * randomBytes]byte
	left int // at the pool's end
}

const randomBytes = 8

// New returns a new UUIDv7 (RFC 9562 section 5.7): milliseconds since 1970, then twelve bits
// of their fraction (method 3), then 62 random bits. It is safe for concurrent use. Ids sort by
// the time they were made, to a quarter of a microsecond; it is no secret that cannot be guessed.
func New() ID { return newAt(time.Now()) }

func newAt(now time.Time) ID {
	var u [16]byte
	nanos := uint64(max(now.UnixNano(), 0))
	ms := nanos / 1e6
	binary.BigEndian.PutUint64(u[:8], ms<<16|0x7000|(nanos%1e6)<<12/1e6)
	random(u[8:])
	u[8] = u[8]&0x3f | 0x80 // variant
	var text [36]byte
	hex.Encode(text[0:8], u[0:4])
	hex.Encode(text[9:13], u[4:6])
	hex.Encode(text[14:18], u[6:8])
	hex.Encode(text[19:23], u[8:10])
	hex.Encode(text[24:36], u[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return ID(text[:])
}

func random(b []byte) {
	entropy.mu.Lock()
	defer entropy.mu.Unlock()
	if entropy.left == 0 {
		rand.Read(entropy.pool[:]) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
		entropy.left = len(entropy.pool)
	}
	start := len(entropy.pool) - entropy.left
	copy(b, entropy.pool[start:start+randomBytes])
	clear(entropy.pool[start : start+randomBytes])
	entropy.left -= randomBytes
}

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
	rand.Read(b) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b)
}
