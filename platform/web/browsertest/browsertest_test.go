package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// serve answers every path with html, "/missing.css" with 404.
func serve(t *testing.T, policy, html string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/missing.css", http.NotFound)
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if policy != "" {
			w.Header().Set("Content-Security-Policy", policy)
		}
		_, _ = fmt.Fprintf(w, "<!DOCTYPE html><html lang=de><title>%s</title><main><h1>H</h1>%s</main></html>", r.Header.Get("Accept-Language"), html)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// takeProblems returns what the tab noted and forgets it, so that Open's check passes.
func takeProblems(ctx context.Context) string {
	state := ctx.Value(tabKey{}).(*tab)
	state.mu.Lock()
	defer state.mu.Unlock()
	all := strings.Join(state.problems, "\n")
	state.problems = nil
	return all
}

func TestCheck_findsBarriers(t *testing.T) {
	t.Parallel()
	page := serve(t, "script-src 'none'", `<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><input id=a><p style="color:#ccc;background:#fff">pale</p>`)
	for _, o := range []Options{{}, {NoScript: true}} {
		ctx := Open(t, o)
		Visit(t, ctx, page)
		var got []string
		for _, f := range check(t, ctx) {
			got = append(got, f.ID)
			if f.ID == "image-alt" && (f.Impact != "critical" || !strings.Contains(f.String(), "<img src=")) {
				t.Errorf("check(%+v): got %s, want a critical finding that shows the node", o, f)
			}
		}
		for _, want := range []string{"image-alt", "label", "color-contrast"} {
			if !slices.Contains(got, want) {
				t.Errorf("check(%+v): got %q, want %s among them", o, got, want)
			}
		}
	}
}

func TestOpen_options(t *testing.T) {
	t.Parallel()
	page := serve(t, "", `<p id=js>off</p><script>document.getElementById("js").textContent = "on"</script><meta name=viewport content="width=device-width">`)
	const look = `[document.getElementById("js").textContent, innerWidth, matchMedia("(prefers-color-scheme: dark)").matches, document.title].join(" ")`
	tests := []struct {
		options Options
		want    string
	}{
		{Options{}, "on 1280 false de"},
		{Options{NoScript: true}, "off 1280 false de"},
		{Options{Phone: true, Dark: true, Lang: "en"}, "on 320 true en"},
	}
	for _, tt := range tests {
		ctx := Open(t, tt.options)
		Visit(t, ctx, page)
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string](look))
		if err != nil {
			t.Fatal(err)
		}
		if got != tt.want {
			t.Errorf("Open(%+v): got %q, want %q", tt.options, got, tt.want)
		}
	}
}

// TestAxe_leavesScriptsOff promises that a check does not bring a page's scripts to life.
func TestAxe_leavesScriptsOff(t *testing.T) {
	t.Parallel()
	page := serve(t, "", `<p id=js>off</p><script>document.getElementById("js").textContent = "on"</script>`)
	ctx := Open(t, Options{NoScript: true})
	Visit(t, ctx, page)
	for range 2 {
		check(t, ctx)
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.getElementById("js").textContent`))
		if err != nil {
			t.Fatal(err)
		}
		if got != "off" {
			t.Errorf("after a check: got scripts %s, want off", got)
		}
		Visit(t, ctx, page)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, policy, html, want string }{
		{"clean", "", `<p>nothing</p>`, ""},
		{"other host", "", `<img alt="" src="http://tracker.invalid/p.gif">`, "the page asked another host: http://tracker.invalid/p.gif"},
		{"broken policy", "default-src 'none'", `<p style="color:red">x</p>`, "security: "},
		{"missing style sheet", "", `<link rel=stylesheet href="/missing.css">`, "/missing.css"},
		{"script throws", "", `<script>nope()</script>`, "script: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			page := serve(t, tt.policy, tt.html)
			ctx := Open(t, Options{})
			Visit(t, ctx, page)
			got := takeProblems(ctx)
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
			}
		})
	}
}

// TestExecutable_none runs this binary again on a machine without a browser.
func TestExecutable_none(t *testing.T) {
	if os.Getenv("BASIS_BROWSERTEST_CHILD") != "" {
		Open(t, Options{})
		return
	}
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestExecutable_none$", "-test.v")
	cmd.Env = []string{"BASIS_BROWSERTEST_CHILD=1", "PATH=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	want := "install Debian's package chromium (apt-get install chromium)"
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("test without a browser: got %v, %s, want a failure with %q", err, out, want)
	}
}
