package payment_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/web/browsertest"
	"basisdienste/platform/web/webtest"
	"basisdienste/services/payment"
	"basisdienste/services/payment/receipt"
	"basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/transfer"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

func TestTexts(t *testing.T) {
	t.Parallel()
	all := maps.Clone(payment.PageTexts)
	maps.Copy(all, sandbox.Texts)
	maps.Copy(all, transfer.Texts)
	maps.Copy(all, receipt.Texts)
	webtest.Texts(t, ".", all)
}

func heading(t *testing.T, tab context.Context, want string) {
	t.Helper()
	if got := browsertest.Evaluate(t, tab, `document.querySelector("h1").textContent.trim()`); got != want {
		t.Fatalf("heading = %q, want %q", got, want)
	}
}

// A payer walks through all pages: an empty choice, a decline, another try, the waiting page,
// the result, on a desk with and without scripts and on a phone.
func TestBrowser_pay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options browsertest.Options
		pay     string
		declined,
		waiting,
		payed string
	}{
		{"desktop", browsertest.Options{}, "Gebühr bezahlen", "Ihre Bank hat die Zahlung", "Ihre Zahlung wird verarbeitet", "Ihre Zahlung ist angekommen"},
		{"desktop-noscript-en", browsertest.Options{NoScript: true, Lang: "en"}, "Pay the fee", "Your bank declined", "Your payment is being processed", "Your payment has arrived"},
		{"phone-dark", browsertest.Options{Phone: true, NoScript: true, Dark: true}, "Gebühr bezahlen", "Ihre Bank hat die Zahlung", "Ihre Zahlung wird verarbeitet", "Ihre Zahlung ist angekommen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t)
			made := g.claim("r-1")
			tab := browsertest.Open(t, c.options)
			browsertest.Visit(t, tab, made.pay)
			heading(t, tab, c.pay)
			browsertest.Look(t, tab, "pay-"+c.name)

			browsertest.Follow(t, tab, "main form button.kern-btn--primary")
			browsertest.Look(t, tab, "pay-no-choice-"+c.name)

			byCard := func() {
				browsertest.Press(t, tab, "input[value=card]")
				browsertest.Follow(t, tab, "main form button.kern-btn--primary")
			}
			byCard()
			browsertest.Look(t, tab, "sandbox-"+c.name)
			browsertest.Follow(t, tab, "button[value=decline]")
			heading(t, tab, c.pay)
			page := browsertest.Evaluate(t, tab, `document.querySelector("main").textContent`)
			if !strings.Contains(page, c.declined) {
				t.Errorf("after a decline the page says\n%s\nwant %q", page, c.declined)
			}
			browsertest.Look(t, tab, "pay-declined-"+c.name)

			byCard()
			browsertest.Follow(t, tab, "button[value=late]")
			heading(t, tab, c.waiting)
			browsertest.Look(t, tab, "pay-waiting-"+c.name)

			g.pass(time.Minute)
			if err := g.service.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			browsertest.Follow(t, tab, "a.kern-btn--primary")
			heading(t, tab, c.payed)
			browsertest.Look(t, tab, "pay-result-"+c.name)
		})
	}
}

// The browser goes on to the client's own page, on another origin, without stumbling over
// the pages' content security policy.
func TestBrowser_backToTheService(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	service := newService(t)
	made := g.claimFor("r-1", service+"/zurueck?antrag=17")
	tab := browsertest.Open(t, browsertest.Options{NoScript: true})
	browsertest.Visit(t, tab, made.pay)
	browsertest.Press(t, tab, "input[value=card]")
	browsertest.Follow(t, tab, "main form button.kern-btn--primary")
	browsertest.Follow(t, tab, "button[value=pay]")
	at := browsertest.Evaluate(t, tab, "location.href")
	if want := service + "/zurueck?antrag=17"; at != want {
		t.Errorf("after paying the browser is at %s, want %s", at, want)
	}
	canceled := g.claimFor("r-2", service+"/zurueck?antrag=18")
	browsertest.Visit(t, tab, canceled.pay)
	browsertest.Follow(t, tab, "main form button.kern-btn--tertiary")
	at = browsertest.Evaluate(t, tab, "location.href")
	if want := service + "/zurueck?antrag=18"; at != want {
		t.Errorf("after canceling the browser is at %s, want %s", at, want)
	}
}

// newService stands for the online service that the browser goes back to.
func newService(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(`<!DOCTYPE html><html lang="de"><title>Dienst</title><link rel="icon" href="data:,"><h1>Willkommen zurück</h1>`))
	}))
	t.Cleanup(server.Close)
	return server.URL
}
