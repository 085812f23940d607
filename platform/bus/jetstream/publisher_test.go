package jetstream_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"basisdienste/platform/bus/jetstream"
)

// stored returns how many messages the stream "test" has.
func stored(t *testing.T, b *broker) uint64 {
	t.Helper()
	return streamInfo(t, b).State.Msgs
}

func streamInfo(t *testing.T, b *broker) *natsjs.StreamInfo {
	t.Helper()
	st, err := admin(t, b).Stream(t.Context(), "test")
	if err != nil {
		t.Fatalf("Stream(test) = %v", err)
	}
	return st.CachedInfo()
}

func admin(t *testing.T, b *broker) natsjs.JetStream {
	t.Helper()
	js, err := natsjs.New(b.client(t))
	if err != nil {
		t.Fatalf("jetstream.New() = %v", err)
	}
	return js
}

func TestPublisher_StoresOncePerTopic(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	tr := b.transport(t, jetstream.Config{})
	p := tr.Publisher()
	m := newMessage("a", "", 1)
	for _, topic := range []string{"test.one.v1", "test.one.v1", "test.two.v1"} {
		if err := p.Publish(topic, m); err != nil {
			t.Errorf("Publish(%s) = %v, want nil", topic, err)
		}
		publish(t, tr, topic, m)
	}
	if got := stored(t, b); got != 2 {
		t.Errorf("six times the same message on two topics: stored %d, want 2", got)
	}
	c := subscribe(t, t.Context(), tr.Subscriber("group"), "test.two.v1")
	got := receive(t, c, "the message")
	got.Ack()
	if got.UUID != m.UUID || !got.Equals(m) {
		t.Errorf("received %s %v %q, want %s %v %q", got.UUID, got.Metadata, got.Payload, m.UUID, m.Metadata, m.Payload)
	}
}

func TestPublisher_Refuses(t *testing.T) {
	t.Parallel()
	p := newBroker(t).transport(t, jetstream.Config{}).Publisher()
	with := func(key, value string) *message.Message {
		m := newMessage("a", "", 0)
		m.Metadata.Set(key, value)
		return m
	}
	closed := newBroker(t).transport(t, jetstream.Config{}).Publisher()
	if err := closed.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	for _, c := range []struct {
		name  string
		p     *jetstream.Publisher
		topic string
		m     *message.Message
		want  string
	}{
		{"closed", closed, "test.v1", newMessage("a", "", 0), "closed"},
		{"no stream", p, "other.v1", newMessage("a", "", 0), "no response from stream"},
		{"illegal topic", p, "test.*", newMessage("a", "", 0), "topic"},
		{"illegal tenant", p, "test.v1", newMessage("a.b", "", 0), "tenantid"},
		{"no UUID", p, "test.v1", message.NewMessage("", nil), "UUID"},
		{"UUID of two lines", p, "test.v1", message.NewMessage("a\nb", nil), "UUID"},
		{"metadata of two lines", p, "test.v1", with("reason", "a\r\nb"), "line break"},
		{"metadata with space around", p, "test.v1", with("reason", " a"), "space"},
		{"metadata key no header", p, "test.v1", with("two words", "a"), "header name"},
		{"metadata key empty", p, "test.v1", with("", "a"), "empty"},
		{"broker's metadata key", p, "test.v1", with("nats-rollup", "all"), "Nats-"},
		{"too large", p, "test.v1", message.NewMessage("a", make([]byte, 2<<20)), "maximum payload"},
	} {
		single := c.p.Publish(c.topic, c.m)
		batch := c.p.PublishBatch(t.Context(), []jetstream.Item{{Topic: c.topic, Message: c.m}})[0]
		for call, err := range map[string]error{"Publish": single, "PublishBatch": batch} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %s() = %v, want an error with %q", c.name, call, err, c.want)
			}
		}
	}
}

func TestPublisher_BatchHasOneResultEach(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	p := b.transport(t, jetstream.Config{Outstanding: 7}).Publisher()
	batch := make([]jetstream.Item, 100)
	for i := range batch {
		batch[i] = jetstream.Item{Topic: "test.v1", Message: newMessage("a", "", i)}
		switch i % 10 {
		case 3:
			batch[i].Topic = "other.v1"
		case 7:
			batch[i].Message.UUID = ""
		}
	}
	for i, err := range p.PublishBatch(t.Context(), batch) {
		if want := i%10 == 3 || i%10 == 7; (err != nil) != want {
			t.Errorf("PublishBatch()[%d] = %v, want an error: %t", i, err, want)
		}
	}
	if got := stored(t, b); got != 80 {
		t.Errorf("stored %d messages, want 80", got)
	}
	if got := p.PublishBatch(t.Context(), nil); len(got) != 0 {
		t.Errorf("PublishBatch(nil) = %v, want no results", got)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i, err := range p.PublishBatch(ctx, batch) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("PublishBatch(ended ctx)[%d] = %v, want %v", i, err, context.Canceled)
		}
	}
}
