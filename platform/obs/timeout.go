package obs

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/problem"
)

// slowest is the rate, in bytes a second, at which a body has to come in the long run.
const slowest = 1 << 10

// Timeout lets a request last as long as it moves: its context ends, with the cause
// context.DeadlineExceeded, when for d no byte of its body has come and none of its answer has
// been taken. So a use case has d, from the end of the body on. If the handler then returns
// without an answer, the client gets the problem "timeout" (503).
//
// Waiting for the body does not count, and is bounded by itself: a Read fails with the fault
// body_too_slow (408) once it has waited for d, for less where the body came at less than
// 1 KiB a second before, and in any case when the request is as old as longest. A handler that
// returns without an answer after that is answered for. The header before, and a client that
// does not take its answer, are bounded by the server's own time-outs.
func Timeout(d, longest time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, w, r := begin(w, r)
			ctx, cancel := context.WithCancelCause(r.Context())
			m := &motion{began: time.Now(), still: d, cancel: cancel}
			m.timer = time.AfterFunc(math.MaxInt64, m.look) // look finds the timer in m, however short d is
			m.timer.Reset(d)
			x.motion = m
			r = x.with(ctx, r)
			var body *incoming
			if r.Body != nil && r.Body != http.NoBody {
				body = &incoming{ReadCloser: r.Body, motion: m, control: http.NewResponseController(x.ResponseWriter), left: d, end: m.began.Add(longest)}
				r.Body = body
			}
			defer func() {
				body.leave()
				m.timer.Stop()
				cancel(nil)
			}()
			next.ServeHTTP(w, r)
			switch {
			case x.status != 0:
			case body.failed():
				problem.Write(w, r, tooSlow(d))
			case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
				problem.Write(w, r, context.DeadlineExceeded)
			}
		})
	}
}

func tooSlow(d time.Duration) *fault.Error {
	return fault.New(fault.KindTooSlow, "body_too_slow", "the body came too slowly: it may pause for %s, and has to come at %d bytes a second", d, slowest)
}

// motion ends a request's context when nothing has moved for too long.
type motion struct {
	began   time.Time
	still   time.Duration // how long nothing may move
	last    atomic.Int64  // when something moved, in nanoseconds since began
	reading atomic.Bool   // the body is waited for, which has a bound of its own
	cancel  context.CancelCauseFunc
	timer   *time.Timer
}

func (m *motion) moved() { m.last.Store(int64(time.Since(m.began))) }

// look is called by the timer. Called once more after the request it does nothing.
func (m *motion) look() {
	if m.reading.Load() { // asked first: a Read that has returned has moved
		m.timer.Reset(m.still)
		return
	}
	rest := m.still - time.Since(m.began) + time.Duration(m.last.Load())
	if rest > 0 {
		m.timer.Reset(rest)
		return
	}
	m.cancel(context.DeadlineExceeded)
}

// incoming is a request's body that is waited for within bounds. As any body it is read by one
// goroutine at a time, which may outlive the handler.
type incoming struct {
	io.ReadCloser
	motion  *motion
	control *http.ResponseController
	left    time.Duration // that Reads may still wait
	end     time.Time

	mu   sync.Mutex
	over bool // the request: the connection is the next one's
	slow bool
}

// Read implements io.Reader.
func (b *incoming) Read(p []byte) (int, error) {
	began := time.Now()
	until := began.Add(b.left)
	if until.After(b.end) {
		until = b.end
	}
	if !b.bound(until) { // not from a connection
		n, err := b.ReadCloser.Read(p)
		b.motion.moved()
		return n, err
	}
	b.motion.reading.Store(true)
	n, err := b.ReadCloser.Read(p)
	b.motion.moved()
	b.motion.reading.Store(false)
	b.left = min(b.motion.still, b.left-time.Since(began)+time.Duration(n)*time.Second/slowest)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.bound(time.Time{}) // left in place it would end the context of a handler that works longer
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.mu.Lock()
		b.slow = true
		b.mu.Unlock()
		err = tooSlow(b.motion.still).Because(err)
	}
	return n, err
}

// bound sets the connection's deadline, and reports whether there is one.
func (b *incoming) bound(until time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.over && b.control.SetReadDeadline(until) == nil
}

func (b *incoming) leave() {
	if b != nil {
		b.mu.Lock()
		b.over = true
		b.mu.Unlock()
	}
}

func (b *incoming) failed() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.slow
}
