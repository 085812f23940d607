// Package restore holds tests alone: real processes are backed up, lost and brought back.
package restore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/services/basis/clients"
	"basisdienste/services/basis/process"
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
	*process.Process // the one that was started last
	addr, dir        string
	env              []string
}

var client = &http.Client{Timeout: time.Minute}

func newServer(t *testing.T, env ...string) *server {
	t.Helper()
	addr, err := process.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &server{addr: addr, dir: filepath.Join(t.TempDir(), "data"), env: env}
}

func (s *server) site() *clients.Site { return &clients.Site{URL: "http://" + s.addr, HTTP: client} }

// start starts the process and returns when it is ready. What runs in the end is killed.
func (s *server) start(t *testing.T) {
	t.Helper()
	p, err := process.Basis(programs.Path(t, "basis"), s.addr, s.dir, append(process.Unlimited(), s.env...)...)
	if err == nil {
		err = p.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Process = p
	t.Cleanup(func() { _ = p.Kill() })
}

func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
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
