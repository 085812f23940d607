package forms

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/money"
	"basisdienste/platform/page"
)

// langOf is the language of labels in an answer: ?lang=en, else German.
func langOf(r *http.Request) string {
	if r.URL.Query().Get("lang") == "en" {
		return "en"
	}
	return "de"
}

// pathID reads an id of the path; one that is malformed names nothing that exists.
func pathID(r *http.Request, name string) (id.ID, error) {
	v, err := id.Parse(r.PathValue(name))
	if err != nil {
		return "", notFound()
	}
	return v, nil
}

// ListRequest asks for the staff's list.
type ListRequest struct {
	State  State  `json:"-"`
	Cursor string `json:"-"`
	Limit  int    `json:"-"`
	Lang   string `json:"-"`
}

// FromHTTP reads ?state=, ?cursor=, ?limit= and ?lang=. Errors: invalid_state, invalid_limit.
func (q *ListRequest) FromHTTP(r *http.Request) (err error) {
	v := r.URL.Query()
	q.State, q.Cursor, q.Lang = State(v.Get("state")), v.Get("cursor"), langOf(r)
	if q.State != "" && !slices.Contains(States(), q.State) {
		return fault.Invalid("invalid_state", "state is one of %v", States())
	}
	q.Limit, err = page.Limit(v.Get("limit"), 50, 200)
	return err
}

// OneRequest names an application.
type OneRequest struct {
	ID   id.ID  `json:"-"`
	Lang string `json:"-"`
}

// FromHTTP reads the path and ?lang=.
func (q *OneRequest) FromHTTP(r *http.Request) (err error) {
	q.Lang = langOf(r)
	q.ID, err = pathID(r, "id")
	return err
}

// AcceptRequest accepts an application.
type AcceptRequest struct {
	OneRequest
	Note string `json:"note"` // for colleagues; the applicant does not see it
}

// Validate bounds the note.
func (q *AcceptRequest) Validate() error { return bounded("/note", q.Note, 0, 1000) }

// RejectRequest rejects an application.
type RejectRequest struct {
	OneRequest
	Reason string `json:"reason"` // sent to the applicant
}

// Validate wants a reason.
func (q *RejectRequest) Validate() error {
	q.Reason = strings.TrimSpace(q.Reason)
	return bounded("/reason", q.Reason, 3, 2000)
}

func bounded(name, text string, least, most int) error {
	switch n := utf8.RuneCountInString(text); {
	case n < least:
		return fault.Unprocessable("text_missing", "a text is missing").With(fault.Field{Name: name, Code: "missing", Detail: "is missing"})
	case n > most:
		return fault.Unprocessable("text_too_long", "a text is too long, at most %d characters are kept", most).With(fault.Field{Name: name, Code: "too_long", Detail: "is too long"})
	}
	return nil
}

// SubmitRequest is a whole application from a client.
type SubmitRequest struct {
	Form      string  `json:"-"`
	Answers   Answers `json:"answers"`
	Language  string  `json:"language"`   // "de" (default) or "en"
	Level     int     `json:"level"`      // STORK level of the applicant's login at the client
	ReturnURL string  `json:"return_url"` // where the browser goes after paying
}

// FromHTTP reads the form from the path.
func (q *SubmitRequest) FromHTTP(r *http.Request) error {
	q.Form = r.PathValue("form")
	return nil
}

// Validate checks all but the answers. Errors: answers_missing, invalid_value.
func (q *SubmitRequest) Validate() error {
	if q.Answers == nil {
		return fault.Unprocessable("answers_missing", "answers is the JSON object that the form's schema describes").
			With(fault.Field{Name: "/answers", Code: "missing", Detail: "is missing"})
	}
	if q.Language == "" {
		q.Language = "de"
	}
	wrong := func(name, detail string) error {
		return fault.Invalid("invalid_value", "a value in the body is not valid").With(fault.Field{Name: name, Code: "invalid_value", Detail: detail})
	}
	switch {
	case q.Language != "de" && q.Language != "en":
		return wrong("/language", "is neither de nor en")
	case q.Level != 0 && q.Level != 1 && q.Level != 3 && q.Level != 4:
		return wrong("/level", "is none of 0, 1, 3, 4")
	case q.ReturnURL != "" && (!absolute(q.ReturnURL) || len(q.ReturnURL) > 2000):
		return wrong("/return_url", "is no absolute http or https URL of at most 2000 characters")
	}
	return nil
}

// SendFileRequest streams a file ahead of the application that will name it.
type SendFileRequest struct {
	kit.NoBody
	Form        string `json:"-"`
	Field       string `json:"-"`
	Name        string `json:"-"`
	contentType string
	body        io.Reader
}

// FromHTTP reads the path, ?field= and ?name=; the body stays unread.
func (q *SendFileRequest) FromHTTP(r *http.Request) error {
	v := r.URL.Query()
	q.Form, q.Field, q.Name = r.PathValue("form"), v.Get("field"), v.Get("name")
	q.contentType, q.body = r.Header.Get("Content-Type"), r.Body
	return nil
}

// FormsRequest asks for the forms of the municipality.
type FormsRequest struct {
	Lang string `json:"-"`
	Form string `json:"-"`
}

// FromHTTP reads the path and ?lang=.
func (q *FormsRequest) FromHTTP(r *http.Request) error {
	q.Lang, q.Form = langOf(r), r.PathValue("form")
	return nil
}

// FormEntry is a form in the catalogue.
type FormEntry struct {
	Form    string       `json:"form"`
	Version int64        `json:"version"`
	Title   string       `json:"title"`
	Summary string       `json:"summary"`
	Level   int          `json:"level"`
	Fee     money.Amount `json:"fee"` // 0: none; some are for each year or copy
	URL     string       `json:"url"`
}

// FormDetail is a form with what a client needs to fill it in.
type FormDetail struct {
	FormEntry
	LegalBasis string          `json:"legal_basis"`
	Schema     json.RawMessage `json:"schema"` // JSON Schema 2020-12 of the answers
}
