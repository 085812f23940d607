package discover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"basisdienste/platform/certs"
)

// ConsulConfig says how Consul is reached and what it is told. What is empty of the first
// lines is taken from the variables of the consul command (CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN …).
type ConsulConfig struct {
	Address    string // host:port of an agent, best the one on this host
	Scheme     string // "http" (the default) or "https"
	Token      string // ACL: service:write for what registers; service:read and node:read for what is called
	CAFile     string // whom to trust as Consul; default: as the system does
	CertFile   string // shown to Consul; read again when it changes, as KeyFile is
	KeyFile    string
	Datacenter string // where services are looked for; default: the agent's own

	Trust *certs.Authorities // of services that speak https; default: those of CAFile

	TLS             bool          // services that do not say so themselves speak https
	CheckInterval   time.Duration // between two checks of an instance; default 5 s
	DeregisterAfter time.Duration // a critical instance is forgotten after it; default and, in Consul, least 1 min

	Log   *slog.Logger
	Clock func() time.Time // default time.Now
}

// Consul finds services that are registered in Consul, and registers them. It is safe for
// concurrent use.
//
// While Consul is away the instances known last stay; each change to and fro is logged once.
// An answer after such a time is believed at once in what is new, but instances that it lacks
// stay for a few check intervals: an agent that starts anew takes all instances for critical
// until it has checked them, and one that lost its state waits for them to register. Any other
// answer counts as it is: nobody there means service_unavailable.
type Consul struct {
	cfg    ConsulConfig
	client *api.Client
	link   *link
	agent  *http.Transport // to Consul
	base   *http.Transport // to the services

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu         sync.Mutex
	closed     bool
	pools      map[string]*pool
	registered []*registration
}

// NewConsul checks the settings. It does not wait for Consul: that may come later. Everything
// that it starts ends with ctx or with Close.
func NewConsul(ctx context.Context, cfg ConsulConfig) (*Consul, error) {
	if cfg.Log == nil {
		return nil, errors.New("consul: no logger")
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.CheckInterval <= 0 {
		cfg.CheckInterval = 5 * time.Second
	}
	if cfg.DeregisterAfter <= 0 {
		cfg.DeregisterAfter = time.Minute
	}
	if cfg.Scheme != "" && cfg.Scheme != "http" && cfg.Scheme != "https" {
		return nil, fmt.Errorf("consul: scheme %q is unknown, want http or https", cfg.Scheme)
	}
	c := &Consul{cfg: cfg, link: newLink(cfg.Log, cfg.Clock), agent: newTransport(nil), pools: map[string]*pool{}}
	c.agent.ResponseHeaderTimeout = 0 // a blocking query is bounded by its context
	var err error
	if cfg.CAFile != "" || cfg.CertFile != "" || cfg.KeyFile != "" {
		if c.agent.TLSClientConfig, err = certs.Client(cfg.CAFile, cfg.CertFile, cfg.KeyFile); err != nil {
			return nil, fmt.Errorf("consul: %w", err)
		}
	}
	if cfg.Trust == nil && cfg.CAFile != "" {
		if cfg.Trust, err = certs.OpenAuthorities(cfg.CAFile); err != nil {
			return nil, fmt.Errorf("consul: %w", err)
		}
	}
	c.base = newTransport(cfg.Trust)
	c.client, err = api.NewClient(&api.Config{
		Address: cfg.Address, Scheme: cfg.Scheme, Token: cfg.Token, Datacenter: cfg.Datacenter, Transport: c.agent,
	})
	if err != nil {
		return nil, fmt.Errorf("consul: %w", err)
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c, nil
}

// Client implements Services.
func (c *Consul) Client(service string) *http.Client { return c.pool(service).client() }

// Handler implements Services. Bodies stream both ways.
func (c *Consul) Handler(service string) http.Handler { return newProxy(c.pool(service)) }

// pool returns the service's instances, and begins to watch them if nobody did so before.
func (c *Consul) pool(service string) *pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[service]
	if p == nil {
		p = newPool(service, c.base, c.cfg.Log)
		c.pools[service] = p
		known := make(chan struct{})
		p.await = func(ctx context.Context) {
			select {
			case <-known:
			case <-ctx.Done():
			case <-c.ctx.Done():
			}
		}
		c.spawn(func() { c.watch(p, sync.OnceFunc(func() { close(known) })) })
	}
	return p
}

// spawn runs f unless c is closed. c.mu is held.
func (c *Consul) spawn(f func()) {
	if !c.closed {
		c.work.Go(f)
	}
}

// Close ends every goroutine and waits for them: the queries that wait at Consul are given up.
// Instances stay registered; see Deregister. Calls that are under way go on. The error is nil.
func (c *Consul) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.work.Wait()
	c.agent.CloseIdleConnections()
	c.base.CloseIdleConnections()
	return nil
}
