package booking

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/db"
)

// moment reads a time as clocks in Germany show it, with its offset: the tests are facts.
func moment(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04Z07:00", s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func day(t testing.TB, s string) Date {
	t.Helper()
	d, err := ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// testSettings is one office with one counter, open on weekdays from 9 to 10, and a service of half an
// hour; change may alter it.
func testSettings(t testing.TB, change func(o *Office, s *Offering)) Settings {
	t.Helper()
	s := DefaultSettings()
	s.Offices = []Office{{
		ID: "amt", Name: Text{"de": "Amt"}, Resources: []Resource{{ID: "a"}},
		Hours: []Hours{{Weekdays: []int{1, 2, 3, 4, 5}, From: "09:00", Until: "10:00"}},
	}}
	s.Services = []Offering{{ID: "rat", Title: Text{"de": "Rat"}, Minutes: 30, HorizonDays: 60}}
	if change != nil {
		change(&s.Offices[0], &s.Services[0])
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t testing.TB, resource, from, until string) Closure {
	return Closure{ResourceID: resource, StartsAt: db.NewTime(moment(t, from)), EndsAt: db.NewTime(moment(t, until))}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	const monday, mondayEight = "2026-11-23", "2026-11-23T08:00+01:00"
	tests := []struct {
		name     string
		now      string // default: long before
		from, to string
		change   func(o *Office, s *Offering)
		closures []Closure
		want     string // starts in UTC
	}{
		{name: "a Monday", from: monday, to: monday, want: "23T08:00 23T08:30"},
		{name: "weekend", from: "2026-11-21", to: "2026-11-22", want: ""},
		{
			name: "slots closer than they are long", from: monday, to: monday,
			change: func(_ *Office, s *Offering) { s.EveryMinutes = 15 }, want: "23T08:00 23T08:15 23T08:30",
		},
		{
			name: "slots further apart", from: monday, to: monday,
			change: func(_ *Office, s *Offering) { s.Minutes, s.EveryMinutes = 15, 30 }, want: "23T08:00 23T08:30",
		},
		{
			name: "the buffer has to fit, too", from: monday, to: monday,
			change: func(_ *Office, s *Offering) { s.BufferMinutes = 5 }, want: "23T08:00",
		},
		{
			name: "longer than the hours", from: monday, to: monday,
			change: func(_ *Office, s *Offering) { s.Minutes = 65 }, want: "",
		},
		{
			name: "hours that touch are one", from: monday, to: monday,
			change: func(o *Office, s *Offering) {
				s.Minutes = 45
				o.Hours = []Hours{{Weekdays: []int{1}, From: "09:00", Until: "09:30"}, {Weekdays: []int{1}, From: "09:30", Until: "11:00"}}
			},
			want: "23T08:00 23T08:30 23T09:15",
		},
		{
			name: "validity", from: "2026-11-23", to: "2026-11-26",
			change: func(o *Office, _ *Offering) {
				o.Hours[0].ValidFrom, o.Hours[0].ValidUntil = "2026-11-24", "2026-11-25"
			},
			want: "24T08:00 24T08:30 25T08:00 25T08:30",
		},
		{name: "notice cuts the day", now: "2026-11-23T08:59+01:00", from: monday, to: monday, change: func(_ *Office, s *Offering) { s.NoticeMinutes = 30 }, want: "23T08:30"},
		{name: "exactly the notice", now: "2026-11-23T08:30+01:00", from: monday, to: monday, change: func(_ *Office, s *Offering) { s.NoticeMinutes = 30 }, want: "23T08:00 23T08:30"},
		{name: "the past", now: "2026-11-23T12:00+01:00", from: monday, to: monday, want: ""},
		{
			name: "horizon", now: mondayEight, from: "2026-11-23", to: "2026-11-30",
			change: func(_ *Office, s *Offering) { s.HorizonDays = 1 }, want: "23T08:00 23T08:30 24T08:00 24T08:30",
		},
		{name: "Good Friday and Easter Monday", now: "2026-04-01T00:00+02:00", from: "2026-04-02", to: "2026-04-07", want: "02T07:00 02T07:30 07T07:00 07T07:30"},
		{name: "Reformation Day is one in Thüringen", now: "2025-10-30T00:00+01:00", from: "2025-10-31", to: "2025-10-31", want: ""},
		{name: "open on holidays", now: "2025-10-30T00:00+01:00", from: "2025-10-31", to: "2025-10-31", change: func(o *Office, _ *Offering) { o.Holidays = NoHolidays }, want: "31T08:00 31T08:30"},
		{name: "Corpus Christi is a working day", now: "2026-06-01T00:00+02:00", from: "2026-06-04", to: "2026-06-04", want: "04T07:00 04T07:30"},
		{name: "Corpus Christi in the Eichsfeld", now: "2026-06-01T00:00+02:00", from: "2026-06-04", to: "2026-06-04", change: func(o *Office, _ *Offering) { o.Closed = []string{CorpusChristi} }, want: ""},
		{name: "a day of every year", now: "2026-12-01T00:00+01:00", from: "2026-12-23", to: "2026-12-24", change: func(o *Office, _ *Offering) { o.Closed = []string{"12-24"} }, want: "23T08:00 23T08:30"},
		{name: "one day", now: "2026-12-01T00:00+01:00", from: "2026-12-28", to: "2026-12-29", change: func(o *Office, _ *Offering) { o.Closed = []string{"2026-12-28"} }, want: "29T08:00 29T08:30"},
		{name: "closure of the office", from: monday, to: monday, closures: []Closure{closed(t, "", "2026-11-23T09:20+01:00", "2026-11-23T09:25+01:00")}, want: "23T08:30"},
		{name: "closure of the counter", from: monday, to: monday, closures: []Closure{closed(t, "a", mondayEight, "2026-11-23T09:01+01:00")}, want: "23T08:30"},
		{name: "closure of another", from: monday, to: monday, closures: []Closure{closed(t, "b", mondayEight, "2026-11-23T12:00+01:00")}, want: "23T08:00 23T08:30"},
		{
			name: "one of two is away", from: monday, to: monday,
			change:   func(o *Office, _ *Offering) { o.Resources = []Resource{{ID: "a"}, {ID: "b"}} },
			closures: []Closure{closed(t, "a", mondayEight, "2026-11-23T12:00+01:00")}, want: "23T08:00 23T08:30",
		},
		{
			name: "own hours of a counter", from: monday, to: monday,
			change: func(o *Office, _ *Offering) {
				o.Resources = []Resource{{ID: "a"}, {ID: "b"}}
				o.Hours = append(o.Hours, Hours{Weekdays: []int{1}, From: "09:30", Until: "10:45", Resources: []string{"b"}})
				o.Hours[0].Resources = []string{"a"}
			},
			want: "23T08:00 23T08:30 23T09:00",
		},
		{name: "no counter", from: monday, to: monday, change: func(o *Office, _ *Offering) { o.Resources = nil }, want: ""},
		// The night of 25 October 2026 has 02:00–03:00 twice, that of 29 March 2026 not at all.
		{
			name: "25 hours: every half hour of the clock and of life", now: "2026-10-24T12:00+02:00", from: "2026-10-25", to: "2026-10-25",
			change: func(o *Office, _ *Offering) { o.Hours = []Hours{{Weekdays: []int{7}, From: "01:30", Until: "03:30"}} },
			want:   "24T23:30 25T00:00 25T00:30 25T01:00 25T01:30 25T02:00",
		},
		{
			name: "23 hours", now: "2026-03-28T12:00+01:00", from: "2026-03-29", to: "2026-03-29",
			change: func(o *Office, _ *Offering) { o.Hours = []Hours{{Weekdays: []int{7}, From: "01:30", Until: "03:30"}} },
			want:   "29T00:30 29T01:00",
		},
		{name: "summer time, after the change", now: "2026-03-28T12:00+01:00", from: "2026-03-30", to: "2026-03-30", want: "30T07:00 30T07:30"},
		{
			name: "the whole day, over midnight", from: "2026-11-23", to: "2026-11-24",
			change: func(o *Office, s *Offering) {
				s.Minutes = 60
				o.Hours = []Hours{{Weekdays: []int{1}, From: "23:30", Until: "24:00"}, {Weekdays: []int{2}, From: "00:00", Until: "00:30"}}
			},
			want: "23T22:30",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := testSettings(t, tt.change)
			now := "2026-11-01T00:00+01:00"
			if tt.now != "" {
				now = tt.now
			}
			q := question{office: s.Offices[0], offering: s.Services[0], closures: tt.closures, from: day(t, tt.from), to: day(t, tt.to), now: moment(t, now)}
			var got []string
			for _, g := range q.plan().any().list(0) {
				got = append(got, timeOf(g).Format("02T15:04"))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("free starts from %s to %s: got %q, want %q", tt.from, tt.to, strings.Join(got, " "), tt.want)
			}
		})
	}
}

func TestPlan_BusyAndLapsed(t *testing.T) {
	t.Parallel()
	s := testSettings(t, func(o *Office, _ *Offering) { o.Resources = []Resource{{ID: "a"}, {ID: "b"}} })
	at := moment(t, "2026-11-23T09:00+01:00")
	place := func(resource string) Place {
		return Place{resource, db.NewTime(at), db.NewTime(at.Add(30 * time.Minute)), db.NewTime(at.Add(30 * time.Minute))}
	}
	b := &book{office: "amt", days: map[int64]map[string][]byte{dayOf(grainOf(at)): {}}, dirty: map[int64]bool{}}
	free := func(lapsed ...Appointment) string {
		q := question{
			office: s.Offices[0], offering: s.Services[0], busy: b.rows(), lapsed: lapsed,
			from: dateOf(at), to: dateOf(at), now: at.Add(-time.Hour),
		}
		p := q.plan()
		return fmt.Sprint(p.at(grainOf(at)), p.at(grainOf(at.Add(30*time.Minute))))
	}
	check := func(what, want string, lapsed ...Appointment) {
		t.Helper()
		if got := free(lapsed...); got != want {
			t.Errorf("%s: free at 9:00 and 9:30: got %s, want %s", what, got, want)
		}
	}
	check("nothing taken", "[0 1] [0 1]")
	b.mark(place("a"), true)
	check("one taken", "[1] [0 1]")
	b.mark(place("b"), true)
	check("both taken", "[] [0 1]")
	check("the hold of the first lapsed", "[0] [0 1]", Appointment{ResourceID: "a", StartsAt: db.NewTime(at), FreeAt: db.NewTime(at.Add(30 * time.Minute))})
	b.mark(place("gone"), true)
	check("a resource that is no longer there", "[] [0 1]")
	b.mark(place("a"), false)
	check("given back", "[0] [0 1]")
	if got := b.load(dayOf(grainOf(at)), "b"); got != 6 {
		t.Errorf("load(b): got %d grains, want 6", got)
	}
}

func TestDate_At(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		date    string
		minutes int
		want    string
	}{
		{"2026-11-23", 9 * 60, "2026-11-23T08:00Z"},
		{"2026-07-01", 9 * 60, "2026-07-01T07:00Z"},
		{"2026-10-25", 0, "2026-10-24T22:00Z"},
		{"2026-10-25", 2*60 + 30, "2026-10-25T00:30Z"}, // the first of two
		{"2026-10-25", 3 * 60, "2026-10-25T02:00Z"},
		{"2026-10-25", 24 * 60, "2026-10-25T23:00Z"},
		{"2026-03-29", 2*60 + 30, "2026-03-29T01:30Z"}, // left out: as if the clock had not changed yet
		{"2026-03-29", 3 * 60, "2026-03-29T01:00Z"},
		{"2026-03-29", 24 * 60, "2026-03-29T22:00Z"},
	} {
		if got := day(t, c.date).at(c.minutes).UTC().Format("2006-01-02T15:04Z"); got != c.want {
			t.Errorf("at(%s, %d minutes): got %s, want %s", c.date, c.minutes, got, c.want)
		}
	}
}

// TestGrid_Runs compares the bit arithmetic with counting.
func TestGrid_Runs(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 150; n++ {
		g := newGrid(1000, 1000+400)
		for _, r := range [][2]int64{{1000, 1001}, {1010, 1075}, {1080, 1209}, {1210, 1400}} {
			g.set(r[0], r[1])
		}
		plain := g.clone()
		g.runs(n)
		for i := g.first; i < g.end(); i++ {
			want := true
			for k := i; k < i+n; k++ {
				want = want && plain.has(k)
			}
			if g.has(i) != want {
				t.Fatalf("runs(%d) at %d: got %t, want %t", n, i, g.has(i), want)
			}
		}
	}
}

func TestSettings_Override(t *testing.T) {
	t.Parallel()
	s := DefaultSettings()
	if err := json.Unmarshal([]byte(`{"hold_minutes":5,"offices":[{"id":"rathaus","name":{"de":"Rathaus"}}],"services":[{"id":"x","title":{"de":"X"},"minutes":15,"horizon_days":5}]}`), &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if s.HoldMinutes != 5 || s.MaxHolds != 3 || len(s.Offices) != 1 || len(s.Offices[0].Resources) != 0 || len(s.Services) != 1 || s.Services[0].Video {
		t.Errorf("settings over the defaults: got %+v, want the lists replaced and the rest kept", s)
	}
	for text, want := range map[string]string{
		`{"offices":[{"id":"a","name":{"de":"A"}},{"id":"a","name":{"de":"A"}}]}`:                              "twice",
		`{"offices":[{"id":"a","name":{"de":"A"},"holidays":"BY"}]}`:                                           "holidays",
		`{"offices":[{"id":"a","name":{"de":"A"},"closed":["13-24"]}]}`:                                        "closed",
		`{"offices":[{"id":"a","name":{"de":"A"},"hours":[{"weekdays":[1],"from":"9:00","until":"10:00"}]}]}`:  "time of day",
		`{"offices":[{"id":"a","name":{"de":"A"},"hours":[{"weekdays":[1],"from":"09:01","until":"10:00"}]}]}`: "multiples",
		`{"offices":[{"id":"a","name":{"de":"A"},"hours":[{"weekdays":[8],"from":"09:00","until":"10:00"}]}]}`: "weekday",
		`{"offices":[{"id":"a","name":{"de":"A"},"hours":[{"weekdays":[1],"from":"10:00","until":"09:00"}]}]}`: "multiples",
		`{"services":[{"id":"x","title":{"de":"X"},"minutes":7,"horizon_days":5}]}`:                            "minutes",
		`{"services":[{"id":"x","title":{"de":"X"},"minutes":10,"horizon_days":500}]}`:                         "horizon",
		`{"services":[{"id":"x","title":{"de":"X"},"minutes":10,"horizon_days":5,"offices":["nowhere"]}]}`:     "nowhere",
		`{"hold_minutes":0}`: "hold_minutes",
	} {
		s := DefaultSettings()
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate(%s): got %v, want an error with %q", text, err, want)
		}
	}
}

func TestClosedDays_Thueringen2026(t *testing.T) {
	t.Parallel()
	var got []string
	for d := range (Office{Holidays: HolidaysTH}).closedDays(day(t, "2026-01-01"), day(t, "2026-12-31")) {
		got = append(got, d.String()[5:])
	}
	slices.Sort(got)
	const want = "01-01 04-03 04-06 05-01 05-14 05-25 09-20 10-03 10-31 12-25 12-26"
	if strings.Join(got, " ") != want {
		t.Errorf("holidays of 2026: got %q, want %q", strings.Join(got, " "), want)
	}
}
