package forms

import (
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
)

// State of an application.
type State string

// The states. Without a fee an application goes from submitted to delivered at once; with a
// fee it waits for the payment. Accepted, rejected and withdrawn are final.
const (
	Draft           State = "draft"            // being filled in; seen by its citizen alone
	Submitted       State = "submitted"        // can no longer be changed
	AwaitingPayment State = "awaiting_payment" // submitted; the fee is not paid yet
	Paid            State = "paid"
	Delivered       State = "delivered" // the municipality has it and must decide
	Accepted        State = "accepted"
	Rejected        State = "rejected"
	Withdrawn       State = "withdrawn" // taken back by the applicant
)

// States lists what a search may ask for: drafts are nobody's business but the citizen's.
func States() []State {
	return []State{Submitted, AwaitingPayment, Paid, Delivered, Accepted, Rejected, Withdrawn}
}

// Final reports whether nothing can change the state any more.
func (s State) Final() bool { return s == Accepted || s == Rejected || s == Withdrawn }

// Contact is whom to tell what becomes of an application. Empty parts are unknown.
type Contact struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// Application is one citizen's matter, from the first page to the decision.
type Application struct {
	ID          id.ID        `db:"id"`
	Form        string       `db:"form"`
	FormVersion int64        `db:"form_version"`
	State       State        `db:"state"`
	Subject     string       `db:"subject"`   // citizen, pairwise for this tenant; "" if a client submitted
	ClientID    string       `db:"client_id"` // the client that submitted; "" for our own pages
	Level       int          `db:"level"`     // STORK level of the login behind it
	Language    string       `db:"language"`  // "de" or "en": mails and pages for the applicant
	Answers     Answers      `db:"answers"`
	TakenOver   Answers      `db:"taken_over"` // JSON pointer → value that came from the login
	Contact     dbJSON       `db:"contact"`
	Reference   *string      `db:"reference"` // nil while a draft
	Amount      money.Amount `db:"amount"`    // fee; set when submitted
	ReturnURL   string       `db:"return_url"`
	Reason      string       `db:"reason"` // of a rejection, in the clerk's words
	CreatedAt   db.Time      `db:"created_at"`
	EditedAt    db.Time      `db:"edited_at"`
	SubmittedAt *db.Time     `db:"submitted_at"`
	PaidAt      *db.Time     `db:"paid_at"`
	DecidedAt   *db.Time     `db:"decided_at"`
}

type dbJSON = db.JSON[Contact]

// Ref is the reference number, and "" of a draft.
func (a *Application) Ref() string {
	if a.Reference == nil {
		return ""
	}
	return *a.Reference
}

// Submit closes the draft: afterwards it has a reference number and can be changed no more.
// With a fee it awaits the payment. Error: not_a_draft.
func (a *Application) Submit(now db.Time, reference string, fee money.Amount) error {
	if a.State != Draft {
		return fault.Conflict("not_a_draft", "the application was submitted already and cannot be changed")
	}
	a.State, a.Reference, a.Amount, a.SubmittedAt = Submitted, &reference, fee, &now
	if fee > 0 {
		a.State = AwaitingPayment
	}
	return nil
}

// Pay notes that the fee was paid. It reports whether this was news: an application that
// was paid before, or left by the applicant meanwhile, keeps its state.
func (a *Application) Pay(now db.Time) bool {
	if a.State != AwaitingPayment {
		return false
	}
	a.State, a.PaidAt = Paid, &now
	return true
}

// Deliver hands a submitted application, paid if it costs something, to the municipality.
// Error: not_deliverable.
func (a *Application) Deliver() error {
	if a.State != Paid && (a.State != Submitted || a.Amount > 0) {
		return fault.Conflict("not_deliverable", "the application is %s; only a submitted one whose fee is paid can be delivered", a.State)
	}
	a.State = Delivered
	return nil
}

// Accept is the municipality's yes. Error: not_decidable.
func (a *Application) Accept(now db.Time) error { return a.decide(now, Accepted, "") }

// Reject is the municipality's no, with its reason for the applicant. Error: not_decidable.
func (a *Application) Reject(now db.Time, reason string) error {
	return a.decide(now, Rejected, reason)
}

func (a *Application) decide(now db.Time, to State, reason string) error {
	if a.State != Delivered {
		return fault.Conflict("not_decidable", "the application is %s; only a delivered one can be accepted or rejected", a.State)
	}
	a.State, a.DecidedAt, a.Reason = to, &now, reason
	return nil
}

// Withdraw takes the application back before it was decided. Error: not_withdrawable.
func (a *Application) Withdraw(now db.Time) error {
	if a.State == Draft || a.State.Final() {
		return fault.Conflict("not_withdrawable", "the application is %s; only a submitted one that is not decided yet can be withdrawn", a.State)
	}
	a.State, a.DecidedAt = Withdrawn, &now
	return nil
}

// PaymentState of one attempt to pay.
type PaymentState string

// The states of an attempt. Wanted: the payment service has not answered yet.
const (
	PaymentWanted   PaymentState = "wanted"
	PaymentOpen     PaymentState = "open"
	PaymentPayed    PaymentState = "payed"
	PaymentFailed   PaymentState = "failed"
	PaymentCanceled PaymentState = "canceled"
	PaymentExpired  PaymentState = "expired"
)

// Over reports whether the attempt ended without money, so that there may be another.
func (s PaymentState) Over() bool {
	return s == PaymentFailed || s == PaymentCanceled || s == PaymentExpired
}

// Payment is one attempt to pay the fee of an application. The first attempt's request id
// is the application's id, later ones get their own.
type Payment struct {
	RequestID     string       `db:"request_id"`
	ApplicationID id.ID        `db:"application_id"`
	Attempt       int          `db:"attempt"`
	State         PaymentState `db:"state"`
	Amount        money.Amount `db:"amount"`
	TransactionID string       `db:"transaction_id"`
	PayURL        string       `db:"pay_url"`
	Kassenzeichen string       `db:"kassenzeichen"`
	Method        string       `db:"method"`
	ByMail        bool         `db:"by_mail"`   // nobody was there to be led to the pay page
	MailedAt      *db.Time     `db:"mailed_at"` // when the link was handed to notify
	Tries         int          `db:"tries"`
	NextTryAt     db.Time      `db:"next_try_at"`
	At            db.Time      `db:"at"`
}

const (
	firstPause   = 15 * time.Second
	longestPause = time.Hour
)

// Failed notes that the payment service did not answer, and when to ask again: the pauses
// double from 15 seconds to an hour.
func (p *Payment) Failed(now db.Time) {
	pause := longestPause
	if p.Tries < 8 {
		pause = min(firstPause<<p.Tries, longestPause)
	}
	p.Tries++
	p.NextTryAt = db.NewTime(now.Add(pause))
}

// referenceAlphabet has no characters that are taken for one another when read aloud.
const referenceAlphabet = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"

// newReference makes a reference number that citizens and clerks can read to one another:
// "BPA-26-7KQ4M3XZ". It is unique by the database's constraint, not by itself.
func newReference(prefix string, now time.Time) string {
	var b strings.Builder
	b.WriteString(prefix + "-" + strconv.Itoa(now.Year()%100) + "-")
	random := make([]byte, 8)
	rand.Read(random) // never fails since Go 1.24
	for _, r := range random {
		b.WriteByte(referenceAlphabet[int(r)%len(referenceAlphabet)])
	}
	return b.String()
}
