package request

import (
	"slices"
	"strings"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

// Request asks a payer for one transaction.
type Request struct {
	TransactionID id.ID          `db:"transaction_id"`
	Email         string         `db:"email"` // empty when it ended
	Language      string         `db:"language"`
	Days          db.JSON[[]int] `db:"days"` // before the due date, the earliest reminder first
	DueAt         db.Time        `db:"due_at"`
	CreatedBy     string         `db:"created_by"` // see audit.Actor
	CreatedAt     db.Time        `db:"created_at"`
	EndedAt       *db.Time       `db:"ended_at"`
	PurgeAt       db.Time        `db:"purge_at"`
}

// State of a mail. All but Waiting are final.
type State string

// The states.
const (
	Waiting State = "WAITING"
	Sent    State = "SENT"    // notify took it
	Failed  State = "FAILED"  // notify did not take it
	Skipped State = "SKIPPED" // there was no need any more, or no time
)

// Reasons of Failed and Skipped.
const (
	reasonRefused = "refused"   // notify does not take such a mail
	reasonAway    = "not_taken" // notify was not reached in time
	reasonLate    = "too_late"  // its day was over
	reasonEnded   = "ended"     // the transaction was final
)

// Reminder is one mail of a request: the first, with the number 0, or a reminder.
type Reminder struct {
	TransactionID id.ID    `db:"transaction_id"`
	N             int      `db:"n"`
	ID            id.ID    `db:"id"` // by which notify knows it
	SendAt        db.Time  `db:"send_at"`
	State         State    `db:"state"`
	Reason        string   `db:"reason"`
	Tries         int      `db:"tries"`
	TriedAt       *db.Time `db:"tried_at"` // first
	CheckAt       db.Time  `db:"check_at"` // next
	SentAt        *db.Time `db:"sent_at"`
}

const (
	// tryFor ends before notify forgets the keys of mails (24 hours), so that none is sent twice.
	tryFor = 20 * time.Hour
	// keepFor is how long it stays known after its end what was sent when.
	keepFor = 30 * 24 * time.Hour
	// lease is how long a claimed mail is ours, and the first pause after a try that failed: longer
	// than a batch can take.
	lease = 5 * time.Minute
)

// pause before the next try; it doubles up to an hour.
func pause(tries int) time.Duration { return min(lease<<min(tries, 4), time.Hour) }

// plan is the mails of a new request: one now, and the reminders. One whose day is over is SKIPPED.
func (r *Request) plan(now db.Time, zone *time.Location) []Reminder {
	mails := []Reminder{{TransactionID: r.TransactionID, ID: id.New(), SendAt: now, State: Waiting, CheckAt: now}}
	for i, days := range r.Days.V {
		at := db.NewTime(remindAt(r.DueAt.Time, days, zone))
		m := Reminder{TransactionID: r.TransactionID, N: i + 1, ID: id.New(), SendAt: at, State: Waiting, CheckAt: at}
		if at.Before(now.Time) {
			m.State, m.Reason = Skipped, reasonLate
		}
		mails = append(mails, m)
	}
	return mails
}

// remindAt is nine o'clock in zone, days before the day of due.
func remindAt(due time.Time, days int, zone *time.Location) time.Time {
	due = due.In(zone)
	return time.Date(due.Year(), due.Month(), due.Day()-days, 9, 0, 0, 0, zone)
}

// over says why a claimed mail is not to be sent any more; "" if it is. TriedAt is the time of the
// first try, which may be this one.
func (m *Reminder) over(r *Request, now time.Time) (State, string) {
	switch {
	case m.Tries <= 1 && m.N > 0 && (now.Sub(m.SendAt.Time) > tryFor || now.After(r.DueAt.Time)):
		return Skipped, reasonLate
	case m.TriedAt != nil && now.Sub(m.TriedAt.Time) > tryFor:
		return Failed, reasonAway
	}
	return "", ""
}

// same reports whether o asks for the same.
func (r *Request) same(o *Request) bool {
	return r.EndedAt == nil && r.Email == o.Email && r.Language == o.Language && slices.Equal(r.Days.V, o.Days.V)
}

// mask shows of an address as much as somebody needs who knows it: "e***@example.org".
func mask(address string) string {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" {
		return ""
	}
	return local[:1] + "***@" + domain
}
