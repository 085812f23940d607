package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// Config is what a Transport needs to know. Zero values take the default.
type Config struct {
	Streams []Stream // of all topics; created or changed by New, as far as Own says

	// Own names the streams that are declared here; nil is all of them. Others' are declared by
	// the services that tell their events.
	Own []string
	// Patient lets New and Subscribe succeed while the broker, or another's stream, is not there
	// yet. What could not be declared is tried again until it is, or until Close.
	Patient bool

	AckWait       time.Duration // after which the broker gives a dead instance's messages to another: 30 s
	MaxAckPending int           // of a group and topic, over all instances: 4096
	Prefetch      int           // messages in the hands of one subscription: 256
	Lanes         int           // of them, different keys being handled at a time: 64
	Heartbeat     time.Duration // of the broker while there is nothing to send; two missing are an outage: 5 s

	// Retry says how long a nacked message waits in place; attempt is 1 after the first nack.
	// Default: 100 ms, doubled each time, up to 30 s.
	Retry func(attempt int) time.Duration

	// Exclusive says that nobody else subscribes for these groups, because the broker is this
	// process's own. A new subscription then goes back to the oldest message that is not
	// acked: what was in flight when the process ended comes at once, before what is newer,
	// and not only after AckWait. Some messages acked since come again as well.
	Exclusive bool

	CloseTimeout   time.Duration // how long a handler may go on after the end of its subscription: 20 s
	PublishTimeout time.Duration // waiting for the stream's ack: 5 s
	Outstanding    int           // messages of one PublishBatch on the way: 256

	// Malformed is told of each message that cannot be handed out and is given up. It must
	// not block.
	Malformed func(Malformed)

	OwnConn bool         // Close also drains the connection
	Log     *slog.Logger // slog.Default() if nil
}

// Malformed names a message that no handler will see. It stays in its stream.
type Malformed struct {
	Stream   string
	Sequence uint64
	Subject  string
	Reason   string
}

// Transport makes publishers and subscribers on one connection. It is safe for concurrent use.
type Transport struct {
	nc  *nats.Conn
	js  natsjs.JetStream
	cfg Config

	mu          sync.Mutex
	subscribers map[*Subscriber]struct{}

	declaring sync.WaitGroup
	giveUp    context.CancelFunc
}

// New declares the streams and returns a Transport. A declaration that would drop messages or
// subjects of an existing stream is refused. The connection stays the caller's, unless
// Config.OwnConn says otherwise.
func New(ctx context.Context, nc *nats.Conn, cfg Config) (*Transport, error) {
	cfg.AckWait = orElse(cfg.AckWait, 30*time.Second)
	cfg.MaxAckPending = orElse(cfg.MaxAckPending, 4096)
	cfg.Prefetch = orElse(cfg.Prefetch, 256)
	cfg.Lanes = orElse(cfg.Lanes, 64)
	cfg.Heartbeat = orElse(cfg.Heartbeat, 5*time.Second)
	cfg.CloseTimeout = orElse(cfg.CloseTimeout, 20*time.Second)
	cfg.PublishTimeout = orElse(cfg.PublishTimeout, 5*time.Second)
	cfg.Outstanding = orElse(cfg.Outstanding, 256)
	if cfg.Retry == nil {
		cfg.Retry = exponential
	}
	if cfg.Malformed == nil {
		cfg.Malformed = func(Malformed) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	js, err := natsjs.New(nc, natsjs.WithPublishAsyncTimeout(cfg.PublishTimeout),
		natsjs.WithPublishAsyncMaxPending(1<<20)) // PublishBatch counts for itself
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	t := &Transport{nc: nc, js: js, cfg: cfg, subscribers: map[*Subscriber]struct{}{}, giveUp: func() {}}
	if cfg.Patient {
		background, cancel := context.WithCancel(context.WithoutCancel(ctx))
		t.giveUp = cancel
		t.declaring.Go(func() { t.declarePatiently(background) })
		return t, nil
	}
	return t, t.declareOwn(ctx)
}

func (t *Transport) owns(stream string) bool {
	return t.cfg.Own == nil || slices.Contains(t.cfg.Own, stream)
}

func (t *Transport) declareOwn(ctx context.Context) error {
	for _, s := range t.cfg.Streams {
		if !t.owns(s.Name) {
			continue
		}
		if err := declare(ctx, t.js, s); err != nil {
			return err
		}
	}
	return nil
}

// declarePatiently tries until the streams are as declared, and logs why they are not, once.
func (t *Transport) declarePatiently(ctx context.Context) {
	told := false
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		attempt, cancel := context.WithTimeout(ctx, setupTimeout)
		err := t.declareOwn(attempt)
		cancel()
		if err == nil || ctx.Err() != nil {
			return
		}
		if !told {
			told = true
			t.cfg.Log.WarnContext(ctx, "streams are not declared yet", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
	}
}

func exponential(attempt int) time.Duration {
	return min(100*time.Millisecond<<min(attempt-1, 10), 30*time.Second)
}

// Close closes the subscribers, waits for them, and gives the connection back.
func (t *Transport) Close() error {
	t.giveUp()
	t.declaring.Wait()
	t.mu.Lock()
	subscribers := make([]*Subscriber, 0, len(t.subscribers))
	for s := range t.subscribers {
		subscribers = append(subscribers, s)
	}
	t.mu.Unlock()
	var wg sync.WaitGroup
	errs := make([]error, len(subscribers)+1)
	for i, s := range subscribers {
		wg.Go(func() { errs[i] = s.Close() })
	}
	wg.Wait()
	t.js.CleanupPublisher()
	if t.cfg.OwnConn {
		err := t.nc.Drain()
		if errors.Is(err, nats.ErrConnectionReconnecting) { // there is nobody to drain to
			t.nc.Close()
		} else if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			errs[len(subscribers)] = fmt.Errorf("drain the connection: %w", err)
		}
	}
	return errors.Join(errs...)
}

// streamOf returns the declared stream of a topic.
func (t *Transport) streamOf(topic string) (Stream, error) {
	for _, s := range t.cfg.Streams {
		if covers(s.Subjects, filterOf(topic)) {
			return s, nil
		}
	}
	return Stream{}, fmt.Errorf("topic %s is in none of the declared streams", topic)
}
