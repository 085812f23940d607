package request

import (
	"context"

	"basisdienste/platform/authn"
	"basisdienste/platform/kit"
	"basisdienste/services/payment"
)

const base = "/t/{tenant}/payment/v1/transactions/{transaction}"

func (s *Service) routes(m *kit.Mux, v *authn.Verifier) {
	read := v.ScopeOrRole(payment.ScopeRead, authn.RoleClerk, authn.RoleTenantAdmin)
	write := v.ScopeOrRole(payment.ScopeWrite, authn.RoleClerk, authn.RoleTenantAdmin)

	kit.Route(m, "POST "+base+"/request", write, func(ctx context.Context, q AskRequest) (Asked, error) {
		v, err := s.Ask(ctx, q)
		return Asked{v}, err
	})
	kit.Route(m, "GET "+base+"/request", read, s.Get)
	kit.Route(m, "DELETE "+base+"/request", write, func(ctx context.Context, q payment.GetRequest) (kit.None, error) {
		return kit.None{}, s.Stop(ctx, q)
	})
	kit.Route(m, "GET "+base+"/qr.svg", read, s.linkSVG)
	kit.Route(m, "GET "+base+"/qr.png", read, s.linkPNG)
	kit.Route(m, "GET "+base+"/girocode.svg", read, s.giroSVG)
	kit.Route(m, "GET "+base+"/girocode.png", read, s.giroPNG)
}
