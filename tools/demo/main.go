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
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
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
	if o.URL == "" {
		dir, err := os.MkdirTemp("", "basis-demo-")
		if err != nil {
			return err
		}
		stop, url, err := start(ctx, o.Basis, dir)
		if err != nil {
			return err
		}
		o.URL, o.Data = url, dir
		defer func() {
			err = errors.Join(err, stop())
			if !o.Keep {
				err = errors.Join(err, os.RemoveAll(dir))
			}
		}()
		return journeyOn(ctx, o)
	}
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

// start runs basis on the folder and returns how to stop it.
func start(ctx context.Context, program, dir string) (stop func() error, url string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, "", err
	}
	logFile, err := os.Create(filepath.Join(dir, "basis.log"))
	if err != nil {
		return nil, "", err
	}
	cmd := exec.Command(program, "--data", dir, "--listen", addr, "--demo") //nolint:noctx // ended by stop, after draining
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		return nil, "", errors.Join(err, logFile.Close())
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	stop = func() error {
		defer func() { _ = logFile.Close() }() // it was written by another process
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		select {
		case err := <-exited:
			return err
		case <-time.After(15 * time.Second):
			return errors.Join(errors.New("basis did not stop within 15 s"), cmd.Process.Kill())
		}
	}
	began, tick := time.Now(), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for expectReady(ctx, "http://"+addr) != nil {
		select {
		case <-tick.C:
		case err := <-exited:
			text, _ := os.ReadFile(logFile.Name()) // shown if it can be read
			return nil, "", fmt.Errorf("basis ended at once: %w\n%s", err, text)
		}
		if time.Since(began) > time.Minute || ctx.Err() != nil {
			return nil, "", errors.Join(errors.New("basis was not ready within a minute; see "+logFile.Name()), stop())
		}
	}
	fmt.Printf("basis is ready after %d ms at http://%s\n", time.Since(began).Milliseconds(), addr)
	return stop, "http://" + addr, nil
}
