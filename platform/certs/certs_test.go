package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/certs"
	"basisdienste/platform/certs/certstest"
)

func TestServerAndClient_TalkToEachOther(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	server := ca.Server("edge")
	cfg, err := certs.Server(server.Cert, server.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(ca.CA)
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("the authority's file: %v, %q", err, pem)
	}
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, pool
	url := serve(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.Proto)
	}))

	own, other := ca.Client("payment"), certstest.New(t)
	stranger := other.Client("payment")
	for _, tt := range []struct {
		name, ca string
		files    certs.Files
		want     string
	}{
		{"known", ca.CA, own, "payment HTTP/2.0"},
		{"a server of another authority", other.CA, own, ""},
		{"a client of another authority", ca.CA, stranger, ""},
		{"a client without certificate", ca.CA, certs.Files{}, ""},
		{"the system's authorities", "", own, ""},
	} {
		c, err := certs.Client(tt.ca, tt.files.Cert, tt.files.Key)
		if err != nil {
			t.Fatalf("Client, %s: %v", tt.name, err)
		}
		got, err := get(t, url, c)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: GET = %q, %v, want %q", tt.name, got, err, tt.want)
		}
		c.MaxVersion, c.MinVersion = tls.VersionTLS11, tls.VersionTLS10
		if got, err := get(t, url, c); err == nil {
			t.Errorf("%s, TLS 1.1: GET = %q, want a refusal", tt.name, got)
		}
	}
}

func get(t *testing.T, url string, cfg *tls.Config) (string, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	a, b := ca.Server("a"), ca.Server("b")
	missing, empty := filepath.Join(t.TempDir(), "none.pem"), filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, ca, cert, key, want string }{
		{"no certificate file", "", missing, a.Key, missing},
		{"no key file", "", a.Cert, missing, missing},
		{"another one's key", "", a.Cert, b.Key, a.Cert},
		{"an empty file", "", empty, a.Key, empty},
	} {
		if _, err := certs.Server(tt.cert, tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Server, %s = %v, want an error that names %s", tt.name, err, tt.want)
		}
		if _, err := certs.Client(tt.ca, tt.cert, tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Client, %s = %v, want an error that names %s", tt.name, err, tt.want)
		}
	}
	for _, tt := range []struct{ name, ca, cert, key, want string }{
		{"no authority file", missing, "", "", missing},
		{"an authority file without certificates", empty, "", "", empty},
		{"a certificate alone", "", a.Cert, "", "go together"},
		{"a key alone", "", "", a.Key, "go together"},
	} {
		if _, err := certs.Client(tt.ca, tt.cert, tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Client, %s = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	if _, err := certs.NewAuthority(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("NewAuthority in no folder = %v, want that it does not exist", err)
	}
}

func TestAuthority_NamesHosts(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	f := ca.Server("nats", "nats1.example", "10.0.0.7")
	cfg, err := certs.Server(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, cfg, http.NotFoundHandler())
	for host, want := range map[string]bool{"nats1.example": true, "10.0.0.7": true, "nats2.example": false, "127.0.0.1": false} {
		client, err := certs.Client(ca.CA, "", "")
		if err != nil {
			t.Fatal(err)
		}
		client.ServerName = host
		if _, err := get(t, url, client); (err == nil) != want {
			t.Errorf("GET by the name %s = %v, want success %v", host, err, want)
		}
	}
}

// serve listens until the test ends.
func serve(t *testing.T, cfg *tls.Config, h http.Handler) (url string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, TLSConfig: cfg, ReadHeaderTimeout: time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan error, 1)
	go func() { done <- srv.ServeTLS(listener, "", "") }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return "https://" + listener.Addr().String()
}
