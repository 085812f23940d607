// Package process runs programs as processes of their own, for tests and tools: it starts them,
// waits until they are ready, ends them by their id, and shows the end of their log when
// something goes wrong. A process that it started ends with the one that called it at the latest.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTime = 60 * time.Second // until a program is ready, on a busy machine
	stopTime  = 30 * time.Second // until it is killed
	readyPoll = 20 * time.Millisecond
	tail      = 6000 // bytes of the log that are shown
)

// Process is one program, which can be ended and started again. Its fields are set before the
// first start; then it is safe for concurrent use.
type Process struct {
	Name    string
	Program string // its path; a relative one begins at Dir
	Args    []string
	Env     []string            // beside Environment
	Dir     string              // where it runs; its output is appended to DIR/NAME.log
	As      *syscall.Credential // nil: as we are
	Quit    syscall.Signal      // asks it to end; 0 is SIGTERM
	Ready   func(ctx context.Context) error

	mu    sync.Mutex
	cmd   *exec.Cmd
	done  chan struct{} // closed when cmd has ended
	err   error         // how it ended
	asked bool          // to end
}

// Environment is ours without what configures programs of this module: those that are started
// here are told what they need, and refuse what they do not know.
func Environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "BASIS_") })
}

// Start starts the program and waits until it is ready. After an error it does not run.
func (p *Process) Start(ctx context.Context) error {
	if err := p.Launch(); err != nil {
		return err
	}
	if err := p.AwaitReady(ctx); err != nil {
		return errors.Join(err, p.Kill())
	}
	return nil
}

// Launch starts the program and returns at once.
func (p *Process) Launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("%s runs already", p.Name)
	}
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.Program, p.Args...) //nolint:gosec,noctx // what the caller names; it is ended by Stop or Kill
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append(Environment(), p.Env...), p.Dir, log, log
	// The kernel ends it when we die, however that happens, and with it nobody else.
	cmd.SysProcAttr = attributes(p.As)
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
	p.cmd, p.done, p.asked = cmd, done, false
	return nil
}

func (p *Process) logFile() string { return filepath.Join(p.Dir, p.Name+".log") }

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

// AwaitReady waits until the program takes work, a minute at most. It fails when the program
// ends before.
func (p *Process) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := p.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-done:
			return fmt.Errorf("%s ended before it was ready; its log ends with\n%s", p.Name, p.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its log ends with\n%s", p.Name, err, p.LogTail())
		}
	}
}

// LogTail is the end of what the program said in all its lives.
func (p *Process) LogTail() string {
	text, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-tail):])
}

// Stop asks the program to end and waits; it kills it after half a minute, which is an error. It
// does nothing when the program does not run; when that ended by itself, the first Stop says so.
func (p *Process) Stop() error {
	if p.Quit != 0 {
		return p.end(p.Quit)
	}
	return p.end(syscall.SIGTERM)
}

// Kill ends the program at once, as kill -9 does and a power cut. It does nothing when the
// program does not run.
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
	p.Env = append(p.Env, variable) // the last one counts
}

// Use makes the process run the program of the same name in another folder from its next start
// on: another release.
func (p *Process) Use(dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Program = filepath.Join(dir, filepath.Base(p.Program))
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
	cmd, done, asked, runs := p.cmd, p.done, p.asked, p.running()
	p.asked = true
	p.mu.Unlock()
	switch {
	case !runs && (asked || done == nil):
		return nil
	case runs:
		if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("end %s: %w", p.Name, err)
		}
	}
	select {
	case <-done:
	case <-time.After(stopTime):
		if err := cmd.Process.Kill(); err != nil {
			return fmt.Errorf("end %s: %w", p.Name, err)
		}
		<-done
		return fmt.Errorf("%s did not stop within %s and was killed; its log ends with\n%s", p.Name, stopTime, p.LogTail())
	}
	if s == syscall.SIGKILL {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return fmt.Errorf("%s: %w; its log ends with\n%s", p.Name, p.err, p.LogTail())
	case !runs:
		return fmt.Errorf("%s ended by itself; its log ends with\n%s", p.Name, p.LogTail())
	}
	return nil
}

// Restart stops the program and starts it again.
func (p *Process) Restart(ctx context.Context) error {
	return errors.Join(p.Stop(), p.Start(ctx))
}
