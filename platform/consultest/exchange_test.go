package consultest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/consultest"
	"basisdienste/platform/discover"
)

// process is an instance that leaves as platform/run does.
type process struct {
	server *http.Server
	consul *discover.Consul
}

func begin(t *testing.T, agent *consultest.Agent) *process {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{server: &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})}}
	go func() {
		if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve = %v", err)
		}
	}()
	p.consul, _ = consul(t, discover.ConsulConfig{Address: agent.Address})
	if err := p.consul.Register(t.Context(), discover.Instance{Service: "payment", Advertise: l.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	return p
}

// leave ends the process: first for others, then itself. To close idle connections before
// others have heard of it would break calls that are just being written to them.
func (p *process) leave(t *testing.T) {
	t.Helper()
	if err := p.consul.Deregister(t.Context()); err != nil {
		t.Errorf("Deregister = %v", err)
	}
	<-time.After(500 * time.Millisecond) // others hear of it
	if err := p.server.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if err := p.consul.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

// Calls that may not be repeated, by a client and passed on, while all instances are exchanged.
func TestConsul_InstancesAreExchangedWithoutAFailedCall(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	caller, _ := consul(t, discover.ConsulConfig{Address: agent.Address})
	edge := httptest.NewServer(caller.Handler("payment"))
	t.Cleanup(edge.Close)
	running := []*process{begin(t, agent), begin(t, agent)}
	eventually(t, soon, "found", func() bool { return who(t, caller, "payment", 1) == "" })

	var calls atomic.Int64
	var users sync.WaitGroup
	stop := make(chan struct{})
	post := func(c *http.Client, url string) {
		for {
			select {
			case <-stop:
				return
			default:
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, io.MultiReader(strings.NewReader("x")))
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := c.Do(r)
			calls.Add(1)
			if err != nil {
				t.Errorf("POST = %v, want no failure while instances are exchanged", err)
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("POST = %d, want 200 while instances are exchanged", resp.StatusCode)
			}
		}
	}
	for range 2 {
		users.Go(func() { post(caller.Client("payment"), "http://payment/x") })
		users.Go(func() { post(edge.Client(), edge.URL+"/x") })
	}
	for i, old := range running {
		running[i] = begin(t, agent)
		old.leave(t)
	}
	close(stop)
	users.Wait()
	for _, p := range running {
		p.leave(t)
	}
	t.Logf("%d calls while both instances were exchanged", calls.Load())
}
