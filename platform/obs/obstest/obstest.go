// Package obstest is a collector for tests: it takes spans by OTLP over HTTP, as a real one
// does, and lets a test look at them.
package obstest

import (
	"cmp"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span as it was sent.
type Span struct {
	Trace, ID, Parent string // hex; Parent is empty for the first of a trace
	Service           string // service.name of the process
	Name              string
	Kind              string // SERVER, CLIENT, PRODUCER, CONSUMER, INTERNAL
	Failed            bool
	Attributes        map[string]string
	Began, Ended      uint64 // nanoseconds since 1970
}

func (s Span) String() string {
	return fmt.Sprintf("%s %s %s ← %s %q %v", s.Kind, s.Trace, s.ID, s.Parent, s.Name, s.Attributes)
}

// Collector is a running collector.
type Collector struct {
	URL string // what server.telemetry.otlp_endpoint wants

	mu    sync.Mutex
	spans []Span
	raw   strings.Builder
}

// Start runs a collector until the test ends.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		if err := c.take(r); err != nil {
			t.Errorf("obstest: %v", err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

func (c *Collector) take(r *http.Request) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return err
		}
		body = unzipped
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var q collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(b, &q); err != nil {
		return fmt.Errorf("not an ExportTraceServiceRequest: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(b) // strings stand in protobuf as they are
	for _, from := range q.GetResourceSpans() {
		service := words(from.GetResource().GetAttributes())["service.name"]
		for _, scope := range from.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, Span{
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Service: service, Name: s.GetName(), Kind: strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"),
					Failed: s.GetStatus().GetCode() == 2, Attributes: words(s.GetAttributes()), Began: s.GetStartTimeUnixNano(), Ended: s.GetEndTimeUnixNano(),
				})
			}
		}
	}
	return nil
}

func words(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		default:
			out[a.GetKey()] = strings.TrimSpace(fmt.Sprint(a.GetValue()))
			if n, ok := v.(*common.AnyValue_IntValue); ok {
				out[a.GetKey()] = fmt.Sprint(n.IntValue)
			}
		}
	}
	return out
}

// Spans returns what has come so far, by their beginning.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.spans)
	slices.SortFunc(out, func(a, b Span) int { return cmp.Compare(a.Began, b.Began) })
	return out
}

// Holds reports whether text stands anywhere in what was sent: names, values, events.
func (c *Collector) Holds(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Contains(strings.ToLower(c.raw.String()), strings.ToLower(text))
}
