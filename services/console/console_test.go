package console_test

import (
	"net/http"
	"strings"
	"testing"

	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/services/console"
)

func TestPages_ForEverybody(t *testing.T) {
	t.Parallel()
	env := runtest.Start(t, []run.App{console.New()})
	env.Tenant("erfurt", "160510000000")
	for path, want := range map[string]string{
		"/":                     "Online-Dienste Ihrer Gemeinde",
		"/?q=erf":               "/t/erfurt/",
		"/?q=160510000000":      "/t/erfurt/",
		"/?q=nowhere":           "Keine Gemeinde gefunden",
		"/?lang=en":             "Online services of your municipality",
		"/t/erfurt/":            "Einen Antrag stellen",
		"/t/erfurt/impressum":   "Impressum",
		"/t/erfurt/datenschutz": "Datenschutz",
		"/barrierefreiheit":     "Barrierefreiheit",
	} {
		got := env.Do(http.MethodGet, path, "", nil, "Accept", "text/html")
		if got.Status != 200 || !strings.Contains(string(got.Body), want) {
			t.Errorf("GET %s = %d, want 200 and %q", path, got.Status, want)
		}
	}
}

func TestPages_OthersAreSentToTheLogin(t *testing.T) {
	t.Parallel()
	env := runtest.Start(t, []run.App{console.New()})
	env.Tenant("erfurt", "160510000000")
	for path, issuer := range map[string]string{
		"/t/erfurt/staff":  "/t/erfurt/auth/authorize?",
		"/operator":        "/operator/auth/authorize?",
		"/operator/mail":   "/operator/auth/authorize?",
		"/operator/events": "/operator/auth/authorize?",
	} {
		got := env.Do(http.MethodGet, path, "", nil, "Accept", "text/html")
		if to := got.Header.Get("Location"); got.Status != 303 || !strings.HasPrefix(to, env.URL+issuer) || !strings.Contains(to, "code_challenge_method=S256") {
			t.Errorf("GET %s = %d to %s, want 303 to %s with PKCE", path, got.Status, to, issuer)
		}
	}
}
