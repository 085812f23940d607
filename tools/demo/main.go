// Command demo drives one citizen's whole journey through a running installation, over HTTP
// only: as a browser without JavaScript and as the EfA service's program. It believes
// nothing that it has not read back: the payment by the federal API, the mails from the
// outbox, the calendar file by parsing it. Its exit status is 0 only if every step was seen.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"basisdienste/services/basis/process"
)

type options struct {
	URL   string `help:"A running basis; without it one is started on a fresh folder." placeholder:"URL"`
	Data  string `help:"Its data folder, where demo.json is." placeholder:"DIR"`
	Basis string `help:"Program to start." default:"bin/basis"`
	Keep  bool   `help:"Keep the folder of the basis that was started."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("demo"), kong.Description("Drive a citizen's journey: log in, apply, pay, receipt, accepted, video appointment."))
	signal.Ignore(syscall.SIGPIPE) // a reader that left must not leave our server behind
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := drive(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to release
	}
}

func drive(ctx context.Context, o options) (err error) {
	if (o.URL == "") != (o.Data == "") {
		return errors.New("a running basis needs both --url and --data")
	}
	if o.URL != "" {
		return journeyOn(ctx, o)
	}
	dir, err := os.MkdirTemp("", "basis-demo-")
	if err != nil {
		return err
	}
	if !o.Keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	addr, err := process.FreeAddress(ctx)
	if err != nil {
		return err
	}
	o.URL, o.Data = "http://"+addr, filepath.Join(dir, "data")
	basis, err := process.Basis(o.Basis, addr, o.Data)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := basis.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, basis.Stop()) }()
	fmt.Printf("basis is ready after %d ms at %s\n", time.Since(began).Milliseconds(), o.URL)
	return journeyOn(ctx, o)
}

func journeyOn(ctx context.Context, o options) error {
	text, err := os.ReadFile(filepath.Join(o.Data, "demo.json"))
	if err != nil {
		return fmt.Errorf("%w; was basis started with --demo?", err)
	}
	var d description
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("demo.json: %w", err)
	}
	if err := expectReady(ctx, o.URL); err != nil {
		return err
	}
	return newJourney(d).run(ctx)
}
