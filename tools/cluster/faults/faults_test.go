// Package faults breaks what a whole installation depends on, one thing after the other, while
// clients are at work, and counts afterwards from the outside: nothing that was acknowledged is
// lost, nothing happened twice, and all is well again without a hand within a stated time. It
// writes docs/faults.md.
package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/services/basis/clients"
	"basisdienste/tools/cluster/local"
)

// fault is one line of the table.
type fault struct {
	name  string
	limit time.Duration // of the recovery
	// unclear is how many requests may end without a clear answer.
	unclear int
	long    bool // left out of a short run
	// inject breaks something, waits, and mends what is not mended without a hand in real life:
	// a machine comes back, a cable is plugged in. Operations go on meanwhile.
	inject func(ctx context.Context, r *rig) (note string, err error)
}

// rig is the cluster under load.
type rig struct {
	cluster *local.Cluster
	links   *links
	watch   *watcher
	load    *clients.Load
	traffic *traffic
	rng     *rand.Rand
	tables  map[string]*db.DB
	root    string
	known   clients.Differences // that an earlier fault has left
	backlog int                 // events
}

const (
	quiet = 2 * time.Second // of undisturbed traffic before each fault
	after = 3 * time.Second // of traffic after each fault
	// settle is how long operations may take to end after a fault, and events to arrive, on a
	// machine that has other things to do.
	settle = 90 * time.Second
)

// programsVariable names a folder with the services' programs, built before.
const programsVariable = "FAULTS_PROGRAMS"

// TestFaults runs every fault on one cluster. FAULTS_SEED repeats the choices of a run;
// FAULTS=short leaves out what takes long, and writes no table.
func TestFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FAULTS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("FAULTS_SEED: %v", err)
		}
	}
	t.Logf("FAULTS_SEED=%d", seed)
	rep := newReport(t.Context(), moduleRoot(t), seed)
	r := newRig(t, rand.New(rand.NewPCG(seed, 1)))

	list := faults()
	short := os.Getenv("FAULTS") == "short"
	if short {
		list = slices.DeleteFunc(list, func(f fault) bool { return f.long })
		r.backlog = backlogSize / 20
	}
	for _, f := range list {
		t.Run(f.name, func(t *testing.T) { rep.add(r.run(t, f)) })
	}
	t.Run("backlog counted", func(t *testing.T) { r.backlogCounted(t, rep) })
	t.Run("counting", func(t *testing.T) { r.countingCanFail(t) })
	t.Log("\n" + rep.table())
	if len(rep.lines) == len(list) && !short && !t.Failed() {
		if err := rep.write(); err != nil {
			t.Error(err)
		}
	}
}

// run is one fault under load, and the counting afterwards.
func (r *rig) run(t *testing.T, f fault) line {
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	r.watch.take()
	r.traffic.start()
	pass(ctx, quiet)
	r.watch.take()
	began := time.Now()
	note, err := f.inject(ctx, r)
	if err != nil {
		t.Errorf("inject: %v", err)
	}
	injected := time.Since(began)
	pass(ctx, after)
	if err := r.traffic.finish(settle); err != nil {
		t.Error(err)
	}
	finished := time.Since(began)
	d, err := r.settled(ctx, settle)
	if err != nil {
		t.Errorf("count: %v", err)
	}
	settled := time.Since(began)
	if err := r.load.ReadBack(ctx); err != nil {
		t.Errorf("read back: %v", err)
	}
	s := r.watch.take()
	l := line{fault: f, seen: s, note: note, lost: d.Lost - r.known.Lost, doubled: d.Doubled - r.known.Doubled}
	if !s.healed.IsZero() {
		l.recovered = max(0, s.healed.Sub(began))
	}
	t.Logf("injected for %s, operations ended after %s, counted after %s; clients saw %s; recovered after %s; %s",
		injected.Round(time.Millisecond), finished.Round(time.Millisecond), settled.Round(time.Millisecond), s, l.recovered.Round(time.Millisecond), note)
	if l.lost > 0 || l.doubled > 0 {
		t.Error(d.Err())
	}
	r.known = d
	if len(s.sick) > 0 || l.recovered > f.limit {
		t.Errorf("recovered after %s (never: %v), want within %s", l.recovered, s.sick, f.limit)
	}
	if s.unclear > f.unclear {
		t.Errorf("%d requests without a clear answer, want %d at most: %v", s.unclear, f.unclear, s.examples)
	}
	r.load.Ledger.Note(func() {
		for _, trouble := range r.load.Ledger.Trouble {
			t.Errorf("a client: %s", trouble)
		}
		r.load.Ledger.Trouble = nil
	})
	if t.Failed() {
		r.showLogs(t)
	}
	return l
}

// settled counts until there is no difference, or time is up.
func (r *rig) settled(ctx context.Context, within time.Duration) (clients.Differences, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var d clients.Differences
	var err error
	await(ctx, func(ctx context.Context) bool {
		next, failed := r.load.Count(ctx)
		if ctx.Err() == nil {
			d, err = next, failed
		}
		return failed == nil && next.Lost <= r.known.Lost && next.Doubled <= r.known.Doubled
	})
	return d, err
}

// pass lets traffic go on for a while.
func pass(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// await tries until f is true or ctx ends, and reports which.
func await(ctx context.Context, f func(context.Context) bool) bool {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !f(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func newRig(t *testing.T, rng *rand.Rand) *rig {
	root := moduleRoot(t)
	dir, err := os.MkdirTemp("", "faults-") // not t.TempDir: PostgreSQL's user has to get in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs are kept in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	r := &rig{root: root, rng: rng, backlog: backlogSize, links: newLinks(), tables: map[string]*db.DB{}}
	t.Cleanup(r.links.close)
	began := time.Now()
	r.cluster, err = local.Start(t.Context(), local.Options{Dir: dir, Root: root, Bin: programs(t, root), Demo: true, Reach: r.links.reach, Out: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.cluster.Stop(); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	})
	t.Logf("the cluster is ready after %s", time.Since(began).Round(time.Millisecond))
	d, err := clients.ReadDemo(r.cluster.DemoFile)
	if err != nil {
		t.Fatal(err)
	}
	r.watch = newWatcher(r.cluster.Addresses("edge"), rand.New(rand.NewPCG(rng.Uint64(), 2)))
	site := &clients.Site{URL: r.cluster.URL, HTTP: &http.Client{Timeout: 40 * time.Second, Transport: r.watch}}
	if r.load, err = clients.NewLoad(t.Context(), site, d, time.Now); err != nil {
		t.Fatal(err)
	}
	r.load.Tables = func(ctx context.Context, service string, read func(*db.DB) error) error {
		if r.tables[service] == nil {
			d, err := db.Open(ctx, db.Config{URL: r.cluster.DatabaseURL(service), Schema: service, Conns: 2})
			if err != nil {
				return err
			}
			r.tables[service] = d
		}
		return read(r.tables[service])
	}
	t.Cleanup(func() {
		for _, d := range r.tables {
			_ = d.Close() // it was read only
		}
	})
	r.traffic = newTraffic(t.Context(), r.load, rand.New(rand.NewPCG(rng.Uint64(), 3)))
	return r
}

func moduleRoot(t *testing.T) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// programs builds the services' programs into a folder of the test.
func programs(t *testing.T, root string) string {
	if dir := os.Getenv(programsVariable); dir != "" {
		return dir
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "./services/...")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// showLogs tells what the processes complained of.
func (r *rig) showLogs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(r.cluster.DemoFile), "*", "*.log"))
	if err != nil {
		t.Error(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // another user's
		}
		var told []string
		for text := range strings.Lines(string(text)) {
			if strings.Contains(text, "WARN") || strings.Contains(text, "ERROR") || strings.Contains(text, "panic") {
				told = append(told, text)
			}
		}
		if len(told) > 0 {
			t.Logf("%s ends with\n%s", filepath.Base(file), strings.Join(told[max(0, len(told)-8):], ""))
		}
	}
}

func (s seen) String() string {
	text := fmt.Sprintf("%d answered", s.answered)
	if s.refused > 0 {
		text += fmt.Sprintf(", %d refused", s.refused)
	}
	if s.unclear > 0 {
		text += fmt.Sprintf(", %d unclear", s.unclear)
	}
	return text
}

// killAndRestart ends processes as a power cut does and starts them again, side by side.
func killAndRestart(ctx context.Context, processes ...*local.Process) error {
	errs := make([]error, 0, 2*len(processes))
	for _, p := range processes {
		errs = append(errs, p.Kill())
	}
	for _, p := range processes {
		errs = append(errs, p.Start(ctx))
	}
	return errors.Join(errs...)
}
