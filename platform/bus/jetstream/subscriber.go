package jetstream

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// setupTimeout bounds one attempt to find or make a consumer.
const setupTimeout = 10 * time.Second

// Subscriber hands out messages to one member of a group; all members, in this process and
// in others, share each topic's messages. It is safe for concurrent use.
type Subscriber struct {
	t     *Transport
	group string

	mu     sync.Mutex
	closed bool
	subs   map[*subscription]struct{}
}

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

// Subscriber returns a new subscriber of that group.
func (t *Transport) Subscriber(group string) *Subscriber {
	s := &Subscriber{t: t, group: group, subs: map[*subscription]struct{}{}}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subscribers[s] = struct{}{}
	return s
}

// SubscribeInitialize makes the group's durable consumer of the topic. A group starts with
// the oldest message of the stream, so it is not needed before publishing.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	sub, err := s.plan(topic)
	if err != nil {
		return err
	}
	_, err = sub.ensure(context.Background())
	return err
}

// Subscribe returns the channel of the topic's messages; each must be acked or nacked.
//
// When ctx ends or the Subscriber is closed, nothing more is handed out; handlers have
// Config.CloseTimeout left, their messages' contexts ending with it; what was not acked by
// then goes back to the broker, which gives it to another instance at once; and the channel
// is closed. A message's context has the values of ctx, and ends when it is acked or nacked.
//
// Outages of the broker, and a deleted consumer or stream, are waited out and repaired; a
// consumer made anew starts with the stream's oldest message. Only a closed connection ends
// the subscription by itself. Each outage is logged once, and so is its end.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	sub, err := s.plan(topic)
	if err != nil {
		return nil, err
	}
	if !s.t.cfg.Patient { // else the first session does it
		info, err := sub.ensure(ctx)
		if err != nil {
			return nil, err
		}
		if err := sub.rewind(ctx, info); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	sub.start(ctx)
	s.subs[sub] = struct{}{}
	go func() {
		sub.run()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subs, sub)
	}()
	return sub.out, nil
}

// Close ends all subscriptions and waits until their channels are closed, which takes as long
// as their slowest handler, but not much longer than Config.CloseTimeout.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	subs := make([]*subscription, 0, len(s.subs))
	for sub := range s.subs {
		sub.cancel()
		subs = append(subs, sub)
	}
	s.mu.Unlock()
	for _, sub := range subs {
		<-sub.done
	}
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	delete(s.t.subscribers, s)
	return nil
}

// plan checks what can be checked without the broker.
func (s *Subscriber) plan(topic string) (*subscription, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if err := checkTopic(topic); err != nil {
		return nil, err
	}
	stream, err := s.t.streamOf(topic)
	if err != nil {
		return nil, err
	}
	consumer, err := consumerName(s.group, topic)
	if err != nil {
		return nil, err
	}
	return &subscription{
		t: s.t, nc: s.t.nc, stream: stream, topic: topic, consumer: consumer,
		log:     s.t.cfg.Log.With(slog.String("topic", topic), slog.String("group", s.group)),
		out:     make(chan *message.Message),
		done:    make(chan struct{}),
		settled: make(chan struct{}),
		wake:    make(chan struct{}, 1),
		slots:   make(chan struct{}, s.t.cfg.Lanes),
		lanes:   map[string]*lane{},
		held:    map[heldKey]*item{},
	}, nil
}

// ensure makes the durable consumer, or brings an existing one to the present settings.
func (s *subscription) ensure(ctx context.Context) (*natsjs.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	cfg := natsjs.ConsumerConfig{
		Durable:       s.consumer,
		FilterSubject: filterOf(s.topic),
		DeliverPolicy: natsjs.DeliverAllPolicy,
		AckPolicy:     natsjs.AckExplicitPolicy,
		AckWait:       s.t.cfg.AckWait,
		MaxAckPending: s.t.cfg.MaxAckPending,
		MaxDeliver:    -1,
	}
	c, err := s.t.js.CreateOrUpdateConsumer(ctx, s.stream.Name, cfg)
	if err != nil {
		return nil, fmt.Errorf("consumer %s of stream %s: %w", s.consumer, s.stream.Name, err)
	}
	return c.CachedInfo(), nil
}

// rewind makes the broker go back to the oldest message that an exclusive subscriber's
// predecessor left unacked. It does not if more than MaxAckPending would come again.
func (s *subscription) rewind(ctx context.Context, info *natsjs.ConsumerInfo) error {
	again := info.Delivered.Consumer - info.AckFloor.Consumer
	if !s.t.cfg.Exclusive || info.NumAckPending == 0 || again > uint64(s.t.cfg.MaxAckPending) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if _, err := s.t.js.ResetConsumer(ctx, s.stream.Name, s.consumer); err != nil {
		return fmt.Errorf("rewind consumer %s of stream %s: %w", s.consumer, s.stream.Name, err)
	}
	return nil
}

// repair does what New and Subscribe did, for a broker that has lost something since.
func (s *subscription) repair(status <-chan nats.Status) error {
	ctx, cancel := context.WithTimeout(s.ctx, setupTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var err error
		if s.t.owns(s.stream.Name) {
			err = declare(ctx, s.t.js, s.stream)
		}
		if err == nil {
			_, err = s.ensure(ctx)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-status: // the broker's answer is lost with the connection
		return errDisconnected
	}
}

// trouble and fine log the beginning and the end of an outage, once each.
func (s *subscription) trouble(err error) {
	if s.ctx.Err() == nil && s.troubled.CompareAndSwap(false, true) {
		s.log.Warn("subscription interrupted", slog.Any("error", err))
	}
}

func (s *subscription) fine() {
	if s.troubled.CompareAndSwap(true, false) {
		s.log.Info("subscription goes on")
	}
}

// reply answers the broker for one message; what gets lost is answered by a redelivery.
func (s *subscription) reply(to, answer string) {
	if err := s.nc.Publish(to, []byte(answer)); err != nil {
		s.trouble(fmt.Errorf("answer %s: %w", answer, err))
	}
}
