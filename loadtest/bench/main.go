// Command bench measures what a request costs: it starts basis on a fresh folder, loads one
// operation after the other on keep-alive connections, and prints requests per second,
// latency and, what counts on a noisy machine, the server's CPU time per request. A bare
// net/http JSON echo in the same run shows the ceiling.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type options struct {
	Basis       string        `help:"Program to measure." default:"bin/basis" type:"path"`
	Basisctl    string        `help:"Operator's command, for --tenants." default:"bin/basisctl" type:"path"`
	Connections int           `help:"Keep-alive connections, each with one request under way." default:"32"`
	Duration    time.Duration `help:"How long each operation is loaded, after a warm-up of a fifth of it." default:"5s"`
	Only        []string      `help:"Operations to measure; all without it." placeholder:"NAME"`
	Tenants     string        `help:"Municipalities to import first, one tenant each (CSV as basisctl tenants import takes)." type:"existingfile" placeholder:"FILE"`
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
	r := report{began: time.Now(), connections: o.Connections, duration: o.Duration}
	if err := r.ceiling(ctx, o, dir); err != nil {
		return err
	}
	p, err := startBasis(ctx, o.Basis, filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	r.note("start", "%d ms to ready on a fresh folder, RSS %d MB", p.started.Milliseconds(), p.rssMB())
	if o.Tenants != "" {
		if p, err = r.importTenants(ctx, o, p); err != nil {
			return err
		}
	}
	ops, err := operations(ctx, p)
	if err != nil {
		return err
	}
	for _, op := range ops {
		if !wanted(o.Only, op.name) {
			continue
		}
		row, err := r.measure(ctx, o, p, op)
		if err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		r.add(row)
	}
	r.note("end", "RSS %d MB", p.rssMB())
	return r.finish(o.Write)
}

func wanted(only []string, name string) bool {
	if len(only) == 0 {
		return true
	}
	for _, n := range only {
		if n == name {
			return true
		}
	}
	return false
}
