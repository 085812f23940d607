package auth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/page"
)

// ListRequest asks for a page of a list.
type ListRequest struct {
	Cursor string
	Limit  int
	Client string // path, where the list belongs to a client
}

// FromHTTP implements kit.FromHTTPer.
func (q *ListRequest) FromHTTP(r *http.Request) (err error) {
	q.Client, q.Cursor = r.PathValue("client"), r.FormValue("cursor")
	q.Limit, err = page.Limit(r.FormValue("limit"), 50, 500)
	return err
}

// after is the key that the page begins behind.
func (s *Service) after(q ListRequest) (after string, err error) {
	return after, s.cursors.Decode(q.Cursor, &after)
}

// cut returns the page of rows, of which one more than limit was read, and the next cursor.
func cut[T any](s *Service, rows []T, limit int, key func(T) string) ([]T, string, error) {
	if len(rows) <= limit {
		return rows, "", nil
	}
	rows = rows[:limit]
	next, err := s.cursors.Encode(key(rows[limit-1]))
	return rows, next, err
}

// CreateClientRequest registers a client.
type CreateClientRequest struct {
	ID          string          `json:"client_id"`
	Name        string          `json:"name"`
	Login       authn.Kind      `json:"login"`                      // citizen (default) or staff
	AuthMethod  string          `json:"token_endpoint_auth_method"` // client_secret_basic (default), client_secret_post, private_key_jwt
	Keys        json.RawMessage `json:"jwks"`                       // public keys, for private_key_jwt
	Redirects   []string        `json:"redirect_uris"`
	AfterLogout []string        `json:"post_logout_redirect_uris"`
	Grants      []string        `json:"grant_types"` // default: client_credentials
	Scopes      []string        `json:"scopes"`
	MinLevel    int             `json:"min_level"` // no citizen's login below this STORK level
	// Whether its access tokens are bound to a key (RFC 9449 section 5.2), or to the certificate
	// that it connects with (RFC 8705 section 3.4).
	DPoPBound bool `json:"dpop_bound_access_tokens"`
	CertBound bool `json:"tls_client_certificate_bound_access_tokens"`
}

// Validate implements kit.Validator.
func (q *CreateClientRequest) Validate() error {
	if q.AuthMethod == "" {
		q.AuthMethod = authBasic
	}
	if q.Login == "" {
		q.Login = authn.Citizen
	}
	if len(q.Grants) == 0 {
		q.Grants = []string{grantClient}
	}
	var fields []fault.Field
	wrong := func(name, code, detail string) {
		fields = append(fields, fault.Field{Name: name, Code: code, Detail: detail})
	}
	if !clientShape.MatchString(q.ID) || reservedClient(q.ID) {
		wrong("/client_id", "invalid_client_id", "3 to 64 letters, digits, dots, hyphens and underscores; svc- and web- are our own")
	}
	if n := len(strings.TrimSpace(q.Name)); n == 0 || n > 200 {
		wrong("/name", "invalid_name", "1 to 200 characters")
	}
	if q.Login != authn.Citizen && q.Login != authn.Staff {
		wrong("/login", "invalid_login", "citizen or staff")
	}
	if q.AuthMethod != authBasic && q.AuthMethod != authPost && q.AuthMethod != authKey {
		wrong("/token_endpoint_auth_method", "invalid_auth_method", "client_secret_basic, client_secret_post or private_key_jwt")
	}
	for i, g := range q.Grants {
		if g != grantCode && g != grantClient {
			wrong(fmt.Sprintf("/grant_types/%d", i), "invalid_grant_type", "authorization_code or client_credentials")
		}
	}
	for i, sc := range q.Scopes {
		if !scopeShape.MatchString(sc) {
			wrong(fmt.Sprintf("/scopes/%d", i), "invalid_scope_name", "lower-case letters, digits and : . _ / -")
		}
	}
	for _, list := range []struct {
		name string
		uris []string
	}{{"/redirect_uris", q.Redirects}, {"/post_logout_redirect_uris", q.AfterLogout}} {
		for i, u := range list.uris {
			if err := checkRedirect(u); err != nil {
				wrong(fmt.Sprintf("%s/%d", list.name, i), "invalid_redirect_uri", fault.From(err).Detail)
			}
		}
	}
	if (q.DPoPBound || q.CertBound) && slices.Contains(q.Grants, grantCode) {
		wrong("/grant_types", "invalid_grant_type", "tokens of logins are not bound; register a client of its own for client_credentials")
	}
	if q.MinLevel != 0 && q.MinLevel != 1 && q.MinLevel != 3 && q.MinLevel != 4 {
		wrong("/min_level", "invalid_level", "0, 1, 3 or 4")
	}
	if len(fields) > 0 {
		return fault.Unprocessable("invalid_client_metadata", "the client cannot be registered like this").With(fields...)
	}
	return nil
}

// ClientAnswer is what is told of a client. The secret is told once, when it is made.
type ClientAnswer struct {
	ID            string     `json:"client_id"`
	Secret        string     `json:"client_secret,omitempty"`
	Name          string     `json:"name"`
	Login         authn.Kind `json:"login"`
	AuthMethod    string     `json:"token_endpoint_auth_method"`
	Redirects     []string   `json:"redirect_uris"`
	AfterLogout   []string   `json:"post_logout_redirect_uris"`
	Grants        []string   `json:"grant_types"`
	Scopes        []string   `json:"scopes"`
	MinLevel      int        `json:"min_level"`
	Enabled       bool       `json:"enabled"`
	AllTenants    bool       `json:"all_tenants"`
	TenantCount   int        `json:"tenant_count"`
	PreviousUntil *db.Time   `json:"previous_secret_until,omitempty"`
	DPoPBound     bool       `json:"dpop_bound_access_tokens"`
	CertBound     bool       `json:"tls_client_certificate_bound_access_tokens"`
	Version       int64      `json:"version"`
	CreatedAt     db.Time    `json:"created_at"`

	created bool
}

// StatusCode implements kit's choice of the status.
func (a ClientAnswer) StatusCode() int { return createdStatus(a.created) }

func createdStatus(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

// ClientList is a page of clients.
type ClientList = page.List[ClientAnswer]

// ClientRef names a client by the path.
type ClientRef struct {
	kit.NoBody
	Client string
}

// FromHTTP implements kit.FromHTTPer.
func (q *ClientRef) FromHTTP(r *http.Request) error {
	q.Client = r.PathValue("client")
	return nil
}

// SecretRequest asks for a new secret.
type SecretRequest struct {
	Client string `json:"-"`
	// Keep is how many seconds the old secret stays good, at most 30 days.
	Keep int `json:"keep_previous_for"`
}

// FromHTTP implements kit.FromHTTPer.
func (q *SecretRequest) FromHTTP(r *http.Request) error {
	q.Client = r.PathValue("client")
	return nil
}

const longestKeep = 30 * 24 * time.Hour

// Validate implements kit.Validator.
func (q *SecretRequest) Validate() error {
	if q.Keep < 0 || time.Duration(q.Keep) > longestKeep/time.Second {
		return fault.Unprocessable("invalid_keep", "keep_previous_for is 0 to %d seconds", int(longestKeep.Seconds())).
			With(fault.Field{Name: "/keep_previous_for", Code: "invalid_keep", Detail: "0 to 2592000"})
	}
	return nil
}

// TargetsRequest switches a client on or off for municipalities.
type TargetsRequest struct {
	Client  string   `json:"-"`
	Tenants []string `json:"tenants"` // slugs
	All     bool     `json:"all"`
}

// FromHTTP implements kit.FromHTTPer.
func (q *TargetsRequest) FromHTTP(r *http.Request) error {
	q.Client = r.PathValue("client")
	return nil
}

const mostTargets = 1000

// Validate implements kit.Validator.
func (q *TargetsRequest) Validate() error {
	if q.All == (len(q.Tenants) > 0) || len(q.Tenants) > mostTargets {
		return fault.Unprocessable("invalid_tenants", "name 1 to %d municipalities by their slugs in tenants, or say all", mostTargets).
			With(fault.Field{Name: "/tenants", Code: "invalid_tenants", Detail: "slugs, or else all: true"})
	}
	return nil
}

// Target is a municipality that a client may act for.
type Target struct {
	ID   id.ID  `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
}

// TargetList is a page of municipalities. With All set the client may act for every one,
// and the list holds none.
type TargetList struct {
	All   bool     `json:"all"`
	Items []Target `json:"items"`
	Next  string   `json:"next,omitempty"`
}

// CreateStaffRequest makes an account.
type CreateStaffRequest struct {
	Username string   `json:"username"`
	Name     string   `json:"name"`
	Email    string   `json:"email"`
	Roles    []string `json:"roles"`
	Password string   `json:"password"` // empty: one is made
}

// Validate implements kit.Validator.
func (q *CreateStaffRequest) Validate() error {
	q.Username = strings.ToLower(strings.TrimSpace(q.Username))
	q.Name = strings.TrimSpace(q.Name)
	if !usernameShape.MatchString(q.Username) {
		return fault.Unprocessable("invalid_username", "a user name has 2 to 128 letters, digits and . _ @ + -").
			With(fault.Field{Name: "/username", Code: "invalid_username", Detail: "2 to 128 letters, digits and . _ @ + -"})
	}
	if q.Name == "" || len(q.Name) > 200 || len(q.Email) > 254 {
		return fault.Unprocessable("invalid_name", "a name has 1 to 200 characters, an e-mail address at most 254").
			With(fault.Field{Name: "/name", Code: "invalid_name", Detail: "1 to 200 characters"})
	}
	if q.Password != "" {
		return checkPassword(q.Password)
	}
	return nil
}

// StaffAnswer is what is told of an account. A made password is told once.
type StaffAnswer struct {
	ID        id.ID    `json:"id"`
	Username  string   `json:"username"`
	Password  string   `json:"password,omitempty"`
	Name      string   `json:"name"`
	Email     string   `json:"email"`
	Roles     []string `json:"roles"`
	Disabled  bool     `json:"disabled"`
	CreatedAt db.Time  `json:"created_at"`
	ChangedAt db.Time  `json:"changed_at"`

	created bool
}

// StatusCode implements kit's choice of the status.
func (a StaffAnswer) StatusCode() int { return createdStatus(a.created) }

// StaffList is a page of accounts.
type StaffList = page.List[StaffAnswer]

// StaffRef names an account by the path.
type StaffRef struct {
	kit.NoBody
	ID id.ID
}

// FromHTTP implements kit.FromHTTPer.
func (q *StaffRef) FromHTTP(r *http.Request) (err error) {
	q.ID, err = id.Parse(r.PathValue("staff"))
	return err
}

// RolesRequest gives an account other roles.
type RolesRequest struct {
	ID    id.ID    `json:"-"`
	Roles []string `json:"roles"`
}

// FromHTTP implements kit.FromHTTPer.
func (q *RolesRequest) FromHTTP(r *http.Request) (err error) {
	q.ID, err = id.Parse(r.PathValue("staff"))
	return err
}

// PasswordRequest gives an account another password.
type PasswordRequest struct {
	ID       id.ID  `json:"-"`
	Password string `json:"password"` // empty: one is made
}

// FromHTTP implements kit.FromHTTPer.
func (q *PasswordRequest) FromHTTP(r *http.Request) (err error) {
	q.ID, err = id.Parse(r.PathValue("staff"))
	return err
}

// Validate implements kit.Validator.
func (q *PasswordRequest) Validate() error {
	if q.Password != "" {
		return checkPassword(q.Password)
	}
	return nil
}

// RotateRequest brings an issuer's next signing key.
type RotateRequest struct {
	Immediately bool `json:"immediately"` // the old key is no longer secret: drop it and its tokens
}

// KeyList is the signing keys of an issuer.
type KeyList struct {
	Items []KeyAnswer `json:"items"`
}

// KeyAnswer is one signing key, without its secret part.
type KeyAnswer struct {
	KID       string   `json:"kid"`
	CreatedAt db.Time  `json:"created_at"`
	SignsFrom db.Time  `json:"signs_from"`
	GoneAt    *db.Time `json:"gone_at,omitempty"` // when it leaves the key set
}
