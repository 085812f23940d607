// Package clients is people and programs that use an installation over HTTP alone: an EfA
// service that takes payments and delivers applications, citizens who pay, a program that sends
// messages, people who book, a clerk. They repeat what was not answered, with the same keys,
// and remember what they were told; Count compares that with what the services hold. Tests that
// end processes, or cut what they depend on, use it.
package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// Site is an installation.
type Site struct {
	URL  string
	HTTP *http.Client
}

const maxAnswer = 8 << 20

// Do sends one request; body may be nil or anything that is sent as JSON.
func (s *Site) Do(ctx context.Context, method, path, token, key string, body any) (int, []byte, error) {
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		r = bytes.NewReader(text)
	}
	if !strings.HasPrefix(path, "http") {
		path = s.URL + path
	}
	req, err := http.NewRequestWithContext(ctx, method, path, r)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return s.Send(req)
}

// Send sends one request and reads the answer.
func (s *Site) Send(req *http.Request) (status int, body []byte, err error) {
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, body, err
}

// OAuthClient is a client of demo.json.
type OAuthClient struct {
	ID       string `json:"client_id"`
	Secret   string `json:"client_secret"`
	TokenURL string `json:"token_url"`
	Scope    string `json:"scope"`
}

// Token gets an access token by client_credentials.
func (s *Site) Token(ctx context.Context, c OAuthClient) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {c.Scope}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	status, body, err := s.Send(req)
	if err != nil {
		return "", err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		return "", fmt.Errorf("POST %s: %d %.300s", c.TokenURL, status, body)
	}
	return answer.AccessToken, nil
}

// Demo is demo.json.
type Demo struct {
	Tenants []struct {
		Slug string `json:"slug"`
		ARS  string `json:"ars"`
	} `json:"tenants"`
	EfA      OAuthClient `json:"efa_client"`
	Operator OAuthClient `json:"operator"`
	Payment  struct {
		BaseURL      string `json:"base_url"`
		OriginatorID string `json:"originator_id"`
		EndPointID   string `json:"end_point_id"`
	} `json:"payment"`
	Notify struct {
		APIKey string `json:"api_key"`
	} `json:"notify"`
	Booking struct {
		BaseURL   string `json:"base_url"`
		ServiceID string `json:"service_id"`
		OfficeID  string `json:"office_id"`
	} `json:"booking"`
	Staff struct {
		Username string `json:"username"`
		Password string `json:"password"`
	} `json:"staff"`
	OperatorLogin struct {
		Username string `json:"username"`
		Password string `json:"password"`
	} `json:"-"`
}

// ReadDemo reads demo.json.
func ReadDemo(file string) (d Demo, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return d, err
	}
	var more struct {
		Operator struct {
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"operator"`
	}
	if err := errors.Join(json.Unmarshal(text, &d), json.Unmarshal(text, &more)); err != nil {
		return d, fmt.Errorf("%s: %w", file, err)
	}
	d.OperatorLogin = more.Operator
	return d, nil
}
