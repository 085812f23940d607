package obs

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"basisdienste/platform/fault"
	"basisdienste/platform/tenant"
)

// Span is a part of a trace. The zero Span, of a trace that is not recorded, does nothing and
// costs nothing. Its values must be bounded words of ours: names, codes, slugs, never what a
// person typed.
type Span struct{ span trace.Span }

// Recorded reports whether the span is kept; values that cost something are made only then.
func (s Span) Recorded() bool { return s.span != nil }

// Set adds a value.
func (s Span) Set(key, value string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// End ends the span. Of an error it keeps the fault's code alone, since texts may quote.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil {
		code := "internal"
		var f *fault.Error
		switch {
		case errors.As(err, &f):
			code = f.Code
		case errors.Is(err, context.Canceled):
			code = "canceled"
		case errors.Is(err, context.DeadlineExceeded):
			code = "timeout"
		}
		s.span.SetStatus(codes.Error, code)
		s.span.SetAttributes(attribute.String("error.type", code))
	}
	s.span.End()
}

// StartSpan begins a span inside the trace of ctx, if that is recorded.
func StartSpan(ctx context.Context, kind trace.SpanKind, name string) (context.Context, Span) {
	if current.Load() == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, Span{}
	}
	ctx, span := record(ctx, kind, name)
	return ctx, Span{span}
}

// Follow goes on with the trace that TraceParent returned elsewhere, perhaps long ago, or
// with a new one if s is empty or malformed.
func Follow(ctx context.Context, s string, kind trace.SpanKind, name string) (context.Context, Span) {
	ctx = extract(ctx, s)
	if parent := trace.SpanContextFromContext(ctx); !recorded(parent) {
		return trace.ContextWithSpanContext(ctx, child(parent)), Span{}
	}
	ctx, span := record(ctx, kind, name)
	addTenant(ctx, span)
	return ctx, Span{span}
}

func addTenant(ctx context.Context, span trace.Span) {
	if t, ok := tenant.From(ctx); ok && t.Slug != "" {
		span.SetAttributes(attribute.String("basis.tenant", t.Slug))
	}
}

// describe ends the span of a request.
func (x *exchange) describe(span trace.Span, finished bool) {
	status, route := x.outcome(finished), x.pattern()
	span.SetName(route)
	span.SetAttributes(attribute.String("http.request.method", method(x.request)), attribute.String("http.route", route),
		attribute.Int("http.response.status_code", status))
	if slug := x.tenantSlug(); slug != "" {
		span.SetAttributes(attribute.String("basis.tenant", slug))
	}
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, class(status))
	}
	span.End()
}

// Client makes calls to a service carry trace and request id on, and records them.
func Client(service string, next http.RoundTripper) http.RoundTripper {
	return client{service, "call " + service, next}
}

type client struct {
	service, name string
	next          http.RoundTripper
}

// RoundTrip implements http.RoundTripper. The span ends with the header of the answer.
func (c client) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := StartSpan(r.Context(), trace.SpanKindClient, c.name)
	r = r.WithContext(ctx) // a RoundTripper must not change its request
	if r.Header = r.Header.Clone(); r.Header == nil {
		r.Header = http.Header{}
	}
	Inject(ctx, r.Header)
	resp, err := c.next.RoundTrip(r)
	if span.Recorded() {
		span.Set("http.request.method", method(r))
		span.Set("server.address", c.service)
		if resp != nil {
			span.span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
		}
	}
	span.End(err)
	return resp, err
}

// Sampled reports whether a span that follows the traceparent s would be recorded, cheaply.
func Sampled(s string) bool {
	const flags = len("00-") + 32 + len("-") + 16 + len("-") // two hex digits; the last bit is "sampled"
	return current.Load() != nil && len(s) >= flags+2 && strings.IndexByte("13579bdf", s[flags+1]) >= 0
}
