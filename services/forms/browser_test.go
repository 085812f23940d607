package forms

import (
	"strings"
	"testing"

	"basisdienste/platform/runtest"
	"basisdienste/platform/web/browsertest"
)

// TestBrowser_pages shows the main pages to Chromium and axe-core, on a desk and on a phone.
func TestBrowser_pages(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	c := n.citizen(t, "kim.1")
	paid := "/t/erfurt/forms/applications/" + c.submitPermit()
	c.fillPermit()
	draft := "/t/erfurt/forms/applications/" + c.applicationID()
	c.open("/t/erfurt/forms/begin/hundesteuer")
	c.press("", nil)
	c.press("go=back", map[string]string{"name": "Bello", "dangerous": "yes"})
	dogs := "/t/erfurt/forms/applications/" + c.applicationID()
	tests := []struct {
		name, path, errors string // errors: the button that sends the page as it is
	}{
		{"forms", "/t/erfurt/forms", ""},
		{"start", "/t/erfurt/forms/anwohnerparkausweis", ""},
		{"begin", "/t/erfurt/forms/begin/anwohnerparkausweis", ""},
		{"question", draft + "/pages/person", ""},
		{"question-uploads", draft + "/pages/proofs", ""},
		{"question-errors", dogs + "/pages/dogs?item=1", "main p > button.kern-btn--primary"},
		{"items", dogs + "/pages/dogs", ""},
		{"check", draft + "/check", ""},
		{"check-open", dogs + "/check", ""},
		{"check-errors", draft + "/check", "main form button.kern-btn--primary"},
		{"mine", "/t/erfurt/forms/applications", ""},
		{"application", paid, ""},
		{"not-found", "/t/erfurt/forms/angelschein", ""},
	}
	variants := map[string]browsertest.Options{
		"desk": {}, "phone-noscript": {Phone: true, NoScript: true}, "phone-en-dark": {Phone: true, Lang: "en", Dark: true},
	}
	for variant, options := range variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			tab := browsertest.Open(t, options)
			browsertest.Visit(t, tab, n.URL+"/t/erfurt/forms/callback?who=kim.1")
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					browsertest.Visit(t, tab, n.URL+tt.path)
					if tt.errors != "" {
						browsertest.Follow(t, tab, tt.errors)
						// The browser moves the focus when it first draws the page.
						runtest.Eventually(t, "the error summary has the focus", func() bool {
							return browsertest.Evaluate(t, tab, "document.activeElement.id") == "errors"
						})
						if got := browsertest.Evaluate(t, tab, `[...document.querySelectorAll("#errors a")].filter(a => !document.querySelector(a.hash)).map(a => a.hash).join(" ")`); got != "" {
							t.Errorf("error summary: %s lead nowhere", got)
						}
					}
					browsertest.Look(t, tab, "forms-"+tt.name+"-"+variant)
				})
			}
		})
	}
}

// TestBrowser_dog fills in and submits with keyboard and mouse, with and without JavaScript.
func TestBrowser_dog(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	for name, options := range map[string]browsertest.Options{"script": {}, "noscript": {Phone: true, NoScript: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := browsertest.Open(t, options)
			browsertest.Visit(t, tab, n.URL+"/t/erfurt/forms/callback?who=kim.1")
			browsertest.Visit(t, tab, n.URL+"/t/erfurt/forms/hundesteuer")
			browsertest.Follow(t, tab, "main a.kern-btn--primary")
			browsertest.Follow(t, tab, "main button.kern-btn--primary")
			for id, text := range map[string]string{
				"f-name": "Bello", "f-breed": "Mischling", "f-chip": "276098106123456", "f-birth": "1", "f-birth-month": "3", "f-birth-year": "2024",
				"f-since": "1", "f-since-month": "5", "f-since-year": "2024",
			} {
				browsertest.Type(t, tab, "#"+id, text)
			}
			browsertest.Press(t, tab, "#f-dangerous")
			browsertest.Follow(t, tab, "main p > button.kern-btn--primary")
			browsertest.Follow(t, tab, "main p > a.kern-btn--primary")
			browsertest.Press(t, tab, "#f-declaration")
			browsertest.Follow(t, tab, "main form button.kern-btn--primary")
			if got := browsertest.Evaluate(t, tab, "document.querySelector('main').innerText"); !strings.Contains(got, "Ihr Antrag ist eingegangen") || !strings.Contains(got, "HST-26-") {
				t.Errorf("after submitting: got %s, want the confirmation", got)
			}
		})
	}
}
