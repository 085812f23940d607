package auth_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"basisdienste/platform/authn"
	"basisdienste/platform/runtest"
)

func TestClients_Lifecycle(t *testing.T) {
	t.Parallel()
	w := start(t)
	secret := w.client("/operator", map[string]any{"client_id": "efa", "name": "EfA", "scopes": []string{"post"}})
	token := w.operator()
	type client struct {
		Secret      string   `json:"client_secret"`
		Enabled     bool     `json:"enabled"`
		All         bool     `json:"all_tenants"`
		TenantCount int      `json:"tenant_count"`
		Grants      []string `json:"grant_types"`
		Version     int      `json:"version"`
	}
	do := func(path string, body any) (got client) {
		t.Helper()
		r := w.Do(http.MethodPost, "/operator/auth/v1/clients/efa"+path, token, body)
		if r.Status != 200 {
			t.Fatalf("POST …/efa%s = %d %s", path, r.Status, r.Body)
		}
		r.JSON(t, &got)
		return got
	}
	_, access := w.clientToken("/operator/auth/token", "efa", secret, "")
	p, err := w.principal(access.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	v := w.Process.Host("auth").Verifier
	acts := func(name string, want bool) {
		t.Helper()
		runtest.Eventually(t, name, func() bool {
			w.clock.Add(3 * time.Second) // the directory's cache
			return (v.MayActFor(t.Context(), p, w.erfurt.ID) == nil) == want
		})
	}
	acts("not switched on: no grant", false)
	if got := do("/tenants/enable", map[string]any{"tenants": []string{"erfurt"}}); got.TenantCount != 1 || got.Version != 2 || got.Secret != "" {
		t.Errorf("enable for erfurt = %+v, want one tenant, version 2, no secret", got)
	}
	acts("the same token acts for erfurt once it is switched on", true)
	if err := v.MayActFor(t.Context(), p, w.jena.ID); err == nil {
		t.Error("the client acts for jena, for which it is not switched on")
	}
	// Switched on, it also logs people in there.
	if r, _ := w.clientToken("/t/erfurt/auth/token", "efa", secret, ""); r.Status != 200 {
		t.Errorf("token of the operator's client at erfurt = %d %s, want 200", r.Status, r.Body)
	}
	if r, _ := w.clientToken("/t/jena/auth/token", "efa", secret, ""); r.Status != 401 {
		t.Errorf("token of the operator's client at jena = %d, want 401", r.Status)
	}
	if got := do("/tenants/enable", map[string]any{"all": true}); !got.All {
		t.Errorf("enable for all = %+v", got)
	}
	if r := w.Do(http.MethodPost, "/operator/auth/v1/clients/efa/tenants/disable", token, map[string]any{"tenants": []string{"erfurt"}}); r.Status != 409 {
		t.Errorf("disable for one of all = %d %s, want 409 client_on_for_all", r.Status, r.Body)
	}
	if got := do("/tenants/disable", map[string]any{"all": true}); got.All || got.TenantCount != 0 {
		t.Errorf("disable for all = %+v, want none", got)
	}
	acts("switched off for all: no grant", false)

	rotated := do("/secret", map[string]any{"keep_previous_for": 3600})
	for name, s := range map[string]string{"new": rotated.Secret, "old": secret} {
		if r, _ := w.clientToken("/operator/auth/token", "efa", s, ""); r.Status != 200 {
			t.Errorf("%s secret right after rotation = %d, want 200", name, r.Status)
		}
	}
	w.clock.Add(2 * time.Hour)
	token = w.operator()
	if r, _ := w.clientToken("/operator/auth/token", "efa", secret, ""); r.Status != 401 {
		t.Errorf("old secret two hours after rotation = %d, want 401", r.Status)
	}
	do("/tenants/enable", map[string]any{"tenants": []string{"erfurt"}})
	acts("on again", true)
	if got := do("/disable", nil); got.Enabled {
		t.Errorf("disable = %+v", got)
	}
	if r, _ := w.clientToken("/operator/auth/token", "efa", rotated.Secret, ""); r.Status != 401 {
		t.Errorf("token of a disabled client = %d, want 401", r.Status)
	}
	acts("disabled: tokens that are out act for nobody", false)
	if got := do("/enable", nil); !got.Enabled {
		t.Errorf("enable = %+v", got)
	}

	var list struct {
		Items []struct {
			ID string `json:"client_id"`
		} `json:"items"`
		Next string `json:"next"`
	}
	r := w.Do(http.MethodGet, "/operator/auth/v1/clients?limit=1", token, nil)
	r.JSON(t, &list)
	if len(list.Items) != 1 || list.Items[0].ID != "basisctl" || list.Next == "" || strings.Contains(string(r.Body), "secret\":\"") {
		t.Errorf("clients, page of 1 = %d %s, want basisctl, a cursor, no secret", r.Status, r.Body)
	}
	w.Do(http.MethodGet, "/operator/auth/v1/clients?limit=1&cursor="+list.Next, token, nil).JSON(t, &list)
	if len(list.Items) != 1 || list.Items[0].ID != "efa" {
		t.Errorf("second page = %+v, want efa", list)
	}
	if r := w.Do(http.MethodGet, "/operator/auth/v1/clients/efa", token, nil); r.Status != 200 {
		t.Errorf("get = %d %s", r.Status, r.Body)
	}
}

func TestClients_BadInput(t *testing.T) {
	t.Parallel()
	w := start(t)
	token := w.operator()
	w.client("/operator", map[string]any{"client_id": "efa", "name": "EfA"})
	own := w.client("/t/erfurt", map[string]any{"client_id": "own", "name": "Own", "scopes": []string{"x"}})
	_, ownToken := w.clientToken("/t/erfurt/auth/token", "own", own, "")
	private := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: ecKey(t), KeyID: "k"}}}
	const clients = "/operator/auth/v1/clients"
	for _, c := range []struct {
		name, method, path, token string
		body                      any
		status                    int
		code, field               string
	}{
		{"no token", "POST", clients, "", map[string]any{}, 401, "token_missing", ""},
		{"a municipality's client", "POST", clients, ownToken.AccessToken, map[string]any{}, 403, "operator_only", ""},
		{"a municipality's client at its own", "GET", "/t/erfurt/auth/v1/clients", ownToken.AccessToken, nil, 403, "role_missing", ""},
		{"exists", "POST", clients, token, map[string]any{"client_id": "efa", "name": "x"}, 409, "client_exists", ""},
		{"reserved id", "POST", clients, token, map[string]any{"client_id": "svc-forms", "name": "x"}, 422, "invalid_client_metadata", "/client_id"},
		{"no name", "POST", clients, token, map[string]any{"client_id": "abc"}, 422, "invalid_client_metadata", "/name"},
		{"redirect with wildcard", "POST", clients, token, map[string]any{"client_id": "abc", "name": "x", "redirect_uris": []string{"https://*.example/"}}, 422, "invalid_client_metadata", "/redirect_uris/0"},
		{"redirect without TLS", "POST", clients, token, map[string]any{"client_id": "abc", "name": "x", "redirect_uris": []string{"https://ok.example/", "http://app.example/"}}, 422, "invalid_client_metadata", "/redirect_uris/1"},
		{"implicit grant", "POST", clients, token, map[string]any{"client_id": "abc", "name": "x", "grant_types": []string{"implicit"}}, 422, "invalid_client_metadata", "/grant_types/0"},
		{"level 2", "POST", clients, token, map[string]any{"client_id": "abc", "name": "x", "min_level": 2}, 422, "invalid_client_metadata", "/min_level"},
		{"private key", "POST", clients, token, map[string]any{"client_id": "abc", "name": "x", "token_endpoint_auth_method": "private_key_jwt", "jwks": private}, 422, "invalid_client_metadata", "/jwks"},
		{"operator scope at a municipality", "POST", "/t/erfurt/auth/v1/clients", token, map[string]any{"client_id": "abc", "name": "x", "scopes": []string{"operator"}}, 422, "invalid_client_metadata", "/scopes"},
		{"unknown client", "GET", clients + "/nobody", token, nil, 404, "unknown_client", ""},
		{"unknown tenant", "POST", clients + "/efa/tenants/enable", token, map[string]any{"tenants": []string{"nowhere"}}, 404, "unknown_tenant", ""},
		{"neither tenants nor all", "POST", clients + "/efa/tenants/enable", token, map[string]any{}, 422, "invalid_tenants", "/tenants"},
		{"kept for too long", "POST", clients + "/efa/secret", token, map[string]any{"keep_previous_for": 1 << 30}, 422, "invalid_keep", "/keep_previous_for"},
		{"forged cursor", "GET", clients + "?cursor=AAAA", token, nil, 400, "invalid_cursor", ""},
		{"client of a municipality among the operator's", "GET", clients + "/own", token, nil, 404, "unknown_client", ""},
		{"keys of an unknown tenant", "POST", "/operator/auth/v1/issuers/nowhere/rotate-keys", token, map[string]any{}, 404, "unknown_tenant", ""},
	} {
		r := w.Do(c.method, c.path, c.token, c.body)
		var got struct {
			Code   string
			Fields []struct{ Name string }
		}
		r.JSON(t, &got)
		if r.Status != c.status || got.Code != c.code || (c.field != "" && (len(got.Fields) == 0 || got.Fields[0].Name != c.field)) {
			t.Errorf("%s: %s %s = %d %s, want %d %s %s", c.name, c.method, c.path, r.Status, r.Body, c.status, c.code, c.field)
		}
	}
}

// TestFirstClient: the file with the operator's first secret outlives a restart, and a
// rotated secret is not undone by one.
func TestFirstClient(t *testing.T) {
	t.Parallel()
	w := start(t)
	if p, err := w.principal(w.operator()); err != nil || !p.IsOperator() || p.Kind != authn.Client {
		t.Errorf("basisctl = %+v, %v; want the operator", p, err)
	}
}
