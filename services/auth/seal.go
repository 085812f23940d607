package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"basisdienste/platform/id"
)

// secrets are the keys that never leave this service, all made from one master secret.
type secrets struct {
	seal    []byte // private keys and profiles in the database
	subject []byte // pairwise subjects
	account []byte // names of accounts in password_failures
	page    []byte // cookies of pages
	cursor  []byte
}

func newSecrets(master []byte) (s secrets, err error) {
	for name, key := range map[string]*[]byte{"seal": &s.seal, "subject": &s.subject, "account": &s.account, "page": &s.page, "cursor": &s.cursor} {
		if *key, err = hkdf.Key(sha256.New, master, nil, "basisdienste auth "+name, 32); err != nil {
			return s, fmt.Errorf("derive key %s: %w", name, err)
		}
	}
	return s, nil
}

// sealed encrypts with AES-256-GCM. Each message has a key and nonce of its own, made from a
// random salt, so that their number does not matter. about says what it is and where it belongs: it is
// authenticated, so that a sealed value cannot be moved to another row.
func (s secrets) sealed(about string, plain []byte) ([]byte, error) {
	salt := make([]byte, 32)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	aead, nonce, err := s.cipher(salt)
	if err != nil {
		return nil, err
	}
	return aead.Seal(salt, nonce, plain, []byte(about)), nil
}

func (s secrets) opened(about string, sealed []byte) ([]byte, error) {
	if len(sealed) < 32 {
		return nil, errors.New("sealed value is too short")
	}
	aead, nonce, err := s.cipher(sealed[:32])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nonce, sealed[32:], []byte(about))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w; is it the master secret that it was sealed with?", about, err)
	}
	return plain, nil
}

func (s secrets) cipher(salt []byte) (aead cipher.AEAD, nonce []byte, err error) {
	material, err := hkdf.Key(sha256.New, s.seal, salt, "message", 32+12)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(material[:32])
	if err != nil {
		return nil, nil, err
	}
	aead, err = cipher.NewGCM(block)
	return aead, material[32:], err
}

// pairwise is the subject of a citizen at a tenant (OpenID Connect Core section 8.1, with the
// tenant as the sector): the same person has unlinkable subjects at two tenants.
func (s secrets) pairwise(at id.ID, provider, subject string) string {
	m := hmac.New(sha256.New, s.subject)
	for _, part := range []string{at.String(), provider, subject} {
		fmt.Fprintf(m, "%d:%s", len(part), part)
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:24])
}

// accountKey stands for the name of an account, whether it exists or not.
func (s secrets) accountKey(username string) string {
	m := hmac.New(sha256.New, s.account)
	m.Write([]byte(username))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:24])
}
