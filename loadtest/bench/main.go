// Command bench measures what a request costs: it starts basis on a fresh folder, loads one
// operation after the other on keep-alive connections, and prints requests per second,
// latency and, what counts on a noisy machine, the server's CPU time per request, and what
// limited it. A bare net/http JSON echo in the same run shows the ceiling. It compares, too:
// SQLite with PostgreSQL, and an installation of a few tenants with one of all municipalities.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type options struct {
	Basis       string        `help:"Program to measure." default:"bin/basis" type:"path"`
	Basisctl    string        `help:"Operator's command, for --tenants." default:"bin/basisctl" type:"path"`
	Database    string        `help:"What basis keeps its tables in: sqlite, postgres (a throw-away server is started) or both, in turn." enum:"sqlite,postgres,both" default:"sqlite"`
	Connections int           `help:"Keep-alive connections, each with one request under way." default:"32"`
	Rate        float64       `help:"Requests a second, made whether or not the answers keep up; latency counts from when each was due. 0: as many as the connections can." default:"0"`
	Duration    time.Duration `help:"How long each operation is loaded, after a warm-up of a fifth of it." default:"5s"`
	Rounds      int           `help:"How often everything is measured in turn; the figures are the medians." default:"1"`
	Only        []string      `help:"Operations to measure; all without it." placeholder:"NAME"`
	Tenants     string        `help:"Measure a second installation in turn, with a tenant for each of these municipalities (CSV as basisctl tenants import takes, or loadtest/k6/data/population.csv)." type:"existingfile" placeholder:"FILE"`
	Profile     string        `help:"Folder for a CPU profile of each operation." placeholder:"DIR"`
	Write       string        `help:"Write the table as Markdown to this file too." placeholder:"FILE"`
	Echo        bool          `hidden:"" help:"Be the echo server that is the ceiling."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("bench"), kong.Description("Measure requests per second and server CPU per request of basis, on this machine."))
	signal.Ignore(syscall.SIGPIPE) // a reader that left must not leave our server behind
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if o.Echo {
		err = serveEcho(ctx)
	} else {
		err = bench(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to release
	}
}

func bench(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "basis-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := report{began: time.Now(), connections: o.Connections, rate: o.Rate, duration: o.Duration, rounds: max(o.Rounds, 1)}
	if err := r.ceiling(ctx, o, dir); err != nil {
		return err
	}
	targets, err := r.open(ctx, o, dir)
	defer func() {
		for _, t := range targets {
			err = errors.Join(err, t.stop())
		}
	}()
	if err != nil {
		return err
	}
	for i, op := range targets[0].operations {
		if len(o.Only) > 0 && !slices.Contains(o.Only, op.name) {
			continue
		}
		rows := make([][]row, len(targets))
		for range r.rounds {
			for n, t := range targets {
				x, err := r.measure(ctx, o, t, t.operations[i])
				if err != nil {
					return fmt.Errorf("%s, %s: %w", op.name, t.name, err)
				}
				rows[n] = append(rows[n], x)
			}
		}
		for n := range targets {
			r.add(median(rows[n]))
		}
	}
	for _, t := range targets {
		r.note("end", "%s: RSS %d MB", t.name, t.p.rssMB())
	}
	return r.finish(o.Write)
}
