package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/tenant"
)

func pageFS(text string) fstest.MapFS { return fstest.MapFS{"p.html": {Data: []byte(text)}} }

func TestSite_Protect(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	h := newGallery(t).Protect(mux, "POST /saml/acs")
	tests := []struct {
		name, method, path, site, origin string
		want                             int
	}{
		{"same origin", "POST", "/form", "same-origin", "", 204},
		{"typed address", "POST", "/form", "none", "", 204},
		{"cross site", "POST", "/form", "cross-site", "https://evil.example", 403},
		{"sibling host", "POST", "/form", "same-site", "https://evil.example.com", 403},
		{"old browser, own origin", "POST", "/form", "", "http://example.com", 204},
		{"old browser, other origin", "POST", "/form", "", "http://evil.example", 403},
		{"old browser, opaque origin", "POST", "/form", "", "null", 403},
		{"no browser", "POST", "/form", "", "", 204},
		{"delete", "DELETE", "/form", "cross-site", "", 403},
		{"reading is free", "GET", "/form", "cross-site", "", 204},
		{"exception", "POST", "/saml/acs", "cross-site", "https://idp.example", 204},
	}
	for _, tt := range tests {
		r := httptest.NewRequestWithContext(t.Context(), tt.method, "http://example.com"+tt.path, strings.NewReader("a=b"))
		if tt.site != "" {
			r.Header.Set("Sec-Fetch-Site", tt.site)
		}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		w := send(t, h, r)
		if w.Code != tt.want {
			t.Errorf("%s: %s %s: got %d, want %d", tt.name, tt.method, tt.path, w.Code, tt.want)
		}
		if w.Code == http.StatusForbidden {
			contains(t, tt.name, w.Body.String(), "Das Formular kam von einer anderen Website")
		}
	}
}

func TestSite_ErrorPage(t *testing.T) {
	t.Parallel()
	s := newGallery(t, func(c *Config) {
		texts := Texts{"error.slot_taken": {"Der Termin ist leider vergeben.", "The appointment is taken."}}
		for key, text := range galleryTexts {
			texts[key] = text
		}
		c.Texts = texts
	})
	tests := []struct {
		name   string
		err    error
		lang   string
		status int
		want   []string
	}{
		{"not found", fault.NotFound("application_not_found", "no such application"), "de", 404, []string{"<title>Fehler: Seite nicht gefunden – Landeshauptstadt Erfurt</title>", "application_not_found", "req-7"}},
		{"english", fault.Forbidden("no", "no"), "en", 403, []string{"<title>Error: No access", `<html lang="en">`}},
		{"own words", fault.Conflict("slot_taken", "taken"), "de", 409, []string{"Das geht gerade nicht", "Der Termin ist leider vergeben."}},
		{"foreign error", errors.New("pq: password authentication failed"), "de", 500, []string{"Der Fehler liegt bei uns.", "internal"}},
		{"no error", nil, "de", 500, []string{"Der Fehler liegt bei uns."}},
		{"later", fault.Unavailable("busy", "busy").After(90 * time.Second), "de", 503, []string{"in einigen Minuten"}},
	}
	for _, tt := range tests {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "req-7")
			s.ErrorPage(w, r.WithContext(tenant.With(r.Context(), erfurt)), tt.err)
		})
		w := get(t, h, "/x?lang="+tt.lang)
		if w.Code != tt.status {
			t.Errorf("%s: ErrorPage: got %d, want %d", tt.name, w.Code, tt.status)
		}
		contains(t, tt.name, w.Body.String(), tt.want...)
		lacks(t, tt.name, w.Body.String(), "password authentication")
	}

	w := get(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ErrorPage(w, r, fault.Unavailable("busy", "try later").After(90*time.Second))
	}), "/x", header("Accept", "application/json"))
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" || w.Header().Get("Retry-After") != "90" {
		t.Errorf("ErrorPage for an API client: got %s, Retry-After %q, want problem+json and 90", got, w.Header().Get("Retry-After"))
	}
}

// TestSite_Render_brokenTemplate promises a whole error page instead of half a page.
func TestSite_Render_brokenTemplate(t *testing.T) {
	t.Parallel()
	s := newGallery(t, func(c *Config) { c.Templates = pageFS(`<h1>secret half</h1>{{.Missing.Deeper}}`) })
	for _, name := range []string{"p", "unknown"} {
		w := get(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.Render(w, r, http.StatusOK, name, Page{Title: "x"}, struct{}{})
		}), "/x")
		if w.Code != http.StatusInternalServerError {
			t.Errorf("Render(%s): got %d, want 500", name, w.Code)
		}
		lacks(t, "Render("+name+")", w.Body.String(), "secret half", "Missing")
	}
}

func TestSite_Render_formAction(t *testing.T) {
	t.Parallel()
	s := newGallery(t, func(c *Config) { c.Templates = pageFS("x") })
	w := get(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Render(w, r, http.StatusOK, "p", Page{Title: "x", FormAction: []string{
			"https://checkout.stripe.com/c/pay/1?x=1", "https://evil.example; script-src *", "javascript:alert(1)", "https://a b", "https://x;y",
		}}, nil)
	}), "/x")
	want := "form-action 'self' https://checkout.stripe.com; frame-ancestors"
	if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, want) {
		t.Errorf("Render: got policy %q, want %q in it", got, want)
	}
}

func TestSite_Legal(t *testing.T) {
	t.Parallel()
	s := newGallery(t)
	h := galleryHandler(s)
	for _, lang := range languages {
		for _, name := range legalPages {
			w := get(t, h, "/t/erfurt/"+name+"?lang="+lang)
			if w.Code != http.StatusOK {
				t.Errorf("GET %s: got %d, want 200", name, w.Code)
			}
			contains(t, "GET "+name, w.Body.String(), "Landeshauptstadt Erfurt", "online@stadt.example", `href="/t/erfurt/datenschutz"`)
		}
	}
	for _, name := range []string{"error", "frame", "optional"} {
		if w := get(t, s.Legal(), "/"+name); w.Code != http.StatusNotFound {
			t.Errorf("GET /%s: got %d, want 404", name, w.Code)
		}
	}
	bare := newGallery(t, func(c *Config) { c.Look = nil })
	contains(t, "GET /impressum without particulars", get(t, bare.Legal(), "/impressum").Body.String(),
		"Basisdienste hat hier noch keine Kontaktdaten hinterlegt.", `href="/datenschutz"`)
}

func TestWantsHTML(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true,
		"application/json": false,
		"*/*":              false,
		"":                 false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		if got := WantsHTML(r); got != want {
			t.Errorf("WantsHTML(%q): got %v, want %v", accept, got, want)
		}
	}
}

func TestSite_Render_languageSwitchAfterPost(t *testing.T) {
	t.Parallel()
	h := galleryHandler(newGallery(t))
	r := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	contains(t, "POST from elsewhere", post(t, h, url.Values{}, r).Body.String(), `href="/t/erfurt/?lang=en"`)
}
