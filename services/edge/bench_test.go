package edge

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
)

// BenchmarkHop measures what the edge adds to a request: CPU of the whole process (client,
// edge and service are in it) by way of the edge, and directly. Their difference is the
// edge's, with the reading and writing of one more connection. TLS is not part of it. The
// bare way is the standard library's reverse proxy with nothing around it: the floor.
//
//	go test -run '^$' -bench Hop -benchtime 20000x ./services/edge
func BenchmarkHop(b *testing.B) {
	answer := make([]byte, 1024)
	service := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})
	direct := httptest.NewServer(service)
	b.Cleanup(direct.Close)
	f := begin(b, map[string]http.Handler{"forms": service}, func(s *run.Settings, keys map[string]any) {
		s.AddressLimit = 1_000_000_000
		keys["edge.requests_per_minute_and_tenant"], keys["edge.burst"] = 1_000_000_000, 1_000_000_000
	})
	f.know("erfurt")
	target, err := url.Parse(direct.URL)
	if err != nil {
		b.Fatal(err)
	}
	bare := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(target) },
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, BufferPool: &buffers{},
	})
	b.Cleanup(bare.Close)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	b.Cleanup(client.CloseIdleConnections)
	for _, way := range []struct{ name, url string }{{"direct", direct.URL}, {"bare", bare.URL}, {"edge", f.url}} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			var failed atomic.Int64
			b.SetParallelism(8)
			before := runtest.CPU(b)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, way.url+"/t/erfurt/forms/v1/forms", nil)
					if err != nil {
						failed.Add(1)
						continue
					}
					r.Header.Set("Authorization", "Bearer eyJhbGciOiJFUzI1NiJ9")
					r.Header.Set("Accept", "application/json")
					resp, err := client.Do(r)
					if err != nil {
						failed.Add(1)
						continue
					}
					if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(len(answer)) || resp.StatusCode != http.StatusOK {
						failed.Add(1)
					}
					_ = resp.Body.Close()
				}
			})
			b.ReportMetric(float64((runtest.CPU(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
			if n := failed.Load(); n > 0 {
				b.Errorf("%d of %d requests failed", n, b.N)
			}
		})
	}
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
