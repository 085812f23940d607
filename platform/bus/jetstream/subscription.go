package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// What is said to the broker about one message.
const (
	ackMessage  = "+ACK"
	nakMessage  = "-NAK"
	termMessage = "+TERM "
	inProgress  = "+WPI"
)

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
	flushTimeout = 5 * time.Second
)

var (
	errHeartbeat    = errors.New("no heartbeat from the broker")
	errDisconnected = errors.New("connection lost")
)

// subscription is one Subscribe. Its goroutines: run, which pulls; the connection's, which
// calls session.receive; one keepAlive; and one for each lane that has messages.
type subscription struct {
	t        *Transport
	nc       *nats.Conn
	log      *slog.Logger
	stream   Stream
	topic    string
	consumer string

	out     chan *message.Message
	done    chan struct{} // closed after out
	settled chan struct{} // closed when nothing more can arrive

	ctx      context.Context // ends when nothing more is to be handed out
	cancel   context.CancelFunc
	handling context.Context // of the messages: values of Subscribe's, ends after the grace
	abandon  context.CancelFunc

	troubled atomic.Bool
	wake     chan struct{} // there may be room for more messages
	slots    chan struct{} // one for each handler at work
	runners  sync.WaitGroup

	mu    sync.Mutex
	lanes map[string]*lane
	held  map[heldKey]*item // every message in our hands
}

func (s *subscription) start(ctx context.Context) {
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.handling, s.abandon = context.WithCancel(context.WithoutCancel(ctx))
}

// run pulls until the subscription ends, and then winds it up.
func (s *subscription) run() {
	defer close(s.done)
	defer close(s.out)
	alive := make(chan struct{})
	var keeper sync.WaitGroup
	keeper.Go(func() { s.keepAlive(alive) })
	stopGrace := context.AfterFunc(s.ctx, func() { // handlers have so much longer
		grace := time.AfterFunc(s.t.cfg.CloseTimeout, s.abandon)
		context.AfterFunc(s.handling, func() { grace.Stop() })
	})

	s.pull()
	s.cancel()
	close(s.settled)
	s.runners.Wait()
	s.abandon()
	stopGrace()
	close(alive)
	keeper.Wait()
	if s.nc.IsConnected() {
		if err := s.nc.FlushTimeout(flushTimeout); err != nil {
			s.log.Warn("last acks may be lost, their messages will come again", slog.Any("error", err))
		}
	}
}

// pull runs one session after the other, with a growing pause after each that failed.
func (s *subscription) pull() {
	backoff := firstBackoff
	for attempt := 0; s.ctx.Err() == nil; attempt++ {
		healthy, err := s.session(attempt > 0 || s.t.cfg.Patient)
		if err == nil {
			continue
		}
		s.trouble(err)
		if s.nc.IsClosed() {
			return
		}
		if healthy {
			backoff = firstBackoff
		}
		select {
		case <-s.ctx.Done():
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// keepAlive tells the broker, three times within AckWait, that we still have what we hold.
func (s *subscription) keepAlive(stop <-chan struct{}) {
	tick := time.NewTicker(max(s.t.cfg.AckWait/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		replies := make([]string, 0, len(s.held))
		for _, it := range s.held {
			replies = append(replies, it.reply)
		}
		s.mu.Unlock()
		for _, to := range replies {
			s.reply(to, inProgress)
		}
	}
}

// session is one inbox with the pull requests that answer to it.
type session struct {
	s       *subscription
	inbox   string
	pending int // asked for and not yet arrived; guarded by s.mu
	alive   atomic.Bool
	healthy atomic.Bool
	over    atomic.Bool // what still arrives says nothing about the broker
	failed  chan error
}

// session pulls on a new inbox. It returns nil when the subscription ends, else why the
// session cannot go on, and whether it ever worked. No receive is running any more then.
func (s *subscription) session(repair bool) (healthy bool, err error) {
	status := s.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	defer s.nc.RemoveStatusListener(status)
	for !s.nc.IsConnected() {
		if s.nc.IsClosed() {
			return false, nats.ErrConnectionClosed
		}
		s.trouble(errDisconnected)
		select {
		case <-s.ctx.Done():
			return false, nil
		case <-status:
		}
	}
	if repair {
		if err := s.repair(status); err != nil {
			return false, err
		}
	}
	x := &session{s: s, inbox: s.nc.NewInbox(), failed: make(chan error, 1)}
	gone := make(chan struct{})
	sub, err := s.nc.Subscribe(x.inbox, x.receive)
	if err != nil {
		return false, fmt.Errorf("open an inbox: %w", err)
	}
	sub.SetClosedHandler(func(string) { close(gone) })
	if !sub.IsValid() { // closed too early to be told
		return false, nats.ErrConnectionClosed
	}
	defer func() {
		err = errors.Join(err, s.end(sub, gone, status))
		healthy = x.healthy.Load()
	}()
	if err := sub.SetPendingLimits(-1, -1); err != nil { // we never ask for more than we take
		return false, fmt.Errorf("open an inbox: %w", err)
	}
	err = x.loop(status)
	x.over.Store(true)
	if err != nil {
		s.trouble(err)
	}
	return false, err
}

// end closes an inbox. Whatever the broker has sent until it knows has been received when it
// returns, unless the connection is down.
func (s *subscription) end(sub *nats.Subscription, gone <-chan struct{}, status <-chan nats.Status) error {
	stop := sub.Unsubscribe
	if s.nc.IsConnected() {
		stop = sub.Drain
	}
	err := stop()
	select {
	case <-gone:
	case <-status: // the broker's answer is lost with the connection
		err = errors.Join(err, sub.Unsubscribe())
	case <-time.After(drainTimeout):
		err = errors.Join(err, sub.Unsubscribe())
	}
	<-gone
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) {
		return nil // it was gone already
	}
	return err
}

func (x *session) loop(status <-chan nats.Status) error {
	beat := time.NewTicker(x.s.t.cfg.Heartbeat)
	defer beat.Stop()
	for missed := 0; ; {
		waiting, err := x.request()
		if err != nil {
			return err
		}
		select {
		case <-x.s.ctx.Done():
			return nil
		case err := <-x.failed:
			return err
		case st := <-status:
			if st == nats.CLOSED {
				return nats.ErrConnectionClosed
			}
			return errDisconnected // or connected again: the requests are gone
		case <-beat.C:
			if missed++; x.alive.Swap(false) || !waiting {
				missed = 0
			} else if missed > 2 {
				return errHeartbeat
			}
		case <-x.s.wake:
		}
	}
}

// request asks for more messages if half of the room is free, or any while nothing is asked
// for, and says whether anything is.
func (x *session) request() (waiting bool, err error) {
	cfg := x.s.t.cfg
	x.s.mu.Lock()
	n := cfg.Prefetch - len(x.s.held) - x.pending
	if n < 0 || n < (cfg.Prefetch+1)/2 && x.pending > 0 {
		n = 0
	}
	x.pending += n
	waiting = x.pending > 0
	x.s.mu.Unlock()
	if n == 0 {
		return waiting, nil
	}
	body, err := json.Marshal(struct {
		Expires   time.Duration `json:"expires"`
		Batch     int           `json:"batch"`
		Heartbeat time.Duration `json:"idle_heartbeat"`
	}{6 * cfg.Heartbeat, n, cfg.Heartbeat})
	if err != nil {
		return waiting, fmt.Errorf("ask for messages: %w", err)
	}
	to := natsjs.DefaultAPIPrefix + "CONSUMER.MSG.NEXT." + x.s.stream.Name + "." + x.s.consumer
	if err := x.s.nc.PublishRequest(to, x.inbox, body); err != nil {
		return waiting, fmt.Errorf("ask for messages: %w", err)
	}
	return waiting, nil
}

// receive takes one message from the broker; the connection calls it for one at a time. It
// never blocks.
func (x *session) receive(m *nats.Msg) {
	x.alive.Store(true)
	if m.Subject == x.inbox {
		x.status(m.Header.Get("Status"), m.Header.Get("Description"), m.Header.Get("Nats-Pending-Messages"))
		return
	}
	x.works()
	x.arrived(1)
	meta, err := m.Metadata()
	if err != nil {
		x.s.log.Warn("not from a stream", slog.String("subject", m.Subject), slog.Any("error", err))
		return
	}
	// The id of another's publisher may be without the topic, and is the UUID then.
	uuid := strings.TrimSuffix(m.Header.Get(natsjs.MsgIDHeader), idSeparator+x.s.topic)
	it := &item{
		heldKey:   heldKey{meta.Sequence.Stream, uuid},
		reply:     m.Reply,
		delivered: int(min(meta.NumDelivered, 1<<30)),
		header:    m.Header,
		payload:   m.Data,
	}
	if it.uuid == "" {
		const reason = "no " + natsjs.MsgIDHeader + " header"
		x.s.t.cfg.Malformed(Malformed{Stream: meta.Stream, Sequence: it.seq, Subject: m.Subject, Reason: reason})
		x.s.reply(m.Reply, termMessage+reason)
		return
	}
	x.s.take(it)
}

// status takes what the broker says about a request instead of a message.
func (x *session) status(code, text, pending string) {
	n, err := strconv.Atoi(pending)
	switch {
	case code == "100": // heartbeat
	case (code == "408" || code == "404") && err == nil: // a request has expired, n short
		x.arrived(n)
	default:
		select {
		case x.failed <- fmt.Errorf("broker says %s %s", code, text):
		default:
		}
		return
	}
	x.works()
}

func (x *session) works() {
	if !x.over.Load() {
		x.healthy.Store(true)
		x.s.fine()
	}
}

// arrived counts n messages as no longer asked for.
func (x *session) arrived(n int) {
	x.s.mu.Lock()
	x.pending = max(0, x.pending-n)
	x.s.mu.Unlock()
	x.s.mayPull()
}

// mayPull makes the pull loop look for room.
func (s *subscription) mayPull() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
