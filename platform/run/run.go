package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
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
	if f.Migrate {
		return migrate(ctx, s, log, out, apps)
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
	s.DataDir, s.Listen, s.Database, s.Demo = dir, "127.0.0.1:0", DatabaseSettings{}, false
	s.Broker.URLs, s.Consul.Address = nil, ""
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

// migrate brings the databases of the apps to this release.
func migrate(ctx context.Context, s Settings, log *slog.Logger, out io.Writer, apps []App) error {
	if s.Database.URL != "" && s.Database.OwnerURL == "" {
		return usageError{errors.New("server.database.owner_url: name the role that migrates")}
	}
	p := &Process{settings: s, log: log, clock: time.Now}
	for _, app := range apps {
		d, err := p.openDatabase(ctx, app)
		if err != nil {
			return err
		}
		if err := d.Close(); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "the database of %s is up to date\n", app.Name); err != nil {
			return err
		}
	}
	return nil
}

// banner tells a person where to click.
func (p *Process) banner(out io.Writer, name string, took time.Duration) {
	fmt.Fprintf(out, "%s is ready after %s at %s\n", name, took.Round(time.Millisecond), p.BaseURL)
	for _, line := range p.lines {
		fmt.Fprintf(out, "  %s\n", line)
	}
	fmt.Fprintf(out, "  data in %s; Ctrl-C stops\n", p.settings.DataDir)
}
