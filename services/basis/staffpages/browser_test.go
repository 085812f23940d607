package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"basisdienste/platform/web/browsertest"
)

// tab is a member of the staff at a browser.
type tab struct {
	context.Context
	g    *rig
	name string
}

// at opens a browser and logs in.
func (g *rig) at(o browsertest.Options, name, subject, roles string) *tab {
	g.t.Helper()
	b := &tab{browsertest.Open(g.t, o), g, name}
	b.open("/t/erfurt/staff/test-login/" + subject + "/" + roles)
	return b
}

func (b *tab) open(path string) {
	b.g.t.Helper()
	browsertest.Visit(b.g.t, b, b.g.URL+path)
}

// look shows the page to axe-core, measures it, and takes a picture.
func (b *tab) look(page, heading string) {
	b.g.t.Helper()
	if got := browsertest.Evaluate(b.g.t, b, `(document.querySelector("main h1") || document.body).innerText`); got != heading {
		b.g.t.Fatalf("%s: heading = %q, want %q", page, got, heading)
	}
	browsertest.Look(b.g.t, b, page+"-"+b.name)
}

func (b *tab) press(css string) {
	b.g.t.Helper()
	browsertest.Follow(b.g.t, b, css)
}

// fill replaces the value of a field.
func (b *tab) fill(field, value string) {
	b.g.t.Helper()
	browsertest.Evaluate(b.g.t, b, fmt.Sprintf(`(document.querySelector("main [name=%s]").value = "", "")`, field))
	if err := chromedp.Do(b, chromedp.SendKeys(chromedp.CSS("main [name="+field+"]"), value)); err != nil {
		b.g.t.Fatalf("fill %s: %v", field, err)
	}
}

// looks are how people look at pages.
func looks(t *testing.T, f func(t *testing.T, name string, o browsertest.Options, de bool)) {
	t.Helper()
	for name, o := range map[string]browsertest.Options{"desk": {}, "desk-en": {NoScript: true, Lang: "en"}, "phone-dark": {Phone: true, NoScript: true, Dark: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, name, o, o.Lang != "en")
		})
	}
}

func word(german bool, de, en string) string {
	if german {
		return de
	}
	return en
}

func TestBrowser_payments(t *testing.T) {
	t.Parallel()
	looks(t, func(t *testing.T, name string, o browsertest.Options, de bool) {
		g := newRig(t)
		b := g.at(o, name, "kim", clerk)
		b.open("/t/erfurt/staff/payments")
		b.look("payments-none", word(de, "Zahlungen", "Payments"))
		b.open("/t/erfurt/staff/refunds")
		b.look("refunds-none", word(de, "Erstattungen", "Refunds"))
		open, paid := g.claim(3070), g.paid(60000)
		b.open("/t/erfurt/staff/payments")
		b.look("payments", word(de, "Zahlungen", "Payments"))
		b.open("/t/erfurt/staff/payments?from-day=31&from-month=2&from-year=2026")
		b.look("payments-wrong", word(de, "Zahlungen", "Payments"))

		b.open("/t/erfurt/staff/payments/" + open.ID.String())
		b.look("payment-open", word(de, "Zahlung ", "Payment ")+open.Kassenzeichen)
		b.press("main a[href$='/withdraw']")
		b.look("payment-withdraw", word(de, "Diese Forderung zurückziehen?", "Withdraw this claim?"))
		b.press("main button.kern-btn--primary")
		b.look("payment-withdrawn", word(de, "Zahlung ", "Payment ")+open.Kassenzeichen)

		held := g.create(3070, true)
		g.byCard(held)
		b.open("/t/erfurt/staff/payments/" + held.ID.String())
		b.look("payment-held", word(de, "Zahlung ", "Payment ")+held.Kassenzeichen)
		b.press("main a[href$='/capture']")
		b.look("payment-capture", word(de, "Diesen Betrag einziehen?", "Take this amount?"))

		b.open("/t/erfurt/staff/payments/" + paid.ID.String())
		b.press("main a[href$='/refund']")
		b.look("refund", word(de, "Geld erstatten", "Give money back"))
		b.fill("amount", "600,01")
		b.press("main button.kern-btn--primary")
		b.look("refund-wrong", word(de, "Geld erstatten", "Give money back"))
		if got := browsertest.Evaluate(t, b, "document.activeElement.id"); got != "errors" {
			t.Errorf("after mistakes the focus is on %q, want the error summary", got)
		}
		b.fill("amount", "300,00")
		b.fill("note", "Zu viel berechnet")
		b.press("main button.kern-btn--primary")
		b.look("refund-own", word(de, "Zahlung ", "Payment ")+paid.Kassenzeichen)

		second := g.at(o, name, "robin", clerk)
		second.open("/t/erfurt/staff/refunds")
		second.look("refunds", word(de, "Erstattungen", "Refunds"))
		second.press("main table a")
		second.look("refund-second", word(de, "Zahlung ", "Payment ")+paid.Kassenzeichen)
		second.press("main form[action$='/approve'] button")
		second.look("refund-approved", word(de, "Zahlung ", "Payment ")+paid.Kassenzeichen)
	})
}

func TestBrowser_treasury(t *testing.T) {
	t.Parallel()
	looks(t, func(t *testing.T, name string, o browsertest.Options, de bool) {
		g := newRig(t)
		b := g.at(o, name, "kim", admin)
		treasury, statements := word(de, "Kasse", "Treasury"), word(de, "Kontoauszüge", "Bank statements")
		b.open(kasse)
		b.look("closing-none", treasury)
		g.paid(60000)
		b.open(kasse + "?" + query(g.dayOf("day", 0)))
		b.look("closing", treasury)
		b.open(kasse + "?" + query(g.dayOf("day", 1)))
		b.look("closing-wrong", treasury)

		b.open(kasse + "/exports")
		b.look("exports", word(de, "Buchungen herunterladen", "Download bookings"))
		b.open(kasse + "/exports/download?what=payments&format=xml&" + query(g.dayOf("from", -1)) + "&" + query(g.dayOf("to", 0)))
		b.look("exports-wrong", word(de, "Buchungen herunterladen", "Download bookings"))

		b.open(kasse + "/statements")
		b.look("statements-none", statements)
		b.press("main button.kern-btn--primary")
		b.look("statements-no-file", statements)
		text := auszug(g.claim(3070), g.claim(5000))
		b.choose(strings.Replace(text, "42.00", "42.01", 1))
		b.press("main button.kern-btn--primary")
		b.look("statements-refused", statements)
		b.choose(text)
		b.press("main button.kern-btn--primary")
		b.look("statement", word(de, "Kontoauszug 2026-324", "Bank statement 2026-324"))
		b.open(kasse + "/statements")
		b.look("statements", statements)

		claim := g.claim(3070)
		g.payout("po_1QO2Bc2eZvKYlo2C0example", claim, 2)
		g.dispute(claim)
		b.open(kasse + "/settlements")
		b.look("settlements", word(de, "Auszahlungen der Zahlungsdienste", "Payouts of payment providers"))
		b.press("main table a")
		b.look("settlement", word(de, "Auszahlung ", "Payout ")+"po_1QO2Bc2eZvKYlo2C0example")
		b.open(kasse + "/disputes")
		b.look("disputes", word(de, "Rückbuchungen", "Disputes"))
	})
}

// choose takes a file into the page's file field.
func (b *tab) choose(text string) {
	b.g.t.Helper()
	name := filepath.Join(b.g.t.TempDir(), "auszug.xml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		b.g.t.Fatal(err)
	}
	if err := chromedp.Do(b, chromedp.SetUploadFiles(chromedp.CSS("main input[type=file]"), []string{name})); err != nil {
		b.g.t.Fatal(err)
	}
}

func TestBrowser_claims(t *testing.T) {
	t.Parallel()
	looks(t, func(t *testing.T, name string, o browsertest.Options, de bool) {
		g := newRig(t)
		b := g.at(o, name, "kim", clerk)
		b.open("/t/erfurt/staff/payments/new")
		b.look("claim", word(de, "Forderung anlegen", "Make a claim"))
		b.press("main button.kern-btn--primary")
		b.look("claim-wrong", word(de, "Forderung anlegen", "Make a claim"))
		b.fill("description", "Fundsache")
		b.fill("amount", "12,50")
		b.press("main button.kern-btn--primary")
		browsertest.Look(t, b, "claim-made-"+name)
		b.press("main a[href$='/request']")
		b.look("claim-ask", word(de, "Zahlung per E-Mail anfordern", "Ask for the payment by mail"))
		b.press("main button.kern-btn--primary")
		b.look("claim-ask-wrong", word(de, "Zahlung per E-Mail anfordern", "Ask for the payment by mail"))
		b.fill("email", "erika@example.org")
		b.press("main button.kern-btn--primary")
		browsertest.Look(t, b, "claim-asked-"+name)
	})
}

func TestBrowser_webhooks(t *testing.T) {
	t.Parallel()
	looks(t, func(t *testing.T, name string, o browsertest.Options, de bool) {
		g := newRig(t)
		b := g.at(o, name, "kim", admin)
		b.open(hooks)
		b.look("webhooks-none", "Webhooks")
		b.press("main a.kern-btn--primary")
		b.look("webhook-new", word(de, "Adresse anlegen", "Register an address"))
		b.fill("url", "https://10.0.0.1/")
		b.press("main button.kern-btn--primary")
		b.look("webhook-new-wrong", word(de, "Adresse anlegen", "Register an address"))
		b.fill("url", "https://kasse.example/hook")
		b.press("main button.kern-btn--primary")
		b.look("webhook-secret", word(de, "Geheimnis", "Secret"))
		b.press("main a.kern-btn--primary")
		b.look("webhook-no-messages", "Webhook")
		b.press("main form[action$='/test'] button")
		g.giveUp()
		b.open(browsertest.Evaluate(t, b, "location.pathname"))
		b.look("webhook", "Webhook")
		b.press("main form[action$='/disable'] button")
		b.look("webhook-disabled", "Webhook")
		b.open(hooks)
		b.look("webhooks", "Webhooks")
	})
}
