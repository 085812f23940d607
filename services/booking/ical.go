package booking

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Invitations and cancelations as calendar programs expect them: iCalendar (RFC 5545) for
// scheduling by mail (RFC 5546, RFC 6047), with CONFERENCE of RFC 7986.
//
// Lines end with CR LF and are folded at 75 octets, never inside a character. Times stand in
// the time of Berlin with their VTIMEZONE, so that a calendar shows them as the office means
// them. Published objects name no attendee: they are files to be opened, not messages.
const (
	icalPublish = "PUBLISH"
	icalRequest = "REQUEST"
	icalCancel  = "CANCEL"
)

// icalObject is one calendar object with one event.
type icalObject struct {
	ProdID string // "-//Owner//Product//EN"
	Method string
	Event  icalEvent
}

// icalEvent is an appointment. Empty parts are left out.
type icalEvent struct {
	UID                            string // the same for the life of the appointment
	Sequence                       int64  // grows with each change
	Stamp                          time.Time
	Starts, Ends                   time.Time
	Summary, Description           string
	Location, Comment              string
	Organizer, Attendee            icalPerson
	ConferenceURL, ConferenceLabel string
	Language                       string // of the texts: "de", "en"
}

// icalPerson is somebody with a mail address.
type icalPerson struct{ Name, Email string }

// ContentType is the media type of the mail part that carries the calendar; its method must
// be the object's (RFC 6047 section 2.4).
func (c icalObject) ContentType() string {
	return "text/calendar; method=" + c.Method + "; charset=UTF-8; component=VEVENT"
}

// icalZone is Europe/Berlin since 1996, as a calendar needs it.
const icalZone = `BEGIN:VTIMEZONE
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
func (c icalObject) Bytes() []byte {
	w := &icalWriter{}
	w.raw("BEGIN", "VCALENDAR")
	w.raw("VERSION", "2.0")
	w.text("PRODID", c.ProdID)
	w.raw("CALSCALE", "GREGORIAN")
	w.raw("METHOD", c.Method)
	for line := range strings.SplitSeq(icalZone, "\n") {
		w.line(line)
	}
	w.event(c.Method, c.Event)
	w.raw("END", "VCALENDAR")
	return w.b.Bytes()
}

func (w *icalWriter) event(method string, e icalEvent) {
	var language []icalParam
	if e.Language != "" {
		language = []icalParam{{"LANGUAGE", []string{e.Language}}}
	}
	w.raw("BEGIN", "VEVENT")
	w.text("UID", e.UID)
	w.raw("SEQUENCE", strconv.FormatInt(e.Sequence, 10))
	w.raw("DTSTAMP", icalUtc(e.Stamp))
	w.time("DTSTART", e.Starts)
	w.time("DTEND", e.Ends)
	if method == icalCancel {
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
		w.property("ORGANIZER", "mailto:"+icalUri(e.Organizer.Email), icalParam{"CN", []string{e.Organizer.Name}})
	}
	if e.Attendee.Email != "" && method != icalPublish {
		w.property("ATTENDEE", "mailto:"+icalUri(e.Attendee.Email), icalParam{"CN", []string{e.Attendee.Name}}, icalParam{"ROLE", []string{"REQ-PARTICIPANT"}},
			icalParam{"PARTSTAT", []string{"ACCEPTED"}}, icalParam{"RSVP", []string{"FALSE"}})
	}
	if e.ConferenceURL != "" {
		w.property("CONFERENCE", icalUri(e.ConferenceURL), append([]icalParam{
			{"VALUE", []string{"URI"}}, {"FEATURE", []string{"AUDIO", "VIDEO"}}, {"LABEL", []string{e.ConferenceLabel}},
		}, language...)...)
	}
	w.raw("END", "VEVENT")
}

type icalParam struct {
	name   string
	values []string
}

type icalWriter struct{ b bytes.Buffer }

const icalLine = 75 // octets, without the line end (RFC 5545 section 3.1)

// line writes a content line, folded.
func (w *icalWriter) line(s string) {
	room := icalLine
	for len(s) > room {
		cut := room
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		w.b.WriteString(s[:cut])
		w.b.WriteString("\r\n ")
		s, room = s[cut:], icalLine-1
	}
	w.b.WriteString(s)
	w.b.WriteString("\r\n")
}

func (w *icalWriter) raw(name, value string) { w.line(name + ":" + value) }

// text writes a property of type TEXT, unless it is empty.
func (w *icalWriter) text(name, value string, params ...icalParam) {
	if value != "" {
		w.property(name, icalEscape(value), params...)
	}
}

// property writes params that have a value. value is escaped already.
func (w *icalWriter) property(name, value string, params ...icalParam) {
	var b strings.Builder
	b.WriteString(name)
	for _, p := range params {
		var values []string
		for _, v := range p.values {
			if v != "" {
				values = append(values, icalQuote(v))
			}
		}
		if len(values) > 0 {
			b.WriteString(";" + p.name + "=" + strings.Join(values, ","))
		}
	}
	w.line(b.String() + ":" + value)
}

const icalTime = "20060102T150405"

func icalUtc(t time.Time) string { return t.UTC().Format(icalTime) + "Z" }

// time writes a moment in local time. In the hour that comes twice local time means its first
// pass (RFC 5545 section 3.3.5), but not to every program, so it is written in UTC there.
func (w *icalWriter) time(name string, t time.Time) {
	local := t.In(berlin).Format(icalTime)
	for _, other := range []time.Duration{-time.Hour, time.Hour} {
		if t.Add(other).In(berlin).Format(icalTime) == local {
			w.raw(name, icalUtc(t))
			return
		}
	}
	w.property(name, local, icalParam{"TZID", []string{zoneName}})
}

// icalEscape is for values of type TEXT (RFC 5545 section 3.3.11). Other control characters than
// line ends and tabs may not stand there.
func icalEscape(s string) string {
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

// icalQuote is for parameter values: what is not allowed there is written as RFC 6868 says, and
// a value with a colon, semicolon or comma stands between quotation marks.
func icalQuote(s string) string {
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

// icalUri drops what cannot stand in one: it would end the line.
func icalUri(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}
