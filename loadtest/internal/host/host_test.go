package host_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"basisdienste/loadtest/internal/host"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/runtest"
)

// The family's time holds that of a child under way and of one that ended.
func TestFamilyCPU(t *testing.T) {
	t.Parallel()
	const spin = `i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done`
	cmd := exec.Command("sh", "-c", `(`+spin+`); (`+spin+`; echo spun; read x) & wait`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Errorf("sh: %v", err)
		}
	})
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		t.Fatal(err)
	}
	family, err := host.FamilyCPU(cmd.Process.Pid)
	if err != nil {
		t.Fatalf("FamilyCPU: %v", err)
	}
	alone, err := host.CPU(cmd.Process.Pid)
	if err != nil {
		t.Fatalf("CPU: %v", err)
	}
	if family < alone+50*time.Millisecond {
		t.Errorf("FamilyCPU = %s, CPU of its first process = %s, want the children's loops besides", family, alone)
	}
}

func TestOwnCPU(t *testing.T) {
	t.Parallel()
	own := host.OwnCPU()
	kernel, err := host.CPU(os.Getpid())
	if err != nil || own <= 0 || (kernel-own).Abs() > time.Second {
		t.Errorf("OwnCPU = %s, CPU of ourselves = %s, %v, want the same, more or less", own, kernel, err)
	}
	p := host.ReadProcessors()
	if p.All <= 0 || p.Idle < 0 || p.Idle > p.All {
		t.Errorf("ReadProcessors = %+v, want less idle than all", p)
	}
}

// Sessions that wait for a lock, and one that holds it and waits for its client, are seen as such.
func TestWatch(t *testing.T) {
	t.Parallel()
	s := dbtest.NewServer(t)
	if err := s.Psql("-d", "basis", "-c", "CREATE ROLE basis_watch LOGIN IN ROLE pg_monitor"); err != nil {
		t.Fatal(err)
	}
	cfg := s.Config("locks")
	cfg.URL, cfg.Schema, cfg.OwnerURL, cfg.Conns = s.URL("basis_watch"), "public", "", 1
	d, err := db.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })

	open := func() *db.DB {
		t.Helper()
		cfg := s.Config("public")
		cfg.Conns = 1
		one, err := db.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = one.Close() })
		return one
	}
	holder, waiter := open(), open()
	ctx := db.System(t.Context())
	held, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 2)
	const lock = "SELECT pg_advisory_xact_lock(7)"
	go func() {
		done <- holder.Tx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, lock)
			close(held)
			<-release
			return err
		})
	}()
	<-held
	go func() {
		done <- waiter.Tx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, lock)
			return err
		})
	}()
	runtest.Eventually(t, "the second waits", func() bool {
		n, err := s.Ask("postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
		return err == nil && strings.TrimSpace(n) == "1"
	})
	stop := host.Watch(t.Context(), d, os.Getpid())
	looked := time.Now()
	runtest.Eventually(t, "some looks", func() bool { return time.Since(looked) > 400*time.Millisecond })
	w, err := stop()
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("Tx: %v", err)
		}
	}
	if err != nil || w.Looks < 2 || w.Locks != 1 || w.Statement != 1 {
		t.Errorf("Watch = %s, %v, want one session waiting for a lock and one for its client at each of some looks", w, err)
	}
	if what, n := w.Most(); what != "waits for locks" || n != 1 {
		t.Errorf("Most() = %q, %.1f, want waits for locks, 1", what, n)
	}
	if got := w.Statements(3); len(got) != 1 || !strings.Contains(got[0], "1.00 basis_app: "+lock) {
		t.Errorf("Statements = %q, want that for the lock alone", got)
	}
	used, err := host.RoleCPU(t.Context(), d)
	if _, there := used["basis_app"]; err != nil || !there {
		t.Errorf("RoleCPU = %v, %v, want basis_app among them", used, err)
	}
}
