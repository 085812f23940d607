package notify

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it anew); got\n%s", file, got)
	}
}

func values(t *testing.T, v map[string]any) Values {
	t.Helper()
	out := Values{}
	for name, x := range v {
		b, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = b
	}
	return out
}

func compiled(t *testing.T, lang, subject, body string, p ...Placeholder) *Template {
	t.Helper()
	tpl := &Template{Name: "t", Language: lang, Version: 1, Subject: subject, Body: body, Placeholders: p}
	if err := tpl.Compile(); err != nil {
		t.Fatalf("Compile(%q, %q): %v", subject, body, err)
	}
	return tpl
}

// example values for every placeholder that the catalogue uses.
func examples() map[string]any {
	return map[string]any{
		"name": "Zoë O'Brien-Müller", "form_title": "Bewohnerparkausweis", "reference": "BPA-2026-000123", "municipality": "Erfurt",
		"amount": 30.70, "link": "https://service.example.de/pay/1?a=b&c=d", "kassenzeichen": "ERF26000017", "paid_at": "2026-11-23T08:30:00Z",
		"subject": "Hundesteuer 2027", "due_on": "2026-12-15",
		"booking_link": "https://service.example.de/t/erfurt/booking/", "reason": "Der Nachweis fehlt.\nBitte reichen Sie ihn nach.\n\n* keine Liste",
		"service": "Personalausweis beantragen", "starts_at": "2026-12-01T10:15:00+01:00", "office": "Bürgeramt, Bürgermeister-Wagner-Straße 1",
		"conference_link": "https://meet.example.de/abc", "manage_link": "https://service.example.de/t/erfurt/booking/a/xyz",
	}
}

// TestCatalogue_IsComplete: each text is there in German and English with the same
// placeholders, and both forms of it look as the golden files say.
func TestCatalogue_IsComplete(t *testing.T) {
	t.Parallel()
	c, err := loadCatalogue(catalogueFiles)
	if err != nil {
		t.Fatal(err)
	}
	r := newRenderer()
	want := map[string]string{
		"test-message":          "name",
		"application-received":  "name form_title reference municipality",
		"payment-link":          "name form_title reference amount link municipality",
		"payment-request":       "subject amount due_on kassenzeichen link municipality",
		"payment-reminder":      "subject amount due_on kassenzeichen link municipality",
		"payment-receipt":       "name form_title reference amount kassenzeichen paid_at municipality",
		"application-accepted":  "name form_title reference municipality booking_link",
		"application-rejected":  "name form_title reference reason municipality",
		"appointment-confirmed": "name service starts_at office conference_link manage_link municipality",
		"appointment-moved":     "name service starts_at office conference_link manage_link municipality",
		"appointment-canceled":  "name service starts_at municipality",
	}
	if len(c.newest) != 2*len(want) {
		t.Errorf("catalogue has %d texts, want %d", len(c.newest), 2*len(want))
	}
	ids := map[string]bool{}
	for name, placeholders := range want {
		for _, lang := range []string{"de", "en"} {
			tpl := c.find(name, lang)
			if tpl == nil {
				t.Errorf("find(%s, %s) = nil", name, lang)
				continue
			}
			if ids[tpl.ID.String()] {
				t.Errorf("%s.%s has an id that another has", name, lang)
			}
			ids[tpl.ID.String()] = true
			var got []string
			for _, p := range tpl.Placeholders {
				got = append(got, p.Name)
			}
			if strings.Join(got, " ") != placeholders {
				t.Errorf("%s.%s has placeholders %v, want %s", name, lang, got, placeholders)
			}
			f, err := tpl.Fill(values(t, examples()))
			if err != nil {
				t.Errorf("%s.%s: Fill: %v", name, lang, err)
				continue
			}
			l, err := r.mail(look{Lang: lang, From: "Landeshauptstadt Erfurt"}, f.Subject, f.Body)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "catalogue/"+name+"."+lang+".txt", f.Subject+"\n\n"+l.Text)
			golden(t, "catalogue/"+name+"."+lang+".html", l.HTML)
		}
	}
}

// TestCatalogue_Optional: without the optional values their paragraphs are left out.
func TestCatalogue_Optional(t *testing.T) {
	t.Parallel()
	c, err := loadCatalogue(catalogueFiles)
	if err != nil {
		t.Fatal(err)
	}
	v := values(t, examples())
	v["conference_link"] = json.RawMessage(`""`)
	delete(v, "booking_link")
	for name, gone := range map[string]string{"appointment-confirmed": "Videogespräch", "application-accepted": "Termin vereinbaren"} {
		f, err := c.find(name, "de").Fill(v)
		if err != nil || strings.Contains(f.Body, gone) {
			t.Errorf("%s without the optional value = %v\n%s\nwant nothing of %q", name, err, f.Body, gone)
		}
	}
}

func TestTemplate_Fill(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		kind       Kind
		lang       string
		value      any
		want       string // of the plain text
	}{
		{"text", "Hallo ((x))!", Text, "de", "Erika", "Hallo Erika!"},
		{"names are compared loosely", "Hallo ((X))!", Text, "de", "Erika", "Hallo Erika!"},
		{"a number is a text", "((x)) Stück", Text, "de", 3, "3 Stück"},
		{"line ends of a text", "((x))", Text, "de", "a\n\n# b\r\n- c", "a # b - c"},
		{"markup is text", "((x))", Text, "de", `*a* _b_ [c](https://evil.example) <b> &amp; \ 1. ` + "`d`", `*a* _b_ [c](https://evil.example) <b> &amp; \ 1. ` + "`d`"},
		{"heading is text", "((x))", Text, "de", "# a", "# a"},
		{"a list is bullets", "Bitte mitbringen: ((x)) Danke", Text, "de", []string{"Ausweis", "*Foto*"}, "Bitte mitbringen:\n\n- Ausweis\n- *Foto*\n\nDanke"},
		{"no turning of the reading direction", "((x))", Text, "de", "a\u202eb\u0000c", "abc"},
		{"multi-line", "((x))", MultiLine, "de", "a\n    b\n\n- c", "a\nb\n\n- c"},
		{"amount, German", "((x))", Amount, "de", 1030.7, "1.030,70\u00a0€"},
		{"amount, English", "((x))", Amount, "en", "30.70", "€30.70"},
		{"amount as a German page shows it", "((x))", Amount, "en", "1.030,70\u00a0€", "€1030.70"},
		{"amount as an English page shows it", "((x))", Amount, "de", "€30.70", "30,70\u00a0€"},
		{"time, German", "((x))", DateTime, "de", "2026-07-01T10:00:00Z", "Mittwoch, 1. Juli 2026, 12:00 Uhr"},
		{"time, English", "((x))", DateTime, "en", "2026-12-01T10:00:00Z", "Tuesday, 1 December 2026, 11:00"},
		{"date", "((x))", DateTime, "de", "2026-03-01", "Sonntag, 1. März 2026"},
		{"time as people write it", "((x))", DateTime, "de", "23. März 2026, 09:30 Uhr", "Montag, 23. März 2026, 09:30 Uhr"},
		{"url", "Hier: ((x))", URL, "de", "https://a.example/b?c=d&e=f_g_*", "Hier: https://a.example/b?c=d&e=f_g_*"},
		{"url as target", "[Seite](((x)))", URL, "de", "https://a.example/(b)", "Seite: https://a.example/(b)"},
		{"condition met", "a((x?? b ((x)) c))", Text, "de", "Yes", "a b Yes c"},
		{"condition not met", "a((x?? b))", Text, "de", "nein", "a"},
		{"condition of a url", "a((x?? b ((x))))", URL, "de", "https://c.example", "a b https://c.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRenderer()
			tpl := compiled(t, c.lang, "s", c.body, Placeholder{Name: "x", Kind: c.kind})
			f, err := tpl.Fill(values(t, map[string]any{"x": c.value}))
			if err != nil {
				t.Fatalf("Fill(%v): %v", c.value, err)
			}
			_, doc, source, err := r.html(f.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSuffix(plain(doc, source), "\n"); got != c.want {
				t.Errorf("Fill(%v) of %q = %q, want %q (Markdown %q)", c.value, c.body, got, c.want, f.Body)
			}
		})
	}
}

func TestTemplate_FillRefuses(t *testing.T) {
	t.Parallel()
	tpl := compiled(t, "de", "((a))", "((a)) ((b)) ((c??x))", Placeholder{Name: "a", Kind: Text}, Placeholder{Name: "b", Kind: Text})
	_, err := tpl.Fill(values(t, map[string]any{"a": "1", "b": nil, "other": "2"}))
	f := fault.From(err)
	if f.Code != "placeholder_missing" || len(f.Fields) != 2 || f.Fields[0].Name != "/personalisation/b" || f.Fields[1].Name != "/personalisation/c" {
		t.Errorf("Fill with one of three = %+v, want placeholder_missing for b and c", f)
	}
	for _, c := range []struct {
		kind  Kind
		value any
	}{
		{Amount, "viel"},
		{Amount, "1.2.3"},
		{Amount, []string{"1"}},
		{Amount, 1.234},
		{DateTime, "morgen"},
		{DateTime, "23.11.2026"},
		{URL, "javascript:alert(1)"},
		{URL, "/relative"},
		{URL, "https://a.example/ b"},
		{URL, "https://a.example/<b>"},
		{URL, "https://u:p@a.example"},
		{Text, map[string]string{"file": "x"}},
		{Text, [][]string{{"a"}}},
		{Text, strings.Repeat("x", maxValue+1)},
	} {
		tpl := compiled(t, "de", "s", "((x))", Placeholder{Name: "x", Kind: c.kind})
		_, err := tpl.Fill(values(t, map[string]any{"x": c.value}))
		f := fault.From(err)
		if f == nil || f.Code != "placeholder_invalid" || f.Fields[0].Name != "/personalisation/x" {
			t.Errorf("Fill(%s %.40v) = %v, want placeholder_invalid for x", c.kind, c.value, err)
		} else if s, ok := c.value.(string); ok && len(s) > 3 && strings.Contains(err.Error(), s) {
			t.Errorf("Fill(%s %.40v) = %v, which repeats the value", c.kind, c.value, err)
		}
	}
}

func TestTemplate_SubjectIsOneLine(t *testing.T) {
	t.Parallel()
	tpl := compiled(t, "de", "Hallo ((x))", "b", Placeholder{Name: "x", Kind: Text})
	f, err := tpl.Fill(values(t, map[string]any{"x": "a\r\nBcc: evil@example.org"}))
	if err != nil || f.Subject != "Hallo a Bcc: evil@example.org" {
		t.Errorf("Fill = %q, %v, want one line", f.Subject, err)
	}
}

func TestTemplate_CompileRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		tpl   Template
		field string
	}{
		{"no subject", Template{Body: "b"}, "/subject"},
		{"two lines of subject", Template{Subject: "a\nb", Body: "b"}, "/subject"},
		{"control character in the body", Template{Subject: "s", Body: "a\x00"}, "/body"},
		{"no body", Template{Subject: "s", Body: " "}, "/body"},
		{"not closed", Template{Subject: "s", Body: "((x"}, "/body"},
		{"condition not closed", Template{Subject: "s", Body: "((x??y"}, "/body"},
		{"condition in a condition", Template{Subject: "s", Body: "((x??a ((y??b)) ))"}, "/body"},
		{"no name", Template{Subject: "s", Body: "(( ))"}, "/body"},
		{"not used", Template{Subject: "s", Body: "b", Placeholders: []Placeholder{{Name: "x", Kind: Text}}}, "/placeholders/0/name"},
		{"declared twice", Template{Subject: "s", Body: "((x))", Placeholders: []Placeholder{{Name: "x", Kind: Text}, {Name: "X", Kind: Text}}}, "/placeholders/1/name"},
		{"unknown type", Template{Subject: "s", Body: "((x))", Placeholders: []Placeholder{{Name: "x", Kind: "number"}}}, "/placeholders/0/type"},
	} {
		err := c.tpl.Compile()
		f := fault.From(err)
		if f == nil || f.Code != "template_invalid" || f.Fields[0].Name != c.field {
			t.Errorf("%s: Compile = %v, want template_invalid at %s", c.name, err, c.field)
		}
	}
}

// TestRenderer_SafeHTML: not even the author of a template gets script or foreign content
// into a mail.
func TestRenderer_SafeHTML(t *testing.T) {
	t.Parallel()
	r := newRenderer()
	l, err := r.mail(look{Lang: "de", From: "A <b> & C"}, "T <script>", "<script>alert(1)</script>\n\n[x](javascript:alert(1)) ![i](https://track.example/p.gif)\n\n<img src=x onerror=1>\n\n# Kopf\n\n## Unter\n\n1. a\n2. b\n\n> zitat\n\n---\n\n[y](https://ok.example)")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script>", "javascript:", "track.example", "onerror", "<img"} {
		if strings.Contains(l.HTML, bad) {
			t.Errorf("HTML holds %q:\n%s", bad, l.HTML)
		}
	}
	golden(t, "render.html", l.HTML)
	golden(t, "render.txt", l.Text)
}

func FuzzTemplate(f *testing.F) {
	f.Add("((a??b ((c)) d))", "x")
	f.Add("[t](((a)))", "*x*\n")
	r := newRenderer()
	f.Fuzz(func(t *testing.T, body, value string) {
		tpl := &Template{Language: "de", Subject: "s", Body: body}
		if tpl.Compile() != nil {
			return
		}
		v := Values{}
		for _, p := range tpl.Placeholders {
			b, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			v[p.Name] = b
		}
		filled, err := tpl.Fill(v)
		if err != nil {
			return
		}
		l, err := r.mail(look{Lang: "de"}, filled.Subject, filled.Body)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(l.HTML, "<script") {
			t.Errorf("script in %q", l.HTML)
		}
	})
}

// FuzzEscape: a value alone in a paragraph gives exactly its own text.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"# a", "1. b", "a  \nb", "<b>", "&lt;", "\\", "- x", "[a]: b", "http://x.example", "~~~", "`", "\t\tcode", "===\n"} {
		f.Add(s)
	}
	r := newRenderer()
	f.Fuzz(func(t *testing.T, s string) {
		want := oneLine(clean(s))
		_, doc, source, err := r.html("Wert: " + escape(want) + " Ende")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(plain(doc, source), "\n"); got != oneLine("Wert: "+want+" Ende") && want != "" {
			t.Errorf("escape(%q) is shown as %q", want, got)
		}
		if unescape(escape(want)) != want {
			t.Errorf("unescape(escape(%q)) = %q", want, unescape(escape(want)))
		}
	})
}

func TestMessage_States(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		attempt int
		age     time.Duration
		failure Failure
		want    Status
		reason  string
		wait    time.Duration // until the next try; 0: none
	}{
		{"first deferral", 1, 0, Failure{Kind: Later, Reason: "smtp_deferred"}, TemporaryFailure, "smtp_deferred", time.Minute},
		{"fourth deferral", 4, time.Hour, Failure{Kind: Later, Reason: "smtp_deferred"}, TemporaryFailure, "smtp_deferred", 8 * time.Minute},
		{"many", 30, 40 * time.Hour, Failure{Kind: Later, Reason: "smtp_deferred"}, TemporaryFailure, "smtp_deferred", 2 * time.Hour},
		{"time is up", 30, 47 * time.Hour, Failure{Kind: Later, Reason: "smtp_deferred"}, TechnicalFailure, "retries_exhausted", 0},
		{"refused", 1, 0, Failure{Kind: Refused, Reason: "recipient_refused"}, PermanentFailure, "recipient_refused", 0},
		{"broken", 1, 0, Failure{Kind: Broken, Reason: "cannot_be_composed"}, TechnicalFailure, "cannot_be_composed", 0},
	} {
		m := Message{Status: Sending, Attempts: c.attempt, CreatedAt: dbTime(at.Add(-c.age))}
		if err := m.Fail(dbTime(at), c.failure); err != nil {
			t.Fatal(err)
		}
		last := m.History.V[len(m.History.V)-1]
		if m.Status != c.want || last.Reason != c.reason || (m.DueAt != nil) != (c.wait > 0) || (m.CompletedAt != nil) != (c.wait == 0) {
			t.Errorf("%s: Fail = %s %s due %v, want %s %s after %s", c.name, m.Status, last.Reason, m.DueAt, c.want, c.reason, c.wait)
		}
		if m.DueAt != nil && !m.DueAt.Equal(at.Add(c.wait)) {
			t.Errorf("%s: next try at %s, want after %s", c.name, m.DueAt, c.wait)
		}
	}
	for _, s := range []Status{Created, Delivered, TemporaryFailure, PermanentFailure, TechnicalFailure} {
		m := Message{Status: s}
		if m.Deliver(dbTime(at)) == nil || m.Fail(dbTime(at), Failure{Kind: Later}) == nil || m.Status != s {
			t.Errorf("a message that is %s can be delivered or fail, want only one that is being sent", s)
		}
	}
}
