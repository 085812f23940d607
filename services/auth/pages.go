package auth

import (
	"context"
	"embed"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"github.com/zitadel/schema"

	"basisdienste/platform/authn"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/limit"
	"basisdienste/platform/tenant"
	"basisdienste/platform/web"
)

//go:embed templates/*.html
var templates embed.FS

// The cookies of an issuer; their path is the issuer's, so that no two tenants share any.
const (
	browserCookie = "basis_browser" // binds a login to the browser that began it
	sessionPrefix = "basis_sso_"    // the session; citizens and staff have one each
)

func sessionCookie(kind authn.Kind) string { return sessionPrefix + string(kind) }

// cookieName has the prefix that keeps other hosts and plain http from setting the cookie.
func (s *Service) cookieName(name string) string {
	if s.secure() {
		return "__Secure-" + name
	}
	return name
}

func (s *Service) cookie(r *http.Request, name string) string {
	c, err := r.Cookie(s.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

// remember makes the cookie, which the browser forgets when it is closed.
func (s *Service) remember(t tenant.Tenant, name, value string) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure wherever the pages are reached by https
		Name: s.cookieName(name), Value: value, Path: issuerPath(t), Secure: s.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

func (s *Service) forget(t tenant.Tenant, name string) *http.Cookie {
	c := s.remember(t, name, "") //nolint:gosec // see remember
	c.MaxAge = -1
	return c
}

// pages registers what browsers are shown, at all issuers.
func (s *Service) pages(m *kit.Mux, limiter *limit.Limiter) error {
	own, err := fs.Sub(templates, "templates")
	if err != nil {
		return err
	}
	if s.site, err = s.newSite(own, texts()); err != nil {
		return err
	}
	limiter.Declare(passwordLimit, limit.Quota{PerMinute: 30, Burst: 60})
	p := &pages{s: s, limiter: limiter, decoder: schema.NewDecoder()}
	p.decoder.IgnoreUnknownKeys(true)
	handle := func(method, path string, h http.HandlerFunc) {
		protected := s.site.Protect(h)
		m.Handle(method+" /t/{tenant}/auth"+path, protected)
		m.Handle(method+" /operator/auth"+path, atOperator(protected))
	}
	m.Handle("GET /t/{tenant}/auth/authorize", http.HandlerFunc(p.authorize))
	m.Handle("POST /t/{tenant}/auth/authorize", http.HandlerFunc(p.authorize))
	m.Handle("GET /operator/auth/authorize", atOperator(http.HandlerFunc(p.authorize)))
	m.Handle("POST /operator/auth/authorize", atOperator(http.HandlerFunc(p.authorize)))
	handle("GET", "/login", p.login)
	handle("POST", "/login", p.password)
	handle("POST", "/login/cancel", p.cancel)
	handle("GET", "/logout", p.logoutPage)
	handle("POST", "/logout", p.logoutConfirmed)
	handle("GET", "/logged-out", p.loggedOut)
	for _, provider := range s.providers {
		path := "/t/{tenant}/auth/idp/" + provider.Name() + "/"
		m.Handle("GET "+path, s.site.Protect(provider))
		m.Handle("POST "+path, s.site.Protect(provider))
	}
	return nil
}

// newSite makes pages in our frame, for us and for the providers.
func (s *Service) newSite(templates fs.FS, texts web.Texts) (*web.Site, error) {
	return web.New(web.Config{
		Service: "service", Templates: templates, Texts: texts, Key: s.secrets.page, Secure: s.secure(), Demo: s.demo, Clock: s.clock, Log: s.log,
	})
}

type pages struct {
	s       *Service
	limiter *limit.Limiter
	decoder *schema.Decoder
}

const passwordLimit = "auth.password" // attempts of one address

// authorize is the authorization endpoint (RFC 6749 section 3.1, OpenID Connect Core
// section 3.1.2). Until client and redirect URI are known to be good, mistakes are told on
// a page, and to the client after that.
func (p *pages) authorize(w http.ResponseWriter, r *http.Request) {
	if !parseForm(w, r) {
		return
	}
	s, ctx := p.s, r.Context()
	var q oidc.AuthRequest
	if err := p.decoder.Decode(&q, r.Form); err != nil {
		s.site.ErrorPage(w, r, fault.Invalid("invalid_auth_request", "a parameter of the authorization request cannot be read").Because(err))
		return
	}
	client, err := s.client(ctx, q.ClientID)
	if err != nil {
		s.site.ErrorPage(w, r, err)
		return
	}
	if client == nil || !client.may(grantCode) {
		s.site.ErrorPage(w, r, fault.Invalid("unknown_login_client", "the application that sent you here is not known, or not switched on, for logins here"))
		return
	}
	if !slices.Contains(client.Redirects.V, q.RedirectURI) {
		s.site.ErrorPage(w, r, fault.Invalid("redirect_mismatch", "the application wants to be reached at an address that is not registered for it (redirect_uri)"))
		return
	}
	request, err := s.checkAuthRequest(ctx, client, &q, r)
	if err != nil {
		p.back(w, r, q.RedirectURI, q.State, err)
		return
	}
	ss, err := s.sessionOf(ctx, request.Kind, s.cookie(r, sessionCookie(request.Kind)))
	if err != nil {
		s.site.ErrorPage(w, r, err)
		return
	}
	again := slices.Contains(q.Prompt, oidc.PromptLogin) || slices.Contains(q.Prompt, oidc.PromptSelectAccount)
	switch {
	case ss != nil && !again && ss.fresh(q.MaxAge, s.clock()) && ss.Level >= request.Level && (request.Subject == "" || request.Subject == ss.Subject):
		code, err := s.resume(ctx, ss.ID, request)
		if err != nil {
			s.site.ErrorPage(w, r, err)
			return
		}
		p.success(w, r, request, code)
		return
	case slices.Contains(q.Prompt, oidc.PromptNone):
		p.back(w, r, q.RedirectURI, q.State, oidc.ErrLoginRequired().WithDescription("the person has to log in, or to log in at a higher level"))
		return
	case ss != nil && ss.Level < request.Level && request.Kind == authn.Citizen:
		request.HadLevel = ss.Level
	}
	browser := s.cookie(r, browserCookie)
	if len(browser) < 20 {
		browser = id.Secret(16)
		http.SetCookie(w, s.remember(here(ctx), browserCookie, browser))
	}
	requestID, err := s.beginLogin(ctx, browser, request)
	if err != nil {
		s.site.ErrorPage(w, r, err)
		return
	}
	target := url.Values{"request": {requestID}}
	if lang, ok := uiLanguage(q.UILocales); ok {
		target.Set("lang", lang)
	}
	redirect(w, r, issuerPath(here(ctx))+"/login?"+target.Encode())
}

// uiLanguage is the first of the client's languages that we speak.
func uiLanguage(locales oidc.Locales) (string, bool) {
	for _, l := range locales {
		if base, _ := l.Base(); base.String() == "de" || base.String() == "en" {
			return base.String(), true
		}
	}
	return "", false
}

// unmetLevel is the error of OpenID Connect Unmet Authentication Requirements 1.0.
func unmetLevel(description string) error {
	e := oidc.ErrInvalidRequest().WithDescription("%s", description)
	e.ErrorType = "unmet_authentication_requirements"
	return e
}

// checkAuthRequest decides what of the request is granted. Its errors are for the client.
func (s *Service) checkAuthRequest(ctx context.Context, c *knownClient, q *oidc.AuthRequest, r *http.Request) (request loginRequest, err error) {
	if q.RequestParam != "" || r.Form.Get("request_uri") != "" {
		return request, oidc.ErrRequestNotSupported().WithDescription("request objects are not supported")
	}
	if err := op.ValidateAuthReqResponseType(opClient{c.Client}, q.ResponseType); err != nil {
		return request, unsupportedResponse(err)
	}
	if q.ResponseMode != "" && q.ResponseMode != oidc.ResponseModeQuery {
		return request, oidc.ErrInvalidRequest().WithDescription("response_mode must be query")
	}
	if q.MaxAge, err = op.ValidateAuthReqPrompt(q.Prompt, q.MaxAge); err != nil {
		return request, err
	}
	if q.Scopes, err = op.ValidateAuthReqScopes(opClient{c.Client}, strings.Fields(r.Form.Get("scope"))); err != nil {
		return request, err
	}
	if q.CodeChallengeMethod != oidc.CodeChallengeMethodS256 || len(q.CodeChallenge) != 43 {
		return request, oidc.ErrInvalidRequest().WithDescription("PKCE is required: code_challenge with code_challenge_method=S256 (RFC 7636)")
	}
	level, ok := leastLevel(q.ACRValues, c.MinLevel)
	who := c.Login
	if who == authn.Staff || here(ctx).ID == tenant.Operator {
		who = authn.Staff // there are no citizens at the operator
		level, ok = 0, ok && level == 0
	}
	if !ok {
		return request, unmetLevel("none of the acr_values can be reached here")
	}
	request = loginRequest{
		ClientID: c.ID, ClientName: c.Name, RedirectURI: q.RedirectURI, State: q.State, Nonce: q.Nonce, Challenge: q.CodeChallenge,
		Scopes: slices.DeleteFunc(q.Scopes, func(s string) bool { return s == oidc.ScopeOfflineAccess || s == scopeOperator }), Kind: who, Level: level,
	}
	if q.IDTokenHint != "" {
		h, err := s.idTokenHint(ctx, q.IDTokenHint)
		if err != nil {
			return request, err
		}
		if h.Subject == "" {
			return request, oidc.ErrLoginRequired().WithDescription("id_token_hint is not an ID token of this issuer")
		}
		request.Subject = h.Subject
	}
	return request, opensFor(ctx, request.Kind)
}

// unsupportedResponse gives the error its name of RFC 6749 section 4.1.2.1.
func unsupportedResponse(err error) error {
	e := oidc.DefaultToServerError(err, err.Error())
	if e.ErrorType == oidc.UnauthorizedClient {
		e.ErrorType, e.Description = "unsupported_response_type", "response_type must be code"
	}
	return e
}

// back tells the client an error. Faults are told to the person on a page: those that the
// client could do nothing about.
func (p *pages) back(w http.ResponseWriter, r *http.Request, redirectURI, state string, err error) {
	e := oidcError(err)
	if e == nil {
		p.s.site.ErrorPage(w, r, err)
		return
	}
	q := url.Values{"error": {string(e.ErrorType)}, "error_description": {strings.ReplaceAll(e.Description, `"`, "'")}}
	p.answer(w, r, redirectURI, state, q)
}

func (p *pages) success(w http.ResponseWriter, r *http.Request, q loginRequest, code string) {
	p.answer(w, r, q.RedirectURI, q.State, url.Values{"code": {code}})
}

// answer sends the browser back to the client; iss tells it which issuer speaks (RFC 9207).
func (p *pages) answer(w http.ResponseWriter, r *http.Request, redirectURI, state string, q url.Values) {
	target, err := url.Parse(redirectURI)
	if err != nil {
		p.s.site.ErrorPage(w, r, err)
		return
	}
	if state != "" {
		q.Set("state", state)
	}
	q.Set("iss", p.s.issuerOf(here(r.Context())))
	all := target.Query()
	for name, values := range q {
		all[name] = values
	}
	target.RawQuery = all.Encode()
	redirect(w, r, target.String())
}

func redirect(w http.ResponseWriter, r *http.Request, target string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target, http.StatusSeeOther)
}
