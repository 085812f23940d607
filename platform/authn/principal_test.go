package authn

import (
	"testing"

	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

func TestPrincipal_IsOperator(t *testing.T) {
	t.Parallel()
	erfurt := id.New()
	for _, c := range []struct {
		name string
		p    Principal
		want bool
	}{
		{"service", Principal{Kind: Service}, true},
		{"operator's staff", Principal{Kind: Staff, TenantID: tenant.Operator, Roles: []string{RoleOperator}}, true},
		{"operator's program", Principal{Kind: Client, TenantID: tenant.Operator, Scopes: []string{"operator"}}, true},
		{"another program of the operator", Principal{Kind: Client, TenantID: tenant.Operator, Scopes: []string{"post"}}, false},
		{"program with grants", Principal{Kind: Client, Grants: "client:efa", Scopes: []string{"operator"}}, false},
		{"a municipality's program", Principal{Kind: Client, TenantID: erfurt, Scopes: []string{"operator"}}, false},
		{"a municipality's staff", Principal{Kind: Staff, TenantID: erfurt, Roles: []string{RoleOperator}}, false},
	} {
		if got := c.p.IsOperator(); got != c.want {
			t.Errorf("%s: IsOperator() = %t, want %t", c.name, got, c.want)
		}
	}
}
