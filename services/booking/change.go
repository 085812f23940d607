package booking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenantdir"
)

// Get shows an appointment to who has its secret. Error: appointment_not_found.
func (s *Service) Get(ctx context.Context, q AppointmentRequest) (AppointmentView, error) {
	e, a, err := s.find(ctx, q)
	if err != nil {
		return AppointmentView{}, err
	}
	return s.linked(ctx, e, a, view(a, s.clock()))
}

// find reads an appointment for who has its secret.
func (s *Service) find(ctx context.Context, q AppointmentRequest) (e tenantdir.Entry, a Appointment, err error) {
	e, _, err = s.of(ctx)
	if err == nil {
		err = s.admit(e, q.ID, q.Secret)
	}
	if err != nil {
		return e, a, err
	}
	err = s.db.Read(ctx, func(tx *db.Tx) (err error) {
		a, err = getAppointment(ctx, tx, q.ID)
		return err
	})
	if errors.Is(err, db.ErrNoRows) {
		return e, a, notFound()
	}
	return e, a, err
}

// linked adds the citizen's links to a view.
func (s *Service) linked(ctx context.Context, e tenantdir.Entry, a Appointment, v AppointmentView) (AppointmentView, error) {
	v.ManageURL = s.manageURL(e, a.ID)
	if v.State != Confirmed {
		return v, nil
	}
	var err error
	v.ConferenceURL, err = s.conferenceURL(ctx, a, Meeting{UserID: "citizen:" + a.ID.String(), UserName: a.Name})
	return v, err
}

// conferenceURL lets the person of m into the room of the appointment; "" if it has none.
func (s *Service) conferenceURL(ctx context.Context, a Appointment, m Meeting) (string, error) {
	if a.Room == "" || s.conference == nil {
		return "", nil
	}
	m.Room, m.Starts, m.Ends = a.Room, a.StartsAt.Time, a.EndsAt.Time
	link, err := s.conference.Link(ctx, m)
	if err != nil {
		return "", fmt.Errorf("conference link of %s: %w", a.ID, err)
	}
	return link, nil
}

// change locks an appointment and lets fn change it, in one transaction and once for an
// Idempotency-Key. fn returns the event to tell, nil if nothing changed.
func (s *Service) change(ctx context.Context, appointment id.ID, fn func(tx *db.Tx, a *Appointment) (outbox.Event, error)) (AppointmentView, error) {
	return again(ctx, s.db, func(tx *db.Tx) (AppointmentView, error) {
		a, err := lockAppointment(ctx, tx, appointment)
		if errors.Is(err, db.ErrNoRows) {
			return AppointmentView{}, notFound()
		}
		if err != nil {
			return AppointmentView{}, fmt.Errorf("lock appointment %s: %w", appointment, err)
		}
		event, err := fn(tx, &a)
		if err != nil {
			return AppointmentView{}, err
		}
		if event != nil {
			if err := saveAppointment(ctx, tx, a); err != nil {
				return AppointmentView{}, fmt.Errorf("save appointment %s: %w", appointment, err)
			}
			if err := outbox.Put(ctx, tx, event); err != nil {
				return AppointmentView{}, err
			}
		}
		return view(a, tx.Now().Time), nil
	})
}

// changed adds the links as they are after a change; idem keeps none of them.
func (s *Service) changed(ctx context.Context, q AppointmentRequest, v AppointmentView) (AppointmentView, error) {
	e, a, err := s.find(ctx, q)
	if err != nil {
		return v, err
	}
	return s.linked(ctx, e, a, v)
}

// Confirm makes a hold firm; the invitation follows by mail. Confirming again, or twice at
// once, changes nothing and is answered alike.
// Errors: hold_expired, appointment_canceled, appointment_over, appointment_not_found.
func (s *Service) Confirm(ctx context.Context, q ChangeRequest) (AppointmentView, error) {
	access := AppointmentRequest{q.ID, q.Secret}
	if _, _, err := s.find(ctx, access); err != nil {
		return AppointmentView{}, err
	}
	v, err := s.change(ctx, q.ID, func(tx *db.Tx, a *Appointment) (outbox.Event, error) {
		changed, err := a.Confirm(tx.Now())
		if err != nil || !changed {
			return nil, err
		}
		return events.AppointmentConfirmed(told(*a, tx.Now())), nil
	})
	if err != nil {
		return v, err
	}
	return s.changed(ctx, access, v)
}

// Move puts a confirmed appointment to another free time of its service and office. If that
// is taken, the appointment stays where it was.
// Errors: those of a hold for the new time; not_confirmed, appointment_canceled,
// appointment_over, appointment_not_found.
func (s *Service) Move(ctx context.Context, q MoveRequest) (AppointmentView, error) {
	access := AppointmentRequest{q.ID, q.Secret}
	_, found, err := s.find(ctx, access)
	if err != nil {
		return AppointmentView{}, err
	}
	offering, office, err := s.where(ctx, found)
	if err != nil {
		return AppointmentView{}, err
	}
	v, err := s.change(ctx, q.ID, func(tx *db.Tx, a *Appointment) (outbox.Event, error) {
		if err := a.mayMove(tx.Now()); err != nil || a.StartsAt.Equal(q.StartsAt) {
			return nil, err
		}
		place, book, err := choose(ctx, tx, question{office: office, offering: offering}, q.StartsAt, a)
		if err != nil {
			return nil, err
		}
		if _, err := a.Move(tx.Now(), place); err != nil {
			return nil, err
		}
		if err := book.take(ctx, tx, a.ID, place); err != nil {
			return nil, err
		}
		return events.AppointmentMoved(told(*a, tx.Now())), book.save(ctx, tx)
	})
	if fault.Is(err, "slot_taken") {
		return v, &takenError{fault.From(err), s.nearby(ctx, offering, office, q.StartsAt)}
	}
	if err != nil {
		return v, err
	}
	return s.changed(ctx, access, v)
}

// where finds service and office of an appointment in the settings of today.
// Errors: unknown_service, unknown_office, if the municipality gave them up.
func (s *Service) where(ctx context.Context, a Appointment) (offering Offering, office Office, err error) {
	_, set, err := s.of(ctx)
	if err != nil {
		return offering, office, err
	}
	if offering, err = set.offering(a.ServiceID); err != nil {
		return offering, office, err
	}
	office, err = set.office(offering, a.OfficeID)
	return offering, office, err
}

// Cancel ends the appointment, or gives a hold back. Canceling again changes nothing.
// Errors: appointment_over, appointment_not_found.
func (s *Service) Cancel(ctx context.Context, q ChangeRequest) (AppointmentView, error) {
	access := AppointmentRequest{q.ID, q.Secret}
	if _, _, err := s.find(ctx, access); err != nil {
		return AppointmentView{}, err
	}
	v, err := s.change(ctx, q.ID, func(tx *db.Tx, a *Appointment) (outbox.Event, error) { return cancel(ctx, tx, a, "") })
	if err != nil {
		return v, err
	}
	return s.changed(ctx, access, v)
}

// cancel gives the locked appointment's place back.
func cancel(ctx context.Context, tx *db.Tx, a *Appointment, reason string) (outbox.Event, error) {
	changed, err := a.Cancel(tx.Now(), reason)
	if err != nil || !changed {
		return nil, err
	}
	book, err := openBook(ctx, tx, a.OfficeID, daysOf(a.place()))
	if err != nil {
		return nil, err
	}
	if err := book.give(ctx, tx, *a); err != nil {
		return nil, err
	}
	return events.AppointmentCanceled(told(*a, tx.Now())), book.save(ctx, tx)
}

// StaffCancel ends an appointment for the municipality, which says why.
// Errors: appointment_over, appointment_not_found.
func (s *Service) StaffCancel(ctx context.Context, q StaffCancelRequest) (AppointmentView, error) {
	return s.change(ctx, q.ID, func(tx *db.Tx, a *Appointment) (outbox.Event, error) {
		event, err := cancel(ctx, tx, a, q.Reason)
		if err != nil || event == nil {
			return nil, err
		}
		return event, audit.Record(ctx, tx, "appointment.canceled", "appointment:"+a.ID.String(), nil)
	})
}

const maxDay = 5000 // appointments of a day that are listed

// Day lists the appointments of a day for staff, with the official's way into each meeting.
func (s *Service) Day(ctx context.Context, q DayRequest) (Day, error) {
	var zero Date
	if q.Date == zero {
		q.Date = dateOf(s.clock())
	}
	var rows []Appointment
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		rows, err = onDay(ctx, tx, q.OfficeID, db.NewTime(q.Date.at(0)), db.NewTime(q.Date.add(1).at(0)), maxDay)
		return err
	})
	out := Day{q.Date.String(), []StaffView{}}
	for _, a := range rows {
		v := StaffView{AppointmentView: view(a, s.clock()), ResourceID: a.ResourceID, Name: a.Name, Email: a.Email, Language: a.Language, Reason: a.Reason}
		if v.State == Expired {
			continue
		}
		if v.State == Confirmed {
			if v.ConferenceURL, err = s.conferenceURL(ctx, a, Meeting{UserID: "staff:" + a.ResourceID, UserName: s.officialName(ctx, a), Moderator: true}); err != nil {
				return Day{}, err
			}
		}
		out.Items = append(out.Items, v)
	}
	return out, err
}

// officialName is what the citizen sees of the official: the name of the place.
func (s *Service) officialName(ctx context.Context, a Appointment) string {
	_, office, err := s.where(ctx, a)
	if err != nil {
		return a.ResourceID
	}
	if i := slices.IndexFunc(office.Resources, func(r Resource) bool { return r.ID == a.ResourceID }); i >= 0 && office.Resources[i].Name != "" {
		return office.Name.In(a.Language) + ", " + office.Resources[i].Name
	}
	return office.Name.In(a.Language)
}

// AddClosure closes an office or a resource for a time. What is booked there already stays;
// the answer lists it. Errors: unknown_office, unknown_resource.
func (s *Service) AddClosure(ctx context.Context, q ClosureRequest) (ClosureAnswer, error) {
	_, set, err := s.of(ctx)
	if err != nil {
		return ClosureAnswer{}, err
	}
	i := slices.IndexFunc(set.Offices, func(o Office) bool { return o.ID == q.OfficeID })
	if i < 0 {
		return ClosureAnswer{}, fault.NotFound("unknown_office", "the municipality has no such office")
	}
	if q.ResourceID != "" && !slices.ContainsFunc(set.Offices[i].Resources, func(r Resource) bool { return r.ID == q.ResourceID }) {
		return ClosureAnswer{}, fault.NotFound("unknown_resource", "the office has no such resource")
	}
	return again(ctx, s.db, func(tx *db.Tx) (ClosureAnswer, error) {
		c := Closure{
			ID: id.New(), OfficeID: q.OfficeID, ResourceID: q.ResourceID, StartsAt: db.NewTime(q.StartsAt), EndsAt: db.NewTime(q.EndsAt),
			Reason: q.Reason, CreatedAt: tx.Now(),
		}
		if err := insertClosure(ctx, tx, c); err != nil {
			return ClosureAnswer{}, fmt.Errorf("insert closure: %w", err)
		}
		answer := ClosureAnswer{closureView(c)}
		// What began before it may still be going on.
		rows, err := onDay(ctx, tx, q.OfficeID, db.NewTime(q.StartsAt.Add(-24*time.Hour)), c.EndsAt, maxDay)
		if err != nil {
			return ClosureAnswer{}, fmt.Errorf("list appointments: %w", err)
		}
		for _, a := range rows {
			if a.StateAt(tx.Now().Time) == Confirmed && a.EndsAt.After(c.StartsAt.Time) && (q.ResourceID == "" || q.ResourceID == a.ResourceID) {
				answer.Affected = append(answer.Affected, a.ID)
			}
		}
		return answer, audit.Record(ctx, tx, "closure.added", "closure:"+c.ID.String(), map[string]string{"office": c.OfficeID, "resource": c.ResourceID})
	})
}

func closureView(c Closure) ClosureView {
	return ClosureView{ID: c.ID, OfficeID: c.OfficeID, ResourceID: c.ResourceID, StartsAt: c.StartsAt.Time, EndsAt: c.EndsAt.Time, Reason: c.Reason}
}

// Closures lists the closures that are not over.
func (s *Service) Closures(ctx context.Context, _ struct{}) (Closures, error) {
	out := Closures{Items: []ClosureView{}}
	now := s.clock()
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		rows, err := closuresOf(ctx, tx, "", db.NewTime(now), db.NewTime(now.AddDate(10, 0, 0)))
		for _, c := range rows {
			out.Items = append(out.Items, closureView(c))
		}
		return err
	})
	return out, err
}

// RemoveClosure opens again. Error: closure_not_found.
func (s *Service) RemoveClosure(ctx context.Context, q ClosureID) (kit.None, error) {
	return kit.None{}, s.db.Tx(ctx, func(tx *db.Tx) error {
		found, err := deleteClosure(ctx, tx, q.ID)
		if err != nil {
			return err
		}
		if !found {
			return fault.NotFound("closure_not_found", "there is no such closure")
		}
		return audit.Record(ctx, tx, "closure.removed", "closure:"+q.ID.String(), nil)
	})
}
