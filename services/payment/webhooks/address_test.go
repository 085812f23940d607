package webhooks

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/fault"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"1.1.1.1": true, "9.255.255.255": true, "11.0.0.0": true, "100.63.255.255": true, "100.128.0.0": true, "172.15.255.255": true, "172.32.0.0": true,
		"192.167.255.255": true, "192.169.0.0": true, "198.17.255.255": true, "198.20.0.0": true, "223.255.255.255": true,
		"2606:4700:4700::1111": true, "2a00:1450::1": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false, "100.64.0.1": false, "100.100.100.200": false, "100.127.255.255": false,
		"127.0.0.1": false, "127.255.255.255": false, "168.63.129.16": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.0.0.192": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.7": false,
		"203.0.113.9": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::ffff:10.0.0.1": false, "::ffff:1.1.1.1": false, "::127.0.0.1": false, "64:ff9b::a00:1": false, "64:ff9b:1::1": false,
		"100::1": false, "2001::1": false, "2001:db8::1": false, "2002:a00:1::1": false, "3fff::1": false, "5f00::1": false,
		"fc00::1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false, "2a00::1%eth0": false, "fec0::1": false, "ff02::1": false,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("public(%s) = %t, want %t", address, got, want)
		}
	}
	if public(netip.Addr{}) {
		t.Error("public of no address = true, want false")
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, code, local string }{
		{"https://kasse.erfurt.example/hooks?key=1", "", ""},
		{"https://kasse.erfurt.example:8443/", "", ""},
		{"https://1.1.1.1/", "", ""},
		{"https://[2606:4700::1111]/", "", ""},
		{"https://localhost/", "", ""}, // its address is refused when it is called
		{"http://localhost:8080/", "invalid_url", ""},
		{"http://127.0.0.1:8080/", "invalid_url", ""},
		{"https://127.0.0.1/", "address_refused", ""},
		{"https://[::1]/", "address_refused", ""},
		{"http://[::1]/", "invalid_url", ""},
		{"http://kasse.erfurt.example/", "invalid_url", "invalid_url"},
		{"https://10.0.0.1/", "address_refused", "address_refused"},
		{"https://169.254.169.254/latest/meta-data", "address_refused", "address_refused"},
		{"https://[::ffff:10.0.0.1]/", "address_refused", "address_refused"},
		{"https://user:pass@kasse.erfurt.example/", "invalid_url", "invalid_url"},
		{"https://kasse.erfurt.example/#top", "invalid_url", "invalid_url"},
		{"https://kasse.erfurt.example/a b", "invalid_url", "invalid_url"},
		{"https:///path", "invalid_url", "invalid_url"},
		{"https:kasse.erfurt.example", "invalid_url", "invalid_url"},
		{"ftp://kasse.erfurt.example/", "invalid_url", "invalid_url"},
		{"file:///etc/passwd", "invalid_url", "invalid_url"},
		{"/relative", "invalid_url", "invalid_url"},
		{"", "invalid_url", "invalid_url"},
		{"https://kasse.erfurt.example/\x00", "invalid_url", "invalid_url"},
	} {
		for local, want := range map[bool]string{false: test.code, true: test.local} {
			got := ""
			if err := checkURL(test.url, local); err != nil {
				got = fault.From(err).Code
			}
			if got != want {
				t.Errorf("checkURL(%q, %t) = %q, want %q", test.url, local, got, want)
			}
		}
	}
}

// The name resolves, and what it resolves to is refused: the check comes after DNS.
func TestClient_RefusesWhatANameResolvesTo(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	s := &Service{client: newClient(public, tryTime), clock: func() time.Time { return november }}
	at, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	port := at.Port()
	for _, to := range []string{r.URL, "http://localhost:" + port, "http://[::1]:" + port, "http://0.0.0.0:" + port, "http://[::ffff:127.0.0.1]:" + port, "http://10.1.2.3/"} {
		if a, err := s.post(t.Context(), to, http.Header{}, []byte("{}")); err != nil || a.Error != "address_refused" {
			t.Errorf("post(%s) = %+v, %v; want address_refused", to, a, err)
		}
	}
	if n := len(r.all()); n != 0 {
		t.Errorf("%d requests came through, want none", n)
	}
}

// A redirect is a failure: where it leads nobody goes.
func TestClient_FollowsNoRedirect(t *testing.T) {
	t.Parallel()
	inside := newReceiver(t, nil)
	outside := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, inside.URL, http.StatusTemporaryRedirect)
	})
	s := &Service{client: newClient(publicOrLocal, tryTime), clock: func() time.Time { return november }}
	a, err := s.post(t.Context(), outside.URL, http.Header{}, []byte("{}"))
	if err != nil || a.Status != http.StatusTemporaryRedirect || a.ok() {
		t.Errorf("post to a redirect = %+v, %v; want 307 and no success", a, err)
	}
	if n := len(inside.all()); n != 0 {
		t.Errorf("%d requests followed the redirect, want none", n)
	}
}

func TestClient_Words(t *testing.T) {
	t.Parallel()
	forever := make(chan struct{})
	slow := newReceiver(t, func(_ http.ResponseWriter, q *http.Request) {
		select {
		case <-forever:
		case <-q.Context().Done():
		}
	})
	t.Cleanup(func() { close(forever) })
	plain := newReceiver(t, nil)
	unknown := httptest.NewTLSServer(http.NotFoundHandler()) // nobody vouches for its certificate
	t.Cleanup(unknown.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for to, want := range map[string]string{
		slow.URL: "timeout", unknown.URL: "tls", strings.Replace(plain.URL, "http:", "https:", 1): "tls", closed.URL: "no_connection",
	} {
		s := &Service{client: newClient(publicOrLocal, tryTime), clock: func() time.Time { return november }}
		if want == "timeout" {
			s.client.Timeout = 200 * time.Millisecond
		}
		if a, err := s.post(t.Context(), to, http.Header{}, []byte("{}")); err != nil || a.Error != want || a.Status != 0 {
			t.Errorf("post(%s) = %+v, %v; want %s", to, a, err, want)
		}
	}
}

// An answer without end is no reason to read on.
func TestClient_ReadsLittle(t *testing.T) {
	t.Parallel()
	ended := make(chan int, 1)
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		n := 0
		for block := make([]byte, 32<<10); ; {
			m, err := w.Write(block)
			if n += m; err != nil {
				ended <- n
				return
			}
		}
	})
	s := &Service{client: newClient(publicOrLocal, tryTime), clock: func() time.Time { return november }}
	if a, err := s.post(t.Context(), r.URL, http.Header{}, []byte("{}")); err != nil || a.Status != http.StatusOK {
		t.Errorf("post = %+v, %v; want 200", a, err)
	}
	if n := <-ended; n > 16<<20 { // buffers of the system included
		t.Errorf("the receiver could write %d bytes, want it cut off", n)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "0": 0, "-5": 0, "99999999": 24 * time.Hour, "soon": 0,
		november.Add(time.Minute).Format(http.TimeFormat): time.Minute, november.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(text, november); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", text, got, want)
		}
	}
}
