package discover_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/certs/certstest"
	"basisdienste/platform/consultest"
	"basisdienste/platform/discover"
	"basisdienste/platform/fault"
)

// soon is how long news may take with the check interval of these tests, on a busy computer.
const soon = 20 * time.Second

// lines is a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// consul opens a Consul of a process for the test.
func consul(t testing.TB, cfg discover.ConsulConfig) (*discover.Consul, *lines) {
	t.Helper()
	log := &lines{}
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	if cfg.CheckInterval == 0 {
		cfg.CheckInterval = time.Second
	}
	c, err := discover.NewConsul(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		if t.Failed() {
			t.Logf("log of the process:\n%s", log)
		}
	})
	return c, log
}

// instance serves its name, and /readyz as the flag says.
func instance(t testing.TB, name string) (*peer, *atomic.Bool) {
	var away atomic.Bool
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/readyz":
			_, _ = io.WriteString(w, name)
		case away.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	return p, &away
}

func register(t testing.TB, c *discover.Consul, service string, p *peer) {
	t.Helper()
	if err := c.Register(t.Context(), discover.Instance{Service: service, Advertise: p.Listener.Addr().String()}); err != nil {
		t.Fatal(err)
	}
}

// who returns which of n calls in succession went where; failed calls as what they answered.
func who(t testing.TB, s discover.Services, service string, n int) string {
	t.Helper()
	var all []string
	for range n {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+service+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client(service).Do(r)
		if err != nil {
			all = append(all, fault.From(err).Code)
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		all = append(all, string(b))
	}
	return strings.Join(all, " ")
}

// known asks the agent itself for the ids of its services.
func known(t testing.TB, a *consultest.Agent) string {
	t.Helper()
	var services map[string]any
	ask(t, a, "/v1/agent/services", &services)
	var ids []string
	for id := range services {
		ids = append(ids, id)
	}
	return strings.Join(ids, " ")
}

func ask(t testing.TB, a *consultest.Agent, path string, dst any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.Address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(dst); err != nil || resp.StatusCode != 200 {
		t.Fatalf("GET %s = %d, %v, want 200", path, resp.StatusCode, err)
	}
}

func TestConsul_FindsWhoIsRegistered(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	first, _ := consul(t, discover.ConsulConfig{Address: agent.Address})
	second, _ := consul(t, discover.ConsulConfig{Address: agent.Address})
	caller, _ := consul(t, discover.ConsulConfig{Address: agent.Address})
	if got := who(t, caller, "payment", 1); got != "service_unavailable" {
		t.Errorf("nobody is registered: %s, want service_unavailable", got)
	}
	one, _ := instance(t, "1")
	two, away := instance(t, "2")
	register(t, first, "payment", one)
	register(t, second, "payment", two)
	eventually(t, soon, "both instances take turns", func() bool {
		got := who(t, caller, "payment", 4)
		return got == "1 2 1 2" || got == "2 1 2 1"
	})
	late, _ := consul(t, discover.ConsulConfig{Address: agent.Address})
	if got := who(t, late, "payment", 2); got != "1 2" && got != "2 1" {
		t.Errorf("the first calls of a process = %s, want them to wait for Consul's answer", got)
	}
	w := httptest.NewRecorder()
	late.Handler("payment").ServeHTTP(w, request(t.Context(), t, "GET", "http://basis.example/x", nil))
	if w.Code != 200 {
		t.Errorf("passed on = %d %s, want 200", w.Code, w.Body)
	}

	away.Store(true)
	eventually(t, soon, "an instance that is not ready is left out", func() bool { return who(t, caller, "payment", 4) == "1 1 1 1" })
	away.Store(false)
	eventually(t, soon, "an instance that is ready again is back", func() bool { return strings.Contains(who(t, caller, "payment", 2), "2") })

	if err := second.Deregister(t.Context()); err != nil {
		t.Fatalf("Deregister = %v", err)
	}
	gone := time.Now()
	eventually(t, soon, "who deregisters is not called any more", func() bool { return who(t, caller, "payment", 4) == "1 1 1 1" })
	if d := time.Since(gone); d > time.Second {
		t.Errorf("others heard of Deregister after %s, want a tenth of a second, or one on a busy computer", d)
	}
	if err := first.Deregister(t.Context()); err != nil {
		t.Fatalf("Deregister = %v", err)
	}
	eventually(t, soon, "an empty answer means that nobody is there", func() bool { return who(t, caller, "payment", 1) == "service_unavailable" })
}

// go-kit's registrar logs a failed registration and never tries again.
func TestConsul_RegistersWhenConsulComesAndWhenItForgets(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	agent.Stop()
	c, log := consul(t, discover.ConsulConfig{Address: agent.Address})
	one, _ := instance(t, "1")
	register(t, c, "payment", one)
	if got := who(t, c, "payment", 1); got != "service_unavailable" {
		t.Errorf("before Consul is there: %s, want service_unavailable", got)
	}
	id := "payment-" + strings.ReplaceAll(one.Listener.Addr().String(), ":", "-")
	for i, what := range []string{"starts", "lost its state", "lost its state again"} {
		agent.Restart()
		eventually(t, soon, "registered after Consul "+what, func() bool { return known(t, agent) == id })
		eventually(t, soon, "found after Consul "+what, func() bool { return who(t, c, "payment", 1) == "1" })
		if n := log.count("registered in consul"); n != i+1 {
			t.Errorf("registered %d times after %d starts", n, i+1)
		}
	}
	r := request(t.Context(), t, http.MethodPut, "http://"+agent.Address+"/v1/agent/service/deregister/"+id, nil)
	if status, body, err := do(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, r); status != 200 || err != nil {
		t.Fatalf("deregister by another hand = %d %s, %v", status, body, err)
	}
	eventually(t, soon, "registered after another hand has deregistered it", func() bool { return known(t, agent) == id })
	if err := c.Deregister(t.Context()); err != nil {
		t.Fatalf("Deregister = %v", err)
	}
	away := log.count("consul is away")
	agent.Restart()
	eventually(t, soon, "the process notices the restart", func() bool {
		n := log.count("consul is away")
		return n > away && n == log.count("consul is back")
	})
	if got := known(t, agent); got != "" {
		t.Errorf("after Deregister and a restart the agent knows %q, want nobody", got)
	}
}

// go-kit's endpointer forgets or keeps by an option, and its instancer once took a whole
// processor while Consul was down.
func TestConsul_IsAway(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	var queries atomic.Int64
	to, err := url.Parse("http://" + agent.Address)
	if err != nil {
		t.Fatal(err)
	}
	through := &httputil.ReverseProxy{
		Rewrite:      func(p *httputil.ProxyRequest) { queries.Add(1); p.SetURL(to) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	front := httptest.NewServer(through)
	t.Cleanup(front.Close)
	c, log := consul(t, discover.ConsulConfig{Address: front.Listener.Addr().String()})
	other, _ := consul(t, discover.ConsulConfig{Address: agent.Address})
	one, _ := instance(t, "1")
	two, _ := instance(t, "2")
	register(t, other, "payment", one)
	register(t, other, "payment", two)
	var users sync.WaitGroup
	for range 50 { // one watcher, whoever asks
		users.Go(func() { c.Client("payment"); c.Handler("payment") })
	}
	users.Wait()
	eventually(t, soon, "both are found", func() bool { s := who(t, c, "payment", 2); return s == "1 2" || s == "2 1" })
	if n := queries.Load(); n > 8 { // one at once, then one for each change: two registrations, two checks
		t.Errorf("%d queries for one service, want a few: one watcher", n)
	}

	agent.Kill()
	eventually(t, soon, "the process notices", func() bool { return log.count("consul is away") == 1 })
	before := queries.Load()
	until := time.Now().Add(3 * time.Second)
	calls := 0
	for time.Now().Before(until) {
		if got := who(t, c, "payment", 2); got != "1 2" && got != "2 1" {
			t.Fatalf("call %d while Consul is away = %s, want the instances known last", calls, got)
		}
		calls += 2
	}
	if n := queries.Load() - before; n < 1 || n > 8 {
		t.Errorf("%d queries in 3 s while Consul is away, want a few", n)
	}
	agent.Restart()
	eventually(t, soon, "the process notices that Consul is back", func() bool {
		if got := who(t, c, "payment", 2); got != "1 2" && got != "2 1" {
			t.Fatalf("a call while Consul comes back without its state = %s, want the instances known last", got)
		}
		return log.count("consul is back") == 1
	})
	for until := time.Now().Add(time.Second); time.Now().Before(until); {
		if got := who(t, c, "payment", 2); got != "1 2" && got != "2 1" {
			t.Fatalf("a call after Consul came back = %s, want all instances", got)
		}
	}
	two.Close()
	if err := other.Deregister(t.Context()); err != nil {
		t.Fatalf("Deregister = %v", err)
	}
	eventually(t, soon, "what was known before Consul went away is forgotten in the end", func() bool { return who(t, c, "payment", 1) == "service_unavailable" })
	if a, b := log.count("consul is away"), log.count("consul is back"); a != 1 || b != 1 {
		t.Errorf("logged %d times that Consul is away and %d times that it is back, want once each", a, b)
	}
}

// A connection that went dead without a word, as by a cut cable.
func TestConsul_Hangs(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	c, _ := consul(t, discover.ConsulConfig{Address: agent.Address})
	one, _ := instance(t, "1")
	register(t, c, "payment", one)
	eventually(t, soon, "found", func() bool { return who(t, c, "payment", 1) == "1" })
	resume := agent.Pause()
	defer resume()
	if got := who(t, c, "payment", 3); got != "1 1 1" {
		t.Errorf("calls while Consul hangs = %s, want the instance known last", got)
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := c.Deregister(ctx); err == nil || time.Since(begin) > 2*time.Second {
		t.Errorf("Deregister while Consul hangs = %v after %s, want an error when its context ends", err, time.Since(begin))
	}
	begin = time.Now()
	if err := c.Close(); err != nil || time.Since(begin) > time.Second {
		t.Errorf("Close while Consul hangs = %v after %s, want it at once", err, time.Since(begin))
	}
}

// go-kit's instancers leave 3 goroutines each behind for minutes. This test is not parallel, so
// that all goroutines are its own or stand still.
func TestConsul_CloseLeavesNothingBehind(t *testing.T) { //nolint:paralleltest // as said
	agent := consultest.Start(t)
	one, _ := instance(t, "1")
	before := runtime.NumGoroutine()
	c, _ := consul(t, discover.ConsulConfig{Address: agent.Address})
	for i := range 50 {
		service := fmt.Sprintf("service%d", i)
		register(t, c, service, one)
		eventually(t, soon, "found "+service, func() bool { return who(t, c, service, 1) == "1" })
	}
	if n := runtime.NumGoroutine(); n < before+100 {
		t.Fatalf("%d goroutines with 50 registrations and watchers, %d before: the test counts nothing", n, before)
	}
	begin := time.Now()
	if err := c.Close(); err != nil || time.Since(begin) > time.Second {
		t.Errorf("Close = %v after %s, want it at once", err, time.Since(begin))
	}
	one.CloseClientConnections()
	eventually(t, soon, "connections have ended", func() bool { return runtime.NumGoroutine() <= before })
	if err := c.Register(t.Context(), discover.Instance{Service: "x", Advertise: "127.0.0.1:1"}); err == nil {
		t.Errorf("Register after Close = nil, want an error")
	}
	if got := who(t, c, "nobody", 1); got != "service_unavailable" {
		t.Errorf("a call after Close = %s, want service_unavailable", got)
	}
}

func TestConsul_RefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	for _, cfg := range []discover.ConsulConfig{{}, {Log: log, Scheme: "ftp"}, {Log: log, CAFile: "/nowhere"}, {Log: log, Scheme: "https", CertFile: "/nowhere", KeyFile: "/nowhere"}} {
		if c, err := discover.NewConsul(t.Context(), cfg); err == nil {
			t.Errorf("NewConsul of %+v = %v, want an error", cfg, c)
		}
	}
	c, _ := consul(t, discover.ConsulConfig{Address: "127.0.0.1:1"})
	for _, i := range []discover.Instance{
		{Service: "payment", Advertise: ":8080"}, {Service: "payment", Advertise: "0.0.0.0:8080"}, {Service: "payment", Advertise: "[::]:8080"},
		{Service: "payment", Advertise: "10.0.0.5"}, {Service: "payment", Advertise: "10.0.0.5:0"}, {Service: "payment", Advertise: "10.0.0.5:http"},
		{Advertise: "10.0.0.5:8080"},
	} {
		if err := c.Register(t.Context(), i); err == nil {
			t.Errorf("Register of %+v = nil, want an error", i)
		}
	}
}

// An agent that starts anew takes what it kept for critical until it has checked it.
func TestConsul_StartsAnewUnderLoad(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]consultest.Option{"lost": nil, "kept": {consultest.Keep()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agent := consultest.Start(t, opts...)
			c, log := consul(t, discover.ConsulConfig{Address: agent.Address, CheckInterval: 2 * time.Second})
			one, _ := instance(t, "1")
			register(t, c, "payment", one)
			eventually(t, soon, "found", func() bool { return who(t, c, "payment", 1) == "1" })
			agent.Restart()
			for until := time.Now().Add(4 * time.Second); time.Now().Before(until); {
				if got := who(t, c, "payment", 10); got != strings.Repeat(" 1", 10)[1:] {
					t.Fatalf("calls after the agent's start = %s, want each answered", got)
				}
			}
			again := 0
			if name == "lost" {
				again = 1
			}
			if n := log.count("registering again"); n != again {
				t.Errorf("registered again %d times, want %d", n, again)
			}
		})
	}
}

func TestConsul_TokenAndTLS(t *testing.T) {
	t.Parallel()
	const master = "5d3bd1f4-6c6f-4d4c-8c5e-0d2f5b9f2a11"
	ca := certstest.New(t)
	server, client := ca.Server("consul"), ca.Client("paymentd")
	agent := consultest.Start(t, consultest.TLS(ca.CA, server.Cert, server.Key), consultest.Config(fmt.Sprintf(
		`acl { enabled = true, default_policy = "deny", tokens { initial_management = %q, agent = %q } }`, master, master)))
	put := func(path, body string) map[string]any {
		t.Helper()
		var answer map[string]any
		eventually(t, soon, "PUT "+path, func() bool { // the first token comes a moment after the leader
			r := request(t.Context(), t, http.MethodPut, "http://"+agent.Address+path, strings.NewReader(body))
			r.Header.Set("X-Consul-Token", master)
			status, text, err := do(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, r)
			return err == nil && status == 200 && json.Unmarshal([]byte(text), &answer) == nil
		})
		return answer
	}
	put("/v1/acl/policy", `{"Name":"payment","Rules":"service \"payment\" { policy = \"write\" } node_prefix \"\" { policy = \"read\" }"}`)
	token, _ := put("/v1/acl/token", `{"Policies":[{"Name":"payment"}]}`)["SecretID"].(string)

	one := &peer{}
	one.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "1") }))
	pair, err := tls.LoadX509KeyPair(server.Cert, server.Key)
	if err != nil {
		t.Fatal(err)
	}
	one.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	one.StartTLS()
	t.Cleanup(one.Close)

	cfg := discover.ConsulConfig{
		Address: agent.AddressTLS, Scheme: "https", Token: token,
		CAFile: ca.CA, CertFile: client.Cert, KeyFile: client.Key, Datacenter: "dc1",
	}
	c, _ := consul(t, cfg)
	if err := c.Register(t.Context(), discover.Instance{Service: "payment", Advertise: one.Listener.Addr().String(), TLS: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, "registered with a token, found, and called by TLS", func() bool { return who(t, c, "payment", 1) == "1" })
	// A token for payment says nothing of others.
	if got := who(t, c, "forms", 1); got != "service_unavailable" {
		t.Errorf("another service = %s, want service_unavailable", got)
	}

	for name, change := range map[string]func(*discover.ConsulConfig){
		"no token":       func(c *discover.ConsulConfig) { c.Token = "none" },
		"no certificate": func(c *discover.ConsulConfig) { c.CertFile, c.KeyFile = "", "" },
		"no authority":   func(c *discover.ConsulConfig) { c.CAFile = "" },
		"without TLS":    func(c *discover.ConsulConfig) { c.Scheme = "http" },
	} {
		cfg := cfg
		change(&cfg)
		c, log := consul(t, cfg)
		register(t, c, "forms", one)
		if got := who(t, c, "payment", 1); got != "service_unavailable" {
			t.Errorf("%s: a call = %s, want service_unavailable", name, got)
		}
		eventually(t, soon, name+": the log says that Consul does not answer", func() bool { return log.count("consul is away") == 1 })
		if name != "no token" {
			continue
		}
		if got := log.String(); strings.Contains(got, "registered in") {
			t.Errorf("%s: the log says %s, want no registration", name, got)
		}
	}
}
