package notify

import (
	"fmt"
	"strings"
	"time"
)

// timeText shows an RFC 3339 time, or a date, as people write it. It also reads what is
// written so already: "23. November 2026, 09:30 Uhr", "23 November 2026, 09:30".
func (t *Template) timeText(s string) (string, error) {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		at = at.In(t.zone)
		if t.Language == "en" {
			return dayText(at, "en") + ", " + at.Format("15:04"), nil
		}
		return dayText(at, "de") + ", " + at.Format("15:04") + " Uhr", nil
	}
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return dayText(day, t.Language), nil
	}
	english := strings.NewReplacer(". ", " ", " Uhr", "", "Januar ", "January ", "Februar ", "February ", "März ", "March ", "Mai ", "May ",
		"Juni ", "June ", "Juli ", "July ", "Oktober ", "October ", "Dezember ", "December ").Replace(s)
	if at, err := time.ParseInLocation("2 January 2006, 15:04", english, t.zone); err == nil {
		return t.timeText(at.Format(time.RFC3339))
	}
	return "", fmt.Errorf("is a time as in RFC 3339, for example 2026-11-23T09:30:00+01:00, or a date, for example 2026-11-23")
}

func dayText(t time.Time, lang string) string {
	if lang == "en" {
		return t.Format("Monday, 2 January 2006")
	}
	days := [...]string{"Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"}
	months := [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"}
	return fmt.Sprintf("%s, %d. %s %d", days[t.Weekday()], t.Day(), months[t.Month()-1], t.Year())
}
