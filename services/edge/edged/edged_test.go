package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/certs"
	"basisdienste/platform/certs/certstest"
	"basisdienste/platform/runtest"
)

// TestOneServiceStops keeps requests flowing to three services, stops one of them without a
// word, and starts it again: nobody notices but its own callers.
func TestOneServiceStops(t *testing.T) {
	t.Parallel()
	services := map[string]*service{"forms": serve(t, says("forms")), "payment": serve(t, says("payment")), "booking": serve(t, says("booking"))}
	d := start(t, addresses(services))
	ctx, done := context.WithCancel(t.Context())
	defer done()
	var asked, failed [2]atomic.Int64
	var wg sync.WaitGroup
	for i, name := range []string{"forms", "payment"} {
		for range 4 {
			wg.Go(func() {
				pace := time.NewTicker(2 * time.Millisecond)
				defer pace.Stop()
				for ctx.Err() == nil {
					status, _, body, err := d.get(t.Context(), "/t/erfurt/"+name+"/x")
					asked[i].Add(1)
					if err != nil || status != 200 || body != name {
						failed[i].Add(1)
						t.Errorf("GET of %s = %d %s, %v, want 200", name, status, body, err)
					}
					<-pace.C
				}
			})
		}
	}
	more := func(when string) {
		t.Helper()
		before := [2]int64{asked[0].Load(), asked[1].Load()}
		runtest.Eventually(t, "requests go on "+when, func() bool {
			return asked[0].Load() > before[0]+100 && asked[1].Load() > before[1]+100
		})
	}
	booking := func() (int, http.Header, string) {
		t.Helper()
		status, header, body, err := d.get(t.Context(), "/t/erfurt/booking/x")
		if err != nil {
			t.Fatalf("GET of booking: %v", err)
		}
		return status, header, body
	}
	if status, _, body := booking(); status != 200 {
		t.Errorf("GET of booking = %d %s, want 200", status, body)
	}
	more("before")
	if err := services["booking"].server.Close(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if status, header, body := booking(); status != 503 || header.Get("Retry-After") == "" || !contains(body, `"service_unavailable"`, "booking") {
			t.Errorf("GET of a stopped service = %d %s, Retry-After %q, want 503 service_unavailable and a time", status, body, header.Get("Retry-After"))
		}
	}
	more("while booking is away")
	services["booking"].begin(t)
	runtest.Eventually(t, "booking answers again", func() bool { status, _, _ := booking(); return status == 200 })
	more("after")
	done()
	wg.Wait()
	t.Logf("forms: %d requests, %d failed; payment: %d requests, %d failed", asked[0].Load(), failed[0].Load(), asked[1].Load(), failed[1].Load())
}

// TestStop ends the program during a download: it arrives whole, and the program ends well.
func TestStop(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	forms := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "begin ")
		_ = http.NewResponseController(w).Flush()
		<-release
		_, _ = io.WriteString(w, "end")
	}))
	d := start(t, map[string]string{"forms": forms.url()}, "drain_timeout: 30s")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+"/t/erfurt/forms/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := d.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ended := make(chan error, 1)
	go func() { ended <- d.stop() }()
	runtest.Eventually(t, "it takes no connection any more", func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(d.url, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	close(release)
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "begin end" {
		t.Errorf("the download = %q, %v, want all of it", b, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("edged ended with %v, want status 0", err)
	}
}

// TestTLS exchanges the certificate while the program serves.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	files := ca.Server("edge")
	payment := serve(t, says("payment"))
	d := start(t, map[string]string{"payment": payment.url()}, "public_url: https://basis.example",
		"tls: {cert_file: "+files.Cert+", key_file: "+files.Key+"}")
	client, err := certs.Client(ca.CA, "", "")
	if err != nil {
		t.Fatal(err)
	}
	get := func() (*http.Response, string) {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: client.Clone(), ForceAttemptHTTP2: true} // a handshake of its own
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+d.listen+"/pay/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatalf("GET over TLS: %v", err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("GET over TLS: %v", err)
		}
		return resp, string(b)
	}
	resp, body := get()
	if resp.StatusCode != 200 || body != "payment" || resp.ProtoMajor != 2 || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("GET over TLS = %d %s %s, HSTS %q, want 200 by HTTP/2 with HSTS", resp.StatusCode, resp.Proto, body, resp.Header.Get("Strict-Transport-Security"))
	}
	first := resp.TLS.PeerCertificates[0].SerialNumber
	ca.Server("edge") // over the files of the first
	runtest.Eventually(t, "a new handshake shows the new certificate", func() bool {
		resp, _ := get()
		return resp.StatusCode == 200 && resp.TLS.PeerCertificates[0].SerialNumber.Cmp(first) != 0
	})
}

const big = 100 << 20

// random is a body that does not compress, from a seed.
func random() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), big) }

func sum(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

// TestLargeBodies_NeedNoMemory sends 100 MiB to a service and back.
func TestLargeBodies_NeedNoMemory(t *testing.T) {
	t.Parallel()
	forms := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.Copy(w, random())
			return
		}
		got, err := sum(r.Body)
		_, _ = fmt.Fprint(w, got, " ", err)
	}))
	d := start(t, map[string]string{"forms": forms.url()})
	want, err := sum(random())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := d.get(t.Context(), "/healthz"); err != nil {
		t.Fatal(err)
	}
	before := d.memory(t)
	for _, tt := range []struct {
		method string
		body   io.Reader
	}{{http.MethodPost, io.NopCloser(random())}, {http.MethodGet, nil}} {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, d.url+"/t/erfurt/forms/file", tt.body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := d.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if tt.method == http.MethodPost {
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != want+" <nil>" {
				t.Errorf("POST of 100 MiB = %d %s, %v, want %s", resp.StatusCode, b, err, want)
			}
			continue
		}
		if got, err := sum(resp.Body); err != nil || got != want {
			t.Errorf("GET of 100 MiB = %d %s, %v, want %s", resp.StatusCode, got, err, want)
		}
	}
	const most = 20 << 20
	after := d.memory(t)
	t.Logf("most memory ever: %d MiB before, %d MiB after", before>>20, after>>20)
	if after-before > most {
		t.Errorf("memory grew by %d MiB for bodies of 100 MiB, want at most %d", (after-before)>>20, most>>20)
	}
}

// TestSlowloris opens connections that never finish their header: others are served
// meanwhile, and the slow ones are closed.
func TestSlowloris(t *testing.T) {
	t.Parallel()
	payment := serve(t, says("payment"))
	d := start(t, map[string]string{"payment": payment.url()})
	const slow = 200
	var conns []net.Conn
	for i := range slow {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(d.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "GET /pay/%d HTTP/1.1\r\nHost: x\r\nX-A: ", i); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for range 50 {
		if status, _, body, err := d.get(t.Context(), "/pay/x"); err != nil || status != 200 {
			t.Fatalf("GET while %d others are slow = %d %s, %v, want 200", slow, status, body, err)
		}
	}
	for i, c := range conns { // 10 s for a header, for all of them at once
		if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); err != nil || strings.Contains(string(b), " 200 ") {
			t.Fatalf("slow connection %d = %q, %v, want that edged closes it", i, b, err)
		}
	}
}
