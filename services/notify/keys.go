package notify

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// APIKey is a key as another API on top of this service checks it. Its text is
// NAME-SERVICE-SECRET as GOV.UK Notify's clients expect; the service id is the tenant's id.
type APIKey struct {
	ID      id.ID
	Name    string
	Secret  string
	Revoked bool
}

// maxKeys bounds the keys of a tenant that are not revoked; each is tried for a request.
const maxKeys = 20

// seal encrypts a secret for one tenant and key: moved elsewhere it cannot be opened.
func (s *Service) seal(tenant, key id.ID, secret string) ([]byte, error) {
	aead, err := s.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, []byte(secret), []byte(tenant+"/"+key)), nil
}

func (s *Service) unseal(tenant, key id.ID, sealed []byte) (string, error) {
	aead, err := s.aead()
	if err != nil {
		return "", err
	}
	if len(sealed) < aead.NonceSize() {
		return "", fmt.Errorf("api key %s: too short", key)
	}
	secret, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(tenant+"/"+key))
	if err != nil {
		return "", fmt.Errorf("api key %s: %w", key, err)
	}
	return string(secret), nil
}

func (s *Service) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.KeyKey)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// CreateKey makes an API key and shows it, this once. Error: too_many_api_keys.
func (s *Service) CreateKey(ctx context.Context, q KeyRequest) (out KeyCreated, err error) {
	err = s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		out.KeyView, err = s.createKey(ctx, tx, q.Name)
		return err
	})
	return out, err
}

func (s *Service) createKey(ctx context.Context, tx *db.Tx, name string) (KeyView, error) {
	rows, err := apiKeys(ctx, tx)
	if err != nil {
		return KeyView{}, err
	}
	live := 0
	for _, r := range rows {
		if r.RevokedAt == nil {
			live++
		}
	}
	if live >= maxKeys {
		return KeyView{}, fault.Conflict("too_many_api_keys", "a municipality has at most %d keys; revoke one that is not used any more", maxKeys)
	}
	k := apiKeyRow{ID: id.New(), Name: name, CreatedAt: tx.Now()}
	secret := randomUUID()
	if k.Sealed, err = s.seal(tx.Tenant(), k.ID, secret); err != nil {
		return KeyView{}, err
	}
	if err := insertAPIKey(ctx, tx, k, audit.Actor(ctx)); err != nil {
		return KeyView{}, err
	}
	v := keyView(k)
	v.Key = keyText(name, tx.Tenant(), secret)
	return v, audit.Record(ctx, tx, "api_key.create", k.ID.String(), map[string]string{"name": name})
}

// keyText is the key as clients are given it.
func keyText(name string, service id.ID, secret string) string {
	return name + "-" + service.String() + "-" + secret
}

// randomUUID is a UUID of version 4: 122 random bits, where a version 7 tells the time.
func randomUUID() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func keyView(k apiKeyRow) KeyView {
	v := KeyView{ID: k.ID, Name: k.Name, CreatedAt: k.CreatedAt.Time}
	if k.RevokedAt != nil {
		v.RevokedAt = &k.RevokedAt.Time
	}
	return v
}

// ListKeys shows the keys without their secrets.
func (s *Service) ListKeys(ctx context.Context, _ struct{}) (out KeyList, err error) {
	out.Items = []KeyView{}
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		rows, err := apiKeys(ctx, tx)
		for _, r := range rows {
			out.Items = append(out.Items, keyView(r))
		}
		return err
	})
	return out, err
}

// RevokeKey ends a key at once. Error: unknown_api_key.
func (s *Service) RevokeKey(ctx context.Context, q RevokeRequest) (KeyView, error) {
	var out KeyView
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		if err := revokeAPIKey(ctx, tx, q.ID); err != nil {
			return err
		}
		rows, err := apiKeys(ctx, tx)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.ID == q.ID {
				out = keyView(r)
			}
		}
		return audit.Record(ctx, tx, "api_key.revoke", q.ID.String(), nil)
	})
	return out, err
}

// APIKeys returns the keys of the tenant in ctx with their secrets, revoked ones too.
func (s *Service) APIKeys(ctx context.Context) (out []APIKey, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		out = out[:0]
		rows, err := apiKeys(ctx, tx)
		for _, r := range rows {
			secret, err := s.unseal(tx.Tenant(), r.ID, r.Sealed)
			if err != nil {
				return err
			}
			out = append(out, APIKey{ID: r.ID, Name: r.Name, Secret: secret, Revoked: r.RevokedAt != nil})
		}
		return err
	})
	return out, err
}
