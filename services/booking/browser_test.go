package booking_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"basisdienste/platform/web"
	"basisdienste/platform/web/browsertest"
	"basisdienste/platform/web/webtest"
	"basisdienste/services/booking"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

func TestTexts(t *testing.T) {
	t.Parallel()
	webtest.Texts(t, ".", booking.PageTexts)
}

// withStatic serves what pages load, as the edge does.
func withStatic(t *testing.T, e *env) {
	t.Helper()
	e.Process.Host("booking").Mux.Handle("GET /static/", web.Static())
}

func heading(t *testing.T, tab context.Context, want string) {
	t.Helper()
	if got := browsertest.Evaluate(t, tab, `document.querySelector("h1").textContent.trim()`); got != want {
		t.Fatalf("heading: got %q, want %q; the page says\n%s", got, want, browsertest.Evaluate(t, tab, `document.querySelector("main").innerText`))
	}
}

func fill(t *testing.T, tab context.Context, name, value string) {
	t.Helper()
	if err := chromedp.Do(tab, chromedp.SetValue(chromedp.CSS("input[name="+name+"]"), value)); err != nil {
		t.Fatalf("fill in %s: %v", name, err)
	}
}

// TestBrowser_book walks a citizen through all pages, on a desk with and without scripts and
// on a phone: choose, a form with mistakes, check, confirm, move, cancel.
func TestBrowser_book(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                                                                             string
		options                                                                          browsertest.Options
		start, times, details, check, confirmed, move, moveCheck, cancel, canceled, when string
	}{
		{
			"desktop",
			browsertest.Options{},
			"Termin vereinbaren", "Tag und Zeit wählen", "Ihre Angaben", "Termin prüfen und buchen",
			"Ihr Termin ist gebucht", "Termin verschieben", "Verschieben bestätigen", "Termin absagen", "Ihr Termin ist abgesagt", "Dienstag, 24.11.2026, 08:00 bis 08:30 Uhr",
		},
		{
			"noscript-en",
			browsertest.Options{NoScript: true, Lang: "en"},
			"Book an appointment", "Choose day and time", "Your details", "Check and book the appointment",
			"Your appointment is booked", "Move the appointment", "Confirm the move", "Cancel the appointment", "Your appointment is canceled", "Tuesday, 24 November 2026, 08:00 to 08:30",
		},
		{
			"phone-dark",
			browsertest.Options{Phone: true, NoScript: true, Dark: true},
			"Termin vereinbaren", "Tag und Zeit wählen", "Ihre Angaben", "Termin prüfen und buchen",
			"Ihr Termin ist gebucht", "Termin verschieben", "Verschieben bestätigen", "Termin absagen", "Ihr Termin ist abgesagt", "Dienstag, 24.11.2026, 08:00 bis 08:30 Uhr",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := start(t, oneCounter)
			withStatic(t, e)
			tab := browsertest.Open(t, c.options)
			browsertest.Visit(t, tab, e.URL+"/t/erfurt/booking/?reference=ERF-2026-0001")
			heading(t, tab, c.start)
			browsertest.Look(t, tab, "booking-start-"+c.name)
			browsertest.Follow(t, tab, `main h2 a[href*="bewohnerparken"]`)
			heading(t, tab, c.times)
			browsertest.Look(t, tab, "booking-times-"+c.name)
			browsertest.Follow(t, tab, `main a[href*="2026-11-23T08%3A00"]`)
			heading(t, tab, c.details)
			fill(t, tab, "email", "kim@example")
			browsertest.Follow(t, tab, "main form button")
			browsertest.Look(t, tab, "booking-details-"+c.name) // with its error summary
			heading(t, tab, c.details)
			fill(t, tab, "name", "Kim Beispiel")
			fill(t, tab, "email", "kim@example.org")
			browsertest.Press(t, tab, "input[name=consent]")
			browsertest.Follow(t, tab, "main form button")
			heading(t, tab, c.check)
			browsertest.Look(t, tab, "booking-check-"+c.name)
			browsertest.Follow(t, tab, `form[action$="/confirm"] button`)
			heading(t, tab, c.confirmed)
			browsertest.Look(t, tab, "booking-confirmed-"+c.name)
			if got := browsertest.Evaluate(t, tab, `document.querySelector('a[href^="https://meet.example.org/"]').pathname`); !strings.HasPrefix(got, "/termin-") {
				t.Errorf("conference link: got %q, want a room", got)
			}
			if got := browsertest.Evaluate(t, tab, `document.querySelector("main").innerText`); !strings.Contains(got, "ERF-2026-0001") {
				t.Errorf("the confirmed page lacks the reference of the application:\n%s", got)
			}

			browsertest.Follow(t, tab, `main a[href$="/move"]`)
			heading(t, tab, c.move)
			browsertest.Look(t, tab, "booking-move-"+c.name)
			browsertest.Follow(t, tab, `main a[href*="2026-11-24T07%3A00"]`)
			heading(t, tab, c.moveCheck)
			browsertest.Look(t, tab, "booking-move-check-"+c.name)
			browsertest.Follow(t, tab, "main form button")
			heading(t, tab, c.confirmed)
			browsertest.Look(t, tab, "booking-moved-"+c.name)
			if got := browsertest.Evaluate(t, tab, `document.querySelector("main").innerText`); !strings.Contains(got, c.when) {
				t.Errorf("after the move the page lacks %q:\n%s", c.when, got)
			}

			browsertest.Follow(t, tab, `main a[href$="/cancel"]`)
			heading(t, tab, c.cancel)
			browsertest.Look(t, tab, "booking-cancel-"+c.name)
			browsertest.Follow(t, tab, "main form button")
			heading(t, tab, c.canceled)
			browsertest.Look(t, tab, "booking-canceled-"+c.name)
		})
	}
}

// TestBrowser_taken: somebody else was faster; the reader keeps what was typed and takes a
// time nearby.
func TestBrowser_taken(t *testing.T) {
	t.Parallel()
	e := start(t, oneCounter)
	withStatic(t, e)
	tab := browsertest.Open(t, browsertest.Options{Phone: true, NoScript: true})
	browsertest.Visit(t, tab, e.URL+"/t/erfurt/booking/services/bewohnerparken-video/details?starts_at=2026-11-23T08:00:00Z")
	e.hold(nine, "faster@example.org")
	fill(t, tab, "name", "Kim Beispiel")
	fill(t, tab, "email", "kim@example.org")
	browsertest.Press(t, tab, "input[name=consent]")
	browsertest.Follow(t, tab, "main form button")
	heading(t, tab, "Ihre Angaben")
	browsertest.Look(t, tab, "booking-taken")
	if got := browsertest.Evaluate(t, tab, `document.querySelector("input[name=name]").value`); got != "Kim Beispiel" {
		t.Errorf("name after the time was taken: got %q, want what was typed", got)
	}
	browsertest.Press(t, tab, `input[name=starts_at][value="2026-11-23T08:30:00Z"]`)
	browsertest.Follow(t, tab, "main form button")
	heading(t, tab, "Termin prüfen und buchen")
}

func TestBrowser_edges(t *testing.T) {
	t.Parallel()
	e := start(t, oneCounter, func(s *booking.Settings) {
		s.Services[1].Offices = []string{}
		s.Offices[0].Closed = []string{"2026-11-23", "2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27"}
	})
	withStatic(t, e)
	tab := browsertest.Open(t, browsertest.Options{Phone: true, NoScript: true})
	// A week without free times leads to the next one that has some; without a week named it
	// is shown at once.
	browsertest.Visit(t, tab, e.URL+"/t/erfurt/booking/services/bewohnerparken-video?from=2026-11-22")
	browsertest.Look(t, tab, "booking-none")
	if got := browsertest.Evaluate(t, tab, `document.querySelector(".site-empty").innerText`); !strings.Contains(got, "Keine freien Zeiten") {
		t.Errorf("a week without times says %q", got)
	}
	browsertest.Follow(t, tab, "main a.kern-btn--primary")
	if got := browsertest.Evaluate(t, tab, `document.querySelector("h3").textContent`); got != "Montag, 30. November 2026" {
		t.Errorf("the next free day: got %q", got)
	}
	browsertest.Visit(t, tab, e.URL+"/t/erfurt/booking/services/bewohnerparken-video")
	if got := browsertest.Evaluate(t, tab, `document.querySelector("h3").textContent`); got != "Montag, 30. November 2026" {
		t.Errorf("first day shown: got %q, want the first free one", got)
	}
	a := e.hold("2026-11-30T08:00:00Z", "kim@example.org")
	e.clock.pass(16 * time.Minute)
	browsertest.Visit(t, tab, a.ManageURL)
	heading(t, tab, "Die Reservierung ist abgelaufen")
	browsertest.Look(t, tab, "booking-expired")
	browsertest.Visit(t, tab, a.ManageURL+"x")
	heading(t, tab, "Diesen Termin gibt es nicht")
	browsertest.Look(t, tab, "booking-unknown")
	b := e.confirmed("2026-11-30T08:00:00Z", "kim@example.org")
	e.clock.pass(20 * 24 * time.Hour)
	browsertest.Visit(t, tab, b.ManageURL)
	heading(t, tab, "Dieser Termin ist vorbei")
	browsertest.Look(t, tab, "booking-over")
}

// page asks as a browser does.
func (e *env) page(method, path string, form url.Values, headers ...string) (status int, header http.Header, body string) {
	e.t.Helper()
	var sent any
	if form != nil {
		sent = form.Encode()
		headers = append(headers, "Content-Type", "application/x-www-form-urlencoded")
	}
	a := e.Do(method, path, "", sent, append(headers, "Accept", "text/html")...)
	return a.Status, a.Header, string(a.Body)
}

func TestPages(t *testing.T) {
	t.Parallel()
	e := start(t)
	a := e.confirmed(nine, "kim@example.org")
	manage := strings.TrimPrefix(a.ManageURL, e.URL)
	details := "/t/erfurt/booking/services/" + service + "/details"

	status, h, body := e.page(http.MethodGet, manage, nil)
	if status != 200 || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" || !strings.Contains(body, "Kim Beispiel") {
		t.Errorf("GET the appointment's page = %d, %v; want 200, no referrer, no cache", status, h)
	}
	if status, h, body = e.page(http.MethodGet, manage[:len(manage)-1], nil); status != 404 || h.Get("Referrer-Policy") != "no-referrer" || strings.Contains(body, "Kim") {
		t.Errorf("GET with a wrong secret = %d, %v; want 404 without names", status, h)
	}
	if status, _, _ = e.page(http.MethodGet, strings.Replace(manage, "erfurt", "nowhere", 1), nil); status != 404 {
		t.Errorf("GET at an unknown tenant = %d, want 404", status)
	}
	e.Tenant("jena", "160530000000")
	if status, _, _ = e.page(http.MethodGet, strings.Replace(manage, "erfurt", "jena", 1), nil); status != 404 {
		t.Errorf("GET at another tenant = %d, want 404", status)
	}
	if status, h, body = e.page(http.MethodGet, manage+"/termin.ics", nil); status != 200 || !strings.HasPrefix(h.Get("Content-Type"), "text/calendar; method=PUBLISH") || !strings.Contains(body, "UID:"+a.ID) || strings.Contains(body, "ATTENDEE") {
		t.Errorf("GET termin.ics = %d %v\n%s\nwant a published calendar", status, h, body)
	}
	if status, h, _ = e.page(http.MethodGet, "/t/erfurt/booking?reference=A-1", nil); status != 303 || h.Get("Location") != "/t/erfurt/booking/?reference=A-1" {
		t.Errorf("GET without the slash = %d to %q", status, h.Get("Location"))
	}

	// The same form sent twice reserves once.
	_, _, body = e.page(http.MethodGet, details+"?starts_at=2026-11-23T09:00:00Z", nil)
	once := regexp.MustCompile(`name="once" value="([^"]+)"`).FindStringSubmatch(body)
	if once == nil {
		t.Fatalf("the form has no value that makes sending it twice safe:\n%s", body)
	}
	form := url.Values{"name": {"Kim"}, "email": {"kim@example.org"}, "consent": {"true"}, "starts_at": {"2026-11-23T09:00:00Z"}, "once": {once[1]}}
	_, h1, _ := e.page(http.MethodPost, details, form, "Sec-Fetch-Site", "same-origin")
	status, h2, _ := e.page(http.MethodPost, details, form, "Sec-Fetch-Site", "same-origin")
	if status != 303 || h1.Get("Location") == "" || h1.Get("Location") != h2.Get("Location") {
		t.Errorf("the form sent twice = %d to %q and %q, want one address", status, h1.Get("Location"), h2.Get("Location"))
	}
	for name, c := range map[string]struct {
		form    url.Values
		headers []string
		want    int
		says    string
	}{
		"another site":   {form, []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		"no consent":     {url.Values{"name": {"Kim"}, "email": {"kim@example.org"}, "starts_at": {half}}, nil, 422, "errors"},
		"no name":        {url.Values{"email": {"kim@example.org"}, "consent": {"true"}, "starts_at": {half}}, nil, 422, "errors"},
		"in the past":    {url.Values{"name": {"Kim"}, "email": {"p@example.org"}, "consent": {"true"}, "starts_at": {"2026-11-20T08:00:00Z"}}, nil, 422, "nicht mehr gebucht werden"},
		"no time":        {url.Values{"name": {"Kim"}, "email": {"n@example.org"}, "consent": {"true"}, "starts_at": {"x"}}, nil, 303, ""},
		"unknown office": {url.Values{"office": {"x"}}, nil, 404, ""},
		"too large":      {url.Values{"name": {strings.Repeat("x", 100_000)}}, nil, 400, ""},
	} {
		if status, _, body := e.page(http.MethodPost, details, c.form, c.headers...); status != c.want || !strings.Contains(body, c.says) {
			t.Errorf("%s: POST details = %d, want %d and %q\n%s", name, status, c.want, c.says, body)
		}
	}
	if status, _, _ := e.page(http.MethodGet, "/t/erfurt/booking/services/nothing", nil); status != 404 {
		t.Errorf("GET times of an unknown service = %d, want 404", status)
	}
	// Moving to a taken time leaves the appointment where it was.
	taken := e.confirmed("2026-11-25T08:00:00Z", "b@example.org")
	for i := range 2 { // the other two counters
		e.confirmed("2026-11-25T08:00:00Z", "c"+string(rune('0'+i))+"@example.org")
	}
	status, h, _ = e.page(http.MethodPost, manage+"/move", url.Values{"starts_at": {taken.StartsAt}})
	if status != 303 || !strings.HasSuffix(h.Get("Location"), "/move?from=2026-11-25") {
		t.Errorf("POST move to a taken time = %d to %q, want the free times again", status, h.Get("Location"))
	}
	var kept answer
	e.Do(http.MethodGet, api+"/appointments/"+a.ID, "", nil, booking.SecretHeader, a.Secret).JSON(t, &kept)
	if kept.StartsAt != nine || kept.Sequence != 0 {
		t.Errorf("after the failed move: got %+v, want it where it was", kept)
	}
}
