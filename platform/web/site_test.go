package web

import (
	"flag"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"basisdienste/platform/money"
)

var update = flag.Bool("update", false, "write the golden files")

// get asks h for a page as a browser does.
func get(t *testing.T, h http.Handler, target string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	return send(t, h, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil), change...)
}

// post sends the gallery's form as a browser does, from the same site.
func post(t *testing.T, h http.Handler, values url.Values, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/t/erfurt/gallery", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return send(t, h, r, change...)
}

func send(t *testing.T, h http.Handler, r *http.Request, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// contains fails for each part that body lacks.
func contains(t *testing.T, call, body string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(body, part) {
			t.Errorf("%s: got no %q in\n%s", call, part, body)
		}
	}
}

func lacks(t *testing.T, call, body string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(body, part) {
			t.Errorf("%s: got %q, want it absent, in\n%s", call, part, body)
		}
	}
}

func TestSite_Render(t *testing.T) {
	t.Parallel()
	h := galleryHandler(newGallery(t))
	for _, lang := range languages {
		w := get(t, h, "/t/erfurt/gallery?lang="+lang)
		if w.Code != http.StatusOK {
			t.Fatalf("GET gallery?lang=%s: got %d, want 200: %s", lang, w.Code, w.Body)
		}
		golden(t, "gallery."+lang+".html", strings.ReplaceAll(w.Body.String(), files().prefix, "/static/HASH"))
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s\nIf the change is meant: go test ./platform/web -update", name, got, want)
	}
}

func TestSite_Render_headers(t *testing.T) {
	t.Parallel()
	secure := func(c *Config) { c.Secure = true }
	w := get(t, galleryHandler(newGallery(t, secure)), "/t/erfurt/gallery", header("Accept-Language", "en-GB,en;q=0.9,de;q=0.5"))
	for name, want := range map[string]string{
		"Content-Type":     "text/html; charset=utf-8",
		"Content-Language": "en",
		"Cache-Control":    "no-store",
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; script-src 'self'; connect-src 'self'; " +
			"form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"X-Content-Type-Options":    "nosniff",
		"Referrer-Policy":           "same-origin",
		"Strict-Transport-Security": "max-age=31536000",
		"Vary":                      "Accept-Language, Cookie",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("GET gallery: header %s: got %q, want %q", name, got, want)
		}
	}
	lacks(t, "GET gallery", w.Body.String(), "<script", " style=", "onclick", "http://", "https://www", "//cdn")
}

func TestSite_Render_escapes(t *testing.T) {
	t.Parallel()
	h := galleryHandler(newGallery(t))
	evil := `"><script>alert(1)</script>`
	w := post(t, h, url.Values{"given-name": {evil}, "email": {evil}, "remark": {"</textarea>" + evil}, "born-day": {evil}})
	if w.Code != http.StatusUnprocessableEntity {
		t.Fatalf("POST gallery: got %d, want 422", w.Code)
	}
	lacks(t, "POST gallery", w.Body.String(), "<script>alert", "</textarea>\"&gt;")
	contains(t, "POST gallery", w.Body.String(), "&lt;script&gt;alert(1)")

	w = get(t, h, "/t/erfurt/gallery?x="+url.QueryEscape(evil))
	lacks(t, "GET gallery?x=", w.Body.String(), "<script>alert")
}

func TestSite_Lang(t *testing.T) {
	t.Parallel()
	s := newGallery(t)
	tests := []struct {
		name, query, cookie, accept, want string
	}{
		{"nothing", "", "", "", "de"},
		{"accept english", "", "", "en-GB,en;q=0.9", "en"},
		{"accept german first", "", "", "de-DE,de;q=0.9,en;q=0.8", "de"},
		{"quality decides", "", "", "de;q=0.3, en;q=0.8", "en"},
		{"refused", "", "", "en;q=0", "de"},
		{"unknown only", "", "", "tr, uk", "de"},
		{"broken quality", "", "", "en;q=x", "de"},
		{"cookie beats header", "", "en", "de", "en"},
		{"unknown cookie", "", "xx", "en", "en"},
		{"query beats cookie", "de", "en", "en", "de"},
		{"unknown query", "fr", "", "en", "en"},
	}
	for _, tt := range tests {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?lang="+tt.query, nil)
		r.Header.Set("Accept-Language", tt.accept)
		r.AddCookie(&http.Cookie{Name: languageCookie, Value: tt.cookie})
		if got := s.Lang(r); got != tt.want {
			t.Errorf("%s: Lang: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSite_Render_languageSwitch(t *testing.T) {
	t.Parallel()
	h := galleryHandler(newGallery(t))
	w := get(t, h, "/t/erfurt/gallery?step=2&lang=en")
	contains(t, "GET gallery?lang=en", w.Body.String(), `<html lang="en">`, `href="?lang=de&amp;step=2"`, "Apply for a resident parking permit")
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || cookies[0].Name != languageCookie || cookies[0].Value != "en" {
		t.Fatalf("GET gallery?lang=en: got cookies %v, want %s=en", cookies, languageCookie)
	}
	w = get(t, h, "/t/erfurt/gallery", func(r *http.Request) { r.AddCookie(cookies[0]) })
	contains(t, "GET gallery with cookie", w.Body.String(), `<html lang="en">`)
}

func TestNew_refuses(t *testing.T) {
	t.Parallel()
	page := func(text string) fs.FS { return fstest.MapFS{"p.html": {Data: []byte(text)}} }
	tests := []struct {
		name string
		cfg  Config
		want string
	}{
		{"no key", Config{}, "32 random bytes"},
		{"language missing", Config{Key: testKey, Texts: Texts{"a": {"ja", ""}}}, `text "a": en is missing`},
		{"verbs differ", Config{Key: testKey, Texts: Texts{"a": {"%d Tage", "days"}}}, `text "a": 1 verbs in de, 0 in en`},
		{"frame's key", Config{Key: testKey, Texts: Texts{"web.skip": {"a", "b"}}}, `text "web.skip"`},
		{"service name unknown", Config{Key: testKey, Service: "name"}, `text "name" is missing`},
		{"template asks for unknown text", Config{Key: testKey, Templates: page(`{{if .X}}{{range .Y}}{{alert "info" (T "nope") ""}}{{end}}{{end}}`)}, `template p: text "nope" is missing`},
		{"template asks inside else", Config{Key: testKey, Templates: page(`{{with .X}}{{else}}{{template "q" (T "nope")}}{{end}}{{define "q"}}{{end}}`)}, `text "nope" is missing`},
		{"template broken", Config{Key: testKey, Templates: page(`{{if`)}, "p.html"},
	}
	for _, tt := range tests {
		_, err := New(tt.cfg)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: New: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	s := newGallery(t)
	winter := time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC)
	summer := time.Date(2026, 7, 31, 22, 5, 0, 0, time.UTC)
	tests := []struct {
		call, got, want string
	}{
		{"datetime(de, winter)", s.datetime(0, winter), "23. November 2026, 09:30\u00a0Uhr"},
		{"datetime(en, winter)", s.datetime(1, winter), "23 November 2026, 09:30"},
		{"datetime(de, summer)", s.datetime(0, summer), "1. August 2026, 00:05\u00a0Uhr"},
		{"weekday(de, winter)", s.weekday(0, winter), "Montag, 23. November 2026"},
		{"weekday(en, summer)", s.weekday(1, summer), "Saturday, 1 August 2026"},
		{"amount(de)", amount(0, money.Amount(123456789)), "1.234.567,89\u00a0€"},
		{"amount(en)", amount(1, money.Amount(123456789)), "€1,234,567.89"},
		{"amount(en, negative)", amount(1, money.Amount(-3070)), "-€30.70"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.call, tt.got, tt.want)
		}
	}
}

func BenchmarkSite_Render(b *testing.B) {
	pages, err := fs.Sub(galleryFiles, "testdata/pages")
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Config{Service: "service", Templates: pages, Texts: galleryTexts, Key: testKey, Clock: noon})
	if err != nil {
		b.Fatal(err)
	}
	h := galleryHandler(s)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/t/erfurt/gallery", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
