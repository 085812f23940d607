package authn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"basisdienste/platform/discover"
	"basisdienste/platform/fault"
)

// ServiceClient is the client_id under which a service gets its tokens.
func ServiceClient(service string) string { return "svc-" + service }

// ServiceSecret is the client_secret of a service. It is derived from the key that the
// services and auth share, so nothing has to be registered.
func ServiceSecret(key []byte, service string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("service-client/" + service))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// Source gets access tokens for calls from service to service by client credentials
// (RFC 6749 section 4.4) and keeps each until shortly before it expires. It is safe for
// concurrent use.
type Source struct {
	services     discover.Services
	clientID     string
	clientSecret string
	clock        func() time.Time

	turn   chan struct{} // holds one value: whoever took it may change the token
	token  string
	expiry time.Time
}

// NewSource gets tokens for the service from the operator's issuer.
func NewSource(services discover.Services, service string, key []byte, clock func() time.Time) *Source {
	s := &Source{services: services, clientID: ServiceClient(service), clientSecret: ServiceSecret(key, service), clock: clock, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

const renewBefore = time.Minute

// Token returns a valid access token. While the issuer is away it returns the one it has, as
// long as that lasts. Error: token_unavailable.
func (s *Source) Token(ctx context.Context) (string, error) {
	select {
	case <-s.turn: // one asks, the others wait for the answer
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { s.turn <- struct{}{} }()
	if s.token != "" && s.clock().Before(s.expiry.Add(-renewBefore)) {
		return s.token, nil
	}
	token, lifetime, err := s.fetch(ctx)
	switch {
	case err == nil:
		s.token, s.expiry = token, s.clock().Add(lifetime)
	case s.token == "" || !s.clock().Before(s.expiry):
		return "", fault.Unavailable("token_unavailable", "the service could not identify itself; try again").After(time.Second).Because(err)
	}
	return s.token, nil
}

func (s *Source) fetch(ctx context.Context) (token string, lifetime time.Duration, err error) {
	return fetchToken(ctx, s.services, "/operator/auth", s.clientID, s.clientSecret)
}

// fetchToken gets an access token by client credentials from the issuer with that path.
// Error: basic_refused, if it does not know the client by that secret.
func fetchToken(ctx context.Context, services discover.Services, issuer, client, secret string) (token string, lifetime time.Duration, err error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://auth"+issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret))
	resp, err := services.Client("auth").Do(req)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusBadRequest, http.StatusUnauthorized:
		return "", 0, refusedBasic()
	default:
		return "", 0, fmt.Errorf("token endpoint: status %d", resp.StatusCode)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxToken*2)).Decode(&answer); err != nil {
		return "", 0, err
	}
	if answer.AccessToken == "" {
		return "", 0, errors.New("token endpoint: no access_token")
	}
	return answer.AccessToken, time.Duration(answer.ExpiresIn) * time.Second, nil
}

// Client returns an HTTP client for another service that identifies itself on each request.
func (s *Source) Client(service string) *http.Client {
	inner := s.services.Client(service)
	client := *inner
	client.Transport = bearer{source: s, next: inner.Transport}
	return &client
}

type bearer struct {
	source *Source
	next   http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := b.source.Token(r.Context())
	if err != nil {
		if r.Body != nil {
			err = errors.Join(err, r.Body.Close()) // as http.RoundTripper promises
		}
		return nil, err
	}
	out := r.Clone(r.Context())
	out.Header.Set("Authorization", "Bearer "+token)
	return b.next.RoundTrip(out)
}
