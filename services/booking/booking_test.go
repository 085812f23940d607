package booking

import (
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
)

func TestAppointment(t *testing.T) {
	t.Parallel()
	now := db.NewTime(began)
	later := func(d time.Duration) db.Time { return db.NewTime(began.Add(d)) }
	of := func(state State) Appointment {
		a := Appointment{State: state, Name: "Kim", Email: "kim@example.org", StartsAt: later(time.Hour), EndsAt: later(90 * time.Minute), ExpiresAt: later(15 * time.Minute)}
		if state == Confirmed {
			a.ConfirmedAt = &now
		}
		return a
	}
	elsewhere := Place{"b", later(3 * time.Hour), later(4 * time.Hour), later(4 * time.Hour)}
	confirm := func(a *Appointment, at db.Time) (bool, error) { return a.Confirm(at) }
	move := func(a *Appointment, at db.Time) (bool, error) { return a.Move(at, elsewhere) }
	stay := func(a *Appointment, at db.Time) (bool, error) { return a.Move(at, a.place()) }
	cancel := func(a *Appointment, at db.Time) (bool, error) { return a.Cancel(at, "") }
	expire := func(a *Appointment, at db.Time) (bool, error) { return a.Expire(at), nil }
	for _, c := range []struct {
		name    string
		from    State
		do      func(*Appointment, db.Time) (bool, error)
		after   time.Duration
		changed bool
		code    string
		want    State
		seq     int64
	}{
		{"confirm a hold", Held, confirm, 14 * time.Minute, true, "", Confirmed, 0},
		{"confirm a hold at its end", Held, confirm, 15 * time.Minute, false, "hold_expired", Held, 0},
		{"confirm again", Confirmed, confirm, time.Minute, false, "", Confirmed, 0},
		{"confirm again after it", Confirmed, confirm, 5 * time.Hour, false, "", Confirmed, 0},
		{"confirm a canceled one", Canceled, confirm, 0, false, "appointment_canceled", Canceled, 0},
		{"confirm an expired one", Expired, confirm, 0, false, "hold_expired", Expired, 0},
		{"move", Confirmed, move, time.Minute, true, "", Confirmed, 1},
		{"move to where it is", Confirmed, stay, time.Minute, false, "", Confirmed, 0},
		{"move when it has begun", Confirmed, move, time.Hour, false, "appointment_over", Confirmed, 0},
		{"move a hold", Held, move, time.Minute, false, "not_confirmed", Held, 0},
		{"move a canceled one", Canceled, move, time.Minute, false, "appointment_canceled", Canceled, 0},
		{"move an expired one", Expired, move, time.Minute, false, "not_confirmed", Expired, 0},
		{"cancel", Confirmed, cancel, time.Minute, true, "", Canceled, 1},
		{"cancel a hold", Held, cancel, time.Minute, true, "", Canceled, 1},
		{"cancel again", Canceled, cancel, time.Minute, false, "", Canceled, 0},
		{"cancel an expired one", Expired, cancel, time.Minute, false, "", Expired, 0},
		{"cancel when it has begun", Confirmed, cancel, time.Hour, false, "appointment_over", Confirmed, 0},
		{"expire", Held, expire, 15 * time.Minute, true, "", Expired, 0},
		{"expire too early", Held, expire, 14 * time.Minute, false, "", Held, 0},
		{"expire a confirmed one", Confirmed, expire, time.Hour, false, "", Confirmed, 0},
	} {
		a := of(c.from)
		changed, err := c.do(&a, later(c.after))
		code := ""
		if err != nil {
			code = fault.From(err).Code
		}
		if changed != c.changed || code != c.code || a.State != c.want || a.Sequence != c.seq {
			t.Errorf("%s: got changed %t, %q, %s, sequence %d; want %t, %q, %s, %d", c.name, changed, code, a.State, a.Sequence, c.changed, c.code, c.want, c.seq)
		}
	}
}
