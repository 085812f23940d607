package jetstream_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"basisdienste/platform/bus/jetstream"
)

// TestSubscriber_CancelUnderLoad subscribes and cancels again and again, in two instances of
// one group, while messages are published and handlers ack, nack or ignore them. Nothing
// panics, nothing is lost, and no acked message comes again.
func TestSubscriber_CancelUnderLoad(t *testing.T) {
	t.Parallel()
	const rounds = 200
	b := newBroker(t)
	cfg := jetstream.Config{
		AckWait: time.Hour, CloseTimeout: 5 * time.Millisecond, Prefetch: 50, Lanes: 16,
		Retry: func(int) time.Duration { return time.Millisecond },
	}
	stop := make(chan struct{})
	credit := make(chan struct{}, 50) // a batch for each; consumers give more than they use up
	var mu sync.Mutex
	sent, acked := map[string]bool{}, map[string]int{}

	var publisher, consumers sync.WaitGroup
	tr := b.transport(t, cfg)
	publisher.Go(func() {
		p := tr.Publisher()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-credit:
			}
			batch := make([]jetstream.Item, 20)
			for i := range batch {
				m := newMessage("a", fmt.Sprint(rand.IntN(40)), n)
				batch[i] = jetstream.Item{Topic: "test.load.v1", Message: m}
			}
			for i, err := range p.PublishBatch(t.Context(), batch) {
				if err != nil {
					t.Errorf("PublishBatch() = %v, want nil", err)
					continue
				}
				mu.Lock()
				sent[batch[i].Message.UUID] = true
				mu.Unlock()
			}
		}
	})
	refill := func() {
		select {
		case credit <- struct{}{}:
		default:
		}
	}
	for range cap(credit) {
		refill()
	}
	handle := func(m *message.Message, what int) {
		switch {
		case what == 0:
			m.Nack()
		case what == 1:
			<-m.Context().Done() // never answers
		default:
			mu.Lock()
			defer mu.Unlock()
			if m.Ack() {
				acked[m.UUID]++
			}
		}
	}
	for range 2 {
		tr := b.transport(t, cfg)
		consumers.Go(func() {
			for range rounds / 2 {
				ctx, cancel := context.WithCancel(t.Context())
				sub := tr.Subscriber("group")
				c := subscribe(t, ctx, sub, "test.load.v1")
				n := 0
				for m := range c {
					if n++; n == 30 {
						cancel()
					}
					if n%10 == 0 {
						refill()
					}
					go handle(m, rand.IntN(20))
				}
				cancel()
				if err := sub.Close(); err != nil {
					t.Errorf("Close() = %v, want nil", err)
				}
			}
		})
	}
	consumers.Wait()
	close(stop)
	publisher.Wait()

	c := subscribe(t, t.Context(), tr.Subscriber("group"), "test.load.v1")
	for left := true; left; {
		m := receive(t, c, "what is left")
		mu.Lock()
		acked[m.UUID]++
		m.Ack()
		left = len(acked) < len(sent)
		mu.Unlock()
	}
	mu.Lock()
	defer mu.Unlock()
	twice := 0
	for _, n := range acked {
		if n > 1 {
			twice++
		}
	}
	if twice > 0 {
		t.Errorf("%d of %d messages came again after their ack, want none", twice, len(sent))
	}
}

// TestNoGoroutineStays is not parallel, because it counts the goroutines of the process.
func TestNoGoroutineStays(t *testing.T) {
	before := runtime.NumGoroutine()
	srv, err := jetstream.StartServer(t.TempDir())
	if err != nil {
		t.Fatalf("StartServer() = %v", err)
	}
	b := &broker{srv: srv}
	nc := b.client(t)
	tr, err := jetstream.New(t.Context(), nc, jetstream.Config{
		Streams: []jetstream.Stream{{Name: "test", Subjects: []string{"test.>"}}}, CloseTimeout: time.Millisecond,
	})
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	round := func() {
		ctx, cancel := context.WithCancel(t.Context())
		sub := tr.Subscriber("group")
		c, other := subscribe(t, ctx, sub, "test.leak.v1"), subscribe(t, ctx, sub, "test.leak.v1")
		for n := range 10 {
			publish(t, tr, "test.leak.v1", newMessage("a", fmt.Sprint(n), n))
		}
		for range 5 {
			select {
			case m := <-c:
				m.Ack()
			case m := <-other:
				m.Nack()
			}
		}
		cancel()
		if err := sub.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	}
	round() // makes the broker's own goroutines for the consumer, and the publisher's
	one := runtime.NumGoroutine()
	for range 10 {
		round()
	}
	eventually(t, "as many goroutines after 11 rounds as after one", func() bool { return runtime.NumGoroutine() <= one })

	if err := tr.Close(); err != nil {
		t.Errorf("Transport.Close() = %v, want nil", err)
	}
	if nc.IsClosed() {
		t.Error("the caller's connection is closed after Transport.Close(), want open")
	}
	if err := srv.Close(); err != nil {
		t.Errorf("Server.Close() = %v, want nil", err)
	}
	eventually(t, "as many goroutines after Close as before StartServer", func() bool { return runtime.NumGoroutine() <= before })
}
