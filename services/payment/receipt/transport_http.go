package receipt

import (
	"context"
	"net/http"

	"basisdienste/platform/authn"
	"basisdienste/platform/fault"
	"basisdienste/platform/kit"
	"basisdienste/services/payment"
)

func (s *service) routes(m *kit.Mux, v *authn.Verifier) {
	read := v.ScopeOrRole(payment.ScopeRead, authn.RoleClerk, authn.RoleTenantAdmin)
	kit.Route(m, "GET /t/{tenant}/payment/v1/transactions/{transaction}/receipt.pdf", read, s.get)
}

// GetRequest names a transaction, and the language of its receipt.
type GetRequest struct {
	payment.GetRequest
	Language string
}

// FromHTTP reads path and query. Errors: unknown_transaction, unknown_language.
func (q *GetRequest) FromHTTP(r *http.Request) error {
	if q.Language = r.URL.Query().Get("lang"); q.Language == "" {
		q.Language = "de"
	}
	if q.Language != "de" && q.Language != "en" {
		return fault.Invalid("unknown_language", "lang is de or en").
			With(fault.Field{Name: "lang", Code: "unknown_language", Detail: "is de or en"})
	}
	return q.GetRequest.FromHTTP(r)
}

func (s *service) get(ctx context.Context, q GetRequest) (kit.Raw, error) {
	r, err := s.read(ctx, q.ID, q.Language)
	if err != nil {
		return kit.Raw{}, err
	}
	body, err := s.pdf(ctx, r)
	return kit.Raw{Type: "application/pdf", Body: body}, err
}
