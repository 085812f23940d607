package edge

import (
	"fmt"
	"net/http"
	"testing"

	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
)

func TestRoute(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][2]string{
		"/":                                      {"console", ""},
		"/operator/":                             {"console", ""},
		"/operator/auth/token":                   {"auth", ""},
		"/t/erfurt/":                             {"console", "erfurt"},
		"/t/erfurt":                              {"console", "erfurt"},
		"/t/erfurt/staff/applications":           {"console", "erfurt"},
		"/t/erfurt/impressum":                    {"console", "erfurt"},
		"/t/erfurt/auth/authorize":               {"auth", "erfurt"},
		"/t/erfurt/mailbox/":                     {"notify", "erfurt"},
		"/t/erfurt/forms/v1/forms":               {"forms", "erfurt"},
		"/xbezahldienste/paymenttransaction/o/e": {"payment", ""},
		"/pay/0192/secret":                       {"payment", ""},
		"/notify/v2/notifications/email":         {"notify", ""},
		"/tenants/v1/tenants":                    {"tenants", ""},
		"/forms/v1/events/dead":                  {"forms", ""},
		"//evil":                                 {"console", ""},
		"/t//forms":                              {"console", "forms"},
	} {
		if s, slug := route(path); s != want[0] || slug != want[1] {
			t.Errorf("route(%q) = %q, %q, want %q, %q", path, s, slug, want[0], want[1])
		}
	}
}

func TestEdge_PassesOnAndSurvivesAMissingService(t *testing.T) {
	t.Parallel()
	forms := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })
	env := runtest.Start(t, []run.App{New()}, runtest.Neighbour("forms", forms),
		runtest.Set("edge.requests_per_minute_and_tenant", 60), runtest.Set("edge.burst", 2))
	env.Tenant("erfurt", "160510000000")
	env.Tenant("jena", "160530000000")
	got := env.Do(http.MethodGet, "/t/erfurt/forms/hundesteuer", "", nil)
	if got.Status != 200 || string(got.Body) != "/t/erfurt/forms/hundesteuer" {
		t.Errorf("GET forms = %d %s, want the path as it was", got.Status, got.Body)
	}
	if h := got.Header; h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Request-Id") == "" {
		t.Errorf("headers = %v, want nosniff and a request id", h)
	}
	if got := env.Do(http.MethodGet, "/t/erfurt/booking/", "", nil); got.Status != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("a service that is away = %d, Retry-After %q, want 503 and a time", got.Status, got.Header.Get("Retry-After"))
	}
	limited := 0
	for range 10 {
		if env.Do(http.MethodGet, "/t/erfurt/forms/", "", nil).Status == 429 {
			limited++
		}
	}
	if limited == 0 {
		t.Error("Erfurt's requests were never limited")
	}
	if got := env.Do(http.MethodGet, "/t/jena/forms/", "", nil); got.Status != 200 {
		t.Errorf("Jena = %d while Erfurt is limited, want 200", got.Status)
	}
}
