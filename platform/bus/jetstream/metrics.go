package jetstream

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/obs"
)

// scrapeTime bounds what a scrape may wait for the broker.
const scrapeTime = 2 * time.Second

// Measure adds the state of the connection, and what the broker stores, to reg.
func (t *Transport) Measure(reg prometheus.Registerer) {
	obs.Register(reg, &collector{
		t:          t,
		up:         prometheus.NewDesc("broker_up", "1 while the process is connected to the broker.", nil, nil),
		reconnects: prometheus.NewDesc("broker_reconnects_total", "How often the connection was made anew.", nil, nil),
		stored:     prometheus.NewDesc("broker_stored_bytes", "What all streams take on the disk, each replica counted.", nil, nil),
	})
}

type collector struct {
	t                      *Transport
	up, reconnects, stored *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	out <- c.up
	out <- c.reconnects
	out <- c.stored
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	up := 0.0
	if c.t.nc.IsConnected() {
		up = 1
	}
	out <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, up)
	out <- prometheus.MustNewConstMetric(c.reconnects, prometheus.CounterValue, float64(c.t.nc.Stats().Reconnects))
	if up == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	if info, err := c.t.js.AccountInfo(ctx); err == nil { // else there is no leader, and no figure
		out <- prometheus.MustNewConstMetric(c.stored, prometheus.GaugeValue, float64(info.Store))
	}
}
