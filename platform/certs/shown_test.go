package certs_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"basisdienste/platform/certs"
	"basisdienste/platform/certs/certstest"
)

// shown is a handler that tells what certificate it knows of.
func shown(trusted ...netip.Prefix) http.Handler {
	return certs.Show(trusted, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, certs.Shown(r.Context())+" "+r.Header.Get("Client-Cert")+r.Header.Get("X-Client-Cert"))
	}))
}

func pair(t *testing.T, f certs.Files) tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestShow_Connection(t *testing.T) {
	t.Parallel()
	authority := certstest.New(t)
	client, proxy := pair(t, authority.Client("efa")), pair(t, authority.Client("proxy"))
	standard := ":" + base64.StdEncoding.EncodeToString(client.Certificate[0]) + ":"
	for _, c := range []struct {
		name    string
		trusted []netip.Prefix
		show    []tls.Certificate
		header  string
		want    string
	}{
		{"a certificate", nil, []tls.Certificate{client}, "", thumbprint(client.Certificate[0]) + " " + standard},
		{"none", nil, nil, "", " "},
		{"none, and a forged header", nil, nil, standard, " "},
		{
			"another one than the header's", nil,
			[]tls.Certificate{proxy},
			standard,
			thumbprint(proxy.Certificate[0]) + " :" + base64.StdEncoding.EncodeToString(proxy.Certificate[0]) + ":",
		},
		{"a proxy's own, with the client's in the header", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []tls.Certificate{proxy}, standard, thumbprint(client.Certificate[0]) + " " + standard},
		{"a proxy's own, of a client without one", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []tls.Certificate{proxy}, "", " "},
	} {
		s := httptest.NewUnstartedServer(shown(c.trusted...))
		s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
		s.StartTLS()
		t.Cleanup(s.Close)
		s.Client().Transport.(*http.Transport).TLSClientConfig.Certificates = c.show
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != "" {
			req.Header.Set("Client-Cert", c.header)
		}
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(got) != c.want {
			t.Errorf("%s: Shown() and header = %.120q, %v; want %.120q", c.name, got, err, c.want)
		}
	}
}

func TestShow_Header(t *testing.T) {
	t.Parallel()
	der := pair(t, certstest.New(t).Client("efa")).Certificate[0]
	plain := base64.StdEncoding.EncodeToString(der)
	escaped := url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	for _, c := range []struct {
		name, from string
		headers    http.Header
		known      bool
	}{
		{"RFC 9440", "10.1.2.3:40000", http.Header{"Client-Cert": {":" + plain + ":"}}, true},
		{"base64, as HAProxy writes it", "10.1.2.3:40000", http.Header{"X-Client-Cert": {plain}}, true},
		{"escaped PEM, as nginx writes it", "10.1.2.3:40000", http.Header{"X-Client-Cert": {escaped}}, true},
		{"over IPv6", "[::ffff:10.1.2.3]:40000", http.Header{"Client-Cert": {":" + plain + ":"}}, true},
		{"from somebody else", "192.0.2.1:40000", http.Header{"Client-Cert": {":" + plain + ":"}}, false},
		{"both headers", "10.1.2.3:40000", http.Header{"Client-Cert": {":" + plain + ":"}, "X-Client-Cert": {plain}}, false},
		{"one header twice", "10.1.2.3:40000", http.Header{"Client-Cert": {":" + plain + ":", ":" + plain + ":"}}, false},
		{"no certificate", "10.1.2.3:40000", http.Header{"Client-Cert": {":AAAA:"}}, false},
		{"no base64", "10.1.2.3:40000", http.Header{"Client-Cert": {":%%%:"}}, false},
		{"PEM that is cut off", "10.1.2.3:40000", http.Header{"X-Client-Cert": {escaped[:200]}}, false},
		{"empty", "10.1.2.3:40000", http.Header{"Client-Cert": {""}}, false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr, r.Header = c.from, c.headers
		w := httptest.NewRecorder()
		shown(netip.MustParsePrefix("10.0.0.0/8")).ServeHTTP(w, r)
		want := " "
		if c.known {
			want = thumbprint(der) + " :" + plain + ":"
		}
		if got := w.Body.String(); got != want {
			t.Errorf("%s: Shown() and header = %.120q, want %.120q", c.name, got, want)
		}
	}
}
