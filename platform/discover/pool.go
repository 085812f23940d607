package discover

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"basisdienste/platform/certs"
	"basisdienste/platform/fault"
	"basisdienste/platform/obs"
)

const (
	dialTimeout      = 2 * time.Second
	handshakeTimeout = 5 * time.Second
	// attempts bounds how many instances may fail one call, those that refuse at once aside.
	attempts = 3
	// failures in succession leave an instance out, for rest.
	failures = 3
	rest     = time.Second
)

// newTransport returns what the calls of one Static or Consul share. Servers are trusted as
// trust says, or as the system does if that is nil.
func newTransport(trust *certs.Authorities) *http.Transport {
	dial := (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	t := &http.Transport{
		DialContext: dial, TLSHandshakeTimeout: handshakeTimeout, ResponseHeaderTimeout: clientTimeout,
		// Shorter than our servers wait, so that it is the caller who gives up a connection.
		MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second,
		// What is passed on stays as it is.
		DisableCompression: true,
	}
	if trust == nil {
		return t
	}
	t.DialTLSContext = func(ctx context.Context, network, at string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(at)
		if err != nil {
			return nil, err
		}
		conn, err := dial(ctx, network, at)
		if err != nil {
			return nil, err
		}
		cfg := trust.Client()
		cfg.ServerName = host
		secured := tls.Client(conn, cfg)
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // the handshake's failure counts
			return nil, err
		}
		return secured, nil
	}
	return t
}

// address is where an instance listens.
type address struct{ scheme, host string }

func (a address) compare(b address) int {
	return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.scheme, b.scheme))
}

// member is an instance of a service and what we know of its health.
type member struct {
	address
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
}

// pool is the instances of one service. As a http.RoundTripper it sends a call to one of
// them: the URL's host does not count. It is safe for concurrent use.
type pool struct {
	service string
	base    http.RoundTripper
	log     *slog.Logger
	// await, if there is one, returns once it is known for the first time who is there.
	await   func(context.Context)
	members atomic.Pointer[[]*member]
	next    atomic.Uint64
}

func newPool(service string, base http.RoundTripper, log *slog.Logger) *pool {
	p := &pool{service: service, base: base, log: log}
	p.members.Store(&[]*member{})
	return p
}

// set says who is there now. Who was there before keeps its history. One caller at a time.
func (p *pool) set(list []address) {
	before := *p.members.Load()
	members := make([]*member, 0, len(list))
	for _, a := range list {
		if i := slices.IndexFunc(before, func(m *member) bool { return m.address == a }); i >= 0 {
			members = append(members, before[i])
			continue
		}
		members = append(members, &member{address: a, breaker: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name:        p.service + " " + a.host,
			Timeout:     rest,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failures },
			IsExcluded:  func(err error) bool { return errors.Is(err, errCaller) },
			OnStateChange: func(_ string, from, to gobreaker.State) {
				switch { // between open and half-open it goes to and fro
				case from == gobreaker.StateClosed:
					p.log.Warn("an instance fails and is left out", "service", p.service, "instance", a.host)
				case to == gobreaker.StateClosed:
					p.log.Info("an instance answers again", "service", p.service, "instance", a.host)
				}
			},
		})})
	}
	p.members.Store(&members)
}

// addresses returns who is there.
func (p *pool) addresses() []address {
	members := *p.members.Load()
	list := make([]address, len(members))
	for i, m := range members {
		list[i] = m.address
	}
	return list
}

// errCaller marks failures that say nothing about the instance.
var errCaller = errors.New("the caller gave up")

// RoundTrip implements http.RoundTripper.
func (p *pool) RoundTrip(r *http.Request) (*http.Response, error) {
	var body *held
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		body = &held{ReadCloser: r.Body}
	}
	resp, err := p.try(r, body)
	if err != nil {
		_ = closeBody(r) // where the transport has not; the failure that counts is the call's
		// A body that came too slowly also ends the context of its request, which hides it.
		if body.broke() && fault.From(*body.failure.Load()).Kind == fault.KindTooSlow {
			return nil, *body.failure.Load()
		}
		return nil, fmt.Errorf("%w: %w", unavailable(p.service), err)
	}
	if body != nil {
		body.release()
	}
	return resp, nil
}

// try sends r to one instance after the other until one answers, as far as r allows. It
// leaves r.Body open if it fails and body holds it.
func (p *pool) try(r *http.Request, body *held) (*http.Response, error) {
	ctx := r.Context()
	members := *p.members.Load()
	if len(members) == 0 && p.await != nil {
		p.await(ctx)
		members = *p.members.Load()
	}
	if len(members) == 0 {
		return nil, errors.New("no instance is known")
	}
	err, tried, again := errors.New("every instance fails"), 0, false
	start := p.next.Add(1) - 1
	for i := range uint64(len(members)) {
		m := members[(start+i)%uint64(len(members))]
		done, refused := m.breaker.Allow()
		if refused != nil {
			continue
		}
		out, failed := m.address.of(r, body, again)
		if failed != nil {
			done(errCaller)
			return nil, failed
		}
		resp, failed := p.base.RoundTrip(out)
		if failed == nil {
			done(nil)
			return resp, nil
		}
		err = failed
		if errors.Is(context.Cause(ctx), context.Canceled) || body.broke() {
			done(errCaller)
			return nil, err
		}
		done(err)
		if !unsent(err) || isTimeout(err) {
			tried++
		}
		if again = true; tried == attempts || ctx.Err() != nil || !repeatable(r, body, err) {
			break
		}
	}
	return nil, err
}

// of returns r as it is sent to the address.
func (a address) of(r *http.Request, body *held, again bool) (*http.Request, error) {
	out := r.WithContext(r.Context())
	u := *r.URL
	u.Scheme, u.Host = a.scheme, a.host
	out.URL = &u
	switch {
	case body != nil:
		out.Body = body.open()
	case again && r.GetBody != nil:
		b, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		out.Body = b
	}
	return out, nil
}

// repeatable says whether r may be sent to another instance after err.
func repeatable(r *http.Request, body *held, err error) bool {
	if unsent(err) {
		return body == nil || !body.read.Load()
	}
	return body == nil && idempotent(r) && !isTimeout(err)
}

// unsent reports whether no connection came about, so that nothing reached an instance.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func idempotent(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return r.Header.Get("Idempotency-Key") != ""
}

// held is a request's body that can be read once only. http.Transport closes a body also when
// no connection comes about; held keeps it open until it is released, for the next attempt.
type held struct {
	io.ReadCloser
	read    atomic.Bool
	failure atomic.Pointer[error]

	mu               sync.Mutex
	closed, released bool
}

// open is for the next attempt: what closed the body was the one before.
func (h *held) open() *held {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = false
	return h
}

func (h *held) Read(b []byte) (int, error) {
	h.read.Store(true)
	n, err := h.ReadCloser.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		h.failure.Store(&err)
	}
	return n, err
}

func (h *held) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if !h.released {
		return nil
	}
	return h.ReadCloser.Close()
}

// release lets the transport close the body, and does so if it already wanted to.
func (h *held) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released = true
	if h.closed {
		_ = h.ReadCloser.Close() // read to its end; the answer is there
	}
}

// broke reports whether it was the caller's body that failed.
func (h *held) broke() bool { return h != nil && h.failure.Load() != nil }

// client returns the client of Services for the pool.
func (p *pool) client() *http.Client {
	return &http.Client{Timeout: clientTimeout, CheckRedirect: noRedirect, Transport: obs.Client(p.service, p)}
}
