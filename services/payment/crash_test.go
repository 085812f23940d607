package payment

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

// crashDir tells this test binary to be the process that gets killed.
const crashDir = "PAYMENT_CRASH_DIR"

// crashShop opens the service over the database file of a folder, with a desk where
// everybody has paid.
func crashShop(t *testing.T, dir string) *shop {
	t.Helper()
	d, err := db.Open(t.Context(), db.Config{URL: "sqlite:" + filepath.Join(dir, "payment.db"), Conns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := d.Migrate(t.Context(), serviceSets...); err != nil {
		t.Fatal(err)
	}
	entry := tenantdir.Entry{
		Tenant: tenant.Tenant{ID: id.ID("0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d"), Slug: "erfurt", Name: "Erfurt"}, Status: tenantdir.Active, Version: 1,
	}
	entry.Settings = deskSettings()
	s := &shop{desk: &desk{sessions: map[string]*Session{}}, ctx: tenantdir.With(t.Context(), entry)}
	dir2 := tenantdir.New(d, time.Now)
	if err := d.Tx(s.ctx, func(tx *db.Tx) error { return dir2.Apply(s.ctx, tx, entry) }); err != nil {
		t.Fatal(err)
	}
	s.Service = &Service{
		db: d, zone: time.UTC, dir: dir2, links: links{key: make([]byte, 32)}, gateways: map[string]Gateway{"desk": paidDesk{s.desk}}, cfg: DefaultConfig(),
		known: &knownSettings{}, numbers: &numbers{}, lines: &lines{}, clock: time.Now, log: slog.New(slog.DiscardHandler),
	}
	return s
}

// paidDesk is a provider where every session is paid as soon as it is there, also those of
// which a killed process never heard.
type paidDesk struct{ *desk }

func (d paidDesk) Create(ctx context.Context, c Checkout) (Session, error) {
	s, err := d.desk.Create(ctx, c)
	s.State = SessionPaid
	return s, err
}

func (d paidDesk) Get(context.Context, string) (Session, error) {
	return Session{}, fmt.Errorf("every session is settled by Create")
}

// TestCrashChild is the process that gets killed: it pays until then, and writes down what
// it has acknowledged.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Log("only as a child of TestCrash")
		return
	}
	s := crashShop(t, dir)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				tr, err := s.Create(s.ctx, order(id.New().String()))
				if err != nil {
					t.Errorf("Create: %v", err)
					return
				}
				fmt.Fprintf(os.Stdout, "created %s\n", tr.ID)
				if _, err := s.Start(s.ctx, tr.ID, "card", "de"); err != nil {
					t.Errorf("Start: %v", err)
					return
				}
				fmt.Fprintf(os.Stdout, "payed %s\n", tr.ID)
			}
		})
	}
	wg.Wait()
}

// Killed at any moment, the service has every write that it acknowledged, and what is stored
// and what is told agree.
func TestCrash(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	acknowledged := map[string]string{}
	for range 6 {
		killOnce(t, dir, 5+random.IntN(200), acknowledged)
	}
	s := crashShop(t, dir)
	s.consistent(t)
	for txID, what := range acknowledged {
		got, err := s.Get(s.ctx, id.ID(txID))
		if err != nil || (what == "payed" && got.State != Payed) {
			t.Errorf("%s was acknowledged as %s: %s, %v", txID, what, got.State, err)
		}
	}
	t.Logf("%d acknowledged", len(acknowledged))
	if len(acknowledged) == 0 {
		t.Error("nothing was acknowledged in any round")
	}
	// What was begun goes on: every attempt that is open is found by the sweep.
	if err := s.db.Tx(db.System(t.Context()), func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE attempts SET check_at = 0 WHERE state = 'open'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.count(t, `SELECT count(*) FROM attempts WHERE state = 'open'`); n != 0 {
		t.Errorf("%d attempts are open after the sweep, want none", n)
	}
	s.consistent(t)
}

// killOnce runs the child, kills it after it said so many lines, and notes what it said.
func killOnce(t *testing.T, dir string, lines int, acknowledged map[string]string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		if what, txID, ok := strings.Cut(scanner.Text(), " "); ok && (what == "created" || what == "payed") {
			acknowledged[txID] = what
			if lines--; lines == 0 {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Error("the child ended by itself, want it killed")
	}
}
