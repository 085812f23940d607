package obs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TelemetryConfig is the section server.telemetry of the configuration, and who speaks.
type TelemetryConfig struct {
	// Endpoint is the base URL of a collector that takes OTLP over HTTP; traces go to
	// Endpoint/v1/traces. Empty: nothing is recorded, and nothing is paid for it.
	Endpoint string `config:"otlp_endpoint"`
	// Ratio of the traces that begin here and are recorded, 0 to 1. A trace that began
	// elsewhere is recorded if it is there (parent-based sampling).
	Ratio float64 `config:"sample_ratio"`

	Service  string // the process: "paymentd"
	Version  string
	Instance string // under which others reach the process
	Log      *slog.Logger
}

// Validate implements the check of package config.
func (c *TelemetryConfig) Validate() error {
	var errs []error
	if u, err := url.Parse(c.Endpoint); c.Endpoint != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
		errs = append(errs, fmt.Errorf("otlp_endpoint: %q is no base URL, want for example http://collector:4318", c.Endpoint))
	}
	if c.Ratio < 0 || c.Ratio > 1 {
		errs = append(errs, fmt.Errorf("sample_ratio: %v is no ratio, want 0 to 1", c.Ratio))
	}
	return errors.Join(errs...)
}

// recorder is what records the spans of this process.
type recorder struct {
	tracer trace.Tracer
	ratio  float64
}

// current is the process's recorder, nil while nothing is recorded. It is one for the process,
// as slog's default logger is, because a trace runs through all of it; the OpenTelemetry
// global is left alone, so that libraries cannot record what this package would not.
var current atomic.Pointer[recorder]

// StartTelemetry makes the process record spans and send them to the collector, in batches
// and in the background: while the collector is away or slow, spans are dropped, and requests
// go on. Shutdown sends what is left, within its context. Without an endpoint it does nothing.
// One call at a time counts: the last one, until its shutdown.
func StartTelemetry(ctx context.Context, cfg TelemetryConfig) (shutdown func(context.Context) error, err error) {
	if cfg.Endpoint == "" {
		return func(context.Context) error { return nil }, nil
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	target, err := url.JoinPath(cfg.Endpoint, "v1", "traces")
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(target), otlptracehttp.WithTimeout(10*time.Second))
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	sender := &sender{SpanExporter: exporter, log: cfg.Log}
	// Who samples is decided in recorded; the SDK sees only what is to be recorded.
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithBatcher(sender, sdktrace.WithBatchTimeout(time.Second)),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", cfg.Service), attribute.String("service.version", cfg.Version),
			attribute.String("service.instance.id", cfg.Instance), attribute.String("service.namespace", "basis"),
		)),
	)
	mine := &recorder{tracer: provider.Tracer("basisdienste/platform/obs"), ratio: cfg.Ratio}
	current.Store(mine)
	return func(ctx context.Context) error {
		current.CompareAndSwap(mine, nil)
		err := provider.Shutdown(ctx)
		if failing := sender.failing.Load(); failing != nil {
			err = errors.Join(err, *failing)
		}
		if err != nil {
			return fmt.Errorf("telemetry: the last spans were not sent: %w", err)
		}
		return nil
	}, nil
}

// sender logs when sending begins to fail and when it works again, not each batch.
type sender struct {
	sdktrace.SpanExporter
	log     *slog.Logger
	failing atomic.Pointer[error]
}

// ExportSpans implements sdktrace.SpanExporter; a batch that cannot be sent is dropped.
func (s *sender) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := s.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && s.failing.Swap(&err) == nil:
		s.log.WarnContext(ctx, "traces are dropped: the collector does not take them", "error", err)
	case err == nil && s.failing.Swap(nil) != nil:
		s.log.InfoContext(ctx, "traces are taken again")
	}
	return nil // the SDK would hand it to a global handler
}

// recorded decides whether a span below parent is recorded.
func recorded(parent trace.SpanContext) bool {
	r := current.Load()
	if r == nil {
		return false
	}
	if parent.IsValid() {
		return parent.IsSampled()
	}
	return r.ratio > 0 && rand.Float64() < r.ratio //nolint:gosec // a share, not a secret
}

// record begins a span that is recorded, below the one of ctx.
func record(ctx context.Context, kind trace.SpanKind, name string) (context.Context, trace.Span) {
	r := current.Load()
	if r == nil { // ended between the question and now
		return ctx, trace.SpanFromContext(context.Background())
	}
	return r.tracer.Start(ctx, name, trace.WithSpanKind(kind))
}
