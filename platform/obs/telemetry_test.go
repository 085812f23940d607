package obs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"basisdienste/platform/fault"
	"basisdienste/platform/obs"
	"basisdienste/platform/obs/obstest"
)

// record runs f while the process records, and returns what was sent. The process has one
// recorder, so the tests that record are not parallel to each other.
func record(t *testing.T, ratio float64, f func(ctx context.Context)) (*obstest.Collector, []obstest.Span) {
	t.Helper()
	c := obstest.Start(t)
	shutdown, err := obs.StartTelemetry(t.Context(), obs.TelemetryConfig{Endpoint: c.URL, Ratio: ratio, Service: "testd"})
	if err != nil {
		t.Fatalf("StartTelemetry = %v, want no error", err)
	}
	f(context.Background())
	if err := shutdown(t.Context()); err != nil {
		t.Fatalf("shutdown = %v, want no error", err)
	}
	return c, c.Spans()
}

func one(t *testing.T, spans []obstest.Span, name string) obstest.Span {
	t.Helper()
	var found []obstest.Span
	for _, s := range spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("spans named %q: %d, want 1; all:\n%v", name, len(found), spans)
	}
	return found[0]
}

// TestTelemetry_OneTrace: a request calls another service, writes, and its event is sent and
// handled; all hangs together, and nothing personal leaves the process.
func TestTelemetry_OneTrace(t *testing.T) { //nolint:paralleltest // the process has one recorder
	c, spans := record(t, 1, func(context.Context) {
		callee := obs.Identify(obs.Trace(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			obs.SetRoute(r.Context(), "POST /t/{tenant}/callee")
			obs.SetTenant(r.Context(), "erfurt")
			obs.SetTenant(r.Context(), "jena")
			w.WriteHeader(http.StatusCreated)
		})))
		transport := obs.Client("callee", roundTripper(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			in := r.Clone(context.Background())
			callee.ServeHTTP(w, in)
			return w.Result(), nil
		}))
		var told string
		caller := house(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			obs.SetRoute(r.Context(), "GET /caller/{secret}")
			_, work := obs.StartSpan(r.Context(), trace.SpanKindInternal, "write")
			work.Set("db.system.name", "sqlite")
			work.End(fmt.Errorf("geheim: %w", fault.Conflict("was_taken", "Erika geheim")))
			q, _ := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://callee/geheim?geheim=1", strings.NewReader("geheim"))
			resp, err := transport.RoundTrip(q)
			if err != nil {
				t.Errorf("RoundTrip = %v, want no error", err)
				return
			}
			resp.Body.Close()
			told = obs.TraceParent(r.Context())
			w.WriteHeader(http.StatusBadGateway)
		}), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		get(t, caller, "/caller/geheim?geheim=1", "Authorization", "geheim", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		ctx, span := obs.Follow(context.Background(), told, trace.SpanKindConsumer, "handle")
		_, inner := obs.StartSpan(ctx, trace.SpanKindInternal, "inner")
		inner.End(nil)
		span.End(errors.New("geheim"))
	})
	server := one(t, spans, "GET /caller/{secret}")
	write, call, callee := one(t, spans, "write"), one(t, spans, "call callee"), one(t, spans, "POST /t/{tenant}/callee")
	handle, inner := one(t, spans, "handle"), one(t, spans, "inner")
	for _, s := range spans {
		if s.Trace != "4bf92f3577b34da6a3ce929d0e0e4736" || s.Service != "testd" {
			t.Errorf("span %v of %s, want the caller's trace and service testd", s, s.Service)
		}
	}
	for _, want := range []struct {
		span   obstest.Span
		parent string
		kind   string
		failed bool
		values map[string]string
	}{
		{server, "00f067aa0ba902b7", "SERVER", true, map[string]string{"http.request.method": "GET", "http.route": "GET /caller/{secret}", "http.response.status_code": "502"}},
		{write, server.ID, "INTERNAL", true, map[string]string{"db.system.name": "sqlite", "error.type": "was_taken"}},
		{call, server.ID, "CLIENT", false, map[string]string{"http.request.method": "POST", "server.address": "callee", "http.response.status_code": "201"}},
		{callee, call.ID, "SERVER", false, map[string]string{"http.request.method": "POST", "http.route": "POST /t/{tenant}/callee", "http.response.status_code": "201", "basis.tenant": "erfurt"}},
		{handle, server.ID, "CONSUMER", true, map[string]string{"error.type": "internal"}},
		{inner, handle.ID, "INTERNAL", false, map[string]string{}},
	} {
		if want.span.Parent != want.parent || want.span.Kind != want.kind || want.span.Failed != want.failed {
			t.Errorf("%v: parent %s, kind %s, failed %v; want %s, %s, %v", want.span, want.span.Parent, want.span.Kind, want.span.Failed, want.parent, want.kind, want.failed)
		}
		if got := fmt.Sprint(want.span.Attributes); got != fmt.Sprint(want.values) {
			t.Errorf("%s has %s, want %v and nothing else", want.span.Name, got, want.values)
		}
	}
	if c.Holds("geheim") || c.Holds("Erika") {
		t.Errorf("what was sent holds the request's path, query, body or an error's text:\n%v", spans)
	}
}

func TestTelemetry_Sampling(t *testing.T) { //nolint:paralleltest // the process has one recorder
	const sampled, unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	for _, test := range []struct {
		name        string
		ratio       float64
		parent      string
		from, to    int // of 400 requests
		outsideFlag string
	}{
		{"none of its own", 0, "", 0, 0, ""},
		{"the caller's", 0, sampled, 400, 400, "-01"},
		{"not the caller's", 1, unsampled, 0, 0, "-00"},
		{"all", 1, "", 400, 400, ""},
		{"some", 0.25, "", 50, 150, ""},
	} {
		flag := ""
		_, spans := record(t, test.ratio, func(context.Context) {
			h := obs.Trace(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				flag = obs.TraceParent(r.Context())
				_, s := obs.StartSpan(r.Context(), trace.SpanKindInternal, "inside")
				defer s.End(nil)
				if s.Recorded() != trace.SpanContextFromContext(r.Context()).IsSampled() {
					t.Errorf("%s: a span inside is recorded: %v, in the trace %s", test.name, s.Recorded(), flag)
				}
			}))
			for range 400 {
				get(t, h, "/", "Traceparent", test.parent)
			}
		})
		n := 0
		for _, s := range spans {
			if s.Name != "inside" {
				n++
			}
		}
		if n < test.from || n > test.to || len(spans) != 2*n || !strings.HasSuffix(flag, test.outsideFlag) {
			t.Errorf("%s: %d requests and %d spans recorded, flags of %q; want %d to %d, twice as many spans, %q", test.name, n, len(spans), flag, test.from, test.to, test.outsideFlag)
		}
	}
}

func TestStartTelemetry_OffAndWrong(t *testing.T) { //nolint:paralleltest // the process has one recorder
	shutdown, err := obs.StartTelemetry(t.Context(), obs.TelemetryConfig{Ratio: 1})
	if err != nil {
		t.Fatalf("StartTelemetry without endpoint = %v, want no error", err)
	}
	if _, s := obs.Follow(t.Context(), "", trace.SpanKindConsumer, "x"); s.Recorded() {
		t.Error("without endpoint a span is recorded")
	}
	if err := shutdown(t.Context()); err != nil {
		t.Errorf("shutdown = %v, want no error", err)
	}
	for _, cfg := range []obs.TelemetryConfig{{Endpoint: "collector:4318"}, {Endpoint: "http://"}, {Endpoint: "http://c", Ratio: 2}} {
		if _, err := obs.StartTelemetry(t.Context(), cfg); err == nil {
			t.Errorf("StartTelemetry(%+v) = nil, want an error", cfg)
		}
	}
	// A collector that is away holds nobody up but the shutdown, which says so.
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	shutdown, err = obs.StartTelemetry(t.Context(), obs.TelemetryConfig{Endpoint: away.URL, Ratio: 1})
	if err != nil {
		t.Fatalf("StartTelemetry with a collector that is away = %v, want no error", err)
	}
	get(t, obs.Trace(http.NotFoundHandler()), "/")
	ctx, cancel := context.WithTimeout(t.Context(), 200e6)
	defer cancel()
	if err := shutdown(ctx); err == nil {
		t.Error("shutdown while the collector is away = nil, want an error that says that spans are lost")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// BenchmarkTelemetry is what the whole chain costs while the process records: nothing, none
// of its own, each hundredth, all.
func BenchmarkTelemetry(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer collector.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/payments/{id}", func(w http.ResponseWriter, r *http.Request) {
		obs.SetTenant(r.Context(), "erfurt")
		_, s := obs.StartSpan(r.Context(), trace.SpanKindInternal, "tx")
		_, _ = w.Write([]byte("{}"))
		s.End(nil)
	})
	for _, bench := range []struct {
		name, endpoint string
		ratio          float64
	}{{"off", "", 0}, {"ratio=0", collector.URL, 0}, {"ratio=0.01", collector.URL, 0.01}, {"ratio=1", collector.URL, 1}} {
		b.Run(bench.name, func(b *testing.B) {
			shutdown, err := obs.StartTelemetry(b.Context(), obs.TelemetryConfig{Endpoint: bench.endpoint, Ratio: bench.ratio})
			if err != nil {
				b.Fatal(err)
			}
			h := house(mux, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			r := httptest.NewRequest(http.MethodGet, "/v1/payments/1", nil)
			w := sink{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.h)
				h.ServeHTTP(w, r)
			}
			b.StopTimer()
			_ = shutdown(context.Background()) // a benchmark does not ask what arrived
		})
	}
}
