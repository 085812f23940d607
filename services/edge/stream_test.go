package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
)

// within makes the process end the context of a request after d.
func within(d time.Duration) option {
	return func(s *run.Settings, _ map[string]any) { s.RequestTime = d }
}

// TestEvents_OutliveTheTimeout receives for longer than request_timeout, a piece at a time.
func TestEvents_OutliveTheTimeout(t *testing.T) {
	t.Parallel()
	const timeout, pause, pieces = 2 * time.Second, 300 * time.Millisecond, 10
	forms := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for i := range pieces {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	f := begin(t, map[string]http.Handler{"forms": forms}, within(timeout))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/t/erfurt/forms/", nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	resp, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines, first := 0, time.Duration(0)
	scan := bufio.NewScanner(resp.Body)
	for scan.Scan() {
		if strings.HasPrefix(scan.Text(), "data: ") {
			if lines++; lines == 1 {
				first = time.Since(began)
			}
		}
	}
	if err := scan.Err(); err != nil || lines != pieces || first > pause*pieces/2 {
		t.Errorf("events = %d, the first after %v, %v, want %d, each as it comes", lines, first, err, pieces)
	}
}

// TestStillRequests_End has services that say nothing, or nothing more, and clients that leave.
func TestStillRequests_End(t *testing.T) {
	t.Parallel()
	var ended sync.Map
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	forms := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "left") {
			leave()
		}
		if strings.HasSuffix(r.URL.Path, "half") {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		if strings.HasSuffix(r.URL.Path, "read") {
			_, _ = io.ReadAll(r.Body)
		}
		<-r.Context().Done()
		ended.Store(r.URL.Path, true)
	})
	f := begin(t, map[string]http.Handler{"forms": forms}, within(time.Second))
	saw := func(path string) {
		t.Helper()
		runtest.Eventually(t, "the service hears that "+path+" is over", func() bool { _, ok := ended.Load(path); return ok })
	}
	if g := f.get("/t/erfurt/forms/silent", opens...); g.StatusCode != 503 || !strings.Contains(g.body, "nicht erreichbar") {
		t.Errorf("a silent service = %d, want 503 as a page: %s", g.StatusCode, g.body)
	}
	saw("/t/erfurt/forms/silent")
	if g := f.do(http.MethodPost, "/t/erfurt/forms/read", strings.NewReader("all of it")); g.StatusCode != 503 {
		t.Errorf("a service that is silent after the body = %d %s, want 503", g.StatusCode, g.body)
	}
	saw("/t/erfurt/forms/read")
	if g, err := f.try(t.Context(), http.MethodGet, "/t/erfurt/forms/half", nil); err == nil {
		t.Errorf("half an answer = %d %q, want a broken connection", g.StatusCode, g.body)
	}
	saw("/t/erfurt/forms/half")

	patient := begin(t, map[string]http.Handler{"forms": forms})
	if g, err := patient.try(ctx, http.MethodGet, "/t/erfurt/forms/left", nil); err == nil {
		t.Errorf("a request that was given up = %d", g.StatusCode)
	}
	saw("/t/erfurt/forms/left")
}
