package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/web/browsertest"
	"basisdienste/services/basis/clients"
	"basisdienste/services/basis/process"
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
	*process.Process
	url, addr, dir string
}

// newServer chooses folder and address; it starts nothing. What runs in the end is killed.
func newServer(t testing.TB, env ...string) *server {
	t.Helper()
	addr, err := process.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &server{url: "http://" + addr, addr: addr, dir: filepath.Join(t.TempDir(), "data")}
	if s.Process, err = process.Basis(programs.Path(t, "basis"), addr, s.dir, append(process.Unlimited(), env...)...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.kill(t) })
	return s
}

// start starts the process and returns how long it took until it was ready.
func (s *server) start(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// kill ends the process as a power cut does, and waits until it is gone.
func (s *server) kill(t testing.TB) {
	t.Helper()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
}

// stop asks the process to end and returns how long that took.
func (s *server) stop(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
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
