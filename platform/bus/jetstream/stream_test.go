package jetstream_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"basisdienste/platform/bus/jetstream"
)

// TestNew_ChangesStreams begins each time with a stream of four messages, three of them of
// one subject.
func TestNew_ChangesStreams(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	for i, c := range []struct {
		name string
		next jetstream.Stream // Name and Subjects are filled in if empty
		want string           // of the error; empty: it is changed
	}{
		{"the same", jetstream.Stream{MaxAge: time.Hour}, ""},
		{"no limits any more", jetstream.Stream{}, ""},
		{"one more subject", jetstream.Stream{MaxAge: time.Hour, Subjects: []string{"more%d.>", "test%d.>"}}, ""},
		{"younger, but enough", jetstream.Stream{MaxAge: time.Minute}, ""},
		{"large enough", jetstream.Stream{MaxBytes: 1 << 20}, ""},
		{"three of a subject", jetstream.Stream{MaxMsgsPerSubject: 3}, ""},
		{"other window", jetstream.Stream{Duplicates: time.Minute}, ""},
		{"subject gone", jetstream.Stream{Subjects: []string{"more%d.>"}}, "it has the subject test"},
		{"subject narrower", jetstream.Stream{Subjects: []string{"test%d.a.*"}}, "it has the subject test"},
		{"too young", jetstream.Stream{MaxAge: time.Nanosecond}, "MaxAge"},
		{"too small", jetstream.Stream{MaxBytes: 100}, "MaxBytes"},
		{"two of a subject", jetstream.Stream{MaxMsgsPerSubject: 2}, "3 messages of test"},
	} {
		name := fmt.Sprintf("stream%d", i)
		subjects := []string{fmt.Sprintf("test%d.>", i)}
		tr := b.transport(t, jetstream.Config{Streams: []jetstream.Stream{{Name: name, Subjects: subjects, MaxAge: time.Hour}}})
		topic := fmt.Sprintf("test%d.a", i)
		publish(t, tr, topic, newMessage("a", "", 1), newMessage("a", "", 2), newMessage("a", "", 3), newMessage("b", "", 4))

		c.next.Name = name
		for i, s := range c.next.Subjects {
			c.next.Subjects[i] = strings.ReplaceAll(s, "%d", name[len("stream"):])
		}
		if c.next.Subjects == nil {
			c.next.Subjects = subjects
		}
		_, err := jetstream.New(t.Context(), b.client(t), jetstream.Config{Streams: []jetstream.Stream{c.next}})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: New(%+v) = %v, want %q", c.name, c.next, err, c.want)
		}
		st, err := admin(t, b).Stream(t.Context(), name)
		if err != nil {
			t.Fatalf("%s: Stream(%s) = %v", c.name, name, err)
		}
		info := st.CachedInfo()
		if info.State.Msgs != 4 {
			t.Errorf("%s: %d messages after New(), want 4", c.name, info.State.Msgs)
		}
		if changed := info.Config.MaxAge == c.next.MaxAge; changed != (c.want == "") && c.next.MaxAge != time.Hour {
			t.Errorf("%s: MaxAge is %s after New(%+v)", c.name, info.Config.MaxAge, c.next)
		}
	}
}

// TestStream_FullRefuses: what a slow consumer has not seen is not dropped for new messages.
func TestStream_FullRefuses(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	p := b.transport(t, jetstream.Config{Streams: []jetstream.Stream{
		{Name: "test", Subjects: []string{"test.>"}, MaxBytes: 4000},
	}}).Publisher()
	var err error
	n := uint64(0)
	for ; err == nil && n < 100; n++ {
		m := newMessage("a", "", 0)
		m.Payload = make([]byte, 500)
		err = p.Publish("test.v1", m)
	}
	if err == nil || !strings.Contains(err.Error(), "maximum bytes") {
		t.Errorf("Publish() number %d = %v, want it refused", n, err)
	}
	if info := streamInfo(t, b); info.State.FirstSeq != 1 || info.State.Msgs != n-1 {
		t.Errorf("stream has %d messages from %d on, want all %d from 1 on", info.State.Msgs, info.State.FirstSeq, n-1)
	}
}

// TestStream_KeepsTheLastOfASubject: with MaxMsgsPerSubject, the oldest makes room.
func TestStream_KeepsTheLastOfASubject(t *testing.T) {
	t.Parallel()
	tr := newBroker(t).transport(t, jetstream.Config{Streams: []jetstream.Stream{
		{Name: "test", Subjects: []string{"test.>"}, MaxMsgsPerSubject: 1},
	}})
	for n, tenant := range strings.Fields("a b a b c a") {
		publish(t, tr, "test.v1", newMessage(tenant, "", n))
	}
	c := subscribe(t, t.Context(), tr.Subscriber("group"), "test.v1")
	got := map[string]string{}
	for range 3 {
		m := receive(t, c, "a snapshot")
		got[m.Metadata[jetstream.MetadataTenant]] = string(m.Payload)
		m.Ack()
	}
	if want := map[string]string{"a": "5", "b": "3", "c": "4"}; !maps.Equal(got, want) {
		t.Errorf("a new group got the snapshots %v, want %v", got, want)
	}
}

// Waiting is what the consumer furthest behind has neither taken nor acked.
func TestTransport_Waiting(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	tr := b.transport(t, jetstream.Config{Prefetch: 4})
	waits := func(want int) func() bool {
		return func() bool {
			n, err := tr.Waiting(t.Context(), "test")
			return err == nil && n == want
		}
	}
	eventually(t, "nothing waits where nobody listens", waits(0))
	ms := make([]*message.Message, 10)
	for i := range ms {
		ms[i] = newMessage("a", "", i)
	}
	publish(t, tr, "test.a", ms...)
	fast, slow := subscribe(t, t.Context(), tr.Subscriber("fast"), "test.a"), subscribe(t, t.Context(), tr.Subscriber("slow"), "test.a")
	for range ms {
		receive(t, fast, "a message").Ack()
	}
	eventually(t, "ten wait for the slow one", waits(10))
	for range ms {
		receive(t, slow, "a message").Ack()
	}
	eventually(t, "nothing waits", waits(0))
	if n, err := tr.Waiting(t.Context(), "none"); err == nil {
		t.Errorf("Waiting(none) = %d, nil, want an error: there is no such stream", n)
	}
}
