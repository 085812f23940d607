// Package kit is the only place where go-kit's untyped endpoint meets typed use cases. A
// service adds an operation by a method, a request type and a line:
//
//	kit.Route(mux, "POST /t/{tenant}/payment/v1/refunds", write, s.Refund)
//
// The guard runs before the body is read: who may not, costs nothing.
package kit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"sync"

	"github.com/go-kit/kit/endpoint"
	httptransport "github.com/go-kit/kit/transport/http"

	"basisdienste/platform/fault"
	"basisdienste/platform/idem"
	"basisdienste/platform/obs"
	"basisdienste/platform/problem"
)

// Guard decides who may call. Its request is the *http.Request, with the body unread.
type Guard endpoint.Middleware

// Public lets everybody in. It is written down, never a default.
func Public(next endpoint.Endpoint) endpoint.Endpoint { return next }

// Chain runs the guards in their order.
func Chain(first Guard, rest ...Guard) Guard {
	return func(next endpoint.Endpoint) endpoint.Endpoint {
		for i := len(rest) - 1; i >= 0; i-- {
			next = rest[i](next)
		}
		return first(next)
	}
}

// Mux is an http.ServeMux whose routes have a guard.
type Mux struct {
	mux     *http.ServeMux
	log     *slog.Logger
	wrap    []func(http.Handler) http.Handler
	onError func(http.ResponseWriter, *http.Request, error)
}

// NewMux returns an empty Mux. Each wrap runs around every handler, the first outermost,
// after the pattern matched, so that path values are there.
func NewMux(log *slog.Logger, wrap ...func(http.Handler) http.Handler) *Mux {
	return &Mux{mux: http.NewServeMux(), log: log, wrap: wrap, onError: problem.Write}
}

// WithErrors returns a view of the same Mux whose routes answer errors by f: for a standard
// that prescribes the shape of its errors.
func (m *Mux) WithErrors(f func(http.ResponseWriter, *http.Request, error)) *Mux {
	view := *m
	view.onError = f
	return &view
}

// Handle registers a handler that is no typed operation: a page, a raw body, a stream.
func (m *Mux) Handle(pattern string, h http.Handler) {
	for i := len(m.wrap) - 1; i >= 0; i-- {
		h = m.wrap[i](h)
	}
	m.mux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		obs.SetRoute(r.Context(), r.Pattern)
		h.ServeHTTP(w, r)
	}))
}

func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := m.mux.Handler(r); pattern == "" {
		m.unmatched(w, r)
		return
	}
	m.mux.ServeHTTP(w, r)
}

// unmatched answers as problem+json what net/http would answer as text: 404, or 405 with Allow.
func (m *Mux) unmatched(w http.ResponseWriter, r *http.Request) {
	probe := &statusProbe{header: http.Header{}}
	m.mux.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow)
		m.onError(w, r, fault.New(fault.KindMethodNotAllowed, "method_not_allowed", "this address takes %s", allow))
		return
	}
	m.onError(w, r, fault.NotFound("no_such_address", "nothing is served at this address; see the OpenAPI document"))
}

type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }

// FromHTTPer is a request that takes values from path, query or header. It is called after
// the body was decoded.
type FromHTTPer interface{ FromHTTP(r *http.Request) error }

// Validator is a request that checks itself.
type Validator interface{ Validate() error }

// Raw is an answer that is sent as it is. Status 0 is 200.
type Raw struct {
	Status int
	Type   string
	Body   []byte
}

// None is the answer without a body: 204.
type None struct{}

// Route registers a use case. Q is filled from the JSON body (for POST, PUT, PATCH), then by
// FromHTTP, then checked by Validate. R is sent as JSON with status 200, or what its
// StatusCode method says; its Headers method may add header fields. An error is answered as
// problem+json; one that is no fault is logged here, once, and nowhere else.
func Route[Q, R any](m *Mux, pattern string, guard Guard, fn func(context.Context, Q) (R, error)) {
	var zero Q
	takes := inputOf(&zero)
	use := func(ctx context.Context, request any) (any, error) {
		r := request.(*http.Request)
		var q Q
		body, err := decode(r, &q, takes)
		if err != nil {
			return nil, err
		}
		if key := r.Header.Get(idem.Header); key != "" && hasBody(r.Method) {
			if ctx, err = idem.With(ctx, pattern, key, r.URL.RequestURI(), body); err != nil {
				return nil, err
			}
		}
		return fn(ctx, q)
	}
	onError := m.onError
	server := httptransport.NewServer(endpoint.Middleware(guard)(use),
		func(_ context.Context, r *http.Request) (any, error) { return r, nil },
		encode,
		httptransport.ServerBefore(func(ctx context.Context, r *http.Request) context.Context {
			return context.WithValue(ctx, requestKey{}, r)
		}),
		httptransport.ServerErrorEncoder(func(ctx context.Context, err error, w http.ResponseWriter) {
			onError(w, ctx.Value(requestKey{}).(*http.Request), err)
		}),
		httptransport.ServerErrorHandler(logInternal{m.log}),
	)
	m.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if takes.json && hasBody(r.Method) {
			r.Body = &jsonBody{ReadCloser: r.Body, w: w}
		}
		server.ServeHTTP(w, r)
	}))
}

// requestKey is where the error encoder finds the request; go-kit does not hand it on.
type requestKey struct{}

type logInternal struct{ log *slog.Logger }

func (l logInternal) Handle(ctx context.Context, err error) {
	if f := fault.From(err); f.Kind == fault.KindInternal {
		l.log.ErrorContext(ctx, "request failed", "error", err)
	} else if f.Kind == fault.KindUnavailable && f.Cause != nil && ctx.Err() == nil {
		l.log.WarnContext(ctx, "request refused", "code", f.Code, "error", f.Cause)
	}
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func encode(_ context.Context, w http.ResponseWriter, response any) error {
	h := w.Header()
	if hd, ok := response.(interface{ Headers() http.Header }); ok {
		for k, v := range hd.Headers() {
			h[k] = v
		}
	}
	status := http.StatusOK
	if sc, ok := response.(interface{ StatusCode() int }); ok {
		status = sc.StatusCode()
	}
	switch v := response.(type) {
	case None:
		w.WriteHeader(http.StatusNoContent)
		return nil
	case Raw:
		if v.Type != "" {
			h.Set("Content-Type", v.Type)
		}
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(cmp.Or(v.Status, http.StatusOK))
		_, _ = w.Write(v.Body) // the client went away
		return nil
	}
	b := buffers.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= MaxBody { // a single big list is not kept for ever
			buffers.Put(b)
		}
	}()
	b.Reset()
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(response); err != nil {
		return err
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client went away
	return nil
}
