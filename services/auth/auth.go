package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

// The grants that a client can be registered for.
const (
	grantCode   = string(oidc.GrantTypeCode)
	grantClient = string(oidc.GrantTypeClientCredentials)
)

// How a client identifies itself. A client with a secret may send it either way.
const (
	authBasic = string(oidc.AuthMethodBasic)
	authPost  = string(oidc.AuthMethodPost)
	authKey   = string(oidc.AuthMethodPrivateKeyJWT)
)

// scopeOperator makes a client of the operator act as the operator.
const scopeOperator = "operator"

// Client is a program that may ask for tokens. A client of the operator (an EfA service)
// acts for the municipalities that it is switched on for; one of a municipality for that
// alone.
type Client struct {
	TenantID      id.ID                       `db:"tenant_id"` // the owner
	ID            string                      `db:"client_id"`
	Name          string                      `db:"name"`
	Login         authn.Kind                  `db:"login"` // who logs in by it: citizen or staff
	AuthMethod    string                      `db:"auth_method"`
	SecretHash    string                      `db:"secret_hash"`   // see hashSecret
	PreviousHash  string                      `db:"previous_hash"` // good until PreviousUntil
	PreviousUntil *db.Time                    `db:"previous_until"`
	Keys          db.JSON[jose.JSONWebKeySet] `db:"jwks"`
	Redirects     db.JSON[[]string]           `db:"redirect_uris"`
	AfterLogout   db.JSON[[]string]           `db:"logout_uris"`
	Grants        db.JSON[[]string]           `db:"grant_types"`
	Scopes        db.JSON[[]string]           `db:"scopes"`
	MinLevel      int                         `db:"min_level"` // no login below it
	Enabled       bool                        `db:"enabled"`
	AllTenants    bool                        `db:"all_tenants"`
	Version       int64                       `db:"version"`
	CreatedAt     db.Time                     `db:"created_at"`
	DPoPBound     bool                        `db:"dpop_bound"`        // its tokens are bound to a key, see binding
	CertBound     bool                        `db:"certificate_bound"` // and to the certificate that it connects with

	service bool // one of our own, derived and not registered
}

// hashSecret is how a client's secret is kept. One round of SHA-256 is enough, because
// secrets are made here from 32 random bytes and cannot be guessed.
func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// hasSecret compares in constant time.
func (c *Client) hasSecret(secret string, now time.Time) bool {
	hash := []byte(hashSecret(secret))
	if c.SecretHash != "" && subtle.ConstantTimeCompare(hash, []byte(c.SecretHash)) == 1 {
		return true
	}
	return c.PreviousHash != "" && c.PreviousUntil != nil && now.Before(c.PreviousUntil.Time) &&
		subtle.ConstantTimeCompare(hash, []byte(c.PreviousHash)) == 1
}

func (c *Client) may(grant string) bool { return slices.Contains(c.Grants.V, grant) }

// grantScopes returns what of the requested scopes the client gets by client_credentials:
// all that it is registered for if it names none. Error: invalid_scope.
func (c *Client) grantScopes(requested string) ([]string, error) {
	if strings.TrimSpace(requested) == "" {
		return c.Scopes.V, nil
	}
	scopes := strings.Fields(requested)
	for _, s := range scopes {
		if !slices.Contains(c.Scopes.V, s) {
			return nil, oidc.ErrInvalidScope().WithDescription("the client is not registered for the scope %q", clip(s))
		}
	}
	return scopes, nil
}

// principal is who a token got by client_credentials speaks for.
func (c *Client) principal(issuer tenant.Tenant, scopes []string) authn.Principal {
	p := authn.Principal{Kind: authn.Client, Subject: c.ID, ClientID: c.ID, Scopes: scopes}
	switch {
	case c.service:
		p.Kind = authn.Service
	case issuer.ID != tenant.Operator:
		p.TenantID = issuer.ID
	case slices.Contains(scopes, scopeOperator):
		p.TenantID = tenant.Operator
	default:
		p.Grants = "client:" + c.ID
	}
	return p
}

// clip shortens what a client sent for an error message, and keeps it printable.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

var (
	clientShape   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{2,63}$`)
	scopeShape    = regexp.MustCompile(`^[a-z0-9][a-z0-9:._/-]{0,63}$`)
	usernameShape = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{1,127}$`)
)

// reserved prefixes of client ids: those clients are derived, see Service.derived.
func reservedClient(clientID string) bool {
	return strings.HasPrefix(clientID, "svc-") || strings.HasPrefix(clientID, "web-")
}

// checkRedirect refuses what must not be redirected to: RFC 9700 section 4.1 (exact match,
// so no patterns; https, or http on the own machine for development).
func checkRedirect(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Host == "" || u.Fragment != "" || strings.Contains(uri, "*"):
		return fault.Unprocessable("invalid_redirect_uri", "a redirect URI is an absolute URL without fragment and wildcard")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, u.Hostname()):
		return nil
	}
	return fault.Unprocessable("invalid_redirect_uri", "a redirect URI begins with https://, or http:// on the own machine")
}

// levels are the acr values that we understand, with the least STORK level that meets each:
// BundID's values and those of eIDAS (Commission Implementing Regulation (EU) 2015/1502).
func levelFor(acr string) (int, bool) {
	switch acr {
	case "STORK-QAA-Level-1":
		return 1, true
	case "STORK-QAA-Level-2", "http://eidas.europa.eu/LoA/low":
		return 3, true // no login gives level 2
	case "STORK-QAA-Level-3", "http://eidas.europa.eu/LoA/substantial":
		return 3, true
	case "STORK-QAA-Level-4", "http://eidas.europa.eu/LoA/high":
		return 4, true
	}
	return 0, false
}

// supportedACR is what discovery announces.
func supportedACR() []string {
	return []string{
		authn.ACR(1), authn.ACR(3), authn.ACR(4),
		"http://eidas.europa.eu/LoA/low", "http://eidas.europa.eu/LoA/substantial", "http://eidas.europa.eu/LoA/high",
	}
}

// leastLevel is the level that a login needs: the least of the acceptable acr_values, but
// never below the client's floor. ok is false if none of the values can ever be met.
func leastLevel(acrValues []string, floor int) (level int, ok bool) {
	for _, v := range acrValues {
		if l, known := levelFor(v); known && (level == 0 || l < level) {
			level = l
		}
	}
	return max(level, floor), level > 0 || len(slices.DeleteFunc(slices.Clone(acrValues), func(v string) bool { return v == "" })) == 0
}

// loginRequest is an authorization request that was found to be in order.
type loginRequest struct {
	ClientID    string     `json:"client_id"`
	ClientName  string     `json:"client_name"`
	RedirectURI string     `json:"redirect_uri"`
	State       string     `json:"state"`
	Nonce       string     `json:"nonce"`
	Challenge   string     `json:"challenge"` // PKCE, S256
	Scopes      []string   `json:"scopes"`
	Kind        authn.Kind `json:"kind"` // citizen or staff
	Level       int        `json:"level"`
	Subject     string     `json:"subject,omitempty"`   // who has to log in, from id_token_hint
	HadLevel    int        `json:"had_level,omitempty"` // of the session that is too weak
}

// session is a login that lasts.
type session struct {
	ID        id.ID      `db:"id"`
	Cookie    string     `db:"cookie"`
	Kind      authn.Kind `db:"kind"`
	Subject   string     `db:"subject"`
	Level     int        `db:"level"`
	AuthTime  db.Time    `db:"auth_time"`
	Profile   []byte     `db:"profile"` // sealed Profile
	ExpiresAt db.Time    `db:"expires_at"`
}

// fresh reports whether the session's login is at most maxAge seconds old.
func (s *session) fresh(maxAge *uint, now time.Time) bool {
	return maxAge == nil || now.Sub(s.AuthTime.Time) <= time.Duration(min(*maxAge, 1<<30))*time.Second && *maxAge > 0
}

// Profile is what is known of a person who logged in. Empty means unknown.
type Profile struct {
	GivenName  string   `json:"given_name,omitempty"`
	FamilyName string   `json:"family_name,omitempty"`
	Name       string   `json:"name,omitempty"`
	Email      string   `json:"email,omitempty"`
	Birthdate  string   `json:"birthdate,omitempty"` // YYYY-MM-DD
	Address    *Address `json:"address,omitempty"`
	Mailbox    string   `json:"mailbox,omitempty"` // handle of the person's mailbox at the provider; no identifier
	Username   string   `json:"username,omitempty"`
	Roles      []string `json:"roles,omitempty"`
}

// Address is where a person lives.
type Address struct {
	Street     string `json:"street_address,omitempty"` // with the house number
	PostalCode string `json:"postal_code,omitempty"`
	City       string `json:"locality,omitempty"`
	Country    string `json:"country,omitempty"` // ISO 3166-1 alpha-2
}

// displayName is how the person is greeted.
func (p Profile) displayName() string {
	if n := strings.TrimSpace(p.GivenName + " " + p.FamilyName); n != "" {
		return n
	}
	return p.Name
}

// Staff is an employee of a municipality, or of the operator.
type Staff struct {
	ID           id.ID             `db:"id"`
	Username     string            `db:"username"` // lower case
	Name         string            `db:"name"`
	Email        string            `db:"email"`
	Roles        db.JSON[[]string] `db:"roles"`
	PasswordHash string            `db:"password_hash"`
	Disabled     bool              `db:"disabled"`
	CreatedAt    db.Time           `db:"created_at"`
	ChangedAt    db.Time           `db:"changed_at"`
}

// checkRoles refuses roles that make no sense at the tenant: operator is for the operator's
// own staff, the others for that of municipalities.
func checkRoles(at id.ID, roles []string) error {
	allowed := []string{authn.RoleClerk, authn.RoleTenantAdmin}
	if at == tenant.Operator {
		allowed = []string{authn.RoleOperator}
	}
	for _, r := range roles {
		if !slices.Contains(allowed, r) {
			return fault.Unprocessable("unknown_role", "there is no role %q here; roles are %s", clip(r), strings.Join(allowed, ", ")).
				With(fault.Field{Name: "/roles", Code: "unknown_role", Detail: "one of " + strings.Join(allowed, ", ")})
		}
	}
	if len(roles) == 0 {
		return fault.Unprocessable("unknown_role", "name at least one role: %s", strings.Join(allowed, ", ")).
			With(fault.Field{Name: "/roles", Code: "required", Detail: "at least one"})
	}
	return nil
}

// The bounds of a password (NIST SP 800-63B: length counts, composition does not).
const (
	minPassword = 12
	maxPassword = 128
)

func checkPassword(password string) error {
	if n := len([]rune(password)); n < minPassword || n > maxPassword {
		return fault.Unprocessable("invalid_password", "a password has %d to %d characters", minPassword, maxPassword).
			With(fault.Field{Name: "/password", Code: "invalid_password", Detail: "12 to 128 characters"})
	}
	return nil
}
