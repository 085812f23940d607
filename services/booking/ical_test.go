package booking

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	goical "github.com/emersion/go-ical"
)

var update = flag.Bool("update", false, "write the golden files")

func testEvent(change func(e *icalEvent)) icalEvent {
	e := icalEvent{
		UID: "0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d@basis.example.org", Stamp: time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC),
		Starts: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), Ends: time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC),
		Summary: "Beratung Bewohnerparken (Video)", Location: "Bürgerbüro, Erfurt", Language: "de",
		Description:   "Videokonferenz: https://meet.example.org/termin-0123456789abcdef?jwt=e30.e30.e30\n\nVerschieben oder absagen: https://basis.example.org/t/erfurt/booking/appointments/1/2; \\o/",
		Organizer:     icalPerson{Name: "Landeshauptstadt Erfurt, Bürgerbüro", Email: "termine@erfurt.example"},
		Attendee:      icalPerson{Name: `Kim "Kimmy" Beispiel; ^Ä`, Email: "kim@example.org"},
		ConferenceURL: "https://meet.example.org/termin-0123456789abcdef?jwt=eyJhbGciOiJIUzI1NiJ9.eyJyb29tIjoiYSJ9.c2ln", ConferenceLabel: "Videokonferenz: beitreten, jetzt",
	}
	if change != nil {
		change(&e)
	}
	return e
}

func TestICal_Golden(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("Grüße aus Thüringen – ", 12)
	for name, c := range map[string]icalObject{
		"request": {Method: icalRequest, Event: testEvent(nil)},
		"cancel": {Method: icalCancel, Event: testEvent(func(e *icalEvent) {
			e.Sequence, e.Comment, e.Description, e.ConferenceURL = 2, "Wir sind leider krank.\r\nBitte buchen Sie neu.", "", ""
		})},
		"publish": {Method: icalPublish, Event: testEvent(func(e *icalEvent) { e.Sequence = 1 })},
		"long":    {Method: icalRequest, Event: testEvent(func(e *icalEvent) { e.Summary, e.Attendee.Name = long, long })},
		"hour-twice": {Method: icalRequest, Event: testEvent(func(e *icalEvent) {
			e.Starts, e.Ends = time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC)
		})},
		"control": {Method: icalRequest, Event: testEvent(func(e *icalEvent) {
			e.Summary, e.Attendee = "a\x00\x1b\tb\xff", icalPerson{Name: "x\r\nATTENDEE:mailto:y", Email: "a\r\nX-B:c@example.org"}
		})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.ProdID = "-//Basisdienste//Booking 1.0//DE"
			got := c.Bytes()
			golden := filepath.Join("testdata", "ical", name+".ics")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got\n%s\nwant\n%s", golden, got, want)
			}
			checkLines(t, got)
			checkParsed(t, c, got)
		})
	}
}

// checkLines: CR LF at every end, 75 octets at most, no character cut.
func checkLines(t *testing.T, object []byte) {
	t.Helper()
	text := string(object)
	if !strings.HasSuffix(text, "END:VCALENDAR\r\n") || strings.Count(text, "\n") != strings.Count(text, "\r\n") || strings.Count(text, "\r") != strings.Count(text, "\r\n") {
		t.Error("line ends: want CR LF after each line and nowhere else")
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		if len(line) > 75 || !utf8.ValidString(line) || line == "" {
			t.Errorf("line of %d octets, valid %t: %q", len(line), utf8.ValidString(line), line)
		}
	}
}

// checkParsed reads the object with another implementation.
func checkParsed(t *testing.T, c icalObject, object []byte) {
	t.Helper()
	cal, err := goical.NewDecoder(bytes.NewReader(object)).Decode()
	if err != nil {
		t.Fatalf("parse: %v\n%s", err, object)
	}
	if got := cal.Props.Get("METHOD").Value; got != c.Method {
		t.Errorf("METHOD: got %q, want %q", got, c.Method)
	}
	events := cal.Events()
	if len(events) != 1 {
		t.Fatalf("events: got %d, want 1", len(events))
	}
	e, want := events[0], c.Event
	starts, err := e.DateTimeStart(time.UTC)
	if err != nil || !starts.Equal(want.Starts) {
		t.Errorf("DTSTART: got %s, %v; want %s", starts, err, want.Starts)
	}
	ends, err := e.DateTimeEnd(time.UTC)
	if err != nil || !ends.Equal(want.Ends) {
		t.Errorf("DTEND: got %s, %v; want %s", ends, err, want.Ends)
	}
	text := func(name string) string {
		p := e.Props.Get(name)
		if p == nil {
			return ""
		}
		s, err := p.Text()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return s
	}
	if strings.ContainsAny(want.Summary, "\x00") {
		return // what cannot be written is not read again
	}
	for name, want := range map[string]string{
		"UID": want.UID, "SUMMARY": want.Summary, "DESCRIPTION": want.Description, "LOCATION": want.Location, "COMMENT": strings.ReplaceAll(want.Comment, "\r\n", "\n"),
	} {
		if got := text(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if p := e.Props.Get("CONFERENCE"); want.ConferenceURL != "" && (p == nil || p.Value != want.ConferenceURL || p.Params.Get("LABEL") != want.ConferenceLabel || p.Params.Get("VALUE") != "URI") {
		t.Errorf("CONFERENCE: got %+v, want %s with label %q", p, want.ConferenceURL, want.ConferenceLabel)
	}
	if p := e.Props.Get("ORGANIZER"); p == nil || p.Value != "mailto:"+want.Organizer.Email || p.Params.Get("CN") != want.Organizer.Name {
		t.Errorf("ORGANIZER: got %+v, want %+v", p, want.Organizer)
	}
	if p := e.Props.Get("ATTENDEE"); (p != nil) != (c.Method != icalPublish) {
		t.Errorf("ATTENDEE with %s: got %+v", c.Method, p)
	}
	if len(cal.Children) != 2 || cal.Children[0].Name != "VTIMEZONE" {
		t.Errorf("components: want VTIMEZONE and VEVENT")
	}
}

// FuzzICal: whatever a name holds, it stays inside its property.
func FuzzICal(f *testing.F) {
	for _, s := range []string{"", "a:b;c,d", "\"\\^n", "x\r\nBEGIN:VEVENT", strings.Repeat("ü", 80), "\xff\xfe", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := icalObject{ProdID: "x", Method: icalRequest, Event: testEvent(func(e *icalEvent) { e.Summary, e.Attendee.Name, e.ConferenceLabel = s, s, s })}
		object := c.Bytes()
		checkLines(t, object)
		cal, err := goical.NewDecoder(bytes.NewReader(object)).Decode()
		if err != nil {
			t.Fatalf("parse with %q: %v\n%s", s, err, object)
		}
		if n := len(cal.Events()); n != 1 {
			t.Errorf("events with %q: got %d, want 1", s, n)
		}
	})
}
