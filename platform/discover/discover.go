// Package discover finds the other services: in the same process, or at fixed addresses.
// Callers name a service by the host of the URL: http://payment/xbezahldienste/…
package discover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/obs"
	"basisdienste/platform/problem"
)

// Services finds services by their name. It is safe for concurrent use.
type Services interface {
	// Client returns a client whose requests to http://<service>/… reach the service. It
	// carries the trace on. A service that is away answers with fault service_unavailable.
	Client(service string) *http.Client
	// Handler passes a request on to the service, with its path as it is.
	Handler(service string) http.Handler
}

// clientTimeout bounds a call from service to service, the body included.
const clientTimeout = 30 * time.Second

// Local is the services of this process.
type Local struct {
	mu       sync.RWMutex
	handlers map[string]http.Handler
}

// NewLocal returns a Local without services.
func NewLocal() *Local { return &Local{handlers: map[string]http.Handler{}} }

// Add makes a service known.
func (l *Local) Add(service string, h http.Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handlers[service] = h
}

func (l *Local) get(service string) (http.Handler, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	h, ok := l.handlers[service]
	return h, ok
}

// Handler implements Services.
func (l *Local) Handler(service string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, ok := l.get(service)
		if !ok {
			problem.Write(w, r, unavailable(service))
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Client implements Services: the call goes to the handler directly, without a network.
func (l *Local) Client(service string) *http.Client {
	return &http.Client{Timeout: clientTimeout, CheckRedirect: noRedirect, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		h, ok := l.get(service)
		if !ok {
			return nil, errors.Join(unavailable(service), closeBody(r))
		}
		return direct(h, r)
	})}
}

func unavailable(service string) error {
	return fault.Unavailable("service_unavailable", "the service %s is not there at the moment; try again", service).After(5 * time.Second)
}

// closeBody does what http.RoundTripper promises, also on errors.
func closeBody(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	return r.Body.Close()
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// callerKey marks requests that came from inside the process.
type callerKey struct{}

// Internal reports whether the request came from another service of this process.
func Internal(ctx context.Context) bool {
	in, _ := ctx.Value(callerKey{}).(bool)
	return in
}

// direct serves r by h. The answer is kept in memory: services answer each other with
// bounded JSON documents.
func direct(h http.Handler, r *http.Request) (*http.Response, error) {
	// The callee must see nothing of the caller's context but its end.
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), callerKey{}, true))
	stop := context.AfterFunc(r.Context(), cancel)
	defer func() { stop(); cancel() }()
	in := r.Clone(ctx)
	obs.Inject(r.Context(), in.Header)
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer func() { _ = in.Body.Close() }() // as http.RoundTripper promises; the error belongs to the caller's own reader
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	if err := serve(h, w, in); err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w.WriteHeader(http.StatusOK) // if the handler did not
	if r.Method == http.MethodHead {
		w.body.Reset()
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the service broke off: %v", p)
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

type recorder struct {
	header http.Header
	sent   http.Header
	body   bytes.Buffer
	status int
	wrote  bool
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if !w.wrote && status >= 200 {
		w.wrote, w.status = true, status
		w.sent = w.header.Clone() // what is set later comes too late
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Static is services at fixed base URLs, several for each; calls go round.
type Static struct {
	targets map[string]*ring
	base    http.RoundTripper
}

// ring is one service's addresses, taken in turn.
type ring struct {
	urls []*url.URL
	next atomic.Uint64
}

// NewStatic reads the base URLs of each service.
func NewStatic(addresses map[string][]string) (*Static, error) {
	s := &Static{targets: map[string]*ring{}, base: &http.Transport{
		MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second, ResponseHeaderTimeout: clientTimeout,
	}}
	for service, list := range addresses {
		s.targets[service] = &ring{}
		for _, a := range list {
			u, err := url.Parse(a)
			if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
				return nil, fmt.Errorf("service %s: %q is no base URL, want for example http://10.0.0.5:8080, without a path", service, a)
			}
			s.targets[service].urls = append(s.targets[service].urls, u)
		}
	}
	return s, nil
}

func (s *Static) pick(service string) (*url.URL, error) {
	r := s.targets[service]
	if r == nil || len(r.urls) == 0 {
		return nil, unavailable(service)
	}
	return r.urls[(r.next.Add(1)-1)%uint64(len(r.urls))], nil
}

// Client implements Services.
func (s *Static) Client(service string) *http.Client {
	return &http.Client{Timeout: clientTimeout, CheckRedirect: noRedirect, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		u, err := s.pick(service)
		if err != nil {
			return nil, errors.Join(err, closeBody(r))
		}
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host = u.Scheme, u.Host
		obs.Inject(r.Context(), out.Header)
		resp, err := s.base.RoundTrip(out)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", unavailable(service), err)
		}
		return resp, nil
	})}
}

// Handler implements Services. Bodies stream both ways.
func (s *Static) Handler(service string) http.Handler {
	return &httputil.ReverseProxy{
		Transport: s.base,
		Rewrite: func(p *httputil.ProxyRequest) {
			if u, err := s.pick(service); err == nil {
				p.Out.URL.Scheme, p.Out.URL.Host = u.Scheme, u.Host
			}
			p.Out.Host = p.In.Host
			p.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) { problem.Write(w, r, unavailable(service)) },
	}
}
