package authn_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/discover"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

const base = "https://basis.example"

// world is a verifier, the issuers that it asks, and a clock.
type world struct {
	t     *testing.T
	v     *authn.Verifier
	dir   *tenantdir.Dir
	db    *db.DB
	local *discover.Local
	first *ecdsa.PrivateKey

	mu      sync.Mutex
	now     time.Time
	keys    map[string]*ecdsa.PrivateKey // by kid, of every issuer
	down    bool
	fetches int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), keys: map[string]*ecdsa.PrivateKey{}, local: discover.NewLocal()}
	w.addKey("k1")
	w.first = w.keys["k1"]
	w.db = dbtest.New(t, tenantdir.Migrations())
	w.dir = tenantdir.New(w.db, w.clock)
	w.local.Add("auth", http.HandlerFunc(w.serveKeys))
	w.v = authn.NewVerifier(base, w.local, w.dir, w.clock)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) addKey(kid string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	w.keys[kid] = key
}

func (w *world) serveKeys(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fetches++
	if w.down || !strings.HasSuffix(r.URL.Path, "/auth/keys") {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	var set jose.JSONWebKeySet
	for kid, k := range w.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.PublicKey, KeyID: kid, Algorithm: "ES256", Use: "sig"})
	}
	_ = json.NewEncoder(rw).Encode(set)
}

func (w *world) tenant(slug string, status tenantdir.Status) tenantdir.Entry {
	w.t.Helper()
	e := tenantdir.Entry{Tenant: tenant.Tenant{ID: id.New(), Slug: slug, Name: slug}, Status: status, Version: 1}
	ctx := tenant.With(w.t.Context(), e.Tenant)
	if err := w.db.Tx(ctx, func(tx *db.Tx) error { return w.dir.Apply(ctx, tx, e) }); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// claims are those of a good token of the issuer's path, changed by the pairs.
func (w *world) claims(path string, pairs ...any) map[string]any {
	now := w.clock()
	c := map[string]any{
		"iss": base + path, "sub": "s", "aud": "basisdienste", "client_id": "c", "scope": "a b", "kind": "client",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": id.New(), "roles": []string{}, "acr": "STORK-QAA-Level-3",
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		c[pairs[i].(string)] = pairs[i+1]
		if pairs[i+1] == nil {
			delete(c, pairs[i].(string))
		}
	}
	return c
}

func (w *world) sign(claims map[string]any, header ...any) string {
	w.t.Helper()
	h := map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
	for i := 0; i+1 < len(header); i += 2 {
		h[header[i].(string)] = header[i+1]
		if header[i+1] == nil {
			delete(h, header[i].(string))
		}
	}
	key := w.first
	if kid, ok := h["kid"].(string); ok && w.keys[kid] != nil {
		key = w.keys[kid]
	}
	hb, _ := json.Marshal(h)
	cb, _ := json.Marshal(claims)
	text := base64.RawURLEncoding.EncodeToString(hb) + "." + base64.RawURLEncoding.EncodeToString(cb)
	sum := crypto.SHA256.New()
	sum.Write([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum.Sum(nil))
	if err != nil {
		w.t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Code
}

func must(e tenantdir.Entry, err error) tenantdir.Entry {
	if err != nil {
		panic(err)
	}
	return e
}
