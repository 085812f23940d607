package notify

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	gomessage "github.com/emersion/go-message"
)

func sampleMail() envelope {
	return envelope{
		MessageID: "0199b7c2-7d3a-7c11-8e55-2f6f0c9d4a01@service.example.de",
		From:      mail.Address{Name: "Verwaltungsgemeinschaft Grammetal, Fachbereich für Öffentliche Ordnung", Address: "noreply@service.example.de"},
		ReplyTo:   "ordnung@grammetal.example", To: "erika@example.org", Date: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), Lang: "de",
		Subject: "Ihr Antrag „Sondernutzungserlaubnis für öffentliche Straßen, Wege und Plätze“ ist eingegangen",
		Letter:  Letter{Text: "Grüße\n.Punkt\nFrom hier\n" + strings.Repeat("lang ", 40) + "\n", HTML: "<p>Grüße</p>\n"},
		Attachments: []Attachment{
			{"Termin für Erika.ics", "text/calendar; charset=utf-8; component=VEVENT; method=REQUEST", []byte("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n")},
			{"bescheid.pdf", "application/pdf", bytes.Repeat([]byte("%PDF"), 100)},
		},
	}
}

// part is one leaf of a mail, as a mail program reads it.
type part struct{ path, body string }

func leaves(t *testing.T, source []byte) (gomessage.Header, []part) {
	t.Helper()
	e, err := gomessage.Read(bytes.NewReader(source))
	if err != nil {
		t.Fatal(err)
	}
	var out []part
	var walk func(e *gomessage.Entity, path string)
	walk = func(e *gomessage.Entity, path string) {
		media, params, err := e.Header.ContentType()
		if err != nil {
			t.Fatal(err)
		}
		path += "/" + strings.ReplaceAll(media, "/", ":")
		if m := params["method"]; m != "" {
			path += ";method=" + m
		}
		if d, p, err := e.Header.ContentDisposition(); err == nil {
			name, err := new(mime.WordDecoder).DecodeHeader(p["filename"])
			if err != nil {
				t.Fatal(err)
			}
			path += ";" + d + "=" + name
		}
		if r := e.MultipartReader(); r != nil {
			for {
				p, err := r.NextPart()
				if errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				walk(p, path)
			}
		}
		b, err := io.ReadAll(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, part{path, string(b)})
	}
	walk(e, "")
	return e.Header, out
}

func TestCompose(t *testing.T) {
	t.Parallel()
	e := sampleMail()
	source, err := compose(e)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "mail.eml", string(source))
	again, err := compose(e)
	if err != nil || !bytes.Equal(source, again) {
		t.Errorf("compose twice differs, %v; want the same bytes", err)
	}
	for n, line := range bytes.Split(source, []byte("\r\n")) {
		if len(line) > 78 && !bytes.Contains(line, []byte("boundary")) || bytes.ContainsAny(line, "\r\n") {
			t.Errorf("line %d has %d bytes or a bare line end: %q", n+1, len(line), line)
		}
	}
	h, parts := leaves(t, source)
	var paths []string
	for _, p := range parts {
		paths = append(paths, p.path)
	}
	want := []string{
		"/multipart:mixed/multipart:alternative/text:plain", "/multipart:mixed/multipart:alternative/text:html",
		"/multipart:mixed/multipart:alternative/text:calendar;method=REQUEST",
		"/multipart:mixed/text:calendar;method=REQUEST;attachment=Termin für Erika.ics", "/multipart:mixed/application:pdf;attachment=bescheid.pdf",
	}
	if !slices.Equal(paths, want) {
		t.Fatalf("parts = %q, want %q", paths, want)
	}
	calendar, pdf := string(e.Attachments[0].Content), string(e.Attachments[1].Content)
	for i, body := range []string{strings.ReplaceAll(e.Letter.Text, "\n", "\r\n"), "<p>Grüße</p>\r\n", calendar, calendar, pdf} {
		if parts[i].body != body {
			t.Errorf("part %s = %q, want %q", paths[i], parts[i].body, body)
		}
	}
	for name, want := range map[string]string{
		"Subject": e.Subject, "Message-Id": "<" + e.MessageID + ">", "Auto-Submitted": "auto-generated", "Content-Language": "de",
		"Reply-To": "<ordnung@grammetal.example>", "To": "<erika@example.org>", "Date": "Mon, 23 Nov 2026 08:00:00 +0000",
	} {
		if got, err := h.Text(name); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
	from, err := mail.ParseAddress(h.Get("From"))
	if err != nil || *from != e.From {
		t.Errorf("From = %v, %v, want %v", from, err, e.From)
	}
}

func TestCompose_Plain(t *testing.T) {
	t.Parallel()
	e := sampleMail()
	e.Attachments, e.Unsubscribe = nil, "https://example.org/u?x=1"
	source, err := compose(e)
	if err != nil {
		t.Fatal(err)
	}
	h, parts := leaves(t, source)
	if len(parts) != 2 || parts[0].path != "/multipart:alternative/text:plain" || parts[1].path != "/multipart:alternative/text:html" {
		t.Errorf("parts = %+v, want text and HTML", parts)
	}
	if h.Get("List-Unsubscribe") != "<https://example.org/u?x=1>" || h.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
		t.Errorf("List-Unsubscribe = %q, %q", h.Get("List-Unsubscribe"), h.Get("List-Unsubscribe-Post"))
	}
}

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"erika@example.org", "erika@example.org"},
		{"Erika.Muster+x@EXAMPLE.org", "Erika.Muster+x@example.org"},
		{"erika@müller.example", "erika@xn--mller-kva.example"},
		{"", ""},
		{"erika", ""},
		{"erika@", ""},
		{"@example.org", ""},
		{"erika@localhost", ""},
		{"Erika <erika@example.org>", ""},
		{"erika@example.org\r\nBcc: x@example.org", ""},
		{"a b@example.org", ""},
		{"é@example.org", ""},
		{"a@[127.0.0.1]", ""},
		{strings.Repeat("a", 65) + "@example.org", ""},
		{"a@" + strings.Repeat("b.", 130) + "org", ""},
		{"a@-b.example", ""},
		{"a@b..example", ""},
	} {
		got, err := CheckAddress(c.in)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("CheckAddress(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}
