package jetstream_test

import (
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"basisdienste/platform/bus/jetstream"
)

// batchOf returns n messages of 512 bytes with as many subjects, of 633 tenants.
func batchOf(n int) []jetstream.Item {
	payload := make([]byte, 512)
	batch := make([]jetstream.Item, n)
	for i := range batch {
		m := newMessage(fmt.Sprintf("tenant-%d", i%633), fmt.Sprint(i), 0)
		m.Payload = payload
		batch[i] = jetstream.Item{Topic: "test.bench.v1", Message: m}
	}
	return batch
}

func BenchmarkPublish(b *testing.B) {
	p := newBroker(b).transport(b, jetstream.Config{}).Publisher()
	batch := batchOf(b.N)
	b.ResetTimer()
	for _, item := range batch {
		if err := p.Publish(item.Topic, item.Message); err != nil {
			b.Fatalf("Publish() = %v, want nil", err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

func BenchmarkPublishBatch(b *testing.B) {
	p := newBroker(b).transport(b, jetstream.Config{}).Publisher()
	batch := batchOf(b.N)
	b.ResetTimer()
	for len(batch) > 0 {
		n := min(500, len(batch)) // as the outbox relay does
		for _, err := range p.PublishBatch(b.Context(), batch[:n]) {
			if err != nil {
				b.Fatalf("PublishBatch() = %v, want nil", err)
			}
		}
		batch = batch[n:]
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkConsume takes stored messages, each key its own lane, and acks them.
func BenchmarkConsume(b *testing.B) {
	tr := newBroker(b).transport(b, jetstream.Config{})
	for i, err := range tr.Publisher().PublishBatch(b.Context(), batchOf(b.N)) {
		if err != nil {
			b.Fatalf("PublishBatch()[%d] = %v, want nil", i, err)
		}
	}
	b.ResetTimer()
	c := subscribe(b, b.Context(), tr.Subscriber("bench"), "test.bench.v1")
	for range b.N {
		var m *message.Message = receive(b, c, "a message")
		m.Ack()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}
