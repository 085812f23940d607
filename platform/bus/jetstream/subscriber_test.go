package jetstream_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"basisdienste/platform/bus/jetstream"
)

// consumerInfo returns what the broker knows of the only consumer of the group "group".
func consumerInfo(t *testing.T, b *broker) *natsjs.ConsumerInfo {
	t.Helper()
	st, err := admin(t, b).Stream(t.Context(), "test")
	if err != nil {
		t.Fatalf("Stream(test) = %v", err)
	}
	var all []*natsjs.ConsumerInfo
	list := st.ListConsumers(t.Context())
	for info := range list.Info() {
		if strings.HasPrefix(info.Name, "group@") {
			all = append(all, info)
		}
	}
	if list.Err() != nil || len(all) != 1 {
		t.Fatalf("ListConsumers() = %d of them, %v, want one", len(all), list.Err())
	}
	return all[0]
}

// TestSubscriber_OrderPerKey handles messages of many keys at once, and nacks many.
func TestSubscriber_OrderPerKey(t *testing.T) {
	t.Parallel()
	const keys, each = 30, 20
	b := newBroker(t)
	tr := b.transport(t, jetstream.Config{Lanes: 8, Prefetch: 100, Retry: func(int) time.Duration { return time.Millisecond }})
	var ms []*message.Message
	for n := range each {
		for k := range keys {
			ms = append(ms, newMessage(fmt.Sprintf("tenant%d", k%3), fmt.Sprint(k), n))
		}
	}
	publish(t, tr, "test.order.v1", ms...)
	c := subscribe(t, t.Context(), tr.Subscriber("group"), "test.order.v1")

	var mu sync.Mutex
	busy := map[string]bool{}
	got := map[string][]string{}
	atOnce, most, acked := 0, 0, make(chan struct{}, len(ms))
	handle := func(m *message.Message, nack bool) {
		key := m.Metadata[jetstream.MetadataSubject]
		mu.Lock()
		defer mu.Unlock()
		atOnce--
		busy[key] = false
		if nack {
			m.Nack()
			return
		}
		got[key] = append(got[key], string(m.Payload))
		m.Ack()
		acked <- struct{}{}
	}
	go func() {
		for m := range c {
			key := m.Metadata[jetstream.MetadataSubject]
			mu.Lock()
			if busy[key] {
				t.Errorf("message %s of key %s handed out while another one of the key is handled", m.Payload, key)
			}
			busy[key] = true
			atOnce++
			most = max(most, atOnce)
			mu.Unlock()
			go handle(m, rand.IntN(3) == 0)
		}
	}()
	for range ms {
		receive(t, acked, "an ack")
	}
	want := make([]string, each)
	for n := range want {
		want[n] = fmt.Sprint(n)
	}
	mu.Lock()
	defer mu.Unlock()
	for key, order := range got {
		if !slices.Equal(order, want) {
			t.Errorf("key %s was handled in the order %v, want %v", key, order, want)
		}
	}
	if len(got) != keys || most > 8 {
		t.Errorf("%d keys handled, %d messages at once, want %d keys and at most 8 at once", len(got), most, keys)
	}
}

// TestSubscriber_Lanes: other keys go on while one is slow and another waits for its retry,
// but no more than Lanes at a time; a retry takes no lane.
func TestSubscriber_Lanes(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	retry := make(chan time.Duration, 1)
	tr := b.transport(t, jetstream.Config{Lanes: 2, Retry: func(int) time.Duration { return <-retry }})
	var ms []*message.Message
	for n, key := range strings.Fields("slow slow poison poison a b") {
		ms = append(ms, newMessage("tenant", key, n))
	}
	publish(t, tr, "test.lanes.v1", ms...)
	c := subscribe(t, t.Context(), tr.Subscriber("group"), "test.lanes.v1")
	key := func(m *message.Message) string { return m.Metadata[jetstream.MetadataSubject] }

	first, second := receive(t, c, "one"), receive(t, c, "another")
	select {
	case m := <-c:
		t.Fatalf("got %s while two are being handled, want nothing", key(m))
	case <-time.After(50 * time.Millisecond):
	}
	seen := []string{key(first), key(second)}
	for len(seen) < 4 { // keep slow, nack poison, ack what follows
		switch key(second) {
		case "slow":
			first, second = second, first
			continue
		case "poison":
			second.Nack()
			retry <- time.Minute
		default:
			second.Ack()
		}
		second = receive(t, c, "the next key")
		seen = append(seen, key(second))
	}
	if slices.Sort(seen); !slices.Equal(seen, []string{"a", "b", "poison", "slow"}) {
		t.Errorf("handed out keys %v, want each once", seen)
	}
	for _, m := range []*message.Message{second, first} { // either may be any of the keys
		if key(m) == "poison" {
			m.Nack()
			retry <- time.Minute
		} else {
			m.Ack()
		}
	}
	m := receive(t, c, "the second slow one")
	if string(m.Payload) != "1" {
		t.Errorf("got message %s, want 1: the poisoned key waits", m.Payload)
	}
	m.Ack()
}

// TestSubscriber_SlowHandler: neither a message that is handled for longer than AckWait nor
// one that waits behind it is delivered again, to nobody.
func TestSubscriber_SlowHandler(t *testing.T) {
	t.Parallel()
	const ackWait = time.Second
	b := newBroker(t)
	tr := b.transport(t, jetstream.Config{AckWait: ackWait})
	publish(t, tr, "test.slow.v1", newMessage("a", "", 0), newMessage("a", "", 1))
	c := subscribe(t, t.Context(), tr.Subscriber("group"), "test.slow.v1")
	slow := receive(t, c, "the first")
	other := subscribe(t, t.Context(), b.transport(t, jetstream.Config{AckWait: ackWait}).Subscriber("group"), "test.slow.v1")
	select {
	case m := <-c:
		t.Fatalf("got message %s while 0 is handled, want nothing", m.Payload)
	case m := <-other:
		t.Fatalf("the other instance got message %s, want nothing", m.Payload)
	case <-time.After(5 * ackWait / 2):
	}
	slow.Ack()
	m := receive(t, c, "the second")
	m.Ack()
	if string(m.Payload) != "1" {
		t.Errorf("got message %s after 0, want 1", m.Payload)
	}
	eventually(t, "both acked", func() bool { return consumerInfo(t, b).NumAckPending == 0 })
	if info := consumerInfo(t, b); info.Delivered.Consumer != 2 {
		t.Errorf("broker delivered %d times, want 2", info.Delivered.Consumer)
	}
}

// TestSubscriber_Killed: what a dead instance had in its hands comes to another, in the order in
// which the broker gives it up.
func TestSubscriber_Killed(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	cfg := jetstream.Config{AckWait: 500 * time.Millisecond, CloseTimeout: time.Millisecond}
	nc := b.client(t)
	dying := newTransport(t, nc, cfg)
	publish(t, dying, "test.kill.v1", newMessage("a", "", 0), newMessage("a", "", 1))
	c := subscribe(t, t.Context(), dying.Subscriber("group"), "test.kill.v1")
	receive(t, c, "a message in the first instance")
	nc.Close()
	closed(t, c, "channel of a closed connection")

	c = subscribe(t, t.Context(), b.transport(t, cfg).Subscriber("group"), "test.kill.v1")
	got := map[string]int{}
	for range 2 {
		m := receive(t, c, "a message in the second instance")
		got[string(m.Payload)] = jetstream.Attempt(m.Context())
		m.Ack()
	}
	if want := map[string]int{"0": 2, "1": 2}; !maps.Equal(got, want) {
		t.Errorf("got the attempts %v of the messages, want %v", got, want)
	}
}

// TestSubscriber_KilledExclusive: the next one need not wait for AckWait.
func TestSubscriber_KilledExclusive(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	cfg := jetstream.Config{AckWait: time.Hour, CloseTimeout: time.Millisecond, Exclusive: true}
	nc := b.client(t)
	dying := newTransport(t, nc, cfg)
	publish(t, dying, "test.kill.v1", newMessage("a", "1", 0), newMessage("a", "1", 1))
	c := subscribe(t, t.Context(), dying.Subscriber("group"), "test.kill.v1")
	receive(t, c, "a message in the first process")
	nc.Close()
	closed(t, c, "channel of a closed connection")

	tr := b.transport(t, cfg)
	publish(t, tr, "test.kill.v1", newMessage("a", "1", 2))
	c = subscribe(t, t.Context(), tr.Subscriber("group"), "test.kill.v1")
	for want := range 3 {
		m := receive(t, c, "a message in the second process")
		if got := string(m.Payload); got != fmt.Sprint(want) {
			t.Errorf("got message %s, want %d", got, want)
		}
		m.Ack()
	}
}

// TestSubscriber_GivesBack: when a subscription ends, its handler may finish, and everything
// else is another instance's at once and in order.
func TestSubscriber_GivesBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*jetstream.Subscriber, context.CancelFunc){
		"ctx":   func(_ *jetstream.Subscriber, cancel context.CancelFunc) { cancel() },
		"Close": func(s *jetstream.Subscriber, _ context.CancelFunc) { go s.Close() }, //nolint:errcheck // the test's end closes it again
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t)
			cfg := jetstream.Config{AckWait: time.Hour}
			tr := b.transport(t, cfg)
			var ms []*message.Message
			for n := range 10 {
				ms = append(ms, newMessage("a", "", n))
			}
			publish(t, tr, "test.back.v1", ms...)
			type valueKey struct{}
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), valueKey{}, "value"))
			defer cancel()
			leaving := tr.Subscriber("group")
			c := subscribe(t, ctx, leaving, "test.back.v1")
			m := receive(t, c, "the first message")
			other := subscribe(t, t.Context(), b.transport(t, cfg).Subscriber("group"), "test.back.v1")

			end(leaving, cancel)
			select {
			case <-m.Context().Done():
				t.Error("the handler's context ended with the subscription, want time to finish")
			case <-time.After(20 * time.Millisecond):
			}
			if got := m.Context().Value(valueKey{}); got != "value" {
				t.Errorf("context of the message has value %v, want that of Subscribe's", got)
			}
			m.Ack()
			closed(t, m.Context().Done(), "context of an acked message")
			closed(t, c, "channel of the ended subscription")
			for want := 1; want < 10; want++ {
				m := receive(t, other, "a message that was given back")
				if got := string(m.Payload); got != fmt.Sprint(want) || jetstream.Attempt(m.Context()) != 2 {
					t.Errorf("got message %s, attempt %d, want %d, attempt 2", got, jetstream.Attempt(m.Context()), want)
				}
				m.Ack()
			}
		})
	}
}

// TestSubscriber_CloseTimeout: a handler that does not finish does not stop the end.
func TestSubscriber_CloseTimeout(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	tr := b.transport(t, jetstream.Config{AckWait: time.Hour, CloseTimeout: 10 * time.Millisecond})
	publish(t, tr, "test.timeout.v1", newMessage("a", "", 0))
	sub := tr.Subscriber("group")
	c := subscribe(t, t.Context(), sub, "test.timeout.v1")
	stuck := receive(t, c, "the message")
	for range 2 {
		if err := sub.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	}
	closed(t, c, "channel")
	closed(t, stuck.Context().Done(), "context of the stuck handler")
	if _, err := sub.Subscribe(t.Context(), "test.timeout.v1"); err == nil {
		t.Error("Subscribe() after Close() = nil, want an error")
	}
	m := receive(t, subscribe(t, t.Context(), tr.Subscriber("group"), "test.timeout.v1"), "the message again")
	m.Ack()
}

// TestSubscriber_Nack: again after each nack, with what Retry says, and counted.
func TestSubscriber_Nack(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	asked := make(chan int, 10)
	tr := b.transport(t, jetstream.Config{Retry: func(attempt int) time.Duration {
		asked <- attempt
		return time.Millisecond
	}})
	publish(t, tr, "test.nack.v1", newMessage("a", "", 0), newMessage("a", "", 1))
	c := subscribe(t, t.Context(), tr.Subscriber("group"), "test.nack.v1")
	for want := 1; want <= 3; want++ {
		m := receive(t, c, "the message")
		if got := jetstream.Attempt(m.Context()); got != want || string(m.Payload) != "0" {
			t.Errorf("got message %s, attempt %d, want 0, attempt %d", m.Payload, got, want)
		}
		m.Nack()
		closed(t, m.Context().Done(), "context of a nacked message")
		if got := receive(t, asked, "Retry"); got != want {
			t.Errorf("Retry(%d) was called, want Retry(%d)", got, want)
		}
	}
	for range 2 {
		receive(t, c, "the messages").Ack()
	}
	eventually(t, "both acked", func() bool { return consumerInfo(t, b).NumAckPending == 0 })
	if got := jetstream.Attempt(t.Context()); got != 0 {
		t.Errorf("Attempt(foreign context) = %d, want 0", got)
	}
}

// TestSubscriber_Malformed: no handler sees it, nobody hangs on it, and it is told.
func TestSubscriber_Malformed(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	told := make(chan jetstream.Malformed, 10)
	tr := b.transport(t, jetstream.Config{Malformed: func(m jetstream.Malformed) { told <- m }})
	nc := b.client(t)
	for _, m := range []*nats.Msg{
		{Subject: "test.bad.v1.a"}, // neither header nor payload
		{Subject: "test.bad.v1.a", Data: []byte("x"), Header: nats.Header{"Status": {"409"}}},
		{Subject: "test.bad.v1.a", Header: nats.Header{natsjs.MsgIDHeader: {"foreign"}, "Status": {"409"}, "Nats-Expected-Stream": {"test"}}},
	} {
		if _, err := nc.RequestMsgWithContext(t.Context(), m); err != nil {
			t.Fatalf("publish %v = %v", m.Header, err)
		}
	}
	m := receive(t, subscribe(t, t.Context(), tr.Subscriber("group"), "test.bad.v1"), "the good message")
	m.Ack()
	if want := (message.Metadata{"Status": "409"}); m.UUID != "foreign" || fmt.Sprint(m.Metadata) != fmt.Sprint(want) {
		t.Errorf("got message %s with %v, want foreign with %v", m.UUID, m.Metadata, want)
	}
	for seq := uint64(1); seq <= 2; seq++ {
		want := jetstream.Malformed{Stream: "test", Sequence: seq, Subject: "test.bad.v1.a", Reason: "no Nats-Msg-Id header"}
		if got := receive(t, told, "Malformed"); got != want {
			t.Errorf("Malformed(%+v), want %+v", got, want)
		}
	}
	eventually(t, "nothing left at the broker", func() bool {
		info := consumerInfo(t, b)
		return info.NumAckPending == 0 && info.NumPending == 0
	})
}

func TestSubscriber_NewGroupStartsWithTheOldest(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	tr := b.transport(t, jetstream.Config{})
	publish(t, tr, "test.old.v1", newMessage("a", "", 0), newMessage("", "", 1))
	publish(t, tr, "test.other.v1", newMessage("a", "", 2))
	for _, group := range []string{"one", "another"} {
		sub := tr.Subscriber(group)
		if err := sub.SubscribeInitialize("test.old.v1"); err != nil {
			t.Errorf("SubscribeInitialize() = %v, want nil", err)
		}
		c := subscribe(t, t.Context(), sub, "test.old.v1")
		var got []string
		for range 2 {
			m := receive(t, c, "an old message")
			got = append(got, string(m.Payload))
			m.Ack()
		}
		if slices.Sort(got); !slices.Equal(got, []string{"0", "1"}) {
			t.Errorf("group %s got messages %v, want 0 and 1", group, got)
		}
	}
}

func TestSubscriber_Refuses(t *testing.T) {
	t.Parallel()
	tr := newBroker(t).transport(t, jetstream.Config{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name         string
		ctx          context.Context
		group, topic string
		want         string
	}{
		{"no group", t.Context(), "", "test.v1", "group"},
		{"wildcard", t.Context(), "group", "test.>", "topic"},
		{"no stream", t.Context(), "group", "other.v1", "declared streams"},
		{"ended", ended, "group", "test.v1", "context canceled"},
	} {
		if _, err := tr.Subscriber(c.group).Subscribe(c.ctx, c.topic); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Subscribe(%q, %q) = %v, want an error with %q", c.name, c.group, c.topic, err, c.want)
		}
	}
}
