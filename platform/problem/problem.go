// Package problem answers a fault as RFC 9457 application/problem+json.
package problem

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"basisdienste/platform/fault"
)

// MediaType of the answers.
const MediaType = "application/problem+json"

// Problem is the body: the members of RFC 9457 section 3.1, and code, fields and
// request_id as extension members.
type Problem struct {
	Type      string        `json:"type"`
	Title     string        `json:"title"`
	Status    int           `json:"status"`
	Detail    string        `json:"detail,omitempty"`
	Code      string        `json:"code"`
	Fields    []fault.Field `json:"fields,omitempty"`
	RequestID string        `json:"request_id,omitempty"`
}

// RequestIDHeader is set on every answer by the run package's middleware; a problem
// repeats it so that a person can quote it.
const RequestIDHeader = "X-Request-Id"

// Of returns the body for err.
func Of(err error) Problem {
	f := fault.From(err)
	status := f.Kind.Status()
	return Problem{
		Type: "urn:basisdienste:error:" + f.Code, Title: http.StatusText(status),
		Status: status, Detail: f.Detail, Code: f.Code, Fields: f.Fields,
	}
}

// Write answers err. It sets Retry-After (whole seconds, rounded up) where the fault says
// when, and WWW-Authenticate on 401 (RFC 6750 section 3). It never writes the cause.
func Write(w http.ResponseWriter, _ *http.Request, err error) {
	f := fault.From(err)
	p := Of(f)
	p.RequestID = w.Header().Get(RequestIDHeader)
	h := w.Header()
	h.Set("Content-Type", MediaType)
	h.Set("Cache-Control", "no-store")
	h.Del("Content-Length")
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	if f.Kind == fault.KindUnauthenticated && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	w.WriteHeader(p.Status)
	// The status is out; a client that went away cannot be told more.
	_ = json.NewEncoder(w).Encode(p)
}
