package xbezahldienste

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"

	"basisdienste/platform/fault"
	"basisdienste/platform/problem"
)

// SystemResponse is how the standard tells errors, and its own health.
type SystemResponse struct {
	Type           string `json:"type,omitempty"`
	Status         int    `json:"status"`
	Title          string `json:"title"`
	Detail         string `json:"detail"`
	FunctionalCode string `json:"functionalCode,omitempty"`
}

// Headers implements what kit asks of answers.
func (SystemResponse) Headers() http.Header {
	return http.Header{"Content-Type": {problem.MediaType}}
}

// functionalCodes are those of our codes that have one of their own.
var functionalCodes = map[string]string{
	"unknown_tenant": "NO_VALID_ORIGINATOR_OR_ENDPOINT", "unknown_originator": "NO_VALID_ORIGINATOR_OR_ENDPOINT",
	"payment_exists": "PAYMENT_EXISTS", "calculation_error": "CALCULATION_ERROR", "booking_data_missing": "BOOKING_DATA_MISSING",
}

// systemResponse says err in the standard's words.
func systemResponse(err error, requestID string) SystemResponse {
	f := fault.From(err)
	status, code := http.StatusInternalServerError, "UNSPECIFIED"
	switch f.Kind {
	case fault.KindInvalid, fault.KindTooLarge, fault.KindUnsupported, fault.KindUnprocessable, fault.KindMethodNotAllowed, fault.KindTooSlow:
		status, code = http.StatusBadRequest, "VALIDATION_ERROR"
	case fault.KindUnauthenticated, fault.KindForbidden, fault.KindGone:
		status, code = http.StatusForbidden, "FORBIDDEN"
	case fault.KindNotFound:
		status = http.StatusNotFound
	case fault.KindConflict, fault.KindRateLimited, fault.KindUnavailable:
		status = http.StatusServiceUnavailable
	case fault.KindInternal:
	}
	if own, ok := functionalCodes[f.Code]; ok {
		code = own
		if f.Kind == fault.KindConflict {
			status = http.StatusBadRequest
		}
	}
	detail := f.Detail
	for _, field := range f.Fields {
		detail += ", " + strings.ReplaceAll(strings.TrimPrefix(field.Name, "/"), "/", ".") + " " + field.Detail
	}
	if requestID != "" {
		detail += ", reference " + requestID
	}
	return SystemResponse{
		Type: "urn:basisdienste:error:" + f.Code, Status: status, Title: http.StatusText(status),
		Detail: allowed(detail), FunctionalCode: code,
	}
}

const maxDetail = 2000

// allowed keeps what the schema's pattern of a detail allows; the rest becomes a space.
func allowed(s string) string {
	var b strings.Builder
	space, n := true, 0
	for _, r := range s {
		if !bookingRune(r) || r == ' ' {
			space = space || n > 0
			continue
		}
		if space && n > 0 && r != ',' && r != '.' {
			b.WriteByte(' ')
			n++
		}
		if space = false; n >= maxDetail {
			break
		}
		b.WriteRune(r)
		n++
	}
	if n == 0 {
		return "-"
	}
	return b.String()
}

// writeError answers an error of any route of the standard.
func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	f := fault.From(err)
	body := systemResponse(f, w.Header().Get(problem.RequestIDHeader))
	h := w.Header()
	h.Set("Content-Type", problem.MediaType)
	h.Set("Cache-Control", "no-store")
	if body.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(f.RetryAfter.Seconds())))))
	}
	w.WriteHeader(body.Status)
	// The status is out; a client that went away cannot be told more.
	_ = json.NewEncoder(w).Encode(body)
}
