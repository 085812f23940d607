package auth_test

import (
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"basisdienste/platform/certs/certstest"
	"basisdienste/platform/runtest"
)

const tokenPath = "/operator/auth/token"

// ask gets a token of the operator's issuer by client credentials, with more headers.
func (w *world) ask(id, secret string, headers ...string) (runtest.Answer, tokenAnswer) {
	w.t.Helper()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
	a := w.Do(http.MethodPost, tokenPath, "", "grant_type=client_credentials", append([]string{"Content-Type", form, "Authorization", basic}, headers...)...)
	var answer tokenAnswer
	a.JSON(w.t, &answer)
	return a, answer
}

// RFC 9449: the token endpoint binds tokens to the key that the request proves.
func TestTokensBoundToAKey(t *testing.T) {
	t.Parallel()
	w := start(t)
	p, thief := runtest.NewProver(t, w.clock.Now), runtest.NewProver(t, w.clock.Now)
	bound := w.client("/operator", map[string]any{"client_id": "bound", "name": "Bound", "dpop_bound_access_tokens": true})
	free := w.client("/operator", map[string]any{"client_id": "free", "name": "Free"})
	if a, answer := w.ask("bound", bound); a.Status != http.StatusBadRequest || answer.Error != "invalid_dpop_proof" {
		t.Errorf("a client that has to prove, without a proof = %d %s, want 400 invalid_dpop_proof", a.Status, a.Body)
	}
	proof := p.Proof(http.MethodPost, w.URL+tokenPath, "")
	a, answer := w.ask("bound", bound, "DPoP", proof)
	cnf, _ := segment(t, answer.AccessToken, 1)["cnf"].(map[string]any)
	if a.Status != http.StatusOK || answer.TokenType != "DPoP" || cnf["jkt"] != p.Thumbprint {
		t.Fatalf("with a proof = %d %s, cnf %v; want 200, type DPoP, the key's thumbprint %s", a.Status, a.Body, cnf, p.Thumbprint)
	}
	if a, again := w.ask("bound", bound, "DPoP", proof); a.Status != http.StatusBadRequest || again.Error != "invalid_dpop_proof" {
		t.Errorf("the proof again = %d %s, want 400 invalid_dpop_proof", a.Status, a.Body)
	}
	if a, bad := w.ask("bound", bound, "DPoP", p.Proof(http.MethodPost, w.URL+"/t/erfurt/auth/token", "")); a.Status != http.StatusBadRequest || bad.Error != "invalid_dpop_proof" {
		t.Errorf("a proof for another issuer = %d %s, want 400 invalid_dpop_proof", a.Status, a.Body)
	}
	if a, chosen := w.ask("free", free, "DPoP", p.Proof(http.MethodPost, w.URL+tokenPath, "")); a.Status != http.StatusOK || chosen.TokenType != "DPoP" {
		t.Errorf("a client that need not prove, with a proof = %d %s, want a bound token", a.Status, a.Body)
	}

	const path = "/operator/auth/v1/clients/bound/tenants"
	use := func(scheme string, headers ...string) int {
		return w.Do(http.MethodGet, path, "", nil, append(headers, "Authorization", scheme+" "+answer.AccessToken)...).Status
	}
	for _, c := range []struct {
		name, scheme string
		headers      []string
		want         int
	}{
		{"with the key", "DPoP", []string{"DPoP", p.Proof(http.MethodGet, w.URL+path, answer.AccessToken)}, 200},
		{"with the key, as Bearer", "Bearer", []string{"DPoP", p.Proof(http.MethodGet, w.URL+path, answer.AccessToken)}, 200},
		{"without", "Bearer", nil, 401},
		{"with another key", "DPoP", []string{"DPoP", thief.Proof(http.MethodGet, w.URL+path, answer.AccessToken)}, 401},
		{"with a proof for another method", "DPoP", []string{"DPoP", p.Proof(http.MethodPost, w.URL+path, answer.AccessToken)}, 401},
	} {
		if got := use(c.scheme, c.headers...); got != c.want {
			t.Errorf("a bound token %s = %d, want %d", c.name, got, c.want)
		}
	}
	said := w.post("/operator/auth/introspect", "bound", bound, url.Values{"token": {answer.AccessToken}})
	if !strings.Contains(string(said.Body), `"token_type":"DPoP"`) || !strings.Contains(string(said.Body), p.Thumbprint) {
		t.Errorf("introspection = %s, want type DPoP and the thumbprint", said.Body)
	}
	discovery := w.Do(http.MethodGet, "/operator/auth/.well-known/openid-configuration", "", nil)
	if text := string(discovery.Body); !strings.Contains(text, `"dpop_signing_alg_values_supported":["ES256"`) {
		t.Errorf("discovery = %s, want the algorithms of proofs", text)
	}
}

// RFC 8705: tokens of a client that is registered so are good with its certificate alone.
func TestTokensBoundToACertificate(t *testing.T) {
	t.Parallel()
	w := start(t, runtest.CertsFrom("127.0.0.0/8"))
	header := func(name string) string {
		text, err := os.ReadFile(certstest.New(t).Client(name).Cert)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		return ":" + base64.StdEncoding.EncodeToString(block.Bytes) + ":"
	}
	own, other := header("efa"), header("other")
	secret := w.client("/operator", map[string]any{"client_id": "efa", "name": "EfA", "tls_client_certificate_bound_access_tokens": true})
	if a, answer := w.ask("efa", secret); a.Status != http.StatusBadRequest || answer.Error != "invalid_request" {
		t.Errorf("without a certificate = %d %s, want 400 invalid_request", a.Status, a.Body)
	}
	a, answer := w.ask("efa", secret, "Client-Cert", own)
	cnf, _ := segment(t, answer.AccessToken, 1)["cnf"].(map[string]any)
	if a.Status != http.StatusOK || answer.TokenType != "Bearer" || cnf["x5t#S256"] == "" {
		t.Fatalf("with a certificate = %d %s, cnf %v; want 200, Bearer, its thumbprint", a.Status, a.Body, cnf)
	}
	for name, c := range map[string]struct {
		headers []string
		want    int
	}{
		"its own": {[]string{"Client-Cert", own}, 200}, "another": {[]string{"Client-Cert", other}, 401}, "none": {nil, 401},
	} {
		if got := w.Do(http.MethodGet, "/operator/auth/v1/clients/efa/tenants", answer.AccessToken, nil, c.headers...).Status; got != c.want {
			t.Errorf("the token with %s certificate = %d, want %d", name, got, c.want)
		}
	}
}

func TestCreateClient_BoundTokensOfLogins(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.Do(http.MethodPost, "/operator/auth/v1/clients", w.operator(), map[string]any{
		"client_id": "app", "name": "App", "grant_types": []string{"authorization_code"}, "redirect_uris": []string{"https://app.example/cb"},
		"dpop_bound_access_tokens": true,
	})
	if a.Status != http.StatusUnprocessableEntity || !strings.Contains(string(a.Body), "/grant_types") {
		t.Errorf("a client of logins with bound tokens = %d %s, want 422", a.Status, a.Body)
	}
}
