package jetstream_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"basisdienste/platform/bus/jetstream"
	"basisdienste/platform/id"
)

// patience bounds every wait of these tests; none takes that long unless it fails.
const patience = 30 * time.Second

// broker is an embedded server that can be restarted on its folder.
type broker struct {
	dir string
	srv *jetstream.Server
}

func newBroker(t testing.TB, opts ...jetstream.Option) *broker {
	t.Helper()
	b := &broker{dir: t.TempDir()}
	b.start(t, opts...)
	t.Cleanup(func() {
		if err := b.srv.Close(); err != nil {
			t.Errorf("Server.Close() = %v, want nil", err)
		}
	})
	return b
}

func (b *broker) start(t testing.TB, opts ...jetstream.Option) {
	t.Helper()
	srv, err := jetstream.StartServer(b.dir, append([]jetstream.Option{jetstream.Log(slog.New(slog.DiscardHandler))}, opts...)...)
	if err != nil {
		t.Fatalf("StartServer(%s) = %v, want a server", b.dir, err)
	}
	b.srv = srv
}

func (b *broker) client(t testing.TB) *nats.Conn {
	t.Helper()
	nc, err := b.srv.Client()
	if err != nil {
		t.Fatalf("Client() = %v, want a connection", err)
	}
	return nc
}

// transport makes a Transport of its own connection, with the stream "test" of test.>.
func (b *broker) transport(t testing.TB, cfg jetstream.Config) *jetstream.Transport {
	t.Helper()
	return newTransport(t, b.client(t), cfg)
}

func newTransport(t testing.TB, nc *nats.Conn, cfg jetstream.Config) *jetstream.Transport {
	t.Helper()
	if cfg.Streams == nil {
		cfg.Streams = []jetstream.Stream{{Name: "test", Subjects: []string{"test.>"}}}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	tr, err := jetstream.New(t.Context(), nc, cfg)
	if err != nil {
		t.Fatalf("New(%+v) = %v, want a Transport", cfg.Streams, err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Errorf("Transport.Close() = %v, want nil", err)
		}
	})
	return tr
}

// newMessage returns a message of that tenant and subject; its payload is n.
func newMessage(tenant, subject string, n int) *message.Message {
	m := message.NewMessage(id.New().String(), fmt.Append(nil, n))
	if tenant != "" {
		m.Metadata.Set(jetstream.MetadataTenant, tenant)
	}
	if subject != "" {
		m.Metadata.Set(jetstream.MetadataSubject, subject)
	}
	return m
}

// publish stores the messages in one batch.
func publish(t testing.TB, tr *jetstream.Transport, topic string, ms ...*message.Message) {
	t.Helper()
	batch := make([]jetstream.Item, len(ms))
	for i, m := range ms {
		batch[i] = jetstream.Item{Topic: topic, Message: m}
	}
	for i, err := range tr.Publisher().PublishBatch(t.Context(), batch) {
		if err != nil {
			t.Fatalf("PublishBatch(…)[%d] = %v, want nil", i, err)
		}
	}
}

func subscribe(t testing.TB, ctx context.Context, s *jetstream.Subscriber, topic string) <-chan *message.Message {
	t.Helper()
	c, err := s.Subscribe(ctx, topic)
	if err != nil {
		t.Fatalf("Subscribe(%s) = %v, want a channel", topic, err)
	}
	return c
}

// receive waits for the next value of c.
func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatalf("waiting for %s: the channel is closed", what)
		}
		return v
	case <-time.After(patience):
		t.Fatalf("waiting for %s: nothing after %s", what, patience)
	}
	panic("unreachable")
}

// closed waits until c is closed, and fails on a value.
func closed[T any](t testing.TB, c <-chan T, what string) {
	t.Helper()
	select {
	case v, ok := <-c:
		if ok {
			t.Fatalf("%s: got %v, want a closed channel", what, v)
		}
	case <-time.After(patience):
		t.Fatalf("%s: still open after %s", what, patience)
	}
}

// eventually asks again and again, until ok or the patience ends.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not so after %s", what, patience)
		}
	}
}
