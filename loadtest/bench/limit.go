package main

import (
	"context"
	"fmt"
	"time"

	"basisdienste/loadtest/internal/host"
)

// spent is processor time so far.
type spent struct {
	server, postgres, client time.Duration
	cores                    host.Processors
}

func (t *target) spent() (s spent, err error) {
	s.client, s.cores = host.OwnCPU(), host.ReadProcessors()
	if s.server, err = t.p.cpu(); err != nil || t.cluster == nil {
		return s, err
	}
	s.postgres, err = host.FamilyCPU(t.cluster.Postgres.PID())
	return s, err
}

// watch looks at what everybody waits for, until the returned function says what limited the
// load between two moments.
func (t *target) watch(ctx context.Context) func(before, after spent) (string, error) {
	stop := host.Watch(ctx, t.sessions, t.p.PID())
	return func(before, after spent) (string, error) {
		waits, err := stop()
		if err != nil {
			return "", fmt.Errorf("look at PostgreSQL's sessions: %w", err)
		}
		return limit(before, after, waits), nil
	}
}

// limit names what limited a load, and what that was read from: where the cores are busy, who
// uses them most; otherwise what most sessions and threads wait for.
func limit(before, after spent, w *host.Waits) string {
	cores := after.cores.Since(before.cores)
	share := func(d time.Duration) float64 { return d.Seconds() / max(cores.All, 0.01) }
	type part struct {
		name string
		much float64
	}
	used := []part{
		{"our CPU", share(after.server - before.server)},
		{"PostgreSQL's CPU", share(after.postgres - before.postgres)},
		{"the load client's CPU", share(after.client - before.client)},
		{"other programs", 0},
		{"the machine's host", cores.Stolen / max(cores.All, 0.01)},
	}
	idle := cores.Idle / max(cores.All, 0.01)
	used[3].much = max(0, 1-idle-used[0].much-used[1].much-used[2].much-used[4].much)
	most := func(parts []part) (m part) {
		for _, p := range parts {
			if p.much > m.much {
				m = p
			}
		}
		return m
	}
	name := most(used).name
	if 1-idle < host.Full {
		name = "nothing that is full: round trips, and waits for one another inside the process"
		if what, n := w.Most(); n >= host.Notable {
			name = what
		}
	}
	return fmt.Sprintf("%s (cores: basis %.0f %%, PostgreSQL %.0f %%, load client %.0f %%, others %.0f %%, host %.0f %%, idle %.0f %%; %s)",
		name, 100*used[0].much, 100*used[1].much, 100*used[2].much, 100*used[3].much, 100*used[4].much, 100*idle, w)
}
