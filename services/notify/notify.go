package notify

import (
	"errors"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

// Channel is the way a message goes.
type Channel string

// The channels.
const (
	Email   Channel = "email"
	Mailbox Channel = "mailbox" // the citizen's mailbox at the municipality
)

// Status of a message. The names are those of GOV.UK Notify, so that both APIs say the same.
//
//	created → sending → delivered
//	                  → temporary-failure → sending …   tried again, up to 48 hours
//	                  → permanent-failure               the recipient's side refused for good
//	                  → technical-failure               we gave up, or could not make the message
type Status string

// The states.
const (
	Created          Status = "created"
	Sending          Status = "sending"
	Delivered        Status = "delivered" // in the mailbox, or in the hands of the SMTP server
	TemporaryFailure Status = "temporary-failure"
	PermanentFailure Status = "permanent-failure"
	TechnicalFailure Status = "technical-failure"
)

// Final reports whether nothing will change any more.
func (s Status) Final() bool {
	switch s {
	case Delivered, PermanentFailure, TechnicalFailure:
		return true
	case Created, Sending, TemporaryFailure:
	}
	return false
}

// Known reports whether s is one of the states.
func (s Status) Known() bool {
	switch s {
	case Created, Sending, TemporaryFailure, Delivered, PermanentFailure, TechnicalFailure:
		return true
	}
	return false
}

// Step is one entry of a message's history.
type Step struct {
	Status Status    `json:"status"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"` // snake_case
}

// Message is one message to one recipient. Recipient, Title and Body are personal data; they
// are empty once they were deleted after the retention time.
type Message struct {
	Tenant          id.ID           `db:"tenant_id"`
	ID              id.ID           `db:"id"`
	Channel         Channel         `db:"channel"`
	Status          Status          `db:"status"`
	TemplateID      id.ID           `db:"template_id"`
	TemplateName    string          `db:"template_name"`
	TemplateVersion int64           `db:"template_version"`
	Language        string          `db:"language"`
	Reference       string          `db:"reference"`
	Client          string          `db:"client"`    // who asked for it: the actor of the request
	Recipient       string          `db:"recipient"` // mail address, or the citizen's pairwise subject
	Title           string          `db:"title"`     // the subject line
	Body            string          `db:"body"`      // Markdown, values escaped
	Unsubscribe     string          `db:"unsubscribe"`
	Attachments     int             `db:"attachments"` // how many
	Attempts        int             `db:"attempts"`
	CreatedAt       db.Time         `db:"created_at"`
	SentAt          *db.Time        `db:"sent_at"` // last handed over, or tried to
	CompletedAt     *db.Time        `db:"completed_at"`
	ReadAt          *db.Time        `db:"read_at"` // first retrieval from the mailbox
	DueAt           *db.Time        `db:"due_at"`  // next try; while sending: when the lease ends
	History         db.JSON[[]Step] `db:"history"`
}

// Markdown is the text with the values as they were given, for readers of Markdown as it is.
func (m *Message) Markdown() string { return unescape(m.Body) }

// giveUpAfter bounds the tries for a message.
const giveUpAfter = 48 * time.Hour

// Pauses between two tries: doubling, as long as a greylisting or a restart takes at first.
const (
	firstPause   = time.Minute
	longestPause = 2 * time.Hour
)

// pause is the time to wait after the nth try, the first being 1.
func pause(attempt int) time.Duration {
	p := firstPause
	for range attempt - 1 {
		if p *= 2; p >= longestPause {
			return longestPause
		}
	}
	return p
}

// errState: the message is not being sent. Somebody else finished it.
var errState = errors.New("the message is not being sent")

func (m *Message) step(s Status, at db.Time, reason string) {
	m.Status = s
	m.History.V = append(m.History.V, Step{Status: s, At: at.Time, Reason: reason})
}

// began notes in the history when the try under way began.
func (m *Message) began() {
	if m.SentAt != nil {
		m.History.V = append(m.History.V, Step{Status: Sending, At: m.SentAt.Time})
	}
}

// Deliver ends the try under way: the next system has the message. Final.
func (m *Message) Deliver(now db.Time) error {
	if m.Status != Sending {
		return errState
	}
	m.began()
	m.step(Delivered, now, "")
	m.DueAt, m.CompletedAt = nil, &now
	return nil
}

// Fail ends the try under way without success: it is tried again later, unless the failure is
// permanent or the time is up.
func (m *Message) Fail(now db.Time, f Failure) error {
	if m.Status != Sending {
		return errState
	}
	m.began()
	if f.Kind == Later {
		next := db.NewTime(now.Add(pause(m.Attempts)))
		if next.Before(m.CreatedAt.Add(giveUpAfter)) {
			m.step(TemporaryFailure, now, f.Reason)
			m.DueAt = &next
			return nil
		}
		f = Failure{Kind: Broken, Reason: "retries_exhausted"}
	}
	m.DueAt, m.CompletedAt = nil, &now
	if f.Kind == Refused {
		m.step(PermanentFailure, now, f.Reason)
	} else {
		m.step(TechnicalFailure, now, f.Reason)
	}
	return nil
}

// FailureKind says what a failed try means.
type FailureKind string

// The kinds.
const (
	Later   FailureKind = "later"   // try again
	Refused FailureKind = "refused" // the recipient's side will not take it
	Broken  FailureKind = "broken"  // it cannot be made or sent as it is
)

// Failure is why a message could not be handed over. Reason is snake_case and holds no
// personal data; it is stored, shown and told.
type Failure struct {
	Kind   FailureKind
	Reason string
	// ServerDown: nothing was said about this message, the server cannot be used at all.
	ServerDown bool
	Cause      error
}

func (f Failure) Error() string {
	if f.Cause != nil {
		return f.Reason + ": " + f.Cause.Error()
	}
	return f.Reason
}

// Unwrap returns the cause.
func (f Failure) Unwrap() error { return f.Cause }

// failureOf is the failure in err; an unknown error is worth another try.
func failureOf(err error) Failure {
	var f Failure
	if errors.As(err, &f) {
		return f
	}
	return Failure{Kind: Later, Reason: "unknown", Cause: err}
}
