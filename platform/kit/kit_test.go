package kit_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kit/kit/endpoint"

	"basisdienste/platform/fault"
	"basisdienste/platform/kit"
	"basisdienste/platform/obs"
	"basisdienste/platform/problem"
)

type item struct {
	ID    string          `json:"id"`
	Count int             `json:"count"`
	Ratio float64         `json:"ratio"`
	Raw   json.RawMessage `json:"raw,omitempty"`
	Any   any             `json:"any,omitempty"`
}

type order struct {
	Name  string    `json:"name"`
	Items []item    `json:"items"`
	At    time.Time `json:"at"`
	Only  string    `json:"-"`
}

func newMux() *kit.Mux { return kit.NewMux(slog.New(slog.DiscardHandler)) }

func ask(t testing.TB, h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func problemOf(t testing.TB, body []byte) (p problem.Problem) {
	t.Helper()
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("the answer is no problem: %v\n%s", err, body)
	}
	return p
}

func TestRoute_StrictBodies(t *testing.T) {
	t.Parallel()
	m := newMux()
	kit.Route(m, "POST /orders", kit.Public, func(_ context.Context, q order) (order, error) { return q, nil })
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct {
		name, body, contentType string
		want                    int
		code, field             string
	}{
		{"good", `{"name":"x","items":[{"id":"a","count":1,"ratio":1e3}]}`, "application/json", 200, "", ""},
		{"no content type", `{}`, "", 200, "", ""},
		{"charset", `{}`, "application/json; charset=utf-8", 200, "", ""},
		{"a JSON type of its own", `{}`, "application/merge-patch+json", 200, "", ""},
		{"space around", " \r\n\t{} \n", "application/json", 200, "", ""},
		{"form", `name=x`, "application/x-www-form-urlencoded", 415, "json_expected", ""},
		{"text", `{}`, "text/plain", 415, "json_expected", ""},
		{"broken content type", `{}`, "application/json; charset", 415, "json_expected", ""},
		{"empty", ``, "application/json", 400, "invalid_json", ""},
		{"space alone", ` `, "application/json", 400, "invalid_json", ""},
		{"null", `null`, "application/json", 400, "wrong_type", ""},
		{"null in space", ` null `, "application/json", 400, "wrong_type", ""},
		{"array", `[]`, "application/json", 400, "wrong_type", ""},
		{"array of objects", `[{"name":"x"}]`, "application/json", 400, "wrong_type", ""},
		{"string", `"x"`, "application/json", 400, "wrong_type", ""},
		{"unknown field", `{"nam":"x"}`, "application/json", 400, "unknown_field", "/nam"},
		{"other case", `{"Name":"x"}`, "application/json", 400, "unknown_field", "/Name"},
		{"field that is not JSON", `{"Only":"x"}`, "application/json", 400, "unknown_field", "/Only"},
		{"unknown field inside", `{"items":[{"id":"a"},{"idd":"b"}]}`, "application/json", 400, "unknown_field", "/items/1/idd"},
		{"duplicate", `{"name":"x","name":"y"}`, "application/json", 400, "duplicate_field", "/name"},
		{"duplicate by escape", `{"name":"x","n\u0061me":"y"}`, "application/json", 400, "duplicate_field", "/name"},
		{"duplicate inside", `{"items":[{"id":"a","id":"b"}]}`, "application/json", 400, "duplicate_field", "/items/0/id"},
		{"duplicate in raw JSON", `{"items":[{"raw":{"a":1,"a":2}}]}`, "application/json", 400, "duplicate_field", "/items/0/raw/a"},
		{"number for string", `{"name":1}`, "application/json", 400, "wrong_type", "/name"},
		{"string for number", `{"items":[{"count":"1"}]}`, "application/json", 400, "wrong_type", "/items/0/count"},
		{"fraction for integer", `{"items":[{"count":1.5}]}`, "application/json", 400, "wrong_type", "/items/0/count"},
		{"exponent for integer", `{"items":[{"count":1e2}]}`, "application/json", 400, "wrong_type", "/items/0/count"},
		{"huge integer", `{"items":[{"count":9223372036854775808}]}`, "application/json", 400, "wrong_type", "/items/0/count"},
		{"huge number", `{"items":[{"ratio":1e400}]}`, "application/json", 400, "wrong_type", "/items/0/ratio"},
		{"huge number anywhere", `{"items":[{"any":-1e400}]}`, "application/json", 400, "wrong_type", "/items/0/any"},
		{"NaN", `{"items":[{"ratio":NaN}]}`, "application/json", 400, "invalid_json", ""},
		{"object for array", `{"items":{}}`, "application/json", 400, "wrong_type", "/items"},
		{"no time", `{"at":"tomorrow"}`, "application/json", 400, "wrong_type", "/at"},
		{"trailing data", `{} {}`, "application/json", 400, "invalid_json", ""},
		{"trailing comma", `{"name":"x",}`, "application/json", 400, "invalid_json", ""},
		{"comment", `{/* */}`, "application/json", 400, "invalid_json", ""},
		{"single quotes", `{'name':'x'}`, "application/json", 400, "invalid_json", ""},
		{"byte order mark", "\ufeff{}", "application/json", 400, "invalid_json", ""},
		{"UTF-16", "\xff\xfe{\x00}\x00", "application/json", 400, "invalid_json", ""},
		{"invalid UTF-8", "{\"name\":\"\xff\"}", "application/json", 400, "invalid_json", ""},
		{"lone surrogate", `{"name":"\ud800"}`, "application/json", 400, "invalid_json", ""},
		{"control character", "{\"name\":\"\x01\"}", "application/json", 400, "invalid_json", ""},
		{"cut off", `{"name":"x`, "application/json", 400, "invalid_json", ""},
		{"deep", `{"items":[{"raw":` + deep(20_000) + `}]}`, "application/json", 400, "invalid_json", ""},
		{"deep and unknown", `{"x":` + deep(400_000) + `}`, "application/json", 400, "unknown_field", "/x"},
		{"1 MB", `{"name":"` + strings.Repeat("x", kit.MaxBody-11) + `"}`, "application/json", 200, "", ""},
		{"1 MB and a byte", `{"name":"` + strings.Repeat("x", kit.MaxBody-10) + `"}`, "application/json", 413, "body_too_large", ""},
	} {
		w := ask(t, m, http.MethodPost, "/orders", c.body, "Content-Type", c.contentType)
		var code, field string
		if w.Code != http.StatusOK {
			p := problemOf(t, w.Body.Bytes())
			code = p.Code
			if len(p.Fields) > 0 {
				field = p.Fields[0].Name
			}
		}
		if w.Code != c.want || code != c.code || field != c.field {
			t.Errorf("%s: POST %.60q = %d %s at %q, want %d %s at %q", c.name, c.body, w.Code, code, field, c.want, c.code, c.field)
		}
	}
}

func FuzzStrict(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"name":"x","items":[{"id":"a","count":1,"ratio":1.5,"raw":{"a":[1]},"any":{"b":null}}],"at":"2026-11-22T10:00:00Z"}`,
		`{"name":"\ud83d\ude00"}`, `{"items":[{"any":1e400}]}`, "{\"name\":\"\xff\"}", `[[[[`, `{"name":"x","n\u0061me":"y"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var q order
		err := kit.Strict(body, &q)
		if err != nil {
			if fl := fault.From(err); fl.Kind != fault.KindInvalid {
				t.Errorf("Strict(%q) = %v, want a fault of kind invalid", body, err)
			}
			return
		}
		if !json.Valid(body) {
			t.Errorf("Strict(%q) = nil, but encoding/json finds it invalid", body)
		}
		text, err := json.Marshal(q)
		if err != nil {
			t.Fatalf("what Strict read from %q cannot be written: %v", body, err)
		}
		var again order
		if err := kit.Strict(text, &again); err != nil && !strings.Contains(string(text), `"items":null`) {
			t.Errorf("Strict does not read back %q: %v", text, err)
		}
	})
}

// TestRoute_EndlessBodyIsCut sends without end; the server must answer after MaxBody and close.
func TestRoute_EndlessBodyIsCut(t *testing.T) {
	t.Parallel()
	m := newMux()
	kit.Route(m, "POST /orders", kit.Public, func(_ context.Context, q order) (order, error) { return q, nil })
	for name, header := range map[string]string{
		"chunked":  "Transfer-Encoding: chunked\r\n",
		"declared": "Content-Length: 1073741824\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(obs.Recover(slog.New(slog.DiscardHandler))(m)) // a writer that hides the server's
			defer srv.Close()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := fmt.Fprintf(conn, "POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n", header); err != nil {
				t.Fatal(err)
			}
			var sent atomic.Int64
			go func() {
				chunk := strings.Repeat(" ", 1<<16)
				for {
					text := chunk
					if name == "chunked" {
						text = fmt.Sprintf("%x\r\n%s\r\n", len(chunk), chunk)
					}
					n, err := io.WriteString(conn, text)
					if sent.Add(int64(n)); err != nil {
						return
					}
				}
			}()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("answer: %v", err)
			}
			body, err := io.ReadAll(resp.Body)
			if p := problemOf(t, body); resp.StatusCode != 413 || p.Code != "body_too_large" || err != nil {
				t.Errorf("answer = %d %s, %v, want 413 body_too_large", resp.StatusCode, body, err)
			}
			if _ = resp.Body.Close(); !resp.Close {
				t.Error("the connection stays open, want Connection: close")
			}
			if n := sent.Load(); n > 16<<20 { // what the kernel's buffers take comes on top
				t.Errorf("the server took %d bytes", n)
			}
		})
	}
}

type slow struct {
	Name string `json:"name"`
}

func TestRoute_SlowBodyIsGivenUp(t *testing.T) {
	t.Parallel()
	m := newMux()
	kit.Route(m, "POST /slow", kit.Public, func(_ context.Context, q slow) (slow, error) { return q, nil })
	srv := httptest.NewServer(obs.Recover(slog.New(slog.DiscardHandler))(obs.Timeout(50*time.Millisecond, time.Minute)(m)))
	defer srv.Close()
	pr, pw := io.Pipe()
	defer func() { _ = pw.Close() }()
	go func() { _, _ = io.WriteString(pw, `{"name":`) }() // and no more
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/slow", pr)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if p := problemOf(t, body); resp.StatusCode != 408 || p.Code != "body_too_slow" {
		t.Errorf("a body that does not go on = %d %s, want 408 body_too_slow", resp.StatusCode, body)
	}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read before the guard said yes")
	return 0, io.EOF
}
func (unread) Close() error { return nil }

func TestRoute_GuardComesBeforeTheBody(t *testing.T) {
	t.Parallel()
	m := newMux()
	no := func(endpoint.Endpoint) endpoint.Endpoint {
		return func(context.Context, any) (any, error) { return nil, fault.Forbidden("no_entry", "not you") }
	}
	kit.Route(m, "POST /orders", kit.Chain(kit.Public, no, kit.Public), func(context.Context, order) (order, error) {
		t.Error("the use case was called")
		return order{}, nil
	})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", unread{t})
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	if p := problemOf(t, w.Body.Bytes()); w.Code != 403 || p.Code != "no_entry" {
		t.Errorf("POST = %d %s, want 403 no_entry", w.Code, w.Body)
	}
}

func TestChain_RunsInOrder(t *testing.T) {
	t.Parallel()
	var order []string
	step := func(name string) kit.Guard {
		return func(next endpoint.Endpoint) endpoint.Endpoint {
			return func(ctx context.Context, q any) (any, error) {
				order = append(order, name)
				return next(ctx, q)
			}
		}
	}
	m := newMux()
	kit.Route(m, "GET /x", kit.Chain(step("a"), step("b"), step("c")), func(context.Context, struct{}) (kit.None, error) { return kit.None{}, nil })
	ask(t, m, http.MethodGet, "/x", "")
	if got := strings.Join(order, ""); got != "abc" {
		t.Errorf("guards ran as %q, want abc", got)
	}
}

type created struct {
	ID string `json:"id"`
}

func (created) StatusCode() int { return http.StatusCreated }
func (c created) Headers() http.Header {
	return http.Header{"Location": {"/orders/" + c.ID}, "Cache-Control": {"private"}}
}

type path struct {
	kit.NoBody
	ID    string
	Limit string
}

func (p *path) FromHTTP(r *http.Request) error {
	p.ID, p.Limit = r.PathValue("id"), r.URL.Query().Get("limit")
	return nil
}

func (p *path) Validate() error {
	if p.ID == "bad" {
		return fault.Unprocessable("bad_id", "bad")
	}
	return nil
}

func TestRoute_Answers(t *testing.T) {
	t.Parallel()
	m := newMux()
	kit.Route(m, "POST /created", kit.Public, func(context.Context, struct{}) (created, error) { return created{"<1>"}, nil })
	kit.Route(m, "GET /none", kit.Public, func(context.Context, struct{}) (kit.None, error) { return kit.None{}, nil })
	kit.Route(m, "GET /raw", kit.Public, func(context.Context, struct{}) (kit.Raw, error) {
		return kit.Raw{Status: 202, Type: "text/csv", Body: []byte("a;b\n")}, nil
	})
	kit.Route(m, "GET /plain", kit.Public, func(context.Context, struct{}) (kit.Raw, error) { return kit.Raw{Body: []byte("x")}, nil })
	kit.Route(m, "GET /list", kit.Public, func(context.Context, struct{}) ([]string, error) { return nil, nil })
	kit.Route(m, "GET /big", kit.Public, func(context.Context, struct{}) (string, error) { return strings.Repeat("x", 5000), nil })
	kit.Route(m, "PUT /path/{id}", kit.Public, func(_ context.Context, q path) (string, error) { return q.ID + q.Limit, nil })
	kit.Route(m, "GET /broken", kit.Public, func(context.Context, struct{}) (any, error) { return func() {}, nil })
	kit.Route(m, "GET /secret", kit.Public, func(context.Context, struct{}) (string, error) {
		return "", errors.New("password is hunter2")
	})
	srv := httptest.NewServer(m)
	defer srv.Close()
	for _, c := range []struct {
		method, target, body string
		want                 int
		answer               string
		header, value        string
	}{
		{"POST", "/created", `{}`, 201, `{"id":"<1>"}` + "\n", "Location", "/orders/<1>"},
		{"POST", "/created", `{}`, 201, `{"id":"<1>"}` + "\n", "Cache-Control", "private"},
		{"GET", "/none", "", 204, "", "Content-Type", ""},
		{"GET", "/raw", "", 202, "a;b\n", "Content-Type", "text/csv"},
		{"GET", "/plain", "", 200, "x", "X-Content-Type-Options", "nosniff"},
		{"GET", "/list", "", 200, "null\n", "Cache-Control", "no-store"},
		{"GET", "/big", "", 200, `"` + strings.Repeat("x", 5000) + "\"\n", "Content-Length", "5003"},
		{"HEAD", "/big", "", 200, "", "Content-Length", "5003"},
		{"PUT", "/path/a%2Fb?limit=7", "not JSON", 200, `"a/b7"` + "\n", "Content-Type", "application/json"},
		{"PUT", "/path/bad", "", 422, "bad_id", "Content-Type", "application/problem+json"},
		{"GET", "/broken", "", 500, `"code":"internal"`, "Content-Type", "application/problem+json"},
		{"GET", "/secret", "", 500, `"code":"internal"`, "Content-Type", "application/problem+json"},
		{"GET", "/created", "", 405, "method_not_allowed", "Allow", "POST"},
		{"DELETE", "/big", "", 405, "method_not_allowed", "Allow", "GET, HEAD"},
		{"GET", "/nowhere", "", 404, "no_such_address", "Allow", ""},
		{"HEAD", "/nowhere", "", 404, "", "Content-Type", "application/problem+json"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, srv.URL+c.target, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", c.method, c.target, err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fits := string(body) == c.answer || (c.want >= 400 && strings.Contains(string(body), c.answer))
		if err != nil || resp.StatusCode != c.want || !fits || resp.Header.Get(c.header) != c.value {
			t.Errorf("%s %s = %d %.80q with %s %q, %v, want %d %.80q with %q",
				c.method, c.target, resp.StatusCode, body, c.header, resp.Header.Get(c.header), err, c.want, c.answer, c.value)
		}
		if strings.Contains(string(body), "hunter2") {
			t.Errorf("%s %s tells the cause: %s", c.method, c.target, body)
		}
	}
}

func TestWithErrors_IsAViewOfTheSameMux(t *testing.T) {
	t.Parallel()
	m := newMux()
	var of string
	view := m.WithErrors(func(w http.ResponseWriter, r *http.Request, err error) {
		of = r.Pattern + " " + fault.From(err).Code
		w.WriteHeader(418)
	})
	fails := func(context.Context, struct{}) (kit.None, error) { return kit.None{}, fault.Gone("gone_away", "gone") }
	kit.Route(view, "GET /federal/{id}", kit.Public, fails)
	kit.Route(m, "GET /own", kit.Public, fails)
	if w := ask(t, m, http.MethodGet, "/federal/1", ""); w.Code != 418 || of != "GET /federal/{id} gone_away" {
		t.Errorf("GET of the view = %d, error of %q, want 418 by its own form", w.Code, of)
	}
	if w := ask(t, m, http.MethodGet, "/own", ""); w.Code != 410 || problemOf(t, w.Body.Bytes()).Code != "gone_away" {
		t.Errorf("GET beside the view = %d %s, want the problem", w.Code, w.Body)
	}
}

// quiet is a ResponseWriter that costs nothing.
type quiet struct{ h http.Header }

func (q quiet) Header() http.Header         { return q.h }
func (q quiet) WriteHeader(int)             {}
func (q quiet) Write(b []byte) (int, error) { return len(b), nil }

func BenchmarkRoute(b *testing.B) {
	m := newMux()
	kit.Route(m, "POST /t/{tenant}/orders", kit.Public, func(_ context.Context, q slow) (created, error) { return created{q.Name}, nil })
	body := strings.NewReader("")
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/t/erfurt/orders", nil)
	r.Header.Set("Content-Type", "application/json")
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(`{"name":"x"}`)
		r.Body = io.NopCloser(body)
		m.ServeHTTP(quiet{http.Header{}}, r)
	}
}
