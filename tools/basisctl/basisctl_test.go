package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenant"
	"basisdienste/services/tenants"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"basisctl": main})
}

const secret = "right-secret"

// TestScripts runs testdata/script/*.txtar, each against an installation of its own: the
// real service tenants, an issuer, and an auth that keeps clients in memory.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			e := runtest.Start(t, []run.App{tenants.New(), front()}, runtest.Set("tenants.catalogue_every", "100ms"), runtest.Dir(data))
			testscript.Run(t, testscript.Params{
				Files: []string{file},
				Setup: func(env *testscript.Env) error {
					env.Setenv("DATA", data)
					return setup(env, e)
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"dead-letters": func(ts *testscript.TestScript, _ bool, _ []string) { bury(ts, t.Context(), e) },
				},
			})
		})
	}
}

func setup(env *testscript.Env, e *runtest.Env) error {
	env.Setenv("URL", e.URL)
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, ".config"))
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	env.Setenv("THUERINGEN", filepath.Join(here, "../../services/tenants/municipalities/thueringen.csv"))
	demo, err := json.Marshal(map[string]any{"base_url": e.URL, "operator": map[string]string{
		"client_id": "operations", "client_secret": secret, "token_url": e.URL + "/operator/auth/token", "scope": "operator",
	}})
	if err != nil {
		return err
	}
	profile := "default: kiv\nprofiles:\n  kiv:\n    url: " + e.URL + "\n    client_id: operations\n    client_secret_file: secret\n"
	for name, text := range map[string]string{
		"demo.json": string(demo), "secret": secret + "\n", "wrong-secret": "wrong\n",
		"profiles/profiles.yaml": profile, "profiles/secret": secret,
	} {
		file := filepath.Join(env.WorkDir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// front stands where edge stands.
func front() run.App {
	return run.App{Name: "front", Front: true, Open: func(_ context.Context, h *run.Host) (run.Unit, error) {
		auth, mux := &authFake{}, http.NewServeMux()
		mux.HandleFunc("/operator/auth/v1/", auth.ServeHTTP)
		mux.HandleFunc("/operator/auth/token", func(w http.ResponseWriter, r *http.Request) {
			if _, pass, _ := r.BasicAuth(); pass != secret {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
				return
			}
			h.Services.Handler("auth").ServeHTTP(w, r)
		})
		mux.Handle("/tenants/", h.Services.Handler("tenants"))
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "no_such_address") })
		return run.Unit{Handler: mux}, nil
	}}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{Status: status, Code: code, Detail: strings.ReplaceAll(code, "_", " "), RequestID: "r1"})
}

// authFake behaves like the operator's API of auth: clients, the tenants that they act for,
// and rotation of keys.
type authFake struct {
	mu      sync.Mutex
	clients []*fakeClient
}

type fakeClient struct {
	ID      string   `json:"client_id"`
	Secret  string   `json:"client_secret,omitempty"`
	Name    string   `json:"name"`
	Scopes  []string `json:"scopes"`
	Grants  []string `json:"grant_types"`
	Enabled bool     `json:"enabled"`
	All     bool     `json:"all_tenants"`
	Count   int      `json:"tenant_count"`

	tenants []string
}

func (f *authFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/operator/auth/v1/"), "/")
	var answer any
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "):
		refuse(w, 401, "token_missing")
		return
	case parts[0] == "issuers" && parts[1] == "erfurt":
		answer = map[string]any{"items": []map[string]string{{"kid": "k2", "signs_from": "2026-11-22T10:00:00Z"}}}
	case r.Method == http.MethodGet && len(parts) == 1:
		answer = map[string]any{"items": f.clients}
	case len(parts) == 1:
		c := &fakeClient{Enabled: true}
		if err := json.NewDecoder(r.Body).Decode(c); err != nil {
			refuse(w, 400, "invalid_json")
			return
		}
		f.clients = append(f.clients, c)
		made := *c
		made.Secret = "shown-once"
		answer = made
	default:
		i := slices.IndexFunc(f.clients, func(c *fakeClient) bool { return c.ID == parts[1] })
		if i < 0 {
			refuse(w, 404, "unknown_client")
			return
		}
		answer = f.clients[i]
		f.clients[i].change(parts[2:], r)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (c *fakeClient) change(step []string, r *http.Request) {
	var q struct {
		Tenants []string
		All     bool
	}
	_ = json.NewDecoder(r.Body).Decode(&q) // no body: the client itself
	on := step[len(step)-1] == "enable"
	switch {
	case len(step) == 1:
		c.Enabled = on
	case q.All:
		c.All = on
	case on:
		c.tenants = append(c.tenants, q.Tenants...)
	default:
		c.tenants = slices.DeleteFunc(c.tenants, func(t string) bool { return slices.Contains(q.Tenants, t) })
	}
	c.Count = len(c.tenants)
}

// bury leaves two dead letters in tenants: one that can be handled now, one that never can.
func bury(ts *testscript.TestScript, ctx context.Context, e *runtest.Env) {
	h := e.Process.Host("tenants")
	of := tenant.With(ctx, tenant.Tenant{ID: id.New()})
	err := h.DB.Tx(of, func(tx *db.Tx) error {
		for i, payload := range []string{`{"transaction_id":"t","amount":3070}`, `{"transaction_id":7}`} {
			l := outbox.DeadLetter{
				ID:       []id.ID{"0199b7c2-7d3a-7c11-8e55-2f6f0c9d4a01", "0199b7c2-7d3a-7c11-8e55-2f6f0c9d4a02"}[i],
				Consumer: "usage-payment-transaction-payed", Type: "payment.transaction.payed.v1", Source: "payment", Subject: "t",
				Payload: payload, EventAt: tx.Now(), Error: "database was away",
			}
			if err := outbox.Bury(of, tx, l); err != nil {
				return err
			}
		}
		return nil
	})
	ts.Check(err)
}

// A client of the operator with the scope alone, as real ones are, may do everything.
func TestOperatorClient(t *testing.T) {
	t.Parallel()
	e := runtest.Start(t, []run.App{tenants.New()})
	c := newClient(credential{URL: e.URL, ClientID: "operations"})
	c.token = e.Token(authn.Principal{Kind: authn.Client, TenantID: tenant.Operator, Subject: "operations", Scopes: []string{"operator"}})
	var out bytes.Buffer
	a := &app{ctx: t.Context(), api: c, out: &out, err: &out}
	for _, cmd := range []interface{ Run(*app) error }{
		&createCmd{Slug: "erfurt", Name: "Erfurt", Key: []string{"160510000000"}},
		&showCmd{tenantArg{"160510000000"}},
		&activateCmd{tenantArg{"erfurt"}, reasonArg{"ready"}},
		&setCmd{tenantArg: tenantArg{"erfurt"}, Settings: []string{"payment.provider=sandbox"}},
		&usageCmd{tenantArg: tenantArg{"erfurt"}},
	} {
		if err := cmd.Run(a); err != nil {
			t.Errorf("%T = %v, want nil", cmd, err)
		}
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	e := runtest.Start(t, []run.App{tenants.New(), front()})
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	access := []string{"--url", e.URL, "--client-id", "operations", "--client-secret-file", file}
	for _, tt := range []struct {
		args []string
		want int
	}{
		{append(access, "tenants", "list"), 0},
		{append(access, "tenants", "show", "nowhere"), 1},
		{append(access, "--json", "tenants", "show", "nowhere"), 1},
		{[]string{"--url", "http://127.0.0.1:1", "--client-id", "x", "--client-secret-file", file, "tenants", "list"}, 1},
		{append(access, "tenants", "close", "erfurt", "--reason", "x"), 2},
		{append(access, "tenants", "show"), 2},
		{append(access, "tenants", "import", "nowhere.csv"), 2},
		{[]string{"--demo", "nowhere.json", "tenants", "list"}, 2},
		{[]string{"nonsense"}, 2},
	} {
		var stdout, stderr bytes.Buffer
		if got := start(t.Context(), slices.Clone(tt.args), strings.NewReader(""), &stdout, &stderr); got != tt.want {
			t.Errorf("basisctl %v = exit code %d, want %d\n%s%s", tt.args, got, tt.want, &stdout, &stderr)
		}
	}
}
