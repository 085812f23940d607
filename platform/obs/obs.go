// Package obs makes a process observable: log lines that say which request, trace and
// tenant they belong to, W3C trace context across services, and HTTP middlewares that
// measure. It never looks at bodies, query strings, header values or raw paths, for those hold personal
// data and secrets.
//
// The middlewares work in any order and alone; the intended one, outermost first, is
// Recover, Identify, Trace, Metrics, AccessLog, Timeout.
package obs

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"basisdienste/platform/tenant"
)

// Format is the form of log lines.
type Format string

// The formats. Auto is text on a terminal and JSON elsewhere.
const (
	Auto Format = "auto"
	JSON Format = "json"
	Text Format = "text"
)

// UnmarshalText lets a setting hold a format.
func (f *Format) UnmarshalText(b []byte) error {
	switch Format(b) {
	case Auto, JSON, Text:
		*f = Format(b)
		return nil
	}
	return fmt.Errorf("want %s, %s or %s", Auto, JSON, Text)
}

// Logger returns a logger that writes lines of at least the level to w, with the time in
// UTC. To a line that is logged with a context (InfoContext and its kin) it adds, where the context
// knows them, request_id, trace_id and the slug of the tenant, always at the top level.
// An empty format is Auto. The logger is safe for concurrent use if w is used by it alone.
func Logger(w io.Writer, level slog.Leveler, format Format) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == Text || format != JSON && isTerminal(w) {
		return slog.New(&handler{Handler: slog.NewTextHandler(w, opts)})
	}
	return slog.New(&handler{Handler: slog.NewJSONHandler(w, opts)})
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// handler adds what the context knows. Open groups are kept here and not in the inner
// handler, which would put those attributes into them.
type handler struct {
	slog.Handler
	groups []group
}

// group is a group opened by WithGroup and what was added to it since.
type group struct {
	name  string
	attrs []slog.Attr
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	r.Time = r.Time.UTC()
	if len(h.groups) > 0 {
		r = h.nest(r)
	}
	var known [3]slog.Attr
	attrs := known[:0]
	if requestID := RequestID(ctx); requestID != "" {
		attrs = append(attrs, slog.String("request_id", requestID))
	}
	if span := spanOf(ctx); span.HasTraceID() {
		var text [32]byte
		traceID := span.TraceID()
		hex.Encode(text[:], traceID[:])
		attrs = append(attrs, slog.String("trace_id", string(text[:])))
	}
	if t, ok := tenant.From(ctx); ok && t.Slug != "" {
		attrs = append(attrs, slog.String("tenant", t.Slug))
	}
	r.AddAttrs(attrs...)
	return h.Handler.Handle(ctx, r)
}

// spanOf prefers the context's own span; Recover, outside of Trace, has only the exchange.
func spanOf(ctx context.Context) trace.SpanContext {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		return span
	}
	if x := exchangeOf(ctx); x != nil {
		return x.span.sc
	}
	return trace.SpanContext{}
}

// nest returns r with its attributes inside the open groups.
func (h *handler) nest(r slog.Record) slog.Record {
	attrs := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	for _, g := range slices.Backward(h.groups) {
		attrs = []slog.Attr{{Key: g.name, Value: slog.GroupValue(slices.Concat(g.attrs, attrs)...)}}
	}
	nested := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	nested.AddAttrs(attrs...)
	return nested
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(h.groups) == 0 {
		return &handler{Handler: h.Handler.WithAttrs(attrs)}
	}
	groups := slices.Clone(h.groups)
	last := &groups[len(groups)-1]
	last.attrs = slices.Concat(last.attrs, attrs)
	return &handler{Handler: h.Handler, groups: groups}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &handler{Handler: h.Handler, groups: append(slices.Clip(h.groups), group{name: name})}
}
