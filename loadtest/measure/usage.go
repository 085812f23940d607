package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// usage is what the processes of the installation used so far, all together.
type usage struct {
	known      bool
	cpu        float64 // seconds
	memory     float64 // bytes, resident
	goroutines float64
}

// readUsage reads the metrics of each process. An installation that does not show them (through
// a proxy) has unknown usage, which is no error.
func readUsage(ctx context.Context, addresses []string) (u usage, err error) {
	for _, a := range addresses {
		text, err := get(ctx, a)
		if err != nil {
			return usage{}, err
		}
		one := usage{known: text != nil}
		for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
			name, value, _ := strings.Cut(s.Text(), " ")
			into := map[string]*float64{"process_cpu_seconds_total": &one.cpu, "process_resident_memory_bytes": &one.memory, "go_goroutines": &one.goroutines}[name]
			if into == nil {
				continue
			}
			if *into, err = strconv.ParseFloat(value, 64); err != nil {
				return usage{}, fmt.Errorf("%s: %s: %w", a, name, err)
			}
		}
		if !one.known || one.cpu == 0 {
			return usage{}, nil
		}
		u = usage{true, u.cpu + one.cpu, u.memory + one.memory, u.goroutines + one.goroutines}
	}
	return u, nil
}

// get returns a body, or nil if the answer is not 200.
func get(ctx context.Context, address string) (body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := control.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if resp.StatusCode != http.StatusOK {
		return nil, err
	}
	return body, err
}

// settle waits until the server rests: three looks in a row in which it used less than 6 % of a
// core. It waits a minute and a half at most.
func settle(ctx context.Context, addresses []string) error {
	const look, resting, inARow = 500 * time.Millisecond, 0.03, 3
	before, err := readUsage(ctx, addresses)
	quiet := 0
	for range 90 * time.Second / look {
		if err != nil || !before.known || quiet == inARow {
			return err
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
		var now usage
		if now, err = readUsage(ctx, addresses); err != nil {
			return err
		}
		quiet++
		if now.cpu-before.cpu > resting {
			quiet = 0
		}
		before = now
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// clockTicks is how the kernel's counters count a second: USER_HZ, fixed on Linux.
const clockTicks = 100

// processors is the time of all cores so far, in seconds: idle, taken by the host of a virtual
// machine, and all together.
type processors struct{ idle, stolen, all float64 }

// readProcessors reads /proc/stat; all is 0 where there is none.
func readProcessors() (p processors) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return p
	}
	first, _, _ := strings.Cut(string(text), "\n")
	// cpu user nice system idle iowait irq softirq steal guest guest_nice; the guests are in user.
	for i, field := range strings.Fields(first) {
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil || i > 8 {
			continue
		}
		p.all += ticks / clockTicks
		switch i {
		case 4, 5:
			p.idle += ticks / clockTicks
		case 8:
			p.stolen += ticks / clockTicks
		}
	}
	return p
}

// machine is what the load ran on.
type machine struct {
	processor, kernel, commit string
	cores                     int
	memory                    float64 // bytes
}

func thisMachine() machine {
	m := machine{processor: "unknown processor", cores: runtime.NumCPU(), kernel: firstField("/proc/sys/kernel/osrelease")}
	if v := lineValue("/proc/cpuinfo", "model name"); v != "" {
		m.processor = v
	}
	if kb, err := strconv.ParseFloat(strings.TrimSuffix(lineValue("/proc/meminfo", "MemTotal"), " kB"), 64); err == nil {
		m.memory = kb * 1024
	}
	m.commit = "unknown commit"
	if out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil { //nolint:noctx // at once
		m.commit = strings.TrimSpace(string(out))
		changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no", "--", "services", "platform", "go.mod").Output() //nolint:noctx // at once
		if err != nil || len(changed) > 0 {
			m.commit += " with changes that are not committed"
		}
	}
	return m
}

func firstField(file string) string {
	text, err := os.ReadFile(file)
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 0 {
		return fields[0]
	}
	return "unknown"
}

// lineValue is what stands after the colon of the first line with a name.
func lineValue(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
