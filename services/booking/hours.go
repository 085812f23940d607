package booking

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // local time is the same on every machine

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/de"
)

const zoneName = "Europe/Berlin"

// berlin is the zone of all opening hours. The zone database is part of the program.
var berlin = func() *time.Location {
	l, err := time.LoadLocation(zoneName)
	if err != nil {
		panic(err) // time/tzdata is imported above
	}
	return l
}()

// Date is a day of the calendar in Germany.
type Date struct {
	t time.Time // midnight UTC of that day: a count of days, not a moment
}

const dateLayout = "2006-01-02"

// ParseDate reads "2026-11-23".
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(dateLayout, s)
	return Date{t}, err
}

func dateOf(t time.Time) Date {
	y, m, d := t.In(berlin).Date()
	return Date{time.Date(y, m, d, 0, 0, 0, 0, time.UTC)}
}

func (d Date) String() string         { return d.t.Format(dateLayout) }
func (d Date) add(days int) Date      { return Date{d.t.AddDate(0, 0, days)} }
func (d Date) before(other Date) bool { return d.t.Before(other.t) }
func (d Date) days(until Date) int    { return int(until.t.Sub(d.t) / (24 * time.Hour)) }

// weekday counts as ISO 8601 does: Monday is 1, Sunday 7.
func (d Date) weekday() int { return (int(d.t.Weekday())+6)%7 + 1 }

// at is the moment at which clocks show that many minutes after midnight. A time that comes
// twice is the first of the two; one that is left out counts on from before the gap
// (RFC 5545 section 3.3.5).
func (d Date) at(minutes int) time.Time {
	wall := d.t.Add(time.Duration(minutes) * time.Minute)
	before, after := offset(wall.Add(-24*time.Hour)), offset(wall.Add(24*time.Hour))
	first := wall.Add(-max(before, after))
	for _, t := range []time.Time{first, wall.Add(-min(before, after))} {
		if t.Add(offset(t)).Equal(wall) {
			return t
		}
	}
	return wall.Add(-before)
}

func offset(t time.Time) time.Duration {
	_, seconds := t.In(berlin).Zone()
	return time.Duration(seconds) * time.Second
}

// window is a time in which resources are there, in grains.
type window struct {
	from, until int64
	resources   []string // empty: all
}

func (w window) of(resource string) bool {
	return len(w.resources) == 0 || slices.Contains(w.resources, resource)
}

// windows are the office's opening hours on the days from until to, both included, without
// holidays and the days on which the office is always closed.
func (o Office) windows(from, to Date) []window {
	closed := o.closedDays(from, to)
	var out []window
	for d := from; !to.before(d); d = d.add(1) {
		if closed[d] {
			continue
		}
		for _, h := range o.Hours {
			if h.on(d) {
				out = append(out, window{grainOf(d.at(h.from)), grainOf(d.at(h.until)), h.Resources})
			}
		}
	}
	return out
}

// sharedHours reports whether all resources have the same hours.
func (o Office) sharedHours() bool {
	return !slices.ContainsFunc(o.Hours, func(h Hours) bool { return len(h.Resources) > 0 })
}

// on reports whether the hours hold on the day.
func (h Hours) on(d Date) bool {
	return slices.Contains(h.Weekdays, d.weekday()) &&
		(h.ValidFrom == "" || h.ValidFrom <= d.String()) && (h.ValidUntil == "" || d.String() <= h.ValidUntil)
}

// Rules of the office's closed days besides dates ("12-24" every year, "2026-12-28" once).
const (
	// HolidaysTH are the eleven public holidays of Thüringen (§ 2 ThürFGtG).
	HolidaysTH = "TH"
	// NoHolidays: the office is open on public holidays.
	NoHolidays = "none"
	// CorpusChristi (Fronleichnam) is a holiday in the Eichsfeld and in single
	// municipalities only (§ 2 (2), § 10 (1) ThürFGtG), so an office names it itself.
	CorpusChristi = "fronleichnam"
)

// closedDays are the holidays and closed days of the years from..to.
func (o Office) closedDays(from, to Date) map[Date]bool {
	closed := map[Date]bool{}
	for year := from.t.Year(); year <= to.t.Year(); year++ {
		var holidays []*cal.Holiday
		if o.Holidays == HolidaysTH {
			holidays = de.HolidaysTH
		}
		for _, rule := range o.Closed {
			switch {
			case rule == CorpusChristi:
				holidays = append(slices.Clone(holidays), de.Fronleichnam)
			case len(rule) == len("12-24"):
				if d, err := ParseDate(strconv.Itoa(year) + "-" + rule); err == nil { // 29 February
					closed[d] = true
				}
			default:
				if d, err := ParseDate(rule); err == nil { // checked by Settings.Validate
					closed[d] = true
				}
			}
		}
		for _, h := range holidays {
			if actual, _ := h.Calc(year); !actual.IsZero() {
				closed[Date{time.Date(year, actual.Month(), actual.Day(), 0, 0, 0, 0, time.UTC)}] = true
			}
		}
	}
	return closed
}

// parseClock reads "08:30" or "24:00" as minutes after midnight.
func parseClock(s string) (int, error) {
	hour, minute, ok := strings.Cut(s, ":")
	h, errH := strconv.Atoi(hour)
	m, errM := strconv.Atoi(minute)
	if !ok || len(s) != 5 || errH != nil || errM != nil || h < 0 || m < 0 || m > 59 || h*60+m > 24*60 {
		return 0, fmt.Errorf("%q is no time of day, want for example 08:30", s)
	}
	return h*60 + m, nil
}
