package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"basisdienste/platform/id"
)

// client speaks to one installation. It gets one access token, when it first needs it.
type client struct {
	credential
	http  *http.Client
	token string
}

const (
	callTimeout = 60 * time.Second
	maxAnswer   = 64 << 20
)

func newClient(c credential) *client {
	return &client{credential: c, http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// problem is an RFC 9457 answer.
type problem struct {
	Status    int     `json:"status"`
	Title     string  `json:"title,omitempty"`
	Detail    string  `json:"detail,omitempty"`
	Code      string  `json:"code,omitempty"`
	Fields    []field `json:"fields,omitempty"`
	RequestID string  `json:"request_id,omitempty"`
}

type field struct {
	Name   string `json:"name"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return fmt.Sprintf("the service answered %d %s and did not say why", p.Status, http.StatusText(p.Status))
}

// explain prints what helps to mend it, or to ask for help.
func (p *problem) explain(w io.Writer) {
	for _, f := range p.Fields {
		fmt.Fprintf(w, "  %s: %s (%s)\n", f.Name, f.Detail, f.Code)
	}
	if p.Code != "" {
		fmt.Fprintf(w, "  code: %s (%d)\n", p.Code, p.Status)
	}
	if p.RequestID != "" {
		fmt.Fprintf(w, "  request: %s\n", p.RequestID)
	}
}

// call sends one request and decodes the answer into out (nil: not looked at). body nil
// sends none; otherwise it is sent as JSON. A refusal is a *problem. A write that is sent
// again by a proxy is done once: each has an Idempotency-Key.
func (c *client) call(ctx context.Context, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, r)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if method != http.MethodGet {
		req.Header.Set("Idempotency-Key", id.New().String())
	}
	return c.send(req, out)
}

// send adds the token. The context of the request bounds it.
func (c *client) send(req *http.Request, out any) error {
	if c.token == "" {
		if err := c.login(req.Context()); err != nil {
			return err
		}
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", "application/json, application/problem+json")
	status, text, err := c.do(req)
	switch {
	case err != nil:
		return err
	case status >= http.StatusBadRequest:
		p := &problem{}
		if json.Unmarshal(text, p) != nil || p.Code == "" {
			return &problem{Status: status}
		}
		p.Status = status
		return p
	case status >= http.StatusMultipleChoices:
		return fmt.Errorf("%s answered with a redirect (%d); is --url the address of the API?", c.URL, status)
	case out == nil || len(text) == 0:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s did not answer with the JSON expected; is --url right? %w", c.URL, err)
	}
	return nil
}

func (c *client) do(req *http.Request) (status int, text []byte, err error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, c.unreachable(err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, c.unreachable(err)
	}
	return resp.StatusCode, text, nil
}

func (c *client) unreachable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted; what was done before stays done")
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer in time; what was asked may be done nevertheless", c.URL)
	}
	return fmt.Errorf("%s cannot be reached: %w; is it running, and is the address right?", c.URL, err)
}

// login gets an access token by client credentials (RFC 6749 section 4.4).
func (c *client) login(ctx context.Context) error {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {c.Scope}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.secret))
	status, text, err := c.do(req)
	if err != nil {
		return err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	err = json.Unmarshal(text, &answer)
	switch {
	case status == http.StatusOK && err == nil && answer.AccessToken != "":
		c.token = answer.AccessToken
		return nil
	case answer.Error == "invalid_client":
		return fmt.Errorf("the credential of %s was refused (invalid_client); check --client-id and --client-secret-file", c.ClientID)
	case answer.Error != "":
		return fmt.Errorf("the credential of %s was refused (%s): %s", c.ClientID, answer.Error, answer.Description)
	}
	return fmt.Errorf("%s gave no token (status %d); is it the address of the installation?", c.TokenURL, status)
}

// escape makes one segment of a path.
func escape(segment string) string { return url.PathEscape(segment) }
