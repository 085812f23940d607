package web

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/tenant"
)

//go:embed testdata/pages/*.html
var galleryFiles embed.FS

var galleryTexts = Texts{
	"service":  {"Anwohnerparken", "Resident parking"},
	"title":    {"Anwohnerparkausweis beantragen", "Apply for a resident parking permit"},
	"lead":     {"Der Ausweis gilt ein Jahr und kostet %s. Sie brauchen etwa fünf Minuten.", "The permit is valid for one year and costs %s. You need about five minutes."},
	"next":     {"Weiter", "Continue"},
	"save":     {"Zwischenspeichern", "Save for later"},
	"cancel":   {"Abbrechen", "Cancel"},
	"overview": {"Ihre Angaben", "Your answers"},
	"saved":    {"Ihre Angaben sind gespeichert.", "Your answers are saved."},
}

// erfurt is the tenant of the gallery.
var erfurt = tenant.Tenant{ID: id.ID("0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d"), Slug: "erfurt", Name: "Landeshauptstadt Erfurt"}

func noon() time.Time { return time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC) }

var testKey = []byte("0123456789abcdef0123456789abcdef")

func newGallery(t *testing.T, change ...func(*Config)) *Site {
	t.Helper()
	pages, err := fs.Sub(galleryFiles, "testdata/pages")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Service: "service", Templates: pages, Texts: galleryTexts, Key: testKey, Clock: noon, Demo: true,
		Log: slog.New(slog.DiscardHandler),
		Look: func(context.Context) Look {
			return Look{Color: "#a3142e", Email: "online@stadt.example", Operator: "Kommunale Informationsverarbeitung"}
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func galleryForm(s *Site, r *http.Request) Form {
	return Form{
		{Name: "given-name", Label: "Vorname", Autocomplete: "given-name", Required: true},
		{Name: "email", Kind: "email", Label: "E-Mail-Adresse", Hint: "Dorthin schicken wir den Bescheid.", Autocomplete: "email", Required: true},
		{Name: "tel", Kind: "tel", Label: "Telefon", Autocomplete: "tel"},
		{Name: "born", Kind: "date", Label: "Geburtsdatum", Hint: "Zum Beispiel 31 12 1980", Autocomplete: "bday", Required: true},
		{Name: "zone", Kind: "select", Label: "Parkzone", Required: true, Options: []Option{{Value: "a", Label: "A – Altstadt"}, {Value: "b", Label: "B – Bahnhof"}}},
		{Name: "vehicle", Kind: "radios", Label: "Wem gehört das Fahrzeug?", Required: true, Options: []Option{
			{Value: "own", Label: "Mir"}, {Value: "firm", Label: "Meinem Arbeitgeber", Hint: "Sie brauchen eine Bestätigung."},
		}},
		{Name: "extras", Kind: "checkboxes", Label: "Was trifft zu?", Hint: "Mehrere Antworten sind möglich.", Options: []Option{
			{Value: "disabled", Label: "Schwerbehindertenausweis"}, {Value: "electric", Label: "Elektrofahrzeug"},
		}},
		{Name: "length", Kind: "number", Label: "Länge des Fahrzeugs in Metern"},
		{Name: "remark", Kind: "textarea", Label: "Bemerkung", MaxLength: 500},
		{Name: "proof", Kind: "file", Label: "Fahrzeugschein", Hint: "PDF oder Foto, höchstens 10 MB", Accept: "application/pdf,image/*", Required: true},
		{Name: "secret", Kind: "password", Label: "Passwort", Autocomplete: "current-password", Required: true},
		{Name: "otp", Kind: "code", Label: "Code aus der App", Autocomplete: "one-time-code", Required: true, MaxLength: 6},
		{Name: "consent", Kind: "checkbox", Label: "Ich habe die Hinweise zum Datenschutz gelesen.", Required: true},
		{Name: "draft", Kind: "hidden", Value: "17"},
	}
}

// galleryHandler shows every component; a post is checked and shown with its errors.
func galleryHandler(s *Site) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/static/", Static())
	for _, name := range legalPages {
		mux.Handle("GET /t/{tenant}/"+name, s.Legal())
	}
	mux.HandleFunc("/t/{tenant}/gallery", func(w http.ResponseWriter, r *http.Request) {
		form, status := galleryForm(s, r), http.StatusOK
		if r.Method == http.MethodPost {
			if err := r.ParseForm(); err != nil {
				s.ErrorPage(w, r, fault.Invalid("form_unreadable", "the form cannot be read").Because(err))
				return
			}
			form.Fill(r.PostForm)
			if s.Check(r, form) {
				s.Flash(w, r, "success", s.T(r, "saved"))
				http.Redirect(w, r, r.URL.Path, http.StatusSeeOther)
				return
			}
			status = http.StatusUnprocessableEntity
		}
		s.Render(w, r, status, "gallery", Page{
			Title: s.T(r, "title"), Back: "/t/erfurt/", User: "Kim Beispiel", Logout: "/t/erfurt/logout",
			Nav: []Link{{URL: "/t/erfurt/gallery", Text: "Antrag", Current: true}, {URL: "/t/erfurt/mailbox/", Text: "Postfach"}},
		}, map[string]any{
			"Form": form, "Fee": money.Amount(3070), "At": noon(),
			"Rows": []Row{{"Name", "Kim Beispiel", "/t/erfurt/gallery"}, {"Gebühr", money.Amount(3070), ""}, {"Termin", noon(), ""}, {"Stand", Badge{"success", "bezahlt"}, ""}},
			"Table": Table{Caption: "Zahlungen", Head: []string{"Vorgang", "Zeitpunkt", "Stand", "Betrag"}, Rows: [][]any{
				{Link{URL: "/t/erfurt/gallery", Text: "ERF-2026-0001"}, noon(), Badge{"success", "bezahlt"}, money.Amount(3070)},
				{Link{URL: "/t/erfurt/gallery", Text: "ERF-2026-0002"}, noon(), Badge{"danger", "abgebrochen"}, money.Amount(123456)},
			}},
			"None": Table{Caption: "Termine", Empty: "Sie haben noch keinen Termin vereinbart."},
		})
	})
	mux.HandleFunc("GET /t/{tenant}/broken", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "req-7")
		s.ErrorPage(w, r, fault.NotFound("application_not_found", "there is no such application"))
	})
	pages := s.Protect(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages.ServeHTTP(w, r.WithContext(tenant.With(r.Context(), erfurt)))
	})
}
