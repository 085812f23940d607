package payment

import (
	"basisdienste/platform/authn"
	"basisdienste/platform/kit"
)

// ScopeRead is what a program needs to read transactions by our own API.
const ScopeRead = "payment:read"

// ScopeWrite is what a program needs to make and end transactions, and to capture.
const ScopeWrite = "payment:write"

// ScopeRefund is what a program needs to give money back. Whoever asked cannot approve.
const ScopeRefund = "payment:refund"

// routes of our own API, beside the standard.
func (s *Service) routes(m *kit.Mux, v *authn.Verifier) {
	read := v.ScopeOrRole(ScopeRead, authn.RoleClerk, authn.RoleTenantAdmin)
	kit.Route(m, "GET /t/{tenant}/payment/v1/transactions", read, s.list)
	kit.Route(m, "GET /t/{tenant}/payment/v1/transactions/{transaction}", read, s.get)
	kit.Route(m, "GET /t/{tenant}/payment/v1/transactions/{transaction}/events", read, s.events)
	kit.Route(m, "GET /t/{tenant}/payment/v1/transactions/{transaction}/refunds", read, s.refunds)
	kit.Route(m, "GET /t/{tenant}/payment/v1/refunds", read, s.listRefunds)
	write := v.ScopeOrRole(ScopeWrite, authn.RoleClerk, authn.RoleTenantAdmin)
	kit.Route(m, "POST /t/{tenant}/payment/v1/transactions", write, s.claim)
	kit.Route(m, "POST /t/{tenant}/payment/v1/transactions/{transaction}/withdraw", write, s.withdraw)
	kit.Route(m, "POST /t/{tenant}/payment/v1/transactions/{transaction}/capture", write, s.capture)
	refund := v.ScopeOrRole(ScopeRefund, authn.RoleClerk, authn.RoleTenantAdmin)
	kit.Route(m, "POST /t/{tenant}/payment/v1/transactions/{transaction}/refunds", refund, s.requestRefund)
	kit.Route(m, "POST /t/{tenant}/payment/v1/transactions/{transaction}/refunds/{refund}/approve", refund, s.approveRefund)
	kit.Route(m, "POST /t/{tenant}/payment/v1/transactions/{transaction}/refunds/{refund}/reject", refund, s.rejectRefund)
}
