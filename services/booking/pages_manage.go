package booking

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

// opened is an appointment whose secret the request has.
type opened struct {
	entry    tenantdir.Entry
	a        Appointment
	access   AppointmentRequest
	offering Offering // both as they are today, or with what is left of them
	office   Office
	offered  bool   // the service can still be had there
	path     string // of the appointment's page
}

// secret lets in who has the link. Its address must not leave the page: no referrer, no
// cache. The access log has the pattern of the route only.
func (p *pages) secret(next func(http.ResponseWriter, *http.Request, opened)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Robots-Tag", "noindex")
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		o := opened{access: AppointmentRequest{id.ID(r.PathValue("id")), r.PathValue("secret")}}
		var err error
		if o.entry, o.a, err = p.s.find(r.Context(), o.access); err != nil {
			p.site.ErrorPage(w, r, err)
			return
		}
		o.path = base(r) + "appointments/" + o.access.ID.String() + "/" + o.access.Secret
		o.offering, o.office, err = p.s.where(r.Context(), o.a)
		o.offered = err == nil
		if f := fault.From(err); err != nil && f.Kind != fault.KindNotFound {
			p.site.ErrorPage(w, r, err)
			return
		}
		if !o.offered {
			o.offering.Title, o.office.Name = Text{"de": o.a.ServiceID}, Text{"de": o.entry.Name}
		}
		next(w, r, o)
	})
}

func asTaken(err error, dst **takenError) { _ = errors.As(err, dst) } // dst stays nil if it is none

// when is day and time in the reader's language.
func (p *pages) when(r *http.Request, t time.Time) string { return p.period(r, t, t) }

// period is a day and a time from, or a time from and until.
func (p *pages) period(r *http.Request, from, until time.Time) string {
	local, clock, to, end := from.In(berlin), from.In(berlin).Format("15:04"), " to ", ""
	days := [...]string{"Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"}
	day := days[local.Weekday()] + local.Format(", 02.01.2006, ")
	if p.site.Lang(r) == "de" {
		to, end = " bis ", " Uhr"
	} else {
		day = local.Format("Monday, 2 January 2006, ")
	}
	if until.After(from) {
		clock += to + until.In(berlin).Format("15:04")
	}
	return day + clock + end
}

func (p *pages) rowsOf(r *http.Request, o opened) []web.Row {
	rows := p.rows(r, o.offering, o.office, o.a.StartsAt.Time)
	rows[1].Value = p.period(r, o.a.StartsAt.Time, o.a.EndsAt.Time)
	for _, row := range []web.Row{
		{Key: p.site.T(r, "row.name"), Value: o.a.Name},
		{Key: p.site.T(r, "row.email"), Value: o.a.Email},
		{Key: p.site.T(r, "row.reference"), Value: o.a.Reference},
		{Key: p.site.T(r, "row.reason"), Value: o.a.Reason},
	} {
		if row.Value != "" {
			rows = append(rows, row)
		}
	}
	return rows
}

// appointment shows the page that fits the state: check, confirmed, canceled, lapsed.
func (p *pages) appointment(w http.ResponseWriter, r *http.Request, o opened) {
	now := p.s.clock()
	v := map[string]any{"Rows": p.rowsOf(r, o), "Path": o.path, "Start": base(r), "A": o.a, "Offered": o.offered, "Of": steps, "Step": steps}
	show := func(name, title string) {
		p.site.Render(w, r, http.StatusOK, name, web.Page{Title: p.site.T(r, title), Self: o.path}, v)
	}
	switch state := o.a.StateAt(now); {
	case state == Held:
		v["Until"] = o.a.ExpiresAt.Time
		show("check", "check")
	case state == Confirmed && now.Before(o.a.EndsAt.Time):
		link, err := p.s.conferenceURL(r.Context(), o.a, Meeting{UserID: "citizen:" + o.a.ID.String(), UserName: o.a.Name})
		if err != nil {
			p.site.ErrorPage(w, r, err)
			return
		}
		v["Conference"], v["Changeable"] = link, now.Before(o.a.StartsAt.Time)
		show("confirmed", "confirmed")
	case state == Confirmed:
		v["State"] = "over"
		show("ended", "over")
	case state == Canceled:
		v["State"] = "canceled"
		show("ended", "canceled")
	default:
		v["State"] = "expired"
		show("ended", "expired")
	}
}

// confirm books. A hold that lapsed leads to the page that says so.
func (p *pages) confirm(w http.ResponseWriter, r *http.Request, o opened) {
	_, err := p.s.Confirm(r.Context(), ChangeRequest{ID: o.access.ID, Secret: o.access.Secret})
	if err != nil && !fault.Is(err, "hold_expired") && !fault.Is(err, "appointment_canceled") {
		p.site.ErrorPage(w, r, err)
		return
	}
	seeOther(w, r, o.path)
}

// move shows the free times, or the one that was chosen, to be confirmed.
func (p *pages) move(w http.ResponseWriter, r *http.Request, o opened) {
	now := p.s.clock()
	if o.a.StateAt(now) != Confirmed || !o.offered || !now.Before(o.a.StartsAt.Time) {
		seeOther(w, r, o.path)
		return
	}
	here := o.path + "/move"
	if starts, err := time.Parse(time.RFC3339, r.FormValue("starts_at")); err == nil {
		p.site.Render(w, r, http.StatusOK, "move-check", web.Page{Title: p.site.T(r, "move.check"), Back: here + "?from=" + dateOf(starts).String()}, map[string]any{
			"Rows": []web.Row{
				{Key: p.site.T(r, "row.service"), Value: o.offering.Title.In(p.site.Lang(r))},
				{Key: p.site.T(r, "move.old"), Value: p.when(r, o.a.StartsAt.Time)},
				{Key: p.site.T(r, "move.new"), Value: p.when(r, starts)},
			},
			"Path": o.path, "StartsAt": starts.UTC().Format(time.RFC3339),
		})
		return
	}
	week, err := p.week(r, choice{offering: o.offering, office: o.office}, func(from string) string { return here + query("from", from) },
		func(starts string) string { return here + query("starts_at", starts) })
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	p.site.Render(w, r, http.StatusOK, "move", web.Page{Title: p.site.T(r, "move"), Back: o.path}, map[string]any{
		"Week": week, "Service": o.offering.Title.In(p.site.Lang(r)), "Now": p.when(r, o.a.StartsAt.Time),
	})
}

// doMove moves; if the time is taken, the appointment stays and the reader chooses again.
func (p *pages) doMove(w http.ResponseWriter, r *http.Request, o opened) {
	starts, err := time.Parse(time.RFC3339, r.PostFormValue("starts_at"))
	if err != nil {
		seeOther(w, r, o.path+"/move")
		return
	}
	_, err = p.s.Move(r.Context(), MoveRequest{ID: o.access.ID, Secret: o.access.Secret, StartsAt: starts})
	switch f := fault.From(err); {
	case err == nil:
		p.site.Flash(w, r, "success", p.site.T(r, "move.done"))
		seeOther(w, r, o.path)
	case f.Code == "slot_taken":
		p.site.Flash(w, r, "warning", p.site.T(r, "move.taken"))
		seeOther(w, r, o.path+"/move?from="+dateOf(starts).String())
	case slices.Contains([]string{"slot_in_past", "too_soon", "too_far_ahead", "outside_opening_hours"}, f.Code):
		p.site.Flash(w, r, "warning", p.site.T(r, "move.cannot"))
		seeOther(w, r, o.path+"/move")
	default:
		p.site.ErrorPage(w, r, err)
	}
}

// cancel asks whether the appointment shall really be canceled.
func (p *pages) cancel(w http.ResponseWriter, r *http.Request, o opened) {
	now := p.s.clock()
	if o.a.StateAt(now) != Confirmed || !now.Before(o.a.StartsAt.Time) {
		seeOther(w, r, o.path)
		return
	}
	p.site.Render(w, r, http.StatusOK, "cancel", web.Page{Title: p.site.T(r, "cancel"), Back: o.path}, map[string]any{"Rows": p.rowsOf(r, o), "Path": o.path})
}

// doCancel cancels; a hold that is given back leads to the free times again.
func (p *pages) doCancel(w http.ResponseWriter, r *http.Request, o opened) {
	if _, err := p.s.Cancel(r.Context(), ChangeRequest{ID: o.access.ID, Secret: o.access.Secret}); err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	if o.a.State == Held && o.offered {
		seeOther(w, r, base(r)+"services/"+o.a.ServiceID+query("office", o.a.OfficeID, "reference", o.a.Reference, "from", dateOf(o.a.StartsAt.Time).String()))
		return
	}
	seeOther(w, r, o.path)
}

// calendarFile is the confirmed appointment as a file for calendar programs.
func (p *pages) calendarFile(w http.ResponseWriter, r *http.Request, o opened) {
	if o.a.State != Confirmed {
		p.site.ErrorPage(w, r, fault.Conflict("not_confirmed", "only a confirmed appointment has a calendar file"))
		return
	}
	c, err := p.s.calendar(r.Context(), o.entry, o.a, icalPublish, o.a.ConfirmedAt.Time)
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", c.ContentType())
	h.Set("Content-Disposition", `attachment; filename="termin.ics"`)
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(c.Bytes()) // the client went away
}
