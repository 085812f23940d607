package edge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/config"
	"basisdienste/platform/kit"
	"basisdienste/platform/problem"
	"basisdienste/platform/run"
)

// TestUploads_LastAsLongAsTheyMove sends bodies to a service that has a process of its own, to
// one behind the edge, and to one in the edge's process: all three do the same.
func TestUploads_LastAsLongAsTheyMove(t *testing.T) {
	t.Parallel()
	const timeout, pause, pieces = 2 * time.Second, 250 * time.Millisecond, 12
	piece := strings.Repeat("x", 2<<10)
	forms := run.App{Name: "forms", Open: func(_ context.Context, h *run.Host) (run.Unit, error) {
		h.Mux.Handle("POST /forms/file", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			if err == nil {
				err = r.Context().Err() // time is left for what has to be done with it
			}
			if err != nil {
				problem.Write(w, r, err)
				return
			}
			_, _ = fmt.Fprint(w, n)
		}))
		kit.Route(h.Mux, "POST /forms/json", kit.Public, func(ctx context.Context, text string) (int, error) { return len(text), ctx.Err() })
		return run.Unit{}, nil
	}}
	process := func(apps ...run.App) string {
		t.Helper()
		s := run.Defaults()
		s.DataDir, s.Listen, s.Log.Access, s.RequestTime = t.TempDir(), "127.0.0.1:0", false, timeout
		cfg, err := config.Load("", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := run.Start(t.Context(), cfg, s, slog.New(slog.DiscardHandler), apps...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
		return p.BaseURL
	}
	alone := process(forms)
	behind := begin(t, nil, within(timeout), func(s *run.Settings, _ map[string]any) { s.ServiceURLs["forms"] = alone })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for name, url := range map[string]string{"the service alone": alone, "behind the edge": behind.url, "in one process": process(forms, New())} {
		for path, frame := range map[string]string{"/forms/file": "", "/forms/json": `"`} {
			for _, stalls := range []bool{false, true} {
				t.Run(fmt.Sprint(name, path, " stalls ", stalls), func(t *testing.T) {
					t.Parallel()
					body, in := io.Pipe()
					defer func() { _ = body.Close() }()
					go func() {
						tick := time.NewTicker(pause)
						defer tick.Stop()
						_, _ = io.WriteString(in, frame)
						for range pieces {
							<-tick.C
							_, _ = io.WriteString(in, piece)
						}
						if !stalls {
							_, _ = io.WriteString(in, frame)
							_ = in.Close()
						}
					}()
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, body)
					if err != nil {
						t.Fatal(err)
					}
					began := time.Now()
					resp, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					b, err := io.ReadAll(resp.Body)
					if err != nil {
						t.Fatal(err)
					}
					took := time.Since(began)
					if !stalls && (resp.StatusCode != 200 || strings.TrimSpace(string(b)) != fmt.Sprint(pieces*len(piece))) {
						t.Errorf("an upload of %v = %d %s, want 200 and all of it", took, resp.StatusCode, b)
					}
					if stalls && (resp.StatusCode != 408 || resp.Header.Get("Content-Type") != problem.MediaType || !strings.Contains(string(b), `"body_too_slow"`) || took > pieces*pause+3*timeout) {
						t.Errorf("an upload that stalls = %d %s %s after %v, want 408 body_too_slow", resp.StatusCode, resp.Header.Get("Content-Type"), b, took)
					}
				})
			}
		}
	}
}
