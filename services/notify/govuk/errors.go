package govuk

import (
	"errors"
	"net/http"
	"strings"

	"basisdienste/platform/fault"
)

// apiError is the body of every error. Clients go by status_code and the type in error;
// the message is for people.
type apiError struct {
	Status int         `json:"status_code"`
	Errors []errorItem `json:"errors"`
}

type errorItem struct {
	Type    string `json:"error"`
	Message string `json:"message"`
}

func (e *apiError) Error() string {
	var out []string
	for _, i := range e.Errors {
		out = append(out, i.Type+": "+i.Message)
	}
	return strings.Join(out, "; ")
}

func refuse(status int, kind, message string) *apiError {
	return &apiError{Status: status, Errors: []errorItem{{kind, message}}}
}

func badRequest(message string) *apiError {
	return refuse(http.StatusBadRequest, "BadRequestError", message)
}

func noResult() *apiError { return refuse(http.StatusNotFound, "NoResultFound", "No result found") }

// invalid collects what breaks the schema: one error each, none twice.
type invalid []errorItem

func (v *invalid) add(message string) {
	message = strings.ReplaceAll(message, "'", "")
	for _, i := range *v {
		if i.Message == message {
			return
		}
	}
	*v = append(*v, errorItem{"ValidationError", message})
}

func (v *invalid) err() error {
	if len(*v) == 0 {
		return nil
	}
	return &apiError{Status: http.StatusBadRequest, Errors: *v}
}

// errorOf says an error of the service in the words of this API.
func errorOf(err error) *apiError {
	var own *apiError
	if errors.As(err, &own) {
		return own
	}
	f := fault.From(err)
	switch f.Code {
	case "placeholder_missing", "placeholder_invalid":
		var names []string
		for _, field := range f.Fields {
			names = append(names, strings.TrimPrefix(field.Name, "/personalisation/"))
		}
		if f.Code == "placeholder_missing" {
			return badRequest("Missing personalisation: " + strings.Join(names, ", "))
		}
		return badRequest("Personalisation does not fit the template: " + strings.Join(names, ", "))
	case "unknown_message", "unknown_template":
		return noResult()
	case "rate_limited", "too_many_concurrent":
		return refuse(http.StatusTooManyRequests, "RateLimitError", "Exceeded rate limit for key type LIVE; try again in a moment")
	case "tenant_suspended", "tenant_closing":
		return refuse(http.StatusForbidden, "AuthError", "Invalid token: service is archived")
	}
	if f.Kind == fault.KindUnavailable {
		return refuse(http.StatusServiceUnavailable, "ServiceUnavailable", "Try again in a moment")
	}
	return refuse(http.StatusInternalServerError, "Exception", "Internal server error")
}
