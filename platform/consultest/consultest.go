// Package consultest runs a real Consul agent for a test, on free ports of the loopback
// interface. It is the server of a data centre of its own, leads within half a second, and
// ends with the test, or with the test binary however that ends.
package consultest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Agent is a Consul agent. Its methods fail the test if they cannot do what they say; they are
// for one goroutine.
type Agent struct {
	// Address is the host:port of its HTTP API. It stays the same.
	Address string
	// AddressTLS is the host:port of the API by TLS, with the option of that name.
	AddressTLS string

	t    testing.TB
	dir  string
	args []string
	hold io.WriteCloser // the watchdog's pipe
	dog  *exec.Cmd      // nil while the agent is stopped
}

// Option changes how an agent is started.
type Option func(*options)

type options struct {
	config []string
	keep   bool
	tls    bool
}

// Config adds settings to the agent's configuration file, in HCL.
func Config(hcl string) Option {
	return func(o *options) { o.config = append(o.config, hcl) }
}

// Keep has the agent keep its state in a folder, as in operation. After Restart it takes the
// services registered with it for critical until it has checked them. It leads within seconds.
func Keep() Option { return func(o *options) { o.keep = true } }

// TLS has the agent serve its API by TLS as well, at AddressTLS, with that certificate, and ask
// clients for one of the authority.
func TLS(caFile, certFile, keyFile string) Option {
	return func(o *options) {
		o.tls = true
		Config(fmt.Sprintf("tls { defaults { ca_file = %q, cert_file = %q, key_file = %q, verify_incoming = true, verify_outgoing = true } }", caFile, certFile, keyFile))(o)
	}
}

// Start starts an agent that keeps its state in memory and returns when it leads.
func Start(t testing.TB, opts ...Option) *Agent {
	t.Helper()
	program, err := program()
	if err != nil {
		t.Fatalf("consultest: build Consul: %v", err)
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	a := &Agent{t: t}
	t.Cleanup(func() {
		a.end("KILL")
		if a.dir != "" {
			_ = os.RemoveAll(a.dir) // the system empties that folder by itself
		}
	})
	for range 3 { // another process may take a port that was free
		if err = a.configure(program, o); err == nil {
			if err = a.run(); err == nil {
				return a
			}
		}
	}
	t.Fatalf("consultest: start Consul: %v", err)
	return nil
}

// Stop ends the agent in good order.
func (a *Agent) Stop() { a.t.Helper(); a.end("TERM") }

// Kill ends the agent at once, as a crash does.
func (a *Agent) Kill() { a.t.Helper(); a.end("KILL") }

// Restart starts the agent again at its address, after ending it if it runs. Without Keep it
// has lost its state: no service is registered.
func (a *Agent) Restart() {
	a.t.Helper()
	a.end("KILL")
	if err := a.run(); err != nil {
		a.t.Fatalf("consultest: restart Consul: %v", err)
	}
}

// Pause keeps the agent from running, with its connections open, until resume is called.
func (a *Agent) Pause() (resume func()) {
	a.t.Helper()
	a.tell("STOP")
	return sync.OnceFunc(func() { a.tell("CONT") })
}

func (a *Agent) tell(signal string) {
	a.t.Helper()
	if a.dog == nil {
		a.t.Fatalf("consultest: signal %s: the agent does not run", signal)
	}
	if _, err := fmt.Fprintln(a.hold, signal); err != nil {
		a.t.Fatalf("consultest: signal %s: %v", signal, err)
	}
}

// end sends the signal and waits for the process to be gone.
func (a *Agent) end(signal string) {
	if a.dog == nil {
		return
	}
	_, errTell := fmt.Fprintln(a.hold, "CONT\n"+signal)
	err := errors.Join(errTell, a.hold.Close(), a.dog.Wait())
	a.dog = nil
	if err != nil {
		a.t.Errorf("consultest: end Consul by %s: %v\n%s", signal, err, a.log())
	}
}

func (a *Agent) configure(program string, o options) error {
	if a.dir == "" {
		dir, err := os.MkdirTemp("", "basis-consul-") // t.TempDir would outlive a binary that is killed
		if err != nil {
			return err
		}
		a.dir = dir
	}
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	a.Address = fmt.Sprintf("127.0.0.1:%d", ports[0])
	kind := []string{"-dev"}
	if o.keep {
		kind = []string{"-server", "-bootstrap-expect=1", "-data-dir=" + filepath.Join(a.dir, "data")}
		Config("disable_update_check = true, performance { raft_multiplier = 1 }")(&o)
	}
	a.args = append(append([]string{program, "agent"}, kind...),
		"-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=warn", "-disable-host-node-id",
		fmt.Sprintf("-http-port=%d", ports[0]), fmt.Sprintf("-server-port=%d", ports[1]), fmt.Sprintf("-serf-lan-port=%d", ports[2]),
		"-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1")
	if o.tls {
		a.AddressTLS = fmt.Sprintf("127.0.0.1:%d", ports[3])
		a.args = append(a.args, fmt.Sprintf("-https-port=%d", ports[3]))
	}
	for i, text := range o.config {
		file := filepath.Join(a.dir, fmt.Sprintf("%d.hcl", i))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		a.args = append(a.args, "-config-file="+file)
	}
	return nil
}

// watch runs the agent, sends it the signals that it reads, and ends it when the pipe that only
// the test binary holds open is closed; if no signal to end came before, the binary has died.
const watch = `dir=$1; shift; "$@" >>"$dir/log" 2>&1 & pid=$!
while read -r s; do kill -"$s" $pid; case $s in TERM|KILL) ended=1; break;; esac; done
[ "$ended" ] || { kill -KILL $pid; rm -rf "$dir"; }
wait $pid 2>/dev/null; exit 0`

func (a *Agent) run() error {
	dog := exec.Command("sh", append([]string{"-c", watch, "sh", a.dir}, a.args...)...) //nolint:noctx // ends by its pipe
	dog.Dir = a.dir
	dog.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what interrupts the terminal's programs ends the binary, and so the pipe
	hold, err := dog.StdinPipe()
	if err != nil {
		return err
	}
	if err := dog.Start(); err != nil {
		return err
	}
	a.dog, a.hold = dog, hold
	if err := a.awaitLeader(); err != nil {
		err = fmt.Errorf("%w\n%s", err, a.log())
		a.end("KILL")
		return err
	}
	return nil
}

// awaitLeader waits until the agent leads and knows itself, so that services can be registered.
func (a *Agent) awaitLeader() error {
	ctx, cancel := context.WithTimeout(a.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.Address+"/v1/status/leader", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(r); err == nil {
			var leader string
			err := json.NewDecoder(resp.Body).Decode(&leader)
			_ = resp.Body.Close()
			if err == nil && leader != "" {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the agent does not lead")
		}
	}
}

// log returns the end of what the agent wrote.
func (a *Agent) log() string {
	text, err := os.ReadFile(filepath.Join(a.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4<<10):])
}

func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // for a moment
		if err != nil {
			return nil, err
		}
		defer l.Close() // all are held until the last is known
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// program builds Consul once, about five minutes without a cache, and returns its path.
var program = sync.OnceValues(func() (string, error) {
	root, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "tools", "build.sh")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			return "", errors.New("tools/build.sh is in no folder above this one")
		}
		root = filepath.Dir(root)
	}
	cmd := exec.Command(filepath.Join(root, "tools", "build.sh"), "consul")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, errs.String())
	}
	return strings.TrimSpace(out.String()), nil
})
