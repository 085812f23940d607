package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"basisdienste/platform/login"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/web"
	"basisdienste/services/auth"
	"basisdienste/services/auth/sandbox"
)

// forms is a service with pages for citizens, as far as logging in goes.
func forms() run.App {
	return run.App{Name: "forms", Open: func(_ context.Context, h *run.Host) (run.Unit, error) {
		site, err := web.New(web.Config{Key: []byte(strings.Repeat("k", 32)), Clock: h.Clock, Log: h.Log})
		if err != nil {
			return run.Unit{}, err
		}
		key, err := h.ServiceKey()
		if err != nil {
			return run.Unit{}, err
		}
		rp := login.New(login.Config{
			Service: "forms", BaseURL: h.BaseURL, ServiceKey: key, Services: h.Services, Verifier: h.Verifier, Site: site, Clock: h.Clock,
		})
		rp.Routes(h.Mux, "/t/{tenant}/forms")
		show := func(w http.ResponseWriter, r *http.Request) {
			s, _ := login.From(r.Context())
			fmt.Fprintf(w, "%s of %s, level %d", s.DisplayName(), s.Address.City, s.Principal.Level)
		}
		h.Mux.Handle("GET /t/{tenant}/forms/low", rp.Require(1)(http.HandlerFunc(show)))
		h.Mux.Handle("GET /t/{tenant}/forms/high", rp.Require(3)(http.HandlerFunc(show)))
		return run.Unit{}, nil
	}}
}

// front passes requests on to the two services, as the edge does.
func front() run.App {
	return run.App{Name: "edge", Front: true, Open: func(_ context.Context, h *run.Host) (run.Unit, error) {
		mux := http.NewServeMux()
		mux.Handle("/t/{tenant}/auth/", h.Services.Handler("auth"))
		mux.Handle("/operator/auth/", h.Services.Handler("auth"))
		mux.Handle("/t/{tenant}/forms/", h.Services.Handler("forms"))
		return run.Unit{Handler: mux}, nil
	}}
}

// TestOwnPages logs in to our own pages: platform/login is the relying party, with a client
// that nobody registered.
func TestOwnPages(t *testing.T) {
	t.Parallel()
	env := runtest.Start(t, []run.App{auth.New(sandbox.Open), forms(), front()}, runtest.RealAuth(), runtest.Set("auth.sandbox", "true"))
	env.Tenant("erfurt", "160510000000")
	b := (&world{Env: env, t: t}).browser()
	p := b.open(env.URL+"/t/erfurt/forms/low").submit("person", "erika", "level", "1")
	if want := "Erika Mustermann of Erfurt, level 1"; p.Text != want {
		t.Fatalf("page after login = %s (%d) %q, want %q", p.URL, p.Status, p.Text, want)
	}
	p = b.open(env.URL + "/t/erfurt/forms/high")
	if !strings.Contains(p.Text, "höherer Sicherheit") {
		t.Fatalf("page that needs level 3 = %s (%d), want to be asked again\n%s", p.URL, p.Status, p.Text)
	}
	p = b.open(p.link("Weiter")).submit("person", "erika", "level", "3")
	if want := "Erika Mustermann of Erfurt, level 3"; p.Text != want {
		t.Errorf("page after step-up = %s (%d) %q, want %q", p.URL, p.Status, p.Text, want)
	}
	if p.URL.Path != "/t/erfurt/forms/high" {
		t.Errorf("after step-up the browser is at %s, want where it wanted to go", p.URL)
	}
}
