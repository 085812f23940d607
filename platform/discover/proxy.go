package discover

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"

	"basisdienste/platform/fault"
	"basisdienste/platform/obs"
	"basisdienste/platform/problem"
)

// proxy passes requests on to a pool. Bodies stream both ways; an answer of unknown length,
// server-sent events among them, is flushed as it comes.
type proxy struct {
	reverse httputil.ReverseProxy
}

func newProxy(p *pool) *proxy {
	return &proxy{httputil.ReverseProxy{
		Transport: obs.Client(p.service, p),
		Rewrite: func(q *httputil.ProxyRequest) {
			q.Out.URL.Scheme, q.Out.URL.Host = "http", p.service // the pool says which instance
			q.Out.Host = q.In.Host
			q.Out.URL.RawQuery = q.In.URL.RawQuery // what cannot be parsed is the service's to refuse
			// What proxies before us wrote is kept: limit.Address reads it from its end and
			// believes only whom it is told to.
			q.Out.Header["X-Forwarded-For"] = q.In.Header["X-Forwarded-For"]
			q.SetXForwarded()
		},
		BufferPool: &buffers{},
		ErrorLog:   slog.NewLogLogger(p.log.Handler(), slog.LevelDebug), // answers that broke off
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if fault.From(err).Kind == fault.KindTooSlow {
				problem.Write(w, r, err)
				return
			}
			if r.Context().Err() == nil {
				p.log.WarnContext(r.Context(), "a request could not be passed on", "service", p.service, "error", err)
			}
			problem.Write(w, r, unavailable(p.service))
		},
	}}
}

// ServeHTTP implements http.Handler. A header of the service's answer replaces one of the
// same name that was set before.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	once := p.reverse
	once.ModifyResponse = func(resp *http.Response) error {
		for name := range resp.Header {
			if name != "Set-Cookie" && name != "Vary" {
				w.Header().Del(name)
			}
		}
		return nil
	}
	once.ServeHTTP(w, r)
}

// buffers is a httputil.BufferPool.
type buffers struct{ free sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.free.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.free.Put(&p) }
