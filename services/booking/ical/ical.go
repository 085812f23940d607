// Package ical writes invitations and cancellations as calendar programs expect them:
// iCalendar (RFC 5545) for scheduling by mail (RFC 5546, RFC 6047), with CONFERENCE of
// RFC 7986.
//
// Lines end with CR LF and are folded at 75 octets, never inside a character. Times stand in
// the time of Berlin with their VTIMEZONE, so that a calendar shows them as the office
// means them. It is a writer only.
package ical

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // local time is the same on every machine
	"unicode/utf8"
)

// Methods of RFC 5546. Publish names no attendee: it is a file to be opened, not a message.
const (
	Publish = "PUBLISH"
	Request = "REQUEST"
	Cancel  = "CANCEL"
)

// Calendar is one object with one event.
type Calendar struct {
	ProdID string // "-//Owner//Product//EN"
	Method string
	Event  Event
}

// Event is an appointment. Empty parts are left out.
type Event struct {
	UID                            string // the same for the life of the appointment
	Sequence                       int64  // grows with each change
	Stamp                          time.Time
	Starts, Ends                   time.Time
	Summary, Description           string
	Location, Comment              string
	Organizer, Attendee            Person
	ConferenceURL, ConferenceLabel string
	Language                       string // of the texts: "de", "en"
}

// Person is somebody with a mail address.
type Person struct{ Name, Email string }

// ContentType is the media type of the mail part that carries the calendar; its method must
// be the object's (RFC 6047 section 2.4).
func (c Calendar) ContentType() string {
	return "text/calendar; method=" + c.Method + "; charset=UTF-8; component=VEVENT"
}

// timeZone is Europe/Berlin since 1996, as a calendar needs it.
const timeZone = `BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:DAYLIGHT
DTSTART:19810329T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:19961027T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE`

// Bytes returns the object.
func (c Calendar) Bytes() []byte {
	w := &writer{}
	w.raw("BEGIN", "VCALENDAR")
	w.raw("VERSION", "2.0")
	w.text("PRODID", c.ProdID)
	w.raw("CALSCALE", "GREGORIAN")
	w.raw("METHOD", c.Method)
	for line := range strings.SplitSeq(timeZone, "\n") {
		w.line(line)
	}
	w.event(c.Method, c.Event)
	w.raw("END", "VCALENDAR")
	return w.b.Bytes()
}

func (w *writer) event(method string, e Event) {
	var language []param
	if e.Language != "" {
		language = []param{{"LANGUAGE", []string{e.Language}}}
	}
	w.raw("BEGIN", "VEVENT")
	w.text("UID", e.UID)
	w.raw("SEQUENCE", strconv.FormatInt(e.Sequence, 10))
	w.raw("DTSTAMP", utc(e.Stamp))
	w.time("DTSTART", e.Starts)
	w.time("DTEND", e.Ends)
	if method == Cancel {
		w.raw("STATUS", "CANCELLED")
	} else {
		w.raw("STATUS", "CONFIRMED")
	}
	w.raw("TRANSP", "OPAQUE")
	w.text("SUMMARY", e.Summary, language...)
	w.text("DESCRIPTION", e.Description, language...)
	w.text("LOCATION", e.Location, language...)
	w.text("COMMENT", e.Comment, language...)
	if e.Organizer.Email != "" {
		w.property("ORGANIZER", "mailto:"+uri(e.Organizer.Email), param{"CN", []string{e.Organizer.Name}})
	}
	if e.Attendee.Email != "" && method != Publish {
		w.property("ATTENDEE", "mailto:"+uri(e.Attendee.Email), param{"CN", []string{e.Attendee.Name}}, param{"ROLE", []string{"REQ-PARTICIPANT"}},
			param{"PARTSTAT", []string{"ACCEPTED"}}, param{"RSVP", []string{"FALSE"}})
	}
	if e.ConferenceURL != "" {
		w.property("CONFERENCE", uri(e.ConferenceURL), append([]param{
			{"VALUE", []string{"URI"}}, {"FEATURE", []string{"AUDIO", "VIDEO"}}, {"LABEL", []string{e.ConferenceLabel}},
		}, language...)...)
	}
	w.raw("END", "VEVENT")
}

type param struct {
	name   string
	values []string
}

type writer struct{ b bytes.Buffer }

const maxLine = 75 // octets, without the line end (RFC 5545 section 3.1)

// line writes a content line, folded.
func (w *writer) line(s string) {
	room := maxLine
	for len(s) > room {
		cut := room
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		w.b.WriteString(s[:cut])
		w.b.WriteString("\r\n ")
		s, room = s[cut:], maxLine-1
	}
	w.b.WriteString(s)
	w.b.WriteString("\r\n")
}

func (w *writer) raw(name, value string) { w.line(name + ":" + value) }

// text writes a property of type TEXT, unless it is empty.
func (w *writer) text(name, value string, params ...param) {
	if value != "" {
		w.property(name, escape(value), params...)
	}
}

// property writes params that have a value. value is escaped already.
func (w *writer) property(name, value string, params ...param) {
	var b strings.Builder
	b.WriteString(name)
	for _, p := range params {
		var values []string
		for _, v := range p.values {
			if v != "" {
				values = append(values, quote(v))
			}
		}
		if len(values) > 0 {
			b.WriteString(";" + p.name + "=" + strings.Join(values, ","))
		}
	}
	w.line(b.String() + ":" + value)
}

const layout = "20060102T150405"

func utc(t time.Time) string { return t.UTC().Format(layout) + "Z" }

// berlin is the zone that timeZone describes.
var berlin = func() *time.Location {
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err) // time/tzdata is imported above
	}
	return l
}()

// time writes a moment in local time. In the hour that comes twice local time means its first
// pass (RFC 5545 section 3.3.5), but not to every program, so it is written in UTC there.
func (w *writer) time(name string, t time.Time) {
	local := t.In(berlin).Format(layout)
	for _, other := range []time.Duration{-time.Hour, time.Hour} {
		if t.Add(other).In(berlin).Format(layout) == local {
			w.raw(name, utc(t))
			return
		}
	}
	w.property(name, local, param{"TZID", []string{"Europe/Berlin"}})
}

// escape is for values of type TEXT (RFC 5545 section 3.3.11). Other control characters than
// line ends and tabs may not stand there.
func escape(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(strings.ReplaceAll(s, "\r\n", "\n"), "\uFFFD") {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\\' || r == ';' || r == ',':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' && r != '\t' || r == 0x7f:
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// quote is for parameter values: what is not allowed there is written as RFC 6868 says, and
// a value with a colon, semicolon or comma stands between quotation marks.
func quote(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(strings.ReplaceAll(s, "\r\n", "\n"), "\uFFFD") {
		switch {
		case r == '\n':
			b.WriteString("^n")
		case r == '^':
			b.WriteString("^^")
		case r == '"':
			b.WriteString("^'")
		case r < ' ' && r != '\t' || r == 0x7f:
		default:
			b.WriteRune(r)
		}
	}
	if out := b.String(); !strings.ContainsAny(out, ":;,") {
		return out
	}
	return `"` + b.String() + `"`
}

// uri drops what cannot stand in one: it would end the line.
func uri(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}
