package discover_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"basisdienste/platform/discover"
	"basisdienste/platform/fault"
	"basisdienste/platform/tenant"
)

func request(ctx context.Context, t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func do(t *testing.T, c *http.Client, r *http.Request) (status int, body string, err error) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

type closing struct {
	io.Reader
	closed *bool
}

func (c closing) Close() error { *c.closed = true; return nil }

func TestLocal_Client(t *testing.T) {
	t.Parallel()
	l := discover.NewLocal()
	big := strings.Repeat("x", 5<<20)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo/{id}", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		_, secret := tenant.From(r.Context())
		r.Header.Set("X-Mine", "changed")
		w.Header().Set("X-Answer", "before")
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("X-Answer", "after")
		_, _ = fmt.Fprint(w, r.PathValue("id"), r.URL.RawQuery, string(b), err, r.Host, secret, discover.Internal(r.Context()))
	})
	mux.HandleFunc("GET /big", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, big) })
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("oh") })
	mux.HandleFunc("GET /away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://evil.example/", http.StatusFound)
	})
	mux.HandleFunc("GET /slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("GET /silent", func(http.ResponseWriter, *http.Request) {})
	l.Add("payment", mux)
	c := l.Client("payment")

	ctx := tenant.With(t.Context(), tenant.Tenant{ID: "secret"}) // the callee must find out by itself
	closed := false
	r := request(ctx, t, http.MethodPost, "http://payment/echo/a%2Fb?q=1", closing{strings.NewReader("body"), &closed})
	r.Header.Set("X-Mine", "mine")
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if got, want := fmt.Sprint(resp.StatusCode, " ", string(b), err), "201 a/bq=1body<nil>paymentfalse true<nil>"; got != want {
		t.Errorf("POST = %s, want %s", got, want)
	}
	if h := resp.Header.Get("X-Answer"); h != "before" || r.Header.Get("X-Mine") != "mine" || !closed || resp.ContentLength != int64(len(b)) {
		t.Errorf("answer's header %q, the caller's header %q, body closed %v, length %d", h, r.Header.Get("X-Mine"), closed, resp.ContentLength)
	}
	for path, want := range map[string]int{"/big": 200, "/away": 302, "/silent": 200, "/nowhere": 404} {
		status, body, err := do(t, c, request(t.Context(), t, http.MethodGet, "http://payment"+path, nil))
		if err != nil || status != want || (path == "/big" && body != big) {
			t.Errorf("GET %s = %d, %d bytes, %v, want %d", path, status, len(body), err, want)
		}
	}
	if status, body, err := do(t, c, request(t.Context(), t, http.MethodHead, "http://payment/big", nil)); status != 200 || body != "" || err != nil {
		t.Errorf("HEAD = %d with %d bytes, %v, want 200 without", status, len(body), err)
	}
	if _, _, err := do(t, c, request(t.Context(), t, http.MethodGet, "http://payment/panic", nil)); err == nil || !strings.Contains(err.Error(), "oh") {
		t.Errorf("GET of a panic = %v, want an error", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	context.AfterFunc(cancelled, func() {})
	go cancel()
	if _, _, err := do(t, c, request(cancelled, t, http.MethodGet, "http://payment/slow", nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("GET, given up = %v, want context.Canceled", err)
	}
}

func TestServices_Away(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	url := gone.URL
	gone.Close()
	static, err := discover.NewStatic(map[string][]string{"payment": {url}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]discover.Services{"local": discover.NewLocal(), "static": static} {
		for _, service := range []string{"payment", "nobody"} {
			closed := false
			_, _, err := do(t, s.Client(service), request(t.Context(), t, http.MethodPost, "http://"+service+"/x", closing{strings.NewReader("x"), &closed}))
			if !fault.Is(err, "service_unavailable") || fault.From(err).Kind != fault.KindUnavailable || !closed {
				t.Errorf("%s: POST to %s = %v, body closed %v, want service_unavailable", name, service, err, closed)
			}
			w := httptest.NewRecorder()
			s.Handler(service).ServeHTTP(w, request(t.Context(), t, http.MethodGet, "http://basis/x", nil))
			if w.Code != 503 || !strings.Contains(w.Body.String(), "service_unavailable") || w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: passed on to %s = %d %s, want 503 with Retry-After", name, service, w.Code, w.Body)
			}
		}
	}
}

func TestStatic_TakesTurnsForEachService(t *testing.T) {
	t.Parallel()
	addresses := map[string][]string{}
	for _, service := range []string{"payment", "notify"} {
		for _, n := range []string{"1", "2"} {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, n+r.URL.Path+r.Header.Get("X-Forwarded-Host"))
			}))
			t.Cleanup(srv.Close)
			addresses[service] = append(addresses[service], srv.URL+"/")
		}
	}
	s, err := discover.NewStatic(addresses, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for range 4 {
		for service := range addresses { // one after the other: both have to take turns
			_, body, err := do(t, s.Client(service), request(t.Context(), t, http.MethodGet, "http://"+service+"/a%2Fb", nil))
			if err != nil {
				t.Fatal(err)
			}
			got[service] += body + " "
		}
	}
	for service, order := range got {
		if order != "1/a/b 2/a/b 1/a/b 2/a/b " {
			t.Errorf("calls of %s went to %s, want 1 and 2 in turn", service, order)
		}
	}
	w := httptest.NewRecorder()
	s.Handler("payment").ServeHTTP(w, request(t.Context(), t, http.MethodGet, "http://basis.example/x", nil))
	if w.Code != 200 || w.Body.String() != "1/xbasis.example" {
		t.Errorf("passed on = %d %s, want the path as it is, and the public host", w.Code, w.Body)
	}
}

func TestNewStatic_RefusesWhatIsNoBaseURL(t *testing.T) {
	t.Parallel()
	for _, a := range []string{"", "10.0.0.5:8080", "ftp://x", "http://", "http://x/base", "http://x?y", "http://user:pass@x", "http://%zz"} {
		if _, err := discover.NewStatic(map[string][]string{"payment": {a}}, nil); err == nil || !strings.Contains(err.Error(), "payment") {
			t.Errorf("NewStatic with %q = %v, want an error that names payment", a, err)
		}
	}
}
