package consultest_test

import (
	"context"
	"fmt"
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

	"basisdienste/platform/consultest"
	"basisdienste/platform/discover"
)

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
	c, log := consul(t, discover.ConsulConfig{Address: front.Listener.Addr().String(), CheckInterval: 200 * time.Millisecond})
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
	until := time.Now().Add(2 * time.Second)
	calls := 0
	for time.Now().Before(until) {
		if got := who(t, c, "payment", 2); got != "1 2" && got != "2 1" {
			t.Fatalf("call %d while Consul is away = %s, want the instances known last", calls, got)
		}
		calls += 2
	}
	if n := queries.Load() - before; n < 1 || n > 8 {
		t.Errorf("%d queries in 2 s while Consul is away, want a few", n)
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
			for until := time.Now().Add(3 * time.Second); time.Now().Before(until); {
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
