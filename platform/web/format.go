package web

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // Europe/Berlin also where the system has no zone files

	"basisdienste/platform/money"
)

// instant is a time.Time or a type that embeds one.
type instant interface {
	In(loc *time.Location) time.Time
}

// Day is an instant of which a page shows the day alone.
type Day struct{ time.Time }

var germanMonths = [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"}

var germanDays = [...]string{"Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"}

func (s *Site) date(lang int, at instant) string {
	t := at.In(s.zone)
	if lang == 0 {
		return fmt.Sprintf("%d. %s %d", t.Day(), germanMonths[t.Month()-1], t.Year())
	}
	return t.Format("2 January 2006")
}

func (s *Site) weekday(lang int, at instant) string {
	t := at.In(s.zone)
	if lang == 0 {
		return germanDays[t.Weekday()] + ", " + s.date(lang, t)
	}
	return t.Format("Monday, 2 January 2006")
}

func (s *Site) timeOfDay(lang int, at instant) string {
	text := at.In(s.zone).Format("15:04")
	if lang == 0 {
		return text + "\u00a0Uhr"
	}
	return text
}

func (s *Site) datetime(lang int, at instant) string {
	return s.date(lang, at) + ", " + s.timeOfDay(lang, at)
}

// amount writes "1.030,70 €" in German and "€1,030.70" in English.
func amount(lang int, a money.Amount) string {
	german := a.German()
	if lang == 0 {
		return german
	}
	number := strings.NewReplacer(".", ",", ",", ".", "\u00a0€", "").Replace(german)
	if rest, negative := strings.CutPrefix(number, "-"); negative {
		return "-€" + rest
	}
	return "€" + number
}
