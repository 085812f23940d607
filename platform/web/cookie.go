package web

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"basisdienste/platform/tenant"
)

// Cookie keeps a small value in the browser that nobody there can read or change. Each
// tenant has its own: the tenant's slug is part of the cookie's name, and a cookie of one
// tenant or name is worthless under another. It is HttpOnly, SameSite=Lax, for the whole
// host, and with https Secure under the prefix __Host-.
type Cookie struct {
	site   *Site
	name   string
	maxAge time.Duration
}

// maxCookie keeps name, value and attributes below the 4096 bytes that browsers take.
const maxCookie = 3800

// Cookie returns the cookie with the name. A value older than maxAge is not taken, whatever
// the browser does.
func (s *Site) Cookie(name string, maxAge time.Duration) Cookie {
	return Cookie{site: s, name: name, maxAge: maxAge}
}

func (c Cookie) fullName(r *http.Request) string {
	name := "basis_" + c.name
	if t, ok := tenant.From(r.Context()); ok && t.Slug != "" {
		name += "-" + t.Slug
	}
	if c.site.secure {
		return "__Host-" + name
	}
	return name
}

// Set seals v as JSON. It fails when v does not fit into a cookie.
func (c Cookie) Set(w http.ResponseWriter, r *http.Request, v any) error {
	plain, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cookie %s: %w", c.name, err)
	}
	expires := c.site.clock().Add(c.maxAge)
	name := c.fullName(r)
	value, err := seal(c.site.key, name, binary.BigEndian.AppendUint64(nil, uint64(max(expires.Unix(), 0))), plain)
	if err != nil {
		return fmt.Errorf("cookie %s: %w", c.name, err)
	}
	if len(name)+len(value) > maxCookie {
		return fmt.Errorf("cookie %s: %d bytes do not fit", c.name, len(name)+len(value))
	}
	c.put(w, name, value, int(c.maxAge.Seconds()))
	return nil
}

// Get fills dst and reports whether the request had the cookie, sealed by us, for this
// tenant, and not expired.
func (c Cookie) Get(r *http.Request, dst any) bool {
	name := c.fullName(r)
	cookie, err := r.Cookie(name)
	if err != nil {
		return false
	}
	expires, plain, err := open(c.site.key, name, cookie.Value)
	if err != nil || uint64(max(c.site.clock().Unix(), 0)) >= binary.BigEndian.Uint64(expires) {
		return false
	}
	return json.Unmarshal(plain, dst) == nil
}

// Clear makes the browser forget the cookie.
func (c Cookie) Clear(w http.ResponseWriter, r *http.Request) { c.put(w, c.fullName(r), "", -1) }

func (c Cookie) put(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is set wherever the site is reached by https
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		Secure: c.site.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

const (
	saltSize   = 16
	expirySize = 8
)

// seal encrypts plain with AES-256-GCM under a key and nonce made for this message alone
// (HKDF-SHA256 of the master key and a random salt), so that no number of cookies wears
// the key out. head is authenticated, not hidden.
func seal(key []byte, name string, head, plain []byte) (string, error) {
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails since Go 1.24
	aead, nonce, err := messageKey(key, salt, name)
	if err != nil {
		return "", err
	}
	out := append(salt, head...)
	return base64.RawURLEncoding.EncodeToString(aead.Seal(out, nonce, plain, head)), nil
}

func open(key []byte, name, value string) (head, plain []byte, err error) {
	b, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return nil, nil, err
	}
	if len(b) < saltSize+expirySize {
		return nil, nil, errors.New("too short")
	}
	aead, nonce, err := messageKey(key, b[:saltSize], name)
	if err != nil {
		return nil, nil, err
	}
	head = b[saltSize : saltSize+expirySize]
	plain, err = aead.Open(nil, nonce, b[saltSize+expirySize:], head)
	return head, plain, err
}

func messageKey(key, salt []byte, name string) (cipher.AEAD, []byte, error) {
	material, err := hkdf.Key(sha256.New, key, salt, "basisdienste cookie "+name, 32+12)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(material[:32])
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, material[32:], err
}

// flash is a message for the next page.
type flash struct{ Kind, Text string }

const flashMaxAge = 5 * time.Minute

// Flash shows text, in the reader's language already, on top of the page that the reader
// sees next (after a redirect) and only there. Kind is as of an alert: info, success,
// warning, danger.
func (s *Site) Flash(w http.ResponseWriter, r *http.Request, kind, text string) {
	if err := s.Cookie("flash", flashMaxAge).Set(w, r, flash{Kind: kind, Text: text}); err != nil {
		s.log.ErrorContext(r.Context(), "flash message lost", "err", err)
	}
}

// takeFlash returns the message and forgets it.
func (s *Site) takeFlash(w http.ResponseWriter, r *http.Request) *flash {
	c := s.Cookie("flash", flashMaxAge)
	var f flash
	if !c.Get(r, &f) {
		return nil
	}
	c.Clear(w, r)
	return &f
}
