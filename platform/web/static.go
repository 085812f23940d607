package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

//go:embed assets vendor/kern-ux/kern.min.css vendor/fira-sans
var staticFiles embed.FS

// bundle is the static files of this build under one hash of them all: style sheets name
// fonts by relative URL, and a page never mixes two releases.
type bundle struct {
	prefix string // "/static/HASH"
	files  map[string]staticFile
}

type staticFile struct {
	mediaType, etag string
	plain, gzipped  []byte // gzipped is nil where it would not be smaller
}

// files reads the embedded files once; they never change.
var files = sync.OnceValue(func() bundle {
	b := bundle{files: make(map[string]staticFile)}
	sum := sha256.New()
	types := map[string]string{".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
	err := fs.WalkDir(staticFiles, ".", func(name string, d fs.DirEntry, err error) error {
		mediaType := types[path.Ext(name)]
		if err != nil || mediaType == "" {
			return err
		}
		content, err := staticFiles.ReadFile(name)
		if err != nil {
			return err
		}
		public := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(name, "assets/"), "vendor/"), "kern-ux/")
		sum.Write([]byte(public))
		sum.Write(content)
		b.files[public] = newStaticFile(mediaType, content)
		return nil
	})
	if err != nil {
		panic("web: embedded files: " + err.Error()) // the compiler put them there
	}
	b.prefix = "/static/" + hex.EncodeToString(sum.Sum(nil)[:8])
	return b
})

func newStaticFile(mediaType string, content []byte) staticFile {
	sum := sha256.Sum256(content)
	f := staticFile{mediaType: mediaType, etag: hex.EncodeToString(sum[:8]), plain: content}
	if mediaType == "font/woff2" {
		return f // compressed already
	}
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	// A bytes.Buffer takes everything.
	_, _ = zip.Write(content)
	_ = zip.Close()
	if b.Len() < len(content) {
		f.gzipped = b.Bytes()
	}
	return f
}

const immutable = "public, max-age=31536000, immutable"

// Static serves everything that pages load, below /static/: KERN's style sheet and
// typeface, the frame's own, and tenants' colours. URLs with the hash of this build are
// immutable for a year; a hash of another build, as happens while releases are rolled
// out, gets this build's file to be asked for again. It needs no site and no state.
func Static() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		rest, ok := strings.CutPrefix(r.URL.Path, "/static/")
		hash, name, _ := strings.Cut(rest, "/")
		if color := colorFile.FindStringSubmatch(rest); color != nil {
			f := newStaticFile("text/css; charset=utf-8", []byte(":root { --site-brand: #"+color[1]+"; }\n"))
			f.serve(w, r, immutable)
			return
		}
		b := files()
		f, found := b.files[name]
		if !ok || !found {
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		caching := "no-cache"
		if b.prefix == "/static/"+hash {
			caching = immutable
		}
		f.serve(w, r, caching)
	})
}

func (f staticFile) serve(w http.ResponseWriter, r *http.Request, caching string) {
	h := w.Header()
	h.Set("Cache-Control", caching)
	h.Set("X-Content-Type-Options", "nosniff")
	content, etag := f.plain, `"`+f.etag+`"`
	if f.gzipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if takesGzip(r.Header.Get("Accept-Encoding")) {
			content, etag = f.gzipped, `"`+f.etag+`-gzip"`
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", etag)
	if match := r.Header.Get("If-None-Match"); match != "" && (match == "*" || strings.Contains(match, etag)) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.mediaType)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	// The status is out; a reader who went away cannot be told more.
	_, _ = w.Write(content)
}

// takesGzip reports whether gzip is named and not refused with q=0.
func takesGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(coding) == "gzip" {
			q := strings.TrimSpace(params)
			return q != "q=0" && q != "q=0.0"
		}
	}
	return false
}

var (
	colorFile = regexp.MustCompile(`^brand/([0-9a-f]{6})\.css$`)
	hexColor  = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)
)

// brandURL is the style sheet with the colour; "" for none or one that is not "#rrggbb".
func brandURL(color string) string {
	if !hexColor.MatchString(color) {
		return ""
	}
	return "/static/brand/" + strings.ToLower(color[1:]) + ".css"
}
