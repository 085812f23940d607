package edge

import (
	"net/http"
	"strings"

	"basisdienste/platform/discover"
	"basisdienste/platform/limit"
	"basisdienste/platform/problem"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

// ofTenant names the service of /t/{tenant}/<segment>/…; other segments are the console's.
var ofTenant = map[string]string{
	"auth": "auth", "forms": "forms", "payment": "payment", "notify": "notify", "mailbox": "notify", "booking": "booking",
}

// ofRoot names the service of /<segment>/…; other segments are the console's.
var ofRoot = map[string]string{
	"xbezahldienste": "payment", "pay": "payment", "payment": "payment", "notify": "notify", "tenants": "tenants",
	"auth": "auth", "forms": "forms", "booking": "booking", "console": "console",
}

// route returns the service and, for /t/{tenant}/…, the tenant's slug.
func route(path string) (service, slug string) {
	first, rest := segment(path)
	switch first {
	case "t":
		slug, rest = segment(rest)
		second, _ := segment(rest)
		if s, ok := ofTenant[second]; ok {
			return s, slug
		}
		return "console", slug
	case tenant.OperatorSlug:
		if second, _ := segment(rest); second == "auth" {
			return "auth", ""
		}
		return "console", ""
	}
	if s, ok := ofRoot[first]; ok {
		return s, ""
	}
	return "console", ""
}

// segment cuts off the first segment of a path; leading slashes do not count.
func segment(path string) (first, rest string) {
	first, rest, _ = strings.Cut(strings.TrimLeft(path, "/"), "/")
	return first, rest
}

// edge passes requests on.
type edge struct {
	services map[string]http.Handler
	static   http.Handler
	dir      *tenantdir.Dir
	limiter  *limit.Limiter
	https    bool
}

const operation = "edge.request"

func newEdge(found discover.Services, static http.Handler, dir *tenantdir.Dir, limiter *limit.Limiter, https bool) *edge {
	e := &edge{services: map[string]http.Handler{}, static: static, dir: dir, limiter: limiter, https: https}
	for _, names := range []map[string]string{ofTenant, ofRoot} {
		for _, s := range names {
			e.services[s] = found.Handler(s)
		}
	}
	return e
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if e.https {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
	if strings.HasPrefix(r.URL.Path, "/static/") {
		e.static.ServeHTTP(w, r)
		return
	}
	service, slug := route(r.URL.Path)
	if slug != "" {
		// An unknown tenant is the service's to answer, as page or problem.
		if entry, err := e.dir.BySlug(r.Context(), slug); err == nil {
			if err := e.limiter.Allow(tenantdir.With(r.Context(), entry), operation); err != nil {
				problem.Write(w, r, err)
				return
			}
		}
	}
	e.services[service].ServeHTTP(w, r)
}
