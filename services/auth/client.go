package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/login"
	"basisdienste/platform/tenant"
)

// stale bounds how long a change that another process made goes unnoticed here.
const stale = 2 * time.Second

// knownClient is a client with what is needed of it often.
type knownClient struct {
	*Client
	targets int // for how many municipalities it is switched on
}

type cachedClient struct {
	client *knownClient // nil: there is none
	until  time.Time
}

// client finds an enabled client that may be used at the tenant's issuer: one of the
// tenant's own, one of the operator that is switched on for the tenant, or one of our own
// services and pages. It returns nil if there is none.
func (s *Service) client(ctx context.Context, clientID string) (*knownClient, error) {
	t := here(ctx)
	if !clientShape.MatchString(clientID) {
		return nil, nil
	}
	if reservedClient(clientID) {
		return s.derived(t, clientID), nil
	}
	key := t.ID.String() + clientID
	if c, ok := s.clients.Get(key); ok && s.clock().Before(c.until) {
		return c.client, nil
	}
	c, err := s.readClient(ctx, t, clientID)
	if err != nil {
		return nil, err
	}
	s.clients.Add(key, cachedClient{c, s.clock().Add(stale)})
	return c, nil
}

func (s *Service) readClient(ctx context.Context, t tenant.Tenant, clientID string) (found *knownClient, err error) {
	read := func(ctx context.Context, foreign bool) error {
		return s.db.Read(ctx, func(tx *db.Tx) error {
			found = nil
			c, err := getClient(ctx, tx, clientID, false)
			if errors.Is(err, db.ErrNoRows) || (err == nil && !c.Enabled) {
				return nil
			}
			if err != nil {
				return err
			}
			if foreign && !c.AllTenants {
				if on, err := hasTarget(ctx, tx, clientID, t.ID); err != nil || !on {
					return err
				}
			}
			n, err := countTargets(ctx, tx, clientID)
			found = &knownClient{c, n}
			return err
		})
	}
	if err := read(ctx, false); err != nil || found != nil || t.ID == tenant.Operator {
		return found, err
	}
	return found, read(operatorContext(ctx), true)
}

func operatorContext(ctx context.Context) context.Context {
	return tenant.With(ctx, tenant.Tenant{ID: tenant.Operator, Slug: tenant.OperatorSlug})
}

// derived returns the clients that need no registration: svc-<service> at the operator's
// issuer for calls between services, and web-<service> at every issuer for our own pages.
// Their secrets are made from the key that all our processes share.
func (s *Service) derived(t tenant.Tenant, clientID string) *knownClient {
	name, isService := strings.CutPrefix(clientID, "svc-")
	if isService {
		if t.ID != tenant.Operator {
			return nil
		}
		return &knownClient{Client: &Client{
			TenantID: t.ID, ID: clientID, AuthMethod: authBasic, SecretHash: hashSecret(authn.ServiceSecret(s.serviceKey, name)),
			Grants: db.JSON[[]string]{V: []string{grantClient}}, Enabled: true, service: true,
		}}
	}
	name, ok := login.WebClient(clientID)
	if !ok {
		return nil
	}
	callback, afterLogout := login.Redirects(s.baseURL, name, t.Slug)
	c := &Client{
		TenantID: t.ID, ID: clientID, AuthMethod: authBasic, SecretHash: hashSecret(authn.ServiceSecret(s.serviceKey, clientID)),
		Name: t.Name, Login: authn.Citizen, Enabled: true,
		Grants:    db.JSON[[]string]{V: []string{grantCode}},
		Scopes:    db.JSON[[]string]{V: []string{"openid", "profile", "email", "address"}},
		Redirects: db.JSON[[]string]{V: []string{callback}}, AfterLogout: db.JSON[[]string]{V: []string{afterLogout}},
	}
	if name == "console" || t.ID == tenant.Operator {
		c.Login = authn.Staff
	}
	return &knownClient{Client: c}
}

// credentials is how a client identified itself in a request.
type credentials struct {
	id, secret string
	assertion  string
}

// readCredentials takes them from a request whose form was parsed (RFC 6749 section 2.3.1,
// RFC 7523 section 2.2). Errors: invalid_client, invalid_request.
func readCredentials(r *http.Request) (credentials, error) {
	f := r.PostForm
	c := credentials{id: f.Get("client_id"), secret: f.Get("client_secret"), assertion: f.Get("client_assertion")}
	ways := 0
	if c.assertion != "" {
		if f.Get("client_assertion_type") != oidc.ClientAssertionTypeJWTAssertion {
			return c, oidc.ErrInvalidRequest().WithDescription("client_assertion_type must be %s", oidc.ClientAssertionTypeJWTAssertion)
		}
		ways++
	}
	if c.secret != "" {
		ways++
	}
	if header := r.Header.Get("Authorization"); header != "" {
		ways++
		user, password, ok := r.BasicAuth()
		name, err1 := url.QueryUnescape(user)
		secret, err2 := url.QueryUnescape(password)
		if !ok || err1 != nil || err2 != nil || (c.id != "" && c.id != name) {
			return c, oidc.ErrInvalidClient().WithDescription("the Authorization header is not Basic with the form-encoded client_id and client_secret")
		}
		c.id, c.secret = name, secret
	}
	switch {
	case ways == 0:
		return c, oidc.ErrInvalidClient().WithDescription("the client must identify itself: client_secret_basic, client_secret_post or private_key_jwt")
	case ways > 1:
		return c, oidc.ErrInvalidRequest().WithDescription("the client must identify itself in one way only")
	}
	return c, nil
}

func errClient() error {
	return oidc.ErrInvalidClient().WithDescription("client_id or credential is wrong, or the client is not switched on here")
}

func errGrant(grant string) error {
	return oidc.ErrUnauthorizedClient().WithDescription("the client is not registered for the grant %s", grant)
}

// identify returns the client that the credentials belong to.
// Error: invalid_client, without saying whether the client exists.
func (s *Service) identify(ctx context.Context, cr credentials) (*knownClient, error) {
	if cr.assertion != "" {
		return s.identifyByKey(ctx, cr)
	}
	c, err := s.client(ctx, cr.id)
	if err != nil {
		return nil, err
	}
	if c == nil || c.AuthMethod == authKey || !c.hasSecret(cr.secret, s.clock()) {
		return nil, errClient()
	}
	return c, nil
}

const (
	assertionLife   = 10 * time.Minute // that a client may give its assertion at most
	assertionLeeway = 30 * time.Second
)

// identifyByKey checks a client assertion (RFC 7523 section 3): signed by a registered key,
// issued by and for the client, meant for this issuer, short-lived, and used once.
func (s *Service) identifyByKey(ctx context.Context, cr credentials) (*knownClient, error) {
	if len(cr.assertion) > maxToken {
		return nil, errClient()
	}
	parsed, err := jwt.ParseSigned(cr.assertion, authn.SignatureAlgorithms())
	if err != nil || len(parsed.Headers) != 1 {
		return nil, errClient()
	}
	var unsafe jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&unsafe); err != nil || (cr.id != "" && cr.id != unsafe.Subject) {
		return nil, errClient()
	}
	c, err := s.client(ctx, unsafe.Subject)
	if err != nil {
		return nil, err
	}
	if c == nil || c.AuthMethod != authKey {
		return nil, errClient()
	}
	var claims jwt.Claims
	if !verifiedBy(parsed, c.Keys.V, &claims) {
		return nil, errClient()
	}
	issuer, now := s.issuerOf(here(ctx)), s.clock()
	err = claims.ValidateWithLeeway(jwt.Expected{
		Issuer: c.ID, Subject: c.ID, AnyAudience: jwt.Audience{issuer, issuer + "/token"}, Time: now,
	}, assertionLeeway)
	if err != nil || claims.Expiry == nil || claims.ID == "" || len(claims.ID) > 255 || claims.Expiry.Time().After(now.Add(assertionLife)) {
		return nil, oidc.ErrInvalidClient().WithDescription("the client assertion needs iss and sub = client_id, aud = %s, jti, and exp within %s", issuer, assertionLife)
	}
	var first bool
	err = s.db.Tx(ctx, func(tx *db.Tx) (err error) {
		first, err = useAssertion(ctx, tx, c.ID, claims.ID, db.NewTime(claims.Expiry.Time().Add(assertionLeeway)))
		return err
	})
	if err != nil {
		return nil, err
	}
	if !first {
		return nil, oidc.ErrInvalidClient().WithDescription("the client assertion was used before; make a new one with another jti for each request")
	}
	return c, nil
}

// verifiedBy tries the key that the assertion names, or all if it names none.
func verifiedBy(parsed *jwt.JSONWebToken, keys jose.JSONWebKeySet, claims *jwt.Claims) bool {
	kid := parsed.Headers[0].KeyID
	return slices.ContainsFunc(keys.Keys, func(k jose.JSONWebKey) bool {
		return (kid == "" || k.KeyID == kid) && parsed.Claims(k, claims) == nil
	})
}

// checkKeys refuses a key set that is empty, holds private keys, or keys that are too weak.
func checkKeys(raw json.RawMessage) (set jose.JSONWebKeySet, ok bool) {
	if err := json.Unmarshal(raw, &set); err != nil || len(set.Keys) == 0 || len(set.Keys) > 10 {
		return set, false
	}
	for _, k := range set.Keys {
		if !k.Valid() || !k.IsPublic() || !authn.StrongKey(k) {
			return set, false
		}
	}
	return set, true
}
