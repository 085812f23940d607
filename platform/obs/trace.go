package obs

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/http"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"basisdienste/platform/id"
	"basisdienste/platform/problem"
)

const traceparent = "traceparent"

// Identify gives the request its id: the client's X-Request-Id if that is 1 to 64
// characters of [A-Za-z0-9_-], else a new UUIDv7. The answer carries it in the same header.
// Where a request passes Identify twice in one process it keeps its id.
func Identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := begin(w, r)
		if x.requestID[0] == "" {
			x.requestID[0] = r.Header.Get(problem.RequestIDHeader)
			if !wellFormed(x.requestID[0]) {
				x.requestID[0] = id.New().String()
			}
		}
		w.Header()[problem.RequestIDHeader] = x.requestID[:]
		next.ServeHTTP(w, r)
	})
}

func wellFormed(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// RequestID returns the id that Identify gave, or "".
func RequestID(ctx context.Context) string {
	if x := exchangeOf(ctx); x != nil {
		return x.requestID[0]
	}
	return ""
}

// Trace puts the request's place in its trace into the context, as an OpenTelemetry span
// context: a new span under the caller's traceparent (W3C Trace Context level 1), or a new
// trace if that is missing or malformed. A recorded span (see StartTelemetry) says method,
// route, status and the tenant's slug, and nothing else.
func Trace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := begin(w, r)
		if x.span.sc.IsValid() { // a Trace further out has done it
			next.ServeHTTP(w, r)
			return
		}
		ctx := r.Context()
		if r.Header.Get("Traceparent") != "" {
			ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		if !recorded(trace.SpanContextFromContext(ctx)) {
			x.span.sc = child(trace.SpanContextFromContext(ctx))
			next.ServeHTTP(w, x.with(trace.ContextWithSpan(ctx, &x.span), r))
			return
		}
		ctx, span := record(ctx, trace.SpanKindServer, method(r))
		x.span.sc = span.SpanContext()
		finished := false
		defer func() { x.describe(span, finished) }()
		next.ServeHTTP(w, x.with(ctx, r))
		finished = true
	})
}

// child returns a span that is not recorded: of the parent's trace, or of a new one.
func child(parent trace.SpanContext) trace.SpanContext {
	c := trace.SpanContextConfig{TraceID: parent.TraceID(), TraceFlags: parent.TraceFlags(), TraceState: parent.TraceState()}
	if !parent.IsValid() {
		binary.BigEndian.PutUint64(c.TraceID[:8], rand.Uint64()) //nolint:gosec // unique, not secret
		binary.BigEndian.PutUint64(c.TraceID[8:], rand.Uint64()) //nolint:gosec // unique, not secret
		c.TraceFlags = trace.FlagsRandom
	}
	binary.BigEndian.PutUint64(c.SpanID[:], rand.Uint64()) //nolint:gosec // unique, not secret
	return trace.NewSpanContext(c)
}

// Inject makes the receiver of a request part of the trace and of the request id of ctx: it
// sets traceparent, tracestate and X-Request-Id where ctx has them.
func Inject(ctx context.Context, h http.Header) {
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	if requestID := RequestID(ctx); requestID != "" {
		h.Set(problem.RequestIDHeader, requestID)
	}
}

// TraceParent returns the traceparent of ctx, for instance to be stored with an event; ""
// if there is no trace.
func TraceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparent]
}

// WithTraceParent returns a context that goes on, in a span of its own, with the trace that
// TraceParent returned elsewhere; with a new one if s is empty or malformed. The span is not
// recorded: see Follow for one that is.
func WithTraceParent(ctx context.Context, s string) context.Context {
	ctx = extract(ctx, s)
	return trace.ContextWithSpanContext(ctx, child(trace.SpanContextFromContext(ctx)))
}

// extract returns ctx in the trace of s, or in none: a malformed s is not the surrounding trace.
func extract(ctx context.Context, s string) context.Context {
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: s})
}
