package upgrade

import (
	"context"
	_ "embed" // the release before
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"basisdienste/platform/run"
	"basisdienste/tools/cluster/local"
)

//go:embed previous
var previous string

// command runs one in a folder and returns what it printed.
func command(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// build builds the programs of a checkout.
func build(t *testing.T, root, bin string) {
	t.Helper()
	command(t, root, "go", "build", "-o", bin+"/", "./services/...")
}

// TestRollingUpgrade starts a cluster of the release before, and then exchanges one instance
// after the other while requests go on: each of them is answered as it should be, and every
// payment that was made is there at the end. Then it goes back, as an operator may have to.
func TestRollingUpgrade(t *testing.T) {
	root := command(t, ".", "git", "rev-parse", "--show-toplevel")
	commit := strings.TrimSpace(previous)
	t.Logf("from %s to %s", commit, command(t, root, "git", "describe", "--always", "--dirty"))
	before, now := filepath.Join(t.TempDir(), "before"), filepath.Join(t.TempDir(), "now")
	tree := filepath.Join(t.TempDir(), "tree")
	command(t, root, "git", "worktree", "add", "--detach", tree, commit)
	t.Cleanup(func() {
		if out, err := exec.Command("git", "-C", root, "worktree", "remove", "--force", tree).CombinedOutput(); err != nil {
			t.Errorf("remove the worktree: %v\n%s", err, out)
		}
	})
	build(t, tree, before)
	build(t, root, now)

	dir, err := os.MkdirTemp("", "basis-upgrade-") // PostgreSQL's user has to get there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	var progress io.Writer = t.Output()
	c, err := local.Start(t.Context(), local.Options{Dir: dir, Root: root, Bin: before, Demo: true, Out: progress})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})

	f := newTraffic(t, readTarget(t, c.DemoFile), c.Addresses("edge"))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.run(ctx) })
	defer func() { stop(); wg.Wait() }()

	for _, to := range []struct{ name, bin string }{{"this release", now}, {"the release before", before}} {
		for _, service := range run.Services() {
			for i, p := range c.Instances(service) {
				if t.Failed() {
					t.FailNow()
				}
				c.Use(p, to.bin)
				if err := c.Exchange(t.Context(), service, i); err != nil {
					t.Fatalf("exchange %s: %v", p.Name, err)
				}
			}
			t.Logf("%s is %s", service, to.name)
		}
	}
	stop()
	wg.Wait()
	total := int64(0)
	f.sent.Range(func(kind, n any) bool {
		count := n.(*atomic.Int64).Load()
		total += count
		t.Logf("%-14s %6d requests, all answered as they should", kind, count)
		return true
	})
	if len(f.created) == 0 || total < 100 {
		t.Fatalf("%d requests, %d payments: too few to say anything", total, len(f.created))
	}
	f.look(t.Context())
	for _, made := range f.created {
		f.read(t.Context(), made)
	}
}
