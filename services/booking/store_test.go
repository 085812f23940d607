package booking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/limit"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

var sets = []db.Set{outbox.Migrations(), idem.Migrations(), audit.Migrations(), Migrations()}

// began is when the tests of this file begin: a Sunday, noon in Germany.
var began = time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)

// direct is the service without HTTP and neighbours, and a context of a tenant whose
// settings s are.
func direct(t testing.TB, d *db.DB, s Settings, now func() time.Time) (*Service, func(slug string) context.Context) {
	t.Helper()
	service := &Service{
		db: d.WithClock(now), limiter: limit.New(limit.Config{Clock: now}), cfg: DefaultConfig(),
		baseURL: "http://127.0.0.1", key: []byte("key"), clock: now, log: slog.New(slog.DiscardHandler),
	}
	service.declareLimits()
	service.limiter.Declare(holdByEmail, limit.Quota{PerMinute: 1_000_000, Burst: 1_000_000})
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return service, func(slug string) context.Context {
		return tenantdir.With(t.Context(), tenantdir.Entry{
			Tenant: tenant.Tenant{ID: id.New(), Slug: slug, Name: slug}, Status: tenantdir.Active,
			Settings: map[string]json.RawMessage{"booking": text},
		})
	}
}

func monday(hour, minute int) time.Time {
	return time.Date(2026, 11, 23, hour-1, minute, 0, 0, time.UTC)
}

func TestStore_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		s, of := direct(t, d, testSettings(t, nil), func() time.Time { return began })
		ours, theirs := of("erfurt"), of("jena")
		hold, err := s.Hold(ours, HoldRequest{ServiceID: "rat", StartsAt: monday(9, 0), Name: "Kim", Email: "kim@example.org", Language: "de"})
		if err != nil {
			t.Fatalf("Hold: %v", err)
		}
		closure := Closure{ID: id.New(), OfficeID: "amt", StartsAt: db.NewTime(monday(12, 0)), EndsAt: db.NewTime(monday(13, 0)), CreatedAt: db.NewTime(began)}
		if err := s.db.Tx(ours, func(tx *db.Tx) error { return insertClosure(ours, tx, closure) }); err != nil {
			t.Fatalf("insertClosure: %v", err)
		}
		from, until := db.NewTime(began), db.NewTime(began.AddDate(0, 0, 2))
		for ctx, want := range map[context.Context]int{ours: 1, theirs: 0} {
			err := s.db.Tx(ctx, func(tx *db.Tx) error {
				count := func(what string, n int, err error) {
					if err != nil || n != want {
						t.Errorf("%s: got %d rows, %v; want %d", what, n, err, want)
					}
				}
				found := 1
				a, err := getAppointment(ctx, tx, hold.ID)
				if errors.Is(err, db.ErrNoRows) {
					found, err = 0, nil
				}
				count("getAppointment", found, err)
				list, err := onDay(ctx, tx, "amt", from, until, 10)
				count("onDay", len(list), err)
				closures, err := closuresOf(ctx, tx, "", from, until)
				count("closuresOf", len(closures), err)
				days, err := busyDays(ctx, tx, "amt", 0, 1<<40)
				count("busyDays", len(days), err)
				holds, _, err := openOf(ctx, tx, "kim@example.org")
				count("openOf", holds, err)
				var grains int
				err = tx.Get(ctx, &grains, `SELECT count(*) FROM grains WHERE tenant_id = ?`, tx.Tenant())
				count("grains", grains/6, err)
				if want == 0 {
					// Changing what one does not see changes nothing.
					a.ID, a.State, a.EndedAt = hold.ID, Canceled, &from
					if err := saveAppointment(ctx, tx, a); err != nil {
						return err
					}
					removed, err := deleteClosure(ctx, tx, closure.ID)
					if err != nil || removed {
						t.Errorf("deleteClosure by another tenant: got %t, %v", removed, err)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if v, err := s.Get(ours, AppointmentRequest{hold.ID, hold.Secret}); err != nil || v.State != Held {
			t.Errorf("Get after another tenant tried: got %+v, %v; want it held", v, err)
		}
		if _, err := s.Get(theirs, AppointmentRequest{hold.ID, hold.Secret}); !fault.Is(err, "appointment_not_found") {
			t.Errorf("Get by another tenant: got %v, want appointment_not_found", err)
		}
		// The same grain of an office with the same name is free for them.
		if _, err := s.Hold(theirs, HoldRequest{ServiceID: "rat", StartsAt: monday(9, 0), Name: "Kim", Email: "kim@example.org", Language: "de"}); err != nil {
			t.Errorf("Hold of the same time by another tenant: %v", err)
		}
	})
}

// TestStore_GrainsRefuseOverlap: the database refuses what the program would never ask for.
func TestStore_GrainsRefuseOverlap(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		put := func(resource string, from, until time.Time) error {
			return d.Tx(ctx, func(tx *db.Tx) error {
				a := Appointment{
					ID: id.New(), State: Held, ServiceID: "rat", OfficeID: "amt", ResourceID: resource, StartsAt: db.NewTime(from), EndsAt: db.NewTime(until),
					FreeAt: db.NewTime(until), CreatedAt: tx.Now(), ExpiresAt: tx.Now(),
				}
				if err := insertAppointment(ctx, tx, a); err != nil {
					return err
				}
				b := &book{office: "amt", days: map[int64]map[string][]byte{}, dirty: map[int64]bool{}}
				for _, day := range daysOf(a.place()) {
					b.days[day] = map[string][]byte{}
				}
				return b.take(ctx, tx, a.ID, a.place())
			})
		}
		if err := put("a", monday(9, 0), monday(9, 30)); err != nil {
			t.Fatalf("take 9:00–9:30: %v", err)
		}
		for name, c := range map[string]struct {
			resource    string
			from, until time.Time
			want        error
		}{
			"the same":      {"a", monday(9, 0), monday(9, 30), errLost},
			"the last five": {"a", monday(9, 25), monday(10, 0), errLost},
			"around it":     {"a", monday(8, 0), monday(11, 0), errLost},
			"inside it":     {"a", monday(9, 10), monday(9, 15), errLost},
			"after it":      {"a", monday(9, 30), monday(10, 0), nil},
			"another":       {"b", monday(9, 0), monday(9, 30), nil},
		} {
			if err := put(c.resource, c.from, c.until); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", name, err, c.want)
			}
		}
	})
}

func TestSweepAndPurge(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		var now atomic.Pointer[time.Time]
		now.Store(&began)
		pass := func(by time.Duration) { later := now.Load().Add(by); now.Store(&later) }
		s, of := direct(t, d, testSettings(t, nil), func() time.Time { return *now.Load() })
		ctx, other := of("erfurt"), of("jena")
		hold := func(ctx context.Context, at time.Time) HoldAnswer {
			t.Helper()
			a, err := s.Hold(ctx, HoldRequest{ServiceID: "rat", StartsAt: at, Name: "Kim", Email: "kim@example.org", Language: "de"})
			if err != nil {
				t.Fatalf("Hold(%s): %v", at, err)
			}
			return a
		}
		lapses, stays := hold(ctx, monday(9, 0)), hold(ctx, monday(9, 30))
		hold(other, monday(9, 0))
		if _, err := s.Confirm(ctx, ChangeRequest{ID: stays.ID, Secret: stays.Secret}); err != nil {
			t.Fatalf("Confirm: %v", err)
		}
		pass(16 * time.Minute)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatalf("Sweep: %v", err)
		}
		if err := s.db.Read(ctx, func(tx *db.Tx) error {
			a, err := getAppointment(ctx, tx, lapses.ID)
			if a.State != Expired || a.Name != "" || a.Email != "" {
				t.Errorf("the lapsed hold: got %+v, want it expired, without name and address", a)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		checkGrains(t, s.db, 6)
		pass(25 * 24 * time.Hour)
		if err := s.Purge(t.Context()); err != nil {
			t.Fatalf("Purge: %v", err)
		}
		checkGrains(t, s.db, 6)
		pass(10 * 24 * time.Hour)
		if err := s.Purge(t.Context()); err != nil {
			t.Fatalf("Purge: %v", err)
		}
		checkGrains(t, s.db, 0)
		if _, err := s.Get(ctx, AppointmentRequest{stays.ID, stays.Secret}); !fault.Is(err, "appointment_not_found") {
			t.Errorf("Get 35 days later: got %v, want appointment_not_found", err)
		}
	})
}

// checkGrains compares the three places that say what is taken: appointments, grains, days.
func checkGrains(t *testing.T, d *db.DB, want int) {
	t.Helper()
	type key struct {
		tenant id.ID
		office string
		where  string
		grain  int64
	}
	ctx := db.System(t.Context())
	if err := d.Read(ctx, func(tx *db.Tx) error {
		var appointments []struct {
			Tenant id.ID `db:"tenant_id"`
			Appointment
		}
		if err := tx.Select(ctx, &appointments, `SELECT tenant_id, `+appointmentColumns+` FROM appointments WHERE state IN ('held', 'confirmed')`); err != nil {
			return err
		}
		mine := map[key]id.ID{}
		for _, a := range appointments {
			for g := grainOf(a.StartsAt.Time); g < grainOf(a.FreeAt.Time); g++ {
				k := key{a.Tenant, a.OfficeID, a.ResourceID, g}
				if other, taken := mine[k]; taken {
					t.Errorf("double booking: %s and %s both have %s at %s", other, a.ID, a.ResourceID, timeOf(g))
				}
				mine[k] = a.ID
			}
		}
		var rows []struct {
			Tenant      id.ID  `db:"tenant_id"`
			Office      string `db:"office_id"`
			Resource    string `db:"resource_id"`
			Grain       int64  `db:"grain"`
			Appointment id.ID  `db:"appointment_id"`
		}
		if err := tx.Select(ctx, &rows, `SELECT tenant_id, office_id, resource_id, grain, appointment_id FROM grains`); err != nil {
			return err
		}
		for _, r := range rows {
			if k := (key{r.Tenant, r.Office, r.Resource, r.Grain}); mine[k] != r.Appointment {
				t.Errorf("grain %+v is %s's, its appointment says %q", k, r.Appointment, mine[k])
			}
		}
		if len(rows) != len(mine) || (want >= 0 && len(rows) != want) {
			t.Errorf("grains: got %d, appointments take %d, want %d", len(rows), len(mine), want)
		}
		var days []struct {
			Tenant id.ID  `db:"tenant_id"`
			Office string `db:"office_id"`
			busyDay
		}
		if err := tx.Select(ctx, &days, `SELECT tenant_id, office_id, day, busy FROM days`); err != nil {
			return err
		}
		bits := 0
		for _, day := range days {
			day.each(func(resource string, bitmap []byte) {
				for i := range grainsPerDay {
					if bitmap[i/8]>>(i%8)&1 == 1 {
						bits++
						if k := (key{day.Tenant, day.Office, resource, day.Day*grainsPerDay + i}); mine[k] == "" {
							t.Errorf("day shows %+v as taken, nobody has it", k)
						}
					}
				}
			})
		}
		if bits != len(mine) {
			t.Errorf("days show %d grains as taken, want %d", bits, len(mine))
		}
		return nil
	}); err != nil {
		t.Fatalf("read what is taken: %v", err)
	}
}

// TestProperty_NeverTwice lets 32 people hold, confirm, move, cancel and lapse at random and
// then compares what they were told with what is stored.
func TestProperty_NeverTwice(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets, func(t *testing.T, d *db.DB) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		settings := testSettings(t, func(o *Office, s *Offering) {
			o.Resources = []Resource{{ID: "a"}, {ID: "b"}, {ID: "c"}}
			o.Hours = []Hours{{Weekdays: []int{1, 2}, From: "00:00", Until: "04:00"}} // over midnight UTC
			s.EveryMinutes, s.BufferMinutes = 20, 5
		})
		settings.MaxHolds, settings.MaxAppointments = 1000, 1000
		var passed atomic.Int64
		s, of := direct(t, d, settings, func() time.Time { return began.Add(time.Duration(passed.Load()) * time.Second) })
		ctx := of("erfurt")
		days := []Date{day(t, "2026-11-23"), day(t, "2026-11-24")}
		const people, steps = 32, 25
		var wg sync.WaitGroup
		var told sync.Map // id → the place that the last answer told
		var counts [4]atomic.Int64
		for p := range people {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(p)))
				type mine struct {
					id     id.ID
					secret string
				}
				var held, firm []mine
				at := func() time.Time { return days[r.IntN(2)].at(20 * r.IntN(12)) }
				for range steps {
					var err error
					switch n := r.IntN(10); {
					case n < 4:
						var a HoldAnswer
						a, err = s.Hold(ctx, HoldRequest{ServiceID: "rat", StartsAt: at(), Name: "Kim", Email: fmt.Sprintf("kim%d@example.org", p), Language: "de"})
						if err == nil {
							held = append(held, mine{a.ID, a.Secret})
							counts[0].Add(1)
						}
					case n < 6 && len(held) > 0:
						m := held[0]
						held = held[1:]
						var v AppointmentView
						if v, err = s.Confirm(ctx, ChangeRequest{ID: m.id, Secret: m.secret}); err == nil {
							firm = append(firm, m)
							told.Store(m.id, v)
							counts[1].Add(1)
						}
					case n < 8 && len(firm) > 0:
						m := firm[r.IntN(len(firm))]
						var v AppointmentView
						if v, err = s.Move(ctx, MoveRequest{ID: m.id, Secret: m.secret, StartsAt: at()}); err == nil {
							told.Store(m.id, v)
							counts[2].Add(1)
						}
					case n == 8 && len(firm) > 0:
						i := r.IntN(len(firm))
						var v AppointmentView
						if v, err = s.Cancel(ctx, ChangeRequest{ID: firm[i].id, Secret: firm[i].secret}); err == nil {
							told.Store(firm[i].id, v)
							firm = append(firm[:i], firm[i+1:]...)
							counts[3].Add(1)
						}
					default:
						passed.Add(int64(r.IntN(40)))
						if r.IntN(4) == 0 {
							err = s.Sweep(ctx)
						}
					}
					if err != nil && !fault.Is(err, "slot_taken") && !fault.Is(err, "hold_expired") && !fault.Is(err, "outside_opening_hours") {
						t.Errorf("person %d: %v", p, err)
					}
				}
			})
		}
		wg.Wait()
		t.Logf("held %d, confirmed %d, moved %d, canceled %d, in %d min", counts[0].Load(), counts[1].Load(), counts[2].Load(), counts[3].Load(), passed.Load()/60)
		if err := s.Sweep(ctx); err != nil {
			t.Fatalf("Sweep: %v", err)
		}
		checkGrains(t, s.db, -1)
		told.Range(func(key, v any) bool {
			want := v.(AppointmentView)
			got, err := s.Get(ctx, AppointmentRequest{key.(id.ID), s.secret(mustEntry(ctx), key.(id.ID))})
			if err != nil || got.State != want.State || got.Sequence != want.Sequence || !got.StartsAt.Equal(want.StartsAt) {
				t.Errorf("appointment %s: got %+v, %v; its owner was told %+v", key, got, err, want)
			}
			return true
		})
		var wrong int
		if err := s.db.Read(ctx, func(tx *db.Tx) error {
			// Every change told one event, and nothing else did.
			return tx.Get(ctx, &wrong, `SELECT (SELECT count(*) FROM outbox WHERE tenant_id = ? AND type LIKE '%.confirmed.v1')
				- (SELECT count(*) FROM appointments WHERE tenant_id = ? AND confirmed_at IS NOT NULL)`, tx.Tenant(), tx.Tenant())
		}); err != nil || wrong != 0 {
			t.Errorf("confirmed events minus confirmed appointments: got %d, %v; want 0", wrong, err)
		}
	})
}

func mustEntry(ctx context.Context) tenantdir.Entry {
	e, _ := tenantdir.From(ctx)
	return e
}

// BenchmarkSlots_50x60 is the free times of 50 people over 60 days, half of them taken:
// 16 half hours a day, 24,000 appointments. Target: 10 ms.
func BenchmarkSlots_50x60(b *testing.B) {
	d := dbtest.New(b, sets...)
	settings := testSettings(b, func(o *Office, s *Offering) {
		o.Resources = nil
		for i := range 50 {
			o.Resources = append(o.Resources, Resource{ID: fmt.Sprintf("person-%d", i)})
		}
		o.Hours = []Hours{{Weekdays: []int{1, 2, 3, 4, 5, 6, 7}, From: "08:00", Until: "12:00"}, {Weekdays: []int{1, 2, 3, 4, 5, 6, 7}, From: "13:00", Until: "17:00"}}
		o.Holidays = NoHolidays
		s.HorizonDays = 61
	})
	s, of := direct(b, d, settings, func() time.Time { return began })
	ctx := of("erfurt")
	r := rand.New(rand.NewPCG(1, 2))
	if err := s.db.Tx(ctx, func(tx *db.Tx) error {
		from := dateOf(began).add(1)
		for i := range 60 {
			at := from.add(i).at(8 * 60)
			book, err := openBook(ctx, tx, "amt", []int64{dayOf(grainOf(at))})
			if err != nil {
				return err
			}
			for _, person := range settings.Offices[0].Resources {
				for slot := range 16 {
					if r.IntN(2) == 0 {
						starts := db.NewTime(at.Add(time.Duration(slot) * 30 * time.Minute))
						end := db.NewTime(starts.Add(30 * time.Minute))
						book.mark(Place{person.ID, starts, end, end}, true)
					}
				}
			}
			if err := book.save(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	q := SlotsRequest{ServiceID: "rat", From: dateOf(began).add(1), To: dateOf(began).add(60)}
	b.ReportAllocs()
	for b.Loop() {
		slots, err := s.Slots(ctx, q)
		if err != nil || len(slots.Items) < 60*15 {
			b.Fatalf("Slots: got %d, %v; want nearly 960", len(slots.Items), err)
		}
		if _, err := json.Marshal(slots); err != nil {
			b.Fatal(err)
		}
	}
}
