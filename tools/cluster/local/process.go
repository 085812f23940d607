package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	startTime = 60 * time.Second // until a program is ready, on a busy machine
	stopTime  = 30 * time.Second // until it is killed
	readyPoll = 50 * time.Millisecond
)

// Process is one program of the cluster, which can be ended and started again. It is safe for
// concurrent use.
type Process struct {
	Name string

	program string
	args    []string
	env     []string
	dir     string
	as      *syscall.Credential // nil: as we are
	quit    syscall.Signal      // asks it to end; 0 is SIGTERM
	ready   func(ctx context.Context) error

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	err  error         // how it ended
}

// Start starts the program and waits until it is ready. Its output is appended to DIR/NAME.log.
func (p *Process) Start(ctx context.Context) error {
	if err := p.launch(); err != nil {
		return err
	}
	return p.AwaitReady(ctx)
}

func (p *Process) launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("%s runs already", p.Name)
	}
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.program, p.args...) //nolint:noctx // programs of the project; they are ended by Stop or Kill
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append(os.Environ(), p.env...), p.dir, log, log
	// The kernel ends it when we die, however that happens, and with it nobody else.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Credential: p.as}
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the signal comes when the thread ends that started the program
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			err = cmd.Wait()
		}
		p.mu.Lock()
		p.err = errors.Join(err, log.Close())
		p.mu.Unlock()
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.cmd, p.done = cmd, done
	return nil
}

func (p *Process) logFile() string { return filepath.Join(p.dir, p.Name+".log") }

// running is to be called under the lock.
func (p *Process) running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// AwaitReady waits until the program takes work. It fails when the program ends before.
func (p *Process) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-done:
			return fmt.Errorf("%s ended before it was ready; its log ends with\n%s", p.Name, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its log ends with\n%s", p.Name, err, p.tail())
		}
	}
}

// tail is the end of the log.
func (p *Process) tail() string {
	text, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-3000):])
}

// Stop asks the program to end, waits, and kills it if it does not. It does nothing when the
// program does not run.
func (p *Process) Stop() error {
	if p.quit != 0 {
		return p.end(p.quit)
	}
	return p.end(syscall.SIGTERM)
}

// Kill ends the program at once, as kill -9 does.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// Signal sends a signal, such as SIGSTOP and SIGCONT.
func (p *Process) Signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return fmt.Errorf("%s does not run", p.Name)
	}
	return p.cmd.Process.Signal(s)
}

// Setenv sets a variable from the next start on: NAME=VALUE.
func (p *Process) Setenv(variable string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.env = append(p.env, variable) // the last one counts
}

// PID is the process's number, 0 if it does not run.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return 0
	}
	return p.cmd.Process.Pid
}

func (p *Process) end(s syscall.Signal) error {
	p.mu.Lock()
	if !p.running() {
		p.mu.Unlock()
		return nil
	}
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", p.Name, err)
	}
	select {
	case <-done:
	case <-time.After(stopTime):
		if err := cmd.Process.Kill(); err != nil {
			return fmt.Errorf("end %s: %w", p.Name, err)
		}
		<-done
		return fmt.Errorf("%s did not stop within %s and was killed", p.Name, stopTime)
	}
	if s == syscall.SIGKILL {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("%s: %w; its log ends with\n%s", p.Name, p.err, p.tail())
	}
	return nil
}

// Restart stops the program and starts it again.
func (p *Process) Restart(ctx context.Context) error {
	return errors.Join(p.Stop(), p.Start(ctx))
}

// answers is ready when url answers 200.
func answers(url string) func(context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			err = errors.Join(err, fmt.Errorf("%s answers %s", url, resp.Status))
		}
		return errors.Join(err, resp.Body.Close())
	}
}

// getJSON reads what url answers into dst.
func getJSON(ctx context.Context, url string, dst any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(r)
	if err != nil {
		return err
	}
	return errors.Join(json.NewDecoder(resp.Body).Decode(dst), resp.Body.Close())
}
