package edge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// flow lets a request last as long as it moves. The process ends the context of a request
// after a fixed time, which a large upload, a slow reader and server-sent events may need
// more than once; a flow's context ends then only if for as long nothing has moved, neither
// the request's body nor the answer. It ends at once when the client goes away.
type flow struct {
	request *http.Request // to go on with

	clock  func() time.Time
	still  time.Duration // how long nothing may move
	last   atomic.Int64  // when something moved, in Unix nanoseconds; 0: never
	cancel context.CancelFunc
	stop   func() bool
}

// begin starts the flow; end has to be called.
func (f *flow) begin(r *http.Request, clock func() time.Time) {
	f.clock = clock
	outer := r.Context()
	if deadline, ok := outer.Deadline(); ok {
		f.still = time.Until(deadline) //nolint:forbidigo // the deadline is one of the machine's clock
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(outer))
	f.cancel = cancel
	f.stop = context.AfterFunc(outer, func() {
		if errors.Is(outer.Err(), context.DeadlineExceeded) {
			f.watch(ctx)
		}
		cancel()
	})
	f.request = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		f.request.Body = body{r.Body, f}
	}
}

func (f *flow) end() {
	f.stop()
	f.cancel()
}

// watch returns when nothing has moved for too long, or the request is over.
func (f *flow) watch(ctx context.Context) {
	for {
		rest := f.still - f.clock().Sub(time.Unix(0, f.last.Load()))
		if rest <= 0 {
			return
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (f *flow) moved() { f.last.Store(f.clock().UnixNano()) }

// body is the request's body in its flow.
type body struct {
	io.ReadCloser
	flow *flow
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.flow.moved()
	}
	return n, err
}
