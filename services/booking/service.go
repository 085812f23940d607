package booking

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/limit"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenantdir"
)

// Conference is where video appointments take place.
type Conference interface {
	// Link returns the address under which one person enters the meeting around its time,
	// and at no other time. It must not be logged.
	Link(ctx context.Context, m Meeting) (string, error)
}

// Meeting is one person's part in a video appointment.
type Meeting struct {
	Room         string // cannot be guessed; the same for all who meet
	Starts, Ends time.Time
	UserID       string
	UserName     string
	Moderator    bool
}

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	db         *db.DB
	dir        *tenantdir.Dir
	limiter    *limit.Limiter
	conference Conference   // nil: there is none, and no video service is offered
	notify     *http.Client // reaches http://notify/…
	cfg        Config
	baseURL    string
	key        []byte // of the secrets in links
	clock      func() time.Time
	log        *slog.Logger
}

// Limits of what the public may do; see routes.
const (
	holdByAddress = "booking.hold_by_address"
	holdByEmail   = "booking.hold_by_email"
)

func (s *Service) declareLimits() {
	s.limiter.Declare(holdByAddress, limit.Quota{PerMinute: s.cfg.HoldsPerMinute, Burst: s.cfg.HoldsPerMinute})
	s.limiter.Declare(holdByEmail, limit.Quota{PerMinute: 6, Burst: 10})
}

func sortedKeys(m map[int64]bool) []int64 { return slices.Sorted(maps.Keys(m)) }

// of returns the tenant that ctx acts for, with its settings.
func (s *Service) of(ctx context.Context) (tenantdir.Entry, Settings, error) {
	e, ok := tenantdir.From(ctx)
	if !ok {
		return e, Settings{}, errors.New("booking: no tenant in the context")
	}
	set, err := settingsOf(e)
	if err == nil && s.conference == nil {
		set.Services = slices.DeleteFunc(slices.Clone(set.Services), func(o Offering) bool { return o.Video })
	}
	return e, set, err
}

// secret opens the appointment to who has it: 22 characters, derived, never stored.
func (s *Service) secret(e tenantdir.Entry, appointment id.ID) string {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte("appointment\x00" + e.ID.String() + "\x00" + appointment.String()))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:16])
}

// admit checks the secret. Error: appointment_not_found.
func (s *Service) admit(e tenantdir.Entry, appointment id.ID, secret string) error {
	if subtle.ConstantTimeCompare([]byte(s.secret(e, appointment)), []byte(secret)) != 1 {
		return notFound()
	}
	return nil
}

func notFound() error {
	return fault.NotFound("appointment_not_found", "there is no such appointment, or the secret is not its; use the link in the mail")
}

// Services lists what appointments can be made for.
func (s *Service) Services(ctx context.Context, _ struct{}) (Services, error) {
	_, set, err := s.of(ctx)
	out := Services{Items: []ServiceView{}}
	for _, o := range set.Services {
		v := ServiceView{ID: o.ID, Title: o.Title, Description: o.Description, Minutes: o.Minutes, Video: o.Video, HorizonDays: o.HorizonDays, Offices: []OfficeView{}}
		for _, office := range set.officesOf(o) {
			v.Offices = append(v.Offices, OfficeView{office.ID, office.Name, office.Address})
		}
		out.Items = append(out.Items, v)
	}
	return out, err
}

const (
	defaultRange = 14 // days
	maxRange     = 92
)

// Slots lists the free times of a service, in their order.
// Errors: unknown_service, unknown_office, invalid_range, tenant_suspended.
func (s *Service) Slots(ctx context.Context, q SlotsRequest) (Slots, error) {
	e, set, err := s.of(ctx)
	if err != nil {
		return Slots{}, err
	}
	if err := e.Open(); err != nil {
		return Slots{}, err
	}
	offering, err := set.offering(q.ServiceID)
	if err != nil {
		return Slots{}, err
	}
	offices := set.officesOf(offering)
	if q.OfficeID != "" {
		office, err := set.office(offering, q.OfficeID)
		if err != nil {
			return Slots{}, err
		}
		offices = []Office{office}
	}
	var zero Date
	if q.From == zero {
		q.From = dateOf(s.clock())
	}
	if q.To == zero {
		q.To = q.From.add(defaultRange - 1)
	}
	if n := q.From.days(q.To); n < 0 || n >= maxRange {
		return Slots{}, fault.Invalid("invalid_range", "to is not before from, and at most %d days are shown at once", maxRange).
			With(fault.Field{Name: "to", Code: "invalid_range", Detail: "must be from the first day on"})
	}
	items, err := s.free(ctx, offering, offices, q.From, q.To)
	return Slots{q.From.String(), q.To.String(), items}, err
}

// free lists the free times at the offices from a day until another, both included: three
// short queries for each office, whatever the number of people and days.
func (s *Service) free(ctx context.Context, offering Offering, offices []Office, from, to Date) ([]Slot, error) {
	now := s.clock()
	// Nothing can be booked outside these days, so nothing is read there.
	if today := dateOf(now); from.before(today) {
		from = today
	}
	if last := dateOf(now).add(offering.HorizonDays); last.before(to) {
		to = last
	}
	items := []Slot{}
	if to.before(from) {
		return items, nil
	}
	// An appointment may go past midnight, so the plan is one day longer.
	begin, end := from.at(0), to.add(1).at(24*60)
	questions := make([]question, len(offices))
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		for i, office := range offices {
			q := question{office: office, offering: offering, from: from, to: to.add(1), now: now}
			if q.closures, err = closuresOf(ctx, tx, office.ID, db.NewTime(begin), db.NewTime(end)); err != nil {
				return fmt.Errorf("read closures: %w", err)
			}
			if q.busy, err = busyDays(ctx, tx, office.ID, dayOf(grainOf(begin)), dayOf(grainOf(end))); err != nil {
				return fmt.Errorf("read days: %w", err)
			}
			if q.lapsed, err = lapsed(ctx, tx, office.ID); err != nil {
				return fmt.Errorf("read lapsed holds: %w", err)
			}
			questions[i] = q
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	beyond := grainOf(to.at(24 * 60))
	for _, q := range questions {
		for _, grain := range q.plan().any().list(0) {
			if grain >= beyond {
				break
			}
			starts := timeOf(grain)
			items = append(items, Slot{starts, starts.Add(offering.duration()), q.office.ID})
		}
	}
	if len(offices) > 1 {
		slices.SortStableFunc(items, func(a, b Slot) int { return a.StartsAt.Compare(b.StartsAt) })
	}
	return items, nil
}

// nearby lists a few free times around one that is taken. What cannot be read is left out:
// the refusal is the answer.
func (s *Service) nearby(ctx context.Context, offering Offering, office Office, around time.Time) []Slot {
	const few = 5
	day := dateOf(around)
	items, err := s.free(ctx, offering, []Office{office}, day.add(-3), day.add(7))
	if err != nil {
		s.log.WarnContext(ctx, "times nearby cannot be read", "error", err)
	}
	slices.SortStableFunc(items, func(a, b Slot) int {
		return int(a.StartsAt.Sub(around).Abs() - b.StartsAt.Sub(around).Abs())
	})
	items = items[:min(few, len(items))]
	slices.SortFunc(items, func(a, b Slot) int { return a.StartsAt.Compare(b.StartsAt) })
	return items
}

// Hold reserves a time for the minutes that the tenant sets.
// Errors: slot_taken with free times nearby, slot_in_past, too_soon, too_far_ahead,
// outside_opening_hours, unknown_service, unknown_office, too_many_holds,
// too_many_appointments, rate_limited, tenant_suspended.
func (s *Service) Hold(ctx context.Context, q HoldRequest) (HoldAnswer, error) {
	e, set, err := s.of(ctx)
	if err != nil {
		return HoldAnswer{}, err
	}
	if err := e.Open(); err != nil {
		return HoldAnswer{}, err
	}
	if err := s.allowHold(ctx, e, q.Email); err != nil {
		return HoldAnswer{}, err
	}
	offering, err := set.offering(q.ServiceID)
	if err != nil {
		return HoldAnswer{}, err
	}
	if offices := set.officesOf(offering); q.OfficeID == "" && len(offices) == 1 {
		q.OfficeID = offices[0].ID
	}
	office, err := set.office(offering, q.OfficeID)
	if err != nil {
		return HoldAnswer{}, err
	}
	answer, err := again(ctx, s.db, func(tx *db.Tx) (HoldAnswer, error) {
		a := Appointment{
			ID: id.New(), State: Held, ServiceID: offering.ID, OfficeID: office.ID,
			Language: q.Language, Name: q.Name, Email: q.Email, Reference: q.Reference,
			CreatedAt: tx.Now(), ExpiresAt: db.NewTime(tx.Now().Add(time.Duration(set.HoldMinutes) * time.Minute)),
		}
		if offering.Video {
			a.Room = newRoom()
		}
		if err := bounded(ctx, tx, set, q.Email); err != nil {
			return HoldAnswer{}, err
		}
		place, book, err := choose(ctx, tx, question{office: office, offering: offering}, q.StartsAt, nil)
		if err != nil {
			return HoldAnswer{}, err
		}
		a.ResourceID, a.StartsAt, a.EndsAt, a.FreeAt = place.ResourceID, place.StartsAt, place.EndsAt, place.FreeAt
		if err := insertAppointment(ctx, tx, a); err != nil {
			return HoldAnswer{}, fmt.Errorf("insert appointment: %w", err)
		}
		if err := book.take(ctx, tx, a.ID, place); err != nil {
			return HoldAnswer{}, err
		}
		if err := book.save(ctx, tx); err != nil {
			return HoldAnswer{}, err
		}
		return HoldAnswer{view(a, tx.Now().Time)}, outbox.Put(ctx, tx, told(a, tx.Now()))
	})
	if fault.Is(err, "slot_taken") {
		return HoldAnswer{}, &takenError{fault.From(err), s.nearby(ctx, offering, office, q.StartsAt)}
	}
	if err != nil {
		return HoldAnswer{}, err
	}
	// Not part of what idem keeps.
	answer.Secret = s.secret(e, answer.ID)
	answer.ManageURL = s.manageURL(e, answer.ID)
	return answer, nil
}

// newRoom is a name that conference systems take as it is: 128 bits in lower case.
func newRoom() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails since Go 1.24
	return "termin-" + hex.EncodeToString(b)
}

// allowHold bounds how often one address or one e-mail address asks.
func (s *Service) allowHold(ctx context.Context, e tenantdir.Entry, email string) error {
	if address := limit.Address(ctx); address != "" {
		if err := s.limiter.AllowKey(ctx, holdByAddress, address); err != nil {
			return err
		}
	}
	sum := sha256.Sum256([]byte(e.ID.String() + "\x00" + email))
	return s.limiter.AllowKey(ctx, holdByEmail, string(sum[:]))
}

// bounded refuses more than one e-mail address may have at a time.
func bounded(ctx context.Context, tx *db.Tx, set Settings, email string) error {
	if err := lockEmail(ctx, tx, email); err != nil {
		return err
	}
	holds, confirmed, err := openOf(ctx, tx, email)
	switch {
	case err != nil:
		return fmt.Errorf("count appointments: %w", err)
	case confirmed >= set.MaxAppointments:
		return fault.Conflict("too_many_appointments", "this e-mail address has %d appointments to come already; cancel one first", confirmed)
	case holds >= set.MaxHolds:
		return fault.RateLimited("too_many_holds", "%d times are reserved for this e-mail address already; confirm or cancel one, or wait until they lapse", holds).
			After(time.Duration(set.HoldMinutes) * time.Minute)
	}
	return nil
}

// again runs an idempotent transaction, a few times if it lost a grain to another one.
func again[R any](ctx context.Context, d *db.DB, fn func(tx *db.Tx) (R, error)) (answer R, err error) {
	for range 3 {
		if answer, err = idem.Tx(ctx, d, fn); !errors.Is(err, errLost) {
			return answer, err
		}
	}
	return answer, err
}

// choose finds a free resource for a start, the one with the least to do that day, and
// opens the book of the days. moving is an appointment that gives its place up for it.
// Errors: slot_taken, slot_in_past, too_soon, too_far_ahead, outside_opening_hours.
func choose(ctx context.Context, tx *db.Tx, q question, start time.Time, moving *Appointment) (Place, *book, error) {
	q.now = tx.Now().Time
	day := dateOf(start)
	if err := q.inTime(start, day); err != nil {
		return Place{}, nil, err
	}
	at := Place{"", db.NewTime(start), db.NewTime(start.Add(q.offering.duration())), db.NewTime(start.Add(q.offering.duration() + q.offering.buffer()))}
	lapsed, err := lockLapsed(ctx, tx, q.office.ID, at.StartsAt, at.FreeAt)
	if err != nil {
		return Place{}, nil, fmt.Errorf("read lapsed holds: %w", err)
	}
	places := []Place{at}
	for _, a := range lapsed {
		places = append(places, a.place())
	}
	if moving != nil {
		places = append(places, moving.place())
	}
	book, err := openBook(ctx, tx, q.office.ID, daysOf(places...))
	if err != nil {
		return Place{}, nil, err
	}
	if err := book.expire(ctx, tx, lapsed); err != nil {
		return Place{}, nil, err
	}
	if moving != nil {
		if err := book.give(ctx, tx, *moving); err != nil {
			return Place{}, nil, err
		}
	}
	q.from, q.to = day, day.add(1)
	if q.closures, err = closuresOf(ctx, tx, q.office.ID, at.StartsAt, at.FreeAt); err != nil {
		return Place{}, nil, fmt.Errorf("read closures: %w", err)
	}
	grain := grainOf(start)
	if len(q.plan().at(grain)) == 0 {
		return Place{}, nil, fault.Unprocessable("outside_opening_hours", "no appointment begins at that time; see the free times of the service")
	}
	q.busy = book.rows()
	free := q.plan().at(grain)
	if len(free) == 0 {
		return Place{}, nil, fault.Conflict("slot_taken", "somebody has booked that time meanwhile; choose another one")
	}
	best := slices.MinFunc(free, func(a, b int) int {
		return book.load(dayOf(grain), q.office.Resources[a].ID) - book.load(dayOf(grain), q.office.Resources[b].ID)
	})
	at.ResourceID = q.office.Resources[best].ID
	return at, book, nil
}

// inTime checks what needs no calendar.
func (q question) inTime(start time.Time, day Date) error {
	switch {
	case !q.now.Before(start):
		return fault.Unprocessable("slot_in_past", "that time is over; choose another one")
	case start.Before(q.now.Add(q.offering.notice())):
		return fault.Unprocessable("too_soon", "appointments are made at least %d minutes ahead", q.offering.NoticeMinutes)
	case dateOf(q.now).add(q.offering.HorizonDays).before(day):
		return fault.Unprocessable("too_far_ahead", "appointments are made at most %d days ahead", q.offering.HorizonDays)
	case !timeOf(grainOf(start)).Equal(start):
		return fault.Unprocessable("outside_opening_hours", "no appointment begins at that time; see the free times of the service")
	}
	return nil
}

// expire clears lapsed holds away, whose rows and days are locked.
func (b *book) expire(ctx context.Context, tx *db.Tx, lapsed []Appointment) error {
	for _, a := range lapsed {
		if !a.Expire(tx.Now()) {
			continue
		}
		if err := b.give(ctx, tx, a); err != nil {
			return fmt.Errorf("free the hold %s: %w", a.ID, err)
		}
		if err := saveAppointment(ctx, tx, a); err != nil {
			return fmt.Errorf("expire the hold %s: %w", a.ID, err)
		}
	}
	return nil
}

// told is what events say of an appointment.
func told(a Appointment, at db.Time) events.AppointmentHeld {
	return events.AppointmentHeld{
		AppointmentID: a.ID.String(), ServiceID: a.ServiceID, OfficeID: a.OfficeID,
		StartsAt: a.StartsAt.Time, EndsAt: a.EndsAt.Time, Sequence: a.Sequence, At: at.Time,
	}
}

// view is an appointment without names, secrets and links.
func view(a Appointment, now time.Time) AppointmentView {
	v := AppointmentView{
		ID: a.ID, State: a.StateAt(now), ServiceID: a.ServiceID, OfficeID: a.OfficeID,
		StartsAt: a.StartsAt.Time, EndsAt: a.EndsAt.Time, Sequence: a.Sequence, Reference: a.Reference,
	}
	if v.State == Held {
		v.ExpiresAt = &a.ExpiresAt.Time
	}
	return v
}

func (s *Service) manageURL(e tenantdir.Entry, appointment id.ID) string {
	return s.baseURL + "/t/" + e.Slug + "/booking/appointments/" + appointment.String() + "/" + s.secret(e, appointment)
}
