package edge

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
)

// TestDrain stops the edge while a download is under way: it arrives whole; who has a
// connection is told to close it; in the meantime others are still served.
func TestDrain(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	forms := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/slow") {
			return
		}
		_, _ = io.WriteString(w, "begin ")
		_ = http.NewResponseController(w).Flush()
		<-release
		_, _ = io.WriteString(w, "end")
	})
	f := begin(t, map[string]http.Handler{"forms": forms}, func(s *run.Settings, _ map[string]any) { s.DrainDelay = 3 * time.Second })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/t/erfurt/forms/slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Body.Close()
	if g := f.get("/t/erfurt/forms/"); g.StatusCode != 200 || g.Close {
		t.Errorf("before the end: %d, connection closed %v, want 200 on a connection that stays", g.StatusCode, g.Close)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- f.process.Stop() }()
	runtest.Eventually(t, "the edge says that it is not ready, on a connection that it closes", func() bool {
		g := f.get("/readyz")
		return g.StatusCode == 503 && g.Close
	})
	if g := f.get("/t/erfurt/forms/"); g.StatusCode != 200 || !g.Close {
		t.Errorf("while it leaves: %d, connection closed %v, want 200 with Connection: close", g.StatusCode, g.Close)
	}
	runtest.Eventually(t, "it takes no connection any more", func() bool {
		_, err := f.try(t.Context(), http.MethodGet, "/t/erfurt/forms/", nil)
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("Stop = %v while a download was under way, want that it waits", err)
	default:
	}
	close(release)
	if b, err := io.ReadAll(slow.Body); err != nil || string(b) != "begin end" {
		t.Errorf("the download = %q, %v, want all of it", b, err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop = %v, want a clean one", err)
	}
}
