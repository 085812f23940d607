package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// control asks the server about itself; the load has its own clients.
var control = &http.Client{Timeout: 30 * time.Second}

// server is an installation that was started for this run.
type server struct {
	cmd    *exec.Cmd
	exited chan error
	ended  bool
}

// freshBasis makes an installation with demo content in the options' data folder, stops it, so
// that all it has is in its tables, and starts it again for the load. It sets the options' URL
// and returns how many bytes the folder had in between.
func freshBasis(ctx context.Context, o *options, dir string) (*server, int64, error) {
	s, err := startBasis(ctx, o, dir)
	if err != nil {
		return nil, 0, err
	}
	if o.Municipalities != "" {
		if err := o.importAll(ctx); err != nil {
			return nil, 0, errors.Join(err, s.stop())
		}
		if err := settle(ctx, []string{o.URL + "/metrics"}); err != nil {
			return nil, 0, errors.Join(err, s.stop())
		}
	}
	if err := s.stop(); err != nil {
		return nil, 0, err
	}
	bytes, err := size(o.Data)
	if err != nil {
		return nil, 0, err
	}
	s, err = startBasis(ctx, o, dir)
	return s, bytes, err
}

// startBasis starts basis without limits for one address and one tenant (all load comes from
// here), and waits until it is ready.
func startBasis(ctx context.Context, o *options, dir string) (*server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "basis.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()                                         // the process has its own
	cmd := exec.Command(o.Basis, "--data", o.Data, "--listen", addr, "--demo") //nolint:noctx // ended by stop, after draining
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(),
		"BASIS_SERVER__REQUESTS_PER_MINUTE_AND_ADDRESS=100000000", "BASIS_SERVER__LOG__ACCESS=false",
		"BASIS_EDGE__REQUESTS_PER_MINUTE_AND_TENANT=100000000", "BASIS_EDGE__BURST=10000000",
		"BASIS_BOOKING__HOLDS_PER_MINUTE_AND_ADDRESS=10000000")
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, exited: make(chan error, 1)}
	go func() { s.exited <- cmd.Wait() }()
	o.URL = "http://" + addr
	if err := s.ready(ctx, o.URL); err != nil {
		text, _ := os.ReadFile(log.Name()) // shown if it can be read
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, text), s.stop())
	}
	return s, nil
}

func (s *server) ready(ctx context.Context, url string) error {
	const patience = time.Minute
	deadline, tick := time.Now().Add(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		if body, err := get(ctx, url+"/readyz"); err == nil && body != nil { // nothing listens at first
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.exited:
			s.ended = true
			return fmt.Errorf("the server ended at once: %w", err)
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server was not ready after %s", patience)
		}
	}
}

// stop ends the process by its id and waits; a second call does nothing.
func (s *server) stop() error {
	if s.ended {
		return nil
	}
	s.ended = true
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-s.exited:
		return err
	case <-time.After(20 * time.Second):
		return errors.Join(errors.New("the server did not end within 20 s"), s.cmd.Process.Kill())
	}
}

// importAll makes tenants of all municipalities and switches the demo's client on for them.
func (o *options) importAll(ctx context.Context) error {
	demo := filepath.Join(o.Data, "demo.json")
	for _, args := range [][]string{{"tenants", "import", "--active", o.Municipalities}, {"clients", "enable", "efa-demo", "--all"}} {
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, o.Basisctl, append([]string{"--demo", demo}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("basisctl %v: %w\n%s", args, err, out.Bytes())
		}
	}
	return nil
}

// size is the sum of all files below a folder, in bytes. Files may come and go meanwhile.
func size(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
