package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// ErrClosed is returned by a closed Publisher or Subscriber.
var ErrClosed = errors.New("closed")

// Publisher stores messages in the streams. It is safe for concurrent use.
type Publisher struct {
	t      *Transport
	closed atomic.Bool
}

var _ message.Publisher = (*Publisher)(nil)

// Publisher returns a new publisher.
func (t *Transport) Publisher() *Publisher { return &Publisher{t: t} }

// Publish stores the messages one after the other and returns when the stream has acked the
// last one; at the first failure it returns, and the rest is not sent. A message's own
// context bounds its wait, as PublishTimeout does. A message needs a UUID; its metadata
// travels as headers, so keys are letters, digits and dashes and the like, not beginning
// with Nats-, and values are single lines.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		if err := p.publish(topic, m); err != nil {
			return fmt.Errorf("publish %s to %s: %w", m.UUID, topic, err)
		}
	}
	return nil
}

func (p *Publisher) publish(topic string, m *message.Message) error {
	out, err := p.encode(topic, m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(m.Context(), p.t.cfg.PublishTimeout)
	defer cancel()
	_, err = p.t.js.PublishMsg(ctx, out)
	return err
}

// Item is one message of a batch.
type Item struct {
	Topic   string
	Message *message.Message
}

// PublishBatch sends the messages in their order without waiting for each, at most
// Config.Outstanding on the way, and returns one result for each, nil if the stream has it.
// A failed one does not stop the others: the caller sends it again, and it comes after them
// then. When ctx ends, what has no answer yet has failed, although the stream may have it.
func (p *Publisher) PublishBatch(ctx context.Context, batch []Item) []error {
	errs := make([]error, len(batch))
	futures := make([]natsjs.PubAckFuture, len(batch))
	wait := func(i int) {
		if futures[i] == nil {
			return
		}
		select {
		case <-futures[i].Ok():
		case errs[i] = <-futures[i].Err():
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
		futures[i] = nil
	}
	window := p.t.cfg.Outstanding
	for i, item := range batch {
		if i >= window {
			wait(i - window)
		}
		if errs[i] = ctx.Err(); errs[i] != nil {
			continue
		}
		var out *nats.Msg
		if out, errs[i] = p.encode(item.Topic, item.Message); errs[i] != nil {
			continue
		}
		// No retries here: the next messages would overtake them.
		futures[i], errs[i] = p.t.js.PublishMsgAsync(out, natsjs.WithRetryAttempts(0))
	}
	for i := max(0, len(batch)-window); i < len(batch); i++ {
		wait(i)
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("publish %s to %s: %w", batch[i].Message.UUID, batch[i].Topic, err)
		}
	}
	return errs
}

// Close makes further publishing fail with ErrClosed.
func (p *Publisher) Close() error {
	p.closed.Store(true)
	return nil
}

func (p *Publisher) encode(topic string, m *message.Message) (*nats.Msg, error) {
	if p.closed.Load() {
		return nil, ErrClosed
	}
	if m.UUID == "" {
		return nil, errors.New("the message has no UUID")
	}
	subject, err := subjectOf(topic, m.Metadata[MetadataTenant])
	if err != nil {
		return nil, err
	}
	header := make(nats.Header, len(m.Metadata)+1)
	for k, v := range m.Metadata {
		if err := checkHeader(k, v); err != nil {
			return nil, err
		}
		header[k] = []string{v}
	}
	if err := checkHeader("UUID", m.UUID); err != nil {
		return nil, err
	}
	header[natsjs.MsgIDHeader] = []string{m.UUID + idSeparator + topic}
	return &nats.Msg{Subject: subject, Header: header, Data: m.Payload}, nil
}

// idSeparator is between UUID and topic in Nats-Msg-Id. The topic is there because a stream
// has many, and one message may be published to two of them, say to one for dead letters.
const idSeparator = "@"

// reserved begins the headers that the broker acts on.
const reserved = "Nats-"

// checkHeader refuses what the client would drop or change silently.
func checkHeader(key, value string) error {
	if key == "" || len(key) >= len(reserved) && strings.EqualFold(key[:len(reserved)], reserved) {
		return fmt.Errorf("metadata key %q is empty or begins with %s", key, reserved)
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return fmt.Errorf("metadata key %q is no header name (RFC 9110, 5.6.2)", key)
		}
	}
	if strings.ContainsAny(value, "\r\n") || strings.TrimSpace(value) != value {
		return fmt.Errorf("metadata %s has a line break, or space around its value", key)
	}
	return nil
}
