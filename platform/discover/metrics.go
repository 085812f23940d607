package discover

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/obs"
)

// Measure adds the known instances and the state of their breakers to reg.
func (s *Static) Measure(reg prometheus.Registerer) {
	obs.Register(reg, newCollector(func() (pools []*pool) {
		for _, p := range s.pools {
			pools = append(pools, p)
		}
		return pools
	}, nil))
}

// Measure adds the known instances, the state of their breakers, and whether Consul answers.
func (c *Consul) Measure(reg prometheus.Registerer) {
	obs.Register(reg, newCollector(func() (pools []*pool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, p := range c.pools {
			pools = append(pools, p)
		}
		return pools
	}, func() bool {
		c.link.mu.Lock()
		defer c.link.mu.Unlock()
		return len(c.link.away) == 0
	}))
}

// collector looks at the pools at each scrape. Series end with their instances.
type collector struct {
	pools             func() []*pool
	consul            func() bool // nil without Consul
	state, known, met *prometheus.Desc
}

func newCollector(pools func() []*pool, consul func() bool) *collector {
	return &collector{
		pools: pools, consul: consul,
		state: prometheus.NewDesc("client_breaker_state", "Of an instance that is called: 0 closed (it is called), 1 half-open (it is tried), 2 open (it is left out).", []string{"target", "target_instance"}, nil),
		known: prometheus.NewDesc("client_instances", "Instances of a service that are known.", []string{"target"}, nil),
		met:   prometheus.NewDesc("consul_up", "1 while Consul answers; otherwise the instances known last are kept.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	out <- c.state
	out <- c.known
	out <- c.met
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, p := range c.pools() {
		members := *p.members.Load()
		gauge(c.known, float64(len(members)), p.service)
		for i, m := range members {
			if slices.IndexFunc(members, func(o *member) bool { return o.host == m.host }) == i { // a host by http and https is one series
				gauge(c.state, float64(m.breaker.State()), p.service, m.host)
			}
		}
	}
	if c.consul != nil {
		up := 0.0
		if c.consul() {
			up = 1
		}
		gauge(c.met, up)
	}
}
