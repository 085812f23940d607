package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stat are the fields of /proc/PID/stat from the third on, which is the first behind the name.
func stat(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return nil, fmt.Errorf("%s is not as expected", file)
	}
	return fields, nil
}

// sum adds counters of the kernel.
func sum(fields []string) (time.Duration, error) {
	var n int64
	for _, f := range fields {
		one, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		n += one
	}
	return time.Duration(n) * time.Second / ticks, nil
}

// CPU is a process's user and system time so far, to a hundredth of a second.
func CPU(pid int) (time.Duration, error) {
	fields, err := stat(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return sum(fields[11:13]) // utime, stime
}

// FamilyCPU is the time of a process, of its children, and of those that have ended: PostgreSQL's
// postmaster with a process for each session.
func FamilyCPU(pid int) (time.Duration, error) {
	fields, err := stat(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	total, err := sum(fields[11:15]) // utime, stime, and those of children that ended
	if err != nil {
		return 0, err
	}
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	parent := strconv.Itoa(pid)
	for _, file := range all {
		fields, err := stat(file)
		if gone(err) || err == nil && fields[1] != parent {
			continue
		}
		if err != nil {
			return 0, err
		}
		one, err := sum(fields[11:13])
		if err != nil {
			return 0, err
		}
		total += one
	}
	return total, nil
}

// gone says that a process ended while it was looked at.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// OwnCPU is the time of this process.
func OwnCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0 // it cannot fail for ourselves
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// OnDisk counts the threads of a process that wait for a disk right now; 0 if it has ended.
func OnDisk(pid int) (n int) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return 0
	}
	for _, file := range files {
		if fields, err := stat(file); err == nil && fields[0] == "D" {
			n++
		}
	}
	return n
}
