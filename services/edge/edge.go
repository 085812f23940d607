package edge

import (
	"net/http"
	"net/url"
	"strings"

	"basisdienste/platform/discover"
	"basisdienste/platform/fault"
	"basisdienste/platform/limit"
	"basisdienste/platform/obs"
	"basisdienste/platform/problem"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

// edge passes requests on.
type edge struct {
	base, origin, host string      // of the public address: URL, its origin, its host name
	headers            http.Header // of every answer that says nothing else

	services map[string]http.Handler
	static   http.Handler
	site     *web.Site
	dir      *tenantdir.Dir
	limiter  *limit.Limiter
}

const operation = "edge.request"

// securityHeaders are what every answer has.
func securityHeaders(https bool) http.Header {
	h := http.Header{
		"X-Content-Type-Options": {"nosniff"}, "Referrer-Policy": {"same-origin"},
		"X-Frame-Options": {"DENY"}, "Cross-Origin-Opener-Policy": {"same-origin"},
	}
	if https {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
	return h
}

// find looks up the way to each service once.
func (e *edge) find(found discover.Services) {
	e.services = map[string]http.Handler{}
	for _, names := range []map[string]string{ofTenant, ofRoot} {
		for _, s := range names {
			e.services[s] = found.Handler(s)
		}
	}
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for name, value := range e.headers {
		h[name] = value // shared: who changes one replaces it
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/static/"):
		obs.SetRoute(r.Context(), "static")
		e.static.ServeHTTP(w, r)
		return
	case r.URL.Path == "/favicon.ico":
		obs.SetRoute(r.Context(), "static")
		icon := *r
		icon.URL = &url.URL{Path: "/static/any/icon.svg"}
		e.static.ServeHTTP(w, &icon)
		return
	}
	dropForged(r)
	a := &answer{ResponseWriter: w, edge: e, request: r}
	e.serve(a, r)
	a.finish()
}

// serve answers by the service of the path, unless the host or a limit forbid it.
func (e *edge) serve(a *answer, r *http.Request) {
	path := r.URL.EscapedPath()
	service, slug := route(path)
	if host := hostname(r.Host); host != e.host {
		// A directory that cannot be read makes it the public address.
		if own, err := e.dir.ByHost(r.Context(), host); err == nil {
			a.host = own.Slug
			switch {
			case path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
				redirect(a, r, "/t/"+own.Slug+"/")
				return
			case slug != "" && slug != own.Slug:
				problem.Write(a, r, fault.NotFound("unknown_tenant", "no municipality is known here as %q", clip(slug)))
				return
			}
		}
	}
	ctx := r.Context()
	if slug != "" {
		// An unknown tenant is the service's to answer: it may have heard of it before we did.
		if entry, err := e.dir.BySlug(ctx, slug); err == nil {
			ctx = tenantdir.With(ctx, entry)
			a.tenant = ctx
			if err := e.limiter.Allow(ctx, operation); err != nil {
				obs.SetRoute(ctx, service)
				problem.Write(a, r, err)
				return
			}
		}
	}
	obs.SetRoute(ctx, service)
	e.services[service].ServeHTTP(a, r)
}

// redirect leads to another path of the same host, for now: hosts change hands.
func redirect(w http.ResponseWriter, r *http.Request, path string) {
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	http.Redirect(w, r, path, http.StatusFound) //nolint:gosec // the slug is one that the directory knows
}

// clip keeps a message short.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64]
	}
	return s
}
