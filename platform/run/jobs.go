package run

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// startParts starts routers and jobs. They end when cancel is called.
func (p *Process) startParts() {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	for _, o := range p.opened {
		p.parts.Go(func() {
			if err := o.host.Bus.Run(ctx); err != nil && ctx.Err() == nil {
				p.fail(fmt.Errorf("events of %s: %w", o.app.Name, err))
			}
		})
		d := o.host.DB
		o.unit.Jobs = append(o.unit.Jobs,
			Job{Name: "purge-events", Every: 10 * time.Minute, Run: func(ctx context.Context) error { return purgeEvents(ctx, d) }},
			Job{Name: "purge-idempotency-keys", Every: time.Hour, Run: func(ctx context.Context) error { return purgeKeys(ctx, d) }})
		met := p.watch(o)
		for _, j := range o.unit.Jobs {
			run := met.job(j, p.clock)
			p.parts.Go(func() { repeat(ctx, j, run, o.host.Log) })
		}
	}
}

func (p *Process) fail(err error) {
	select {
	case p.failed <- err:
	default: // the first failure ends the process already
	}
}

// repeat runs the job until ctx ends. A failure is logged when it begins and when it ends.
func repeat(ctx context.Context, j Job, run func(context.Context) error, log *slog.Logger) {
	ticker := time.NewTicker(j.Every)
	defer ticker.Stop()
	var failing error
	for {
		err := run(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && failing == nil:
			log.ErrorContext(ctx, "job fails", "job", j.Name, "error", err)
		case err == nil && failing != nil:
			log.InfoContext(ctx, "job works again", "job", j.Name)
		}
		failing = err
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// runJob turns a panic into an error: one job must not end all services.
func runJob(ctx context.Context, j Job) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return j.Run(ctx)
}
