package webhooks

import (
	"context"

	"basisdienste/platform/authn"
	"basisdienste/platform/kit"
)

// Scope is what a program needs to register webhooks and to look after them.
const Scope = "payment:webhooks"

func (s *Service) routes(m *kit.Mux, v *authn.Verifier) {
	admin := v.ScopeOrRole(Scope, authn.RoleTenantAdmin)
	kit.Route(m, "GET /t/{tenant}/payment/v1/webhooks", admin, s.List)
	kit.Route(m, "POST /t/{tenant}/payment/v1/webhooks", admin, s.Create)
	kit.Route(m, "GET /t/{tenant}/payment/v1/webhooks/{webhook}", admin, s.Get)
	kit.Route(m, "PATCH /t/{tenant}/payment/v1/webhooks/{webhook}", admin, s.Patch)
	kit.Route(m, "DELETE /t/{tenant}/payment/v1/webhooks/{webhook}", admin, func(ctx context.Context, q NameRequest) (kit.None, error) {
		return kit.None{}, s.Delete(ctx, q)
	})
	kit.Route(m, "POST /t/{tenant}/payment/v1/webhooks/{webhook}/rotate", admin, s.Rotate)
	kit.Route(m, "POST /t/{tenant}/payment/v1/webhooks/{webhook}/test", admin, s.Test)
	kit.Route(m, "POST /t/{tenant}/payment/v1/webhooks/{webhook}/replay", admin, s.ReplaySince)
	kit.Route(m, "GET /t/{tenant}/payment/v1/webhooks/{webhook}/deliveries", admin, s.Deliveries)
	kit.Route(m, "GET /t/{tenant}/payment/v1/webhooks/{webhook}/deliveries/{delivery}", admin, s.GetDelivery)
	kit.Route(m, "POST /t/{tenant}/payment/v1/webhooks/{webhook}/deliveries/{delivery}/replay", admin, s.Replay)
}
