package authn_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/discover"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

const base = "https://basis.example"

// world is a verifier, the issuers that it asks, and a clock.
type world struct {
	t     *testing.T
	v     *authn.Verifier
	dir   *tenantdir.Dir
	db    *db.DB
	local *discover.Local
	first *ecdsa.PrivateKey

	mu      sync.Mutex
	now     time.Time
	keys    map[string]*ecdsa.PrivateKey // by kid, of every issuer
	down    bool
	fetches int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), keys: map[string]*ecdsa.PrivateKey{}, local: discover.NewLocal()}
	w.addKey("k1")
	w.first = w.keys["k1"]
	w.db = dbtest.New(t, tenantdir.Migrations())
	w.dir = tenantdir.New(w.db, w.clock)
	w.local.Add("auth", http.HandlerFunc(w.serveKeys))
	w.v = authn.NewVerifier(base, w.local, w.dir, w.clock)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) addKey(kid string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	w.keys[kid] = key
}

func (w *world) serveKeys(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fetches++
	if w.down || !strings.HasSuffix(r.URL.Path, "/auth/keys") {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	var set jose.JSONWebKeySet
	for kid, k := range w.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.PublicKey, KeyID: kid, Algorithm: "ES256", Use: "sig"})
	}
	_ = json.NewEncoder(rw).Encode(set)
}

func (w *world) tenant(slug string, status tenantdir.Status) tenantdir.Entry {
	w.t.Helper()
	e := tenantdir.Entry{Tenant: tenant.Tenant{ID: id.New(), Slug: slug, Name: slug}, Status: status, Version: 1}
	ctx := tenant.With(w.t.Context(), e.Tenant)
	if err := w.db.Tx(ctx, func(tx *db.Tx) error { return w.dir.Apply(ctx, tx, e) }); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// claims are those of a good token of the issuer's path, changed by the pairs.
func (w *world) claims(path string, pairs ...any) map[string]any {
	now := w.clock()
	c := map[string]any{
		"iss": base + path, "sub": "s", "aud": "basisdienste", "client_id": "c", "scope": "a b", "kind": "client",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": id.New(), "roles": []string{}, "acr": "STORK-QAA-Level-3",
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		c[pairs[i].(string)] = pairs[i+1]
		if pairs[i+1] == nil {
			delete(c, pairs[i].(string))
		}
	}
	return c
}

func (w *world) sign(claims map[string]any, header ...any) string {
	w.t.Helper()
	h := map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
	for i := 0; i+1 < len(header); i += 2 {
		h[header[i].(string)] = header[i+1]
		if header[i+1] == nil {
			delete(h, header[i].(string))
		}
	}
	key := w.first
	if kid, ok := h["kid"].(string); ok && w.keys[kid] != nil {
		key = w.keys[kid]
	}
	hb, _ := json.Marshal(h)
	cb, _ := json.Marshal(claims)
	text := base64.RawURLEncoding.EncodeToString(hb) + "." + base64.RawURLEncoding.EncodeToString(cb)
	sum := crypto.SHA256.New()
	sum.Write([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum.Sum(nil))
	if err != nil {
		w.t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Code
}

func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	erfurt, jena := w.tenant("erfurt", tenantdir.Active), w.tenant("jena", tenantdir.Active)
	w.tenant("weimar", tenantdir.Suspended)
	const mine, operator = "/t/erfurt/auth", "/operator/auth"
	good := w.claims(mine, "tenant", erfurt.ID)
	at := func(d time.Duration) int64 { return w.clock().Add(d).Unix() }

	public, err := json.Marshal(jose.JSONWebKey{Key: &w.keys["k1"].PublicKey})
	if err != nil {
		t.Fatal(err)
	}
	hmac, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: public}, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "k1"))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(good)
	signed, err := hmac.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	hs256, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	ok := w.sign(good)
	parts := strings.Split(ok, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt","kid":"k1"}`)) + "." + parts[1] + "."
	other := w.sign(w.claims(mine, "tenant", jena.ID))

	for name, c := range map[string]struct{ token, want string }{
		"good":                                 {ok, ""},
		"good again, from the cache":           {ok, ""},
		"operator's client":                    {w.sign(w.claims(operator, "tenant", tenant.Operator)), ""},
		"operator's, with grants":              {w.sign(w.claims(operator, "grants", "client:c")), ""},
		"operator's, of a tenant":              {w.sign(w.claims(operator, "tenant", erfurt.ID)), ""},
		"service":                              {w.sign(w.claims(operator, "kind", "service")), ""},
		"audience among others":                {w.sign(w.claims(mine, "tenant", erfurt.ID, "aud", []string{"x", "basisdienste"})), ""},
		"expired, within the leeway":           {w.sign(w.claims(mine, "tenant", erfurt.ID, "exp", at(-4*time.Second))), ""},
		"expired":                              {w.sign(w.claims(mine, "tenant", erfurt.ID, "exp", at(-6*time.Second))), "token_expired"},
		"no expiry":                            {w.sign(w.claims(mine, "tenant", erfurt.ID, "exp", nil)), "token_invalid"},
		"not yet valid":                        {w.sign(w.claims(mine, "tenant", erfurt.ID, "nbf", at(time.Minute))), "token_invalid"},
		"issued by a clock that is ahead":      {w.sign(w.claims(mine, "tenant", erfurt.ID, "iat", at(20*time.Second), "nbf", at(20*time.Second))), ""},
		"issued in the future":                 {w.sign(w.claims(mine, "tenant", erfurt.ID, "iat", at(time.Minute))), "token_invalid"},
		"other audience":                       {w.sign(w.claims(mine, "tenant", erfurt.ID, "aud", "web-forms")), "token_invalid"},
		"no audience":                          {w.sign(w.claims(mine, "tenant", erfurt.ID, "aud", nil)), "token_invalid"},
		"no subject":                           {w.sign(w.claims(mine, "tenant", erfurt.ID, "sub", nil)), "token_invalid"},
		"no kind":                              {w.sign(w.claims(mine, "tenant", erfurt.ID, "kind", nil)), "token_invalid"},
		"unknown kind":                         {w.sign(w.claims(mine, "tenant", erfurt.ID, "kind", "root")), "token_invalid"},
		"tenant's issuer for another tenant":   {other, "token_invalid"},
		"tenant's issuer for no tenant":        {w.sign(w.claims(mine)), "token_invalid"},
		"tenant's issuer for the operator":     {w.sign(w.claims(mine, "tenant", tenant.Operator)), "token_invalid"},
		"tenant's issuer for a service":        {w.sign(w.claims(mine, "tenant", erfurt.ID, "kind", "service")), "token_invalid"},
		"tenant's issuer with grants":          {w.sign(w.claims(mine, "tenant", erfurt.ID, "grants", "client:c")), "token_invalid"},
		"issuer of nobody":                     {w.sign(w.claims("/t/nowhere/auth", "tenant", erfurt.ID)), "token_invalid"},
		"operator as a tenant's issuer":        {w.sign(w.claims("/t/operator/auth", "tenant", tenant.Operator)), "token_invalid"},
		"foreign issuer":                       {w.sign(w.claims("", "tenant", erfurt.ID, "iss", "https://evil.example/t/erfurt/auth")), "token_invalid"},
		"issuer that begins like ours":         {w.sign(w.claims("", "tenant", erfurt.ID, "iss", base+".evil.example/t/erfurt/auth")), "token_invalid"},
		"issuer with a path of its own":        {w.sign(w.claims("/t/erfurt/../../evil/auth", "tenant", erfurt.ID)), "token_invalid"},
		"no issuer":                            {w.sign(w.claims(mine, "iss", nil)), "token_invalid"},
		"ID token":                             {w.sign(good, "typ", "JWT"), "token_invalid"},
		"no typ":                               {w.sign(good, "typ", nil), "token_invalid"},
		"unknown key":                          {w.sign(good, "kid", "k9"), "token_invalid"},
		"no key id":                            {w.sign(good, "kid", nil), "token_invalid"},
		"critical header that nobody knows":    {w.sign(good, "crit", []string{"x"}, "x", 1), "token_invalid"},
		"HMAC with the public key":             {hs256, "token_invalid"},
		"algorithm none":                       {none, "token_invalid"},
		"signature of another":                 {parts[0] + "." + parts[1] + "." + strings.Split(other, ".")[2], "token_invalid"},
		"no signature":                         {parts[0] + "." + parts[1] + ".", "token_invalid"},
		"nothing":                              {"", "token_invalid"},
		"words":                                {"a.b.c", "token_invalid"},
		"too long":                             {ok + strings.Repeat("A", 9000), "token_invalid"},
		"suspended tenant: what runs, goes on": {w.sign(w.claims("/t/weimar/auth", "tenant", must(w.dir.BySlug(t.Context(), "weimar")).ID)), ""},
	} {
		p, err := w.v.Verify(t.Context(), c.token)
		if code(err) != c.want {
			t.Errorf("%s: Verify = %v, want %q", name, err, c.want)
		}
		if err == nil && (p.Subject != "s" || p.Level != 3 || fmt.Sprint(p.Scopes) != "[a b]" || !strings.HasPrefix(p.Issuer, base)) {
			t.Errorf("%s: Verify = %+v, want what the claims say", name, p)
		}
		if err != nil && fault.From(err).Kind != fault.KindUnauthenticated {
			t.Errorf("%s: Verify = %v, want 401", name, err)
		}
	}
}

func must(e tenantdir.Entry, err error) tenantdir.Entry {
	if err != nil {
		panic(err)
	}
	return e
}

func TestVerify_CacheEndsWithTheToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.sign(w.claims("/operator/auth", "kind", "service"))
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, ""}, {59 * time.Minute, ""}, {time.Minute + 4*time.Second, ""}, {2 * time.Second, "token_expired"}} {
		w.pass(c.after)
		if _, err := w.v.Verify(t.Context(), token); code(err) != c.want {
			t.Errorf("%s later: Verify = %v, want %q", c.after, err, c.want)
		}
	}
}

func TestVerify_KeysAreReadSeldom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	verify := func(kid string) string {
		_, err := w.v.Verify(t.Context(), w.sign(w.claims("/operator/auth", "kind", "service"), "kid", kid))
		return code(err)
	}
	step := func(what, kid, want string, fetches int) {
		t.Helper()
		got := verify(kid)
		w.mu.Lock()
		defer w.mu.Unlock()
		if got != want || w.fetches != fetches {
			t.Errorf("%s: Verify = %q after %d fetches, want %q after %d", what, got, w.fetches, want, fetches)
		}
	}
	step("first", "k1", "", 1)
	step("second token", "k1", "", 1)
	step("unknown key at once", "k2", "token_invalid", 1)
	w.pass(6 * time.Second)
	step("unknown key later", "k2", "token_invalid", 2)
	step("unknown key again", "k3", "token_invalid", 2)
	w.set(func() { w.addKey("k2") })
	w.pass(6 * time.Second)
	step("rotated in", "k2", "", 3)
	step("the old one", "k1", "", 3)
	w.set(func() { delete(w.keys, "k1"); w.keys["old"] = w.keys["k2"] })
	w.pass(11 * time.Minute)
	step("fresh again", "k2", "", 4)
	w.set(func() { w.down = true })
	w.pass(11 * time.Minute)
	step("issuer away, key known", "k2", "", 5)
	step("issuer away, asked just now", "k2", "", 5)
	step("issuer away, key unknown", "k4", "keys_unavailable", 5)
	w.pass(6 * time.Second)
	step("issuer still away", "k2", "", 6)
	w.set(func() { w.down = false })
	w.pass(6 * time.Second)
	step("issuer is back", "k2", "", 7)
}

// TestVerify_HangingIssuerHoldsUpOneOnly: the others must not wait one after the other.
func TestVerify_HangingIssuerHoldsUpOneOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int32
	w.local.Add("auth", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		rw.WriteHeader(http.StatusGatewayTimeout)
	}))
	var wg sync.WaitGroup
	for range 20 {
		token := w.sign(w.claims("/operator/auth", "kind", "service"))
		wg.Go(func() {
			if _, err := w.v.Verify(t.Context(), token); code(err) != "keys_unavailable" {
				t.Errorf("Verify = %v, want keys_unavailable", err)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times, want 1", n)
	}
}

func TestGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	erfurt, jena := w.tenant("erfurt", tenantdir.Active), w.tenant("jena", tenantdir.Active)
	sys := db.System(t.Context())
	if err := w.db.Tx(sys, func(tx *db.Tx) error {
		return w.dir.ApplyGrants(sys, tx, "efa", true, false, []string{erfurt.ID.String()}, 1)
	}); err != nil {
		t.Fatal(err)
	}
	m := kit.NewMux(nil, w.dir.Path(nil))
	ok := func(ctx context.Context, _ struct{}) (string, error) {
		if _, found := authn.From(ctx); !found {
			return "", errors.New("no principal")
		}
		return "ok", nil
	}
	kit.Route(m, "GET /t/{tenant}/scope", w.v.Guard("a", "b"), ok)
	kit.Route(m, "GET /t/{tenant}/any", w.v.Guard(), ok)
	kit.Route(m, "GET /t/{tenant}/clerk", w.v.Role(authn.RoleClerk), ok)
	kit.Route(m, "GET /t/{tenant}/both", w.v.ScopeOrRole("a", authn.RoleTenantAdmin), ok)
	kit.Route(m, "GET /operator/x", w.v.Operator(), ok)

	const mine, operator = "/t/erfurt/auth", "/operator/auth"
	tokens := map[string]string{
		"nobody":       "",
		"client":       w.sign(w.claims(mine, "tenant", erfurt.ID)),
		"scope a":      w.sign(w.claims(mine, "tenant", erfurt.ID, "scope", "a")),
		"citizen":      w.sign(w.claims(mine, "tenant", erfurt.ID, "kind", "citizen", "roles", []string{"clerk"})),
		"clerk":        w.sign(w.claims(mine, "tenant", erfurt.ID, "kind", "staff", "roles", []string{"clerk"}, "scope", "")),
		"admin":        w.sign(w.claims(mine, "tenant", erfurt.ID, "kind", "staff", "roles", []string{"tenant-admin"}, "scope", "")),
		"would-be":     w.sign(w.claims(mine, "tenant", erfurt.ID, "kind", "staff", "roles", []string{"operator"}, "scope", "operator")),
		"operator":     w.sign(w.claims(operator, "tenant", tenant.Operator, "kind", "staff", "roles", []string{"operator"}, "scope", "")),
		"op's client":  w.sign(w.claims(operator, "tenant", tenant.Operator, "scope", "operator a b")),
		"op's other":   w.sign(w.claims(operator, "tenant", tenant.Operator, "scope", "a b")),
		"efa":          w.sign(w.claims(operator, "grants", "client:efa", "client_id", "efa")),
		"efa unknown":  w.sign(w.claims(operator, "grants", "client:x", "client_id", "x")),
		"efa operator": w.sign(w.claims(operator, "grants", "client:efa", "client_id", "efa", "scope", "operator", "roles", []string{"operator"})),
		"service":      w.sign(w.claims(operator, "kind", "service", "scope", "")),
	}
	for _, c := range []struct{ path, who, want string }{
		{"/t/erfurt/scope", "nobody", "token_missing"},
		{"/t/erfurt/scope", "client", ""},
		{"/t/erfurt/scope", "scope a", "scope_missing"},
		{"/t/jena/scope", "client", "wrong_tenant"},
		{"/t/nowhere/scope", "client", "unknown_tenant"},
		{"/t/erfurt/scope", "efa", ""},
		{"/t/jena/scope", "efa", "wrong_tenant"},
		{"/t/erfurt/scope", "efa unknown", "wrong_tenant"},
		{"/t/jena/scope", "service", ""},
		{"/t/erfurt/scope", "op's client", ""},
		{"/t/operator/scope", "op's client", ""},
		{"/t/operator/scope", "client", "wrong_tenant"},
		{"/t/erfurt/any", "citizen", ""},
		{"/t/jena/any", "citizen", "wrong_tenant"},
		{"/t/erfurt/clerk", "citizen", "role_missing"},
		{"/t/erfurt/clerk", "client", "role_missing"},
		{"/t/erfurt/clerk", "clerk", ""},
		{"/t/jena/clerk", "clerk", "wrong_tenant"},
		{"/t/erfurt/clerk", "admin", "role_missing"},
		{"/t/erfurt/clerk", "would-be", "role_missing"},
		{"/t/jena/clerk", "operator", "role_missing"},
		{"/t/jena/clerk", "service", ""},
		{"/t/erfurt/both", "scope a", ""},
		{"/t/erfurt/both", "admin", ""},
		{"/t/erfurt/both", "clerk", "role_missing"},
		{"/t/erfurt/both", "citizen", "role_missing"},
		{"/t/jena/both", "admin", "wrong_tenant"},
		{"/operator/x", "nobody", "token_missing"},
		{"/operator/x", "operator", ""},
		{"/operator/x", "op's client", ""},
		{"/operator/x", "op's other", "operator_only"},
		{"/operator/x", "service", ""},
		{"/operator/x", "would-be", "operator_only"},
		{"/operator/x", "efa operator", "operator_only"},
		{"/operator/x", "client", "operator_only"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
		if token := tokens[c.who]; token != "" {
			r.Header.Set("Authorization", "bearer "+token)
		}
		rec := httptest.NewRecorder()
		m.ServeHTTP(rec, r)
		var p struct {
			Code string `json:"code"`
		}
		if rec.Code != 200 {
			_ = json.Unmarshal(rec.Body.Bytes(), &p)
		}
		if p.Code != c.want || (rec.Code == 200) != (c.want == "") {
			t.Errorf("GET %s as %s = %d %s, want %q", c.path, c.who, rec.Code, rec.Body, c.want)
		}
		if rec.Code == 401 && rec.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("GET %s as %s: 401 without WWW-Authenticate", c.path, c.who)
		}
	}
	// Federal standards name the tenant in the request.
	p, err := w.v.Verify(t.Context(), tokens["efa"])
	if err != nil {
		t.Fatal(err)
	}
	ctx := authn.With(t.Context(), p)
	if in, err := w.v.Enter(ctx, erfurt); err != nil || must2(tenant.From(in)).ID != erfurt.ID {
		t.Errorf("Enter Erfurt = %v, want to act for it", err)
	}
	if _, err := w.v.Enter(ctx, jena); code(err) != "wrong_tenant" {
		t.Errorf("Enter Jena = %v, want wrong_tenant", err)
	}
	if _, err := w.v.Enter(t.Context(), erfurt); code(err) != "token_missing" {
		t.Errorf("Enter without a guard = %v, want token_missing", err)
	}
}

func must2(t tenant.Tenant, _ bool) tenant.Tenant { return t }

func TestGuard_Credentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.sign(w.claims("/operator/auth"))
	for header, want := range map[string]string{
		"": "token_missing", "Bearer": "token_missing", "Bearer ": "token_missing", "Basic abc": "token_missing",
		"Bearer abc": "token_invalid", "Bearer " + token: "", "bearer  " + token + " ": "",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?access_token="+token, nil)
		r.Header.Set("Authorization", header)
		if got := code(through(w, r)); got != want {
			t.Errorf("guard with %q = %q, want %q", header, got, want)
		}
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := []byte("0123456789abcdef0123456789abcdef")
	var asked atomic.Int32
	var down atomic.Bool
	w.local.Add("auth", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		client, secret, _ := r.BasicAuth()
		if down.Load() || client != "svc-forms" || secret != authn.ServiceSecret(key, "forms") || r.FormValue("grant_type") != "client_credentials" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"access_token": fmt.Sprint("t", n), "expires_in": 600})
	}))
	w.local.Add("notify", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = rw.Write([]byte(r.Header.Get("Authorization")))
	}))
	s := authn.NewSource(w.local, "forms", key, w.clock)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := s.Token(t.Context()); err != nil || got != "t1" {
				t.Errorf("Token = %q, %v, want t1: one asks for all", got, err)
			}
		})
	}
	wg.Wait()
	step := func(what, want, wantCode string, wantAsked int32) {
		t.Helper()
		got, err := s.Token(t.Context())
		if got != want || code(err) != wantCode || asked.Load() != wantAsked {
			t.Errorf("%s: Token = %q, %v after %d fetches, want %q %s after %d", what, got, err, asked.Load(), want, wantCode, wantAsked)
		}
	}
	w.pass(8 * time.Minute)
	step("still good", "t1", "", 1)
	w.pass(61 * time.Second)
	step("renewed before it ends", "t2", "", 2)
	down.Store(true)
	w.pass(9*time.Minute + time.Second)
	step("issuer away", "t2", "", 3)
	w.pass(time.Minute)
	step("issuer away for too long", "", "token_unavailable", 4)
	down.Store(false)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://notify/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client("notify").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got [64]byte
	n, _ := resp.Body.Read(got[:])
	if string(got[:n]) != "Bearer t5" || req.Header.Get("Authorization") != "" {
		t.Errorf("the call carried %q and changed the caller's request to %q", got[:n], req.Header.Get("Authorization"))
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	w.pass(time.Hour)
	if _, err := s.Token(cancelled); err == nil {
		t.Error("Token of a caller that gave up = nil error")
	}
}

func TestServiceSecret_IsStable(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	const want = "hEHMQfM1iSaotzWqSMWui-8-yUHVczQbkQkF306KuvQ"
	if got := authn.ServiceSecret(key, "payment"); got != want {
		t.Errorf("ServiceSecret = %s, want %s: running installations know it", got, want)
	}
	if authn.ServiceSecret(key, "web-payment") == authn.ServiceSecret(key, "payment") || authn.ServiceClient("payment") != "svc-payment" {
		t.Error("two clients share a secret")
	}
}
