package run

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"basisdienste/platform/certs"
	"basisdienste/platform/discover"
)

// services finds the services of this process first, then those elsewhere: through Consul, or
// at the configured addresses.
type services struct {
	*discover.Local
	elsewhere discover.Services
	here      func(service string) bool // until all are opened, only apps are
}

func (s *services) Client(service string) *http.Client { return s.of(service).Client(service) }

func (s *services) Handler(service string) http.Handler { return s.of(service).Handler(service) }

func (s *services) of(service string) discover.Services {
	if s.elsewhere == nil || s.here(service) {
		return s.Local
	}
	return s.elsewhere
}

// openServices makes the way to other services; those of apps and Provided are in this process.
func (p *Process) openServices(ctx context.Context, apps []App) error {
	p.services = &services{Local: discover.NewLocal(), here: func(service string) bool {
		for _, app := range apps {
			if app.Name == service {
				return true
			}
		}
		return p.settings.Provided[service] != nil
	}}
	for name, h := range p.settings.Provided {
		p.services.Add(name, h)
	}
	var trust *certs.Authorities
	if file := p.settings.TLS.CAFile; file != "" {
		var err error
		if trust, err = certs.OpenAuthorities(file); err != nil {
			return usageError{fmt.Errorf("server.tls.ca_file: %w", err)}
		}
	}
	if c := p.settings.Consul; c.Address != "" {
		consul, err := discover.NewConsul(ctx, discover.ConsulConfig{
			Address: c.Address, Scheme: c.Scheme, Token: c.Token, CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile,
			Datacenter: c.Datacenter, CheckInterval: c.CheckInterval, DeregisterAfter: c.DeregisterAfter, Trust: trust, Log: p.log, Clock: p.clock,
		})
		if err != nil {
			return fmt.Errorf("consul: %w", err)
		}
		p.consul, p.services.elsewhere = consul, consul
		consul.Measure(p.metrics)
		p.stops = append(p.stops, consul.Close)
		return nil
	}
	if len(p.settings.ServiceURLs) == 0 {
		return nil
	}
	lists := map[string][]string{}
	for name, list := range p.settings.ServiceURLs {
		for u := range strings.SplitSeq(list, ",") {
			lists[name] = append(lists[name], strings.TrimSpace(u))
		}
	}
	static, err := discover.NewStatic(lists, trust)
	if err != nil {
		return usageError{fmt.Errorf("server.services: %w", err)}
	}
	p.services.elsewhere = static
	static.Measure(p.metrics)
	return nil
}

// register makes the process known to others. It goes on in the background while Consul is away.
func (p *Process) register(ctx context.Context) {
	if p.consul == nil {
		return
	}
	address := p.settings.Advertise
	if address == "" {
		address = p.address
	}
	for _, o := range p.opened {
		err := p.consul.Register(ctx, discover.Instance{Service: o.app.Name, Advertise: address, TLS: p.settings.TLS.CertFile != ""})
		if err != nil {
			p.fail(usageError{fmt.Errorf("server.advertise: %w", err)})
		}
	}
}
