package forms

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

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
						click(t, tab, tt.errors)
						// The browser moves the focus when it first draws the page.
						runtest.Eventually(t, "the error summary has the focus", func() bool {
							return evaluate(t, tab, "document.activeElement.id") == "errors"
						})
						if got := evaluate(t, tab, `[...document.querySelectorAll("#errors a")].filter(a => !document.querySelector(a.hash)).map(a => a.hash).join(" ")`); got != "" {
							t.Errorf("error summary: %s lead nowhere", got)
						}
					}
					browsertest.Axe(t, tab)
					browsertest.Fits(t, tab)
					browsertest.Screenshot(t, tab, "forms-"+tt.name+"-"+variant)
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
			click(t, tab, "main a.kern-btn--primary")
			click(t, tab, "main button.kern-btn--primary")
			for id, text := range map[string]string{
				"f-name": "Bello", "f-breed": "Mischling", "f-chip": "276098106123456", "f-birth": "1", "f-birth-month": "3", "f-birth-year": "2024",
				"f-since": "1", "f-since-month": "5", "f-since-year": "2024",
			} {
				if err := chromedp.Do(tab, chromedp.SendKeys(chromedp.ID(id), text)); err != nil {
					t.Fatalf("type into %s: %v", id, err)
				}
			}
			if err := chromedp.Do(tab, chromedp.Click(chromedp.ID("f-dangerous"))); err != nil {
				t.Fatalf("choose: %v", err)
			}
			click(t, tab, "main p > button.kern-btn--primary")
			click(t, tab, "main p > a.kern-btn--primary")
			if err := chromedp.Do(tab, chromedp.Click(chromedp.ID("f-declaration"))); err != nil {
				t.Fatalf("declare: %v", err)
			}
			click(t, tab, "main form button.kern-btn--primary")
			if got := evaluate(t, tab, "document.querySelector('main').innerText"); !strings.Contains(got, "Ihr Antrag ist eingegangen") || !strings.Contains(got, "HST-26-") {
				t.Errorf("after submitting: got %s, want the confirmation", got)
			}
		})
	}
}

func click(t *testing.T, tab context.Context, css string) {
	t.Helper()
	if _, err := chromedp.RunResponse(tab, chromedp.Click(chromedp.CSS(css))); err != nil {
		t.Fatalf("click on %s: %v", css, err)
	}
}

func evaluate(t *testing.T, tab context.Context, expression string) string {
	t.Helper()
	got, err := chromedp.Run(tab, chromedp.Evaluate[string](expression))
	if err != nil {
		t.Fatalf("evaluate %s: %v", expression, err)
	}
	return got
}
