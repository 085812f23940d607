package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"basisdienste/loadtest/internal/host"
	"basisdienste/platform/db"
	"basisdienste/platform/run"
	"basisdienste/tools/cluster/local"
)

// Names of programs that are no service.
const (
	driver   = "this driver"
	postgres = "PostgreSQL"
)

// programs is the processor time of each program so far, all its instances together.
type programs map[string]time.Duration

func readPrograms(c *local.Cluster) (programs, error) {
	p := programs{driver: host.OwnCPU()}
	var errs []error
	add := func(name string, cpu time.Duration, err error) {
		p[name] += cpu
		errs = append(errs, err)
	}
	for _, service := range run.Services() {
		for _, i := range c.Instances(service) {
			cpu, err := host.CPU(i.PID())
			add(service+"d", cpu, err)
		}
	}
	for _, node := range c.Broker {
		cpu, err := host.CPU(node.PID())
		add("NATS", cpu, err)
	}
	cpu, err := host.CPU(c.Consul.PID())
	add("Consul", cpu, err)
	cpu, err = host.FamilyCPU(c.Postgres.PID())
	add(postgres, cpu, err)
	return p, errors.Join(errs...)
}

// share of the cores that a program used.
type share struct {
	name string
	cpu  time.Duration
	part float64 // of all cores
}

// since is what was used between then and p, the greediest first, with what was not ours.
func (p programs) since(then programs, cores host.Processors) []share {
	others := cores.All - cores.Idle - cores.Stolen
	for name, now := range p {
		others -= (now - then[name]).Seconds()
	}
	all := maps.Clone(p)
	all["other programs and the kernel"] = time.Duration(max(others, 0) * float64(time.Second))
	all["the machine's host"] = time.Duration(cores.Stolen * float64(time.Second))
	return sharesOf(all, then, cores)
}

// observe opens a look at PostgreSQL's sessions.
func observe(ctx context.Context, c *local.Cluster) (*db.DB, error) {
	for _, sql := range []string{"CREATE ROLE basis_watch LOGIN NOSUPERUSER NOBYPASSRLS IN ROLE pg_monitor", "GRANT CONNECT ON DATABASE basis TO basis_watch"} {
		if _, err := c.SQL(ctx, sql); err != nil {
			return nil, err
		}
	}
	return db.Open(ctx, db.Config{URL: c.DatabaseURL("watch"), Schema: "public", Conns: 1})
}

// sharesOf are what names used between then and now, the greediest first.
func sharesOf(now, then map[string]time.Duration, cores host.Processors) (list []share) {
	for name, cpu := range now {
		used := cpu - then[name]
		list = append(list, share{name, used, used.Seconds() / max(cores.All, 0.01)})
	}
	slices.SortFunc(list, func(x, y share) int { return int(y.cpu - x.cpu) })
	return list
}

// limit names what limited the run: the cores, and who used them most, or what most sessions
// of the database waited for.
func limit(shares []share, cores host.Processors, w *host.Waits) string {
	idle := cores.Idle / max(cores.All, 0.01)
	name := "nothing that is full"
	if what, n := w.Most(); n >= host.Notable {
		name = what
	}
	if 1-idle >= host.Full {
		name = "the cores, of which " + shares[0].name + " took most"
	}
	return fmt.Sprintf("%s (idle %.0f %%; %s)", name, 100*idle, w)
}
