package edge

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/problem"
	"basisdienste/platform/run"
)

// opens are the headers of a person who opens an address in a browser.
var opens = []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Dest", "document", "Accept-Language", "de"}

const (
	page = "text/html; charset=utf-8"
	prob = problem.MediaType
)

// TestProblemsArePagesForPeople has services that answer problems, or are away.
func TestProblemsArePagesForPeople(t *testing.T) {
	t.Parallel()
	console := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/t/nowhere/":
			problem.Write(w, r, fault.NotFound("unknown_tenant", "no municipality is known here as %q", "nowhere"))
		case "/t/erfurt/later":
			problem.Write(w, r, fault.Unavailable("login_unavailable", "later").After(90*time.Second))
		case "/t/erfurt/broken":
			problem.Write(w, r, errors.New("oh"))
		case "/t/erfurt/own":
			w.Header().Set("Content-Type", page)
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte("our own page"))
		case "/t/erfurt/odd":
			w.Header().Set("Content-Type", problem.MediaType)
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte("no JSON"))
		case "/t/erfurt/teapot":
			w.Header().Set("Content-Type", problem.MediaType)
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write([]byte(`{"code":"short_and_stout"}`))
		default:
			problem.Write(w, r, fault.NotFound("no_such_address", "nothing is served at this address"))
		}
	})
	f := begin(t, map[string]http.Handler{"console": console, "forms": console, "booking": nil})
	f.know("erfurt")
	fetch := []string{"Accept", "text/html", "Sec-Fetch-Dest", "empty"}
	for _, tt := range []struct {
		name, method, target string
		headers              []string
		status               int
		kind, want, after    string
	}{
		{"unknown tenant", "GET", "/t/nowhere/", opens, 404, page, "Diese Gemeinde kennen wir nicht", ""},
		{"unknown tenant, English", "GET", "/t/nowhere/?lang=en", opens, 404, page, "We do not know this municipality", ""},
		{"unknown tenant, program", "GET", "/t/nowhere/", nil, 404, prob, `"code":"unknown_tenant"`, ""},
		{"away", "GET", "/t/erfurt/booking/", opens, 503, page, "Die anderen Dienste können Sie weiter nutzen", "5"},
		{"away, English", "GET", "/t/erfurt/booking/", []string{"Accept", "text/html", "Accept-Language", "en"}, 503, page, "You can go on using the other services", "5"},
		{"away, of the tenant", "GET", "/t/erfurt/booking/", opens, 503, page, "Erfurt", "5"},
		{"away, form", "POST", "/t/erfurt/booking/", opens, 503, page, "Vorgangskennung", "5"},
		{"away, program", "GET", "/t/erfurt/booking/", nil, 503, prob, `"code":"service_unavailable"`, "5"},
		{"away, script of a page", "GET", "/t/erfurt/booking/", fetch, 503, prob, `"code":"service_unavailable"`, "5"},
		{"away, API in a browser", "GET", "/t/erfurt/booking/v1/slots", opens, 503, prob, `"code":"service_unavailable"`, "5"},
		{"away, program that takes all", "GET", "/t/erfurt/booking/", []string{"Accept", "text/html, image/gif, */*", "Authorization", "Bearer x"}, 503, prob, `"code":"service_unavailable"`, "5"},
		{"not configured", "GET", "/xbezahldienste/paymenttransaction/o/e", opens, 503, prob, `"code":"service_unavailable"`, "5"},
		{"no such page", "GET", "/t/erfurt/forms/no/where", opens, 404, page, "Seite nicht gefunden", ""},
		{"the service says when", "GET", "/t/erfurt/later", opens, 503, page, "login_unavailable", "90"},
		{"our mistake", "GET", "/t/erfurt/broken", opens, 500, page, "Der Fehler liegt bei uns", ""},
		{"the service's own page", "GET", "/t/erfurt/own", opens, 404, page, "our own page", ""},
		{"what is no problem", "GET", "/t/erfurt/odd", opens, 409, prob, "no JSON", ""},
		{"a status we have no words for", "GET", "/t/erfurt/teapot", opens, 418, prob, "short_and_stout", ""},
	} {
		g := f.do(tt.method, tt.target, nil, tt.headers...)
		if g.StatusCode != tt.status || g.Header.Get("Content-Type") != tt.kind || !strings.Contains(g.body, tt.want) || g.Header.Get("Retry-After") != tt.after {
			t.Errorf("%s: %s %s = %d %s, Retry-After %q, want %d %s, Retry-After %q, with %q:\n%s", tt.name, tt.method, tt.target,
				g.StatusCode, g.Header.Get("Content-Type"), g.Header.Get("Retry-After"), tt.status, tt.kind, tt.after, tt.want, g.body)
		}
		if requestID := g.Header.Get("X-Request-Id"); tt.kind == page && tt.name != "the service's own page" && !strings.Contains(g.body, requestID) {
			t.Errorf("%s: the page does not name the request %s", tt.name, requestID)
		}
	}
}

func TestTenantLimit_TellsPeopleAndSparesOthers(t *testing.T) {
	t.Parallel()
	f := begin(t, map[string]http.Handler{"forms": says("forms")}, frozen, func(_ *run.Settings, keys map[string]any) {
		keys["edge.requests_per_minute_and_tenant"], keys["edge.burst"] = 6, 1
	})
	f.know("erfurt")
	f.know("jena")
	if g := f.get("/t/erfurt/forms/", opens...); g.StatusCode != 200 {
		t.Errorf("the first request = %d %s, want 200", g.StatusCode, g.body)
	}
	if g := f.get("/t/erfurt/forms/", opens...); g.StatusCode != 429 || g.Header.Get("Retry-After") == "" || !strings.Contains(g.body, "Gerade kommen sehr viele Anfragen") {
		t.Errorf("the second request = %d, Retry-After %q, want 429 as a page: %s", g.StatusCode, g.Header.Get("Retry-After"), g.body)
	}
	if g := f.get("/t/erfurt/forms/v1/forms"); g.StatusCode != 429 || !strings.Contains(g.body, `"code":"rate_limited"`) {
		t.Errorf("a program's request = %d %s, want 429 rate_limited", g.StatusCode, g.body)
	}
	if g := f.get("/t/jena/forms/"); g.StatusCode != 200 {
		t.Errorf("Jena's request = %d, want 200", g.StatusCode)
	}
}

func TestHeadersAndIcon(t *testing.T) {
	t.Parallel()
	own := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Referrer-Policy", "no-referrer") // a page whose address is a secret
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
	})
	f := begin(t, map[string]http.Handler{"payment": own, "forms": nil}, func(s *run.Settings, _ map[string]any) { s.PublicURL = "https://basis.example" })
	for target, referrer := range map[string]string{"/pay/x": "no-referrer", "/t/erfurt/forms/": "same-origin", "/favicon.ico": "same-origin", "/static/x/nothing": "same-origin"} {
		g := f.get(target)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
			"Strict-Transport-Security": "max-age=31536000; includeSubDomains", "Referrer-Policy": referrer,
		} {
			if have := g.Header.Values(name); len(have) != 1 || have[0] != want {
				t.Errorf("GET %s: %s = %q, want %q once", target, name, have, want)
			}
		}
	}
	if cookies := f.get("/pay/x").Header.Values("Set-Cookie"); len(cookies) != 2 {
		t.Errorf("Set-Cookie = %q, want both", cookies)
	}
	icon := f.get("/favicon.ico", "Accept-Encoding", "identity")
	if icon.StatusCode != 200 || icon.Header.Get("Content-Type") != "image/svg+xml" || !strings.Contains(icon.body, "<svg") || icon.Header.Get("ETag") == "" {
		t.Errorf("GET /favicon.ico = %d %s %.40q, want the icon", icon.StatusCode, icon.Header.Get("Content-Type"), icon.body)
	}
}
