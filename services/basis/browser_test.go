package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"basisdienste/platform/web/browsertest"
	"basisdienste/services/basis/clients"
)

// person looks at pages in a tab of Chromium.
type person struct {
	t       *testing.T
	tab     context.Context
	s       *server
	variant string
	seen    int
}

// TestBrowser walks the citizen's journey, the clerk's and the operator's, with and without
// JavaScript, on a desk and on a phone, and shows every page to axe-core.
func TestBrowser(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start(t)
	proofFile := filepath.Join(t.TempDir(), "fahrzeugschein.pdf")
	if err := os.WriteFile(proofFile, []byte(clients.Proof), 0o600); err != nil {
		t.Fatal(err)
	}
	for variant, options := range map[string]browsertest.Options{
		"desk": {}, "phone-noscript": {Phone: true, NoScript: true},
	} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			meet := func() *person {
				return &person{t: t, tab: browsertest.Open(t, options), s: s, variant: variant}
			}
			citizen := meet()
			reference := citizen.applies(proofFile)
			clerk := meet()
			clerk.decides(reference)
			citizen.books()
			citizen.readsMailbox()
			operator := meet()
			operator.looks()
			t.Logf("%d pages", citizen.seen+clerk.seen+operator.seen)
		})
	}
}

// see checks the page that is shown: its heading, axe-core, its width.
func (p *person) see(name, heading string) {
	p.t.Helper()
	p.seen++
	if got := p.evaluate(`(document.querySelector("main h1") || document.body).innerText`); !strings.Contains(got, heading) {
		p.t.Fatalf("%s at %s: got heading %q, want %q\n%.600s", name, p.evaluate("location.href"), got, heading, p.evaluate(`document.body.innerText`))
	}
	browsertest.Look(p.t, p.tab, name+"-"+p.variant)
}

func (p *person) open(path string) {
	p.t.Helper()
	browsertest.Visit(p.t, p.tab, p.s.url+path)
}

func (p *person) evaluate(expression string) string {
	p.t.Helper()
	return browsertest.Evaluate(p.t, p.tab, expression)
}

// press presses the first link or button of the main part whose text holds what, by the Enter
// key, and waits for the page that follows.
func (p *person) press(what string) {
	p.t.Helper()
	found := p.evaluate(fmt.Sprintf(`(() => {
		document.querySelectorAll("[data-press]").forEach(e => e.removeAttribute("data-press"));
		const e = [...document.querySelectorAll("main a, main button")].find(e => e.getClientRects().length && e.innerText.includes(%s));
		if (!e) return "";
		e.setAttribute("data-press", "");
		return "yes";
	})()`, quoted(what)))
	if found == "" {
		p.t.Fatalf("%s: nothing to press says %q\n%.600s", p.evaluate("location.href"), what, p.evaluate(`document.body.innerText`))
	}
	browsertest.Follow(p.t, p.tab, "[data-press]")
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		return `""` // no string of ours
	}
	return string(text)
}

// fill types into the fields whose names end so; of choices it takes the one of that value.
func (p *person) fill(answers map[string]string) {
	p.t.Helper()
	for name, value := range answers {
		kind := p.evaluate(fmt.Sprintf(`(() => {
			const named = [...document.querySelectorAll("main [name]")].filter(e => e.name.endsWith(%s));
			const e = named.find(e => (e.type != "radio" && e.type != "checkbox") || e.value == %s);
			if (!e) return "";
			document.querySelectorAll("[data-fill]").forEach(e => e.removeAttribute("data-fill"));
			e.setAttribute("data-fill", "");
			if (e.tagName == "SELECT") { e.value = %[2]s; return "done"; }
			if (e.type == "radio" || e.type == "checkbox") return e.checked ? "done" : "choice";
			e.value = "";
			return e.type == "file" ? "file" : "text";
		})()`, quoted(name), quoted(value)))
		field := chromedp.CSS("[data-fill]")
		var err error
		switch kind {
		case "text":
			err = chromedp.Do(p.tab, chromedp.SendKeys(field, value))
		case "choice": // by keyboard
			err = chromedp.Do(p.tab, chromedp.SendKeys(field, " "))
			if err == nil && p.evaluate(`String(document.querySelector("[data-fill]").checked)`) != "true" {
				p.t.Fatalf("%s: the space bar does not choose %s of %s", p.evaluate("location.href"), value, name)
			}
		case "file":
			err = chromedp.Do(p.tab, chromedp.SetUploadFiles(field, []string{value}))
		case "done":
		default:
			p.t.Fatalf("%s: no field %q for %q", p.evaluate("location.href"), name, value)
		}
		if err != nil {
			p.t.Fatalf("fill %s: %v", name, err)
		}
	}
}

// applies goes from the municipality's page to the paid application, whose reference number
// it returns.
func (p *person) applies(proofFile string) (reference string) {
	p.open("/")
	p.see("home", "Online-Dienste")
	p.open("/t/erfurt/")
	p.see("municipality", "Erfurt")
	p.press("Antrag stellen")
	p.see("forms", "Was möchten Sie beantragen?")
	p.press("Bewohnerparkausweis")
	p.see("form-start", "Bewohnerparkausweis")
	p.press("Antrag beginnen")
	p.see("login", "Testanmeldung")
	p.press("Anmelden")
	p.see("form-begin", "Bevor Sie beginnen")
	p.press("Neuen Antrag beginnen")
	p.see("question-residence", "Wo wohnen Sie?")
	p.press("Weiter")
	p.see("question-residence-errors", "Wo wohnen Sie?")
	if got := p.evaluate("document.activeElement.id"); got != "errors" {
		p.t.Errorf("after mistakes the focus is on %q, want the error summary", got)
	}
	p.fill(map[string]string{"residence-main": "yes", "residence-zone": "A1"})
	p.press("Weiter")
	p.see("question-contact", "Wie erreichen wir Sie?")
	p.press("Weiter")
	p.see("question-vehicle", "Ihr Fahrzeug")
	p.fill(map[string]string{"vehicle-plate": "EF-AB 123", "vehicle-owner": "self"})
	p.press("Weiter")
	p.see("question-permit", "Ihr Ausweis")
	p.fill(map[string]string{"permit-years": "1"})
	p.press("Weiter")
	p.see("question-proofs", "Nachweise")
	p.fill(map[string]string{"vehicle-registration": proofFile})
	p.press("Weiter")
	p.see("check", "Prüfen und absenden")
	p.press("Kostenpflichtig absenden")
	p.see("check-errors", "Prüfen und absenden")
	p.fill(map[string]string{"declaration": "true"})
	p.press("Kostenpflichtig absenden")
	p.see("pay", "Gebühr bezahlen")
	p.choose()
	p.press("Weiter")
	p.see("provider", "Sandbox")
	p.press("Bezahlen")
	p.see("application", "Bewohnerparkausweis")
	eventually(p.t, 10*time.Second, "the application is paid", func() error {
		p.open(p.evaluate("location.pathname"))
		if text := p.evaluate(`document.querySelector("main").innerText`); !strings.Contains(text, "Ihr Antrag ist eingegangen") {
			return fmt.Errorf("the page says %.200s", text)
		}
		return nil
	})
	p.see("application-paid", "Bewohnerparkausweis")
	reference = p.evaluate(`document.querySelector("main").innerText.match(/BPA-\d\d-\w+/)[0]`)
	p.open("/t/erfurt/forms/applications")
	p.see("my-applications", "Meine Anträge")
	return reference
}

// choose takes the first choice of the page, unless one is taken.
func (p *person) choose() {
	p.t.Helper()
	value := p.evaluate(`(() => {
		if (document.querySelector("main input[type=radio]:checked")) return "";
		const e = document.querySelector("main input[type=radio]");
		return e ? e.name + "=" + e.value : "";
	})()`)
	if name, v, ok := strings.Cut(value, "="); ok {
		p.fill(map[string]string{name: v})
	}
}

// decides logs in as the clerk and accepts the application.
func (p *person) decides(reference string) {
	d := p.s.demo(p.t)
	p.open("/t/erfurt/staff")
	p.see("staff-login", "Anmeld")
	p.fill(map[string]string{"username": d.Staff.Username, "password": "falsch"})
	p.press("Anmelden")
	p.see("staff-login-errors", "Anmeld")
	p.fill(map[string]string{"username": d.Staff.Username, "password": d.Staff.Password})
	p.press("Anmelden")
	p.see("staff-applications", "Anträge")
	p.press(reference)
	p.see("staff-application", "Bewohnerparkausweis")
	p.press("Ablehnen")
	p.see("staff-application-errors", "Bewohnerparkausweis")
	p.press("Annehmen")
	p.see("staff-application-accepted", "Bewohnerparkausweis")
	if text := p.evaluate(`document.querySelector("main").innerText`); !strings.Contains(text, "Angenommen") {
		p.t.Errorf("after accepting the page says %s", text)
	}
	p.open("/t/erfurt/staff/payments?state=PAYED")
	p.see("staff-payments", "Zahlungen")
	p.press("1605")
	p.see("staff-payment", "Zahlung 1605")
	p.open("/t/erfurt/staff/treasury")
	p.see("staff-treasury", "Kasse")
	p.open("/t/erfurt/staff/webhooks")
	p.see("staff-webhooks", "Webhooks")
}

// books takes the first free time.
func (p *person) books() {
	p.open("/t/erfurt/booking/")
	p.see("booking-start", "Termin vereinbaren")
	p.press("Bewohnerparken")
	p.see("booking-times", "Zeit")
	p.press("Uhr")
	p.see("booking-details", "Angaben")
	p.press("Weiter")
	p.see("booking-details-errors", "Angaben")
	p.fill(map[string]string{"name": "Erika Beispiel", "email": "erika." + p.variant + "@example.org", "consent": "true"})
	p.press("Weiter")
	p.see("booking-check", "prüfen")
	p.press("buchen")
	p.see("booking-confirmed", "Ihr Termin ist gebucht")
}

// readsMailbox opens the newest message.
func (p *person) readsMailbox() {
	eventually(p.t, 10*time.Second, "a message is in the mailbox", func() error {
		p.open("/t/erfurt/mailbox/")
		if text := p.evaluate(`document.querySelector("main").innerText`); !strings.Contains(text, "bewilligt") {
			return fmt.Errorf("the page says %.300s", text)
		}
		return nil
	})
	p.see("mailbox", "Postfach")
	p.press("bewilligt")
	p.see("mailbox-message", "bewilligt")
}

// looks is the operator at its pages.
func (p *person) looks() {
	d := p.s.demo(p.t)
	p.open("/operator")
	p.see("operator-login", "Anmeld")
	p.fill(map[string]string{"username": d.OperatorLogin.Username, "password": d.OperatorLogin.Password})
	p.press("Anmelden")
	p.see("operator-tenants", "Mandanten")
	p.press("Erfurt")
	p.see("operator-tenant", "Erfurt")
	counted := p.evaluate(`[...document.querySelectorAll("main tr")].map(r => r.innerText.split(/\s+/).join(" ")).join("; ")`)
	if !strings.Contains(counted, "payment.transaction.payed") || strings.Contains(counted, " 0;") {
		p.t.Errorf("usage of Erfurt: got %s, want payments, and no 0", counted)
	}
	p.open("/operator/mail")
	p.see("operator-mail", "Postausgang")
	p.press("bewilligt")
	p.see("operator-mail-one", "bewilligt")
	p.open("/operator/events")
	p.see("operator-events", "Ereignisse")
}
