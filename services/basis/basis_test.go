package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/web/browsertest"
	"basisdienste/services/basis/clients"
)

func TestMain(m *testing.M) {
	code := browsertest.Main(m)
	programs.Remove()
	os.Exit(code)
}

// programs is shared by the tests of this binary: they are built once.
var programs = clients.Programs{Packages: []string{"basisdienste/services/basis", "basisdienste/tools/demo"}}

// server is basis as a process of its own, on one folder and one address for all its lives.
type server struct {
	url, dir string

	program, addr string
	env           []string
	cmd           *exec.Cmd
	exited        chan error
	log           *os.File
}

// newServer chooses folder and address; it starts nothing. What runs in the end is killed.
func newServer(t testing.TB, env ...string) *server {
	t.Helper()
	addr := freeAddress(t)
	s := &server{program: programs.Path(t, "basis"), addr: addr, url: "http://" + addr, dir: t.TempDir(), env: env}
	log, err := os.Create(filepath.Join(s.dir, "basis.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill(t)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// freeAddress finds a port that the system gives out to nobody by itself: a client that
// connects while the server is down must not meet itself.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000)))
		if err == nil {
			addr := l.Addr().String()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return addr
		}
	}
	t.Fatal("no port is free between 15000 and 30000")
	return ""
}

// exec starts the process and returns at once.
func (s *server) exec(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command(s.program, "--data", s.dir, "--listen", s.addr, "--demo")
	s.cmd.Env = append(environment(), "BASIS_SERVER__LOG__ACCESS=false", "BASIS_SERVER__REQUESTS_PER_MINUTE_AND_ADDRESS=100000000",
		"BASIS_EDGE__REQUESTS_PER_MINUTE_AND_TENANT=100000000", "BASIS_EDGE__BURST=10000000", "BASIS_BOOKING__HOLDS_PER_MINUTE_AND_ADDRESS=100000")
	s.cmd.Env = append(s.cmd.Env, s.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		t.Fatal(err)
	}
	s.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan error) { exited <- cmd.Wait() }(s.cmd, s.exited)
}

// environment is ours without what is meant for these tests: the process would take it for a
// part of its configuration, and refuse it.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "BASIS_") })
}

// start starts the process and returns how long it took until it was ready.
func (s *server) start(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	s.exec(t)
	s.awaitReady(t)
	return time.Since(began)
}

// awaitReady polls /readyz for at most 30 s.
func (s *server) awaitReady(t testing.TB) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; {
		status, _, err := s.do(t.Context(), http.MethodGet, "/readyz", "", "", nil)
		if err == nil && status == http.StatusOK {
			return
		}
		select {
		case err := <-s.exited:
			s.cmd = nil
			t.Fatalf("basis ended by itself: %v\n%s", err, s.logTail(t))
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			t.Fatalf("basis was not ready within 30 s\n%s", s.logTail(t))
		}
	}
}

// kill ends the process as a power cut does, and waits until it is gone.
func (s *server) kill(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	if err := <-s.exited; err == nil {
		t.Log("it had ended by itself before")
	}
	s.cmd = nil
}

// stop asks the process to end and returns how long that took.
func (s *server) stop(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.exited:
		s.cmd = nil
		if err != nil {
			t.Fatalf("basis after SIGTERM: %v\n%s", err, s.logTail(t))
		}
	case <-time.After(30 * time.Second):
		s.kill(t)
		t.Fatalf("basis did not stop within 30 s after SIGTERM\n%s", s.logTail(t))
	}
	return time.Since(began)
}

func (s *server) logTail(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(s.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	const most = 6000
	return string(text[max(0, len(text)-most):])
}

// do sends one request; body may be nil or anything that is sent as JSON.
func (s *server) do(ctx context.Context, method, path, token, key string, body any) (int, []byte, error) {
	return s.site().Do(ctx, method, path, token, key, body)
}

func send(req *http.Request) (status int, body []byte, err error) {
	return (&clients.Site{HTTP: client}).Send(req)
}

var client = &http.Client{Timeout: time.Minute}

func (s *server) site() *clients.Site { return &clients.Site{URL: s.url, HTTP: client} }

// token gets an access token by client_credentials.
func (s *server) token(t testing.TB, c clients.OAuthClient) string {
	t.Helper()
	token, err := s.site().Token(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (s *server) demo(t testing.TB) clients.Demo {
	t.Helper()
	d, err := clients.ReadDemo(filepath.Join(s.dir, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// tables opens a service's database beside the running process, for reading.
func (s *server) tables(ctx context.Context, service string, read func(*db.DB) error) (err error) {
	d, err := db.Open(ctx, db.Config{URL: "sqlite:" + filepath.Join(s.dir, service+".db"), Schema: service, Conns: 2})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return read(d)
}

// eventually tries every 50 ms until f returns nil, and fails the test after the time.
func eventually(t testing.TB, within time.Duration, what string, f func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); ; <-tick.C {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
	}
}
