// Package govuk speaks version 2 of the API of GOV.UK Notify on top of the service notify, so
// that programs written for it, with its official clients, work unchanged: base URL
// {BaseURL}/notify, an API key of the municipality, and the ids of its templates.
//
// The service id in the key is the id of the tenant. An API key sees the messages that were
// sent with one of the municipality's API keys, not those of its other services.
//
// Where the documentation and the code of GOV.UK Notify differ, the code is followed,
// because the clients met it, except that a template's uri is the documented one, which can
// be fetched: errors of authentication have the type AuthError; the field is called
// one_click_unsubscribe_url; postcode and line_1 to line_6 are there and null.
//
// Differences that a client may notice: only e-mail can be sent, text messages and letters
// are answered as GOV.UK Notify answers a service that may not send them; files by link are
// answered as one that has not set them up; values in a message are always plain text, as if
// each were named in sanitise_content_for; scheduled_for is accepted and ignored, as there.
package govuk

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"basisdienste/platform/run"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/notify"
)

// api answers the requests.
type api struct {
	service *notify.Service
	dir     *tenantdir.Dir
	clock   func() time.Time
	log     *slog.Logger
	root    string // of our URLs, without a slash at the end
}

// Mount registers the routes. It is a notify.Face.
func Mount(s *notify.Service, h *run.Host) error {
	a := &api{service: s, dir: h.Dir, clock: h.Clock, log: h.Log, root: h.BaseURL + "/notify"}
	a.routes(h.Mux)
	return nil
}

// handle lets fn answer who has a valid key. Its request acts for the tenant of the key.
func (a *api) handle(fn func(r *http.Request) (status int, body any, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known, err := a.authenticate(r)
		var status int
		var body any
		if err == nil {
			status, body, err = fn(known)
		}
		if err != nil {
			e := errorOf(err)
			if e.Status >= http.StatusInternalServerError {
				a.log.ErrorContext(r.Context(), "request failed", "error", err)
			}
			status, body = e.Status, e
		}
		text, err := json.Marshal(body)
		if err != nil {
			a.log.ErrorContext(r.Context(), "answer cannot be written", "error", err)
			status, text = http.StatusInternalServerError, []byte(`{}`)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		_, _ = w.Write(append(text, '\n')) // the client went away
	})
}

// stamp is a time as GOV.UK Notify writes it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// optional is nil for an empty text: null in JSON.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// clip keeps a client's value short in a message about it.
func clip(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	return strings.ToValidUTF8(s, "")
}
