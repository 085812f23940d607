package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"basisdienste/loadtest/internal/host"
)

// control asks the server about itself; the load has clients of its own.
var control = &http.Client{Timeout: 2 * time.Minute}

// process is a server under test.
type process struct {
	cmd     *exec.Cmd
	url     string
	data    string
	log     *os.File
	started time.Duration // from exec to ready
}

// startBasis runs basis with demo content on the folder and waits until it is ready.
func startBasis(ctx context.Context, program, data string, env ...string) (*process, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(data, 0o750); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "--data", data, "--listen", addr, "--demo") //nolint:noctx // ended by stop, after draining
	cmd.Env = append(os.Environ(),
		"BASIS_SERVER__REQUESTS_PER_MINUTE_AND_ADDRESS=100000000", "BASIS_SERVER__LOG__ACCESS=false", "BASIS_SERVER__PROFILE=true",
		"BASIS_EDGE__REQUESTS_PER_MINUTE_AND_TENANT=100000000", "BASIS_EDGE__BURST=10000000")
	cmd.Env = append(cmd.Env, env...)
	return start(ctx, cmd, "http://"+addr, data, 60*time.Second)
}

func start(ctx context.Context, cmd *exec.Cmd, url, data string, patience time.Duration) (*process, error) {
	log, err := os.Create(filepath.Join(filepath.Dir(data), filepath.Base(cmd.Path)+".log"))
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	p := &process{cmd: cmd, url: url, data: data, log: log}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	deadline := began.Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready(ctx, url) {
			p.started = time.Since(began)
			return p, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name()) // shown if it can be read
			return nil, errors.Join(fmt.Errorf("%s was not ready after %s:\n%s", cmd.Path, patience, text), p.stop())
		}
		<-tick.C
	}
}

func ready(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := control.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// stop ends the process by its id: first politely, then not.
func (p *process) stop() error {
	defer func() { _ = p.log.Close() }() // only read by people
	if p.cmd.ProcessState != nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(15 * time.Second):
		return errors.Join(errors.New("it did not stop within 15 s"), p.cmd.Process.Kill())
	}
}

// demo reads what the process wrote for its clients.
func (p *process) demo(dst any) error {
	text, err := os.ReadFile(filepath.Join(p.data, "demo.json"))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, dst)
}

func (p *process) cpu() (time.Duration, error) { return host.CPU(p.cmd.Process.Pid) }

// rssMB is the memory in use, in 10^6 bytes; 0 if it cannot be read.
func (p *process) rssMB() int64 { return host.Memory(p.cmd.Process.Pid) / 1_000_000 }

// settle waits until the process rests: what earlier requests set going, such as events, must
// not count as the cost of later ones. It waits a minute at most.
func (p *process) settle(ctx context.Context) error {
	const look, resting = 500 * time.Millisecond, 20 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	before, err := p.cpu()
	for range time.Minute / look {
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now, cerr := p.cpu()
		if now-before <= resting {
			return cerr
		}
		before, err = now, cerr
	}
	return nil
}
