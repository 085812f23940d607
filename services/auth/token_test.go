package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"basisdienste/platform/authn"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

func TestClientCredentials_Claims(t *testing.T) {
	t.Parallel()
	w := start(t)
	key, err := w.Process.Host("auth").ServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	efa := w.client("/operator", map[string]any{"client_id": "efa", "name": "EfA", "scopes": []string{"post", "forms:write"}})
	own := w.client("/t/erfurt", map[string]any{"client_id": "fachverfahren", "name": "Fachverfahren", "scopes": []string{"forms:read"}})

	for _, c := range []struct {
		name, path, id, secret, scope string
		want                          authn.Principal
	}{
		{"service", "/operator/auth/token", "svc-forms", authn.ServiceSecret(key, "forms"), "", authn.Principal{Kind: authn.Service, Scopes: []string{}}},
		{"operator", "/operator/auth/token", "basisctl", w.operatorSecret(), "", authn.Principal{Kind: authn.Client, TenantID: tenant.Operator, Scopes: []string{"operator"}}},
		{"EfA, all scopes", "/operator/auth/token", "efa", efa, "", authn.Principal{Kind: authn.Client, Grants: "client:efa", Scopes: []string{"post", "forms:write"}}},
		{"EfA, one scope", "/operator/auth/token", "efa", efa, "post", authn.Principal{Kind: authn.Client, Grants: "client:efa", Scopes: []string{"post"}}},
		{"municipality's own", "/t/erfurt/auth/token", "fachverfahren", own, "", authn.Principal{Kind: authn.Client, TenantID: w.erfurt.ID, Scopes: []string{"forms:read"}}},
	} {
		a, answer := w.clientToken(c.path, c.id, c.secret, c.scope)
		if a.Status != http.StatusOK || answer.TokenType != "Bearer" || answer.ExpiresIn != 1800 {
			t.Errorf("%s: token = %d %s, want 200, Bearer, 1800 s", c.name, a.Status, a.Body)
			continue
		}
		if got := a.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control = %q, want no-store", c.name, got)
		}
		header, claims := segment(t, answer.AccessToken, 0), segment(t, answer.AccessToken, 1)
		if header["typ"] != "at+jwt" || header["alg"] != "ES256" || header["kid"] == "" || claims["aud"] != "basisdienste" || claims["jti"] == "" {
			t.Errorf("%s: header %v, claims %v: want typ at+jwt, alg ES256, kid, aud, jti", c.name, header, claims)
		}
		p, err := w.principal(answer.AccessToken)
		c.want.Issuer, c.want.Subject, c.want.ClientID = w.URL+strings.TrimSuffix(c.path, "/token"), c.id, c.id
		if got, want := mustJSON(t, p), mustJSON(t, c.want); err != nil || got != want || strings.Join(p.Scopes, " ") != strings.Join(c.want.Scopes, " ") {
			t.Errorf("%s: Verify = %s %v, %v; want %s %v", c.name, got, p.Scopes, err, want, c.want.Scopes)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestClientCredentials_Refused(t *testing.T) {
	t.Parallel()
	w := start(t)
	secret := w.client("/operator", map[string]any{"client_id": "efa", "name": "EfA", "scopes": []string{"post"}})
	own := w.client("/t/erfurt", map[string]any{"client_id": "own", "name": "Own"})
	browser := w.client("/t/erfurt", map[string]any{
		"client_id": "browser", "name": "B", "grant_types": []string{"authorization_code"}, "redirect_uris": []string{"https://app.example/cb"},
	})
	grant := url.Values{"grant_type": {"client_credentials"}}
	with := func(more ...string) url.Values {
		v := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i < len(more); i += 2 {
			v.Add(more[i], more[i+1])
		}
		return v
	}
	for _, c := range []struct {
		name, path, id, secret string
		form                   url.Values
		status                 int
		code                   string
	}{
		{"wrong secret", "/operator/auth/token", "efa", "wrong", grant, 401, "invalid_client"},
		{"unknown client", "/operator/auth/token", "nobody", secret, grant, 401, "invalid_client"},
		{"no credential", "/operator/auth/token", "", "", grant, 401, "invalid_client"},
		{"id alone", "/operator/auth/token", "", "", with("client_id", "efa"), 401, "invalid_client"},
		{"two ways", "/operator/auth/token", "efa", secret, with("client_id", "efa", "client_secret", secret), 400, "invalid_request"},
		{"scope not registered", "/operator/auth/token", "efa", secret, with("scope", "post operator"), 400, "invalid_scope"},
		{"not switched on", "/t/erfurt/auth/token", "efa", secret, grant, 401, "invalid_client"},
		{"other municipality's", "/t/jena/auth/token", "own", own, grant, 401, "invalid_client"},
		{"service at a municipality", "/t/erfurt/auth/token", "svc-forms", "x", grant, 401, "invalid_client"},
		{"grant not registered", "/t/erfurt/auth/token", "browser", browser, grant, 400, "unauthorized_client"},
		{"unknown grant", "/operator/auth/token", "efa", secret, url.Values{"grant_type": {"password"}}, 400, "unsupported_grant_type"},
		{"no grant", "/operator/auth/token", "efa", secret, url.Values{}, 400, "invalid_request"},
		{"parameter twice", "/operator/auth/token", "efa", secret, with("scope", "post", "scope", "post"), 400, "invalid_request"},
		{"form of 1 MB", "/operator/auth/token", "efa", secret, with("scope", strings.Repeat("x", 1<<20)), 413, "invalid_request"},
	} {
		a := w.post(c.path, c.id, c.secret, c.form)
		var got tokenAnswer
		a.JSON(t, &got)
		if a.Status != c.status || got.Error != c.code || got.AccessToken != "" {
			t.Errorf("%s: POST %s = %d %s, want %d %s", c.name, c.path, a.Status, a.Body, c.status, c.code)
		}
		if c.status == 401 && !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: WWW-Authenticate = %q, want Basic", c.name, a.Header.Get("WWW-Authenticate"))
		}
	}
	for _, header := range []string{"Basic", "Basic !!!", "Basic ZWZh", "Bearer x", "Basic JXp6OiV6eg=="} {
		a := w.Do(http.MethodPost, "/operator/auth/token", "", grant.Encode(), "Content-Type", form, "Authorization", header)
		if a.Status != 401 || !strings.Contains(string(a.Body), "invalid_client") {
			t.Errorf("Authorization %q = %d %s, want 401 invalid_client", header, a.Status, a.Body)
		}
	}
	if a := w.post("/t/nowhere/auth/token", "efa", secret, grant); a.Status != 404 || !strings.Contains(string(a.Body), "unknown_tenant") {
		t.Errorf("token at an unknown tenant = %d %s, want 404 unknown_tenant", a.Status, a.Body)
	}
}

// assertion signs a client assertion.
func assertion(t *testing.T, key *ecdsa.PrivateKey, c jwt.Claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	w := start(t)
	key, other := ecKey(t), ecKey(t)
	jwks := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k1", Algorithm: "ES256", Use: "sig"}}}
	w.client("/operator", map[string]any{
		"client_id": "efa-key", "name": "EfA", "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks, "scopes": []string{"post"},
	})
	issuer, now := w.URL+"/operator/auth", w.clock.Now()
	claims := func(change func(*jwt.Claims)) jwt.Claims {
		c := jwt.Claims{
			Issuer: "efa-key", Subject: "efa-key", Audience: jwt.Audience{issuer}, ID: id.New().String(),
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
		}
		if change != nil {
			change(&c)
		}
		return c
	}
	send := func(path, token string) (int, tokenAnswer) {
		a := w.post(path, "", "", url.Values{
			"grant_type": {"client_credentials"}, "client_assertion": {token},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		})
		var answer tokenAnswer
		a.JSON(t, &answer)
		return a.Status, answer
	}
	good := assertion(t, key, claims(nil))
	if status, answer := send("/operator/auth/token", good); status != 200 || answer.Scope != "post" {
		t.Fatalf("private_key_jwt for client_credentials = %d %+v, want a token with the scope post", status, answer)
	}
	if status, answer := send("/operator/auth/token", good); status != 401 || answer.Error != "invalid_client" {
		t.Errorf("the same assertion again = %d %+v, want 401 invalid_client", status, answer)
	}
	if status, _ := send("/operator/auth/token", assertion(t, key, claims(func(c *jwt.Claims) { c.Audience = jwt.Audience{issuer + "/token"} }))); status != 200 {
		t.Errorf("assertion for the token endpoint = %d, want 200", status)
	}
	for name, token := range map[string]string{
		"other key":      assertion(t, other, claims(nil)),
		"other issuer":   assertion(t, key, claims(func(c *jwt.Claims) { c.Issuer = "efa" })),
		"other audience": assertion(t, key, claims(func(c *jwt.Claims) { c.Audience = jwt.Audience{w.URL + "/t/erfurt/auth"} })),
		"expired":        assertion(t, key, claims(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(now.Add(-time.Minute)) })),
		"no expiry":      assertion(t, key, claims(func(c *jwt.Claims) { c.Expiry = nil })),
		"too long-lived": assertion(t, key, claims(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(now.Add(time.Hour)) })),
		"no jti":         assertion(t, key, claims(func(c *jwt.Claims) { c.ID = "" })),
		"no JWT":         "nonsense",
	} {
		if status, answer := send("/operator/auth/token", token); status != 401 || answer.Error != "invalid_client" {
			t.Errorf("%s: token = %d %+v, want 401 invalid_client", name, status, answer)
		}
	}
	// A secret does not help a client that has keys.
	if a, answer := w.clientToken("/operator/auth/token", "efa-key", "", ""); a.Status != 401 {
		t.Errorf("without assertion = %d %+v, want 401", a.Status, answer)
	}
}

func TestSecretPost(t *testing.T) {
	t.Parallel()
	w := start(t)
	secret := w.client("/operator", map[string]any{"client_id": "efa", "name": "EfA"})
	a := w.post("/operator/auth/token", "", "", url.Values{"grant_type": {"client_credentials"}, "client_id": {"efa"}, "client_secret": {secret}})
	if a.Status != 200 {
		t.Errorf("client_secret_post = %d %s, want 200", a.Status, a.Body)
	}
}

func TestToken_OtherTenantAndExpiry(t *testing.T) {
	t.Parallel()
	w := start(t)
	own := w.client("/t/erfurt", map[string]any{"client_id": "own", "name": "Own", "scopes": []string{"x"}})
	_, answer := w.clientToken("/t/erfurt/auth/token", "own", own, "")
	v := w.Process.Host("auth").Verifier
	p, err := v.Verify(t.Context(), answer.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.MayActFor(t.Context(), p, w.jena.ID); !fault.Is(err, "wrong_tenant") {
		t.Errorf("MayActFor(token of erfurt, jena) = %v, want wrong_tenant", err)
	}
	// The kid of Erfurt is not on Jena's key set.
	kid := segment(t, answer.AccessToken, 0)["kid"].(string)
	for path, want := range map[string]bool{"/t/erfurt/auth/keys": true, "/t/jena/auth/keys": false, "/operator/auth/keys": false} {
		var set jose.JSONWebKeySet
		a := w.Do(http.MethodGet, path, "", nil)
		a.JSON(t, &set)
		if got := len(set.Key(kid)) == 1; got != want || len(set.Keys) != 1 || strings.Contains(string(a.Body), `"d"`) {
			t.Errorf("GET %s = %s: has the kid of erfurt = %t, want %t, one public key", path, a.Body, got, want)
		}
	}
	w.clock.Add(31 * time.Minute)
	if _, err := v.Verify(t.Context(), answer.AccessToken); !fault.Is(err, "token_expired") {
		t.Errorf("Verify after 31 minutes = %v, want token_expired", err)
	}
}

func TestIntrospectionAndRevocation(t *testing.T) {
	t.Parallel()
	w := start(t)
	secret := w.client("/operator", map[string]any{"client_id": "efa", "name": "EfA", "scopes": []string{"post"}})
	other := w.client("/operator", map[string]any{"client_id": "other", "name": "Other"})
	if a := w.Do(http.MethodPost, "/operator/auth/v1/clients/efa/tenants/enable", w.operator(), map[string]any{"tenants": []string{"erfurt", "jena"}}); a.Status != 200 {
		t.Fatalf("enable = %d %s", a.Status, a.Body)
	}
	_, answer := w.clientToken("/operator/auth/token", "efa", secret, "")
	type introspection struct {
		Active   bool   `json:"active"`
		ClientID string `json:"client_id"`
		Grants   string `json:"grants"`
		Tenants  struct {
			All   bool   `json:"all"`
			Count int    `json:"count"`
			URL   string `json:"url"`
		} `json:"tenants"`
	}
	look := func(path, id, secret, token string) (got introspection) {
		a := w.post(path, id, secret, url.Values{"token": {token}})
		a.JSON(t, &got)
		if a.Status != 200 {
			t.Fatalf("POST %s = %d %s", path, a.Status, a.Body)
		}
		return got
	}
	got := look("/operator/auth/introspect", "efa", secret, answer.AccessToken)
	if !got.Active || got.ClientID != "efa" || got.Grants != "client:efa" || got.Tenants.Count != 2 || got.Tenants.URL != w.URL+"/operator/auth/v1/clients/efa/tenants" {
		t.Errorf("introspect = %+v, want active, two tenants and where they are listed", got)
	}
	var list struct {
		Items []struct{ Slug string } `json:"items"`
		Next  string                  `json:"next"`
	}
	a := w.Do(http.MethodGet, got.Tenants.URL+"?limit=1", answer.AccessToken, nil)
	a.JSON(t, &list)
	if len(list.Items) != 1 || list.Next == "" {
		t.Errorf("tenants of the client, page of 1 = %d %s, want one and a cursor", a.Status, a.Body)
	}
	if a := w.Do(http.MethodGet, w.URL+"/operator/auth/v1/clients/other/tenants", answer.AccessToken, nil); a.Status != 403 {
		t.Errorf("tenants of another client = %d, want 403", a.Status)
	}
	if got := look("/operator/auth/introspect", "other", other, answer.AccessToken); got.Active {
		t.Errorf("introspection by another client = %+v, want not active", got)
	}
	for _, token := range []string{"nonsense", answer.AccessToken + "x", answer.AccessToken[:len(answer.AccessToken)-3] + "AAA"} {
		if got := look("/operator/auth/introspect", "efa", secret, token); got.Active {
			t.Errorf("introspection of a forged token = %+v, want not active", got)
		}
	}
	if a := w.post("/operator/auth/introspect", "", "", url.Values{"token": {answer.AccessToken}}); a.Status != 401 {
		t.Errorf("introspection without a client = %d, want 401", a.Status)
	}

	if a := w.post("/operator/auth/revoke", "other", other, url.Values{"token": {answer.AccessToken}}); a.Status != 200 {
		t.Errorf("revocation of another's token = %d %s, want 200 without effect", a.Status, a.Body)
	}
	if got := look("/operator/auth/introspect", "efa", secret, answer.AccessToken); !got.Active {
		t.Errorf("after another client's revocation: %+v, want active", got)
	}
	if a := w.post("/operator/auth/revoke", "efa", secret, url.Values{"token": {answer.AccessToken}}); a.Status != 200 {
		t.Errorf("revoke = %d %s, want 200", a.Status, a.Body)
	}
	if got := look("/operator/auth/introspect", "efa", secret, answer.AccessToken); got.Active {
		t.Errorf("after revocation: %+v, want not active", got)
	}
	_, answer = w.clientToken("/operator/auth/token", "efa", secret, "")
	w.clock.Add(31 * time.Minute)
	if got := look("/operator/auth/introspect", "efa", secret, answer.AccessToken); got.Active {
		t.Errorf("after expiry: %+v, want not active", got)
	}
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	w := start(t)
	own := w.client("/t/erfurt", map[string]any{"client_id": "own", "name": "Own"})
	token := func() string {
		_, answer := w.clientToken("/t/erfurt/auth/token", "own", own, "")
		return answer.AccessToken
	}
	kids := func() (kids []string) {
		var set jose.JSONWebKeySet
		w.Do(http.MethodGet, "/t/erfurt/auth/keys", "", nil).JSON(t, &set)
		for _, k := range set.Keys {
			kids = append(kids, k.KeyID)
		}
		return kids
	}
	first := segment(t, token(), 0)["kid"]
	const rotate = "/operator/auth/v1/issuers/erfurt/rotate-keys"
	if a := w.Do(http.MethodPost, rotate, w.operator(), map[string]any{}); a.Status != 200 {
		t.Fatalf("rotate = %d %s", a.Status, a.Body)
	}
	if got := kids(); len(got) != 2 {
		t.Fatalf("keys after rotation = %v, want the old and the next", got)
	}
	if got := segment(t, token(), 0)["kid"]; got != first {
		t.Errorf("right after rotation %v signs, want still %v", got, first)
	}
	if a := w.Do(http.MethodPost, rotate, w.operator(), map[string]any{}); a.Status != 409 {
		t.Errorf("rotate again = %d %s, want 409 rotation_under_way", a.Status, a.Body)
	}
	w.clock.Add(14 * time.Minute)
	last := token() // of the old key
	w.clock.Add(2 * time.Minute)
	if got := segment(t, token(), 0)["kid"]; got == first {
		t.Error("after the lead the old key still signs")
	}
	w.clock.Add(27 * time.Minute) // last expires in a minute
	if _, err := w.principal(last); err != nil {
		t.Errorf("Verify(last token of the old key) = %v, want it good until it expires", err)
	}
	w.clock.Add(time.Hour)
	if got := kids(); len(got) != 1 || got[0] == first {
		t.Errorf("keys after the last token's expiry = %v, want the new one alone", got)
	}
	before := token()
	if a := w.Do(http.MethodPost, rotate, w.operator(), map[string]any{"immediately": true}); a.Status != 200 {
		t.Fatalf("rotate immediately = %d %s", a.Status, a.Body)
	}
	if got := kids(); len(got) != 1 || got[0] == segment(t, before, 0)["kid"] {
		t.Errorf("keys after immediate rotation = %v, want another one alone", got)
	}
	a := w.post("/t/erfurt/auth/introspect", "own", own, url.Values{"token": {before}})
	if string(a.Body) != `{"active":false}` {
		t.Errorf("token of the dropped key = %s, want not active", a.Body)
	}
}
