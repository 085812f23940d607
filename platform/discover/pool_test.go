package discover_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/discover"
	"basisdienste/platform/fault"
)

// peer is an instance that counts its calls.
type peer struct {
	*httptest.Server
	calls atomic.Int64
}

func newPeer(t testing.TB, h http.HandlerFunc) *peer {
	p := &peer{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.calls.Add(1)
		h(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// eventually waits until f returns true, for at most d.
func eventually(t testing.TB, d time.Duration, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(d)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen within %s: %s", d, what)
		}
		<-tick.C
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	_, _ = fmt.Fprint(w, r.Method, " ", string(b), " ", err)
}

// cut reads the request and breaks the connection off.
func cut(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// refusing is an address where nobody listens.
func refusing() string {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	return s.URL
}

func static(t testing.TB, urls ...string) *discover.Static {
	t.Helper()
	s, err := discover.NewStatic(map[string][]string{"payment": urls}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// once is a body that cannot be read again.
func once(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) }

func again(s string) io.Reader { return strings.NewReader(s) }

func TestClient_RepeatsWhatHadNoEffect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method string
		body         func(string) io.Reader
		key          string
		cut          bool // the first instance breaks off; otherwise nobody listens there
		want         string
	}{
		{"refused, GET", "GET", nil, "", false, "GET  <nil>"},
		{"refused, POST", "POST", again, "", false, "POST body <nil>"},
		{"refused, POST without a body", "POST", nil, "", false, "POST  <nil>"},
		{"refused, POST that can be read once", "POST", once, "", false, "POST body <nil>"},
		{"broken off, GET", "GET", nil, "", true, "GET  <nil>"},
		{"broken off, OPTIONS", "OPTIONS", nil, "", true, "OPTIONS  <nil>"},
		{"broken off, PUT", "PUT", again, "", true, "PUT body <nil>"},
		{"broken off, DELETE", "DELETE", nil, "", true, "DELETE  <nil>"},
		{"broken off, PUT that can be read once", "PUT", once, "", true, "service_unavailable"},
		{"broken off, POST", "POST", again, "", true, "service_unavailable"},
		{"broken off, POST without a body", "POST", nil, "", true, "service_unavailable"},
		{"broken off, PATCH", "PATCH", again, "", true, "service_unavailable"},
		{"broken off, POST with a key", "POST", again, "k1", true, "POST body <nil>"},
		{"broken off, POST with a key that can be read once", "POST", once, "k1", true, "service_unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			good, bad := newPeer(t, echo), newPeer(t, cut)
			first := bad.URL
			if !c.cut {
				first = refusing()
			}
			var body io.Reader
			if c.body != nil {
				body = c.body("body")
			}
			r := request(t.Context(), t, c.method, "http://payment/x", body)
			if c.key != "" {
				r.Header.Set("Idempotency-Key", c.key)
			}
			_, got, err := do(t, static(t, first, good.URL).Client("payment"), r)
			calls := int64(1)
			if c.want == "service_unavailable" {
				calls = 0
				if fault.Is(err, "service_unavailable") {
					got = "service_unavailable"
				}
			}
			if got != c.want || good.calls.Load() != calls {
				t.Errorf("%s = %q, %v with %d calls at the second instance, want %q and %d", c.method, got, err, good.calls.Load(), c.want, calls)
			}
			if c.cut && bad.calls.Load() != 1 {
				t.Errorf("%s was sent %d times to the instance that breaks off, want once", c.method, bad.calls.Load())
			}
		})
	}
}

func TestClient_NeverRepeatsAnswers(t *testing.T) {
	t.Parallel()
	broken := newPeer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	good := newPeer(t, echo)
	status, _, err := do(t, static(t, broken.URL, good.URL).Client("payment"), request(t.Context(), t, "GET", "http://payment/x", nil))
	if status != 500 || err != nil || good.calls.Load() != 0 {
		t.Errorf("GET = %d, %v with %d calls at the other instance, want the 500 as it is", status, err, good.calls.Load())
	}
}

func TestClient_LeavesOutWhoFails(t *testing.T) {
	t.Parallel()
	var healthy atomic.Bool
	bad := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		if !healthy.Load() {
			panic(http.ErrAbortHandler)
		}
		echo(w, r)
	})
	good := newPeer(t, echo)
	c := static(t, bad.URL, good.URL).Client("payment")
	get := func() {
		t.Helper()
		if _, body, err := do(t, c, request(t.Context(), t, "GET", "http://payment/x", nil)); err != nil || body != "GET  <nil>" {
			t.Fatalf("GET = %q, %v, want an answer of the instance that is well", body, err)
		}
	}
	for range 20 {
		get()
	}
	if n := bad.calls.Load(); n < 3 || n > 4 { // the fourth if a second went by
		t.Errorf("of 20 calls %d reached the instance that fails, want 3", n)
	}
	healthy.Store(true)
	before := bad.calls.Load()
	eventually(t, 10*time.Second, "the instance that is well again serves half of the calls", func() bool {
		a, b := bad.calls.Load(), good.calls.Load()
		get()
		get()
		return bad.calls.Load() == a+1 && good.calls.Load() == b+1 && a > before
	})
}

func TestClient_CallersWhoGiveUpAreNotTheInstancesFault(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 16)
	slow := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-r.Context().Done()
		}
	})
	c := static(t, slow.URL).Client("payment")
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		if _, _, err := do(t, c, request(ctx, t, "GET", "http://payment/slow", nil)); !errors.Is(err, context.Canceled) {
			t.Fatalf("GET, given up = %v, want context.Canceled", err)
		}
	}
	for range 5 {
		body := io.MultiReader(strings.NewReader("x"), failing{})
		if _, _, err := do(t, c, request(t.Context(), t, "POST", "http://payment/x", body)); !errors.Is(err, errBody) {
			t.Fatalf("POST of a body that cannot be read = %v, want its error", err)
		}
	}
	if status, _, err := do(t, c, request(t.Context(), t, "GET", "http://payment/x", nil)); status != 200 || err != nil {
		t.Errorf("GET afterwards = %d, %v, want 200", status, err)
	}
}

var errBody = errors.New("the disk is gone")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBody }

// public serves the handler of the service payment as the edge does.
func public(t testing.TB, s discover.Services, set ...string) *httptest.Server {
	h := s.Handler("payment")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(set); i += 2 {
			w.Header().Set(set[i], set[i+1])
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestHandler_RepeatsOnlyWhatWasNotSent(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 3<<20)
	for _, c := range []struct {
		name, method, body string
		cut                bool
		status             int
		want               string
	}{
		{"refused, POST", "POST", big, false, 200, "POST " + big + " <nil>"},
		{"refused, GET", "GET", "", false, 200, "GET  <nil>"},
		{"broken off, GET", "GET", "", true, 200, "GET  <nil>"},
		{"broken off, POST", "POST", "body", true, 503, "service_unavailable"},
		{"broken off, PUT", "PUT", "body", true, 503, "service_unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			good, first := newPeer(t, echo), refusing()
			if c.cut {
				first = newPeer(t, cut).URL
			}
			srv := public(t, static(t, first, good.URL))
			status, body, err := do(t, srv.Client(), request(t.Context(), t, c.method, srv.URL+"/x", strings.NewReader(c.body)))
			if err != nil || status != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%s = %d with %d bytes, %v, want %d with %d bytes", c.method, status, len(body), err, c.status, len(c.want))
			}
		})
	}
}

func TestHandler_PassesOn(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
		w.Header().Set("Set-Cookie", "of=service")
		h := r.Header
		_, _ = fmt.Fprintln(w, r.Host, r.RequestURI, h["X-Forwarded-For"], h["X-Forwarded-Host"], h["X-Forwarded-Proto"], h["Connection"])
	})
	srv := public(t, static(t, p.URL), "X-Frame-Options", "DENY", "Set-Cookie", "of=edge")
	r := request(t.Context(), t, "GET", srv.URL+"/a%2Fb//c?x=%20;y", nil)
	r.Host = "basis.example"
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	r.Header.Set("X-Forwarded-Host", "forged.example")
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if got, want := string(b), "basis.example /a%2Fb//c?x=%20;y [192.0.2.7, 127.0.0.1] [basis.example] [http] []\n"; got != want || err != nil {
		t.Errorf("passed on = %s, %v, want %s", got, err, want)
	}
	if got := fmt.Sprint(resp.Header["X-Frame-Options"], resp.Header["Set-Cookie"]); got != "[SAMEORIGIN] [of=edge of=service]" {
		t.Errorf("answer's headers = %s, want the service's in place of ours, and both cookies", got)
	}
}

func TestHandler_StreamsBothWays(t *testing.T) {
	t.Parallel()
	got := make(chan string)
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			in := bufio.NewReader(r.Body)
			for range 2 {
				line, err := in.ReadString('\n')
				got <- fmt.Sprint(line, err)
			}
			return
		}
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		for range 2 {
			_, _ = io.WriteString(w, "data: 1\n")
			_ = http.NewResponseController(w).Flush()
			<-got // the reader has it before more is written
		}
	})
	srv := public(t, static(t, p.URL))
	for _, path := range []string{"/events", "/unknown-length"} {
		resp, err := srv.Client().Do(request(t.Context(), t, "GET", srv.URL+path, nil))
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(resp.Body)
		for range 2 {
			if line, err := in.ReadString('\n'); line != "data: 1\n" || err != nil {
				t.Errorf("GET %s: %q, %v, want a line before the answer ends", path, line, err)
			}
			got <- ""
		}
		_ = resp.Body.Close()
	}
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, _, err := do(t, srv.Client(), request(t.Context(), t, "POST", srv.URL+"/upload", r))
		done <- err
	}()
	for _, line := range []string{"one\n", "two\n"} {
		if _, err := io.WriteString(w, line); err != nil {
			t.Fatal(err)
		}
		if arrived := <-got; arrived != line+"<nil>" { // before the body ends
			t.Errorf("POST: the service read %q, want %q", arrived, line)
		}
	}
	_ = w.Close()
	if err := <-done; err != nil {
		t.Errorf("POST = %v", err)
	}
}

func TestClient_BodyGoesOnAfterTheAnswerBegan(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		_ = control.Flush()
		echo(w, r)
	})
	in, out := io.Pipe()
	resp, err := static(t, refusing(), p.URL).Client("payment").Do(request(t.Context(), t, "POST", "http://payment/x", in))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.WriteString(out, "late"); err != nil {
		t.Errorf("writing the body after the answer began = %v", err)
	}
	_ = out.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != "POST late <nil>" || err != nil {
		t.Errorf("POST = %q, %v, want the whole body echoed", b, err)
	}
}

func TestClient_TriesAllWhoRefuse(t *testing.T) {
	t.Parallel()
	good := newPeer(t, echo)
	c := static(t, refusing(), refusing(), refusing(), refusing(), good.URL).Client("payment")
	if status, _, err := do(t, c, request(t.Context(), t, "POST", "http://payment/x", again("x"))); status != 200 || err != nil {
		t.Errorf("POST with one of five instances alive = %d, %v, want 200", status, err)
	}
}

func TestHandler_AnswersThatBreakOff(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	srv := public(t, static(t, p.URL))
	if _, body, err := do(t, srv.Client(), request(t.Context(), t, "GET", srv.URL+"/x", nil)); err == nil {
		t.Errorf("GET of half an answer = %q, want an error", body)
	}
}
