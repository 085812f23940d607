// Command latency measures how long events take on a cluster: it starts a fresh one of this
// machine's processes (PostgreSQL, three NATS nodes, Consul, two of each service and edge),
// drives citizens and programs on it at a steady rate, and reads from the database how long it
// took from the commit of a payment until the form had moved on, and from the services' metrics
// how old events were when each consumer had handled them. It says who used the cores meanwhile,
// itself included, and writes a page of results.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"basisdienste/loadtest/internal/host"
	"basisdienste/tools/cluster/local"
)

type options struct {
	Rate      float64       `help:"Steps a second: requests of citizens and programs, redirects not counted." default:"200"`
	Duration  time.Duration `help:"How long it is measured." default:"2m"`
	Warm      time.Duration `help:"How long it is driven before, to learn how many steps an errand has." default:"20s"`
	Seed      uint64        `help:"Of errands and moments." default:"1"`
	Instances int           `help:"Of each service." default:"2"`
	Root      string        `help:"The checkout." default:"." placeholder:"DIR"`
	Bin       string        `help:"Folder of the services' programs. Default: bin in the checkout." placeholder:"DIR"`
	Write     string        `help:"The page of results; empty: none." default:"loadtest/results/latency.md" placeholder:"FILE"`
}

// errBroken says that the run went well and a budget was not kept.
var errBroken = errors.New("a budget was not kept")

const brokenExit = 99 // as k6 and measure

func main() {
	var o options
	kong.Parse(&o, kong.Name("latency"), kong.Description("Measure the latency of events on a fresh cluster under load."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := latencies(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		if errors.Is(err, errBroken) {
			os.Exit(brokenExit) //nolint:gocritic // nothing is left to release
		}
		os.Exit(1)
	}
}

func latencies(ctx context.Context, o options) (err error) {
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "basis-latency-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := local.Start(ctx, local.Options{Dir: dir, Root: root, Bin: o.Bin, Instances: o.Instances, Demo: true, Out: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	r, err := measure(ctx, o, c)
	if err != nil {
		return err
	}
	page := r.page()
	fmt.Printf("\n%s", page)
	if o.Write != "" {
		if err := os.WriteFile(o.Write, page, 0o644); err != nil {
			return err
		}
	}
	if !r.kept() {
		return errBroken
	}
	return nil
}

// result is what was seen in one run.
type result struct {
	o       options
	began   time.Time
	machine host.Machine
	took    time.Duration

	steps, redirects, errands int64
	trouble                   []string
	paid                      latency // commit of a payment to the form's moving on, in the database
	unmoved                   int     // paid, and the form had not moved on at the end
	consumers                 []consumer
	shares, roles             []share // of programs, and within PostgreSQL
	statements                []string
	cores                     host.Processors
	limit                     string
}

// The budget, at 200 steps a second on two cores.
const (
	budgetP50 = 20 * time.Millisecond
	budgetP99 = 150 * time.Millisecond
)

func (r *result) kept() bool {
	return r.paid.n > 0 && r.unmoved == 0 && len(r.trouble) == 0 && r.paid.p50 <= budgetP50 && r.paid.p99 <= budgetP99
}

func measure(ctx context.Context, o options, c *local.Cluster) (r *result, err error) {
	t, err := newTraffic(ctx, c, o.Seed)
	if err != nil {
		return nil, err
	}
	const perErrand = 4 // steps, until it is known
	if err := t.drive(ctx, o.Rate/perErrand, o.Warm); err != nil {
		return nil, err
	}
	per := t.perErrand()
	fmt.Printf("warmed up: %.2f steps an errand\n", per)
	r = &result{o: o, began: time.Now(), machine: host.This()}
	programs, err := readPrograms(c)
	if err != nil {
		return nil, err
	}
	ages, err := readAges(ctx, c)
	if err != nil {
		return nil, err
	}
	sessions, err := observe(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sessions.Close()) }()
	roles, err := host.RoleCPU(ctx, sessions)
	if err != nil {
		return nil, err
	}
	watched := host.Watch(ctx, sessions, 0)
	steps, redirects, errands, cores := t.steps.Load(), t.redirects.Load(), t.errands, host.ReadProcessors()
	if err := t.drive(ctx, o.Rate/per, o.Duration); err != nil {
		return nil, errors.Join(err, errors.New(strings.Join(t.trouble(), "; ")))
	}
	r.took = time.Since(r.began)
	r.cores = host.ReadProcessors().Since(cores)
	r.steps, r.redirects, r.errands, r.trouble = t.steps.Load()-steps, t.redirects.Load()-redirects, t.errands-errands, t.trouble()
	waits, err := watched()
	if err != nil {
		return nil, err
	}
	after, err := readPrograms(c)
	if err != nil {
		return nil, err
	}
	rolesNow, err := host.RoleCPU(ctx, sessions)
	if err != nil {
		return nil, err
	}
	r.shares, r.roles = after.since(programs, r.cores), sharesOf(rolesNow, roles, r.cores)
	r.limit, r.statements = limit(r.shares, r.cores, waits), waits.Statements(15)
	if r.paid, r.unmoved, err = formLatency(ctx, c, r.began); err != nil {
		return nil, err
	}
	now, err := readAges(ctx, c)
	if err != nil {
		return nil, err
	}
	r.consumers = now.since(ages)
	return r, nil
}
