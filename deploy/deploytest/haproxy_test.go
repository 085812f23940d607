package deploytest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// proxied is HAProxy with deploy/haproxy in front of one edge.
type proxied struct {
	http, https string
	ready       *atomic.Bool
	certs       authority
}

func startHAProxy(t *testing.T) proxied {
	t.Helper()
	p := proxied{http: freeAddress(t), https: freeAddress(t), certs: newAuthority(t), ready: &atomic.Bool{}}
	p.ready.Store(true)
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			if !p.ready.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return
		}
		for _, h := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"} {
			_, _ = fmt.Fprintf(w, "%s=%s\n", h, strings.Join(r.Header.Values(h), "|"))
		}
	}))
	t.Cleanup(edge.Close)
	pems := t.TempDir()
	write(t, filepath.Join(pems, "basis.pem"), read(t, p.certs.cert)+read(t, p.certs.key))
	env := []string{
		"EDGE_ADDRESS=" + edge.Listener.Addr().String(), "BIND_HTTP=" + p.http, "BIND_HTTPS=" + p.https, "CERTIFICATES=" + pems,
	}
	bin, conf := program(t, "haproxy", "haproxy"), shipped(t, "haproxy/haproxy.cfg")
	if out, err := output(t, env, bin, "-c", "-f", conf); err != nil || strings.Contains(out, "[WARNING]") {
		t.Fatalf("haproxy -c = %v, want nil and no warning\n%s", err, out)
	}
	start(t, env, bin, "-db", "-f", conf)
	return p
}

func (p proxied) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: p.certs.client(), ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type answer struct {
	status, major int
	location      string
	body          string
}

func get(client *http.Client, url string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var body strings.Builder
	_, err = bufio.NewReader(resp.Body).WriteTo(&body)
	return answer{resp.StatusCode, resp.ProtoMajor, resp.Header.Get("Location"), body.String()}, err
}

func TestHAProxy(t *testing.T) {
	t.Parallel()
	p := startHAProxy(t)
	client := p.client(t)
	site := "https://" + p.https
	status := func() int {
		a, err := get(client, site+"/t/erfurt/")
		if err != nil {
			return 0
		}
		return a.status
	}
	eventually(t, "the edge is reached", func() bool { return status() == 200 })

	got, err := get(client, site+"/t/erfurt/", "X-Forwarded-For", "203.0.113.7", "X-Forwarded-Proto", "gopher", "Forwarded", "for=203.0.113.7")
	if err != nil {
		t.Fatal(err)
	}
	want := "X-Forwarded-For=127.0.0.1\nX-Forwarded-Proto=https\nX-Forwarded-Host=" + p.https + "\nForwarded=\n"
	if got.body != want || got.major != 2 {
		t.Errorf("GET with forged headers over HTTP/%d: the edge was told\n%swant, over HTTP/2,\n%s", got.major, got.body, want)
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/"} {
		if got, err := get(client, site+path); err != nil || got.status != 404 {
			t.Errorf("GET %s = %d, %v, want 404", path, got.status, err)
		}
	}
	if got, err := get(client, "http://"+p.http+"/t/erfurt/?a=b"); err != nil || got.status != 308 || !strings.HasPrefix(got.location, "https://") || !strings.HasSuffix(got.location, "/t/erfurt/?a=b") {
		t.Errorf("GET over plain HTTP = %+v, %v, want 308 to https", got, err)
	}
	old := p.certs.client()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	dialer := tls.Dialer{Config: old}
	if conn, err := dialer.DialContext(t.Context(), "tcp", p.https); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 = nil, want refused")
	}
	p.ready.Store(false)
	eventually(t, "an edge that drains gets no requests", func() bool { return status() == 503 })
	p.ready.Store(true)
	eventually(t, "an edge that is ready again gets requests", func() bool { return status() == 200 })
}

// TestHAProxy_SlowHeaders: who sends a header and never ends it is cut off.
func TestHAProxy_SlowHeaders(t *testing.T) {
	t.Parallel()
	p := startHAProxy(t)
	dialer := tls.Dialer{Config: p.certs.client()}
	var conn net.Conn
	eventually(t, "HAProxy listens", func() bool {
		var err error
		conn, err = dialer.DialContext(t.Context(), "tcp", p.https)
		return err == nil
	})
	defer func() { _ = conn.Close() }()
	began := time.Now()
	if err := conn.SetDeadline(began.Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: basis\r\nX-Slow: ")); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if took := time.Since(began); !strings.Contains(line, " 408 ") || took > 20*time.Second {
		t.Errorf("half a header: answer %q, %v, after %s, want 408 within 20 s", line, err, took)
	}
}

func TestHAProxy_DefaultsNeedNoEnvironment(t *testing.T) {
	t.Parallel()
	text := read(t, shipped(t, "haproxy/haproxy.cfg"))
	for name := range strings.FieldsFuncSeq(text, func(r rune) bool { return !strings.ContainsRune("${}ABCDEFGHIJKLMNOPQRSTUVWXYZ_", r) }) {
		if name, ok := strings.CutPrefix(name, "${"); ok && !strings.Contains(text, "presetenv "+strings.TrimSuffix(name, "}")+" ") {
			t.Errorf("%s has no default", name)
		}
	}
	if os.Getenv("EDGE_ADDRESS") != "" {
		t.Error("EDGE_ADDRESS is set where the tests run")
	}
}
