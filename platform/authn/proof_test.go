package authn_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"basisdienste/platform/authn"
	"basisdienste/platform/fault"
)

// prover is a client with a key.
type prover struct {
	t   *testing.T
	alg jose.SignatureAlgorithm
	key any
}

func newProver(t *testing.T) *prover {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &prover{t, jose.ES256, key}
}

func (p *prover) thumbprint() string {
	p.t.Helper()
	key := jose.JSONWebKey{Key: p.key}
	public := key.Public()
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		p.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

func (p *prover) sign(typ string, embed bool, claims map[string]any) string {
	p.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: p.alg, Key: p.key}, (&jose.SignerOptions{EmbedJWK: embed}).WithType(jose.ContentType(typ)))
	if err != nil {
		p.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

func (p *prover) proof(claims map[string]any) string { return p.sign("dpop+jwt", true, claims) }

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Each point of RFC 9449 section 4.3 that a proof can miss.
func TestProofs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	const uri, token = "https://basis.example/xbezahldienste/status", "a.b.c"
	good := func() map[string]any {
		return map[string]any{"jti": rand.Text(), "htm": "GET", "htu": uri, "iat": now.Unix(), "ath": hashed(token)}
	}
	with := func(edits ...any) map[string]any {
		c := good()
		for i := 0; i+1 < len(edits); i += 2 {
			c[edits[i].(string)] = edits[i+1]
			if edits[i+1] == nil {
				delete(c, edits[i].(string))
			}
		}
		return c
	}
	p, other := newProver(t), newProver(t)
	short, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weak := &prover{t, jose.PS256, short}
	symmetric := &prover{t, jose.HS256, make([]byte, 32)}
	foreign := strings.Split(other.proof(good()), ".")
	mixed := strings.Split(p.proof(good()), ".")
	for _, c := range []struct {
		name   string
		proofs []string
		ok     bool
	}{
		{"good", []string{p.proof(good())}, true},
		{"query and fragment do not count", []string{p.proof(with("htu", "HTTPS://BASIS.example:443/xbezahldienste/status?a=1#b"))}, true},
		{"a clock a bit ahead", []string{p.proof(with("iat", now.Add(20*time.Second).Unix()))}, true},
		{"none", nil, false},
		{"two", []string{p.proof(good()), p.proof(good())}, false},
		{"no JWT", []string{"abc"}, false},
		{"too long", []string{p.proof(with("x", strings.Repeat("x", 9000)))}, false},
		{"another type", []string{p.sign("JWT", true, good())}, false},
		{"symmetric", []string{symmetric.sign("dpop+jwt", false, good())}, false},
		{"no key", []string{p.sign("dpop+jwt", false, good())}, false},
		{"a short key", []string{weak.proof(good())}, false},
		{"signed by another key", []string{mixed[0] + "." + mixed[1] + "." + foreign[2]}, false},
		{"no jti", []string{p.proof(with("jti", nil))}, false},
		{"a long jti", []string{p.proof(with("jti", strings.Repeat("x", 300)))}, false},
		{"another method", []string{p.proof(with("htm", "POST"))}, false},
		{"another path", []string{p.proof(with("htu", uri+"/x"))}, false},
		{"another host", []string{p.proof(with("htu", "https://evil.example/xbezahldienste/status"))}, false},
		{"not encrypted", []string{p.proof(with("htu", "http://basis.example/xbezahldienste/status"))}, false},
		{"no iat", []string{p.proof(with("iat", nil))}, false},
		{"too old", []string{p.proof(with("iat", now.Add(-3*time.Minute).Unix()))}, false},
		{"of the future", []string{p.proof(with("iat", now.Add(time.Minute).Unix()))}, false},
		{"no ath", []string{p.proof(with("ath", nil))}, false},
		{"ath of another token", []string{p.proof(with("ath", hashed("x")))}, false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, uri, nil)
		r.Header["Dpop"] = c.proofs
		got, err := authn.NewProofs(func() time.Time { return now }).Check(r, uri, token)
		switch {
		case c.ok && (err != nil || got != p.thumbprint()):
			t.Errorf("%s: Check() = %q, %v; want %q", c.name, got, err, p.thumbprint())
		case !c.ok && !fault.Is(err, "dpop_proof_invalid"):
			t.Errorf("%s: Check() = %q, %v; want dpop_proof_invalid", c.name, got, err)
		}
	}
}

func TestProofs_AreGoodOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	proofs := authn.NewProofs(func() time.Time { return now })
	const uri = "https://basis.example/token"
	p := newProver(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, uri, nil)
	claims := map[string]any{"jti": "1", "htm": "POST", "htu": uri, "iat": now.Unix()}
	check := func(what, proof, want string) {
		t.Helper()
		r.Header.Set(authn.ProofHeader, proof)
		if _, err := proofs.Check(r, uri, ""); (err == nil) != (want == "") || (err != nil && !fault.Is(err, want)) {
			t.Errorf("%s: Check() = %v, want %q", what, err, want)
		}
	}
	first := p.proof(claims)
	check("the first time", first, "")
	check("again", first, "dpop_proof_invalid")
	check("another proof with its jti", p.proof(claims), "dpop_proof_invalid")
	check("another client with that jti", newProver(t).proof(claims), "")
	now = now.Add(3 * time.Minute)
	check("when it is old", first, "dpop_proof_invalid")
	claims["iat"] = now.Unix()
	check("a jti that nobody remembers", p.proof(claims), "")
}

// A bound token is worth nothing without its key. The request comes through a proxy: the address
// that counts is the public one.
func TestGuard_BoundTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner, thief := newProver(t), newProver(t)
	const path, inner = "/xbezahldienste/status", "http://10.0.0.5:8080"
	bound := w.sign(w.claims("/operator/auth", "cnf", map[string]string{"jkt": owner.thumbprint()}))
	plain := w.sign(w.claims("/operator/auth"))
	proofAt := func(p *prover, token, at string) string {
		return p.proof(map[string]any{"jti": rand.Text(), "htm": "GET", "htu": at + path, "iat": w.clock().Unix(), "ath": hashed(token)})
	}
	proof := func(p *prover, token string) string { return proofAt(p, token, base) }
	for _, c := range []struct{ name, authorization, proof, want string }{
		{"scheme DPoP", "DPoP " + bound, proof(owner, bound), ""},
		{"scheme Bearer with a proof, as in the field", "Bearer " + bound, proof(owner, bound), ""},
		{"without a proof", "Bearer " + bound, "", "dpop_proof_missing"},
		{"scheme DPoP without a proof", "DPoP " + bound, "", "dpop_proof_missing"},
		{"a thief with a key of his own", "DPoP " + bound, proof(thief, bound), "dpop_proof_invalid"},
		{"a proof for the address behind the proxy", "DPoP " + bound, proofAt(owner, bound, inner), "dpop_proof_invalid"},
		{"a proof for another token", "DPoP " + bound, proof(owner, plain), "dpop_proof_invalid"},
		{"a token that is not bound", "Bearer " + plain, "", ""},
		{"a token that is not bound, with a proof", "DPoP " + plain, proof(owner, plain), "token_not_bound"},
		{"a token that is not bound, with scheme DPoP", "DPoP " + plain, "", "token_not_bound"},
		{"another scheme", "Token " + plain, "", "token_missing"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, inner+path, nil)
		r.Header.Set("Authorization", c.authorization)
		if c.proof != "" {
			r.Header.Set(authn.ProofHeader, c.proof)
		}
		if err := through(w, r); (err == nil) != (c.want == "") || (err != nil && !fault.Is(err, c.want)) {
			t.Errorf("%s: guard = %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := w.v.Verify(t.Context(), bound); !fault.Is(err, "token_invalid") {
		t.Errorf("Verify of a bound token = %v, want token_invalid", err)
	}
}

// through asks a guard without scopes.
func through(w *world, r *http.Request) error {
	guarded := w.v.Guard()(func(context.Context, any) (any, error) { return nil, nil })
	_, err := guarded(r.Context(), r)
	return err
}
