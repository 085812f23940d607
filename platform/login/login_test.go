package login_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/discover"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/login"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

const base = "https://basis.example"

// world is the pages of a service, the issuer that they trust, and one browser.
type world struct {
	t       *testing.T
	mux     *kit.Mux
	key     *ecdsa.PrivateKey
	cookies map[string]*http.Cookie
	tenants map[string]id.ID

	level     int               // of the next login
	challenge map[string]string // by code
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, key: key, cookies: map[string]*http.Cookie{}, tenants: map[string]id.ID{}, level: 1, challenge: map[string]string{}}
	d := dbtest.New(t, tenantdir.Migrations())
	dir := tenantdir.New(d, time.Now)
	for _, slug := range []string{"erfurt", "jena"} {
		e := tenantdir.Entry{Tenant: tenant.Tenant{ID: id.New(), Slug: slug, Name: slug}, Status: tenantdir.Active, Version: 1}
		w.tenants[slug] = e.ID
		ctx := tenant.With(t.Context(), e.Tenant)
		if err := d.Tx(ctx, func(tx *db.Tx) error { return dir.Apply(ctx, tx, e) }); err != nil {
			t.Fatal(err)
		}
	}
	local := discover.NewLocal()
	local.Add("auth", http.HandlerFunc(w.issuer))
	verifier := authn.NewVerifier(base, local, dir, time.Now)
	log := slog.New(slog.DiscardHandler)
	site, err := web.New(web.Config{Templates: fstest.MapFS{}, Key: make([]byte, 32), Secure: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	l := login.New(login.Config{
		Service: "forms", BaseURL: base, ServiceKey: make([]byte, 32), Services: local, Verifier: verifier, Site: site, Clock: time.Now,
	})
	w.mux = kit.NewMux(log, dir.Path(nil))
	l.Routes(w.mux, "/t/{tenant}/forms")
	hello := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s, _ := login.From(r.Context())
		p, _ := authn.From(r.Context())
		_, _ = fmt.Fprintf(rw, "%s %s %d", s.DisplayName(), p.Kind, p.Level)
	})
	w.mux.Handle("/t/{tenant}/forms/page", l.Require(1)(hello))
	w.mux.Handle("/t/{tenant}/forms/strong", l.Require(3)(hello))
	w.mux.Handle("/t/{tenant}/forms/staff", l.Staff(authn.RoleClerk)(hello))
	return w
}

// issuer is the auth of every tenant.
func (w *world) issuer(rw http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/token")
	switch {
	case strings.HasSuffix(r.URL.Path, "/keys"):
		_ = json.NewEncoder(rw).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &w.key.PublicKey, KeyID: "k", Algorithm: "ES256"}}})
	case strings.HasSuffix(r.URL.Path, "/userinfo"):
		_ = json.NewEncoder(rw).Encode(map[string]string{"given_name": "Erika", "family_name": "Mustermann"})
	case path != r.URL.Path:
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		code := r.FormValue("code")
		want := w.challenge[code]
		delete(w.challenge, code)
		if want != base64.RawURLEncoding.EncodeToString(sum[:]) {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: w.key, KeyID: "k"}}, (&jose.SignerOptions{}).WithType(authn.TokenType))
		if err != nil {
			w.t.Error(err)
		}
		slug := strings.Split(path, "/")[2]
		token, err := jwt.Signed(signer).Claims(map[string]any{
			"iss": base + path, "sub": "s", "aud": authn.Audience, "kind": "citizen", "tenant": w.tenants[slug], "acr": authn.ACR(w.level),
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "client_id": "web-forms",
		}).Serialize()
		if err != nil {
			w.t.Error(err)
		}
		_ = json.NewEncoder(rw).Encode(map[string]string{"access_token": token})
	}
}

// visit sends the browser there; it keeps its cookies.
func (w *world) visit(method, target string, headers ...string) *http.Response {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	for _, c := range w.cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	w.mux.ServeHTTP(rec, r)
	resp := rec.Result()
	for _, c := range resp.Cookies() {
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || !strings.HasPrefix(c.Name, "__Host-") || c.Domain != "" {
			w.t.Errorf("%s %s sets the cookie %v, want HttpOnly, Secure, Lax and __Host-", method, target, c)
		}
		if c.MaxAge < 0 {
			delete(w.cookies, c.Name)
		} else {
			w.cookies[c.Name] = c
		}
	}
	return resp
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// authorize follows the redirect to the issuer, which says yes, and returns where it sends the
// browser back to.
func (w *world) authorize(r *http.Response, wantIssuer string) (callback string) {
	w.t.Helper()
	_ = text(w.t, r)
	u, err := r.Location()
	if err != nil || r.StatusCode != http.StatusSeeOther || !strings.HasPrefix(u.String(), base+wantIssuer+"/authorize?") {
		w.t.Fatalf("answer = %d to %v, want 303 to the issuer %s", r.StatusCode, u, wantIssuer)
	}
	q := u.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("client_id") != "web-forms" || len(q.Get("state")) < 20 {
		w.t.Errorf("the issuer is asked with %v", q)
	}
	code := id.Secret(8)
	w.challenge[code] = q.Get("code_challenge")
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || !strings.HasPrefix(back.String(), base+"/t/") {
		w.t.Fatalf("redirect_uri = %v, %v", back, err)
	}
	return back.Path + "?" + url.Values{"code": {code}, "state": {q.Get("state")}}.Encode()
}

func TestLogin_ThereAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	callback := w.authorize(w.visit("GET", "/t/erfurt/forms/page?a=1&b=%2F"), "/t/erfurt/auth")
	r := w.visit("GET", callback)
	if to := r.Header.Get("Location"); r.StatusCode != 303 || to != "/t/erfurt/forms/page?a=1&b=%2F" {
		t.Fatalf("callback = %d to %q %s, want 303 to where we wanted to go", r.StatusCode, to, text(t, r))
	}
	if r := w.visit("GET", "/t/erfurt/forms/page"); r.StatusCode != 200 || text(t, r) != "Erika Mustermann citizen 1" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the page = %d %q, want the person", r.StatusCode, r.Header)
	}
	// The same answer once more: the login is over.
	if r := w.visit("GET", callback); r.StatusCode != 410 {
		t.Errorf("the callback again = %d, want 410", r.StatusCode)
	}
	// A citizen is no clerk.
	if r := w.visit("GET", "/t/erfurt/forms/staff"); r.StatusCode != 403 {
		t.Errorf("a citizen at the staff's page = %d, want 403", r.StatusCode)
	}
	// Another tenant does not know the session, not even under its own name.
	w.authorize(w.visit("GET", "/t/jena/forms/page"), "/t/jena/auth")
	for name, c := range w.cookies {
		if strings.HasSuffix(name, "forms-session-erfurt") {
			moved := *c
			moved.Name = strings.Replace(name, "erfurt", "jena", 1)
			w.cookies[moved.Name] = &moved
		}
	}
	w.authorize(w.visit("GET", "/t/jena/forms/page"), "/t/jena/auth")
	// Log out.
	if r := w.visit("POST", "/t/erfurt/forms/logout", "Sec-Fetch-Site", "cross-site"); r.StatusCode != 403 {
		t.Errorf("logout from another site = %d, want 403", r.StatusCode)
	}
	r = w.visit("POST", "/t/erfurt/forms/logout", "Sec-Fetch-Site", "same-origin")
	if to := r.Header.Get("Location"); r.StatusCode != 303 || !strings.HasPrefix(to, base+"/t/erfurt/auth/end_session?") {
		t.Errorf("logout = %d to %q, want 303 to the issuer", r.StatusCode, to)
	}
	w.authorize(w.visit("GET", "/t/erfurt/forms/page"), "/t/erfurt/auth")
}

func TestLogin_HigherLevelIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.visit("GET", w.authorize(w.visit("GET", "/t/erfurt/forms/page"), "/t/erfurt/auth"))
	r := w.visit("GET", "/t/erfurt/forms/strong")
	if to := r.Header.Get("Location"); !strings.Contains(to, "acr_values=STORK-QAA-Level-3") {
		t.Errorf("the issuer is asked %q, want level 3", to)
	}
	if r := w.visit("GET", w.authorize(r, "/t/erfurt/auth")); r.StatusCode != 403 { // and it gave level 1
		t.Errorf("callback with too low a level = %d, want 403", r.StatusCode)
	}
	w.level = 3
	w.visit("GET", w.authorize(w.visit("GET", "/t/erfurt/forms/strong"), "/t/erfurt/auth"))
	if r := w.visit("GET", "/t/erfurt/forms/strong"); r.StatusCode != 200 || text(t, r) != "Erika Mustermann citizen 3" {
		t.Errorf("the page = %d, want the person at level 3", r.StatusCode)
	}
}

func TestCallback_RefusesWhatWasNotBegunHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, change := range map[string]func(q url.Values){
		"other state": func(q url.Values) { q.Set("state", "x") },
		"no state":    func(q url.Values) { q.Del("state") },
		"no code":     func(q url.Values) { q.Del("code") },
		"other code":  func(q url.Values) { q.Set("code", "x") },
		"cancelled":   func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") },
		"odd error":   func(q url.Values) { q.Set("error", "<script>") },
	} {
		u, err := url.Parse(w.authorize(w.visit("GET", "/t/erfurt/forms/page"), "/t/erfurt/auth"))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		change(q)
		r := w.visit("GET", u.Path+"?"+q.Encode())
		if body := text(t, r); r.StatusCode < 400 || r.StatusCode >= 500 || strings.Contains(body, "<script>") {
			t.Errorf("%s: callback = %d, want a page that says no", name, r.StatusCode)
		}
	}
	own := newWorld(t) // another browser
	if r := own.visit("GET", w.authorize(w.visit("GET", "/t/erfurt/forms/page"), "/t/erfurt/auth")); r.StatusCode != 410 {
		t.Errorf("the callback in another browser = %d, want 410", r.StatusCode)
	}
	if r := own.visit("GET", "/t/erfurt/forms/callback?state="); r.StatusCode != 410 {
		t.Errorf("a callback out of nowhere = %d, want 410", r.StatusCode)
	}
}

func TestLogin_NeverLeadsElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for referer, want := range map[string]string{
		"https://evil.example/t/erfurt/forms/page": "/t/erfurt/forms/page",
		"https://evil.example/":                    "/t/erfurt/forms",
		"//evil.example/t/erfurt/forms":            "/t/erfurt/forms",
		`/t/erfurt/forms\..\..\\evil.example`:      "/t/erfurt/forms%5C..%5C..%5C%5Cevil.example",
		"javascript:alert(1)":                      "/t/erfurt/forms",
		"":                                         "/t/erfurt/forms",
		base + "/t/erfurt/forms/page?step=2":       "/t/erfurt/forms/page?step=2",
	} {
		r := w.visit("GET", w.authorize(w.visit("POST", "/t/erfurt/forms/page", "Referer", referer), "/t/erfurt/auth"))
		to := r.Header.Get("Location")
		if r.StatusCode != 303 || to != want {
			t.Errorf("after a form sent from %q the browser goes to %d %q, want %q", referer, r.StatusCode, to, want)
		}
		w.cookies = map[string]*http.Cookie{}
	}
	for _, target := range []string{"//evil.example/t/erfurt/forms/page", "/\\evil.example/t/erfurt/forms/page"} {
		r := w.visit("GET", target)
		if to := r.Header.Get("Location"); strings.HasPrefix(to, "//") || strings.Contains(to, "\\") || strings.HasPrefix(to, base+"/t/erfurt/auth") {
			t.Errorf("GET %s leads to %q", target, to)
		}
	}
}
