package booking

import (
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// State of an appointment.
type State string

// The states. A held appointment ends as one of the other three; a confirmed one may still
// be moved (it stays confirmed, its sequence grows) or canceled.
const (
	Held      State = "held"
	Confirmed State = "confirmed"
	Canceled  State = "canceled"
	Expired   State = "expired"
)

// Appointment is a time with an official, reserved for one person. Everything but Name and
// Email may be told to others.
type Appointment struct {
	ID          id.ID    `db:"id"`
	State       State    `db:"state"`
	ServiceID   string   `db:"service_id"`
	OfficeID    string   `db:"office_id"`
	ResourceID  string   `db:"resource_id"`
	StartsAt    db.Time  `db:"starts_at"`
	EndsAt      db.Time  `db:"ends_at"`
	FreeAt      db.Time  `db:"free_at"` // when the resource is free again: the end and the buffer
	Sequence    int64    `db:"sequence"`
	Language    string   `db:"language"`
	Name        string   `db:"name"`
	Email       string   `db:"email"`
	Reference   string   `db:"reference"` // of an application; may be empty
	Room        string   `db:"room"`      // of the conference; empty without one
	Reason      string   `db:"reason"`    // why staff canceled it
	CreatedAt   db.Time  `db:"created_at"`
	ExpiresAt   db.Time  `db:"expires_at"` // of the hold
	ConfirmedAt *db.Time `db:"confirmed_at"`
	EndedAt     *db.Time `db:"ended_at"` // canceled or expired
}

// Place is where and when an appointment takes place.
type Place struct {
	ResourceID               string
	StartsAt, EndsAt, FreeAt db.Time
}

func (a *Appointment) place() Place { return Place{a.ResourceID, a.StartsAt, a.EndsAt, a.FreeAt} }

// StateAt is the state as others see it at now: a hold whose time is over is expired, even
// if nobody has cleared it away yet.
func (a *Appointment) StateAt(now time.Time) State {
	if a.State == Held && !now.Before(a.ExpiresAt.Time) {
		return Expired
	}
	return a.State
}

// Confirm makes the hold firm. Confirming again changes nothing.
// Errors: hold_expired, appointment_canceled, appointment_over.
func (a *Appointment) Confirm(now db.Time) (changed bool, err error) {
	switch a.StateAt(now.Time) {
	case Confirmed:
		return false, nil
	case Canceled:
		return false, isCanceled()
	case Expired:
		return false, fault.Gone("hold_expired", "the time was reserved for a while only, and that is over; choose a time again")
	case Held:
	}
	if !now.Before(a.StartsAt.Time) {
		return false, isOver()
	}
	a.State, a.ConfirmedAt = Confirmed, &now
	return true, nil
}

// Move puts a firm appointment to another place; its sequence grows. Moving it to where it
// is changes nothing. Errors: not_confirmed, appointment_canceled, appointment_over.
func (a *Appointment) Move(now db.Time, to Place) (changed bool, err error) {
	if err := a.mayMove(now); err != nil {
		return false, err
	}
	if to.StartsAt.Equal(a.StartsAt.Time) {
		return false, nil
	}
	a.ResourceID, a.StartsAt, a.EndsAt, a.FreeAt = to.ResourceID, to.StartsAt, to.EndsAt, to.FreeAt
	a.Sequence++
	return true, nil
}

func (a *Appointment) mayMove(now db.Time) error {
	switch a.StateAt(now.Time) {
	case Canceled:
		return isCanceled()
	case Held, Expired:
		return fault.Conflict("not_confirmed", "only a confirmed appointment can be moved; reserve another time instead")
	case Confirmed:
	}
	if !now.Before(a.StartsAt.Time) {
		return isOver()
	}
	return nil
}

// Cancel ends the appointment, or gives a hold back; its sequence grows. Canceling again, or
// what has expired, changes nothing. Error: appointment_over.
func (a *Appointment) Cancel(now db.Time, reason string) (changed bool, err error) {
	switch a.State {
	case Canceled, Expired:
		return false, nil
	case Held, Confirmed:
	}
	if !now.Before(a.StartsAt.Time) {
		return false, isOver()
	}
	a.State, a.EndedAt, a.Reason = Canceled, &now, reason
	a.Sequence++
	return true, nil
}

// Expire gives a hold back whose time is over, and forgets whose it was.
func (a *Appointment) Expire(now db.Time) (changed bool) {
	if a.State != Held || a.StateAt(now.Time) != Expired {
		return false
	}
	a.State, a.EndedAt, a.Name, a.Email = Expired, &now, "", ""
	return true
}

func isCanceled() error {
	return fault.Conflict("appointment_canceled", "the appointment was canceled; book a new one")
}

func isOver() error {
	return fault.Conflict("appointment_over", "the appointment has begun or is over, so it can no longer be changed")
}
