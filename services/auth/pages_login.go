package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"basisdienste/platform/authn"
	"basisdienste/platform/fault"
	"basisdienste/platform/limit"
	"basisdienste/platform/web"
)

// oidcError returns the protocol error inside err, or nil.
func oidcError(err error) *oidc.Error {
	var e *oidc.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// login shows what the login under way needs: a password, or the way to a provider.
func (p *pages) login(w http.ResponseWriter, r *http.Request) {
	s, requestID := p.s, r.FormValue("request")
	q, err := s.pendingLogin(r, requestID)
	if err != nil {
		s.site.ErrorPage(w, r, err)
		return
	}
	if q.Kind == authn.Staff {
		p.showPassword(w, r, http.StatusOK, q, p.passwordForm(r, requestID), "")
		return
	}
	if len(s.providers) == 0 {
		s.site.ErrorPage(w, r, fault.Unavailable("login_unavailable", "citizens cannot log in here at the moment: no identity provider is configured"))
		return
	}
	if q.HadLevel == 0 && len(s.providers) == 1 {
		redirect(w, r, p.providerURL(r, s.providers[0], requestID))
		return
	}
	p.showChoice(w, r, "step-up", q, requestID)
}

// choice is what the pages show that lead on to a provider.
type choice struct {
	Client, Needed, Had string
	Providers           []web.Link
	Request, Cancel     string
}

func (p *pages) showChoice(w http.ResponseWriter, r *http.Request, name string, q loginRequest, requestID string) {
	c := choice{Client: q.ClientName, Needed: p.levelName(r, q.Level), Had: p.levelName(r, q.HadLevel), Request: requestID, Cancel: issuerPath(here(r.Context())) + "/login/cancel"}
	for _, provider := range p.s.providers {
		c.Providers = append(c.Providers, web.Link{URL: p.providerURL(r, provider, requestID), Text: p.s.site.T(r, "login.go")})
	}
	p.s.site.Render(w, r, http.StatusOK, name, web.Page{
		Title: p.s.site.T(r, name+".title"), Self: loginURL(r, requestID), FormAction: []string{q.RedirectURI},
	}, c)
}

func loginURL(r *http.Request, requestID string) string {
	return issuerPath(here(r.Context())) + "/login?" + url.Values{"request": {requestID}}.Encode()
}

func (p *pages) levelName(r *http.Request, level int) string {
	switch level {
	case 3:
		return p.s.site.T(r, "level.3")
	case 4:
		return p.s.site.T(r, "level.4")
	}
	return p.s.site.T(r, "level.1")
}

func (p *pages) providerURL(r *http.Request, provider Provider, requestID string) string {
	q := url.Values{"request": {requestID}}
	if lang := r.FormValue("lang"); lang == "de" || lang == "en" {
		q.Set("lang", lang)
	}
	return issuerPath(here(r.Context())) + "/idp/" + provider.Name() + "/?" + q.Encode()
}

// citizenDone takes a provider's word for who logged in: see Broker.Done.
func (s *Service) citizenDone(w http.ResponseWriter, r *http.Request, provider, requestID string, who Identity) {
	p := &pages{s: s}
	q, err := s.pendingLogin(r, requestID)
	if err == nil {
		err = opensFor(r.Context(), authn.Citizen)
	}
	if err != nil {
		s.site.ErrorPage(w, r, err)
		return
	}
	if who.Level < q.Level {
		q.HadLevel = who.Level
		p.showChoice(w, r, "too-low", q, requestID)
		return
	}
	subject := s.secrets.pairwise(here(r.Context()).ID, provider, who.Subject)
	p.finish(w, r, requestID, q, arrival{kind: authn.Citizen, subject: subject, level: who.Level, profile: who.Profile})
}

// finish makes the session and sends the browser back with a code.
func (p *pages) finish(w http.ResponseWriter, r *http.Request, requestID string, q loginRequest, who arrival) {
	s, ctx := p.s, r.Context()
	if q.Subject != "" && q.Subject != who.subject {
		s.loginError(w, r, requestID, oidc.ErrLoginRequired().WithDescription("another person logged in than the one in id_token_hint"))
		return
	}
	name := sessionCookie(who.kind)
	cookie, code, q, err := s.finishLogin(ctx, s.cookie(r, browserCookie), requestID, s.cookie(r, name), who)
	if err != nil {
		s.site.ErrorPage(w, r, err)
		return
	}
	http.SetCookie(w, s.remember(here(ctx), name, cookie))
	p.success(w, r, q, code)
}

// loginRefused ends the login and tells the client why.
func (s *Service) loginRefused(w http.ResponseWriter, r *http.Request, requestID, code, description string) {
	e := oidc.ErrAccessDenied().WithDescription("%s", description)
	if code == unmet {
		s.loginError(w, r, requestID, unmetLevel(description))
		return
	}
	s.loginError(w, r, requestID, e)
}

const unmet = "unmet_authentication_requirements"

func (s *Service) loginError(w http.ResponseWriter, r *http.Request, requestID string, why error) {
	q, err := s.abandon(r.Context(), s.cookie(r, browserCookie), requestID)
	if err != nil {
		s.site.ErrorPage(w, r, err)
		return
	}
	(&pages{s: s}).back(w, r, q.RedirectURI, q.State, why)
}

// cancel gives the login up: for want of the level that is needed, or of will.
func (p *pages) cancel(w http.ResponseWriter, r *http.Request) {
	if !parseForm(w, r) {
		return
	}
	if r.PostForm.Get("reason") == "level" {
		p.s.loginRefused(w, r, r.PostForm.Get("request"), unmet, "the person did not log in at the level that is needed")
		return
	}
	p.s.loginRefused(w, r, r.PostForm.Get("request"), "access_denied", "the person cancelled the login")
}

// passwordForm is the questions to staff.
func (p *pages) passwordForm(r *http.Request, requestID string) web.Form {
	t := p.s.site.T
	return web.Form{
		{Name: "request", Kind: "hidden", Value: requestID},
		{Name: "username", Label: t(r, "staff.username"), Autocomplete: "username", Required: true, MaxLength: 128},
		{Name: "password", Kind: "password", Label: t(r, "staff.password"), Autocomplete: "current-password", Required: true},
	}
}

func (p *pages) showPassword(w http.ResponseWriter, r *http.Request, status int, q loginRequest, form web.Form, failure string) {
	p.s.site.Render(w, r, status, "password", web.Page{
		Title: p.s.site.T(r, "staff.title"), Self: loginURL(r, form.Value("request")), FormAction: []string{q.RedirectURI},
	}, map[string]any{"Form": form, "Failure": failure, "Request": form.Value("request")})
}

// password logs staff in.
func (p *pages) password(w http.ResponseWriter, r *http.Request) {
	if !parseForm(w, r) {
		return
	}
	s, ctx := p.s, r.Context()
	form := p.passwordForm(r, "")
	form.Fill(r.PostForm)
	requestID := form.Value("request")
	q, err := s.pendingLogin(r, requestID)
	if err == nil && q.Kind != authn.Staff {
		err = fault.Forbidden("staff_only", "this login is for citizens")
	}
	if err != nil {
		s.site.ErrorPage(w, r, err)
		return
	}
	if !s.site.Check(r, form) {
		p.showPassword(w, r, http.StatusUnprocessableEntity, q, form, "")
		return
	}
	who, err := p.checkPassword(ctx, form.Value("username"), form.Value("password"))
	f := fault.From(err)
	switch {
	case f == nil:
		p.finish(w, r, requestID, q, staffArrival(who))
	case f.Kind == fault.KindUnauthenticated, f.Kind == fault.KindRateLimited:
		form.Field("password").Value = ""
		p.showPassword(w, r, f.Kind.Status(), q, form, s.site.T(r, "staff."+f.Code))
	default:
		s.site.ErrorPage(w, r, err)
	}
}

func (p *pages) checkPassword(ctx context.Context, username, password string) (Staff, error) {
	if address := limit.Address(ctx); address != "" {
		if err := p.limiter.AllowKey(ctx, passwordLimit, address); err != nil {
			return Staff{}, err
		}
	}
	return p.s.CheckPassword(ctx, username, password)
}

// logoutRequest is what an application asks for when it logs somebody out.
type logoutRequest struct{ ClientID, Redirect, State string }

func (q logoutRequest) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"client_id": q.ClientID, "post_logout_redirect_uri": q.Redirect, "state": q.State} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

func (s *Service) hasSession(r *http.Request) bool {
	return s.cookie(r, sessionCookie(authn.Citizen)) != "" || s.cookie(r, sessionCookie(authn.Staff)) != ""
}

// endSession ends the browser's sessions at the issuer and returns where the browser goes.
func (s *Service) endSession(ctx context.Context, r *http.Request, q logoutRequest) (string, error) {
	if s.hasSession(r) {
		if err := s.logout(ctx, s.cookie(r, sessionCookie(authn.Citizen)), s.cookie(r, sessionCookie(authn.Staff))); err != nil {
			return "", err
		}
		s.revocations.Purge()
	}
	return s.logoutTarget(ctx, q)
}

// logoutTarget is where a logout leads: to the address that was asked for if it is registered
// for the client, else to a page of ours.
func (s *Service) logoutTarget(ctx context.Context, q logoutRequest) (string, error) {
	c, err := s.client(ctx, q.ClientID)
	if err != nil || c == nil || q.Redirect == "" || !slices.Contains(c.AfterLogout.V, q.Redirect) {
		return s.issuerOf(here(ctx)) + "/logged-out", err
	}
	if q.State == "" {
		return q.Redirect, nil
	}
	separator := "?"
	if strings.Contains(q.Redirect, "?") {
		separator = "&"
	}
	return q.Redirect + separator + url.Values{"state": {q.State}}.Encode(), nil
}

// logoutPage asks whether to log out.
func (p *pages) logoutPage(w http.ResponseWriter, r *http.Request) {
	q := logoutRequest{ClientID: r.FormValue("client_id"), Redirect: r.FormValue("post_logout_redirect_uri"), State: r.FormValue("state")}
	target, err := p.s.logoutTarget(r.Context(), q)
	if err != nil {
		p.s.site.ErrorPage(w, r, err)
		return
	}
	form := web.Form{}
	for name, values := range q.values() {
		form = append(form, web.Field{Name: name, Kind: "hidden", Value: values[0]})
	}
	p.s.site.Render(w, r, http.StatusOK, "logout", web.Page{
		Title: p.s.site.T(r, "logout.title"), FormAction: []string{target},
	}, map[string]any{"Form": form})
}

func (p *pages) logoutConfirmed(w http.ResponseWriter, r *http.Request) {
	if !parseForm(w, r) {
		return
	}
	f := r.PostForm
	target, err := p.s.endSession(r.Context(), r, logoutRequest{ClientID: f.Get("client_id"), Redirect: f.Get("post_logout_redirect_uri"), State: f.Get("state")})
	if err != nil {
		p.s.site.ErrorPage(w, r, err)
		return
	}
	for _, kind := range []authn.Kind{authn.Citizen, authn.Staff} {
		http.SetCookie(w, p.s.forget(here(r.Context()), sessionCookie(kind)))
	}
	redirect(w, r, target)
}

func (p *pages) loggedOut(w http.ResponseWriter, r *http.Request) {
	p.s.site.Render(w, r, http.StatusOK, "logged-out", web.Page{Title: p.s.site.T(r, "logged_out.title")}, nil)
}
