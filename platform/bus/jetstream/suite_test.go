package jetstream_test

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"basisdienste/platform/bus/jetstream"
)

// TestWatermillSuite holds us to Watermill's own suite. What is off in Features, and why:
//   - ExactlyOnceDelivery: delivery is at least once; effects are made once by the inbox.
//   - GuaranteedOrder holds with a single subscriber only: instances of one group share the
//     messages of a topic, and the suite's messages have no key that could tell them apart.
//   - RestartServiceCommand: the broker runs in this process, so no command restarts it;
//     TestBroker_Restart and TestSubscriber_Reconnects do.
//   - NewSubscriberReceivesOldMessages: the suite means every new subscriber; here it is
//     every new group, see TestSubscriber_NewGroupStartsWithTheOldest.
//   - ContextPreserved: a broker carries no context values.
func TestWatermillSuite(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	retry := func(int) time.Duration { return time.Millisecond }
	create := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		tr := b.transport(t, jetstream.Config{Retry: retry, CloseTimeout: 500 * time.Millisecond})
		return tr.Publisher(), tr.Subscriber(group)
	}
	features := tests.Features{
		ConsumerGroups:                      true,
		GuaranteedOrder:                     true,
		GuaranteedOrderWithSingleSubscriber: true,
		Persistent:                          true,
		GenerateTopicFunc:                   func(c tests.TestContext) string { return "test." + string(c.TestID) },
	}
	tests.TestPubSub(t, features,
		func(t *testing.T) (message.Publisher, message.Subscriber) { return create(t, "suite") }, create)
}
