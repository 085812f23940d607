package webhooks

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/page"
)

// View is an endpoint as its municipality sees it: without its secret.
type View struct {
	ID             id.ID    `json:"id"`
	URL            string   `json:"url"`
	Description    string   `json:"description"`
	Events         []string `json:"events"` // empty: all
	Enabled        bool     `json:"enabled"`
	DisabledReason string   `json:"disabled_reason,omitempty"`
	DisabledAt     *db.Time `json:"disabled_at,omitempty"`
	FailingSince   *db.Time `json:"failing_since,omitempty"`
	RotatingUntil  *db.Time `json:"rotating_until,omitempty"` // the secret before still signs
	CreatedAt      db.Time  `json:"created_at"`
	UpdatedAt      db.Time  `json:"updated_at"`
}

func view(e *Endpoint, now time.Time) View {
	v := View{
		ID: e.ID, URL: e.URL, Description: e.Description, Events: append([]string{}, e.Events.V...), Enabled: e.Enabled,
		DisabledReason: e.DisabledReason, DisabledAt: e.DisabledAt, FailingSince: e.FailingSince, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}
	if len(e.signing(now)) > 1 {
		v.RotatingUntil = e.PreviousUntil
	}
	return v
}

// Created is an endpoint with its new secret, shown this once.
type Created struct {
	View
	Secret string `json:"secret"`
}

// StatusCode is 201, also of a secret.
func (Created) StatusCode() int { return http.StatusCreated }

// CreateRequest registers an endpoint.
type CreateRequest struct {
	URL         string   `json:"url"`
	Description string   `json:"description"`
	Events      []string `json:"events"`
	Enabled     *bool    `json:"enabled"`
}

const maxDescription = 200

// Validate implements kit.Validator. Error: invalid_webhook.
func (q *CreateRequest) Validate() error {
	return invalid(append(checkDescription(q.Description), unknownTypes(q.Events)...))
}

func checkDescription(text string) []fault.Field {
	if utf8.RuneCountInString(text) > maxDescription || strings.ContainsFunc(text, unicode.IsControl) {
		return []fault.Field{{Name: "/description", Code: "invalid_description", Detail: fmt.Sprintf("has at most %d characters, on one line", maxDescription)}}
	}
	return nil
}

func eventField(i int) fault.Field {
	return fault.Field{Name: fmt.Sprintf("/events/%d", i), Code: "unknown_event_type", Detail: "is no event that webhooks are told"}
}

func invalid(wrong []fault.Field) error {
	if len(wrong) == 0 {
		return nil
	}
	return fault.Invalid("invalid_webhook", "description or events are not as a webhook can have them; see the fields").With(wrong...)
}

// NameRequest names an endpoint.
type NameRequest struct {
	kit.NoBody
	ID id.ID
}

// FromHTTP reads the path. Error: unknown_webhook.
func (q *NameRequest) FromHTTP(r *http.Request) (err error) {
	q.ID, err = webhookID(r)
	return err
}

func webhookID(r *http.Request) (id.ID, error) {
	of, err := id.Parse(r.PathValue("webhook"))
	if err != nil {
		return "", errUnknownWebhook()
	}
	return of, nil
}

// ListRequest asks for all endpoints.
type ListRequest struct{}

// PatchRequest changes what it names; the list of events is replaced as a whole.
type PatchRequest struct {
	ID          id.ID     `json:"-"`
	URL         *string   `json:"url"`
	Description *string   `json:"description"`
	Events      *[]string `json:"events"`
	Enabled     *bool     `json:"enabled"`
}

// FromHTTP reads the path. Error: unknown_webhook.
func (q *PatchRequest) FromHTTP(r *http.Request) (err error) {
	q.ID, err = webhookID(r)
	return err
}

// Validate implements kit.Validator. Error: invalid_webhook.
func (q *PatchRequest) Validate() error {
	var wrong []fault.Field
	if q.Description != nil {
		wrong = checkDescription(*q.Description)
	}
	if q.Events != nil {
		wrong = append(wrong, unknownTypes(*q.Events)...)
	}
	return invalid(wrong)
}

func (q *PatchRequest) apply(e *Endpoint, now db.Time) {
	if q.URL != nil && *q.URL != e.URL { // what the address before did says nothing about this one
		e.URL, e.FailingSince, e.PausedUntil = *q.URL, nil, nil
	}
	if q.Description != nil {
		e.Description = *q.Description
	}
	if q.Events != nil {
		e.Events.V = *q.Events
	}
	switch {
	case q.Enabled == nil:
	case *q.Enabled:
		e.enable()
	default:
		e.disable(now, reasonByHand)
	}
}

// named lists which fields change, for the audit log.
func (q *PatchRequest) named() any {
	fields := []string{}
	for _, f := range []struct {
		name  string
		given bool
	}{{"url", q.URL != nil}, {"description", q.Description != nil}, {"events", q.Events != nil}, {"enabled", q.Enabled != nil}} {
		if f.given {
			fields = append(fields, f.name)
		}
	}
	return map[string]any{"fields": fields}
}

// DeliveryView is a delivery in the log. Of what receivers answered it has the status alone.
type DeliveryView struct {
	ID            id.ID    `json:"id"` // the header webhook-id
	Type          string   `json:"type"`
	TransactionID id.ID    `json:"transaction_id,omitempty"`
	Timestamp     db.Time  `json:"timestamp"` // of the event
	State         State    `json:"state"`
	NextTryAt     *db.Time `json:"next_try_at,omitempty"`
	EndedAt       *db.Time `json:"ended_at,omitempty"`
	Tries         []Try    `json:"tries"` // the latest 20, the first first
}

func viewDelivery(d *Delivery) DeliveryView {
	return DeliveryView{
		ID: d.ID, Type: d.Type, TransactionID: d.TransactionID, Timestamp: d.At, State: d.State, NextTryAt: d.DueAt, EndedAt: d.EndedAt,
		Tries: append([]Try{}, d.Tries.V...),
	}
}

// Accepted is a delivery that will be sent soon.
type Accepted struct{ DeliveryView }

// StatusCode is 202.
func (Accepted) StatusCode() int { return http.StatusAccepted }

// DeliveriesRequest asks for an endpoint's deliveries.
type DeliveriesRequest struct {
	ID     id.ID
	State  State // empty: all
	Cursor string
	Limit  int
}

const (
	defaultLimit = 50
	maxLimit     = 200
)

// FromHTTP reads path and query. Errors: unknown_webhook, invalid_delivery_state, invalid_limit.
func (q *DeliveriesRequest) FromHTTP(r *http.Request) (err error) {
	if q.ID, err = webhookID(r); err != nil {
		return err
	}
	v := r.URL.Query()
	if q.State, err = deliveryState(v.Get("state"), "", Pending, Delivered, Failed); err != nil {
		return err
	}
	q.Cursor = v.Get("cursor")
	q.Limit, err = page.Limit(v.Get("limit"), defaultLimit, maxLimit)
	return err
}

func deliveryState(text string, allowed ...State) (State, error) {
	if slices.Contains(allowed, State(text)) {
		return State(text), nil
	}
	return "", fault.Invalid("invalid_delivery_state", "a list is narrowed by pending, delivered or failed; what is sent again was delivered or failed").
		With(fault.Field{Name: "state", Code: "invalid_delivery_state", Detail: "is not a state that fits here"})
}

// DeliveryRequest names a delivery.
type DeliveryRequest struct {
	kit.NoBody
	ID, Delivery id.ID
}

// FromHTTP reads the path. Errors: unknown_webhook, unknown_delivery.
func (q *DeliveryRequest) FromHTTP(r *http.Request) (err error) {
	if q.ID, err = webhookID(r); err != nil {
		return err
	}
	if q.Delivery, err = id.Parse(r.PathValue("delivery")); err != nil {
		return errUnknownDelivery()
	}
	return nil
}

// ReplayRequest asks for deliveries to be sent again.
type ReplayRequest struct {
	kit.NoBody
	ID    id.ID
	State State // failed or delivered
	Since time.Time
}

// FromHTTP reads path and query. Errors: unknown_webhook, invalid_delivery_state, invalid_since.
func (q *ReplayRequest) FromHTTP(r *http.Request) (err error) {
	if q.ID, err = webhookID(r); err != nil {
		return err
	}
	v := r.URL.Query()
	if q.State = Failed; v.Has("state") {
		if q.State, err = deliveryState(v.Get("state"), Delivered, Failed); err != nil {
			return err
		}
	}
	if q.Since, err = time.Parse(time.RFC3339, v.Get("since")); err != nil {
		return fault.Invalid("invalid_since", "say since when, as a time such as 2026-11-23T00:00:00Z").
			With(fault.Field{Name: "since", Code: "invalid_since", Detail: "use RFC 3339"}).Because(err)
	}
	return nil
}

// Replayed counts what will be sent again soon.
type Replayed struct {
	Deliveries int `json:"deliveries"`
}

// StatusCode is 202.
func (Replayed) StatusCode() int { return http.StatusAccepted }
