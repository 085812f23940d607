package authn

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	lru "github.com/hashicorp/golang-lru/v2"

	"basisdienste/platform/fault"
)

// ProofHeader carries a proof of possession (RFC 9449).
const ProofHeader = "DPoP"

const (
	proofType = "dpop+jwt"
	proofLife = 2 * time.Minute // that a proof is good for, from its iat
	maxProofs = 1 << 16         // that are remembered
	maxJTI    = 256             // bytes

	minRSABits = 3000 // BSI TR-02102-1
	maxRSABits = 8192 // what is longer costs too much
)

// SignatureAlgorithms are those that clients may sign with. RSASSA-PKCS1-v1_5 is left out (BSI
// TR-02102-1 advises against it).
func SignatureAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA}
}

// StrongKey reports whether a client's public key is long enough, and not so long that it harms.
func StrongKey(k jose.JSONWebKey) bool {
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits && key.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// Proofs checks that who sends a request holds a key (RFC 9449, DPoP). Each proof is good once
// at a process: it remembers the last 65,536 for as long as they are good, so that behind
// several processes a proof that was overheard can be used once at each, within two minutes,
// for the same method, address and token. It is safe for concurrent use.
type Proofs struct {
	clock func() time.Time
	used  *lru.Cache[[sha256.Size]byte, time.Time] // until when it would be good
}

// NewProofs remembers none.
func NewProofs(clock func() time.Time) *Proofs {
	used, err := lru.New[[sha256.Size]byte, time.Time](maxProofs)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	return &Proofs{clock: clock, used: used}
}

type proofClaims struct {
	ID       string           `json:"jti"`
	Method   string           `json:"htm"`
	URI      string           `json:"htu"`
	IssuedAt *jwt.NumericDate `json:"iat"`
	Token    string           `json:"ath"`
}

// Check returns the thumbprint (RFC 7638) of the key that signed the request's proof, after the
// checks of RFC 9449 section 4.3. uri is how the client names the address; token is the access
// token that the proof is for, empty at the token endpoint. Error: dpop_proof_invalid.
func (p *Proofs) Check(r *http.Request, uri, token string) (string, error) {
	proofs := r.Header.Values(ProofHeader)
	if len(proofs) != 1 || len(proofs[0]) > maxToken {
		return "", badProof(errors.New("want one header DPoP"))
	}
	jws, err := jose.ParseSignedCompact(proofs[0], SignatureAlgorithms())
	if err != nil {
		return "", badProof(err)
	}
	h := jws.Signatures[0].Header
	key := h.JSONWebKey
	if h.ExtraHeaders[jose.HeaderType] != proofType || key == nil || !key.IsPublic() || !StrongKey(*key) {
		return "", badProof(errors.New("typ is not dpop+jwt, or jwk is no public key that is strong enough"))
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return "", badProof(err)
	}
	var c proofClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", badProof(err)
	}
	if err := p.fits(c, r.Method, uri, token); err != nil {
		return "", badProof(err)
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", badProof(err)
	}
	thumbprint := base64.RawURLEncoding.EncodeToString(sum)
	if !p.first(thumbprint, c) {
		return "", badProof(errors.New("it was used before"))
	}
	return thumbprint, nil
}

// fits checks what the proof is for.
func (p *Proofs) fits(c proofClaims, method, uri, token string) error {
	now := p.clock()
	switch {
	case c.ID == "" || len(c.ID) > maxJTI || c.IssuedAt == nil:
		return errors.New("jti or iat is missing")
	case c.Method != method:
		return errors.New("htm is another method")
	case !sameAddress(c.URI, uri):
		return errors.New("htu is another address")
	case now.After(c.IssuedAt.Time().Add(proofLife)) || now.Add(clockSkew).Before(c.IssuedAt.Time()):
		return errors.New("iat is not now")
	case token != "" && c.Token != hashOf(token):
		return errors.New("ath is of another access token")
	}
	return nil
}

// first remembers the proof, and reports whether it is seen for the first time.
func (p *Proofs) first(thumbprint string, c proofClaims) bool {
	key := sha256.Sum256([]byte(thumbprint + " " + c.ID))
	until := c.IssuedAt.Time().Add(proofLife)
	if was, found, _ := p.used.PeekOrAdd(key, until); found {
		if !p.clock().After(was) {
			return false
		}
		p.used.Add(key, until)
	}
	return true
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sameAddress compares without query and fragment (RFC 9449 section 4.3, RFC 3986 section 6.2).
func sameAddress(a, b string) bool {
	x, err1 := url.Parse(a)
	y, err2 := url.Parse(b)
	return err1 == nil && err2 == nil && strings.EqualFold(x.Scheme, y.Scheme) && hostOf(x) == hostOf(y) &&
		(x.EscapedPath() == y.EscapedPath() || x.EscapedPath()+y.EscapedPath() == "/")
}

// hostOf leaves out the port that the scheme has anyway.
func hostOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch strings.ToLower(u.Scheme) {
	case "https":
		return strings.TrimSuffix(host, ":443")
	case "http":
		return strings.TrimSuffix(host, ":80")
	}
	return host
}

func badProof(cause error) error {
	return fault.Unauthenticated("dpop_proof_invalid", "the DPoP proof is not for this request; make a new one for each (RFC 9449)").Because(cause)
}
