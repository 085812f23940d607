package booking

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/tenantdir"
)

// listen hears the service's own events: each sends one mail through notify, which takes the
// event's id as Idempotency-Key, so that a crash between the two sends no second one.
func (s *Service) listen(r *bus.Router) {
	bus.Call(r, "mail-confirmed", func(ctx context.Context, m bus.Meta, e events.AppointmentConfirmed) error {
		return s.mail(ctx, m, "appointment-confirmed", icalRequest, events.AppointmentHeld(e))
	})
	bus.Call(r, "mail-moved", func(ctx context.Context, m bus.Meta, e events.AppointmentMoved) error {
		return s.mail(ctx, m, "appointment-moved", icalRequest, events.AppointmentHeld(e))
	})
	bus.Call(r, "mail-canceled", func(ctx context.Context, m bus.Meta, e events.AppointmentCanceled) error {
		return s.mail(ctx, m, "appointment-canceled", icalCancel, events.AppointmentHeld(e))
	})
}

// message is what notify takes.
type message struct {
	Template        string            `json:"template"`
	Language        string            `json:"language"`
	Channel         string            `json:"channel"`
	To              map[string]string `json:"to"`
	Personalisation map[string]string `json:"personalisation"`
	Reference       string            `json:"reference"`
	Attachments     []attachment      `json:"attachments"`
}

type attachment struct {
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	Content     []byte `json:"content"` // base64 in JSON
}

// mail tells the citizen what the event says; time and sequence are the event's, even if the
// appointment has changed since.
func (s *Service) mail(ctx context.Context, m bus.Meta, template, method string, e events.AppointmentHeld) error {
	entry, err := s.dir.ByID(ctx, m.Tenant)
	if err != nil {
		return err
	}
	ctx = tenantdir.With(ctx, entry)
	var a Appointment
	err = s.db.Read(ctx, func(tx *db.Tx) (err error) {
		a, err = getAppointment(ctx, tx, id.ID(e.AppointmentID))
		return err
	})
	switch {
	case errors.Is(err, db.ErrNoRows):
		return nil // deleted long after its end: there is nobody left to tell
	case err != nil:
		return err
	case a.ConfirmedAt == nil || a.Email == "":
		return nil // a hold that was given back: the citizen never had an invitation
	}
	a.StartsAt, a.EndsAt, a.Sequence = db.NewTime(e.StartsAt), db.NewTime(e.EndsAt), e.Sequence
	c, err := s.calendar(ctx, entry, a, method, e.At)
	if err != nil {
		return err
	}
	personal := map[string]string{
		"name": a.Name, "service": c.Event.Summary, "starts_at": a.StartsAt.In(berlin).Format(time.RFC3339), "municipality": entry.Name,
	}
	if method != icalCancel {
		personal["office"], personal["manage_link"] = c.Event.Location, s.manageURL(entry, a.ID)
		if c.Event.ConferenceURL != "" {
			personal["conference_link"] = c.Event.ConferenceURL
		}
	}
	return s.send(ctx, entry, m.ID, message{
		Template: template, Language: a.Language, Channel: "email", To: map[string]string{"email": a.Email}, Personalisation: personal, Reference: a.ID.String(),
		Attachments: []attachment{{"termin.ics", c.ContentType(), c.Bytes()}},
	})
}

// send hands a message to notify, once for an event.
func (s *Service) send(ctx context.Context, entry tenantdir.Entry, event id.ID, m message) (err error) {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("marshal message: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://notify/t/"+entry.Slug+"/notify/v1/messages", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(idem.Header, event.String())
	resp, err := s.notify.Do(req)
	if err != nil {
		return fmt.Errorf("send %s: %w", m.Template, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	// The answer names fields, never their values: it may stand in the dead letter.
	var p struct {
		Code string `json:"code"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&p); err != nil {
		p.Code = "no problem document"
	}
	cause := fmt.Errorf("notify refused %s: status %d, %s", m.Template, resp.StatusCode, p.Code)
	if resp.StatusCode == http.StatusUnprocessableEntity || resp.StatusCode == http.StatusBadRequest {
		return fault.Unprocessable("mail_refused", "notify does not take the message; mend its template and replay the event").Because(cause)
	}
	return cause
}

// calendar is the appointment for calendar programs. Its texts are in the citizen's language.
func (s *Service) calendar(ctx context.Context, e tenantdir.Entry, a Appointment, method string, at time.Time) (icalObject, error) {
	event := icalEvent{
		UID: a.ID.String() + "@" + s.host(), Sequence: a.Sequence, Stamp: at, Starts: a.StartsAt.Time, Ends: a.EndsAt.Time,
		Summary: a.ServiceID, Location: e.Name, Language: a.Language, Comment: a.Reason,
		Organizer: icalPerson{Name: e.Name, Email: "termine@" + s.host()}, Attendee: icalPerson{Name: a.Name, Email: a.Email},
	}
	// An office or service that was given up meanwhile leaves the plain names.
	if offering, office, err := s.where(ctx, a); err == nil {
		event.Summary = offering.Title.In(a.Language)
		event.Location = office.Name.In(a.Language) + ", " + e.Name
		if office.Address != "" {
			event.Location += ", " + office.Address
		}
		if office.Email != "" {
			event.Organizer.Email = office.Email
		}
	}
	if method == icalCancel {
		return icalObject{ProdID: prodID, Method: method, Event: event}, nil
	}
	link, err := s.conferenceURL(ctx, a, Meeting{UserID: "citizen:" + a.ID.String(), UserName: a.Name})
	if err != nil {
		return icalObject{}, err
	}
	text, label, manage := "Videokonferenz: ", "Videokonferenz: beitreten", "Verschieben oder absagen: "
	if a.Language == "en" {
		text, label, manage = "Video conference: ", "Video conference: join", "Move or cancel: "
	}
	event.Description = manage + s.manageURL(e, a.ID)
	if link != "" {
		event.ConferenceURL, event.ConferenceLabel = link, label
		event.Description = text + link + "\n\n" + event.Description
	}
	return icalObject{ProdID: prodID, Method: method, Event: event}, nil
}

const prodID = "-//Basisdienste//Booking 1.0//DE"

// host is the name under which the installation is known: the right side of UIDs.
func (s *Service) host() string {
	u, err := url.Parse(s.baseURL)
	if err != nil || u.Hostname() == "" {
		return "localhost"
	}
	return u.Hostname()
}
