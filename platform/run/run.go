package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"basisdienste/platform/config"
	"basisdienste/platform/obs"
)

// Main runs the apps in this process until SIGINT or SIGTERM, and ends it: status 0 after a
// clean stop, 2 for a mistake in arguments or configuration, 1 otherwise.
func Main(name string, apps ...App) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := Run(ctx, name, os.Args[1:], os.Environ(), os.Stdout, apps...)
	stop()
	var usage usageError
	switch {
	case err == nil:
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, usage.error)
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

type usageError struct{ error }

// Run is Main without the process: it returns after ctx ended and everything is stopped.
func Run(ctx context.Context, name string, args, env []string, out io.Writer, apps ...App) error {
	began := time.Now()
	f, cfg, s, err := read(name, args, env, out)
	if errors.Is(err, errDone) {
		return nil
	}
	if err != nil {
		return usageError{err}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.Log.Level)); err != nil {
		return usageError{fmt.Errorf("server.log.level: %w", err)}
	}
	log := obs.Logger(os.Stderr, level, obs.Format(s.Log.Format))
	// Libraries that log on their own are heard when something failed, not at each routine step.
	slog.SetDefault(slog.New(atLeast{log.Handler(), slog.LevelError}))
	if f.CheckConfig || f.PrintConfig {
		return check(ctx, cfg, s, log, out, f.PrintConfig, apps)
	}
	p, err := Start(ctx, cfg, s, log, apps...)
	if err != nil {
		return err
	}
	if err := p.Seed(ctx); err != nil {
		return errors.Join(fmt.Errorf("demo content: %w", err), p.Stop())
	}
	p.banner(out, name, time.Since(began))
	select {
	case <-ctx.Done():
		log.InfoContext(ctx, "stopping")
		return p.Stop()
	case err := <-p.failed:
		return errors.Join(err, p.Stop())
	}
}

// atLeast passes on what is as severe as level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

func (h atLeast) WithAttrs(a []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(a), h.level}
}

func (h atLeast) WithGroup(g string) slog.Handler { return atLeast{h.Handler.WithGroup(g), h.level} }

// check opens the services on a throw-away folder, which reads every section.
func check(ctx context.Context, cfg *config.Config, s Settings, log *slog.Logger, out io.Writer, show bool, apps []App) (err error) {
	dir, err := os.MkdirTemp("", "check-config-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s.DataDir, s.Listen, s.Database = dir, "127.0.0.1:0", DatabaseSettings{}
	p, err := Start(ctx, cfg, s, log, apps...)
	if err != nil {
		return usageError{err}
	}
	if err := p.Stop(); err != nil {
		return err
	}
	if show {
		return cfg.Print(out)
	}
	_, err = fmt.Fprintln(out, "the configuration is in order")
	return err
}

// banner tells a person where to click.
func (p *Process) banner(out io.Writer, name string, took time.Duration) {
	fmt.Fprintf(out, "%s is ready after %s at %s\n", name, took.Round(time.Millisecond), p.BaseURL)
	for _, line := range p.lines {
		fmt.Fprintf(out, "  %s\n", line)
	}
	fmt.Fprintf(out, "  data in %s; Ctrl-C stops\n", p.settings.DataDir)
}

// health serves what orchestrators ask. /healthz: the process lives. /readyz: it takes work.
func (p *Process) health(mux *http.ServeMux, metrics http.Handler) {
	answer := func(w http.ResponseWriter, status int, text string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text+"\n") // the prober went away
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !p.ready.Load() {
			answer(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	local := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if host, _, err := net.SplitHostPort(r.RemoteAddr); err != nil || !isLoopback(host) || forwarded(r) {
				answer(w, http.StatusForbidden, "this is for the machine itself")
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	mux.Handle("GET /metrics", local(metrics))
	if p.settings.Profile {
		mux.Handle("GET /debug/pprof/", local(http.HandlerFunc(pprof.Index)))
		mux.Handle("GET /debug/pprof/profile", local(http.HandlerFunc(pprof.Profile)))
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

func forwarded(r *http.Request) bool {
	return r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""
}
