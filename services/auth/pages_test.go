package auth_test

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"basisdienste/platform/web"
	"basisdienste/platform/web/browsertest"
	"basisdienste/platform/web/webtest"
	"basisdienste/services/auth"
	"basisdienste/services/auth/sandbox"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

func TestTexts(t *testing.T) {
	t.Parallel()
	all := sandbox.Texts()
	maps.Copy(all, auth.PageTexts())
	webtest.Texts(t, ".", all)
}

// TestBrowser_Login walks through every page of a login in a real browser, with and without
// JavaScript.
func TestBrowser_Login(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.Process.Host("auth").Mux.Handle("GET /static/", web.Static()) // as the edge does in an installation
	w.account("/t/erfurt", "clerk", []string{"clerk"})
	// The application's address leads back to a page of the issuer, so that the browser ends somewhere.
	back := w.URL + "/t/erfurt/auth/logged-out"
	citizens := w.app("erfurt", map[string]any{"redirect_uris": []string{back}})
	staff := w.app("erfurt", map[string]any{"client_id": "fach", "login": "staff", "redirect_uris": []string{back}})
	citizens.RedirectURL, staff.RedirectURL = back, back
	for name, options := range map[string]browsertest.Options{
		"desktop": {}, "phone-noscript-en": {Phone: true, NoScript: true, Lang: "en"}, "dark-noscript": {Dark: true, NoScript: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := browsertest.Open(t, options)
			check := func(page, path string) {
				t.Helper()
				at, err := chromedp.Run(tab, chromedp.Location())
				if err != nil || !strings.Contains(at, path) {
					t.Fatalf("%s: the browser is at %s, %v; want %s", page, at, err, path)
				}
				browsertest.Axe(t, tab)
				browsertest.Fits(t, tab)
				browsertest.Screenshot(t, tab, "auth-"+page+"-"+name)
			}
			choose := func(selector string) {
				t.Helper()
				if err := chromedp.Do(tab, chromedp.Click(chromedp.CSS(selector))); err != nil {
					t.Fatalf("click %s: %v", selector, err)
				}
			}
			follow := func(selector string) {
				t.Helper()
				if _, err := chromedp.RunResponse(tab, chromedp.Click(chromedp.CSS(selector))); err != nil {
					t.Fatalf("follow %s: %v", selector, err)
				}
			}
			const primary = "main .kern-btn--primary"
			browsertest.Visit(t, tab, citizens.start())
			check("sandbox", "/idp/sandbox/")
			choose("input[value=own]")
			follow(primary)
			check("sandbox-errors", "/idp/sandbox/")
			choose("input[value=erika]")
			follow(primary)
			check("logged-in", "/logged-out?code=")

			browsertest.Visit(t, tab, citizens.start(acr("STORK-QAA-Level-3")))
			check("step-up", "/login?")
			follow(primary)
			choose("input[name=level][value='1']")
			follow(primary)
			check("too-low", "/idp/sandbox/")

			browsertest.Visit(t, tab, staff.start())
			check("staff", "/login?")
			if err := chromedp.Do(tab, chromedp.SendKeys(chromedp.CSS("input[name=username]"), "clerk"), chromedp.SendKeys(chromedp.CSS("input[name=password]"), "wrong")); err != nil {
				t.Fatal(err)
			}
			follow(primary)
			check("staff-wrong", "/login")
			if err := chromedp.Do(tab, chromedp.SendKeys(chromedp.CSS("input[name=password]"), password)); err != nil {
				t.Fatal(err)
			}
			follow(primary)
			check("staff-in", "/logged-out?code=")

			browsertest.Visit(t, tab, w.URL+"/t/erfurt/auth/end_session?client_id=app")
			check("logout", "/logout?")
			follow(primary)
			check("logged-out", "/logged-out")
		})
	}
}
