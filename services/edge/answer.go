package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/problem"
	"basisdienste/platform/web"
)

// answer is what a service writes on its way to the client. It is passed on as it is, but
// for two things: a problem that a browser would show to a person becomes a page, and on a
// tenant's own host what leads to the public address is made to arrive there.
type answer struct {
	http.ResponseWriter
	edge    *edge
	request *http.Request   // as it came in
	host    string          // slug of the tenant whose host name was used
	tenant  context.Context // acts for the tenant of the path; nil if that is not known

	began  bool          // the header is out, or held
	status int           // of the problem that is held
	held   *bytes.Buffer // its body
}

// maxProblem bounds what is held; ours are a few hundred bytes.
const maxProblem = 64 << 10

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.began || (status < 200 && status != http.StatusSwitchingProtocols) {
		a.ResponseWriter.WriteHeader(status) // net/http complains of a second one
		return
	}
	a.began = true
	if a.host != "" {
		a.toPublic()
	}
	h := a.Header()
	if status >= http.StatusBadRequest && h.Get("Content-Type") == problem.MediaType && h.Get("Content-Encoding") == "" && isNavigation(a.request) {
		a.status, a.held = status, new(bytes.Buffer)
		return
	}
	a.ResponseWriter.WriteHeader(status)
}

// isNavigation reports whether a person opens the address in a browser.
func isNavigation(r *http.Request) bool {
	if into := r.Header.Get("Sec-Fetch-Dest"); into != "" && into != "document" {
		return false
	}
	return r.Method != http.MethodHead && web.WantsHTML(r) && r.Header.Get("Authorization") == "" && !isAPI(r.URL.EscapedPath())
}

// finish sends the page for a problem that was held.
func (a *answer) finish() {
	if a.held == nil {
		return
	}
	var p problem.Problem
	kind := fault.KindOf(a.status)
	if err := json.Unmarshal(a.held.Bytes(), &p); err != nil || p.Code == "" || kind.Status() != a.status {
		a.ResponseWriter.WriteHeader(a.status)
		_, _ = a.held.WriteTo(a.ResponseWriter) // the status is out; a client that went away cannot be told more
		return
	}
	h := a.Header()
	after, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil {
		after = 0 // none, or a date, which stays as it is
	}
	for _, name := range []string{"Content-Type", "Content-Length", "Cache-Control"} {
		h.Del(name)
	}
	r := a.request
	if a.tenant != nil {
		r = r.WithContext(a.tenant)
	}
	a.edge.site.ErrorPage(a.ResponseWriter, r, &fault.Error{Kind: kind, Code: p.Code, Detail: p.Detail, RetryAfter: time.Duration(after) * time.Second})
}

// toPublic makes the way from a tenant's own host to the public address: sessions live there,
// so a login begins anew with the page that asked for it, and forms may lead there.
func (a *answer) toPublic() {
	h, e := a.Header(), a.edge
	home := e.base + "/t/" + a.host + "/"
	if strings.HasPrefix(h.Get("Location"), home+"auth/authorize?") {
		target := home
		if a.request.Method == http.MethodGet {
			target = e.base + a.request.URL.RequestURI()
		}
		h.Set("Location", target)
	}
	if policy := h.Get("Content-Security-Policy"); policy != "" {
		h.Set("Content-Security-Policy", strings.Replace(policy, "form-action 'self'", "form-action 'self' "+e.origin, 1))
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if !a.began {
		a.WriteHeader(http.StatusOK)
	}
	if a.held != nil {
		a.held.Write(b[:min(len(b), maxProblem-a.held.Len())])
		return len(b), nil
	}
	return a.ResponseWriter.Write(b)
}

// ReadFrom implements io.ReaderFrom: files of a service in this process go out by sendfile.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	if !a.began {
		a.WriteHeader(http.StatusOK)
	}
	if a.held != nil {
		return io.Copy(writerOnly{a}, r)
	}
	return io.Copy(a.ResponseWriter, r)
}

// writerOnly hides ReadFrom.
type writerOnly struct{ io.Writer }

// FlushError is what http.ResponseController.Flush calls.
func (a *answer) FlushError() error {
	if !a.began {
		a.WriteHeader(http.StatusOK)
	}
	if a.held != nil {
		return nil
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() } // the next Write says so

// Unwrap leads http.ResponseController to everything else.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
