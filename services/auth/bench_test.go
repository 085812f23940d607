package auth_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"basisdienste/platform/authn"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/services/auth"
	"basisdienste/services/auth/sandbox"
)

// discard is an answer that nobody reads.
type discard struct {
	header http.Header
	status int
	body   []byte
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(s int)   { d.status = s }
func (d *discard) Write(b []byte) (int, error) {
	d.body = append(d.body[:0], b...)
	return len(b), nil
}

// serve calls the handler n times by one goroutine, without a network.
func serve(b *testing.B, h http.Handler, path, authorization string, form url.Values) *discard {
	b.Helper()
	text := form.Encode()
	d := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, path, strings.NewReader(text))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", authorization)
		clear(d.header)
		h.ServeHTTP(d, r)
		if d.status != http.StatusOK {
			b.Fatalf("POST %s = %d %s", path, d.status, d.body)
		}
	}
	return d
}

func BenchmarkToken(b *testing.B) {
	env := runtest.Start(b, []run.App{auth.New(sandbox.Open)}, runtest.RealAuth())
	h := env.Process.Host("auth")
	key, err := h.ServiceKey()
	if err != nil {
		b.Fatal(err)
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("svc-forms:"+url.QueryEscape(authn.ServiceSecret(key, "forms"))))
	var token string
	b.Run("client_credentials", func(b *testing.B) {
		d := serve(b, h.Mux, "/operator/auth/token", basic, url.Values{"grant_type": {"client_credentials"}})
		_, rest, _ := strings.Cut(string(d.body), `"access_token":"`)
		token, _, _ = strings.Cut(rest, `"`)
	})
	b.Run("introspect", func(b *testing.B) {
		serve(b, h.Mux, "/operator/auth/introspect", basic, url.Values{"token": {token}})
	})
}
