package authn_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/kit"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

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
