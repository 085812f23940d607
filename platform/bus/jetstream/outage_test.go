package jetstream_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"basisdienste/platform/bus/jetstream"
)

// lines is a slog handler that passes on the text of each line.
type lines chan string

func (l lines) Enabled(context.Context, slog.Level) bool { return true }
func (l lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l lines) WithGroup(string) slog.Handler            { return l }
func (l lines) Handle(_ context.Context, r slog.Record) error {
	text := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	l <- text
	return nil
}

// expect reads one line that begins so.
func (l lines) expect(t *testing.T, want string) {
	t.Helper()
	if got := receive(t, l, "the line "+want); !strings.HasPrefix(got, want) {
		t.Errorf("logged %q, want %q", got, want)
	}
}

const (
	interrupted = "WARN subscription interrupted"
	goesOn      = "INFO subscription goes on"
)

// TestSubscriber_Reconnects: the broker goes away and comes back.
func TestSubscriber_Reconnects(t *testing.T) {
	t.Parallel()
	b := newBroker(t, jetstream.Listen("127.0.0.1:0"))
	url := b.srv.URL()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatalf("Connect(%s) = %v", url, err)
	}
	log := make(lines, 100)
	tr := newTransport(t, nc, jetstream.Config{OwnConn: true, Log: slog.New(log), AckWait: time.Second})
	publish(t, tr, "test.outage.v1", newMessage("a", "1", 0), newMessage("a", "2", 1))
	c := subscribe(t, t.Context(), tr.Subscriber("group"), "test.outage.v1")
	receive(t, c, "a message before the outage").Ack()
	inHand := receive(t, c, "another one")
	ending := newTransport(t, nc, jetstream.Config{}).Subscriber("ending")
	ended := subscribe(t, t.Context(), ending, "test.outage.v1")

	if err := b.srv.Close(); err != nil {
		t.Fatalf("Close() = %v, want nil", err)
	}
	log.expect(t, interrupted)
	eventually(t, "connection lost", nc.IsReconnecting)
	go ending.Close()      //nolint:errcheck // always nil, and again at the end of the test
	for m := range ended { // it ends although the broker is away
		m.Ack()
	}
	_, addr, _ := strings.Cut(url, "//")
	b.start(t, jetstream.Listen(addr))
	publish(t, b.transport(t, jetstream.Config{}), "test.outage.v1", newMessage("a", "3", 2))
	m := receive(t, c, "a message after the outage")
	if got := string(m.Payload); got != "2" {
		t.Errorf("after the outage got message %s, want 2", got)
	}
	m.Ack()
	inHand.Ack()
	log.expect(t, goesOn)
	eventually(t, "all acked", func() bool { return consumerInfo(t, b).NumAckPending == 0 })
	if len(log) > 0 {
		t.Errorf("one outage, and also logged %q", <-log)
	}
}

// TestSubscriber_Repairs what somebody deleted.
func TestSubscriber_Repairs(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(t *testing.T, b *broker) error{
		"consumer": func(t *testing.T, b *broker) error {
			return admin(t, b).DeleteConsumer(t.Context(), "test", consumerInfo(t, b).Name)
		},
		"stream": func(t *testing.T, b *broker) error { return admin(t, b).DeleteStream(t.Context(), "test") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t)
			log := make(lines, 100)
			tr := b.transport(t, jetstream.Config{Log: slog.New(log), Heartbeat: 100 * time.Millisecond})
			first := newMessage("a", "1", 0)
			publish(t, tr, "test.repair.v1", first)
			c := subscribe(t, t.Context(), tr.Subscriber("group"), "test.repair.v1")
			inHand := receive(t, c, "the first message")
			if err := remove(t, b); err != nil {
				t.Fatalf("delete the %s: %v", name, err)
			}
			log.expect(t, interrupted)
			log.expect(t, goesOn)

			// A stream made anew has another message under the number of the one in hand.
			publish(t, tr, "test.repair.v1", newMessage("a", "2", 1))
			m := receive(t, c, "the next message")
			if got := string(m.Payload); got != "1" {
				t.Errorf("got message %s, want 1: 0 is still in hand", got)
			}
			m.Ack()
			inHand.Ack()
			eventually(t, "all acked", func() bool {
				info := consumerInfo(t, b)
				return info.NumAckPending == 0 && info.NumPending == 0
			})
		})
	}
}

// gate is a connection that can stop hearing without being closed.
type gate struct {
	net.Conn
	mu *sync.RWMutex
}

func (g gate) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.mu.RLock()
	defer g.mu.RUnlock()
	return n, err
}

type gateDialer struct{ mu sync.RWMutex }

func (d *gateDialer) Dial(network, addr string) (net.Conn, error) {
	var nd net.Dialer
	c, err := nd.DialContext(context.Background(), network, addr)
	return gate{c, &d.mu}, err
}

// TestSubscriber_MissesHeartbeats: a connection that looks alive and is not.
func TestSubscriber_MissesHeartbeats(t *testing.T) {
	t.Parallel()
	b := newBroker(t, jetstream.Listen("127.0.0.1:0"))
	var d gateDialer
	nc, err := nats.Connect(b.srv.URL(), nats.SetCustomDialer(&d))
	if err != nil {
		t.Fatalf("Connect() = %v", err)
	}
	log := make(lines, 100)
	tr := newTransport(t, nc, jetstream.Config{OwnConn: true, Log: slog.New(log), Heartbeat: 50 * time.Millisecond})
	c := subscribe(t, t.Context(), tr.Subscriber("group"), "test.beat.v1")
	d.mu.Lock()
	log.expect(t, interrupted+" error=no heartbeat")
	d.mu.Unlock()
	publish(t, b.transport(t, jetstream.Config{}), "test.beat.v1", newMessage("a", "", 0))
	receive(t, c, "a message").Ack()
	log.expect(t, goesOn)
}

// TestSubscriber_StaysOnline: with all of Prefetch waiting for retries but one, that one is used.
func TestSubscriber_StaysOnline(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	tr := b.transport(t, jetstream.Config{Prefetch: 8, Retry: func(int) time.Duration { return time.Hour }})
	var ms []*message.Message
	for n := range 20 {
		ms = append(ms, newMessage("a", fmt.Sprint(n), n))
	}
	publish(t, tr, "test.stuck.v1", ms...)
	c := subscribe(t, t.Context(), tr.Subscriber("group"), "test.stuck.v1")
	for range 7 {
		receive(t, c, "a message to nack").Nack()
	}
	for range 13 {
		receive(t, c, "a message to ack").Ack()
	}
}
