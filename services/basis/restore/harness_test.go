// Package restore holds tests alone: real processes are backed up, lost and brought back.
package restore

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
	"sync"
	"syscall"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/services/basis/clients"
)

// programs is shared by the tests of this binary: they are built once.
var programs = clients.Programs{Packages: []string{"basisdienste/services/basis", "basisdienste/tools/basisctl"}}

func TestMain(m *testing.M) {
	code := m.Run()
	programs.Remove()
	os.Exit(code)
}

// server is basis on one address, with one data folder after the other.
type server struct {
	addr, dir string
	env       []string
	cmd       *exec.Cmd
	exited    chan error
	log       *os.File
}

var client = &http.Client{Timeout: time.Minute}

func newServer(t *testing.T, env ...string) *server {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log-")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: freeAddress(t), dir: filepath.Join(t.TempDir(), "data"), env: env, log: log}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill(t)
		}
		log.Close()
	})
	return s
}

// freeAddress finds a port that the system gives to nobody by itself.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000)))
		if err == nil {
			addr := l.Addr().String()
			l.Close()
			return addr
		}
	}
	t.Fatal("no port is free between 15000 and 30000")
	return ""
}

func (s *server) site() *clients.Site { return &clients.Site{URL: "http://" + s.addr, HTTP: client} }

// start starts the process and returns when it is ready.
func (s *server) start(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	s.cmd = exec.Command(programs.Path(t, "basis"), "--data", s.dir, "--listen", s.addr, "--demo")
	s.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "BASIS_") })
	s.cmd.Env = append(s.cmd.Env, "BASIS_SERVER__LOG__ACCESS=false", "BASIS_SERVER__REQUESTS_PER_MINUTE_AND_ADDRESS=100000000",
		"BASIS_EDGE__REQUESTS_PER_MINUTE_AND_TENANT=100000000", "BASIS_EDGE__BURST=10000000", "BASIS_BOOKING__HOLDS_PER_MINUTE_AND_ADDRESS=100000")
	s.cmd.Env = append(s.cmd.Env, s.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan error) { exited <- cmd.Wait() }(s.cmd, s.exited)
	eventually(t, time.Minute, "basis is ready", func() error {
		select {
		case err := <-s.exited:
			s.exited <- err
			t.Fatalf("basis ended by itself: %v\n%s", err, s.logTail(t))
		default:
		}
		status, _, err := s.site().Do(t.Context(), http.MethodGet, "/readyz", "", "", nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("readyz is %d", status)
		}
		return err
	})
	return time.Since(began)
}

// kill ends the process as a power cut does.
func (s *server) kill(t *testing.T) { s.end(t, syscall.SIGKILL) }

// stop asks the process to end.
func (s *server) stop(t *testing.T) { s.end(t, syscall.SIGTERM) }

func (s *server) end(t *testing.T, by syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(by); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	err := <-s.exited
	s.cmd = nil
	if err != nil && by == syscall.SIGTERM {
		t.Errorf("basis after SIGTERM: %v\n%s", err, s.logTail(t))
	}
}

func (s *server) logTail(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	const most = 6000
	return string(text[max(0, len(text)-most):])
}

// tables opens a service's database beside the process, for reading.
func (s *server) tables(ctx context.Context, service string, read func(*db.DB) error) (err error) {
	d, err := db.Open(ctx, db.Config{URL: "sqlite:" + filepath.Join(s.dir, service+".db"), Schema: service, Conns: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return read(d)
}

// tabled has services with tables.
type tabled interface {
	tables(ctx context.Context, service string, read func(*db.DB) error) error
}

// rows reads from a service's database for all tenants.
func rows[T any](t *testing.T, s tabled, service, sql string) (out []T) {
	t.Helper()
	ctx := db.System(t.Context())
	err := s.tables(ctx, service, func(d *db.DB) error {
		return d.Read(ctx, func(tx *db.Tx) error { return tx.Select(ctx, &out, sql) })
	})
	if err != nil {
		t.Fatalf("%s: %v", service, err)
	}
	return out
}

// basisctl runs the operator's command and returns what it said.
func basisctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), programs.Path(t, "basisctl"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("basisctl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// eventually tries until f returns nil, and fails the test after the time.
func eventually(t *testing.T, within time.Duration, what string, f func() error) {
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

// people are clients at work.
type people struct {
	*clients.Load
	stop      chan struct{}
	submitted chan string
	workers   sync.WaitGroup
	desk      sync.WaitGroup
	cancel    context.CancelFunc
}

// newPeople returns clients who do nothing yet; name keeps their keys apart from others'.
func newPeople(t *testing.T, s *server) *people {
	t.Helper()
	d, err := clients.ReadDemo(filepath.Join(s.dir, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := clients.NewLoad(t.Context(), s.site(), d, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l.Tables = s.tables
	p := &people{Load: l, stop: make(chan struct{}), submitted: make(chan string, 100_000)}
	p.Submitted = func(_ context.Context, id string) { p.submitted <- id }
	return p
}

// work lets the clients repeat their operations, most times each (0: until stop is closed).
func (p *people) work(t *testing.T, name string, most int) {
	ctx, cancel := context.WithCancel(t.Context())
	p.cancel = cancel
	t.Cleanup(func() {
		cancel()
		p.workers.Wait()
	})
	for who, operation := range map[string]func(context.Context, int) error{
		"payer": p.Payer(name + "-payer"), "applicant": p.Applicant(name + "-applicant"), "applicant2": p.Applicant(name + "-applicant2"),
		"booker": p.Booker(name + "-booker"), "notifier": func(ctx context.Context, n int) error { return p.notify(ctx, name, n) },
	} {
		p.workers.Go(func() {
			for n := 0; most == 0 || n < most; n++ {
				select {
				case <-p.stop:
					return
				default:
				}
				if err := operation(ctx, n); err != nil {
					if ctx.Err() != nil {
						return
					}
					p.Ledger.Note(func() { p.Ledger.Trouble = append(p.Ledger.Trouble, who+": "+err.Error()) })
				}
			}
		})
	}
	p.desk.Go(func() {
		clerk := p.NewClerk()
		for id := range p.submitted {
			if ctx.Err() != nil {
				return
			}
			clerk.Accept(ctx, id)
		}
	})
}

// notify is clients.Load.Notifier with references of this name.
func (p *people) notify(ctx context.Context, name string, n int) error {
	reference := fmt.Sprintf("%s-message-%d", name, n)
	body := map[string]any{
		"template": "test-message", "language": "de", "channel": "email", "to": map[string]string{"email": reference + "@example.org"},
		"personalisation": map[string]string{"name": "Kim"}, "reference": reference,
	}
	var sent struct {
		ID string `json:"id"`
	}
	if _, err := p.Request(ctx, http.MethodPost, "/t/erfurt/notify/v1/messages", reference, body, &sent); err != nil {
		return err
	}
	p.Ledger.Note(func() { p.Ledger.Messages[reference] = sent.ID })
	return nil
}

// finish lets everybody bring their operation to an end.
func (p *people) finish(t *testing.T) {
	t.Helper()
	late := time.AfterFunc(90*time.Second, p.cancel)
	defer late.Stop()
	p.workers.Wait()
	close(p.submitted)
	p.desk.Wait()
	p.Ledger.Note(func() {
		for _, trouble := range p.Ledger.Trouble {
			t.Errorf("a client: %s", trouble)
		}
	})
}

// settled is nil when the services hold what the clients were told, once, and nothing waits.
func (p *people) settled(t *testing.T) error {
	d, err := p.Count(t.Context())
	return errors.Join(err, d.Err())
}

// known is a copy of what was acknowledged up to now.
func (p *people) known() *clients.Ledger {
	k := clients.NewLedger()
	p.Ledger.Note(func() {
		for key, v := range p.Ledger.Payments {
			c := *v
			k.Payments[key] = &c
		}
		for key, v := range p.Ledger.Applications {
			c := *v
			k.Applications[key] = &c
		}
		for key, v := range p.Ledger.Messages {
			k.Messages[key] = v
		}
		for key, v := range p.Ledger.Appointments {
			c := *v
			k.Appointments[key] = &c
		}
	})
	return k
}
