package obs

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"basisdienste/platform/tenant"
)

// exchange is one request and its answer as the middlewares see them. There is one for
// each request: the outermost middleware makes it, the others find it. It is one
// allocation: the answer's writer, the context that leads to it, and our copy of the request.
//
// Tenant aside, it is written only by the goroutine that serves the request; requestID, span
// and motion are set before the handler, which may start others, and do not change.
type exchange struct {
	http.ResponseWriter
	context.Context

	request   *http.Request // ours to change; http.ServeMux notes in it what it matched
	status    int
	bytes     int64
	requestID [1]string // as a header's value
	span      span
	motion    *motion // nil outside of Timeout
	route     string
	tenant    atomic.Pointer[string] // slug; whoever finds the tenant first, in whichever goroutine
}

// span holds a place in a trace; nothing is recorded.
type span struct {
	noop.Span
	sc trace.SpanContext
}

// SpanContext implements trace.Span.
func (s *span) SpanContext() trace.SpanContext { return s.sc }

type exchangeKey struct{}

// Value implements context.Context.
func (x *exchange) Value(key any) any {
	if key == (exchangeKey{}) {
		return x
	}
	return x.Context.Value(key)
}

// begin returns the exchange of the request, and the writer and request to go on with.
func begin(w http.ResponseWriter, r *http.Request) (*exchange, http.ResponseWriter, *http.Request) {
	outer := exchangeOf(r.Context())
	if outer != nil && leadsTo(w, outer) {
		return outer, w, r
	}
	x := &exchange{ResponseWriter: w, Context: r.Context()}
	if outer != nil { // a call inside the process: an exchange of its own for the same request id
		x.requestID = outer.requestID
	}
	x.request = r.WithContext(x)
	return x, x, x.request
}

// with returns r with another context. Our own copy is changed in place, which spares the
// next one; the middlewares outside then see what http.ServeMux notes.
func (x *exchange) with(ctx context.Context, r *http.Request) *http.Request {
	if r != x.request {
		x.request = r.WithContext(ctx)
		return x.request
	}
	*r = *r.WithContext(ctx)
	return r
}

// leadsTo reports whether what is written to w goes through x.
func leadsTo(w http.ResponseWriter, x *exchange) bool {
	for {
		if w == http.ResponseWriter(x) {
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// SetRoute names the route that serves the request, as it stands in the route table
// ("GET /v1/payments/{id}"), and notes the tenant of ctx. It is for routers that hand their
// handlers a copy of the request; the middlewares find what http.ServeMux matched without it.
func SetRoute(ctx context.Context, pattern string) {
	x := exchangeOf(ctx)
	if x == nil {
		return
	}
	x.route = pattern
	if t, ok := tenant.From(ctx); ok {
		x.setTenant(t.Slug)
	}
}

// SetTenant notes for logs, metrics and traces whose request that of ctx is; the first one
// counts. Outside of a request it does nothing.
func SetTenant(ctx context.Context, slug string) {
	if x := exchangeOf(ctx); x != nil {
		x.setTenant(slug)
	}
}

func (x *exchange) setTenant(slug string) {
	if slug != "" && x.tenant.Load() == nil {
		kept := slug
		x.tenant.CompareAndSwap(nil, &kept)
	}
}

func (x *exchange) tenantSlug() string {
	if slug := x.tenant.Load(); slug != nil {
		return *slug
	}
	return ""
}

// pattern is the route that serves the request; never a raw path, which may hold secrets.
func (x *exchange) pattern() string {
	switch {
	case x.route != "":
		return x.route
	case x.request.Pattern != "":
		return x.request.Pattern
	default:
		return "unmatched"
	}
}

// outcome is the status that the client got; finished tells whether the handler returned.
func (x *exchange) outcome(finished bool) int {
	switch {
	case x.status != 0:
		return x.status
	case finished:
		return http.StatusOK // net/http answers so when nothing is written
	default:
		return http.StatusInternalServerError // Recover is about to write it
	}
}

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		x.status = status
		x.moved()
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) wrote(n int64) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	x.bytes += n
	if n > 0 {
		x.moved()
	}
}

func (x *exchange) moved() {
	if x.motion != nil {
		x.motion.moved()
	}
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(b []byte) (int, error) {
	n, err := x.ResponseWriter.Write(b)
	x.wrote(int64(n))
	return n, err
}

// WriteString implements io.StringWriter.
func (x *exchange) WriteString(s string) (int, error) {
	n, err := io.WriteString(x.ResponseWriter, s)
	x.wrote(int64(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom: files still go out by sendfile.
func (x *exchange) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(x.ResponseWriter, r)
	x.wrote(n)
	return n, err
}

// FlushError is what http.ResponseController.Flush calls.
func (x *exchange) FlushError() error {
	err := http.NewResponseController(x.ResponseWriter).Flush()
	if !errors.Is(err, http.ErrNotSupported) {
		x.wrote(0)
	}
	return err
}

// Flush implements http.Flusher; where the server cannot flush it does nothing.
func (x *exchange) Flush() { _ = x.FlushError() }

// Unwrap leads http.ResponseController to everything else: hijacking, deadlines.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }
