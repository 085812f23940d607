// Package bus carries events between services: a Watermill router over our JetStream
// transport, with the outbox at one end and the inbox at the other.
//
// A service hears an event by one line:
//
//	bus.Handle(r, "settle", s.PaymentPayed)   // effect in our database: exactly once
//	bus.Call(r, "receipt", s.SendReceipt)     // calls another service: at least once
//
// A handler that fails is tried again with growing pauses; then the event is kept as a dead
// letter with its error, and the next one goes on. While a neighbour is away (fault of kind
// unavailable) events wait for it much longer. Events of one aggregate wait for each other,
// others do not wait.
package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/bus/jetstream"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/obs"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenant"
)

// Meta is what is known of an event besides its payload (CloudEvents 1.0 attributes).
type Meta struct {
	ID      id.ID
	Type    string
	Source  string
	Subject string
	Time    time.Time
	Tenant  id.ID

	prior id.ID // the event of its type and aggregate that was told before it, if it has to wait for that
}

// Config of a service's router.
type Config struct {
	Service   string // the source of its events and the first part of its consumers' names
	DB        *db.DB
	Transport *jetstream.Transport
	Log       *slog.Logger
	Metrics   prometheus.Registerer // of the service; nil keeps none
	// EventsPerTenant is how many events of one tenant go out in a second: see outbox.Relay.
	EventsPerTenant int
	// Tries of a handler before the event becomes a dead letter; 0 means 10. The transport
	// makes the pauses between them, in which others are handled.
	Tries int
	// Patience is how long a handler is tried whose error says that somebody else is away
	// (fault of kind unavailable or rate limited), however many tries that takes; 0 means 1 h.
	Patience time.Duration
	// Timeout bounds one try; 0 means 20 s.
	Timeout time.Duration
	// OrderWait is how long an event waits for the one of its type and aggregate that was told
	// before it, and that another process may be handling; 0 means 30 s. It is handled then all
	// the same: the other one is lost, or became a dead letter.
	OrderWait time.Duration
}

// Router holds the handlers of one service.
type Router struct {
	cfg       Config
	consumers map[string]consumer // by name
	metrics   *metrics

	mu      sync.Mutex
	failing map[attempt]failure // what is being tried again; forgotten at a restart
}

type attempt struct {
	consumer string
	event    id.ID
}

type failure struct {
	tries int
	since time.Time
}

type consumer struct {
	name, topic string
	span        string // in traces
	try         func(ctx context.Context, m Meta, payload []byte) error
}

// New returns a router without handlers.
func New(cfg Config) *Router {
	if cfg.Tries == 0 {
		cfg.Tries = 10
	}
	if cfg.Patience == 0 {
		cfg.Patience = time.Hour
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.OrderWait == 0 {
		cfg.OrderWait = 30 * time.Second
	}
	r := &Router{cfg: cfg, consumers: map[string]consumer{}, metrics: newMetrics(cfg.Metrics), failing: map[attempt]failure{}}
	obs.Register(cfg.Metrics, newBacklog(r))
	return r
}

// Handle lets fn have its effect in the service's database exactly once for each event: the
// mark in the inbox and the effect are one transaction, which acts for the event's tenant.
// The consumer's name is for good: another name hears everything from the beginning.
func Handle[E outbox.Event](r *Router, name string, fn func(ctx context.Context, tx *db.Tx, m Meta, e E) error) {
	add(r, name, func(ctx context.Context, m Meta, e E) error {
		var again bool
		err := r.cfg.DB.Tx(ctx, func(tx *db.Tx) error {
			first, err := outbox.First(ctx, tx, name, m.ID)
			if again = !first; err != nil || again {
				return err
			}
			if err := inOrder(ctx, tx, name, m); err != nil {
				return err
			}
			return fn(ctx, tx, m, e)
		})
		if err == nil && again {
			r.metrics.duplicates.WithLabelValues(name).Inc()
		}
		return err
	})
}

// Call lets fn call another service, outside of any transaction. After a crash it may be
// called again for the same event, so the callee gets m.ID as Idempotency-Key.
func Call[E outbox.Event](r *Router, name string, fn func(ctx context.Context, m Meta, e E) error) {
	add(r, name, func(ctx context.Context, m Meta, e E) error {
		var seen bool
		err := r.cfg.DB.Read(ctx, func(tx *db.Tx) (err error) {
			if seen, err = outbox.Seen(ctx, tx, name, m.ID); err != nil || seen {
				return err
			}
			return inOrder(ctx, tx, name, m)
		})
		if err != nil {
			return err
		}
		if seen {
			r.metrics.duplicates.WithLabelValues(name).Inc()
			return nil
		}
		if err := fn(ctx, m, e); err != nil {
			return err
		}
		return r.cfg.DB.Tx(ctx, func(tx *db.Tx) error {
			_, err := outbox.First(ctx, tx, name, m.ID)
			return err
		})
	})
}

// errTooEarly: the event told before this one, of the same type and aggregate, is not handled
// yet; another process may be at it.
var errTooEarly = errors.New("an earlier event of the aggregate is not handled yet")

func inOrder(ctx context.Context, tx *db.Tx, consumer string, m Meta) error {
	if m.prior == "" {
		return nil
	}
	done, err := outbox.Settled(ctx, tx, consumer, m.prior)
	if err == nil && !done {
		err = errTooEarly
	}
	return err
}

func add[E outbox.Event](r *Router, name string, fn func(ctx context.Context, m Meta, e E) error) {
	var zero E
	if _, twice := r.consumers[name]; twice {
		panic("bus: two handlers named " + name + " in " + r.cfg.Service)
	}
	r.metrics.know(name)
	r.consumers[name] = consumer{name: name, topic: zero.EventType(), span: "process " + zero.EventType(), try: func(ctx context.Context, m Meta, payload []byte) error {
		var e E
		if err := json.Unmarshal(payload, &e); err != nil {
			return fault.Unprocessable("event_unreadable", "the event's payload does not fit its type").Because(err)
		}
		return fn(ctx, m, e)
	}}
}

// Run relays and handles until ctx ends, then lets the handlers under way finish.
func (r *Router) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	relay := r.relay()
	wg.Go(func() { relay.Run(ctx) })
	if len(r.consumers) == 0 {
		<-ctx.Done()
		return nil
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: r.cfg.Timeout}, watermill.NewSlogLogger(quiet(r.cfg.Log)))
	if err != nil {
		return err
	}
	for _, c := range r.consumers {
		router.AddConsumerHandler(c.name, c.topic, r.cfg.Transport.Subscriber(r.cfg.Service+"-"+c.name), r.receive(c))
	}
	if err := router.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil // also when ctx ended before everything had begun
}

func (r *Router) relay() *outbox.Relay {
	return &outbox.Relay{
		DB: r.cfg.DB, Send: r.send(r.cfg.Transport.Publisher()), PerTenant: r.cfg.EventsPerTenant, Log: r.cfg.Log,
		Waiting: func(ctx context.Context) (int, error) { return r.cfg.Transport.Waiting(ctx, r.cfg.Service) },
	}
}

// quiet keeps Watermill's chatter out of the log: only what needs a look passes.
func quiet(log *slog.Logger) *slog.Logger {
	return slog.New(minLevel{log.Handler()})
}

type minLevel struct{ slog.Handler }

func (h minLevel) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && h.Handler.Enabled(ctx, l)
}

func (h minLevel) WithAttrs(a []slog.Attr) slog.Handler { return minLevel{h.Handler.WithAttrs(a)} }
func (h minLevel) WithGroup(g string) slog.Handler      { return minLevel{h.Handler.WithGroup(g)} }

// receive is the Watermill handler. It answers the message by itself: an error returned to
// Watermill would be logged at each try.
func (r *Router) receive(c consumer) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		m := metaOf(msg)
		ctx := msg.Context()
		if err := m.check(); err != nil { // nobody could handle or even keep it
			r.cfg.Log.ErrorContext(ctx, "event skipped: it is not one of ours", "consumer", r.cfg.Service+"-"+c.name, "event", m.Type, "error", err)
			return nil
		}
		ctx, span := r.follow(tenant.With(ctx, tenant.Tenant{ID: m.Tenant}), c, m, msg.Metadata.Get(metaTrace))
		if m.prior != "" && r.failingFor(c, m) > r.cfg.OrderWait {
			r.cfg.Log.WarnContext(ctx, "event is handled although an earlier one of its aggregate is not", "consumer", r.cfg.Service+"-"+c.name, "event", m.Type, "id", m.ID, "earlier", m.prior)
			m.prior = ""
		}
		began := time.Now()
		err := r.once(ctx, c, m, msg.Payload)
		r.metrics.tried(c.name, m, began, err)
		span.End(err)
		if err != nil && ctx.Err() == nil && r.giveUp(ctx, c, m, err) {
			err = r.bury(ctx, c, m, msg, err)
		}
		if err != nil {
			msg.Nack()
			return nil
		}
		r.mu.Lock()
		delete(r.failing, attempt{c.name, m.ID})
		r.mu.Unlock()
		return nil
	}
}

// failingFor is how long ago the event was first tried here, in vain.
func (r *Router) failingFor(c consumer, m Meta) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.failing[attempt{c.name, m.ID}]; ok {
		return time.Since(f.since)
	}
	return 0
}

// giveUp counts the failure and reports whether it was the last one.
func (r *Router) giveUp(ctx context.Context, c consumer, m Meta, err error) bool {
	r.mu.Lock()
	key := attempt{c.name, m.ID}
	f, again := r.failing[key]
	if !again {
		f.since = time.Now()
	}
	if !errors.Is(err, errTooEarly) {
		f.tries++
	}
	r.failing[key] = f
	r.mu.Unlock()
	if errors.Is(err, errTooEarly) {
		return false
	}
	if f.tries == r.cfg.Tries/2 {
		r.cfg.Log.WarnContext(ctx, "event fails and is tried again", "consumer", r.cfg.Service+"-"+c.name, "event", m.Type, "id", m.ID, "error", err)
	}
	switch blame(err) {
	case theEvent:
		return f.tries >= 2
	case somebodyElse:
		return time.Since(f.since) >= r.cfg.Patience
	case unknown:
	}
	return f.tries >= r.cfg.Tries
}

type culprit int

const (
	unknown      culprit = iota
	theEvent             // it, or the state, must change before another try can go better
	somebodyElse         // is away, and will be back
)

func blame(err error) culprit {
	var f *fault.Error
	if !errors.As(err, &f) {
		return unknown
	}
	switch f.Kind {
	case fault.KindInvalid, fault.KindUnprocessable, fault.KindUnsupported, fault.KindTooLarge, fault.KindGone:
		return theEvent
	case fault.KindUnavailable, fault.KindRateLimited:
		return somebodyElse
	default:
		return unknown
	}
}

func (r *Router) once(ctx context.Context, c consumer, m Meta, payload []byte) (err error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return c.try(ctx, m, payload)
}

// bury keeps the event as a dead letter and lets the next one go on.
func (r *Router) bury(ctx context.Context, c consumer, m Meta, msg *message.Message, cause error) error {
	r.cfg.Log.ErrorContext(ctx, "event given up", "consumer", r.cfg.Service+"-"+c.name, "event", m.Type, "id", m.ID, "error", cause)
	err := r.cfg.DB.Tx(ctx, func(tx *db.Tx) error {
		return outbox.Bury(ctx, tx, outbox.DeadLetter{
			ID: m.ID, Consumer: c.name, Type: m.Type, Source: m.Source, Subject: m.Subject, Payload: string(msg.Payload),
			TraceParent: msg.Metadata.Get(metaTrace), EventAt: db.NewTime(m.Time), Error: describe(cause),
		})
	})
	if err == nil {
		r.metrics.dead.WithLabelValues(c.name).Inc()
	}
	return err
}

// describe is the error as the operator may see it: our words, without personal data.
func describe(err error) string {
	text := err.Error()
	if len(text) > 2000 {
		text = text[:2000] // perhaps in the middle of a character
	}
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "")
}
