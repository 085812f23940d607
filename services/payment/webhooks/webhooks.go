package webhooks

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

const (
	maxEndpoints = 20 // of a tenant
	// overlap is how long messages are signed with the old secret as well as the new one.
	overlap = 24 * time.Hour
	// failingFor is how long an endpoint may do nothing but fail before it is disabled.
	failingFor = 5 * 24 * time.Hour
	// keep is how long deliveries are kept after their event.
	keep = 30 * 24 * time.Hour
	// maxTries bounds the tries that a delivery remembers, the latest.
	maxTries = 20
	// maxPause bounds what Retry-After can ask of an endpoint, maxWait of one delivery.
	maxPause = time.Hour
	maxWait  = 24 * time.Hour
)

// testType is sent by hand, to every endpoint that wants to be tested.
const testType = "payment.webhook.test.v1"

// EventTypes lists what an endpoint can ask for.
func EventTypes() []string {
	return slices.DeleteFunc(events.Types(), func(t string) bool {
		return !strings.HasPrefix(t, "payment.")
	})
}

// Reasons why an endpoint is disabled.
const (
	reasonByHand  = "by_hand"
	reasonGone    = "gone"    // it answered 410
	reasonFailing = "failing" // nothing but failures for failingFor
)

// Endpoint is where a municipality wants to be told.
type Endpoint struct {
	Tenant         id.ID             `db:"tenant_id"`
	ID             id.ID             `db:"id"`
	URL            string            `db:"url"`
	Description    string            `db:"description"`
	Events         db.JSON[[]string] `db:"events"` // empty: all
	Enabled        bool              `db:"enabled"`
	DisabledReason string            `db:"disabled_reason"`
	DisabledAt     *db.Time          `db:"disabled_at"`
	Secret         []byte            `db:"secret"`   // sealed
	Previous       []byte            `db:"previous"` // sealed; signs until PreviousUntil
	PreviousUntil  *db.Time          `db:"previous_until"`
	FailingSince   *db.Time          `db:"failing_since"`
	PausedUntil    *db.Time          `db:"paused_until"`
	CreatedAt      db.Time           `db:"created_at"`
	UpdatedAt      db.Time           `db:"updated_at"`
}

// wants reports whether the endpoint is told of such events.
func (e *Endpoint) wants(eventType string) bool {
	return e.Enabled && (len(e.Events.V) == 0 || slices.Contains(e.Events.V, eventType))
}

func (e *Endpoint) disable(now db.Time, reason string) {
	if e.Enabled {
		e.Enabled, e.DisabledReason, e.DisabledAt = false, reason, &now
	}
}

// enable forgets what was held against the endpoint.
func (e *Endpoint) enable() {
	e.Enabled, e.DisabledReason, e.DisabledAt, e.FailingSince, e.PausedUntil = true, "", nil, nil, nil
}

// rotate puts a new sealed secret in front of the present one, which still signs for a while.
func (e *Endpoint) rotate(now db.Time, sealed []byte) {
	until := db.NewTime(now.Add(overlap))
	e.Secret, e.Previous, e.PreviousUntil = sealed, e.Secret, &until
}

// signing lists the sealed secrets that sign now, the newest first.
func (e *Endpoint) signing(now time.Time) [][]byte {
	if e.PreviousUntil != nil && now.Before(e.PreviousUntil.Time) {
		return [][]byte{e.Secret, e.Previous}
	}
	return [][]byte{e.Secret}
}

// failed notes a failed try, disables the endpoint if it was one too many, and reports whether
// that changed anything.
func (e *Endpoint) failed(now db.Time, a answer) (changed bool) {
	if e.FailingSince == nil {
		e.FailingSince, changed = &now, true
	}
	switch {
	case a.Status == http.StatusGone:
		e.disable(now, reasonGone)
	case now.Sub(e.FailingSince.Time) >= failingFor:
		e.disable(now, reasonFailing)
	case a.retryAfter > 0 && a.overloaded():
		until := db.NewTime(now.Add(min(a.retryAfter, maxPause)))
		e.PausedUntil = &until
	default:
		return changed
	}
	return true
}

func errUnknownWebhook() error {
	return fault.NotFound("unknown_webhook", "there is no such webhook here")
}

func errUnknownDelivery() error {
	return fault.NotFound("unknown_delivery", "there is no such delivery of this webhook; they are kept for 30 days")
}

// open returns nil if something can be sent to the endpoint. Error: webhook_disabled.
func (e *Endpoint) open() error {
	if e.Enabled {
		return nil
	}
	return fault.Conflict("webhook_disabled", "the webhook is disabled; enable it first")
}

// State of a delivery.
type State string

// The states: pending → delivered | failed; a replay makes it pending again.
const (
	Pending   State = "pending"
	Delivered State = "delivered"
	Failed    State = "failed" // given up
)

// Try is one request that was made, or could not be made.
type Try struct {
	At     db.Time `json:"at"`
	Status int     `json:"status,omitempty"` // of the answer; 0: there was none
	Error  string  `json:"error,omitempty"`  // why there was none, in one word
	Millis int64   `json:"duration_ms"`
}

func (t Try) ok() bool { return t.Status >= 200 && t.Status < 300 }

// answer is a try with what the receiver asked for.
type answer struct {
	Try
	retryAfter time.Duration
}

// overloaded reports whether the receiver cannot keep up, in which case all deliveries to it
// wait for as long as it says.
func (a answer) overloaded() bool {
	switch a.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Delivery is one message for one endpoint.
type Delivery struct {
	EndpointID    id.ID          `db:"endpoint_id"`
	ID            id.ID          `db:"id"` // of the message: webhook-id
	Type          string         `db:"type"`
	TransactionID id.ID          `db:"transaction_id"` // empty: a test, or of many
	Data          string         `db:"data"`
	At            db.Time        `db:"at"`
	State         State          `db:"state"`
	Failures      int            `db:"failures"` // since it became pending
	Claims        int            `db:"claims"`
	Tries         db.JSON[[]Try] `db:"tries"`
	DueAt         *db.Time       `db:"due_at"`
	CreatedAt     db.Time        `db:"created_at"`
	EndedAt       *db.Time       `db:"ended_at"`
}

// pauses before the second and each further try: the schedule of Standard Webhooks 1.0.0,
// "Deliverability and reliability".
var pauses = [...]time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// tried notes how a try ended. chance is from 0 to 1 and spreads the next one.
func (d *Delivery) tried(now db.Time, a answer, chance float64) {
	d.Tries.V = append(slices.Clone(d.Tries.V), a.Try)
	if n := len(d.Tries.V); n > maxTries {
		d.Tries.V = d.Tries.V[n-maxTries:]
	}
	if a.ok() {
		d.end(now, Delivered)
		return
	}
	d.Failures++
	if d.Failures > len(pauses) || a.Status == http.StatusGone {
		d.end(now, Failed)
		return
	}
	pause := time.Duration(float64(pauses[d.Failures-1]) * (0.9 + 0.2*chance))
	due := db.NewTime(now.Add(max(pause, min(a.retryAfter, maxWait))))
	d.DueAt = &due
}

func (d *Delivery) end(now db.Time, s State) { d.State, d.DueAt, d.EndedAt = s, nil, &now }
