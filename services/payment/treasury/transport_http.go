package treasury

import (
	"context"
	"net/http"

	"basisdienste/platform/authn"
	"basisdienste/platform/kit"
	"basisdienste/platform/problem"
)

// Scope is what a program of the treasury needs.
const Scope = "payment:treasury"

const apiBase = "/t/{tenant}/payment/v1/treasury"

func (s *service) routes(m *kit.Mux, v *authn.Verifier) {
	allowed := v.ScopeOrRole(Scope, authn.RoleTenantAdmin)
	kit.Route(m, "POST "+apiBase+"/statements", allowed, s.importFile)
	kit.Route(m, "GET "+apiBase+"/statements", allowed, s.list)
	kit.Route(m, "GET "+apiBase+"/statements/{statement}", allowed, s.get)
	kit.Route(m, "GET "+apiBase+"/statements/{statement}/entries", allowed, s.entries)
	kit.Route(m, "GET "+apiBase+"/closings/{day}", allowed, s.closing)
	m.Handle("GET "+apiBase+"/exports/{what}", guarded(allowed, s.export))
	kit.Route(m, "GET "+apiBase+"/settlements", allowed, s.settlements)
	m.Handle("GET "+apiBase+"/settlements/{provider}/{settlement}", guarded(allowed, s.settlement))
	kit.Route(m, "GET "+apiBase+"/disputes", allowed, s.disputes)
}

// guarded puts a guard before a handler that streams.
func guarded(guard kit.Guard, h func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := guard(func(ctx context.Context, _ any) (any, error) { return nil, h(w, r.WithContext(ctx)) })(r.Context(), r)
		if err != nil {
			problem.Write(w, r, err)
		}
	})
}
