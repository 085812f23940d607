package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	lru "github.com/hashicorp/golang-lru/v2"

	"basisdienste/platform/audit"
	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

// keyRow is a signing key as it is stored.
type keyRow struct {
	Generation int64    `db:"generation"`
	KID        string   `db:"kid"`
	Sealed     []byte   `db:"sealed"` // PKCS #8
	CreatedAt  db.Time  `db:"created_at"`
	SignsFrom  db.Time  `db:"signs_from"`
	GoneAt     *db.Time `db:"gone_at"`
}

func (k keyRow) gone(now time.Time) bool { return k.GoneAt != nil && !now.Before(k.GoneAt.Time) }

// signingKey is a key that is ready for use.
type signingKey struct {
	keyRow
	access jose.Signer // typ at+jwt
	id     jose.Signer // typ JWT
	public jose.JSONWebKey
}

// keyRing is the keys of one issuer, oldest first.
type keyRing []*signingKey

// signing is the newest key whose time has come, or nil.
func (r keyRing) signing(now time.Time) *signingKey {
	for i := len(r) - 1; i >= 0; i-- {
		if !now.Before(r[i].SignsFrom.Time) && !r[i].gone(now) {
			return r[i]
		}
	}
	return nil
}

// published is what /keys serves: also keys that do not sign yet, or no longer.
func (r keyRing) published(now time.Time) jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range r {
		if !k.gone(now) {
			set.Keys = append(set.Keys, k.public)
		}
	}
	return set
}

func (r keyRing) byID(kid string, now time.Time) *signingKey {
	for _, k := range r {
		if k.KID == kid && !k.gone(now) {
			return k
		}
	}
	return nil
}

// keyStore makes and keeps the keys of the issuers. It is safe for concurrent use.
type keyStore struct {
	db      *db.DB
	secrets secrets
	clock   func() time.Time
	lead    time.Duration // a key is published this long before it signs
	keep    time.Duration // and after it signed: the longest life of a token
	rings   *lru.Cache[id.ID, cachedRing]
}

type cachedRing struct {
	ring  keyRing
	until time.Time
}

const (
	ringsCached = 4096
	ringsFresh  = 10 * time.Second // less than any lead
)

func newKeyStore(d *db.DB, s secrets, clock func() time.Time, lead, keep time.Duration) (*keyStore, error) {
	rings, err := lru.New[id.ID, cachedRing](ringsCached)
	return &keyStore{db: d, secrets: s, clock: clock, lead: lead, keep: keep, rings: rings}, err
}

// ring returns the keys of the tenant's issuer; the first call makes one.
func (s *keyStore) ring(ctx context.Context) (keyRing, error) {
	t, _ := tenant.From(ctx)
	now := s.clock()
	if c, ok := s.rings.Get(t.ID); ok && now.Before(c.until) && c.ring.signing(now) != nil {
		return c.ring, nil
	}
	rows, err := s.rows(ctx)
	if err != nil {
		return nil, err
	}
	if !anySigns(rows, now) {
		if err := s.add(ctx, 0, false); err != nil && !db.IsUnique(err) { // unique: another process was first
			return nil, err
		}
		if rows, err = s.rows(ctx); err != nil {
			return nil, err
		}
		now = s.clock() // the new key signs from its making on
	}
	ring := make(keyRing, 0, len(rows))
	for _, row := range rows {
		k, err := s.open(t.ID, row)
		if err != nil {
			return nil, err
		}
		ring = append(ring, k)
	}
	if ring.signing(now) == nil {
		return nil, errors.New("no key signs")
	}
	s.rings.Add(t.ID, cachedRing{ring, now.Add(ringsFresh)})
	return ring, nil
}

func anySigns(rows []keyRow, now time.Time) bool {
	for _, r := range rows {
		if !now.Before(r.SignsFrom.Time) && !r.gone(now) {
			return true
		}
	}
	return false
}

func (s *keyStore) rows(ctx context.Context) (rows []keyRow, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		rows, err = selectKeys(ctx, tx)
		return err
	})
	return rows, err
}

// add makes a key that signs after lead. With replace it takes over from the others: they
// stay published until their last token has expired, or go at once if lead is 0.
func (s *keyStore) add(ctx context.Context, lead time.Duration, replace bool) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	t, _ := tenant.From(ctx)
	kid := id.New().String()
	sealed, err := s.secrets.sealed(aboutKey(t.ID, kid), der)
	if err != nil {
		return err
	}
	defer s.rings.Remove(t.ID)
	return s.db.Tx(ctx, func(tx *db.Tx) error {
		rows, err := selectKeys(ctx, tx)
		if err != nil {
			return err
		}
		now := tx.Now()
		if !replace && anySigns(rows, now.Time) {
			return nil // another request was first
		}
		var last int64
		for _, r := range rows {
			last = max(last, r.Generation)
			if replace && now.Before(r.SignsFrom.Time) && lead > 0 {
				return fault.Conflict("rotation_under_way", "the next key is published already and signs soon; wait until then, or rotate immediately")
			}
		}
		from := db.NewTime(now.Add(lead))
		if replace {
			gone := db.NewTime(from.Add(s.keep))
			if lead == 0 {
				gone = now
			}
			if err := retireKeys(ctx, tx, gone); err != nil {
				return err
			}
		}
		err = insertKey(ctx, tx, keyRow{Generation: last + 1, KID: kid, Sealed: sealed, CreatedAt: now, SignsFrom: from})
		if err != nil || !replace {
			return err
		}
		return audit.Record(ctx, tx, "key.rotated", "key:"+kid, map[string]any{"immediately": lead == 0})
	})
}

// rotate brings the next key. Normally it is published now and signs after the lead, when
// every verifier has seen it; the old key stays until its last token has expired, so that
// nobody notices. Immediately is for a key that is no longer secret: the old key goes at
// once, and every token that it signed with it. Error: rotation_under_way.
func (s *keyStore) rotate(ctx context.Context, immediately bool) (keyRing, error) {
	if _, err := s.ring(ctx); err != nil { // the first use makes the first key
		return nil, err
	}
	lead := s.lead
	if immediately {
		lead = 0
	}
	if err := s.add(ctx, lead, true); err != nil {
		return nil, err
	}
	return s.ring(ctx)
}

func aboutKey(at id.ID, kid string) string { return "signing key " + kid + " of " + at.String() }

func (s *keyStore) open(at id.ID, row keyRow) (*signingKey, error) {
	der, err := s.secrets.opened(aboutKey(at, row.KID), row.Sealed)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", row.KID, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("signing key %s is no EC key", row.KID)
	}
	k := &signingKey{keyRow: row, public: jose.JSONWebKey{Key: &key.PublicKey, KeyID: row.KID, Algorithm: string(jose.ES256), Use: "sig"}}
	for typ, signer := range map[jose.ContentType]*jose.Signer{authn.TokenType: &k.access, "JWT": &k.id} {
		*signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: row.KID}},
			(&jose.SignerOptions{}).WithType(typ))
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", row.KID, err)
		}
	}
	return k, nil
}
