package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"basisdienste/platform/authn"
	"basisdienste/platform/certs"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

// accessClaims are what our access tokens say (RFC 9068).
type accessClaims struct {
	Issuer   string     `json:"iss"`
	Subject  string     `json:"sub"`
	Audience string     `json:"aud"`
	ClientID string     `json:"client_id"`
	Scope    string     `json:"scope,omitempty"`
	Expiry   int64      `json:"exp"` // Unix seconds, as IssuedAt and AuthTime
	IssuedAt int64      `json:"iat"`
	ID       string     `json:"jti"`
	Kind     authn.Kind `json:"kind"`
	Tenant   id.ID      `json:"tenant,omitempty"`
	Grants   string     `json:"grants,omitempty"`
	Roles    []string   `json:"roles,omitempty"`
	ACR      string     `json:"acr,omitempty"`
	AuthTime int64      `json:"auth_time,omitempty"`
	Bound    *binding   `json:"cnf,omitempty"`
}

// binding is what a token is bound to (RFC 7800): a key (RFC 9449 section 6.1), a certificate
// (RFC 8705 section 3.1), or both.
type binding struct {
	Key  string `json:"jkt,omitempty"`
	Cert string `json:"x5t#S256,omitempty"`
}

// tokenType is how the token is sent.
func (b *binding) tokenType() string {
	if b != nil && b.Key != "" {
		return authn.ProofHeader
	}
	return "Bearer"
}

// bind returns what the client's token is bound to: the key that the request proves (a client
// that is not registered for it may choose so for each token), and the certificate that it shows
// if it is registered for that. Errors: invalid_dpop_proof (RFC 9449 section 5), invalid_request.
func (s *Service) bind(r *http.Request, c *Client) (*binding, error) {
	var b binding
	if len(r.Header.Values(authn.ProofHeader)) > 0 {
		var err error
		if b.Key, err = s.proofs.Check(r, s.baseURL+r.URL.EscapedPath(), ""); err != nil {
			return nil, (&oidc.Error{ErrorType: "invalid_dpop_proof"}).WithDescription("the DPoP proof is not for this request; make a new one for each").WithParent(err)
		}
	} else if c.DPoPBound {
		return nil, (&oidc.Error{ErrorType: "invalid_dpop_proof"}).WithDescription("the client's tokens are bound to a key: send a DPoP proof")
	}
	if c.CertBound {
		if b.Cert = certs.Shown(r.Context()); b.Cert == "" {
			return nil, oidc.ErrInvalidRequest().WithDescription("the client's tokens are bound to its certificate: connect with that")
		}
	}
	if b == (binding{}) {
		return nil, nil
	}
	return &b, nil
}

// issuerOf is the issuer of the tenant in the context.
func (s *Service) issuerOf(t tenant.Tenant) string { return s.baseURL + issuerPath(t) }

func issuerPath(t tenant.Tenant) string {
	if t.ID == tenant.Operator {
		return "/operator/auth"
	}
	return "/t/" + t.Slug + "/auth"
}

// here is the tenant that the context acts for; the routes see to it that there is one.
func here(ctx context.Context) tenant.Tenant {
	t, _ := tenant.From(ctx)
	return t
}

// claimsFor fills an access token for p that expires at the time.
func (s *Service) claimsFor(ctx context.Context, p authn.Principal, expires time.Time) accessClaims {
	c := accessClaims{
		Issuer: s.issuerOf(here(ctx)), Subject: p.Subject, Audience: authn.Audience, ClientID: p.ClientID,
		Scope: strings.Join(p.Scopes, " "), Expiry: expires.Unix(), IssuedAt: s.clock().Unix(), ID: id.New().String(),
		Kind: p.Kind, Tenant: p.TenantID, Grants: p.Grants, Roles: p.Roles,
	}
	if p.Level > 0 {
		c.ACR = authn.ACR(p.Level)
	}
	return c
}

// sign returns the claims as a token of the tenant's issuer: an access token, or an ID token.
func (s *Service) sign(ctx context.Context, claims any, access bool) (string, error) {
	ring, err := s.keys.ring(ctx)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("marshal claims: %w", err)
	}
	key := ring.signing(s.clock())
	if key == nil {
		return "", errors.New("no key signs")
	}
	signer := key.id
	if access {
		signer = key.access
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return jws.CompactSerialize()
}

const maxToken = 8 << 10 // bytes; ours are much shorter

var errForeignToken = errors.New("not a token of this issuer")

// verify returns the claims of an access token that the tenant's issuer signed and that has
// not expired. Revocation is looked at by revoked. Tokens that were found good are
// remembered. Every error but those of the database means: no.
func (s *Service) verify(ctx context.Context, token string) (c accessClaims, err error) {
	if len(token) > maxToken {
		return c, errForeignToken
	}
	t := here(ctx)
	hash := sha256.Sum256([]byte(t.Slug + " " + token))
	ring, err := s.keys.ring(ctx)
	if err != nil {
		return c, err
	}
	if v, ok := s.verified.Get(hash); ok {
		if ring.byID(v.kid, s.clock()) == nil {
			return c, errForeignToken
		}
		return v.claims, expired(v.claims, s.clock())
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(jws.Signatures) != 1 || jws.Signatures[0].Header.ExtraHeaders[jose.HeaderType] != authn.TokenType {
		return c, errForeignToken
	}
	key := ring.byID(jws.Signatures[0].Header.KeyID, s.clock())
	if key == nil {
		return c, errForeignToken
	}
	payload, err := jws.Verify(key.public)
	if err != nil {
		return c, errForeignToken
	}
	if err := json.Unmarshal(payload, &c); err != nil || c.Issuer != s.issuerOf(t) || c.Audience != authn.Audience {
		return c, errForeignToken
	}
	if err := expired(c, s.clock()); err != nil {
		return c, err
	}
	s.verified.Add(hash, verifiedToken{c, key.KID})
	return c, nil
}

// verifiedToken is a token whose signature was found good.
type verifiedToken struct {
	claims accessClaims
	kid    string
}

func expired(c accessClaims, now time.Time) error {
	if now.Unix() >= c.Expiry {
		return errForeignToken
	}
	return nil
}

// revocation is what is remembered of a token for a short while.
type revocation struct {
	revoked bool
	until   time.Time
}

// revoked reports whether the token was revoked. Revocation by another process is seen
// after Stale at the latest, by this one at once.
func (s *Service) revoked(ctx context.Context, jti string) (bool, error) {
	key := here(ctx).ID.String() + jti
	if r, ok := s.revocations.Get(key); ok && (r.revoked || s.clock().Before(r.until)) {
		return r.revoked, nil
	}
	var revoked bool
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		revoked, err = isRevoked(ctx, tx, jti)
		return err
	})
	if err != nil {
		return false, err
	}
	s.revocations.Add(key, revocation{revoked, s.clock().Add(stale)})
	return revoked, nil
}

// tokenAnswer is the answer of the token endpoint (RFC 6749 section 5.1).
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Scope       string `json:"scope,omitempty"`
	IDToken     string `json:"id_token,omitempty"`
}

// ClientToken gives a client that has identified itself an access token (RFC 6749 section
// 4.4), bound to what b says if that is not nil. Nothing is stored: the token speaks for itself.
// Errors: unauthorized_client, invalid_scope (RFC 6749 section 5.2).
func (s *Service) ClientToken(ctx context.Context, c *Client, scope string, b *binding) (tokenAnswer, error) {
	if !c.may(grantClient) {
		return tokenAnswer{}, errGrant(grantClient)
	}
	scopes, err := c.grantScopes(scope)
	if err != nil {
		return tokenAnswer{}, err
	}
	life := s.cfg.ClientToken
	claims := s.claimsFor(ctx, c.principal(here(ctx), scopes), s.clock().Add(life))
	claims.Bound = b
	token, err := s.sign(ctx, claims, true)
	return tokenAnswer{AccessToken: token, TokenType: b.tokenType(), ExpiresIn: int64(life / time.Second), Scope: claims.Scope}, err
}

// introspection is the answer of the introspection endpoint (RFC 7662 section 2.2).
type introspection struct {
	Active bool `json:"active"`
	*activeToken
}

type activeToken struct {
	accessClaims
	TokenType string        `json:"token_type"`
	Tenants   *grantedCount `json:"tenants,omitempty"`
}

// grantedCount says for how many municipalities a client of the operator is switched on.
type grantedCount struct {
	All   bool   `json:"all"`
	Count int    `json:"count"`
	URL   string `json:"url"` // the list, page by page
}

// Introspect says whether the token is good and what it says. A client learns that of its own tokens, our
// services of all; any other token is just not active.
func (s *Service) Introspect(ctx context.Context, by *Client, token string) (introspection, error) {
	c, err := s.verify(ctx, token)
	if errors.Is(err, errForeignToken) || (err == nil && !by.service && by.ID != c.ClientID) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, err
	}
	revoked, err := s.revoked(ctx, c.ID)
	if err != nil || revoked {
		return introspection{}, err
	}
	client, err := s.client(ctx, c.ClientID)
	if err != nil {
		return introspection{}, err
	}
	if client == nil {
		return introspection{}, nil
	}
	answer := introspection{Active: true, activeToken: &activeToken{accessClaims: c, TokenType: c.Bound.tokenType()}}
	if c.Grants != "" {
		answer.Tenants = &grantedCount{
			All: client.AllTenants, Count: client.targets, URL: s.baseURL + "/operator/auth/v1/clients/" + c.ClientID + "/tenants",
		}
	}
	return answer, nil
}

// Revoke makes the client's own access token worthless from now on where it is introspected
// or used for userinfo (RFC 7009). Services that check tokens by themselves take it until it
// expires. What is not a token of the client is ignored, as the RFC wants it.
func (s *Service) Revoke(ctx context.Context, by *Client, token string) error {
	c, err := s.verify(ctx, token)
	if errors.Is(err, errForeignToken) || (err == nil && by.ID != c.ClientID) {
		return nil
	}
	if err != nil {
		return err
	}
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		return revoke(ctx, tx, c.ID, db.NewTime(time.Unix(c.Expiry, 0)))
	})
	s.revocations.Remove(here(ctx).ID.String() + c.ID)
	return err
}
