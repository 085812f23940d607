package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"basisdienste/platform/discover"
	"basisdienste/platform/fault"
	"basisdienste/platform/login"
	"basisdienste/platform/problem"
)

// api asks the services, as the person who is logged in.
type api struct{ services discover.Services }

const maxAnswer = 4 << 20

// get reads a JSON document.
func (a api) get(ctx context.Context, service, path string, dst any) error {
	return a.call(ctx, http.MethodGet, service, path, nil, dst)
}

// post sends a JSON document, and takes success for an answer.
func (a api) post(ctx context.Context, service, path string, body any) error {
	return a.call(ctx, http.MethodPost, service, path, body, nil)
}

func (a api) call(ctx context.Context, method, service, path string, body, dst any, headers ...string) (err error) {
	resp, err := a.do(ctx, method, service, path, body, headers...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if dst == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(dst); err != nil {
		return fmt.Errorf("%s answered what cannot be read: %w", service, err)
	}
	return nil
}

// do returns a successful answer, whose body the caller closes, or the service's fault. A body
// that is a reader is sent as it is, anything else as JSON. headers are pairs of name and value.
func (a api) do(ctx context.Context, method, service, path string, body any, headers ...string) (*http.Response, error) {
	r, isRaw := body.(io.Reader)
	if body != nil && !isRaw {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+service+path, r) //nolint:gosec // the host is a service's name, the path is escaped
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if s, ok := login.From(ctx); ok {
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}
	resp, err := a.services.Client(service).Do(req) //nolint:gosec // as above
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		return resp, nil
	}
	return nil, errors.Join(refusal(service, resp), resp.Body.Close())
}

// refusal makes the service's problem a fault of ours, with its code and its words.
func refusal(service string, resp *http.Response) error {
	var p problem.Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p); err != nil || p.Code == "" {
		return fmt.Errorf("%s answered %d without a problem document", service, resp.StatusCode)
	}
	return &fault.Error{Kind: fault.KindOf(resp.StatusCode), Code: p.Code, Detail: p.Detail, Fields: p.Fields}
}
