package authn

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	lru "github.com/hashicorp/golang-lru/v2"

	"basisdienste/platform/discover"
	"basisdienste/platform/fault"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

// Audience of our access tokens.
const Audience = "basisdienste"

// TokenType is the typ header of an access token (RFC 9068 section 2.1).
const TokenType = "at+jwt"

// Levels of assurance as acr values, by STORK-QAA number.
const acrPrefix = "STORK-QAA-Level-"

// ACR returns the acr value of a level: "STORK-QAA-Level-3".
func ACR(level int) string { return fmt.Sprintf("%s%d", acrPrefix, level) }

// LevelOf returns the level of an acr value, and 0 for others.
func LevelOf(acr string) int {
	switch acr {
	case acrPrefix + "1":
		return 1
	case acrPrefix + "3":
		return 3
	case acrPrefix + "4":
		return 4
	}
	return 0
}

const (
	maxToken    = 8 << 10
	cacheSize   = 8192
	leeway      = 5 * time.Second  // of the expiry
	clockSkew   = 30 * time.Second // a clock may be so far behind the issuer's
	keysFresh   = 10 * time.Minute
	keysAgain   = 5 * time.Second // an unknown kid asks again, but not more often
	maxKeysBody = 64 << 10
)

// Verifier checks access tokens against the keys of their issuer. Tokens that were found
// good are remembered until they expire. It is safe for concurrent use.
type Verifier struct {
	baseURL  string
	services discover.Services
	dir      *tenantdir.Dir
	clock    func() time.Time

	good   *lru.Cache[[sha256.Size]byte, verified]
	keys   *lru.Cache[string, *issuerKeys]
	proofs *Proofs
}

type verified struct {
	principal Principal
	expiry    time.Time
}

type issuerKeys struct {
	mu      sync.Mutex
	set     jose.JSONWebKeySet
	fetched time.Time // when set was read
	asked   time.Time // when it was last asked for, with success or without
	failure error     // of the last time
}

// NewVerifier trusts the issuers below baseURL: /t/<slug>/auth and /operator/auth.
func NewVerifier(baseURL string, services discover.Services, dir *tenantdir.Dir, clock func() time.Time) *Verifier {
	good, err := lru.New[[sha256.Size]byte, verified](cacheSize)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	keys, err := lru.New[string, *issuerKeys](cacheSize)
	if err != nil {
		panic(err)
	}
	return &Verifier{baseURL: strings.TrimSuffix(baseURL, "/"), services: services, dir: dir, clock: clock, good: good, keys: keys, proofs: NewProofs(clock)}
}

type claims struct {
	jwt.Claims
	Principal
	Scope string `json:"scope"`
	ACR   string `json:"acr"`
	Bound struct {
		Key  string `json:"jkt"`
		Cert string `json:"x5t#S256"`
	} `json:"cnf"`
}

// Verify returns who the token speaks for, whoever bears it: tokens that are bound to a key or
// a certificate are refused. Errors: token_invalid, token_expired.
func (v *Verifier) Verify(ctx context.Context, token string) (Principal, error) {
	p, err := v.verify(ctx, token)
	if err == nil && p.KeyThumbprint+p.CertThumbprint != "" {
		return Principal{}, invalid(errors.New("bound, and nobody asked for a proof"))
	}
	return p, err
}

func (v *Verifier) verify(ctx context.Context, token string) (Principal, error) {
	if len(token) > maxToken {
		return Principal{}, invalid(errors.New("longer than any of ours"))
	}
	sum := sha256.Sum256([]byte(token))
	if g, ok := v.good.Get(sum); ok {
		if v.clock().Before(g.expiry) {
			return g.principal, nil
		}
		return Principal{}, expired()
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return Principal{}, invalid(err)
	}
	if len(parsed.Headers) != 1 || parsed.Headers[0].ExtraHeaders["typ"] != TokenType {
		return Principal{}, invalid(errors.New("not an access token"))
	}
	var unsafe claims
	if err := parsed.UnsafeClaimsWithoutVerification(&unsafe); err != nil {
		return Principal{}, invalid(err)
	}
	issuer := unsafe.Claims.Issuer
	key, err := v.key(ctx, issuer, parsed.Headers[0].KeyID)
	if err != nil {
		return Principal{}, err
	}
	var c claims
	if err := parsed.Claims(key, &c); err != nil {
		return Principal{}, invalid(err)
	}
	p, err := v.principal(ctx, c)
	if err != nil {
		return Principal{}, err
	}
	v.good.Add(sum, verified{p, c.Expiry.Time().Add(leeway)})
	return p, nil
}

func (v *Verifier) principal(ctx context.Context, c claims) (Principal, error) {
	checked := c.Claims
	for _, begin := range []**jwt.NumericDate{&checked.NotBefore, &checked.IssuedAt} {
		if *begin != nil {
			*begin = jwt.NewNumericDate((*begin).Time().Add(leeway - clockSkew))
		}
	}
	err := checked.ValidateWithLeeway(jwt.Expected{Time: v.clock(), AnyAudience: jwt.Audience{Audience}}, leeway)
	switch {
	case errors.Is(err, jwt.ErrExpired):
		return Principal{}, expired()
	case err != nil:
		return Principal{}, invalid(err)
	case c.Expiry == nil || c.Claims.Subject == "":
		return Principal{}, invalid(errors.New("exp or sub is missing"))
	}
	p := c.Principal
	p.Issuer, p.Subject, p.Scopes, p.Level = c.Claims.Issuer, c.Claims.Subject, strings.Fields(c.Scope), LevelOf(c.ACR)
	p.KeyThumbprint, p.CertThumbprint = c.Bound.Key, c.Bound.Cert
	// A tenant's issuer can speak for that tenant alone, whatever its tokens claim.
	e, err := v.issuerTenant(ctx, p.Issuer)
	if err != nil {
		return Principal{}, err
	}
	ofOperator := e.ID == tenant.Operator
	switch {
	case !slices.Contains([]Kind{Citizen, Staff, Client, Service}, p.Kind):
		return Principal{}, invalid(fmt.Errorf("kind %q", p.Kind))
	case !ofOperator && (p.TenantID != e.ID || p.Kind == Service || p.Grants != ""):
		return Principal{}, invalid(errors.New("the issuer may not say that"))
	}
	return p, nil
}

// issuerTenant finds whose issuer this is.
func (v *Verifier) issuerTenant(ctx context.Context, issuer string) (tenantdir.Entry, error) {
	path, ok := strings.CutPrefix(issuer, v.baseURL)
	slug, isAuth := strings.CutSuffix(path, "/auth")
	if !ok || !isAuth {
		return tenantdir.Entry{}, invalid(errors.New("foreign issuer"))
	}
	if slug == "/"+tenant.OperatorSlug {
		return tenantdir.Operator(), nil
	}
	slug, ok = strings.CutPrefix(slug, "/t/")
	if !ok || slug == tenant.OperatorSlug {
		return tenantdir.Entry{}, invalid(errors.New("foreign issuer"))
	}
	e, err := v.dir.BySlug(ctx, slug)
	if fault.Is(err, "unknown_tenant") {
		return e, invalid(err)
	}
	return e, err
}

func (v *Verifier) key(ctx context.Context, issuer, kid string) (*jose.JSONWebKey, error) {
	if _, err := v.issuerTenant(ctx, issuer); err != nil {
		return nil, err // asks nobody for keys of an issuer that is not ours
	}
	k, ok := v.keys.Get(issuer)
	if !ok {
		k = &issuerKeys{}
		if prev, found, _ := v.keys.PeekOrAdd(issuer, k); found {
			k = prev
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := v.clock()
	known := k.set.Key(kid)
	// While the issuer is away only one caller in keysAgain waits for it, not each.
	if (now.Sub(k.fetched) > keysFresh || len(known) == 0) && now.Sub(k.asked) > keysAgain {
		var set jose.JSONWebKeySet
		set, k.failure = v.fetch(ctx, issuer)
		k.asked = now
		if k.failure == nil {
			k.set, k.fetched = set, now
			known = k.set.Key(kid)
		}
	}
	if len(known) == 0 && k.failure != nil {
		return nil, fault.Unavailable("keys_unavailable", "the issuer's keys cannot be read at the moment; try again").After(keysAgain).Because(k.failure)
	}
	if len(known) != 1 {
		return nil, invalid(errors.New("no such key"))
	}
	return &known[0], nil
}

func (v *Verifier) fetch(ctx context.Context, issuer string) (set jose.JSONWebKeySet, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	url := "http://auth" + strings.TrimPrefix(issuer, v.baseURL) + "/keys"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return set, err
	}
	resp, err := v.services.Client("auth").Do(req)
	if err != nil {
		return set, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return set, fmt.Errorf("keys: status %d", resp.StatusCode)
	}
	return set, json.NewDecoder(io.LimitReader(resp.Body, maxKeysBody)).Decode(&set)
}

func invalid(cause error) error {
	return fault.Unauthenticated("token_invalid", "the access token is not one of ours, or not for this").Because(cause)
}

func expired() error {
	return fault.Unauthenticated("token_expired", "the access token has expired; get a new one from the token endpoint")
}
