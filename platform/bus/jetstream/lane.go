package jetstream

import (
	"context"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
)

// heldKey tells messages apart: the id too, because a stream made anew counts from 1 again.
type heldKey struct {
	seq  uint64
	uuid string
}

// item is one message in our hands.
type item struct {
	heldKey
	reply     string // where the broker wants its answer: the latest delivery's; guarded by subscription.mu
	delivered int    // by the broker
	header    nats.Header
	payload   []byte
}

// lane holds the messages of one key, the first of them being handled.
type lane struct {
	key   string
	queue []*item
}

// take puts a message into its lane. A copy of one that we hold only renews where to answer.
func (s *subscription) take(it *item) {
	key := it.header.Get(MetadataTenant) + "\x00" + it.header.Get(MetadataSubject)
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.held[it.heldKey]; ok {
		have.reply = it.reply
		return
	}
	s.held[it.heldKey] = it
	if l, ok := s.lanes[key]; ok {
		l.queue = append(l.queue, it)
		return
	}
	l := &lane{key: key, queue: []*item{it}}
	s.lanes[key] = l
	s.runners.Go(func() { s.work(l, it) })
}

// work handles a lane's messages one after the other until there are none. Once the
// subscription ends it gives them back instead, in order.
func (s *subscription) work(l *lane, it *item) {
	for it != nil {
		answer := nakMessage
		if s.handle(it) {
			answer = ackMessage
		} else {
			<-s.settled // the broker must not give it back to us
		}
		it = s.next(l, it, answer)
	}
}

// next answers the broker, lets go of the item and returns the lane's next one.
func (s *subscription) next(l *lane, it *item, answer string) *item {
	s.mu.Lock()
	to := it.reply
	delete(s.held, it.heldKey)
	l.queue[0] = nil
	l.queue = l.queue[1:]
	var head *item
	if len(l.queue) > 0 {
		head = l.queue[0]
	} else {
		delete(s.lanes, l.key)
	}
	s.mu.Unlock()
	// A plain ack: if it is lost, the message comes again, and the handler's inbox knows it.
	s.reply(to, answer)
	s.mayPull()
	return head
}

// handle hands the message out, again after each nack and its pause, until it is acked: true.
// It returns false when the subscription has ended first.
func (s *subscription) handle(it *item) bool {
	for attempt := 1; ; attempt++ {
		if s.ctx.Err() != nil {
			return false
		}
		select {
		case s.slots <- struct{}{}:
		case <-s.ctx.Done():
			return false
		}
		acked := s.offer(it, attempt)
		<-s.slots
		if acked {
			return true
		}
		if s.ctx.Err() != nil {
			return false
		}
		pause := time.NewTimer(s.t.cfg.Retry(attempt))
		select {
		case <-pause.C:
		case <-s.ctx.Done():
			pause.Stop()
			return false
		}
	}
}

// offer hands the message out once and returns whether it was acked.
func (s *subscription) offer(it *item, attempt int) bool {
	ctx, cancel := context.WithCancel(context.WithValue(s.handling, attemptKey{}, it.delivered+attempt-1))
	defer cancel()
	m := message.NewMessageWithContext(ctx, it.uuid, it.payload)
	for k, v := range it.header {
		if len(v) > 0 && !strings.HasPrefix(k, reserved) {
			m.Metadata[k] = v[0]
		}
	}
	select {
	case s.out <- m:
	case <-s.ctx.Done():
		return false
	}
	select {
	case <-m.Acked():
		return true
	case <-m.Nacked():
		return false
	case <-s.handling.Done():
		return !m.Nack() // the handler's own Ack is refused from now on
	}
}

type attemptKey struct{}

// Attempt returns how often the message of this context has been handed out, this time
// included: 1 the first time. It counts other instances and what they gave back unhandled,
// so it may be too high, and after a consumer was deleted it starts again.
func Attempt(ctx context.Context) int {
	n, _ := ctx.Value(attemptKey{}).(int)
	return n
}
