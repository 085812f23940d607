package edge

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/config"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/run"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

// front is an edge in this process whose services are HTTP servers elsewhere.
type front struct {
	url     string
	process *run.Process
	client  *http.Client
	t       testing.TB
}

// option changes what begin starts.
type option func(*run.Settings, map[string]any)

// begin starts an edge. A nil handler is a service that is configured, but away.
func begin(t testing.TB, services map[string]http.Handler, opts ...option) *front {
	t.Helper()
	s := run.Defaults()
	s.DataDir, s.Listen, s.Log.Access, s.AddressLimit, s.DrainTime = t.TempDir(), freeAddress(t), false, 1_000_000, 20*time.Second
	s.ServiceURLs = map[string]string{}
	for name, h := range services {
		srv := httptest.NewServer(h)
		s.ServiceURLs[name] = srv.URL
		if h == nil {
			srv.Close()
		} else {
			t.Cleanup(srv.Close)
		}
	}
	keys := map[string]any{}
	for _, o := range opts {
		o(&s, keys)
	}
	cfg, err := config.Load("", nil, keys)
	if err != nil {
		t.Fatal(err)
	}
	p, err := run.Start(t.Context(), cfg, s, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})), New())
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	f := &front{process: p, t: t, url: "http://" + s.Listen, client: &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		if err := p.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return f
}

// frozen makes the process's time stand still: limits do not grow again while a test is slow.
func frozen(s *run.Settings, _ map[string]any) {
	now := time.Now()
	s.Clock = func() time.Time { return now }
}

// freeAddress is one that nobody listens on, to know it where the public URL is another.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// know makes the edge know an active tenant.
func (f *front) know(slug string, hosts ...string) tenantdir.Entry {
	f.t.Helper()
	e := tenantdir.Entry{
		Tenant: tenant.Tenant{ID: id.New(), Slug: slug, Name: strings.ToUpper(slug[:1]) + slug[1:]},
		Status: tenantdir.Active, Hosts: hosts, Version: 1,
	}
	h := f.process.Host("edge")
	ctx := tenant.With(f.t.Context(), e.Tenant)
	if err := h.DB.Tx(ctx, func(tx *db.Tx) error { return h.Dir.Apply(ctx, tx, e) }); err != nil {
		f.t.Fatalf("tenant %s: %v", slug, err)
	}
	return e
}

// got is an answer with its body read.
type got struct {
	*http.Response
	body string
}

// do sends a request; headers are pairs of name and value, "Host" among them.
func (f *front) do(method, target string, body io.Reader, headers ...string) got {
	f.t.Helper()
	g, err := f.try(f.t.Context(), method, target, body, headers...)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, target, err)
	}
	return g
}

func (f *front) get(target string, headers ...string) got {
	f.t.Helper()
	return f.do(http.MethodGet, target, nil, headers...)
}

func (f *front) try(ctx context.Context, method, target string, body io.Reader, headers ...string) (got, error) {
	r, err := http.NewRequestWithContext(ctx, method, f.url+target, body)
	if err != nil {
		return got{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		} else {
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	resp, err := f.client.Do(r)
	if err != nil {
		return got{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return got{resp, string(b)}, err
}

// says answers with a text, the service's name for example.
func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}
