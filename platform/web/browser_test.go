package web

import (
	"net/http/httptest"
	"os"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"basisdienste/platform/web/browsertest"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

func TestBrowser_gallery(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(galleryHandler(newGallery(t)))
	t.Cleanup(server.Close)
	tests := []struct {
		name    string
		path    string
		options browsertest.Options
	}{
		{"gallery-desktop", "/t/erfurt/gallery", browsertest.Options{}},
		{"gallery-desktop-noscript-en", "/t/erfurt/gallery", browsertest.Options{NoScript: true, Lang: "en"}},
		{"gallery-desktop-dark", "/t/erfurt/gallery", browsertest.Options{Dark: true}},
		{"gallery-phone", "/t/erfurt/gallery", browsertest.Options{Phone: true}},
		{"gallery-phone-noscript", "/t/erfurt/gallery", browsertest.Options{Phone: true, NoScript: true}},
		{"error-desktop", "/t/erfurt/broken", browsertest.Options{}},
		{"error-phone", "/t/erfurt/broken", browsertest.Options{Phone: true, NoScript: true, Dark: true}},
		{"impressum", "/t/erfurt/impressum", browsertest.Options{}},
		{"datenschutz-phone", "/t/erfurt/datenschutz", browsertest.Options{Phone: true}},
		{"barrierefreiheit-en", "/t/erfurt/barrierefreiheit", browsertest.Options{Lang: "en"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tab := browsertest.Open(t, tt.options)
			browsertest.Visit(t, tab, server.URL+tt.path)
			browsertest.Look(t, tab, tt.name)
		})
	}
}

// TestBrowser_errors sends an empty form as a reader would, with and without JavaScript:
// the summary has the focus and its links lead to the fields.
func TestBrowser_errors(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(galleryHandler(newGallery(t)))
	t.Cleanup(server.Close)
	for name, options := range map[string]browsertest.Options{
		"errors-desktop":        {},
		"errors-desktop-dark":   {Dark: true},
		"errors-phone-noscript": {Phone: true, NoScript: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := browsertest.Open(t, options)
			browsertest.Visit(t, tab, server.URL+"/t/erfurt/gallery")
			browsertest.Follow(t, tab, "main button.kern-btn--primary")
			browsertest.Look(t, tab, name)

			if got, want := browsertest.Evaluate(t, tab, "document.activeElement.id"), "errors"; got != want {
				t.Errorf("focus after the post: got %q, want %q", got, want)
			}
			if got, want := browsertest.Evaluate(t, tab, "document.title"), "Fehler: Anwohnerparkausweis beantragen – Landeshauptstadt Erfurt"; got != want {
				t.Errorf("title after the post: got %q, want %q", got, want)
			}
			broken := browsertest.Evaluate(t, tab, `[...document.querySelectorAll("#errors a")].filter(a => !document.querySelector(a.hash)).map(a => a.hash).join(" ")`)
			if broken != "" {
				t.Errorf("links of the error summary: %q lead nowhere", broken)
			}
			browsertest.Type(t, tab, "#errors a", kb.Enter)
			if got, want := browsertest.Evaluate(t, tab, "location.hash"), "#f-given-name"; got != want {
				t.Errorf("click on the first error: got %q, want %q", got, want)
			}
		})
	}
}
