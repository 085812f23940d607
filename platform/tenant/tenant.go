// Package tenant carries the identity of the tenant through the context. It is set by the
// middleware that resolved and authorised it, or by the bus from an event; never from a body.
package tenant

import (
	"context"

	"basisdienste/platform/id"
)

// Tenant names one administration.
type Tenant struct {
	ID   id.ID  `json:"id"`
	Slug string `json:"slug"` // in URLs: ^[a-z0-9][a-z0-9-]{0,62}$
	Name string `json:"name"`
}

// Operator is the tenant id of the operator itself: its clients, staff and catalogue.
const Operator id.ID = "00000000-0000-7000-8000-000000000001"

// OperatorSlug stands where a tenant's slug would stand.
const OperatorSlug = "operator"

type key struct{}

// With returns a context that acts for t.
func With(ctx context.Context, t Tenant) context.Context { return context.WithValue(ctx, key{}, t) }

// From returns the tenant that ctx acts for.
func From(ctx context.Context) (Tenant, bool) {
	t, ok := ctx.Value(key{}).(Tenant)
	return t, ok
}
