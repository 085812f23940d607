package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
