package tenantdir

import (
	"context"
	"net/http"

	"basisdienste/platform/obs"
	"basisdienste/platform/problem"
	"basisdienste/platform/tenant"
)

type entryKey struct{}

// From returns the entry that Path found.
func From(ctx context.Context) (Entry, bool) {
	e, ok := ctx.Value(entryKey{}).(Entry)
	return e, ok
}

// With returns a context that acts for the entry's tenant. Inside of a request it is then the
// request's tenant for logs, metrics and traces.
func With(ctx context.Context, e Entry) context.Context {
	obs.SetTenant(ctx, e.Slug)
	return tenant.With(context.WithValue(ctx, entryKey{}, e), e.Tenant)
}

// Path is middleware for routes that hold {tenant}: it finds the tenant and lets the request
// act for it. onError answers unknown_tenant; nil means problem+json. Routes without
// {tenant} pass through. It authorises nobody.
func (d *Dir) Path(onError func(http.ResponseWriter, *http.Request, error)) func(http.Handler) http.Handler {
	if onError == nil {
		onError = problem.Write
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			slug := r.PathValue("tenant")
			if slug == "" {
				next.ServeHTTP(w, r)
				return
			}
			e, err := d.BySlug(r.Context(), slug)
			if err != nil {
				onError(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(With(r.Context(), e)))
		})
	}
}
