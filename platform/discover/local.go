package discover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"basisdienste/platform/obs"
	"basisdienste/platform/problem"
)

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
	return &http.Client{Timeout: clientTimeout, CheckRedirect: noRedirect, Transport: obs.Client(service, roundTripper(func(r *http.Request) (*http.Response, error) {
		h, ok := l.get(service)
		if !ok {
			return nil, errors.Join(unavailable(service), closeBody(r))
		}
		return direct(h, r)
	}))}
}

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
