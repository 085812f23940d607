package request

import (
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/services/payment"
)

const (
	maxReminders = 5
	maxDays      = 90
	maxEmail     = 254
)

// AskRequest asks for a payer to be asked.
type AskRequest struct {
	payment.GetRequest `json:"-"`
	Email              string `json:"email"`
	Language           string `json:"language"`           // de or en; default: de
	Days               []int  `json:"remind_days_before"` // before the due date
}

// Validate implements kit.Validator. Errors: invalid_email, unknown_language, invalid_reminder.
func (q *AskRequest) Validate() error {
	q.Email = strings.TrimSpace(q.Email)
	if q.Language == "" {
		q.Language = "de"
	}
	q.Days = append([]int{}, q.Days...)
	slices.SortFunc(q.Days, func(a, b int) int { return b - a })
	switch {
	case !emailAddress(q.Email):
		return fault.Unprocessable("invalid_email", "email is one address such as name@example.org").
			With(fault.Field{Name: "/email", Code: "invalid_email", Detail: "must be one address such as name@example.org"})
	case q.Language != "de" && q.Language != "en":
		return fault.Invalid("unknown_language", "language is de or en").
			With(fault.Field{Name: "/language", Code: "unknown_language", Detail: "is de or en"})
	case len(q.Days) > maxReminders || len(slices.Compact(slices.Clone(q.Days))) < len(q.Days) ||
		slices.ContainsFunc(q.Days, func(d int) bool { return d < 0 || d > maxDays }):
		return fault.Unprocessable("invalid_reminder", "remind_days_before has at most %d different numbers of days from 0 to %d", maxReminders, maxDays).
			With(fault.Field{Name: "/remind_days_before", Code: "invalid_reminder", Detail: "too many, one twice, or one out of bounds"})
	}
	return nil
}

func emailAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > maxEmail || strings.ContainsAny(s, ` "<>`) || strings.ContainsFunc(s, unicode.IsControl) {
		return false
	}
	_, domain, _ := strings.Cut(s, "@")
	return strings.Contains(domain, ".")
}

// View is a request with what was sent when. The address is masked, and absent when it was deleted.
type View struct {
	TransactionID id.ID      `json:"transaction_id"`
	State         string     `json:"state"` // ASKING, ENDED
	Email         string     `json:"email,omitempty"`
	Language      string     `json:"language"`
	Days          []int      `json:"remind_days_before"`
	DueOn         string     `json:"due_on"` // a day in Germany
	CreatedBy     string     `json:"created_by,omitempty"`
	CreatedAt     db.Time    `json:"created_at"`
	EndedAt       *db.Time   `json:"ended_at,omitempty"`
	Mails         []MailView `json:"mails"` // the first, then the reminders in their order
}

// MailView is one mail of a request.
type MailView struct {
	DaysBefore *int     `json:"days_before,omitempty"` // absent: the first mail
	State      State    `json:"state"`
	Reason     string   `json:"reason,omitempty"`
	SendAt     db.Time  `json:"send_at"`
	SentAt     *db.Time `json:"sent_at,omitempty"`
}

// StatusCode is 201, also when the same was asked before.
func (a Asked) StatusCode() int { return http.StatusCreated }

// Asked is the answer to an AskRequest.
type Asked struct{ View }

func view(r *Request, mails []Reminder, zone *time.Location) View {
	v := View{
		TransactionID: r.TransactionID, State: "ASKING", Email: mask(r.Email), Language: r.Language, Days: append([]int{}, r.Days.V...),
		DueOn: r.DueAt.In(zone).Format(time.DateOnly), CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt, EndedAt: r.EndedAt, Mails: make([]MailView, len(mails)),
	}
	if r.EndedAt != nil {
		v.State = "ENDED"
	}
	for i, m := range mails {
		v.Mails[i] = MailView{State: m.State, Reason: m.Reason, SendAt: m.SendAt, SentAt: m.SentAt}
		if m.N > 0 && m.N <= len(v.Days) {
			v.Mails[i].DaysBefore = &v.Days[m.N-1]
		}
	}
	return v
}
