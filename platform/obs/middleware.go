package obs

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/fault"
	"basisdienste/platform/problem"
	"basisdienste/platform/tenant"
)

// Recover answers a panic with the problem "internal" and logs it once, with its stack. If
// the answer had already begun it cuts the connection, so that the client cannot take half
// an answer for a whole one. http.ErrAbortHandler goes on to the server.
func Recover(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, w, r := begin(w, r)
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(v)
				}
				log.ErrorContext(r.Context(), "panic", "method", method(r), "route", x.pattern(),
					"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
				if x.status != 0 {
					panic(http.ErrAbortHandler)
				}
				for _, stale := range [...]string{"Content-Encoding", "Etag", "Last-Modified", "Cache-Control"} {
					w.Header().Del(stale)
				}
				problem.Write(w, r, fault.From(errors.New("panic")))
			}()
			next.ServeHTTP(w, r)
		})
	}
}

// AccessLog writes one line for each request, when it is answered: method, route, status,
// duration_us (microseconds), bytes of the answer's body. A nil log switches it off.
func AccessLog(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if log == nil {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, w, r := begin(w, r)
			began, finished := time.Now(), false
			defer func() {
				if !log.Enabled(r.Context(), slog.LevelInfo) {
					return
				}
				took := time.Since(began)
				line := slog.NewRecord(began.Add(took), slog.LevelInfo, "request", 0) // spares the search for the caller
				line.AddAttrs(slog.String("method", method(r)), slog.String("route", x.pattern()), slog.Int("status", x.outcome(finished)),
					slog.Int64("duration_us", took.Microseconds()), slog.Int64("bytes", x.bytes))
				if _, known := tenant.From(r.Context()); !known && x.tenantSlug() != "" {
					line.AddAttrs(slog.String("tenant", x.tenantSlug()))
				}
				_ = log.Handler().Handle(r.Context(), line) // as slog does: there is nobody to tell
			}()
			next.ServeHTTP(w, r)
			finished = true
		})
	}
}

// Metrics counts and times requests in the histogram http_request_duration_seconds by
// method, route and class of status ("2xx"), and counts them by tenant (see tenantUse).
// Middlewares with the same registry share both. It panics if the registry holds other
// metrics of these names.
func Metrics(reg prometheus.Registerer) func(http.Handler) http.Handler {
	durations := Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "http_request_duration_seconds",
		Help:    "Time from the request's header to the end of the answer.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"method", "route", "status"}))
	tenants := Register(reg, newTenantUse(namedTenants, time.Now))
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, w, r := begin(w, r)
			began, finished := time.Now(), false
			defer func() {
				took, status := time.Since(began), x.outcome(finished)
				durations.WithLabelValues(method(r), x.pattern(), class(status)).Observe(took.Seconds())
				if slug := x.tenantSlug(); slug != "" {
					tenants.count(slug, status, took)
				}
			}()
			next.ServeHTTP(w, r)
			finished = true
		})
	}
}

// method bounds what a client can make us count and log.
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions:
		return r.Method
	}
	return "OTHER"
}

func class(status int) string {
	switch status / 100 {
	case 1:
		return "1xx"
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	}
	return "5xx"
}
