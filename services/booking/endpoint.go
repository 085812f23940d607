package booking

import (
	"errors"
	"net/http"
	"net/mail"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/problem"
)

// SecretHeader carries the secret of an appointment; a body may carry it as "secret".
const SecretHeader = "Appointment-Secret"

// ServiceView is a service as clients see it.
type ServiceView struct {
	ID          string       `json:"id"`
	Title       Text         `json:"title"`
	Description Text         `json:"description,omitempty"`
	Minutes     int          `json:"minutes"`
	Video       bool         `json:"video"`
	HorizonDays int          `json:"horizon_days"`
	Offices     []OfficeView `json:"offices"`
}

// OfficeView is an office as clients see it.
type OfficeView struct {
	ID      string `json:"id"`
	Name    Text   `json:"name"`
	Address string `json:"address,omitempty"`
}

// Services is the answer of the list of services.
type Services struct {
	Items []ServiceView `json:"items"`
}

// Slot is a free time.
type Slot struct {
	StartsAt time.Time `json:"starts_at"`
	EndsAt   time.Time `json:"ends_at"`
	OfficeID string    `json:"office_id"`
}

// SlotsRequest asks for the free times of a service.
type SlotsRequest struct {
	ServiceID string
	OfficeID  string // empty: every office
	From, To  Date   // both included; zero: from today, for two weeks
}

// FromHTTP implements kit.FromHTTPer.
func (q *SlotsRequest) FromHTTP(r *http.Request) (err error) {
	q.ServiceID, q.OfficeID = r.PathValue("service"), r.URL.Query().Get("office_id")
	if q.From, err = dateParameter(r, "from"); err != nil {
		return err
	}
	q.To, err = dateParameter(r, "to")
	return err
}

func dateParameter(r *http.Request, name string) (Date, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return Date{}, nil
	}
	d, err := ParseDate(s)
	if err != nil || d.t.Year() < 2000 || d.t.Year() > 2999 {
		return Date{}, fault.Invalid("invalid_date", "%s is a date such as 2026-11-23", name).
			With(fault.Field{Name: name, Code: "invalid_date", Detail: "must be a date such as 2026-11-23"})
	}
	return d, nil
}

// Slots is the answer of the free times.
type Slots struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Items []Slot `json:"items"`
}

// HoldRequest reserves a time for a person.
type HoldRequest struct {
	ServiceID string    `json:"service_id"`
	OfficeID  string    `json:"office_id"` // may be left out where the service has one office
	StartsAt  time.Time `json:"starts_at"`
	Name      string    `json:"name"`
	Email     string    `json:"email"`
	Language  string    `json:"language"` // de (default) or en
	Reference string    `json:"reference"`
}

const (
	maxName      = 200
	maxEmail     = 254
	maxReference = 64
	maxReason    = 500
)

var referenceShape = regexp.MustCompile(`^[A-Za-z0-9._/-]*$`)

// Validate implements kit.Validator.
func (q *HoldRequest) Validate() error {
	q.Name, q.Email = strings.TrimSpace(q.Name), strings.ToLower(strings.TrimSpace(q.Email))
	if q.Language == "" {
		q.Language = "de"
	}
	var wrong []fault.Field
	bad := func(name, code, detail string) {
		wrong = append(wrong, fault.Field{Name: name, Code: code, Detail: detail})
	}
	if q.ServiceID == "" {
		bad("/service_id", "required", "must name a service")
	}
	if q.StartsAt.IsZero() {
		bad("/starts_at", "required", "must be a time such as 2026-11-23T08:30:00Z")
	}
	switch {
	case q.Name == "":
		bad("/name", "required", "must not be empty")
	case utf8.RuneCountInString(q.Name) > maxName || !plain(q.Name):
		bad("/name", "invalid_name", "has at most 200 characters on one line")
	}
	switch {
	case q.Email == "":
		bad("/email", "required", "must not be empty")
	case !emailAddress(q.Email):
		bad("/email", "invalid_email", "must be one address such as name@example.org")
	}
	if q.Language != "de" && q.Language != "en" {
		bad("/language", "invalid_language", "is de or en")
	}
	if len(q.Reference) > maxReference || !referenceShape.MatchString(q.Reference) {
		bad("/reference", "invalid_reference", "has at most 64 letters, digits, and . _ / -")
	}
	if len(wrong) > 0 {
		return fault.Invalid("invalid_request", "some values are missing or not valid").With(wrong...)
	}
	return nil
}

// plain reports whether s is one line without control characters.
func plain(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' }) < 0
}

func emailAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > maxEmail {
		return false
	}
	_, domain, _ := strings.Cut(s, "@")
	return strings.Contains(domain, ".") && plain(s) && !strings.ContainsAny(s, ` "<>`)
}

// AppointmentView is an appointment as its citizen sees it.
type AppointmentView struct {
	ID            id.ID      `json:"id"`
	State         State      `json:"state"`
	ServiceID     string     `json:"service_id"`
	OfficeID      string     `json:"office_id"`
	StartsAt      time.Time  `json:"starts_at"`
	EndsAt        time.Time  `json:"ends_at"`
	Sequence      int64      `json:"sequence"`
	Reference     string     `json:"reference,omitempty"`
	ExpiresAt     *time.Time `json:"expires_at,omitempty"` // of a hold
	Secret        string     `json:"secret,omitempty"`     // in the answer to a hold alone
	ManageURL     string     `json:"manage_url,omitempty"`
	ConferenceURL string     `json:"conference_url,omitempty"` // of a confirmed video appointment
}

// HoldAnswer is 201.
type HoldAnswer struct{ AppointmentView }

// StatusCode implements kit's.
func (HoldAnswer) StatusCode() int { return http.StatusCreated }

// AppointmentRequest names an appointment and proves that one may see it.
type AppointmentRequest struct {
	ID     id.ID
	Secret string
}

// FromHTTP implements kit.FromHTTPer.
func (q *AppointmentRequest) FromHTTP(r *http.Request) error {
	q.ID, q.Secret = id.ID(r.PathValue("id")), r.Header.Get(SecretHeader)
	return nil
}

// ChangeRequest confirms or cancels. Its body may be left out.
type ChangeRequest struct {
	kit.OptionalBody
	ID     id.ID  `json:"-"`
	Secret string `json:"secret"`
}

// FromHTTP implements kit.FromHTTPer.
func (q *ChangeRequest) FromHTTP(r *http.Request) error {
	q.ID, q.Secret = id.ID(r.PathValue("id")), secretOf(r, q.Secret)
	return nil
}

func secretOf(r *http.Request, body string) string {
	if s := r.Header.Get(SecretHeader); s != "" {
		return s
	}
	return body
}

// MoveRequest puts an appointment to another time at the same office.
type MoveRequest struct {
	ID       id.ID     `json:"-"`
	Secret   string    `json:"secret"`
	StartsAt time.Time `json:"starts_at"`
}

// FromHTTP implements kit.FromHTTPer.
func (q *MoveRequest) FromHTTP(r *http.Request) error {
	q.ID, q.Secret = id.ID(r.PathValue("id")), secretOf(r, q.Secret)
	return nil
}

// Validate implements kit.Validator.
func (q *MoveRequest) Validate() error {
	if q.StartsAt.IsZero() {
		return fault.Invalid("invalid_request", "some values are missing or not valid").
			With(fault.Field{Name: "/starts_at", Code: "required", Detail: "must be a time such as 2026-11-23T08:30:00Z"})
	}
	return nil
}

// DayRequest asks for the appointments of a day.
type DayRequest struct {
	Date     Date // zero: today
	OfficeID string
}

// FromHTTP implements kit.FromHTTPer.
func (q *DayRequest) FromHTTP(r *http.Request) (err error) {
	q.OfficeID = r.URL.Query().Get("office_id")
	q.Date, err = dateParameter(r, "date")
	return err
}

// StaffView is an appointment as staff sees it.
type StaffView struct {
	AppointmentView
	ResourceID string `json:"resource_id"`
	Name       string `json:"name"`
	Email      string `json:"email"`
	Language   string `json:"language"`
	Reason     string `json:"reason,omitempty"`
}

// Day is the appointments of one day.
type Day struct {
	Date  string      `json:"date"`
	Items []StaffView `json:"items"`
}

// StaffCancelRequest cancels for the municipality; the reason is told to the citizen.
type StaffCancelRequest struct {
	ID     id.ID  `json:"-"`
	Reason string `json:"reason"`
}

// FromHTTP implements kit.FromHTTPer.
func (q *StaffCancelRequest) FromHTTP(r *http.Request) error {
	q.ID = id.ID(r.PathValue("id"))
	return nil
}

// Validate implements kit.Validator.
func (q *StaffCancelRequest) Validate() error { return checkReason(&q.Reason) }

func checkReason(reason *string) error {
	*reason = strings.TrimSpace(*reason)
	if *reason == "" || utf8.RuneCountInString(*reason) > maxReason || !utf8.ValidString(*reason) {
		return fault.Invalid("invalid_request", "some values are missing or not valid").
			With(fault.Field{Name: "/reason", Code: "required", Detail: "must say why, in at most 500 characters"})
	}
	return nil
}

// ClosureRequest closes an office, or one resource of it.
type ClosureRequest struct {
	OfficeID   string    `json:"office_id"`
	ResourceID string    `json:"resource_id"` // empty: the whole office
	StartsAt   time.Time `json:"starts_at"`
	EndsAt     time.Time `json:"ends_at"`
	Reason     string    `json:"reason"`
}

// Validate implements kit.Validator.
func (q *ClosureRequest) Validate() error {
	if q.StartsAt.IsZero() || !q.StartsAt.Before(q.EndsAt) || q.EndsAt.Sub(q.StartsAt) > maxHorizon*24*time.Hour {
		return fault.Invalid("invalid_request", "some values are missing or not valid").
			With(fault.Field{Name: "/ends_at", Code: "invalid_period", Detail: "must be after starts_at, by at most 400 days"})
	}
	return checkReason(&q.Reason)
}

// ClosureView is a closure, and what was booked in it already.
type ClosureView struct {
	ID         id.ID     `json:"id"`
	OfficeID   string    `json:"office_id"`
	ResourceID string    `json:"resource_id,omitempty"`
	StartsAt   time.Time `json:"starts_at"`
	EndsAt     time.Time `json:"ends_at"`
	Reason     string    `json:"reason"`
	Affected   []id.ID   `json:"affected,omitempty"` // appointments that staff has to move or cancel
}

// ClosureAnswer is 201.
type ClosureAnswer struct{ ClosureView }

// StatusCode implements kit's.
func (ClosureAnswer) StatusCode() int { return http.StatusCreated }

// Closures is the closures to come.
type Closures struct {
	Items []ClosureView `json:"items"`
}

// ClosureID names a closure.
type ClosureID struct{ ID id.ID }

// FromHTTP implements kit.FromHTTPer.
func (q *ClosureID) FromHTTP(r *http.Request) error {
	q.ID = id.ID(r.PathValue("id"))
	return nil
}

// takenError is slot_taken with free times nearby, which the answer shows.
type takenError struct {
	fault *fault.Error
	Free  []Slot
}

func (e *takenError) Error() string { return e.fault.Error() }
func (e *takenError) Unwrap() error { return e.fault }

// writeProblem is problem.Write, and adds free_slots to slot_taken (an extension member of
// RFC 9457 section 3.2).
func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	var taken *takenError
	if !errors.As(err, &taken) {
		problem.Write(w, r, err)
		return
	}
	p := problem.Of(err)
	p.RequestID = w.Header().Get(problem.RequestIDHeader)
	writeTaken(w, struct {
		problem.Problem
		FreeSlots []Slot `json:"free_slots"`
	}{p, taken.Free})
}
