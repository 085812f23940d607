package edge

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"basisdienste/platform/run"
)

// echo answers which service got which request.
func echo(service string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, service, " ", r.Method, " ", r.RequestURI, " ", r.Host)
	})
}

func TestTenantHosts(t *testing.T) {
	t.Parallel()
	f := begin(t, map[string]http.Handler{
		"console": echo("console"), "forms": echo("forms"), "auth": echo("auth"), "payment": echo("payment"),
	}, func(s *run.Settings, _ map[string]any) { s.PublicURL = "https://basis.example:8443" })
	f.know("erfurt", "service.erfurt.example", "amt.erfurt.example")
	f.know("jena", "jena.example")
	const erfurt = "service.erfurt.example"
	for _, tt := range []struct {
		method, host, target string
		status               int
		want                 string // body, or Location
	}{
		{"GET", erfurt, "/", 302, "/t/erfurt/"},
		{"HEAD", erfurt, "/", 302, "/t/erfurt/"},
		{"GET", "Service.Erfurt.EXAMPLE.:8080", "/?lang=en", 302, "/t/erfurt/?lang=en"},
		{"GET", "amt.erfurt.example", "/", 302, "/t/erfurt/"},
		{"GET", "jena.example", "/", 302, "/t/jena/"},
		{"POST", erfurt, "/", 200, "console POST / " + erfurt},
		{"GET", erfurt, "/t/erfurt/", 200, "console GET /t/erfurt/ " + erfurt},
		{"GET", erfurt, "/t/erfurt/forms/hundesteuer?a=b", 200, "forms GET /t/erfurt/forms/hundesteuer?a=b " + erfurt},
		{"GET", erfurt, "/t/jena/forms/hundesteuer", 404, "unknown_tenant"},
		{"GET", erfurt, "/t/jena/", 404, "unknown_tenant"},
		{"GET", erfurt, "/t/jena", 404, "unknown_tenant"},
		{"GET", erfurt, "/t/%6Aena/auth/keys", 404, "unknown_tenant"},
		{"GET", erfurt, "/t/nowhere/", 404, "unknown_tenant"},
		{"GET", erfurt, "/%74/jena/", 404, "unknown_tenant"},
		{"GET", erfurt, "/xbezahldienste/x", 200, "payment GET /xbezahldienste/x " + erfurt},
		{"GET", erfurt, "/pay/x", 200, "payment GET /pay/x " + erfurt},
		{"GET", erfurt, "/impressum", 200, "console GET /impressum " + erfurt},
		{"GET", "basis.example", "/", 200, "console GET / basis.example"},
		{"GET", "BASIS.example:8443", "/t/jena/", 200, "console GET /t/jena/ BASIS.example:8443"},
		{"GET", "nobody.example", "/", 200, "console GET / nobody.example"},
		{"GET", "nobody.example", "/t/jena/", 200, "console GET /t/jena/ nobody.example"},
		{"GET", "[::1]:8080", "/", 200, "console GET / [::1]:8080"},
	} {
		g := f.do(tt.method, tt.target, nil, "Host", tt.host)
		if answer := g.body + g.Header.Get("Location"); g.StatusCode != tt.status || !strings.Contains(answer, tt.want) {
			t.Errorf("%s http://%s%s = %d %s, want %d %s", tt.method, tt.host, tt.target, g.StatusCode, answer, tt.status, tt.want)
		}
	}
	if g := f.get("/t/jena/", append([]string{"Host", erfurt}, opens...)...); g.StatusCode != 404 || !strings.Contains(g.body, "Diese Gemeinde kennen wir nicht") {
		t.Errorf("another tenant's page = %d, want 404 as a page: %s", g.StatusCode, g.body)
	}
}

// TestTenantHosts_LeadToThePublicAddress is what a login and a form with a redirect need: the
// services know the public address alone.
func TestTenantHosts_LeadToThePublicAddress(t *testing.T) {
	t.Parallel()
	const base = "https://basis.example"
	forms := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/t/erfurt/forms/page":
			w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self' https://pay.example; base-uri 'none'")
			_, _ = io.WriteString(w, "page")
		case "/t/erfurt/forms/away":
			http.Redirect(w, r, "/t/erfurt/forms/page", http.StatusSeeOther)
		default:
			http.Redirect(w, r, base+"/t/erfurt/auth/authorize?client_id=web-forms", http.StatusSeeOther)
		}
	})
	f := begin(t, map[string]http.Handler{"forms": forms}, func(s *run.Settings, _ map[string]any) { s.PublicURL = base })
	f.know("erfurt", "erfurt.example")
	for _, tt := range []struct{ name, method, host, target, location, policy string }{
		{"login", "GET", "erfurt.example", "/t/erfurt/forms/mine?x=%2F", base + "/t/erfurt/forms/mine?x=%2F", ""},
		{"login after a form", "POST", "erfurt.example", "/t/erfurt/forms/mine", base + "/t/erfurt/", ""},
		{"login at the public address", "GET", "basis.example", "/t/erfurt/forms/mine", base + "/t/erfurt/auth/authorize?client_id=web-forms", ""},
		{"other redirect", "GET", "erfurt.example", "/t/erfurt/forms/away", "/t/erfurt/forms/page", ""},
		{"page", "GET", "erfurt.example", "/t/erfurt/forms/page", "", "default-src 'none'; form-action 'self' " + base + " https://pay.example; base-uri 'none'"},
		{"page at the public address", "GET", "basis.example", "/t/erfurt/forms/page", "", "default-src 'none'; form-action 'self' https://pay.example; base-uri 'none'"},
	} {
		g := f.do(tt.method, tt.target, nil, "Host", tt.host)
		if l, p := g.Header.Get("Location"), g.Header.Get("Content-Security-Policy"); l != tt.location || p != tt.policy {
			t.Errorf("%s: %s %s = %d, Location %q, policy %q, want %q, %q", tt.name, tt.method, tt.target, g.StatusCode, l, p, tt.location, tt.policy)
		}
	}
}

func TestHostname(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a.example": "a.example", "A.Example:80": "a.example", "a.example.": "a.example", "a.example.:80": "a.example",
		"127.0.0.1:8080": "127.0.0.1", "[::1]:80": "[::1]", "[::1]": "[::1]", "": "", ":": "",
	} {
		if got := hostname(in); got != want {
			t.Errorf("hostname(%q) = %q, want %q", in, got, want)
		}
	}
}
