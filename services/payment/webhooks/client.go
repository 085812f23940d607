package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"basisdienste/platform/db"
)

// errRefused is the answer of the dialer.
var errRefused = errors.New("the address is in a private or special network")

const (
	connectTime = 10 * time.Second
	tryTime     = 15 * time.Second // for all of a try; Standard Webhooks asks for 15 to 30 s
	maxHeader   = 64 << 10
	maxAnswer   = 64 << 10 // bytes of an answer that are read, so that its connection can be used again
	userAgent   = "Basisdienste-Webhooks/1.0"
)

// newClient calls allowed addresses alone. The check is made on the address that a connection
// is about to be made to, after the name was resolved. It follows no redirect and uses no proxy.
func newClient(allowed func(netip.Addr) bool, limit time.Duration) *http.Client {
	d := &net.Dialer{Timeout: connectTime, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		if to, err := netip.ParseAddrPort(address); err != nil || !allowed(to.Addr()) {
			return errRefused
		}
		return nil
	}}
	return &http.Client{
		Timeout:       limit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: d.DialContext, TLSHandshakeTimeout: connectTime, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
			MaxIdleConns: 4 * perEndpoint, MaxIdleConnsPerHost: perEndpoint, IdleConnTimeout: 30 * time.Second,
		},
	}
}

// post makes one try. Only an error of ctx is returned, if there was no answer: whether the
// receiver has the message is not known then.
func (s *Service) post(ctx context.Context, to string, header http.Header, body []byte) (answer, error) {
	began := s.clock()
	a := answer{Try: Try{At: db.NewTime(began)}}
	resp, err := s.send(ctx, to, header, body)
	if err == nil {
		a.Status, a.retryAfter = resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), s.clock())
		_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // what else it says does not matter
		_ = resp.Body.Close()
	}
	a.Millis = s.clock().Sub(began).Milliseconds()
	if a.Status > 0 {
		return a, nil
	}
	if ctx.Err() != nil {
		return a, ctx.Err()
	}
	a.Error = word(err)
	return a, nil
}

func (s *Service) send(ctx context.Context, to string, header http.Header, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", userAgent)
	return s.client.Do(r)
}

// word says in one word why there was no answer. It names no address: whoever registers a URL
// learns nothing about what is behind it.
func word(err error) string {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var timeout net.Error
	switch {
	case errors.Is(err, errRefused):
		return "address_refused"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &name):
		return "unknown_host"
	case errors.As(err, &certificate), errors.As(err, &invalid), errors.As(err, &record), errors.As(err, &alert), errors.Is(err, http.ErrSchemeMismatch):
		return "tls"
	default:
		return "no_connection"
	}
}

// retryAfter reads RFC 9110 section 10.2.3: seconds or a date. What cannot be read asks for nothing.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(n, 0), int(maxWait/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxWait)
}
