package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// settings are the variables that change what a scenario does; the command on the page shows
// those that are set.
func settings() []string {
	return []string{"RATE", "DURATION", "HOLD", "RAMP", "FLOODED", "RATIO", "AREA", "MUNICIPALITIES", "SEED", "SLOWER"}
}

// page is the page of results as Markdown. loadtest/capacity reads the lines of its second table.
func (r *run) page() []byte {
	var b bytes.Buffer
	k := r.k6
	verdict := "all thresholds kept"
	if !k.OK {
		verdict = "**a threshold was not kept**"
	}
	fmt.Fprintf(&b, "# %s on %s: %s\n\n", r.o.Scenario, r.began.UTC().Format("2006-01-02 15:04 UTC"), verdict)
	fmt.Fprintf(&b, "| | |\n| --- | --- |\n")
	m := r.machine
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
	}
	row("machine", "%s, %d cores, %.1f GB memory, Linux %s", m.Processor, m.Cores, m.Memory/1e9, m.Kernel)
	if r.server != nil && r.cores.All > 0 {
		row("its cores meanwhile", "%s", r.meanwhile())
	}
	row("commit", "%s", m.Commit)
	row("command", "`%s`", r.asked())
	row("target", "%s", r.target())
	row("warmed up", "by %s of journey", r.o.Warm)

	fmt.Fprintf(&b, "\n## What it cost\n\n| | |\n| --- | ---: |\n")
	row("iterations", "%.0f", k.Iterations)
	row("requests, redirects included", "%.0f", k.Requests)
	row("duration", "%.1f s", k.Seconds)
	row("iterations a second", "%.1f", k.Iterations/k.Seconds)
	row("requests a second", "%.1f", k.Requests/k.Seconds)
	row("checks failed", "%.0f of %.0f", k.Checks.Failed, k.Checks.Failed+k.Checks.Passed)
	row("arrivals dropped", "%.0f", k.Dropped)
	r.costs(row)
	row("bytes on the network per iteration", "%.0f", (k.Received+k.Sent)/k.Iterations)

	fmt.Fprintf(&b, "\n## Latency, as the client saw it\n\n| operation | requests | p50 ms | p95 ms | p99 ms |\n| --- | ---: | ---: | ---: | ---: |\n")
	for _, op := range k.Operations {
		fmt.Fprintf(&b, "| %s | %.0f | %.1f | %.1f | %.1f |\n", op.Op, op.Count, op.P50, op.P95, op.P99)
	}
	fmt.Fprintf(&b, "\n## Thresholds\n\n| what | rule | is | kept |\n| --- | --- | ---: | --- |\n")
	for _, t := range k.Thresholds {
		kept := "yes"
		if !t.OK {
			kept = "**no**"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %.4g | %s |\n", t.What, t.Rule, t.Value, kept)
	}
	fmt.Fprintf(&b, "\nThe server's CPU time is all that it used until it rested again: also relaying and handling events, writing\n"+
		"mails, the broker. \"Above rest\" leaves out what it uses without any request. Stored bytes\n"+
		"count the warm-up too. Other programs on the machine make latencies longer and, less, CPU time\n"+
		"dearer; a ratio within one run suffers least.\n")
	return b.Bytes()
}

// costs are the lines about the server; an installation that does not show its metrics has none.
func (r *run) costs(row func(string, string, ...any)) {
	if !r.before.known || !r.after.known {
		row("server CPU", "not measured: the target does not show its metrics")
		return
	}
	used := r.after.cpu - r.before.cpu
	above := max(used-r.idle*r.took.Seconds(), 0)
	row("server CPU, all", "%.2f s in %.1f s", used, r.took.Seconds())
	row("server CPU at rest", "%.1f ms/s", r.idle*1e3)
	row("server CPU above rest per request", "%.3f ms", above*1e3/r.k6.Requests)
	row("server CPU above rest per iteration", "%.3f ms", above*1e3/r.k6.Iterations)
	row("server memory before and after", "%.0f MB, %.0f MB", r.before.memory/1e6, r.after.memory/1e6)
	row("goroutines before and after", "%.0f, %.0f", r.before.goroutines, r.after.goroutines)
	if r.server != nil {
		row("bytes stored per iteration", "%.0f", float64(r.grown)/r.k6.Iterations)
	}
}

// meanwhile says who used the machine's cores during the load: what others took is what makes
// the figures noisy.
func (r *run) meanwhile() string {
	share := func(seconds float64) float64 { return max(seconds, 0) / r.cores.All * 100 }
	server := r.after.cpu - r.before.cpu
	others := r.cores.All - r.cores.Idle - r.cores.Stolen - server - r.k6CPU
	return fmt.Sprintf("server %.0f %%, k6 %.0f %%, other programs %.0f %%, taken by the host %.0f %%, idle %.0f %%",
		share(server), share(r.k6CPU), share(others), share(r.cores.Stolen), share(r.cores.Idle))
}

func (r *run) target() string {
	if r.server != nil {
		return "`basis` in one process, SQLite and embedded JetStream on a fresh folder, no SMTP server"
	}
	return fmt.Sprintf("%s, running before; metrics of %d processes", r.o.URL, len(r.o.Metrics))
}

func (r *run) asked() string {
	parts := []string{"make loadtest", "SCENARIO=" + r.o.Scenario}
	if r.server == nil {
		parts = append(parts, "URL="+r.o.URL, "DATA=…")
	}
	for _, name := range settings() {
		if v := os.Getenv(name); v != "" {
			parts = append(parts, name+"="+v)
		}
	}
	return strings.Join(parts, " ")
}
