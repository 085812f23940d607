package main

import (
	"bytes"
	"fmt"
	"time"
)

// page is the page of results.
func (r *result) page() []byte {
	var b bytes.Buffer
	m, seconds := r.machine, max(r.took.Seconds(), 0.001)
	verdict := "budget kept"
	if !r.kept() {
		verdict = "**budget not kept**"
	}
	millis := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }
	fmt.Fprintf(&b, "# Latency of events on a cluster, %s: %s\n\n", r.began.UTC().Format("2006-01-02 15:04 UTC"), verdict)
	fmt.Fprintf(&b, "| | |\n| --- | --- |\n")
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
	}
	row("machine", "%s, %d cores, %.1f GB memory, Linux %s; everything on it, the load's driver too", m.Processor, m.Cores, m.Memory/1e9, m.Kernel)
	row("commit", "%s", m.Commit)
	row("command", "`make latency LATENCYFLAGS=\"--rate %g --duration %s --seed %d\"`", r.o.Rate, r.o.Duration, r.o.Seed)
	row("cluster", "fresh: PostgreSQL, 3 NATS nodes (replicas 3), Consul, %d of each service, %[1]d edges", r.o.Instances)
	row("load", "%.0f steps a second (requests; %.0f more followed redirects), begun as %.1f errands a second whether or not answers came: payments over XBezahldienste 2, applications 4, messages 3, appointments 1 of 10, all in one tenant", float64(r.steps)/seconds, float64(r.redirects)/seconds, float64(r.errands)/seconds)
	row("errands that failed", "%d", len(r.trouble))
	row("limited by", "%s", r.limit)

	fmt.Fprintf(&b, "\n## Commit of a payment to the form's moving on\n\nFrom the database: the time of the payment's `payed` to that of its application's `paid`.\n\n")
	fmt.Fprintf(&b, "| | p50 ms | p95 ms | p99 ms | most ms | payments | not moved on |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	fmt.Fprintf(&b, "| measured | %s | %s | %s | %s | %d | %d |\n", millis(r.paid.p50), millis(r.paid.p95), millis(r.paid.p99), millis(r.paid.most), r.paid.n, r.unmoved)
	fmt.Fprintf(&b, "| budget at 200 steps a second on two cores | %s | | %s | | | 0 |\n", millis(budgetP50), millis(budgetP99))

	fmt.Fprintf(&b, "\n## Age of events when they were handled\n\nFrom `event_age_seconds` of all instances: commit to the end of the handling, between the histogram's bounds evenly spread.\n\n")
	fmt.Fprintf(&b, "| consumer | events | p50 ms | p99 ms |\n| --- | ---: | ---: | ---: |\n")
	for _, c := range r.consumers {
		fmt.Fprintf(&b, "| %s | %d | %.1f | %.1f |\n", c.name, c.n, 1000*c.p50, 1000*c.p99)
	}

	fmt.Fprintf(&b, "\n## Who used the cores\n\nPostgreSQL is its first process and all its children. The driver stands for citizens, browsers and programs, and shares the cores.\n\n")
	fmt.Fprintf(&b, "| program | of all cores | CPU ms a step |\n| --- | ---: | ---: |\n")
	for _, s := range r.shares {
		fmt.Fprintf(&b, "| %s | %.1f %% | %.3f |\n", s.name, 100*s.part, float64(s.cpu.Microseconds())/1000/float64(max(r.steps, 1)))
	}
	fmt.Fprintf(&b, "| idle | %.1f %% | |\n", 100*r.cores.Idle/max(r.cores.All, 0.01))
	fmt.Fprintf(&b, "\nWithin PostgreSQL, of sessions that lasted:\n\n| role or process | of all cores | CPU ms a step |\n| --- | ---: | ---: |\n")
	for _, s := range r.roles {
		fmt.Fprintf(&b, "| %s | %.1f %% | %.3f |\n", s.name, 100*s.part, float64(s.cpu.Microseconds())/1000/float64(max(r.steps, 1)))
	}
	fmt.Fprintf(&b, "\nStatements that were under way most often, with the mean number of sessions (COMMIT waits for the disk):\n\n")
	for _, s := range r.statements {
		fmt.Fprintf(&b, "- `%s`\n", s)
	}
	if len(r.trouble) > 0 {
		fmt.Fprintf(&b, "\n## Errands that failed\n\n")
		for _, t := range r.trouble[:min(len(r.trouble), 10)] {
			fmt.Fprintf(&b, "- %.300s\n", t)
		}
	}
	return b.Bytes()
}
