package consultest_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/certs"
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
func instance(t testing.TB, name string) (*httptest.Server, *atomic.Bool) {
	var away atomic.Bool
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/readyz":
			_, _ = io.WriteString(w, name)
		case away.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(p.Close)
	return p, &away
}

func register(t testing.TB, c *discover.Consul, service string, p *httptest.Server) {
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
	status, text, err := call(t, a, http.MethodGet, "/v1/agent/services", "")
	if err != nil || status != 200 || json.Unmarshal([]byte(text), &services) != nil {
		t.Fatalf("GET services = %d %s, %v, want 200", status, text, err)
	}
	var ids []string
	for id := range services {
		ids = append(ids, id)
	}
	return strings.Join(ids, " ")
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
	late.Handler("payment").ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://basis.example/x", nil))
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
	t.Logf("others heard of Deregister within %s", time.Since(gone))
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
		eventually(t, soon, "all is well again", func() bool {
			return log.count("registered in consul") == i+1 && log.count("consul is away") == log.count("consul is back")
		})
	}
	if status, body, err := call(t, agent, http.MethodPut, "/v1/agent/service/deregister/"+id, ""); status != 200 || err != nil {
		t.Fatalf("deregister by another hand = %d %s, %v, want 200", status, body, err)
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

func TestConsul_SaysHowToCheck(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	to, err := url.Parse("http://" + agent.Address)
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	through := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		if p.In.Method == http.MethodPut {
			b, err := io.ReadAll(p.In.Body)
			if err != nil {
				t.Error(err)
			}
			p.Out.Body, p.Out.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			said <- string(b)
		}
	}}
	front := httptest.NewServer(through)
	t.Cleanup(front.Close)
	c, err := discover.NewConsul(t.Context(), discover.ConsulConfig{Address: front.Listener.Addr().String(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Register(t.Context(), discover.Instance{Service: "payment", Advertise: "[::1]:9", TLS: true}); err != nil {
		t.Fatal(err)
	}
	want := `{"ID":"payment-::1-9","Name":"payment","Port":9,"Address":"::1","Meta":{"scheme":"https"},"Check":{"Name":"ready",` +
		`"Interval":"5s","Timeout":"5s","HTTP":"https://[::1]:9/readyz","Status":"critical","TLSSkipVerify":true,"DeregisterCriticalServiceAfter":"1m0s"},"Checks":null}`
	if got := strings.TrimSpace(<-said); got != want {
		t.Errorf("registration =\n%s, want\n%s", got, want)
	}
	eventually(t, soon, "the agent takes it", func() bool { return known(t, agent) == "payment-::1-9" })
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
			status, text, err := call(t, agent, http.MethodPut, path, body, "X-Consul-Token", master)
			return err == nil && status == 200 && json.Unmarshal([]byte(text), &answer) == nil
		})
		return answer
	}
	put("/v1/acl/policy", `{"Name":"payment","Rules":"service \"payment\" { policy = \"write\" } node_prefix \"\" { policy = \"read\" }"}`)
	token, _ := put("/v1/acl/token", `{"Policies":[{"Name":"payment"}]}`)["SecretID"].(string)

	one := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "1") }))
	pair, err := tls.LoadX509KeyPair(server.Cert, server.Key)
	if err != nil {
		t.Fatal(err)
	}
	one.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	one.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // below it is spoken to without TLS
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
	// Services may have another authority than Consul.
	for file, want := range map[string]string{ca.CA: "1", certstest.New(t).CA: "service_unavailable"} {
		cfg := cfg
		if cfg.Trust, err = certs.OpenAuthorities(file); err != nil {
			t.Fatal(err)
		}
		c, _ := consul(t, cfg)
		if got := who(t, c, "payment", 1); got != want {
			t.Errorf("a call with services' authorities of %s = %s, want %s", file, got, want)
		}
	}
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
