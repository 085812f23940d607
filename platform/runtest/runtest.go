// Package runtest runs services in a test as they run for real: SQLite, the embedded broker,
// HTTP on loopback. The neighbours that the test does not start are handlers it provides;
// auth is replaced by an issuer whose tokens the test mints.
package runtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"basisdienste/platform/authn"
	"basisdienste/platform/config"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/run"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

// Env is a running process.
type Env struct {
	URL     string
	Process *run.Process
	Client  *http.Client // follows no redirect

	t      testing.TB
	issuer *issuer
	apps   []run.App
}

// Option changes what Start starts.
type Option func(*options)

type options struct {
	neighbours map[string]http.Handler
	config     map[string]any
	dir        string
	clock      func() time.Time
	noIssuer   bool
	certsFrom  string
	database   *db.Config
}

// Neighbour serves as the service of that name.
func Neighbour(service string, h http.Handler) Option {
	return func(o *options) { o.neighbours[service] = h }
}

// Set sets a configuration key: "payment.result_timeout".
func Set(key string, value any) Option { return func(o *options) { o.config[key] = value } }

// Dir runs on that data folder, for tests that start again on the same data.
func Dir(dir string) Option { return func(o *options) { o.dir = dir } }

// Postgres keeps the tables in PostgreSQL, in schemas of the test's own.
func Postgres() Option {
	return func(o *options) { o.database = &db.Config{} }
}

// Database is Postgres on a server of the test's own; Schema and _ begin the names of the schemas.
func Database(c db.Config) Option { return func(o *options) { o.database = &c } }

// Clock is the process's time.
func Clock(clock func() time.Time) Option { return func(o *options) { o.clock = clock } }

// CertsFrom makes the process believe what proxies of the network write of the TLS client
// certificates that they saw.
func CertsFrom(network string) Option { return func(o *options) { o.certsFrom = network } }

// RealAuth says that the app auth is among the apps: no tokens can be minted.
func RealAuth() Option { return func(o *options) { o.noIssuer = true } }

// Start runs the apps until the test ends. Errors fail the test.
func Start(t testing.TB, apps []run.App, opts ...Option) *Env {
	t.Helper()
	o := options{neighbours: map[string]http.Handler{}, config: map[string]any{}, clock: time.Now}
	for _, opt := range opts {
		opt(&o)
	}
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	e := &Env{t: t, apps: apps, Client: &http.Client{
		Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	s := run.Defaults()
	s.DataDir, s.Listen, s.Log.Access, s.AddressLimit, s.Clock = o.dir, "127.0.0.1:0", false, 1_000_000, o.clock
	if d := o.database; d != nil {
		if d.URL == "" {
			*d = dbtest.PostgresConfig(t)
		}
		s.Database = run.DatabaseSettings{URL: d.URL, OwnerURL: d.OwnerURL, Prefix: d.Schema + "_", Conns: 4}
	}
	if o.certsFrom != "" {
		s.TrustedProxy, s.TLS.ClientCerts = []string{o.certsFrom}, true
	}
	s.Provided = map[string]http.Handler{}
	maps.Copy(s.Provided, o.neighbours)
	if !o.noIssuer {
		e.issuer = newIssuer(t, o.clock)
		s.Provided["auth"] = e.issuer
	}
	cfg, err := config.Load("", nil, o.config)
	if err != nil {
		t.Fatalf("runtest: %v", err)
	}
	p, err := run.Start(t.Context(), cfg, s, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), apps...)
	if err != nil {
		t.Fatalf("runtest: start: %v", err)
	}
	t.Cleanup(func() {
		e.Client.CloseIdleConnections()
		if err := p.Stop(); err != nil {
			t.Errorf("runtest: stop: %v", err)
		}
	})
	e.Process, e.URL = p, p.BaseURL
	if e.issuer != nil {
		e.issuer.base = p.BaseURL
	}
	return e
}

// Tenant makes an active tenant known to all apps, without the service tenants.
func (e *Env) Tenant(slug string, keys ...string) tenantdir.Entry {
	e.t.Helper()
	return e.Put(tenantdir.Entry{
		Tenant: tenant.Tenant{ID: id.New(), Slug: slug, Name: strings.ToUpper(slug[:1]) + slug[1:]},
		Status: tenantdir.Active, Keys: keys, Version: 1,
	})
}

// Put makes the apps know this state of a tenant; give changes a higher Version.
func (e *Env) Put(entry tenantdir.Entry) tenantdir.Entry {
	e.t.Helper()
	ctx := tenant.With(e.t.Context(), entry.Tenant)
	for _, app := range e.apps {
		h := e.Process.Host(app.Name)
		if h == nil {
			continue
		}
		if err := h.DB.Tx(ctx, func(tx *db.Tx) error { return h.Dir.Apply(ctx, tx, entry) }); err != nil {
			e.t.Fatalf("runtest: tenant %s: %v", entry.Slug, err)
		}
	}
	return entry
}

// Grant lets a client of the operator act for the tenants.
func (e *Env) Grant(clientID string, tenants ...tenantdir.Entry) {
	e.t.Helper()
	var ids []string
	for _, t := range tenants {
		ids = append(ids, t.ID.String())
	}
	sys := db.System(e.t.Context())
	for _, app := range e.apps {
		if h := e.Process.Host(app.Name); h != nil {
			err := h.DB.Tx(sys, func(tx *db.Tx) error {
				return h.Dir.ApplyGrants(sys, tx, clientID, true, false, ids, time.Now().UnixNano())
			})
			if err != nil {
				e.t.Fatalf("runtest: grant: %v", err)
			}
		}
	}
}

// Tell makes an event of a neighbour reach the app, through its own handler registration and
// the broker. It returns at once; the effect comes soon: see Eventually.
func (e *Env) Tell(source string, of tenant.Tenant, event outbox.Event) {
	e.t.Helper()
	if err := e.Process.Publish(e.t.Context(), source, of.ID, event); err != nil {
		e.t.Fatalf("runtest: tell %s: %v", event.EventType(), err)
	}
}

// Token mints an access token for p that is valid for an hour, from the tenant's issuer or,
// without a tenant, the operator's.
func (e *Env) Token(p authn.Principal) string {
	e.t.Helper()
	slug := "/operator/auth"
	if p.TenantID != "" && p.TenantID != tenant.Operator {
		entry, err := e.Process.Host(e.apps[0].Name).Dir.ByID(e.t.Context(), p.TenantID)
		if err != nil {
			e.t.Fatalf("runtest: token: %v", err)
		}
		slug = "/t/" + entry.Slug + "/auth"
	}
	return e.issuer.mint(e.t, slug, p)
}

// Answer is a response with its body read.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON decodes the body into dst, or fails the test.
func (a Answer) JSON(t testing.TB, dst any) {
	t.Helper()
	if err := json.Unmarshal(a.Body, dst); err != nil {
		t.Fatalf("body is not the JSON wanted: %v\n%s", err, a.Body)
	}
}

// Do sends a request. body may be nil, a string, []byte, an io.Reader or a value that is
// sent as JSON. headers are pairs of name and value.
func (e *Env) Do(method, path, token string, body any, headers ...string) Answer {
	e.t.Helper()
	var r io.Reader
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
		contentType = ""
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	case io.Reader:
		r = b
	default:
		text, err := json.Marshal(b)
		if err != nil {
			e.t.Fatalf("runtest: body: %v", err)
		}
		r = bytes.NewReader(text)
	}
	if !strings.HasPrefix(path, "http") {
		path = e.URL + path
	}
	req, err := http.NewRequestWithContext(e.t.Context(), method, path, r)
	if err != nil {
		e.t.Fatalf("runtest: %v", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := e.Client.Do(req)
	if err != nil {
		e.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatalf("%s %s: read body: %v", method, path, err)
	}
	return Answer{resp.StatusCode, resp.Header, b}
}

// CPU is the processor time that this process has used so far, in user and system mode.
func CPU(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Eventually waits until f returns true, for at most 10 s.
func Eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen within 10 s: %s", what)
		}
		<-tick.C
	}
}

// issuer stands where auth stands: every issuer has the same key.
type issuer struct {
	base   string
	key    *ecdsa.PrivateKey
	signer jose.Signer
	clock  func() time.Time
}

func newIssuer(t testing.TB, clock func() time.Time) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "test"}},
		(&jose.SignerOptions{}).WithType(authn.TokenType))
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{key: key, signer: signer, clock: clock}
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "/auth/keys"):
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: &i.key.PublicKey, KeyID: "test", Algorithm: "ES256", Use: "sig"},
		}})
	case r.URL.Path == "/operator/auth/token":
		client, _, _ := r.BasicAuth()
		token, err := i.sign("/operator/auth", authn.Principal{Kind: authn.Service, Subject: client, ClientID: client})
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
	default:
		http.NotFound(w, r)
	}
}

func (i *issuer) mint(t testing.TB, path string, p authn.Principal) string {
	t.Helper()
	token, err := i.sign(path, p)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (i *issuer) sign(path string, p authn.Principal) (string, error) {
	now := i.clock()
	if p.Subject == "" {
		p.Subject = id.New().String()
	}
	extra := map[string]any{
		"kind": p.Kind, "client_id": p.ClientID, "scope": strings.Join(p.Scopes, " "), "roles": p.Roles, "acr": authn.ACR(p.Level),
	}
	if p.TenantID != "" {
		extra["tenant"] = p.TenantID
	}
	if p.Grants != "" {
		extra["grants"] = p.Grants
	}
	if p.KeyThumbprint+p.CertThumbprint != "" {
		extra["cnf"] = map[string]string{"jkt": p.KeyThumbprint, "x5t#S256": p.CertThumbprint}
	}
	return jwt.Signed(i.signer).Claims(jwt.Claims{
		Issuer: i.base + path, Subject: p.Subject, Audience: jwt.Audience{authn.Audience}, ID: id.New().String(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}).Claims(extra).Serialize()
}

// Context acts for the tenant in direct calls of a service's methods.
func Context(t testing.TB, e tenantdir.Entry) context.Context { return tenantdir.With(t.Context(), e) }
