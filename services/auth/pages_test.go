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
				browsertest.Look(t, tab, "auth-"+page+"-"+name)
			}
			const primary = "main .kern-btn--primary"
			browsertest.Visit(t, tab, citizens.start())
			check("sandbox", "/idp/sandbox/")
			browsertest.Press(t, tab, "input[value=own]")
			browsertest.Follow(t, tab, primary)
			check("sandbox-errors", "/idp/sandbox/")
			browsertest.Press(t, tab, "input[value=erika]")
			browsertest.Follow(t, tab, primary)
			check("logged-in", "/logged-out?code=")

			browsertest.Visit(t, tab, citizens.start(acr("STORK-QAA-Level-3")))
			check("step-up", "/login?")
			browsertest.Follow(t, tab, primary)
			browsertest.Press(t, tab, "input[name=level][value='1']")
			browsertest.Follow(t, tab, primary)
			check("too-low", "/idp/sandbox/")

			browsertest.Visit(t, tab, staff.start())
			check("staff", "/login?")
			browsertest.Type(t, tab, "input[name=username]", "clerk")
			browsertest.Type(t, tab, "input[name=password]", "wrong")
			browsertest.Follow(t, tab, primary)
			check("staff-wrong", "/login")
			browsertest.Type(t, tab, "input[name=password]", password)
			browsertest.Follow(t, tab, primary)
			check("staff-in", "/logged-out?code=")

			browsertest.Visit(t, tab, w.URL+"/t/erfurt/auth/end_session?client_id=app")
			check("logout", "/logout?")
			browsertest.Follow(t, tab, primary)
			check("logged-out", "/logged-out")
		})
	}
}
