package run_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/bus"
	"basisdienste/platform/config"
	"basisdienste/platform/kit"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
)

// with is the small service with something more.
func with(more func(h *run.Host, u *run.Unit)) run.App {
	a := app()
	open := a.Open
	a.Open = func(ctx context.Context, h *run.Host) (run.Unit, error) {
		u, err := open(ctx, h)
		more(h, &u)
		return u, err
	}
	return a
}

func begin(t *testing.T, dir string, apps ...run.App) (*run.Process, error) {
	t.Helper()
	cfg, err := config.Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := run.Defaults()
	s.DataDir, s.Listen, s.Log.Access = dir, "127.0.0.1:0", false
	return run.Start(t.Context(), cfg, s, slog.New(slog.DiscardHandler), apps...)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

func TestStop_LetsRequestsFinishInOrder(t *testing.T) {
	t.Parallel()
	var order []string
	inside, goOn := make(chan struct{}), make(chan struct{})
	p, err := begin(t, t.TempDir(), with(func(h *run.Host, u *run.Unit) {
		h.Mux.Handle("GET /slow", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(inside)
			<-goOn
			_, _ = io.WriteString(w, "whole")
		}))
		u.Close = func() error { order = append(order, "close"); return nil }
	}))
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan string, 1)
	go func() {
		_, body := get(t, p.BaseURL+"/slow")
		answer <- body
	}()
	<-inside
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop() }()
	runtest.Eventually(t, "new connections are refused", func() bool { code, _ := get(t, p.BaseURL+"/healthz"); return code == 0 })
	close(goOn)
	if got := <-answer; got != "whole" {
		t.Errorf("the request under way got %q, want whole", got)
	}
	if err := <-stopped; err != nil || strings.Join(order, "") != "close" {
		t.Errorf("Stop = %v, closed %v", err, order)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("another Stop = %v, want nil", err)
	}
}

// TestStop_UnusedConnections: clients dial ahead, and the server never hears from these
// connections. No request is cut off with them.
func TestStop_UnusedConnections(t *testing.T) {
	t.Parallel()
	p, err := begin(t, t.TempDir(), app())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.BaseURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if code, body := get(t, p.BaseURL+"/healthz"); code != http.StatusOK { // accepted after it
		t.Fatalf("healthz = %d %s", code, body)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("Stop = %v", err)
	}
}

func TestStop_IsQuickWhateverHangs(t *testing.T) {
	t.Parallel()
	hangs := make(chan struct{}, 2)
	env := runtest.Start(t, []run.App{with(func(h *run.Host, u *run.Unit) {
		bus.Call(h.Bus, "hangs", func(ctx context.Context, _ bus.Meta, _ noteTaken) error {
			hangs <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
		u.Jobs = append(u.Jobs, run.Job{Name: "hangs", Every: time.Hour, Run: func(ctx context.Context) error {
			hangs <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}})
	})})
	erfurt := env.Tenant("erfurt")
	env.Tell("payment", erfurt.Tenant, noteTaken{"1", "x"})
	<-hangs
	<-hangs
	began := time.Now()
	if err := env.Process.Stop(); err != nil {
		t.Errorf("Stop = %v, want nil", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Stop took %s, want less than 5 s", took)
	}
}

func TestJob_PanicAndErrorAreTriedAgain(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	env := runtest.Start(t, []run.App{with(func(_ *run.Host, u *run.Unit) {
		u.Jobs = append(u.Jobs, run.Job{Name: "wild", Every: time.Millisecond, Run: func(context.Context) error {
			switch runs.Add(1) {
			case 1:
				panic("oh")
			case 2:
				return errors.New("no")
			}
			return nil
		}})
	})})
	runtest.Eventually(t, "the job runs on", func() bool { return runs.Load() > 4 })
	if code, _ := get(t, env.URL+"/healthz"); code != 200 {
		t.Errorf("GET /healthz after a job's panic = %d, want 200", code)
	}
}

func TestStart_SecondProcessOnTheFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := begin(t, dir, app())
	if err != nil {
		t.Fatal(err)
	}
	_, err = begin(t, dir, app())
	if err == nil || !strings.Contains(err.Error(), "another process uses this folder") {
		t.Errorf("second Start = %v, want that another process uses the folder", err)
	}
	if code, _ := get(t, first.BaseURL+"/readyz"); code != 200 {
		t.Errorf("the first process answers %d, want 200", code)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	third, err := begin(t, dir, app())
	if err != nil {
		t.Fatalf("Start after the first has stopped = %v, want nil", err)
	}
	if err := third.Stop(); err != nil {
		t.Error(err)
	}
}

func TestStart_FailureLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := app()
	bad.Open = func(context.Context, *run.Host) (run.Unit, error) { return run.Unit{}, errors.New("no way") }
	if _, err := begin(t, dir, bad); err == nil || !strings.Contains(err.Error(), "open payment: no way") {
		t.Errorf("Start = %v, want open payment: no way", err)
	}
	p, err := begin(t, dir, app())
	if err != nil {
		t.Fatalf("Start after a failed one = %v, want nil", err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	env := runtest.Start(t, []run.App{with(func(h *run.Host, _ *run.Unit) {
		kit.Route(h.Mux, "GET /ok", kit.Public, func(context.Context, struct{}) (string, error) { return "ok", nil })
	})})
	get(t, env.URL+"/ok")
	for path, want := range map[string]string{
		"/healthz": "alive", "/readyz": "ready", "/metrics": `http_request_duration_seconds_count{method="GET",route="GET /ok",status="2xx"} 1`,
	} {
		if code, body := get(t, env.URL+path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("GET %s = %d %.200s, want 200 with %s", path, code, body, want)
		}
	}
	for _, path := range []string{"/metrics"} {
		if got := env.Do(http.MethodGet, path, "", nil, "X-Forwarded-For", "203.0.113.7"); got.Status != 403 {
			t.Errorf("GET %s through a proxy = %d, want 403", path, got.Status)
		}
	}
	if got := env.Do(http.MethodGet, "/debug/pprof/", "", nil); got.Status != 404 {
		t.Errorf("GET /debug/pprof/ = %d, want 404: it is switched off", got.Status)
	}
}

func TestRun_ArgumentsAndConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.yaml", "server:\n  listen: 127.0.0.1:9999\n  service_key: "+strings.Repeat("k", 32)+"\n")
	bad := file("bad.yaml", "server:\n  listen: nonsense\n  public_url: basis\n  service_key: short\n  trusted_proxies: [everywhere]\n  drain_timeout: 0s\n"+
		"  database: {wait_time: 1ms, statement_time: 20s, lock_time: 30s, idle_time: 11m}\n")
	noCA := file("noca.yaml", "server:\n  tls: {ca_file: "+dir+"/none.pem}\n")
	unknown := file("unknown.yaml", "server:\n  lisen: 127.0.0.1:1\n")
	stray := file("stray.yaml", "paiment:\n  x: 1\n")
	for _, c := range []struct {
		name string
		args []string
		out  []string // parts of the output, if it succeeds
		errs []string // parts of the error
	}{
		{"help", []string{"--help"}, []string{"Usage: paymentd", "--config", "--demo", "--check-config", "127.0.0.1:8080"}, nil},
		{"help among others", []string{"--demo", "-h"}, []string{"Usage: paymentd"}, nil},
		{"unknown flag", []string{"--nonsense"}, nil, []string{"--nonsense", "paymentd --help"}},
		{"no such file", []string{"--config", dir + "/none.yaml"}, nil, []string{"none.yaml"}},
		{"in order", []string{"--check-config", "--config", good}, []string{"the configuration is in order"}, nil},
		{"printed", []string{"--print-config", "--config", good}, []string{"listen: 127.0.0.1:9999"}, nil},
		{"each mistake", []string{"--check-config", "--config", bad}, nil, []string{"listen", "public_url", "service_key", "trusted_proxies", "drain_timeout", "database.wait_time", "database.lock_time", "database.idle_time"}},
		{"no authorities", []string{"--check-config", "--config", noCA}, nil, []string{"server.tls.ca_file", "none.pem"}},
		{"unknown key", []string{"--check-config", "--config", unknown}, nil, []string{"lisen"}},
		{"unknown section", []string{"--check-config", "--config", stray}, nil, []string{"paiment"}},
	} {
		var out bytes.Buffer
		err := run.Run(t.Context(), "paymentd", append(c.args, "--data", filepath.Join(dir, "data")), []string{"BASIS_SERVER__LOG__LEVEL=error"}, &out, app())
		if (err == nil) != (c.errs == nil) {
			t.Errorf("%s: Run = %v, output %s", c.name, err, out.String())
			continue
		}
		for _, want := range c.errs {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: Run = %v, want %q named", c.name, err, want)
			}
		}
		for _, want := range c.out {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: output lacks %q:\n%s", c.name, want, out.String())
			}
		}
		if strings.Contains(out.String(), strings.Repeat("k", 32)) {
			t.Errorf("%s: the output tells a secret", c.name)
		}
	}
}

func TestRun_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	out := &watched{seen: make(chan struct{}, 16)}
	ended := make(chan error, 1)
	go func() {
		ended <- run.Run(ctx, "paymentd", []string{"--listen", "127.0.0.1:0", "--data", t.TempDir()}, []string{"BASIS_SERVER__LOG__LEVEL=error"}, out, app())
	}()
	<-out.seen
	began := time.Now()
	cancel()
	if err := <-ended; err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("Run = %v, %s after the signal, want nil within 5 s", err, time.Since(began))
	}
}

// watched tells when something was written.
type watched struct{ seen chan struct{} }

func (w *watched) Write(b []byte) (int, error) {
	select {
	case w.seen <- struct{}{}:
	default:
	}
	return len(b), nil
}
