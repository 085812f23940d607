package obs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"basisdienste/platform/obs"
	"basisdienste/platform/problem"
	"basisdienste/platform/tenant"
)

type middleware = func(http.Handler) http.Handler

// chain puts h inside of the middlewares; the first is the outermost.
func chain(h http.Handler, all ...middleware) http.Handler {
	for i := len(all) - 1; i >= 0; i-- {
		h = all[i](h)
	}
	return h
}

// house is the whole chain in its intended order.
func house(h http.Handler, log *slog.Logger, reg prometheus.Registerer) http.Handler {
	return chain(h, obs.Recover(log), obs.Identify, obs.Trace, obs.Metrics(reg), obs.AccessLog(log), obs.Timeout(time.Minute, time.Hour))
}

func logTo(w io.Writer) *slog.Logger { return obs.Logger(w, slog.LevelInfo, obs.JSON) }

func get(t *testing.T, h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	uuid7 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	h := obs.Identify(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, obs.RequestID(r.Context()))
	}))
	tests := []struct {
		in   string
		kept bool
	}{
		{"", false},
		{"abc-DEF_012", true},
		{strings.Repeat("a", 64), true},
		{strings.Repeat("a", 65), false},
		{"a b", false},
		{"a\"b", false},
		{"ä", false},
	}
	for _, test := range tests {
		w := get(t, h, "/", problem.RequestIDHeader, test.in)
		got := w.Header().Get(problem.RequestIDHeader)
		if test.kept && got != test.in || !test.kept && !uuid7.MatchString(got) {
			t.Errorf("request id for %q = %q, want it kept: %v", test.in, got, test.kept)
		}
		if w.Body.String() != got {
			t.Errorf("RequestID(ctx) for %q = %q, want %q as in the header", test.in, w.Body.String(), got)
		}
	}
	if got := obs.RequestID(context.Background()); got != "" {
		t.Errorf("RequestID(background) = %q, want nothing", got)
	}
}

func TestTrace_GoesOnAndInjects(t *testing.T) {
	t.Parallel()
	out := http.Header{}
	h := chain(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { obs.Inject(r.Context(), out) }), obs.Identify, obs.Trace)
	get(t, h, "/", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate", "a=b", problem.RequestIDHeader, "r1")
	got := out.Get("Traceparent")
	if !strings.HasPrefix(got, "00-4bf92f3577b34da6a3ce929d0e0e4736-") || !strings.HasSuffix(got, "-01") || strings.Contains(got, "00f067aa0ba902b7") {
		t.Errorf("Inject set traceparent %q, want the same trace, sampled, with another span", got)
	}
	if out.Get("Tracestate") != "a=b" || out.Get(problem.RequestIDHeader) != "r1" {
		t.Errorf("Inject set %v, want tracestate a=b and request id r1", out)
	}
	out = http.Header{}
	get(t, h, "/", "Traceparent", "nonsense")
	if got := out.Get("Traceparent"); !strings.HasPrefix(got, "00-") || !strings.HasSuffix(got, "-02") {
		t.Errorf("Inject after a malformed traceparent set %q, want a new trace with random flag", got)
	}
}

func TestAccessLog_OneLineWithoutPathsAndQueries(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/payments/{id}", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "12345")
	})
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	inner := http.NewServeMux()
	inner.HandleFunc("/t/{tenant}/x/{secret}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/t/{tenant}/", func(w http.ResponseWriter, r *http.Request) {
		ctx := tenant.With(r.Context(), tenant.Tenant{ID: "1", Slug: r.PathValue("tenant")})
		r = r.WithContext(ctx)
		obs.SetRoute(r.Context(), "/t/{tenant}/x/{secret}")
		inner.ServeHTTP(w, r)
	})
	tests := []struct {
		method, target, route, tenant string
		status, bytes                 float64
	}{
		{"GET", "/v1/payments/geheim?token=geheim", "GET /v1/payments/{id}", "", 201, 5},
		{"GET", "/empty", "/empty", "", 200, 0},
		{"PUT", "/t/erfurt/x/geheim", "/t/{tenant}/x/{secret}", "erfurt", 204, 0},
		{"GET", "/geheim", "unmatched", "", 404, 19},
		{"GEHEIM", "/geheim", "unmatched", "", 404, 19},
	}
	for _, test := range tests {
		var out bytes.Buffer
		h := house(mux, logTo(&out), prometheus.NewRegistry())
		r := httptest.NewRequest(test.method, test.target, strings.NewReader("geheim"))
		r.Header.Set("Authorization", "geheim")
		h.ServeHTTP(httptest.NewRecorder(), r)
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Fatalf("%s %s logged %d lines, want 1:\n%s", test.method, test.target, n, out.String())
		}
		if strings.Contains(strings.ToLower(out.String()), "geheim") {
			t.Errorf("%s %s logged a secret: %s", test.method, test.target, out.String())
		}
		got := line(t, out.String())
		if got["route"] != test.route || got["status"] != test.status || got["bytes"] != test.bytes || got["msg"] != "request" {
			t.Errorf("%s %s logged %v, want route %q, status %v, bytes %v", test.method, test.target, got, test.route, test.status, test.bytes)
		}
		if slug, _ := got["tenant"].(string); slug != test.tenant || strings.Count(out.String(), `"tenant"`) > 1 {
			t.Errorf("%s %s logged %s, want tenant %q once", test.method, test.target, out.String(), test.tenant)
		}
		for _, key := range []string{"request_id", "trace_id", "duration_us", "method"} {
			if got[key] == nil {
				t.Errorf("%s %s logged %v, want also %s", test.method, test.target, got, key)
			}
		}
	}
}

func TestAccessLog_Off(t *testing.T) {
	t.Parallel()
	if w := get(t, obs.AccessLog(nil)(http.NotFoundHandler()), "/"); w.Code != http.StatusNotFound {
		t.Errorf("AccessLog(nil) answered %d, want 404 from the handler inside", w.Code)
	}
}

func TestRecover(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	reg := prometheus.NewRegistry()
	mux := http.NewServeMux()
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		panic("boom")
	})
	mux.HandleFunc("/late", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic("boom")
	})
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	h := house(mux, logTo(&out), reg)

	w := get(t, h, "/early", problem.RequestIDHeader, "r1")
	var p problem.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 500 || p.Code != "internal" || p.RequestID != "r1" {
		t.Errorf("panic answered %d %s (%v), want the problem internal with request id r1", w.Code, w.Body.String(), err)
	}
	if w.Header().Get("Content-Encoding") != "" {
		t.Errorf("panic answered with Content-Encoding %q, want none", w.Header().Get("Content-Encoding"))
	}
	access, panicked, _ := strings.Cut(out.String(), "\n")
	if got := line(t, access); got["status"] != 500.0 {
		t.Errorf("access line of a panic = %v, want status 500", got)
	}
	got := line(t, panicked)
	stack, _ := got["stack"].(string)
	if got["panic"] != "boom" || got["request_id"] != "r1" || got["trace_id"] == nil || got["route"] != "/early" || !strings.Contains(stack, "middleware_test.go") {
		t.Errorf("panic line = %v, want panic, route, request id, trace id and a stack that leads here", got)
	}

	for target, lines := range map[string]int{"/late": 2, "/abort": 1} {
		out.Reset()
		func() {
			defer func() {
				if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // the very value
					t.Errorf("%s panicked with %v, want http.ErrAbortHandler", target, v)
				}
			}()
			get(t, h, target)
		}()
		if n := strings.Count(out.String(), "\n"); n != lines {
			t.Errorf("%s logged %d lines, want %d:\n%s", target, n, lines, out.String())
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/payments/{id}", func(http.ResponseWriter, *http.Request) {})
	one, other := obs.Metrics(reg)(mux), obs.Metrics(reg)(mux)
	get(t, one, "/v1/payments/1")
	get(t, other, "/v1/payments/2")
	get(t, one, "/nowhere")
	text := get(t, promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), "/metrics").Body.String()
	for _, want := range []string{
		`http_request_duration_seconds_count{method="GET",route="GET /v1/payments/{id}",status="2xx"} 2`,
		`http_request_duration_seconds_count{method="GET",route="unmatched",status="4xx"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("metrics lack %s in\n%s", want, text)
		}
	}

	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "http_request_duration_seconds", Help: "x"}))
	defer func() {
		if recover() == nil {
			t.Error("Metrics with a registry that holds another metric of the name did not panic")
		}
	}()
	obs.Metrics(taken)
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := obs.Timeout(time.Second, time.Hour)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-r.Context().Done()
			}
			if r.URL.Path == "/answers" {
				w.WriteHeader(http.StatusAccepted)
				<-r.Context().Done()
			}
		}))
		w := get(t, h, "/slow")
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"code":"timeout"`) {
			t.Errorf("slow handler answered %d %s, want the problem timeout", w.Code, w.Body.String())
		}
		if w := get(t, h, "/answers"); w.Code != http.StatusAccepted {
			t.Errorf("slow handler with an answer of its own answered %d, want 202", w.Code)
		}
		if w := get(t, h, "/fast"); w.Code != http.StatusOK || w.Body.Len() != 0 {
			t.Errorf("fast handler answered %d %q, want 200 and nothing", w.Code, w.Body.String())
		}
	})
}

// wrapper is somebody else's middleware; its writer may lead on to ours or not.
type wrapper struct{ http.ResponseWriter }

type unwrapper struct{ wrapper }

func (u unwrapper) Unwrap() http.ResponseWriter { return u.ResponseWriter }

func TestExchange_ForeignWritersAndCallsInside(t *testing.T) {
	t.Parallel()
	for _, unwraps := range []bool{true, false} {
		var out bytes.Buffer
		foreign := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if unwraps {
					next.ServeHTTP(unwrapper{wrapper{w}}, r)
				} else {
					next.ServeHTTP(wrapper{w}, r)
				}
			})
		}
		mux := http.NewServeMux()
		mux.HandleFunc("/x", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			if got := obs.RequestID(r.Context()); got != "r1" {
				t.Errorf("RequestID inside of a foreign writer (unwraps %v) = %q, want r1", unwraps, got)
			}
		})
		get(t, chain(mux, obs.Identify, foreign, obs.AccessLog(logTo(&out)), obs.Timeout(time.Minute, time.Hour)), "/x", problem.RequestIDHeader, "r1")
		if got := line(t, out.String()); got["status"] != 418.0 || got["request_id"] != "r1" || got["route"] != "/x" {
			t.Errorf("line inside of a foreign writer (unwraps %v) = %v, want status 418, request id r1, route /x", unwraps, got)
		}
	}

	var out bytes.Buffer
	callee := obs.AccessLog(logTo(&out))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) }))
	caller := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		callee.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(r.Context(), http.MethodGet, "/", nil))
	})
	get(t, chain(caller, obs.Identify, obs.AccessLog(logTo(&out))), "/", problem.RequestIDHeader, "r1")
	first, second, _ := strings.Cut(out.String(), "\n")
	if a, b := line(t, first), line(t, second); a["status"] != 409.0 || b["status"] != 200.0 || a["request_id"] != "r1" {
		t.Errorf("call inside the process logged\n%v\n%v\nwant 409, then 200 of the caller, both r1", a, b)
	}
}

func TestIdentifyAndTrace_OncePerRequest(t *testing.T) {
	t.Parallel()
	seen := func(ctx context.Context) string { return obs.RequestID(ctx) + " " + obs.TraceParent(ctx) }
	var outer, inner, called string
	callee := chain(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called = seen(r.Context()) }), obs.Identify, obs.Trace)
	service := chain(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		inner = seen(r.Context())
		r2 := httptest.NewRequestWithContext(r.Context(), http.MethodGet, "/", nil)
		obs.Inject(r.Context(), r2.Header)
		callee.ServeHTTP(httptest.NewRecorder(), r2)
		if after := seen(r.Context()); after != inner {
			t.Errorf("id and trace after a call inside the process = %q, want %q as before", after, inner)
		}
	}), obs.Identify, obs.Trace)
	front := chain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outer = seen(r.Context())
		service.ServeHTTP(w, r)
	}), obs.Identify, obs.Trace)
	w := get(t, front, "/")
	if inner != outer || !strings.HasPrefix(outer, w.Header().Get(problem.RequestIDHeader)+" 00-") {
		t.Errorf("id and trace inside = %q, outside = %q, in the answer %q: want the same", inner, outer, w.Header().Get(problem.RequestIDHeader))
	}
	const sameIDAndTrace = 36 + 1 + len("00-") + 32
	if called[:sameIDAndTrace] != outer[:sameIDAndTrace] || called == outer {
		t.Errorf("id and trace of the callee = %q, want those of %q with a span of its own", called, outer)
	}
}

// noFlush is a server that cannot flush.
type noFlush struct{ http.ResponseWriter }

func TestExchange_KeepsWhatTheServerCan(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("hello, file"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	done := make(chan struct{}, 3)
	mux := http.NewServeMux()
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
		rc := http.NewResponseController(w)
		if err := errors.Join(rc.SetWriteDeadline(time.Now().Add(time.Minute)), rc.Flush()); err != nil {
			t.Errorf("ResponseController = %v, want no error", err)
		}
		w.(http.Flusher).Flush()
		_, _ = w.Write([]byte("data"))
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("Hijack = %v, want no error", err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
		_ = rw.Flush()
	})
	inner := house(mux, logTo(&out), prometheus.NewRegistry())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r)
		done <- struct{}{}
	}))
	defer server.Close()
	for target, want := range map[string]string{"/file": "hello, file", "/stream": "data", "/hijack": "hi"} {
		out.Reset()
		resp, err := server.Client().Get(server.URL + target)
		if err != nil {
			t.Fatalf("GET %s: %v", target, err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != want {
			t.Errorf("GET %s = %q, %v, want %q", target, body, err, want)
		}
		<-done
		if got := line(t, out.String()); target != "/hijack" && (got["bytes"] != float64(len(want)) || got["status"] != float64(resp.StatusCode)) {
			t.Errorf("GET %s logged %v, want %d bytes and status %d", target, got, len(want), resp.StatusCode)
		}
	}

	h := obs.Identify(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Flush where the server cannot = %v, want http.ErrNotSupported", err)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(noFlush{w}, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusAccepted {
		t.Errorf("status after a flush that is not supported = %d, want 202", w.Code)
	}
}

// sink is the cheapest possible client.
type sink struct{ h http.Header }

func (s sink) Header() http.Header         { return s.h }
func (s sink) Write(b []byte) (int, error) { return len(b), nil }
func (s sink) WriteHeader(int)             {}

func BenchmarkMiddlewares(b *testing.B) {
	mux := http.NewServeMux()
	body := []byte("{}")
	mux.HandleFunc("GET /v1/payments/{id}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	log := logTo(io.Discard)
	for _, bench := range []struct {
		name string
		h    http.Handler
	}{
		{"none", mux},
		{"recover", chain(mux, obs.Recover(log))},
		{"identify", chain(mux, obs.Identify)},
		{"trace", chain(mux, obs.Trace)},
		{"metrics", chain(mux, obs.Metrics(prometheus.NewRegistry()))},
		{"accesslog", chain(mux, obs.AccessLog(log))},
		{"timeout", chain(mux, obs.Timeout(time.Minute, time.Hour))},
		{"all", house(mux, log, prometheus.NewRegistry())},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest(http.MethodGet, "/v1/payments/1", nil)
			w := sink{http.Header{}}
			for b.Loop() {
				clear(w.h)
				bench.h.ServeHTTP(w, r)
			}
		})
	}
}
