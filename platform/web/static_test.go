package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestStatic(t *testing.T) {
	t.Parallel()
	h, prefix := Static(), files().prefix
	tests := []struct {
		path, mediaType, caching string
		status                   int
		zipped                   bool
	}{
		{prefix + "/kern.min.css", "text/css; charset=utf-8", immutable, 200, true},
		{prefix + "/site.css", "text/css; charset=utf-8", immutable, 200, true},
		{prefix + "/fonts.css", "text/css; charset=utf-8", immutable, 200, true},
		{prefix + "/icon.svg", "image/svg+xml", immutable, 200, true},
		{prefix + "/fira-sans/latin-400.woff2", "font/woff2", immutable, 200, false},
		{"/static/0000000000000000/site.css", "text/css; charset=utf-8", "no-cache", 200, true},
		{"/static/brand/a3142e.css", "text/css; charset=utf-8", immutable, 200, false},
		{"/static/brand/A3142E.css", "text/plain; charset=utf-8", "", 404, false},
		{"/static/brand/red.css", "text/plain; charset=utf-8", "", 404, false},
		{prefix + "/fira-sans/LICENSE", "text/plain; charset=utf-8", "", 404, false},
		{prefix + "/../static.go", "text/plain; charset=utf-8", "", 404, false},
		{"/static/", "text/plain; charset=utf-8", "", 404, false},
		{"/other", "text/plain; charset=utf-8", "", 404, false},
	}
	for _, tt := range tests {
		plain := get(t, h, tt.path)
		if plain.Code != tt.status || plain.Header().Get("Content-Type") != tt.mediaType || plain.Header().Get("Cache-Control") != tt.caching {
			t.Errorf("GET %s: got %d, %v, want %d, %s, %s", tt.path, plain.Code, plain.Header(), tt.status, tt.mediaType, tt.caching)
			continue
		}
		if tt.status != http.StatusOK {
			continue
		}
		zipped := get(t, h, tt.path, header("Accept-Encoding", "br, gzip"))
		if got := zipped.Header().Get("Content-Encoding") == "gzip"; got != tt.zipped {
			t.Errorf("GET %s with gzip: got Content-Encoding %q, want gzip %v", tt.path, zipped.Header().Get("Content-Encoding"), tt.zipped)
		}
		if tt.zipped {
			r, err := gzip.NewReader(zipped.Body)
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(content, plain.Body.Bytes()) {
				t.Errorf("GET %s with gzip: got other content (%v)", tt.path, err)
			}
		}
		etag := plain.Header().Get("ETag")
		again := get(t, h, tt.path, header("If-None-Match", etag))
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("GET %s with If-None-Match %s: got %d with %d bytes, want 304 with none", tt.path, etag, again.Code, again.Body.Len())
		}
	}

	refused := get(t, h, prefix+"/site.css", header("Accept-Encoding", "gzip;q=0"))
	if got := refused.Header().Get("Content-Encoding"); got != "" {
		t.Errorf("GET site.css with gzip;q=0: got Content-Encoding %q, want none", got)
	}
	if w := send(t, h, httptest.NewRequestWithContext(t.Context(), http.MethodPost, prefix+"/site.css", nil)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST site.css: got %d, want 405", w.Code)
	}
}

// TestStatic_complete follows every URL of the style sheets: each is embedded data or a
// file of the bundle, and none leaves the site.
func TestStatic_complete(t *testing.T) {
	t.Parallel()
	reference := regexp.MustCompile(`url\(\s*["']?([^"')]+)`)
	fonts := 0
	for name, f := range files().files {
		if !strings.HasSuffix(name, ".css") {
			continue
		}
		for _, m := range reference.FindAllStringSubmatch(string(f.plain), -1) {
			if strings.HasPrefix(m[1], "data:") {
				continue
			}
			if _, ok := files().files[m[1]]; !ok {
				t.Errorf("%s: url(%s): got no such file in the bundle", name, m[1])
			}
			fonts++
		}
	}
	if want := 21; fonts != want {
		t.Errorf("style sheets: got %d font files, want %d", fonts, want)
	}
}
