package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"basisdienste/loadtest/internal/host"
	proc "basisdienste/services/basis/process"
)

// control asks the server about itself; the load has clients of its own.
var control = &http.Client{Timeout: 2 * time.Minute}

// process is a server under test.
type process struct {
	*proc.Process
	url, data string
	started   time.Duration // from exec to ready
}

// startBasis runs basis with demo content on the folder and waits until it is ready.
func startBasis(ctx context.Context, program, data string, env ...string) (*process, error) {
	addr, err := proc.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	p, err := proc.Basis(program, addr, data, append(append(proc.Unlimited(), "BASIS_SERVER__PROFILE=true"), env...)...)
	if err != nil {
		return nil, err
	}
	return start(ctx, p, "http://"+addr, data)
}

func start(ctx context.Context, p *proc.Process, url, data string) (*process, error) {
	began := time.Now()
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	return &process{Process: p, url: url, data: data, started: time.Since(began)}, nil
}

func (p *process) stop() error { return p.Stop() }

// demo reads what the process wrote for its clients.
func (p *process) demo(dst any) error {
	text, err := os.ReadFile(filepath.Join(p.data, "demo.json"))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, dst)
}

func (p *process) cpu() (time.Duration, error) { return host.CPU(p.PID()) }

// rssMB is the memory in use, in 10^6 bytes; 0 if it cannot be read.
func (p *process) rssMB() int64 {
	now, _, err := p.Memory()
	if err != nil {
		return 0
	}
	return now / 1_000_000
}

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
