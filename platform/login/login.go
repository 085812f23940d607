// Package login lets people log in to our own pages: a small OpenID Connect relying party
// (authorization code with PKCE S256) towards our own issuers. Each service of each tenant
// has its own session, in a sealed cookie; the issuer's session makes the second login
// silent.
package login

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/discover"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/tenant"
	"basisdienste/platform/web"
)

// Address is where a person lives, as the identity provider says.
type Address struct {
	Street     string `json:"street_address"` // with the house number
	PostalCode string `json:"postal_code"`
	City       string `json:"locality"`
	Country    string `json:"country"`
}

// Person is what the issuer's userinfo says (OpenID Connect Core 5.1). Empty means unknown.
type Person struct {
	GivenName  string  `json:"given_name"`
	FamilyName string  `json:"family_name"`
	Email      string  `json:"email"`
	Birthdate  string  `json:"birthdate"` // YYYY-MM-DD
	Address    Address `json:"address"`
	Name       string  `json:"name"`
}

// Session is who is logged in.
type Session struct {
	Person
	Principal authn.Principal `json:"-"`
	Token     string          `json:"token"` // access token, for calls on behalf of the person
}

// DisplayName is how the person is greeted.
func (s Session) DisplayName() string {
	if n := strings.TrimSpace(s.GivenName + " " + s.FamilyName); n != "" {
		return n
	}
	return s.Name
}

type sessionKey struct{}

// From returns the session that Require or Staff let in.
func From(ctx context.Context) (Session, bool) {
	s, ok := ctx.Value(sessionKey{}).(Session)
	return s, ok
}

// With returns a context with the session, as Require does: for tests of pages.
func With(ctx context.Context, s Session) context.Context {
	return authn.With(context.WithValue(ctx, sessionKey{}, s), s.Principal)
}

// Config of New; all of it is needed.
type Config struct {
	Service    string // logs in as the client web-<service>
	BaseURL    string
	ServiceKey []byte // from which the client's secret is derived
	Services   discover.Services
	Verifier   *authn.Verifier
	Site       *web.Site
	Clock      func() time.Time
}

// Login is the relying party of one service.
type Login struct {
	cfg     Config
	session web.Cookie
	pending web.Cookie
}

const (
	maxSession = 12 * time.Hour // the access token's expiry ends it earlier
	maxPending = 15 * time.Minute
	maxAnswer  = 64 << 10
)

// pendingLogin waits in the browser for the answer of the issuer.
type pendingLogin struct {
	State    string `json:"state"`
	Verifier string `json:"verifier"`
	Return   string `json:"return"`
	Level    int    `json:"level"`
}

// New returns the relying party.
func New(cfg Config) *Login {
	return &Login{cfg: cfg, session: cfg.Site.Cookie(cfg.Service+"-session", maxSession), pending: cfg.Site.Cookie(cfg.Service+"-login", maxPending)}
}

// Routes registers callback and logout below the base: "/t/{tenant}/forms" or "/operator".
func (l *Login) Routes(m *kit.Mux, base string) {
	m.Handle("GET "+base+"/callback", http.HandlerFunc(l.callback))
	m.Handle("POST "+base+"/logout", l.cfg.Site.Protect(http.HandlerFunc(l.logout)))
}

// Require lets in citizens whose login has at least the STORK level, and sends others to the
// issuer, which asks for a stronger login where there is a weaker one.
func (l *Login) Require(level int) func(http.Handler) http.Handler {
	return l.require(level, func(s Session) error {
		if s.Principal.Kind != authn.Citizen {
			return fault.Forbidden("citizens_only", "this page is for citizens; log out and log in as one")
		}
		return nil
	})
}

// Staff lets in staff with one of the roles at the tenant of the path.
func (l *Login) Staff(roles ...string) func(http.Handler) http.Handler {
	return l.require(0, func(s Session) error { return s.Principal.NeedRole(roles...) })
}

func (l *Login) require(level int, allow func(Session) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, ok := l.current(r)
			if !ok || s.Principal.Level < level {
				l.begin(w, r, level)
				return
			}
			if err := allow(s); err != nil {
				l.cfg.Site.ErrorPage(w, r, err)
				return
			}
			w.Header().Set("Cache-Control", "no-store")
			next.ServeHTTP(w, r.WithContext(With(r.Context(), s)))
		})
	}
}

// Current returns the session of a page that needs none.
func (l *Login) Current(r *http.Request) (Session, bool) { return l.current(r) }

func (l *Login) current(r *http.Request) (s Session, ok bool) {
	if !l.session.Get(r, &s) {
		return s, false
	}
	p, err := l.cfg.Verifier.Verify(r.Context(), s.Token)
	if err != nil {
		return s, false
	}
	if err := l.cfg.Verifier.MayActFor(r.Context(), p, tenantOf(r).ID); err != nil {
		return s, false
	}
	s.Principal = p
	return s, true
}

func tenantOf(r *http.Request) tenant.Tenant {
	if t, ok := tenant.From(r.Context()); ok {
		return t
	}
	return tenant.Tenant{ID: tenant.Operator, Slug: tenant.OperatorSlug}
}

// paths returns the issuer's path and our own base for the tenant of the request.
func (l *Login) paths(r *http.Request) (issuer, base string) {
	t := tenantOf(r)
	if t.ID == tenant.Operator {
		return "/operator/auth", "/operator"
	}
	return "/t/" + t.Slug + "/auth", "/t/" + t.Slug + "/" + l.cfg.Service
}

// begin sends the browser to the issuer and remembers where it wanted to go.
func (l *Login) begin(w http.ResponseWriter, r *http.Request, level int) {
	issuer, base := l.paths(r)
	back := r.URL.RequestURI()
	if r.Method != http.MethodGet { // a form whose session ended: back to the page that showed it
		back = base
		if ref, err := url.Parse(r.Referer()); err == nil && strings.HasPrefix(ref.Path, base) {
			back = ref.RequestURI()
		}
	}
	if !local(back) {
		back = base
	}
	p := pendingLogin{State: id.Secret(16), Verifier: id.Secret(32), Return: back, Level: level}
	if err := l.pending.Set(w, r, p); err != nil {
		l.cfg.Site.ErrorPage(w, r, err)
		return
	}
	sum := sha256.Sum256([]byte(p.Verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {"web-" + l.cfg.Service}, "redirect_uri": {l.cfg.BaseURL + base + "/callback"},
		"scope": {"openid profile email address"}, "state": {p.State}, "ui_locales": {l.cfg.Site.Lang(r)},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	if level > 0 {
		q.Set("acr_values", authn.ACR(level))
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, l.cfg.BaseURL+issuer+"/authorize?"+q.Encode(), http.StatusSeeOther) //nolint:gosec // our own base URL, and a slug that the directory knows
}

// local reports whether a browser that is sent there stays with us. "//host" and "/\host" name
// another host.
func local(target string) bool {
	return strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "//") && !strings.ContainsAny(target, "\\\t\r\n")
}

// callback takes the issuer's answer.
func (l *Login) callback(w http.ResponseWriter, r *http.Request) {
	var p pendingLogin
	q := r.URL.Query()
	if !l.pending.Get(r, &p) || p.State == "" || !local(p.Return) || subtle.ConstantTimeCompare([]byte(p.State), []byte(q.Get("state"))) != 1 {
		l.cfg.Site.ErrorPage(w, r, fault.Gone("login_stale", "this login was begun elsewhere, is finished, or took too long; open the page again that you came from"))
		return
	}
	l.pending.Clear(w, r)
	if code := q.Get("error"); code != "" {
		l.cfg.Site.ErrorPage(w, r, refused(code))
		return
	}
	s, err := l.exchange(r, q.Get("code"), p)
	if err != nil {
		l.cfg.Site.ErrorPage(w, r, err)
		return
	}
	if err := l.session.Set(w, r, s); err != nil {
		l.cfg.Site.ErrorPage(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, p.Return, http.StatusSeeOther)
}

// refused says in our words what the issuer's error code means (OpenID Connect Core 3.1.2.6).
func refused(code string) *fault.Error {
	switch code {
	case "unmet_authentication_requirements":
		return fault.Forbidden("level_too_low", "this needs a login with a higher level of assurance, for example with the online ID card")
	case "access_denied":
		return fault.Forbidden("login_cancelled", "the login was cancelled; nothing was sent")
	case "temporarily_unavailable":
		return fault.Unavailable("login_unavailable", "the login is not available at the moment; try again later").After(30 * time.Second)
	}
	return fault.Forbidden("login_failed", "the login did not succeed; open the page again").Because(errors.New("issuer: " + code))
}

// exchange turns the code into a session: token, its check, and what is known of the person.
func (l *Login) exchange(r *http.Request, code string, p pendingLogin) (Session, error) {
	issuer, base := l.paths(r)
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {p.Verifier},
		"redirect_uri": {l.cfg.BaseURL + base + "/callback"},
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://auth"+issuer+"/token", strings.NewReader(form.Encode())) //nolint:gosec // the host is a service's name, the path our issuer's
	if err != nil {
		return Session{}, err
	}
	client := "web-" + l.cfg.Service
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(client, url.QueryEscape(authn.ServiceSecret(l.cfg.ServiceKey, client)))
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := l.fetch(req, &token); err != nil {
		return Session{}, err
	}
	s := Session{Token: token.AccessToken}
	if s.Principal, err = l.cfg.Verifier.Verify(r.Context(), s.Token); err != nil {
		return Session{}, err
	}
	if s.Principal.Level < p.Level {
		return Session{}, refused("unmet_authentication_requirements")
	}
	req, err = http.NewRequestWithContext(r.Context(), http.MethodGet, "http://auth"+issuer+"/userinfo", nil) //nolint:gosec // the host is a service's name, the path our issuer's
	if err != nil {
		return Session{}, err
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	return s, l.fetch(req, &s.Person)
}

func (l *Login) fetch(req *http.Request, dst any) (err error) {
	resp, err := l.cfg.Services.Client("auth").Do(req) //nolint:gosec // the host is a service's name, the path our issuer's
	if err != nil {
		return refused("temporarily_unavailable").Because(err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s answered %d", refused("server_error"), req.URL.Path, resp.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(dst)
}

// logout forgets the session here and at the issuer (OpenID Connect RP-Initiated Logout 1.0).
func (l *Login) logout(w http.ResponseWriter, r *http.Request) {
	issuer, base := l.paths(r)
	l.session.Clear(w, r)
	q := url.Values{"client_id": {"web-" + l.cfg.Service}, "post_logout_redirect_uri": {l.cfg.BaseURL + base}}
	http.Redirect(w, r, l.cfg.BaseURL+issuer+"/end_session?"+q.Encode(), http.StatusSeeOther) //nolint:gosec // our own base URL, and a slug that the directory knows
}

// Redirects lists where a web client of our own may be sent back to: for the issuer.
func Redirects(baseURL, service, slug string) (callback, afterLogout string) {
	base := baseURL + "/t/" + slug + "/" + service
	if slug == tenant.OperatorSlug {
		base = baseURL + "/operator"
	}
	return base + "/callback", base
}

// WebClient returns the service whose web client this is.
func WebClient(clientID string) (service string, ok bool) {
	service, ok = strings.CutPrefix(clientID, "web-")
	return service, ok && slices.Contains([]string{"forms", "booking", "notify", "console"}, service)
}
