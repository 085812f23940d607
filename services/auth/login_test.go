package auth_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"basisdienste/platform/authn"
	"basisdienste/platform/fault"
	"basisdienste/platform/tenantdir"
)

// app is an application that lets people log in: coreos/go-oidc and x/oauth2, as many have.
type app struct {
	w        *world
	provider *oidc.Provider
	oauth2.Config
	verifier string // PKCE
}

const callback = "https://app.example/callback"

// app registers an application at a municipality; metadata is added to the registration.
func (w *world) app(slug string, metadata map[string]any) *app {
	w.t.Helper()
	m := map[string]any{
		"client_id": "app", "name": "Anwohnerparken", "grant_types": []string{"authorization_code"}, "scopes": []string{"openid", "profile"},
		"redirect_uris": []string{callback}, "post_logout_redirect_uris": []string{"https://app.example/bye"},
	}
	for k, v := range metadata {
		m[k] = v
	}
	base := "/t/" + slug
	if slug == "operator" {
		base = "/operator"
	}
	secret := w.client(base, m)
	provider, err := oidc.NewProvider(w.t.Context(), w.URL+base+"/auth")
	if err != nil {
		w.t.Fatal(err)
	}
	return &app{w: w, provider: provider, verifier: oauth2.GenerateVerifier(), Config: oauth2.Config{
		ClientID: m["client_id"].(string), ClientSecret: secret, Endpoint: provider.Endpoint(), RedirectURL: callback,
		Scopes: []string{"openid", "profile", "email", "address"},
	}}
}

func acr(values string) oauth2.AuthCodeOption { return oauth2.SetAuthURLParam("acr_values", values) }

func param(name, value string) oauth2.AuthCodeOption {
	return oauth2.SetAuthURLParam(name, value)
}

// start is the address that the application sends browsers to.
func (a *app) start(opts ...oauth2.AuthCodeOption) string {
	opts = append([]oauth2.AuthCodeOption{oidc.Nonce("nonce-1"), oauth2.S256ChallengeOption(a.verifier)}, opts...)
	return a.AuthCodeURL("state-1", opts...)
}

// finish checks the answer of the issuer and exchanges the code.
func (a *app) finish(p page) (*oauth2.Token, *oidc.IDToken) {
	a.w.t.Helper()
	q := p.URL.Query()
	if !p.Left || !strings.HasPrefix(p.URL.String(), callback) || q.Get("code") == "" || q.Get("state") != "state-1" {
		a.w.t.Fatalf("the browser is at %s (%d), want it back at the application with code and state\n%s", p.URL, p.Status, p.Text)
	}
	token, err := a.Exchange(a.w.t.Context(), q.Get("code"), oauth2.VerifierOption(a.verifier))
	if err != nil {
		a.w.t.Fatalf("exchange: %v", err)
	}
	raw, _ := token.Extra("id_token").(string)
	idToken, err := a.provider.Verifier(&oidc.Config{ClientID: a.ClientID, Now: a.w.clock.Now}).Verify(a.w.t.Context(), raw)
	if err != nil {
		a.w.t.Fatalf("ID token: %v", err)
	}
	if idToken.Nonce != "nonce-1" || idToken.VerifyAccessToken(token.AccessToken) != nil {
		a.w.t.Errorf("ID token has nonce %q, at_hash %q; want nonce-1 and that of the access token", idToken.Nonce, idToken.AccessTokenHash)
	}
	return token, idToken
}

// refusal is the error with which the issuer sent the browser back, "" if it did not.
func refusal(p page) string {
	if !p.Left {
		return ""
	}
	return p.URL.Query().Get("error")
}

func TestCodeFlow_Citizen(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app("erfurt", nil)
	b := w.browser()
	p := b.open(a.start(acr("STORK-QAA-Level-3")))
	if !strings.Contains(p.Text, "Testumgebung") || !strings.Contains(p.Text, "Anwohnerparken") {
		t.Fatalf("login page = %d %s\n%s\nwant the sandbox, marked as a test, with the application's name", p.Status, p.URL, p.Text)
	}
	p = p.submit("person", "erika", "level", "3")
	if got := p.URL.Query().Get("iss"); got != w.URL+"/t/erfurt/auth" {
		t.Errorf("iss of the answer = %q, want the issuer (RFC 9207)", got)
	}
	token, idToken := a.finish(p)

	principal, err := w.principal(token.AccessToken)
	if err != nil || principal.Kind != authn.Citizen || principal.TenantID != w.erfurt.ID || principal.Level != 3 || principal.Subject != idToken.Subject {
		t.Errorf("access token = %+v, %v; want a citizen of erfurt at level 3 with the subject %s", principal, err, idToken.Subject)
	}
	var claims struct {
		GivenName string `json:"given_name"`
		ACR       string `json:"acr"`
		SID       string `json:"sid"`
	}
	if err := idToken.Claims(&claims); err != nil || claims.GivenName != "Erika" || claims.ACR != "STORK-QAA-Level-3" || claims.SID == "" {
		t.Errorf("ID token = %+v, %v; want Erika, level 3, sid", claims, err)
	}
	info, err := a.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	if err != nil {
		t.Fatalf("userinfo: %v", err)
	}
	var person struct {
		Family  string            `json:"family_name"`
		Born    string            `json:"birthdate"`
		Address map[string]string `json:"address"`
		Mailbox string            `json:"mailbox"`
	}
	if err := info.Claims(&person); err != nil || info.Subject != idToken.Subject || info.Email != "erika.mustermann@example.org" ||
		person.Family != "Mustermann" || person.Born != "1984-08-12" || person.Address["locality"] != "Erfurt" || person.Mailbox == "" {
		t.Errorf("userinfo = %+v %+v, %v; want Erika Mustermann with address, birthdate and mailbox", info, person, err)
	}

	// The second application finds the session.
	again := b.open(a.start())
	if !again.Left || again.URL.Query().Get("code") == "" {
		t.Errorf("second login = %s (%d), want it silent", again.URL, again.Status)
	}
	// Its cookie is the issuer's alone.
	for _, c := range b.client.Jar.Cookies(mustURL(t, w.URL+"/t/erfurt/auth/authorize")) {
		if !strings.HasPrefix(c.Name, "basis_") {
			t.Errorf("cookie %s, want only basis_…", c.Name)
		}
	}
	if got := b.client.Jar.Cookies(mustURL(t, w.URL+"/t/jena/auth/authorize")); len(got) != 0 {
		t.Errorf("cookies at another issuer = %v, want none", got)
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestCodeFlow_OwnName(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app("erfurt", nil)
	p := w.browser().open(a.start(param("ui_locales", "en")))
	if !strings.Contains(p.Text, "test environment") {
		t.Errorf("with ui_locales=en the page is not English:\n%s", p.Text)
	}
	if p = p.submit("person", "own"); p.Status != http.StatusUnprocessableEntity {
		t.Fatalf("somebody else without a name = %d, want 422 with the fields named", p.Status)
	}
	_, idToken := a.finish(p.submit("person", "own", "given_name", "Ada", "family_name", "Beispielhaft", "level", "1"))
	var claims map[string]any
	if err := idToken.Claims(&claims); err != nil || claims["name"] != "Ada Beispielhaft" || claims["acr"] != "STORK-QAA-Level-1" {
		t.Errorf("ID token = %v, %v; want Ada Beispielhaft at level 1", claims, err)
	}
}

func TestPairwiseSubjects(t *testing.T) {
	t.Parallel()
	w := start(t)
	subject := func(slug, client, person string) string {
		a := w.app(slug, map[string]any{"client_id": client})
		_, idToken := a.finish(w.browser().open(a.start()).submit("person", person, "level", "1"))
		return idToken.Subject
	}
	first := subject("erfurt", "one", "erika")
	if got := subject("erfurt", "two", "erika"); got != first {
		t.Errorf("subject for another application of erfurt = %q, want the same: %q", got, first)
	}
	if got := subject("jena", "one", "erika"); got == first {
		t.Errorf("subject at jena = %q, the same as at erfurt", got)
	}
	if got := subject("erfurt", "three", "max"); got == first {
		t.Errorf("subject of another person = %q, the same", got)
	}
}

func TestCodeFlow_Refused(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app("erfurt", nil)
	b := w.browser()
	plain := a.AuthCodeURL("s", param("code_challenge", strings.Repeat("a", 43)), param("code_challenge_method", "plain"))
	for _, c := range []struct{ name, url, want string }{
		{"no PKCE", a.AuthCodeURL("s"), "invalid_request"},
		{"PKCE plain", plain, "invalid_request"},
		{"PKCE without method", a.AuthCodeURL("s", param("code_challenge", strings.Repeat("a", 43))), "invalid_request"},
		{"implicit", a.start(param("response_type", "token")), "unsupported_response_type"},
		{"hybrid", a.start(param("response_type", "code id_token")), "unsupported_response_type"},
		{"form_post", a.start(param("response_mode", "form_post")), "invalid_request"},
		{"request object", a.start(param("request", "x.y.z")), "request_not_supported"},
		{"silent without session", a.start(param("prompt", "none")), "login_required"},
		{"none and login", a.start(param("prompt", "none login")), "invalid_request"},
		{"level that does not exist", a.start(acr("urn:example:gold")), "unmet_authentication_requirements"},
		{"no scope", a.start(param("scope", "")), "invalid_request"},
		{"foreign id_token_hint", a.start(param("id_token_hint", "x.y.z")), "login_required"},
	} {
		p := b.open(c.url)
		if got := refusal(p); got != c.want || p.URL.Query().Get("iss") == "" {
			t.Errorf("%s: %s (%d) error = %q, want %q with iss", c.name, p.URL, p.Status, got, c.want)
		}
	}
	for _, c := range []struct{ name, url, want string }{
		{"other redirect_uri", a.start(param("redirect_uri", callback+"/x")), "redirect_mismatch"},
		{"redirect_uri with a query", a.start(param("redirect_uri", callback+"?a=b")), "redirect_mismatch"},
		{"redirect_uri in other case", a.start(param("redirect_uri", "https://APP.example/callback")), "redirect_mismatch"},
		{"no redirect_uri", a.start(param("redirect_uri", "")), "redirect_mismatch"},
		{"unknown client", a.start(param("client_id", "nobody")), "unknown_login_client"},
		{"client of another municipality", strings.Replace(a.start(), "/t/erfurt/", "/t/jena/", 1), "unknown_login_client"},
	} {
		if p := b.open(c.url); p.Left || p.Status != http.StatusBadRequest || !strings.Contains(p.Text, c.want) {
			t.Errorf("%s: %s (%d), want a page with %s and no redirect", c.name, p.URL, p.Status, c.want)
		}
	}
	if p := b.open(strings.Replace(a.start(), "/t/erfurt/", "/t/nowhere/", 1)); p.Status != http.StatusNotFound {
		t.Errorf("unknown tenant = %d, want 404", p.Status)
	}
}

func TestCode_Misused(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app("erfurt", nil)
	other := w.app("erfurt", map[string]any{"client_id": "other"})
	atJena := w.app("jena", nil)
	code := func() string {
		return w.browser().open(a.start()).submit("person", "erika", "level", "1").URL.Query().Get("code")
	}
	failed := func(err error) string {
		var e *oauth2.RetrieveError
		if !asError(err, &e) {
			return "no error"
		}
		return e.ErrorCode
	}
	exchange := func(by *app, code string, opts ...oauth2.AuthCodeOption) (*oauth2.Token, error) {
		return by.Exchange(context.WithValue(t.Context(), oauth2.HTTPClient, w.Client), code, opts...)
	}
	good := oauth2.VerifierOption(a.verifier)
	for _, c := range []struct {
		name string
		by   *app
		opts []oauth2.AuthCodeOption
		want string
	}{
		{"no verifier", a, nil, "invalid_request"},
		{"wrong verifier", a, []oauth2.AuthCodeOption{oauth2.VerifierOption(oauth2.GenerateVerifier())}, "invalid_grant"},
		{"other client", other, []oauth2.AuthCodeOption{good}, "invalid_grant"},
		{"other municipality", atJena, []oauth2.AuthCodeOption{good}, "invalid_grant"},
		{"other redirect_uri", a, []oauth2.AuthCodeOption{good, param("redirect_uri", "https://app.example/other")}, "invalid_grant"},
	} {
		if _, err := exchange(c.by, code(), c.opts...); failed(err) != c.want {
			t.Errorf("%s: exchange = %v, want %s", c.name, err, c.want)
		}
	}
	late := code()
	w.clock.Add(61 * time.Second)
	if _, err := exchange(a, late, good); failed(err) != "invalid_grant" {
		t.Errorf("exchange after a minute = %v, want invalid_grant", err)
	}

	once := code()
	token, err := exchange(a, once, good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exchange(a, once, good); failed(err) != "invalid_grant" {
		t.Errorf("exchange twice = %v, want invalid_grant", err)
	}
	if _, err := a.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token)); err == nil {
		t.Error("the token of a code that was used twice is still good for userinfo")
	}
	// A token of Erfurt is none at Jena.
	p, err := w.principal(token.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Process.Host("auth").Verifier.MayActFor(t.Context(), p, w.jena.ID); !fault.Is(err, "wrong_tenant") {
		t.Errorf("MayActFor(citizen of erfurt, jena) = %v, want wrong_tenant", err)
	}
	if r := w.Do(http.MethodGet, "/t/jena/auth/userinfo", token.AccessToken, nil); r.Status != 401 || r.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("userinfo at jena = %d %s, want 401 with WWW-Authenticate", r.Status, r.Body)
	}
	if r := w.Do(http.MethodGet, "/t/erfurt/auth/userinfo?access_token="+token.AccessToken, "", nil); r.Status != 401 {
		t.Errorf("userinfo with the token in the URL = %d, want 401", r.Status)
	}
}

func TestStepUp(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app("erfurt", nil)
	b := w.browser()
	_, first := a.finish(b.open(a.start()).submit("person", "erika", "level", "1"))

	p := b.open(a.start(acr("STORK-QAA-Level-4"), param("prompt", "none")))
	if got := refusal(p); got != "login_required" {
		t.Errorf("silent step-up = %q, want login_required", got)
	}
	p = b.open(a.start(acr("STORK-QAA-Level-3")))
	if p.Left || !strings.Contains(p.Text, "substanziell") || !strings.Contains(p.Text, "Basis") {
		t.Fatalf("step-up = %s (%d), want a page that names the level needed and the one there is\n%s", p.URL, p.Status, p.Text)
	}
	p = b.open(p.link("Weiter"))
	low := p.submit("person", "erika", "level", "1")
	if low.Left || !strings.Contains(low.Text, "reicht nicht") {
		t.Fatalf("login at level 1 = %s (%d), want a page that explains\n%s", low.URL, low.Status, low.Text)
	}
	if got := refusal(low.submit()); got != "unmet_authentication_requirements" {
		t.Errorf("cancelled step-up = %q, want unmet_authentication_requirements", got)
	}

	p = b.open(a.start(acr("http://eidas.europa.eu/LoA/substantial")))
	p = b.open(p.link("Weiter")).submit("person", "erika", "level", "4")
	token, second := a.finish(p)
	if second.Subject != first.Subject {
		t.Errorf("subject after step-up = %q, want %q", second.Subject, first.Subject)
	}
	if principal, err := w.principal(token.AccessToken); err != nil || principal.Level != 4 {
		t.Errorf("token after step-up = %+v, %v; want level 4", principal, err)
	}
	// The stronger session serves the weaker demand.
	if again := b.open(a.start(acr("STORK-QAA-Level-1"))); !again.Left {
		t.Errorf("after step-up, level 1 = %s, want it silent", again.URL)
	}
}

func TestClientFloor(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app("erfurt", map[string]any{"min_level": 3})
	p := w.browser().open(a.start(acr("STORK-QAA-Level-1"))).submit("person", "erika", "level", "1")
	if p.Left || !strings.Contains(p.Text, "reicht nicht") {
		t.Errorf("level 1 at a client with the floor 3 = %s, want a page that explains", p.URL)
	}
}

func TestPromptAndMaxAge(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app("erfurt", nil)
	b := w.browser()
	_, first := a.finish(b.open(a.start()).submit("person", "erika", "level", "1"))
	if p := b.open(a.start(param("prompt", "none"))); refusal(p) != "" || !p.Left {
		t.Errorf("prompt=none with a session = %s, want a code", p.URL)
	}
	if p := b.open(a.start(param("prompt", "login"))); p.Left {
		t.Errorf("prompt=login = %s, want a login page", p.URL)
	}
	w.clock.Add(10 * time.Minute)
	if p := b.open(a.start(param("max_age", "900"))); !p.Left {
		t.Errorf("max_age=900 after 600 s = %s, want a code", p.URL)
	}
	p := b.open(a.start(param("max_age", "300")))
	if p.Left {
		t.Fatalf("max_age=300 after 600 s = %s, want a login page", p.URL)
	}
	_, second := a.finish(p.submit("person", "erika", "level", "1"))
	var t1, t2 struct {
		AuthTime int64 `json:"auth_time"`
	}
	if err := first.Claims(&t1); err != nil {
		t.Fatal(err)
	}
	if err := second.Claims(&t2); err != nil || t2.AuthTime-t1.AuthTime != 600 {
		t.Errorf("auth_time went from %d to %d (%v), want 600 s more", t1.AuthTime, t2.AuthTime, err)
	}
	w.clock.Add(9 * time.Hour)
	if p := b.open(a.start()); p.Left {
		t.Errorf("after the session's end = %s, want a login page", p.URL)
	}
}

func TestLogin_OtherBrowser(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app("erfurt", nil)
	p := w.browser().open(a.start())
	if q := w.browser().open(p.URL.String()); q.Status != http.StatusGone {
		t.Errorf("login begun in another browser = %d, want 410", q.Status)
	}
	w.clock.Add(31 * time.Minute)
	if q := p.submit("person", "erika", "level", "1"); q.Status != http.StatusGone {
		t.Errorf("login after 31 minutes = %d, want 410", q.Status)
	}
	p = w.browser().open(a.start())
	if got := refusal(p.submit("cancel", "yes")); got != "access_denied" {
		t.Errorf("cancelled login = %q, want access_denied", got)
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app("erfurt", nil)
	b := w.browser()
	token, _ := a.finish(b.open(a.start()).submit("person", "erika", "level", "1"))
	end := w.URL + "/t/erfurt/auth/end_session?"

	// Somebody else's link asks first.
	p := b.open(end + url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {"https://app.example/bye"}, "state": {"s 1"}}.Encode())
	if p.Left || !strings.Contains(p.Text, "abmelden?") {
		t.Fatalf("logout without ID token = %s (%d), want a question", p.URL, p.Status)
	}
	if q := b.open(a.start()); !q.Left {
		t.Error("the question alone logged out")
	}
	if p = p.submit(); p.URL.String() != "https://app.example/bye?state=s+1" {
		t.Errorf("confirmed logout leads to %s, want the registered address with state", p.URL)
	}
	if q := b.open(a.start()); q.Left {
		t.Error("after logout the session is still there")
	}
	if _, err := a.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token)); err == nil {
		t.Error("after logout the access token is still good for userinfo")
	}

	token, _ = a.finish(b.open(a.start()).submit("person", "erika", "level", "1"))
	hint := token.Extra("id_token").(string)
	if p := b.open(end + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://evil.example/"}}.Encode()); p.Left || !strings.HasSuffix(p.URL.Path, "/logged-out") {
		t.Errorf("logout to an address that is not registered = %s, want our own page", p.URL)
	}
	if q := b.open(a.start()); q.Left {
		t.Error("logout with the ID token of the session did not log out")
	}
}

func TestSuspendedTenant(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app("erfurt", nil)
	w.account("/t/erfurt", "clerk", []string{"clerk"})
	console := w.app("erfurt", map[string]any{"client_id": "fach", "login": "staff"})
	w.Put(tenantdir.Entry{Tenant: w.erfurt.Tenant, Status: tenantdir.Suspended, Keys: w.erfurt.Keys, Version: 2})
	w.clock.Add(3 * time.Second) // the directory's cache
	if p := w.browser().open(a.start()); p.Status != http.StatusForbidden || !strings.Contains(p.Text, "tenant_suspended") {
		t.Errorf("citizen's login = %s (%d), want 403 tenant_suspended", p.URL, p.Status)
	}
	console.finish(w.browser().open(console.start()).submit("username", "clerk", "password", password))
}
