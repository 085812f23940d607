package discover

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// answers is a transport without a network.
type answers struct{}

func (answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	return &http.Response{
		StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader("{}")), ContentLength: 2,
	}, nil
}

// BenchmarkCall is what finding, breaker and trace cost beside the connection itself.
func BenchmarkCall(b *testing.B) {
	p := newPool("payment", answers{}, slog.New(slog.DiscardHandler))
	p.set([]address{{"http", "10.0.0.1:8080"}, {"http", "10.0.0.2:8080"}})
	for name, c := range map[string]*http.Client{
		"bare":     {Timeout: clientTimeout, Transport: answers{}},
		"balanced": p.client(),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://payment/x", bytes.NewReader([]byte("{}")))
				if err != nil {
					b.Fatal(err)
				}
				resp, err := c.Do(r)
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
	b.Run("handler", func(b *testing.B) {
		b.ReportAllocs()
		h := newProxy(p)
		for b.Loop() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://basis.example/x", nil))
			if w.Code != http.StatusOK {
				b.Fatal(w.Code)
			}
		}
	})
}

// BenchmarkLoopback shows by the CPU time of the whole process what passing a request on adds
// to serving it: the difference between through and direct.
func BenchmarkLoopback(b *testing.B) {
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"PAYED"}`)
	}))
	defer back.Close()
	s, err := NewStatic(map[string][]string{"payment": {back.URL}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	front := httptest.NewServer(s.Handler("payment"))
	defer front.Close()
	client := &http.Client{Transport: newTransport(nil)}
	for name, url := range map[string]string{"direct": back.URL, "through": front.URL} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			start := cpu(b)
			for b.Loop() {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url+"/x", nil)
				if err != nil {
					b.Fatal(err)
				}
				resp, err := client.Do(r)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			b.ReportMetric(float64((cpu(b)-start).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
