package faults_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// troubled are the instances whose links can be broken; other links have no proxy.
func troubled(instance string) bool { return instance == "payment-1" || instance == "forms-1" }

// links are proxies between an instance and what it depends on, and between it and who
// calls it.
type links struct {
	server *toxiproxy.ApiServer // for its settings: it does not listen

	mu      sync.Mutex
	proxies map[string]*toxiproxy.Proxy // by instance and dependency
}

func newLinks() *links {
	return &links{
		server:  toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop()),
		proxies: map[string]*toxiproxy.Proxy{},
	}
}

// reach is local.Options.Reach.
func (l *links) reach(instance, dependency, address string) (string, error) {
	if !troubled(instance) {
		return address, nil
	}
	p := toxiproxy.NewProxy(l.server, instance+" "+dependency, "127.0.0.1:0", address)
	if err := p.Start(); err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proxies[instance+" "+dependency] = p
	return p.Listen, nil
}

func (l *links) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.proxies {
		p.Stop()
	}
}

// The ways in which a link breaks, as toxics.
const (
	cut      = `{"type": "reset_peer", "attributes": {"timeout": 0}}`
	slow     = `{"type": "latency", "attributes": {"latency": 500, "jitter": 100}}`
	halfOpen = `{"type": "timeout", "attributes": {"timeout": 0}}` // bytes vanish
)

// spoil breaks the links of an instance to the dependencies, in both directions, until the
// returned function mends them.
func (l *links) spoil(instance, toxic string, dependencies ...string) (mend func(context.Context) error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var broken []*toxiproxy.Proxy
	for _, d := range dependencies {
		p := l.proxies[instance+" "+d]
		if p == nil {
			return nil, fmt.Errorf("no proxy between %s and %s", instance, d)
		}
		for _, stream := range []string{"upstream", "downstream"} {
			text := `{"name": "` + stream + `", "stream": "` + stream + `", ` + strings.TrimPrefix(toxic, "{")
			if _, err := p.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
		}
		broken = append(broken, p)
	}
	return func(ctx context.Context) error {
		var errs []error
		for _, p := range broken {
			errs = append(errs, p.Toxics.RemoveToxic(ctx, "upstream"), p.Toxics.RemoveToxic(ctx, "downstream"))
		}
		return errors.Join(errs...)
	}, nil
}
