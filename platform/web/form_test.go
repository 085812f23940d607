package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"basisdienste/platform/fault"
)

func TestSite_Check(t *testing.T) {
	t.Parallel()
	s := newGallery(t)
	options := []Option{{Value: "a", Label: "A"}, {Value: "b", Label: "B"}}
	tests := []struct {
		name  string
		field Field
		post  string
		want  string // German; "" for no error
	}{
		{"missing", Field{Required: true}, "", "Bitte füllen Sie „F“ aus."},
		{"only space", Field{Required: true}, "f=+%09+", "Bitte füllen Sie „F“ aus."},
		{"optional", Field{}, "", ""},
		{"given", Field{Required: true}, "f=x", ""},
		{"password keeps space", Field{Kind: "password", Required: true}, "f=+", ""},
		{"at the limit", Field{MaxLength: 3}, "f=äöü", ""},
		{"over the limit", Field{MaxLength: 3}, "f=äöüß", "„F“ darf höchstens 3 Zeichen lang sein."},
		{"line ends count once", Field{Kind: "textarea", MaxLength: 3}, "f=a%0D%0Ab", ""},
		{"email", Field{Kind: "email"}, "f=kim%40example.org", ""},
		{"email with name", Field{Kind: "email"}, "f=Kim+%3Ckim%40example.org%3E", "„F“: Bitte geben Sie eine vollständige E-Mail-Adresse ein, zum Beispiel name@beispiel.de."},
		{"email without host", Field{Kind: "email"}, "f=kim", "„F“: Bitte geben Sie eine vollständige E-Mail-Adresse ein, zum Beispiel name@beispiel.de."},
		{"telephone", Field{Kind: "tel"}, "f=%2B49+(361)+65-50", ""},
		{"no telephone", Field{Kind: "tel"}, "f=call+me", "„F“: Bitte geben Sie eine Telefonnummer ein, zum Beispiel 0361 123456."},
		{"number with comma", Field{Kind: "number"}, "f=12%2C5", ""},
		{"no number", Field{Kind: "number"}, "f=1e9", "„F“: Bitte geben Sie eine Zahl ein, zum Beispiel 12 oder 12,5."},
		{"choice", Field{Kind: "radios", Options: options, Required: true}, "f=b", ""},
		{"no choice", Field{Kind: "select", Options: options, Required: true}, "f=", "Bitte wählen Sie bei „F“ etwas aus."},
		{"foreign choice", Field{Kind: "select", Options: options}, "f=c", "Bitte wählen Sie bei „F“ eine der Möglichkeiten aus."},
		{"checkboxes", Field{Kind: "checkboxes", Options: options, Required: true}, "f=a&f=b", ""},
		{"no checkbox", Field{Kind: "checkboxes", Options: options, Required: true}, "", "Bitte wählen Sie bei „F“ etwas aus."},
		{"foreign checkbox", Field{Kind: "checkboxes", Options: options}, "f=a&f=x", "Bitte wählen Sie bei „F“ eine der Möglichkeiten aus."},
		{"consent", Field{Kind: "checkbox", Required: true}, "", "Bitte bestätigen Sie: „F“"},
		{"date", Field{Kind: "date", Required: true}, "f-day=1&f-month=2&f-year=2028", ""},
		{"date missing", Field{Kind: "date", Required: true}, "f-day=&f-month=+&f-year=", "Bitte füllen Sie „F“ aus."},
		{"leap day", Field{Kind: "date"}, "f-day=29&f-month=02&f-year=2028", ""},
		{"no leap day", Field{Kind: "date"}, "f-day=29&f-month=2&f-year=2027", "„F“: Bitte geben Sie ein Datum ein, das es gibt, zum Beispiel 31 12 2026."},
		{"half a date", Field{Kind: "date"}, "f-year=2027", "„F“: Bitte geben Sie ein Datum ein, das es gibt, zum Beispiel 31 12 2026."},
		{"year of two digits", Field{Kind: "date"}, "f-day=1&f-month=2&f-year=27", "„F“: Bitte geben Sie ein Datum ein, das es gibt, zum Beispiel 31 12 2026."},
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	for _, tt := range tests {
		tt.field.Name, tt.field.Label = "f", "F"
		form := Form{tt.field}
		values, err := url.ParseQuery(tt.post)
		if err != nil {
			t.Fatal(err)
		}
		form.Fill(values)
		ok := s.Check(r, form)
		if form[0].Error != tt.want || ok != (tt.want == "") {
			t.Errorf("%s: Check(%+v): got %v, %q, want %q", tt.name, form[0], ok, form[0].Error, tt.want)
		}
	}
}

func TestForm_Fill_keepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	h := galleryHandler(newGallery(t))
	w := post(t, h, url.Values{
		"given-name": {"Kim"}, "born-day": {"31"}, "born-month": {"2"}, "born-year": {"1980"}, "zone": {"b"},
		"vehicle": {"firm"}, "extras": {"electric"}, "remark": {"Zeile 1\r\nZeile 2"}, "secret": {"geheim"}, "consent": {"true"},
	})
	contains(t, "POST gallery", w.Body.String(),
		`<title>Fehler: Anwohnerparkausweis beantragen`,
		`name="given-name" type="text" value="Kim"`,
		`name="born-day" type="text" inputmode="numeric" maxlength="2" value="31"`,
		`value="02"`, `value="1980"`,
		`<option value="b" selected>`, `value="firm" checked`, `value="electric" checked`, "Zeile 1\nZeile 2</textarea>", `name="consent" type="checkbox" value="true" checked`,
		`<a class="kern-link" href="#f-born">„Geburtsdatum“: Bitte geben Sie ein Datum ein`,
		`id="f-email" name="email" type="email" value="" autocomplete="email" required aria-describedby="f-email-hint f-email-error" aria-invalid="true"`,
		`id="f-email-error"`, `role="alert" tabindex="-1" autofocus`,
	)
	lacks(t, "POST gallery", w.Body.String(), "geheim", `href="#f-given-name"`, `href="#f-tel"`)
}

func TestForm_goodPost(t *testing.T) {
	t.Parallel()
	h := galleryHandler(newGallery(t))
	w := post(t, h, url.Values{
		"given-name": {"Kim"}, "email": {"kim@example.org"}, "born-day": {"31"}, "born-month": {"12"}, "born-year": {"1980"},
		"zone": {"a"}, "vehicle": {"own"}, "secret": {"geheim"}, "otp": {"123456"}, "consent": {"true"},
	})
	if w.Code != http.StatusSeeOther {
		t.Fatalf("POST gallery: got %d, want 303: %s", w.Code, w.Body)
	}
	withFlash := func(r *http.Request) {
		for _, c := range w.Result().Cookies() {
			r.AddCookie(c)
		}
	}
	next := get(t, h, "/t/erfurt/gallery", withFlash)
	contains(t, "GET gallery after the post", next.Body.String(), "Ihre Angaben sind gespeichert.")
	gone := slices.ContainsFunc(next.Result().Cookies(), func(c *http.Cookie) bool { return c.Name == "basis_flash-erfurt" && c.MaxAge < 0 })
	if !gone {
		t.Errorf("GET gallery after the post: got cookies %v, want the flash cookie cleared", next.Result().Cookies())
	}
	lacks(t, "GET gallery again", get(t, h, "/t/erfurt/gallery").Body.String(), "Ihre Angaben sind gespeichert.")
}

func TestSite_Fail(t *testing.T) {
	t.Parallel()
	s := newGallery(t, func(c *Config) {
		c.Texts = Texts{
			"service": {"a", "b"}, "title": {"a", "b"}, "lead": {"%s", "%s"}, "next": {"a", "b"}, "save": {"a", "b"}, "cancel": {"a", "b"}, "overview": {"a", "b"},
			"field.plate_unknown": {"Das Kennzeichen bei „%s“ gibt es nicht.", "The plate in “%s” does not exist."},
		}
	})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/?lang=en", nil)
	newForm := func() Form { return Form{{Name: "plate", Label: "Plate"}, {Name: "zone", Label: "Zone"}} }

	form := newForm()
	err := s.Fail(r, form, fault.Unprocessable("invalid", "wrong").With(
		fault.Field{Name: "/plate", Code: "plate_unknown"}, fault.Field{Name: "zone", Code: "whatever"}))
	if err != nil {
		t.Errorf("Fail(both fields): got %v, want nil", err)
	}
	if got, want := form.Field("plate").Error, "The plate in “Plate” does not exist."; got != want {
		t.Errorf("Fail: plate: got %q, want %q", got, want)
	}
	if got, want := form.Field("zone").Error, "“Zone”: we cannot accept this answer. Please check it."; got != want {
		t.Errorf("Fail: zone: got %q, want %q", got, want)
	}
	for name, given := range map[string]error{
		"no fields":     fault.Conflict("taken", "taken"),
		"unknown field": fault.Unprocessable("invalid", "wrong").With(fault.Field{Name: "/other"}),
		"foreign error": errors.New("disk full"),
	} {
		if err := s.Fail(r, newForm(), given); !errors.Is(err, given) {
			t.Errorf("%s: Fail: got %v, want %v", name, err, given)
		}
	}
}

func TestWrongKindFails(t *testing.T) {
	t.Parallel()
	s := newGallery(t)
	for _, text := range []string{`{{alert "red" "x" ""}}`, `{{badge "blue" "x"}}`, `{{button "primary" "x" "name"}}`} {
		set, err := s.parse(0, pageFS(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := set.ExecuteTemplate(&strings.Builder{}, "p", nil); err == nil {
			t.Errorf("execute %s: got no error, want one", text)
		}
	}
}
