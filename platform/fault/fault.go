// Package fault holds the errors that may cross a boundary: to an HTTP client, onto a
// page, into a dead letter. Every other error is ours alone and is answered as "internal".
package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Kind says whose move it is next; each kind has one HTTP status.
type Kind uint8

// The kinds, with the status that they are answered with.
const (
	KindInternal         Kind = iota // 500: our mistake
	KindInvalid                      // 400: the request cannot be understood
	KindUnauthenticated              // 401: no or no valid credential
	KindForbidden                    // 403: known, but not allowed
	KindNotFound                     // 404: not here, or not yours
	KindConflict                     // 409: the state does not allow it
	KindGone                         // 410: was here, will not come back
	KindTooLarge                     // 413: over a size limit
	KindUnsupported                  // 415: wrong media type
	KindUnprocessable                // 422: understood, but the content breaks a rule
	KindRateLimited                  // 429: later
	KindUnavailable                  // 503: later, not your fault
	KindMethodNotAllowed             // 405: another method
	KindTooSlow                      // 408: the request did not arrive in time
)

// Status returns the HTTP status of the kind.
func (k Kind) Status() int {
	switch k {
	case KindInvalid:
		return http.StatusBadRequest
	case KindUnauthenticated:
		return http.StatusUnauthorized
	case KindForbidden:
		return http.StatusForbidden
	case KindNotFound:
		return http.StatusNotFound
	case KindConflict:
		return http.StatusConflict
	case KindGone:
		return http.StatusGone
	case KindTooLarge:
		return http.StatusRequestEntityTooLarge
	case KindUnsupported:
		return http.StatusUnsupportedMediaType
	case KindUnprocessable:
		return http.StatusUnprocessableEntity
	case KindRateLimited:
		return http.StatusTooManyRequests
	case KindUnavailable:
		return http.StatusServiceUnavailable
	case KindMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case KindTooSlow:
		return http.StatusRequestTimeout
	case KindInternal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// KindOf returns the kind that is answered with the HTTP status: for a caller that passes on
// what another service refused. Unknown statuses are KindInternal.
func KindOf(status int) Kind {
	for k := KindInternal; k <= KindTooSlow; k++ {
		if k.Status() == status {
			return k
		}
	}
	return KindInternal
}

// Error is an error with a stable code for programs and a sentence for people that says
// what to change. Detail and Fields never hold personal data or secrets.
type Error struct {
	Kind       Kind
	Code       string        // snake_case; never reused for another meaning
	Detail     string        // one sentence for a human
	Fields     []Field       // which parts of the input are wrong
	RetryAfter time.Duration // 0: retrying alone will not help
	Cause      error         // for our log only, never sent
}

// Field names one wrong part of the input.
type Field struct {
	Name   string `json:"name"`   // JSON pointer, or the name of a form field or parameter
	Code   string `json:"code"`   // snake_case
	Detail string `json:"detail"` // what to change
}

// New returns an error of the kind. Prefer the named constructors: docs/errors.md is
// generated from their calls, so code and format are literals.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Invalid is answered with 400.
func Invalid(code, format string, args ...any) *Error { return New(KindInvalid, code, format, args...) }

// Unauthenticated is answered with 401.
func Unauthenticated(code, format string, args ...any) *Error {
	return New(KindUnauthenticated, code, format, args...)
}

// Forbidden is answered with 403.
func Forbidden(code, format string, args ...any) *Error {
	return New(KindForbidden, code, format, args...)
}

// NotFound is answered with 404.
func NotFound(code, format string, args ...any) *Error {
	return New(KindNotFound, code, format, args...)
}

// Conflict is answered with 409.
func Conflict(code, format string, args ...any) *Error {
	return New(KindConflict, code, format, args...)
}

// Gone is answered with 410.
func Gone(code, format string, args ...any) *Error { return New(KindGone, code, format, args...) }

// TooLarge is answered with 413.
func TooLarge(code, format string, args ...any) *Error {
	return New(KindTooLarge, code, format, args...)
}

// Unsupported is answered with 415.
func Unsupported(code, format string, args ...any) *Error {
	return New(KindUnsupported, code, format, args...)
}

// Unprocessable is answered with 422.
func Unprocessable(code, format string, args ...any) *Error {
	return New(KindUnprocessable, code, format, args...)
}

// RateLimited is answered with 429.
func RateLimited(code, format string, args ...any) *Error {
	return New(KindRateLimited, code, format, args...)
}

// Unavailable is answered with 503.
func Unavailable(code, format string, args ...any) *Error {
	return New(KindUnavailable, code, format, args...)
}

// With adds the wrong fields and returns e.
func (e *Error) With(fields ...Field) *Error {
	e.Fields = append(e.Fields, fields...)
	return e
}

// After says when a retry may help and returns e.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// Because keeps the cause for the log and returns e.
func (e *Error) Because(err error) *Error {
	e.Cause = err
	return e
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Code + ": " + e.Detail + ": " + e.Cause.Error()
	}
	return e.Code + ": " + e.Detail
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// From returns the fault inside err. An error that is none becomes KindInternal (or
// KindUnavailable if its context ended), with err as the cause and nothing of it in Detail.
func From(err error) *Error {
	var f *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Unavailable("timeout", "the request took too long; try again").After(time.Second).Because(err)
	default:
		return New(KindInternal, "internal", "something went wrong here; the request id helps us to find it").Because(err)
	}
}

// Is reports whether err is, or wraps, a fault with the code.
func Is(err error, code string) bool {
	var f *Error
	return errors.As(err, &f) && f.Code == code
}
