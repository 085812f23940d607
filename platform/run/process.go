package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/audit"
	"basisdienste/platform/authn"
	"basisdienste/platform/bus"
	"basisdienste/platform/bus/jetstream"
	"basisdienste/platform/config"
	"basisdienste/platform/db"
	"basisdienste/platform/discover"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/kit"
	"basisdienste/platform/limit"
	"basisdienste/platform/obs"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenantdir"
)

// Process is the running services.
type Process struct {
	BaseURL string

	settings Settings
	log      *slog.Logger
	clock    func() time.Time
	address  string // that it listens on
	services *services
	consul   *discover.Consul // nil without one
	bus      *jetstream.Transport
	metrics  *prometheus.Registry
	limiter  *limit.Limiter
	opened   []opened
	server   *http.Server
	unused   unused
	ready    atomic.Bool
	leaving  atomic.Bool
	lines    []string
	failed   chan error // a part ended that should not

	secrets sync.Mutex // one makes a secret, the others read it

	cancel context.CancelFunc // ends jobs and routers
	parts  sync.WaitGroup
	stops  []func() error // in the order of opening
}

type opened struct {
	app  App
	host *Host
	unit Unit
}

const (
	brokerSync = 10 * time.Second
	// consulNews is how long others may take to hear that an instance has left.
	consulNews = time.Second
	// keepEvents is longer than a handler is tried (see bus.Config.Patience): what is not handled
	// at the time of a backup can be sent again after its restore.
	keepEvents = 2 * time.Hour
	// longestTransfer bounds an upload, and a download: 20 MB at 100 kbit/s take 27 min. What does
	// not move ends sooner, see obs.Timeout.
	longestTransfer = 30 * time.Minute
	// keepHandled is longer than the broker keeps a message (see bus.Streams).
	keepHandled = 8 * 24 * time.Hour
)

// Start opens and serves the apps. Errors leave nothing behind that runs.
func Start(ctx context.Context, cfg *config.Config, s Settings, log *slog.Logger, apps ...App) (_ *Process, err error) {
	if s.Clock == nil {
		s.Clock = time.Now
	}
	p := &Process{settings: s, log: log, clock: s.Clock, failed: make(chan error, 1), metrics: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Stop())
		}
	}()
	if err := p.openTelemetry(ctx, apps); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w; choose another address with --listen", err)
	}
	p.stops = append(p.stops, func() error { return ignoreClosed(listener.Close()) })
	p.address = listener.Addr().String()
	p.BaseURL = strings.TrimSuffix(s.PublicURL, "/")
	if p.BaseURL == "" {
		p.BaseURL = "http://" + p.address
	}
	if err := p.openServices(ctx, apps); err != nil {
		return nil, err
	}
	p.limiter = limit.New(limit.Config{Clock: p.clock, Override: limitOf, Metrics: p.metrics})
	if err := p.openBroker(ctx, apps); err != nil {
		return nil, err
	}
	hosts, err := p.openHosts(ctx, cfg, apps)
	if err != nil {
		return nil, err
	}
	front := http.NotFoundHandler()
	for i, app := range apps {
		unit, err := app.Open(ctx, hosts[i])
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", app.Name, err)
		}
		p.opened = append(p.opened, opened{app, hosts[i], unit})
		if unit.Close != nil {
			p.stops = append(p.stops, unit.Close)
		}
		if unit.Handler == nil {
			unit.Handler = hosts[i].Mux
		}
		p.services.Add(app.Name, obs.Identify(obs.Trace(obs.Recover(log)(unit.Handler))))
		if app.Front || len(apps) == 1 {
			front = unit.Handler
		}
	}
	if err := cfg.Unused(append([]string{"server"}, Services()...)...); err != nil {
		return nil, usageError{err}
	}
	if err := p.recoverAll(ctx); err != nil {
		return nil, err
	}
	p.startParts()
	if err := p.serve(listener, front); err != nil {
		return nil, err
	}
	if !s.Demo {
		p.takeWork(ctx)
	}
	return p, nil
}

// takeWork says that the process is ready.
func (p *Process) takeWork(ctx context.Context) {
	p.ready.Store(true)
	p.register(ctx)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// limitOf reads the tenant's own limit for an operation, as the operator set it:
// {"rate": 600, "burst": 50}, the rate in requests per minute.
func limitOf(ctx context.Context, tenantID id.ID, operation string) (limit.Quota, bool) {
	e, ok := tenantdir.From(ctx)
	if !ok || e.ID != tenantID || len(e.Limits[operation]) == 0 {
		return limit.Quota{}, false
	}
	var own struct {
		Rate  int `json:"rate"`
		Burst int `json:"burst"`
	}
	if err := json.Unmarshal(e.Limits[operation], &own); err != nil || own.Rate <= 0 {
		return limit.Quota{}, false // tenants checks limits before it tells them
	}
	return limit.Quota{PerMinute: own.Rate, Burst: own.Burst}, true
}

// openHosts prepares what each app gets; databases are opened and migrated side by side.
func (p *Process) openHosts(ctx context.Context, cfg *config.Config, apps []App) ([]*Host, error) {
	hosts, errs := make([]*Host, len(apps)), make([]error, len(apps))
	var wg sync.WaitGroup
	for i, app := range apps {
		h := &Host{
			Name: app.Name, Log: p.log.With("service", app.Name), Config: cfg.Section(app.Name), Clock: p.clock,
			Metrics: prometheus.WrapRegistererWith(prometheus.Labels{"service": app.Name}, p.metrics),
			BaseURL: p.BaseURL, DataDir: p.settings.DataDir, Demo: p.settings.Demo, Services: p.services, Limiter: p.limiter, Secret: p.secret, serviceKey: p.serviceKey,
		}
		hosts[i] = h
		wg.Go(func() { h.DB, errs[i] = p.openDatabase(ctx, app) })
	}
	wg.Wait()
	for _, h := range hosts {
		if h.DB != nil {
			p.stops = append(p.stops, h.DB.Close)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	key, err := p.serviceKey()
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		h.DB.Measure(h.Metrics)
		h.Tokens = authn.NewSource(p.services, h.Name, key, p.clock)
		h.Dir = tenantdir.New(h.DB, p.clock)
		h.Verifier = authn.NewVerifier(p.BaseURL, p.services, h.Dir, p.clock)
		h.Bus = bus.New(bus.Config{Service: h.Name, DB: h.DB, Transport: p.bus, EventsPerTenant: p.settings.EventsPerTenant, Log: h.Log, Metrics: h.Metrics})
		h.Dir.Listen(h.Bus)
		h.Mux = kit.NewMux(h.Log, h.Dir.Path(nil))
		h.Bus.Routes(h.Mux, h.Verifier.Operator())
	}
	return hosts, nil
}

func (p *Process) openDatabase(ctx context.Context, app App) (*db.DB, error) {
	s := p.settings.Database
	cfg := db.Config{
		URL: s.URL, OwnerURL: s.OwnerURL, Schema: s.Prefix + app.Name, Conns: s.Conns, Log: p.log, Clock: p.clock, Process: p.holder(),
		WaitTime: s.WaitTime, StatementTime: s.StatementTime, LockTime: s.LockTime, IdleTime: s.IdleTime,
	}
	if cfg.URL == "" {
		cfg.URL = "sqlite:" + filepath.Join(p.settings.DataDir, app.Name+".db")
	}
	d, err := db.Open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", app.Name, err)
	}
	sets := append([]db.Set{outbox.Migrations(), idem.Migrations(), audit.Migrations(), tenantdir.Migrations()}, app.Migrations...)
	if err := d.Migrate(ctx, sets...); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", app.Name, err), d.Close())
	}
	// The broker may have lost its last seconds, if it was stopped by a power cut.
	if err := outbox.Resend(ctx, d, 2*brokerSync); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", app.Name, err), d.Close())
	}
	return d, nil
}

// holder names this process for leases: the same after a restart, on the same machine.
func (p *Process) holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + ":" + p.settings.DataDir
}

// Seed makes the demo content of each service, in the order of the apps, and writes the demo
// description; only then the process is ready. What the description holds of other processes
// stays in it. Without demo it does nothing.
func (p *Process) Seed(ctx context.Context) (err error) {
	if !p.settings.Demo {
		return nil
	}
	file := p.settings.DemoFile
	if file == "" {
		file = filepath.Join(p.settings.DataDir, "demo.json")
	}
	unlock, err := lock(file + ".lock")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	d := Demo{}
	if text, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(text, &d); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	d["base_url"] = p.BaseURL
	for _, o := range p.opened {
		if o.unit.Seed == nil {
			continue
		}
		if err := o.unit.Seed(ctx, d); err != nil {
			return fmt.Errorf("%s: %w", o.app.Name, err)
		}
	}
	if lines, ok := d["click"].([]string); ok {
		p.lines = lines
		delete(d, "click")
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(file, append(text, '\n')); err != nil {
		return err
	}
	p.takeWork(ctx)
	return nil
}

// Publish tells an event that no outbox holds: what a neighbour would have told, in a test.
func (p *Process) Publish(ctx context.Context, source string, tenantID id.ID, e outbox.Event) error {
	return bus.Publish(ctx, p.bus, source, tenantID, e, p.clock())
}

// Host returns what the app of that name was given.
func (p *Process) Host(name string) *Host {
	for _, o := range p.opened {
		if o.app.Name == name {
			return o.host
		}
	}
	return nil
}

// Stop drains: the process leaves the lists of others and, after DrainDelay, takes no more
// connections; requests, events and jobs under way finish, each within DrainTime; then
// databases and broker close. It is safe to call after a failed Start.
func (p *Process) Stop() error {
	var errs []error
	if p.ready.Swap(false) {
		errs = append(errs, p.leave())
	}
	if p.cancel != nil {
		p.cancel()
	}
	if p.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), p.settings.DrainTime)
		defer cancel()
		defer time.AfterFunc(min(unusedTime, p.settings.DrainTime/2), p.unused.close).Stop()
		if err := p.server.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("requests were cut off: %w", errors.Join(err, p.server.Close())))
		}
	}
	p.parts.Wait()
	for i := len(p.stops) - 1; i >= 0; i-- {
		errs = append(errs, p.stops[i]())
	}
	p.stops = nil
	return errors.Join(errs...)
}

// leave makes others stop calling. Whoever calls all the same is served, and told to close the
// connection; idle ones stay open until no more are taken, because their owners may be writing to them.
func (p *Process) leave() (err error) {
	delay := p.settings.DrainDelay
	if p.consul != nil {
		ctx, cancel := context.WithTimeout(context.Background(), p.settings.DrainTime)
		defer cancel()
		if err = p.consul.Deregister(ctx); err != nil {
			err = fmt.Errorf("deregister: %w", err)
		}
		delay = max(delay, consulNews)
	}
	p.leaving.Store(true)
	if delay > 0 {
		<-time.After(delay)
	}
	return err
}
