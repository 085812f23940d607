package faults_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// line is what came of one fault.
type line struct {
	fault         fault
	seen          seen
	note          string
	recovered     time.Duration
	lost, doubled int
}

type report struct {
	seed   uint64
	root   string
	commit string
	lines  []line
}

// newReport notes what is tested, before it can change.
func newReport(ctx context.Context, root string, seed uint64) *report {
	r := &report{seed: seed, root: root, commit: "commit unknown"}
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil {
		r.commit = "commit " + strings.TrimSpace(string(out))
	}
	if os.Getenv(programsVariable) != "" {
		r.commit += " with programs built before"
	}
	return r
}

func (r *report) add(l line) { r.lines = append(r.lines, l) }

// table is the lines in Markdown.
func (r *report) table() string {
	var b strings.Builder
	b.WriteString("| fault | clients saw | recovered after | lost | doubled |\n| --- | --- | --- | ---: | ---: |\n")
	for _, l := range r.lines {
		recovered := "not noticed"
		if l.recovered > 0 {
			recovered = fmt.Sprintf("%.1f s", l.recovered.Seconds())
		}
		name := l.fault.name
		if l.note != "" {
			name += "; " + l.note
		}
		fmt.Fprintf(&b, "| %s | %s | %s (limit %.0f s) | %d | %d |\n", name, l.seen, recovered, l.fault.limit.Seconds(), l.lost, l.doubled)
	}
	return b.String()
}

const intro = `# Faults

Written by ` + "`make test-faults`" + `, from the run itself; see tools/cluster/faults.

A whole installation runs as processes of one machine: PostgreSQL, three NATS nodes, Consul, two of each service, two
edges. Clients begin %d operations a second, whatever becomes of them: payments through XBezahldienste and the pay page,
applications with and without a fee, messages, appointments, tokens; a clerk accepts applications. They repeat what was
refused or not answered, with the same key. After each fault every operation comes to its end, and then it is counted
through the APIs and in the tables: each acknowledged payment, application, mail and appointment is there, once; each
event has arrived, once.

- **clients saw**: requests that were answered, that were refused clearly (429 or 503 with a problem or a page that says
  so), and that ended unclearly (connection lost, another 5xx, time-out)
- **recovered after**: from the beginning of the fault, its whole duration included, until every kind of request that
  had failed was answered again
- **lost**, **doubled**: what was acknowledged and is not there or has not moved on; what is there twice, or happened
  without being asked for

`

// write makes docs/faults.md.
func (r *report) write() error {
	text := fmt.Sprintf(intro, rate) + r.table() +
		fmt.Sprintf("\n%s, %s, FAULTS_SEED=%d; %s.\n", time.Now().UTC().Format(time.DateOnly), r.commit, r.seed, machine())
	return os.WriteFile(filepath.Join(r.root, "docs", "faults.md"), []byte(text), 0o644)
}

// machine says what it ran on.
func machine() string {
	model, load := runtime.GOARCH, ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 2 {
			load = ", load average at the end " + strings.Join(fields[:3], " ")
		}
	}
	return fmt.Sprintf("%d cores (%s)%s", runtime.NumCPU(), model, load)
}
