package db

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"basisdienste/platform/obs"
)

// usage is what an engine tells of its connections. On SQLite these are the readers; the one
// writer has a queue instead.
type usage struct {
	max, inUse int
	waits      int64         // how often somebody had to wait for a connection, since the start
	waited     time.Duration // in all
	queue      int           // transactions that wait for SQLite's writer
}

func (e *pgEngine) usage() usage {
	s := e.pool.Stat()
	return usage{max: int(s.MaxConns()), inUse: int(s.AcquiredConns()), waits: s.EmptyAcquireCount(), waited: s.EmptyAcquireWaitTime()}
}

func (e *pgEngine) ping(ctx context.Context) error { return e.pool.Ping(ctx) }

func (e *sqliteEngine) usage() usage {
	return usage{max: cap(e.readers), inUse: cap(e.readers) - len(e.readers), queue: len(e.jobs)}
}

func (e *sqliteEngine) ping(ctx context.Context) error { return ctx.Err() }

// collector asks at each scrape.
type collector struct {
	db                                    *DB
	max, inUse, waits, waited, queue, met *prometheus.Desc
}

// pingTime bounds what a scrape may wait.
const pingTime = 2 * time.Second

// Measure adds the use of the connections to reg, and whether the database answers.
func (d *DB) Measure(reg prometheus.Registerer) {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	obs.Register(reg, &collector{
		db:     d,
		max:    desc("db_connections_max", "Connections that the process may have; on SQLite readers."),
		inUse:  desc("db_connections_in_use", "Connections that transactions have now."),
		waits:  desc("db_connection_waits_total", "How often a transaction had to wait for a connection."),
		waited: desc("db_connection_wait_seconds_total", "How long transactions waited for connections."),
		queue:  desc("db_write_queue", "Transactions that wait for SQLite's one writer."),
		met:    desc("db_up", "1 if the database answers within 2 s; not there while every connection is in use."),
	})
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.max, c.inUse, c.waits, c.waited, c.queue, c.met} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	u := c.db.engine.usage()
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	counter := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	gauge(c.max, float64(u.max))
	gauge(c.inUse, float64(u.inUse))
	counter(c.waits, float64(u.waits))
	counter(c.waited, u.waited.Seconds())
	gauge(c.queue, float64(u.queue))
	if u.inUse >= u.max { // it would have to wait, and take a connection from those who work
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), pingTime)
	defer cancel()
	up := 1.0
	if err := c.db.engine.ping(ctx); err != nil {
		up = 0
	}
	gauge(c.met, up)
}

// traced begins the span of a transaction: the engine and the service's schema, no statement.
func (d *DB) traced(ctx context.Context, name string) obs.Span {
	_, span := obs.StartSpan(ctx, trace.SpanKindClient, name)
	if span.Recorded() {
		system := "sqlite"
		if d.Postgres() {
			system = "postgresql"
		}
		span.Set("db.system.name", system)
		if d.cfg.Schema != "" {
			span.Set("db.namespace", d.cfg.Schema)
		}
	}
	return span
}
