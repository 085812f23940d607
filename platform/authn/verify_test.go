package authn_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"basisdienste/platform/fault"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

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
