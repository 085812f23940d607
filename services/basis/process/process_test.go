package process_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"basisdienste/platform/runtest"
	"basisdienste/services/basis/process"
)

const how = "PROCESS_TEST_HOW" // what the test's binary does as the program

func TestMain(m *testing.M) {
	if os.Getenv(how) != "" {
		program()
		return
	}
	if err := os.Setenv("BASIS_OF_THE_TEST", "is not for programs"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// program says what it was told and serves until it is asked to end, or ends by itself.
func program() {
	fmt.Fprintln(os.Stdout, "BASIS_OF_THE_TEST is", os.Getenv("BASIS_OF_THE_TEST"), "and BASIS_SET is", os.Getenv("BASIS_SET"))
	if os.Getenv(how) == "fails" {
		os.Exit(3)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ended := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /end", func(http.ResponseWriter, *http.Request) { close(ended) })
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	if os.Getenv(how) == "serves" {
		l, err := net.Listen("tcp", os.Args[1])
		if err != nil {
			panic(err)
		}
		server := http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(l) }()
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
}

func newProcess(t *testing.T, does string) (p *process.Process, url string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	address, err := process.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	url = "http://" + address
	p = &process.Process{
		Name: "program", Program: self, Args: []string{address}, Env: []string{how + "=" + does, "BASIS_SET=set"},
		Dir: t.TempDir(), Ready: process.Answers(url + "/readyz"),
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p, url
}

func TestProcess(t *testing.T) {
	t.Parallel()
	p, _ := newProcess(t, "serves")
	for life := range 3 {
		if err := p.Start(t.Context()); err != nil {
			t.Fatalf("Start, life %d: got %v, want nil", life, err)
		}
		if err := p.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "runs already") {
			t.Errorf("Start of one that runs: got %v, want a refusal", err)
		}
		if now, peak, err := p.Memory(); err != nil || now < 1<<20 || peak < now {
			t.Errorf("Memory() = %d, %d, %v, want some MB and no less as the most", now, peak, err)
		}
		end := p.Stop
		if life == 1 {
			end = p.Kill
		}
		if err := end(); err != nil || p.PID() != 0 {
			t.Errorf("ended, life %d: got %v, PID %d, want nil and none", life, err, p.PID())
		}
		if err := p.Stop(); err != nil {
			t.Errorf("Stop of one that was ended: got %v, want nil", err)
		}
	}
	if got := strings.Count(p.LogTail(), "BASIS_OF_THE_TEST is  and BASIS_SET is set"); got != 3 {
		t.Errorf("the log tells of %d lives, want 3 with their own environment alone:\n%s", got, p.LogTail())
	}
}

func TestStart_NotReady(t *testing.T) {
	t.Parallel()
	for does, want := range map[string]string{"fails": "ended before it was ready", "hangs": "is not ready"} {
		t.Run(does, func(t *testing.T) {
			t.Parallel()
			p, _ := newProcess(t, does)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			inner := p.Ready
			p.Ready = func(ctx context.Context) error {
				err := inner(ctx)
				if strings.Contains(p.LogTail(), "BASIS_SET is set") {
					cancel() // it has said what it says
				}
				return err
			}
			if does == "fails" {
				p.Ready = inner
			}
			err := p.Start(ctx)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "BASIS_SET is set") {
				t.Errorf("Start of one that %s: got %v, want %q and its log", does, err, want)
			}
			if p.PID() != 0 {
				t.Errorf("Start of one that %s: it still runs", does)
			}
		})
	}
}

// Who stops a process learns that it was gone already, once.
func TestStop_EndedByItself(t *testing.T) {
	t.Parallel()
	p, url := newProcess(t, "serves")
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/end", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := (&http.Client{Timeout: time.Minute}).Do(req); err == nil {
		resp.Body.Close()
	}
	runtest.Eventually(t, "it is gone", func() bool { return p.PID() == 0 })
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("Stop of one that ended by itself: got %v, want to be told", err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("a second Stop: got %v, want nil", err)
	}
}
