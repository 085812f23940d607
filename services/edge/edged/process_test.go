package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test's binary be the program: that is what start runs.
func TestMain(m *testing.M) {
	if os.Getenv("EDGED_IS_THE_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// daemon is edged in a process of its own.
type daemon struct {
	url    string // as it says itself
	listen string // where it is
	cmd    *exec.Cmd
	client *http.Client
	ended  chan struct{}
	result error         // once ended
	log    *bytes.Buffer // once ended
}

// start runs edged with services at these addresses and more keys of the section server. It
// ends with the test.
func start(t *testing.T, services map[string]string, keys ...string) *daemon {
	t.Helper()
	dir, listen := t.TempDir(), freeAddress(t)
	text := "server:\n  log: {access: false, format: text}\n  requests_per_minute_and_address: 10000000\n  services:\n"
	for name, url := range services {
		text += "    " + name + ": " + url + "\n"
	}
	for _, line := range keys {
		text += "  " + line + "\n"
	}
	file := filepath.Join(dir, "edged.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{
		cmd:    exec.CommandContext(context.WithoutCancel(t.Context()), program, "--config", file, "--data", filepath.Join(dir, "data"), "--listen", listen),
		listen: listen,
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		ended:  make(chan struct{}), log: new(bytes.Buffer),
	}
	d.cmd.Env = append(os.Environ(), "EDGED_IS_THE_PROGRAM=1")
	d.cmd.Stderr = d.log
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		scan := bufio.NewScanner(out)
		for scan.Scan() {
			if m := regexp.MustCompile(`is ready after .* at (https?://\S+)`).FindStringSubmatch(scan.Text()); m != nil {
				ready <- m[1]
			}
		}
		d.result = d.cmd.Wait()
		close(d.ended)
	}()
	t.Cleanup(func() {
		d.client.CloseIdleConnections()
		_ = d.cmd.Process.Kill()
		select {
		case <-d.ended:
		case <-time.After(10 * time.Second):
			t.Error("edged does not end")
		}
		if t.Failed() {
			t.Logf("edged says:\n%s", d.log)
		}
	})
	select {
	case d.url = <-ready:
	case <-d.ended:
		t.Fatalf("edged ended at once: %v\n%s", d.result, d.log)
	case <-time.After(time.Minute):
		t.Fatal("edged was not ready within a minute")
	}
	return d
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// stop asks it to end and returns how it did.
func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-d.ended:
		return d.result
	case <-time.After(time.Minute):
		return errors.New("it did not end within a minute")
	}
}

// memory is the most that the process ever had in RAM, in bytes.
func (d *daemon) memory(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no VmHWM in %s", b)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// get returns status, header and body.
func (d *daemon) get(ctx context.Context, path string) (int, http.Header, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path, nil)
	if err != nil {
		return 0, nil, "", err
	}
	resp, err := d.client.Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(b), err
}

// service is a HTTP server that can be stopped hard and started again at the same address.
type service struct {
	address string
	handler http.Handler
	server  *http.Server
}

func serve(t *testing.T, h http.Handler) *service {
	t.Helper()
	s := &service{address: "127.0.0.1:0", handler: h}
	s.begin(t)
	t.Cleanup(func() { _ = s.server.Close() })
	return s
}

func (s *service) begin(t *testing.T) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: time.Minute}
	s.server = server
	go func() { _ = server.Serve(l) }()
}

func (s *service) url() string { return "http://" + s.address }

// addresses are the URLs by name.
func addresses(services map[string]*service) map[string]string {
	out := map[string]string{}
	for name, s := range services {
		out[name] = s.url()
	}
	return out
}

func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

func contains(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
