package bus

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"basisdienste/platform/bus/jetstream"
	"basisdienste/platform/obs"
	"basisdienste/platform/outbox"
)

// metrics of one service's events. Consumers are named as in the code, without the service.
type metrics struct {
	relayed, refused prometheus.Counter
	took, age        *prometheus.HistogramVec
	failed           *prometheus.CounterVec
	dead, duplicates *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: name, Help: help}
	}
	consumer := []string{"consumer"}
	return &metrics{
		relayed: obs.Register(reg, prometheus.NewCounter(counter("outbox_relayed_events_total", "Events that the broker has taken."))),
		refused: obs.Register(reg, prometheus.NewCounter(counter("outbox_relay_failures_total", "Tries to send an event that failed."))),
		took: obs.Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "event_handle_duration_seconds", Help: "Time that one try of a handler took, failed ones too.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 20},
		}, consumer)),
		age: obs.Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "event_age_seconds", Help: "From an event's commit to the end of its handling.",
			Buckets: []float64{.005, .01, .02, .05, .1, .15, .25, 1, 5, 30, 300, 3600},
		}, consumer)),
		failed:     obs.Register(reg, prometheus.NewCounterVec(counter("event_handle_failures_total", "Tries of a handler that failed: reason event (it, or the state, must change), away (somebody else is), early (an earlier event is not handled), error."), []string{"consumer", "reason"})),
		dead:       obs.Register(reg, prometheus.NewCounterVec(counter("event_given_up_total", "Events that became dead letters."), consumer)),
		duplicates: obs.Register(reg, prometheus.NewCounterVec(counter("inbox_duplicates_total", "Events that came again after they were handled, and had no effect."), consumer)),
	}
}

// know makes the consumer's series exist from the beginning, so that the first failure is an increase.
func (m *metrics) know(consumer string) {
	m.took.WithLabelValues(consumer)
	m.age.WithLabelValues(consumer)
	m.dead.WithLabelValues(consumer)
	m.duplicates.WithLabelValues(consumer)
	for _, reason := range []string{"event", "away", "early", "error"} {
		m.failed.WithLabelValues(consumer, reason)
	}
}

// tried counts one try of a handler.
func (m *metrics) tried(consumer string, event Meta, began time.Time, err error) {
	now := time.Now()
	m.took.WithLabelValues(consumer).Observe(now.Sub(began).Seconds())
	if err == nil {
		if !event.Time.IsZero() {
			m.age.WithLabelValues(consumer).Observe(max(0, now.Sub(event.Time).Seconds()))
		}
		return
	}
	reason := "error"
	switch blame(err) {
	case theEvent:
		reason = "event"
	case somebodyElse:
		reason = "away"
	case unknown:
		if errors.Is(err, errTooEarly) {
			reason = "early"
		}
	}
	m.failed.WithLabelValues(consumer, reason).Inc()
}

// sent counts the results of sending.
func (m *metrics) sent(errs []error) []error {
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	m.refused.Add(float64(failed))
	m.relayed.Add(float64(len(errs) - failed))
	return errs
}

// backlog asks the database at each scrape what waits. While the database does not answer
// there are no figures rather than old ones.
type backlog struct {
	router               *Router
	unsent, oldest, dead *prometheus.Desc
}

// scrapeTime bounds what a scrape may wait for the database.
const scrapeTime = 2 * time.Second

func newBacklog(r *Router) *backlog {
	return &backlog{
		router: r,
		unsent: prometheus.NewDesc("outbox_unsent_events", "Events that are committed and not sent yet.", nil, nil),
		oldest: prometheus.NewDesc("outbox_oldest_unsent_seconds", "How long the oldest of them has waited.", nil, nil),
		dead:   prometheus.NewDesc("dead_letters", "Events that a consumer gave up on and nobody has replayed.", []string{"consumer"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (b *backlog) Describe(out chan<- *prometheus.Desc) {
	out <- b.unsent
	out <- b.oldest
	out <- b.dead
}

// Collect implements prometheus.Collector.
func (b *backlog) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	w, err := outbox.Waiting(ctx, b.router.cfg.DB)
	if err != nil {
		return // db_up says that it is away
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(b.unsent, float64(w.Unsent))
	gauge(b.oldest, w.Oldest.Seconds())
	for name := range b.router.consumers {
		if _, dead := w.Dead[name]; !dead {
			w.Dead[name] = 0
		}
	}
	for name, n := range w.Dead {
		gauge(b.dead, float64(n), name)
	}
}

// spansOf begins a span for each record whose trace is recorded, and makes the record carry
// it on; nil if there is none.
func spansOf(ctx context.Context, records []outbox.Record) (spans []obs.Span) {
	for i := range records {
		rec := &records[i]
		if !obs.Sampled(rec.TraceParent) {
			continue
		}
		inside, span := obs.Follow(ctx, rec.TraceParent, trace.SpanKindProducer, "send "+rec.Type)
		span.Set("messaging.system", "nats")
		span.Set("messaging.destination.name", rec.Type)
		span.Set("messaging.message.id", rec.ID.String())
		rec.TraceParent = obs.TraceParent(inside)
		if spans == nil {
			spans = make([]obs.Span, len(records))
		}
		spans[i] = span
	}
	return spans
}

func (r *Router) send(publisher *jetstream.Publisher) outbox.Send {
	return func(ctx context.Context, records []outbox.Record) []error {
		spans := spansOf(ctx, records)
		batch := make([]jetstream.Item, len(records))
		for i, rec := range records {
			batch[i] = jetstream.Item{Topic: rec.Type, Message: toMessage(r.cfg.Service, rec)}
		}
		errs := publisher.PublishBatch(ctx, batch)
		for i, span := range spans {
			span.End(errs[i])
		}
		return r.metrics.sent(errs)
	}
}

// follow goes on with the trace in which the event was told.
func (r *Router) follow(ctx context.Context, c consumer, m Meta, traceparent string) (context.Context, obs.Span) {
	ctx, span := obs.Follow(ctx, traceparent, trace.SpanKindConsumer, c.span)
	if span.Recorded() {
		span.Set("messaging.system", "nats")
		span.Set("messaging.destination.name", m.Type)
		span.Set("messaging.message.id", m.ID.String())
		span.Set("messaging.consumer.group.name", r.cfg.Service+"-"+c.name)
		span.Set("basis.tenant.id", m.Tenant.String())
	}
	return ctx, span
}
