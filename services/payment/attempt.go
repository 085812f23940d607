package payment

import (
	"context"
	"fmt"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
)

// Gateway is a payment provider with a hosted pay page, as the service needs it. Its errors
// are passing ones: the caller asks again later. It is safe for concurrent use.
type Gateway interface {
	// Create opens a session in which the payer can pay once. With the same Checkout.Attempt
	// it returns the same session, in the state it is in by then.
	Create(ctx context.Context, c Checkout) (Session, error)
	// Get reads a session.
	Get(ctx context.Context, session string) (Session, error)
	// End closes a session to the payer, releases money that is held by it, and returns what
	// holds now: SessionEnded, or the state that it had reached before. After SessionEnded no
	// money can come in by it.
	End(ctx context.Context, session string) (Session, error)
	// Capture takes the money that a session holds, once however often it is asked, and returns
	// the state by then: SessionPaid, or another one if nothing is held. It takes nothing of a
	// session that was not created with Checkout.Hold.
	Capture(ctx context.Context, session string) (Session, error)
	// Refund gives money of a paid session back. With the same RefundOrder.Refund it returns
	// the same refund, in the state it is in by then.
	Refund(ctx context.Context, r RefundOrder) (RefundResult, error)
	// GetRefund reads a refund of a session by the provider's id of it.
	GetRefund(ctx context.Context, session, refund string) (RefundResult, error)
}

// Checkout is what a provider is told.
type Checkout struct {
	Attempt     id.ID // idempotency key
	Transaction id.ID
	Tenant      id.ID
	Amount      money.Amount
	Currency    string
	Method      Method
	Detail      string
	Payee       string // the municipality
	Reference   string // the Kassenzeichen
	Text        string // what the payer pays for
	Language    string // "de" or "en"
	ReturnURL   string // where the browser goes after the provider
	ServiceURL  string // where it goes from there; empty: nowhere
	ExpiresAt   time.Time
	Hold        bool // the money is held until Capture or End
}

// SessionState is what a provider says of a session.
type SessionState string

// The states of a session. All but Open, Processing and Authorised are final.
const (
	SessionOpen       SessionState = "open"       // the payer has not paid yet
	SessionProcessing SessionState = "processing" // the payer did all; the money is on its way
	SessionAuthorised SessionState = "authorised" // the money is held for us, not taken
	SessionPaid       SessionState = "paid"
	SessionDeclined   SessionState = "declined"
	SessionCanceled   SessionState = "canceled" // by the payer
	SessionEnded      SessionState = "ended"    // by time or by us
)

// Session is a pay page at a provider.
type Session struct {
	ID       string
	URL      string // of the pay page
	State    SessionState
	Reason   string // of a decline: snake_case, see declineReasons
	Amount   money.Amount
	Currency string
	Detail   string // of the method, such as the brand of the card
	PaidAt   time.Time
}

// attemptState is how far an attempt came.
type attemptState string

const (
	attemptOpen     attemptState = "open"
	attemptPaid     attemptState = "paid"
	attemptSurplus  attemptState = "surplus" // paid although the transaction had ended: to be given back
	attemptDeclined attemptState = "declined"
	attemptCanceled attemptState = "canceled"
	attemptEnded    attemptState = "ended"
)

// Attempt is one try to pay a transaction at a provider. It is stored before the provider
// is called, so that no session can exist that we do not know of.
type Attempt struct {
	ID            id.ID        `db:"id"`
	TransactionID id.ID        `db:"transaction_id"`
	Offer         string       `db:"offer"`
	Method        Method       `db:"method"`
	Detail        string       `db:"detail"`
	Provider      string       `db:"provider"`
	SessionID     string       `db:"session_id"` // empty until the provider answered
	URL           string       `db:"url"`
	State         attemptState `db:"state"`
	Reason        string       `db:"reason"`
	CreatedAt     db.Time      `db:"created_at"`
	ExpiresAt     db.Time      `db:"expires_at"`
	CheckAt       db.Time      `db:"check_at"` // when the sweep asks the provider next
	Checks        int          `db:"checks"`
	EndedAt       *db.Time     `db:"ended_at"`
	// AuthorisedAt is since when the money has been held. The attempt stays open until it is
	// taken or released.
	AuthorisedAt *db.Time `db:"authorised_at"`
	// CaptureAskedAt is when the municipality decided to take it. From then on the provider is
	// asked to, until it has said what became of the money.
	CaptureAskedAt *db.Time `db:"capture_asked_at"`
}

// held reports whether money is held by the attempt, if there is one.
func (a *Attempt) held() bool { return a != nil && a.State == attemptOpen && a.AuthorisedAt != nil }

// holdTime is how long the municipality has to decide about money that is held: then it is
// released. A card's hold lasts 7 days at Stripe; what is decided in the last minute still has two
// days to get there.
const holdTime = 5 * 24 * time.Hour

func (a *Attempt) end(now db.Time, s attemptState, reason string) {
	a.State, a.Reason, a.EndedAt = s, reason, &now
}

// pause before the sweep asks again: 30 s, doubling up to 15 minutes.
func pause(checks int) time.Duration {
	return min(30*time.Second<<min(checks, 10), 15*time.Minute)
}

// declineReasons are the reasons that pages explain in their own words; another is shown as
// "declined".
var declineReasons = map[string]bool{
	"card_declined": true, "insufficient_funds": true, "expired_card": true, "authentication_failed": true,
}

// settle decides what a session's state means for the attempt and its transaction, and
// returns the word for the history; "session" if only the session became known, "" if
// nothing changed. It is an error when the provider took another amount than was asked.
func (t *Transaction) settle(a *Attempt, s Session, now db.Time, mostDeclined int) (string, error) {
	switch s.State {
	case SessionOpen, SessionProcessing:
		if a.SessionID == s.ID {
			return "", nil
		}
		a.SessionID, a.URL = s.ID, s.URL
		return "session", nil
	case SessionAuthorised, SessionPaid:
		if s.State == SessionAuthorised && !t.Delayed {
			return "", fmt.Errorf("attempt %s: the provider holds money that it should have taken", a.ID)
		}
		if s.Amount != t.Amount || s.Currency != t.Currency {
			return "", fmt.Errorf("attempt %s: provider took %s %s, asked for %s %s", a.ID, s.Amount, s.Currency, t.Amount, t.Currency)
		}
	case SessionDeclined, SessionCanceled, SessionEnded:
	default:
		return "", fmt.Errorf("attempt %s: session state %q", a.ID, s.State)
	}
	if a.SessionID == "" {
		a.SessionID, a.URL = s.ID, s.URL
	}
	switch {
	case s.State == SessionAuthorised && t.Final(): // the next look releases it
		return "session", nil
	case s.State == SessionAuthorised && a.AuthorisedAt != nil:
		return "", nil
	case s.State == SessionAuthorised:
		a.AuthorisedAt, t.ExpiresAt = &now, db.NewTime(now.Add(holdTime))
		return "authorised", nil
	case s.State == SessionPaid && t.Final():
		a.end(now, attemptSurplus, ReasonSurplus)
		return "surplus", nil
	case s.State == SessionPaid:
		a.end(now, attemptPaid, "")
		detail := s.Detail
		if detail == "" {
			detail = a.Detail
		}
		return "payed", t.Pay(now, a.Method, detail)
	case s.State == SessionEnded || t.Final():
		a.end(now, attemptEnded, ReasonExpired)
		return "attempt_ended", nil
	case s.State == SessionCanceled && t.DueAt != nil: // the claim is the municipality's, and stays
		a.end(now, attemptEnded, ReasonPayer)
		return "attempt_ended", nil
	case s.State == SessionCanceled:
		a.end(now, attemptCanceled, ReasonPayer)
		return "canceled", t.Cancel(now)
	default:
		a.end(now, attemptDeclined, s.Reason)
		return "declined", t.Decline(now, mostDeclined)
	}
}
