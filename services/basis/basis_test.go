package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"basisdienste/platform/web/browsertest"
)

func TestMain(m *testing.M) {
	code := browsertest.Main(m)
	if programs.dir != "" {
		if err := os.RemoveAll(programs.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// programs are built once for all tests of this package.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

// program returns the path of the program basis or demo. BASIS_PROGRAMS names a folder with
// programs that are built already.
func program(t testing.TB, name string) string {
	t.Helper()
	if dir := os.Getenv("BASIS_PROGRAMS"); dir != "" {
		return filepath.Join(dir, name)
	}
	programs.once.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "basis-programs-"); programs.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", programs.dir+"/", "basisdienste/services/basis", "basisdienste/tools/demo").CombinedOutput()
		if err != nil {
			programs.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}

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
	s := &server{program: program(t, "basis"), addr: addr, url: "http://" + addr, dir: t.TempDir(), env: env}
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
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		r = bytes.NewReader(text)
	}
	if !strings.HasPrefix(path, "http") {
		path = s.url + path
	}
	req, err := http.NewRequestWithContext(ctx, method, path, r)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return send(req)
}

const maxAnswer = 8 << 20

var client = &http.Client{Timeout: time.Minute}

func send(req *http.Request) (status int, body []byte, err error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, body, err
}

// oauthClient is a client of demo.json.
type oauthClient struct {
	ID       string `json:"client_id"`
	Secret   string `json:"client_secret"`
	TokenURL string `json:"token_url"`
	Scope    string `json:"scope"`
}

// demo is demo.json.
type demo struct {
	Tenants []struct {
		Slug string `json:"slug"`
		ARS  string `json:"ars"`
	} `json:"tenants"`
	EfA      oauthClient `json:"efa_client"`
	Operator oauthClient `json:"operator"`
	Payment  struct {
		BaseURL      string `json:"base_url"`
		OriginatorID string `json:"originator_id"`
		EndPointID   string `json:"end_point_id"`
	} `json:"payment"`
	Notify struct {
		APIKey string `json:"api_key"`
	} `json:"notify"`
	Booking struct {
		BaseURL   string `json:"base_url"`
		ServiceID string `json:"service_id"`
		OfficeID  string `json:"office_id"`
	} `json:"booking"`
	Staff struct {
		Username string `json:"username"`
		Password string `json:"password"`
	} `json:"staff"`
	OperatorLogin struct {
		Username string `json:"username"`
		Password string `json:"password"`
	} `json:"-"`
}

func (s *server) demo(t testing.TB) (d demo) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("demo.json: %v", err)
	}
	var more struct {
		Operator struct {
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"operator"`
	}
	if err := json.Unmarshal(text, &more); err != nil {
		t.Fatalf("demo.json: %v", err)
	}
	d.OperatorLogin = more.Operator
	return d
}

// token gets an access token by client_credentials.
func (c oauthClient) token(ctx context.Context) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {c.Scope}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	status, body, err := send(req)
	if err != nil {
		return "", err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		return "", fmt.Errorf("POST %s: %d %.300s", c.TokenURL, status, body)
	}
	return answer.AccessToken, nil
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
