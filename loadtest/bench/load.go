package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// operation is one kind of request. build makes the n-th request; each is another one.
type operation struct {
	name   string
	target string // the published budget, in words
	want   int    // status
	build  func(ctx context.Context, n int64) (*http.Request, error)
}

// measure loads one operation with a closed loop on each connection, and waits until what the
// requests set going is done, too.
func (r *report) measure(ctx context.Context, o options, t *target, op operation) (row, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.Connections, MaxConnsPerHost: o.Connections}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	if err := t.p.settle(ctx); err != nil {
		return row{}, err
	}
	r.from += 1 << 40 // no request is the same in two rounds
	if _, _, err := load(ctx, client, op, o, o.Duration/5, r.from); err != nil {
		return row{}, err
	}
	stopProfile := profile(ctx, o, t.p, strings.ReplaceAll(t.name, " ", "-")+"-"+op.name)
	watched := t.watch(ctx)
	before, err := t.spent()
	if err != nil {
		return row{}, err
	}
	began := time.Now()
	latencies, n, err := load(ctx, client, op, o, o.Duration, r.from+1<<39)
	took := time.Since(began)
	if err != nil {
		return row{}, err
	}
	after, err := t.spent()
	if err != nil {
		return row{}, err
	}
	limit, err := watched(before, after)
	if err != nil {
		return row{}, err
	}
	if err := stopProfile(); err != nil {
		return row{}, err
	}
	x := row{
		name: op.name, target: op.target, on: t.name, database: t.database, many: len(t.places) > 0, perSecond: float64(n) / took.Seconds(), limit: limit, rss: t.p.rssMB(),
		cpu: (after.server - before.server) / time.Duration(n), postgres: (after.postgres - before.postgres) / time.Duration(n),
	}
	if err := t.p.settle(ctx); err != nil {
		return row{}, err
	}
	rested, err := t.spent()
	if err != nil {
		return row{}, err
	}
	x.all, x.postgresAll = (rested.server-before.server)/time.Duration(n), (rested.postgres-before.postgres)/time.Duration(n)
	slices.Sort(latencies)
	x.p50, x.p99 = latencies[len(latencies)/2], latencies[len(latencies)*99/100]
	return x, nil
}

// load runs for the duration and returns the latencies. The first wrong answer ends it.
func load(ctx context.Context, client *http.Client, op operation, o options, d time.Duration, from int64) ([]time.Duration, int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	var wg sync.WaitGroup
	lists, errs := make([][]time.Duration, o.Connections), make([]error, o.Connections)
	for c := range o.Connections {
		wg.Go(func() {
			for n := int64(c); ; n += int64(o.Connections) {
				began := time.Now()
				if o.Rate > 0 {
					began = start.Add(time.Duration(float64(n) / o.Rate * float64(time.Second)))
				}
				if began.Sub(start) >= d || !until(ctx, began) {
					return
				}
				if errs[c] = once(ctx, client, op, from+n); errs[c] != nil {
					cancel()
					return
				}
				lists[c] = append(lists[c], time.Since(began))
			}
		})
	}
	wg.Wait()
	for _, err := range errs { // the first real one, not those that the cancelling made
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, 0, err
		}
	}
	all := slices.Concat(lists...)
	if len(all) == 0 {
		return nil, 0, errors.Join(append(errs, errors.New("no request was answered"))...)
	}
	return all, int64(len(all)), nil
}

// until waits for a moment, which may be past; false if ctx ends before.
func until(ctx context.Context, moment time.Time) bool {
	left := time.Until(moment)
	if left <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func once(ctx context.Context, client *http.Client, op operation, n int64) (err error) {
	req, err := op.build(ctx, n)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != op.want {
		return fmt.Errorf("status %d, want %d: %.300s", resp.StatusCode, op.want, body)
	}
	return nil
}

// profile takes the server's CPU profile meanwhile, where a folder for it was given.
func profile(ctx context.Context, o options, p *process, name string) func() error {
	if o.Profile == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() { done <- fetchProfile(ctx, o, p, name) }()
	return func() error { return <-done }
}

func fetchProfile(ctx context.Context, o options, p *process, name string) (err error) {
	if err := os.MkdirAll(o.Profile, 0o750); err != nil {
		return err
	}
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", p.url, int(max(o.Duration.Seconds()-1, 1)))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := control.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: status %d", resp.StatusCode)
	}
	f, err := os.Create(filepath.Join(o.Profile, name+".pprof"))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
