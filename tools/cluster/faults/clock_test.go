package faults_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"basisdienste/platform/config"
	"basisdienste/platform/run"
	"basisdienste/services/payment"
	"basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/xbezahldienste"
)

// clockBack runs one more payment in this process, because a process's own clock cannot be set
// back alone: on the cluster's database, broker and Consul, where the edge finds it beside the
// two others. Its clock is right at first, and then 10 s behind.
func clockBack(ctx context.Context, r *rig) (note string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", err
	}
	env, err := r.cluster.Environment("payment", "payment-3", address)
	if err != nil {
		return "", err
	}
	cfg, err := config.Load("", env, nil)
	if err != nil {
		return "", err
	}
	s := run.Defaults()
	if err := cfg.Section("server").Decode(&s); err != nil {
		return "", err
	}
	file, err := os.Create(filepath.Join(s.DataDir, "payment-3.log"))
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	var offset atomic.Int64
	s.Demo, s.Clock = false, func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	p, err := run.Start(context.WithoutCancel(ctx), cfg, s, slog.New(slog.NewTextHandler(file, nil)), payment.New(xbezahldienste.Part(), sandbox.Part()))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	pass(ctx, 3*time.Second)
	right, err := requestsAt(ctx, address)
	if err != nil {
		return "", err
	}
	offset.Store(int64(-10 * time.Second))
	pass(ctx, 10*time.Second)
	all, err := requestsAt(ctx, address)
	if err != nil {
		return "", err
	}
	if all == right {
		return "", errors.New("no request came to the instance with the wrong clock")
	}
	return fmt.Sprintf("%d of %d requests of a third payment", all-right, all), nil
}

// requestsAt reads how many requests of others an instance has answered.
func requestsAt(ctx context.Context, address string) (n int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "http_request_duration_seconds_count{") {
			continue
		}
		_, value, _ := strings.Cut(lines.Text(), "} ")
		k, err := strconv.Atoi(value)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", lines.Text(), err)
		}
		n += k
	}
	return n, lines.Err()
}
