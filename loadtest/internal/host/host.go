// Package host reads from the kernel (Linux) what a load test says about the machine it ran on:
// what it is, and who used its processors.
package host

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// Machine is what a load ran on.
type Machine struct {
	Processor, Kernel, Commit string
	Cores                     int
	Memory                    float64 // bytes
}

// This is the machine that we run on, and the commit of the checkout in the current folder.
func This() Machine {
	m := Machine{Processor: "unknown processor", Cores: runtime.NumCPU(), Kernel: firstField("/proc/sys/kernel/osrelease")}
	if v := lineValue("/proc/cpuinfo", "model name"); v != "" {
		m.Processor = v
	}
	if kb, err := strconv.ParseFloat(strings.TrimSuffix(lineValue("/proc/meminfo", "MemTotal"), " kB"), 64); err == nil {
		m.Memory = kb * 1024
	}
	m.Commit = "unknown commit"
	if out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil { //nolint:noctx // at once
		m.Commit = strings.TrimSpace(string(out))
		changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no", "--", "services", "platform", "go.mod").Output() //nolint:noctx // at once
		if err != nil || len(changed) > 0 {
			m.Commit += " with changes that are not committed"
		}
	}
	return m
}

// ticks is how the kernel's counters count a second: USER_HZ, fixed on Linux.
const ticks = 100

// Processors is the time of all cores so far, in seconds: idle, taken by the host of a virtual
// machine, and all together.
type Processors struct{ Idle, Stolen, All float64 }

// ReadProcessors reads /proc/stat; All is 0 where there is none.
func ReadProcessors() (p Processors) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return p
	}
	first, _, _ := strings.Cut(string(text), "\n")
	// cpu user nice system idle iowait irq softirq steal guest guest_nice; the guests are in user.
	for i, field := range strings.Fields(first) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || i > 8 {
			continue
		}
		p.All += n / ticks
		switch i {
		case 4, 5:
			p.Idle += n / ticks
		case 8:
			p.Stolen += n / ticks
		}
	}
	return p
}

// Since is the time from then to p.
func (p Processors) Since(then Processors) Processors {
	return Processors{p.Idle - then.Idle, p.Stolen - then.Stolen, p.All - then.All}
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
