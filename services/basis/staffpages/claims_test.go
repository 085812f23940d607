package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"basisdienste/services/payment"
)

func TestClaims_AreMade(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	p := g.staff("erfurt", "kim", clerk)
	p.open("/t/erfurt/staff/payments")
	p.follow("Forderung anlegen")
	p.send("/new", "description", "", "amount", "12,50")
	p.sees(422, "Bitte füllen Sie „Wofür?“")
	p.send("/new", "description", "Fundsache", "amount", "0")
	p.sees(422, "über null")
	p.send("/new", "description", "Fundsache", "amount", "12,50", "due_on-day", "1", "due_on-month", "1", "due_on-year", "2020")
	p.sees(400, "„Fällig am“: So geht das nicht")
	p.open("/t/erfurt/staff/payments/new")
	twice := g.staff("erfurt", "kim", clerk)
	*twice.Page = *p.Page // the same page in another tab
	answers := append([]string{"description", "Fundsache", "amount", "12,50", "line", "1100.15000"}, g.dayOf("due_on", 20)...)
	p.send("/new", answers...)
	p.sees(200, "Die Forderung ist angelegt.", "12,50 €", "Offen", "Fundsache", "Fällig am "+g.clock().In(berlin(t)).AddDate(0, 0, 20).Format("02.01.2006"), "Link zum Bezahlen "+g.URL+"/pay/")
	own := p.Page.URL.Path
	twice.send("/new", answers...)
	if got := twice.Page.URL.Path; got != own {
		t.Errorf("the same form again leads to %s, want %s", got, own)
	}
	if a := g.as("kim", clerk, own+"/qr"); a.Status != 200 || !bytes.HasPrefix(a.Body, []byte("\x89PNG")) || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("GET qr = %d %v, want a picture to save", a.Status, a.Header)
	}

	p.follow("Zahlung per E-Mail anfordern")
	p.send("/request", "email", "nobody")
	p.sees(422, "E-Mail-Adresse der zahlenden Person")
	p.send("/request", "email", "erika@example.org")
	p.sees(200, "Die E-Mail geht gleich hinaus.", "Zahlung per E-Mail angefordert", "e***@example.org", "E-Mail geplant")
	if at := p.Page.URL.String(); strings.Contains(at, "example.org") {
		t.Errorf("the address stands in the URL %s", at)
	}
	p.open(own + "/request")
	p.send("/request", "email", "another@example.org")
	p.sees(409, "schon mit anderen Angaben angeschrieben")
	p.open(own)
	p.send("/stop")
	p.sees(200, "Niemand wird mehr erinnert.")
	p.misses("e***@example.org")

	p.open("/t/erfurt/staff/payments/" + g.paid(3070).ID.String())
	p.misses("Link zum Bezahlen")
	paid := p.Page.URL.Path
	if a := g.as("kim", clerk, paid+"/receipt"); a.Status != 200 || !bytes.HasPrefix(a.Body, []byte("%PDF-")) {
		t.Errorf("GET receipt = %d, want a PDF", a.Status)
	}
	if got := p.status(paid + "/request"); got != http.StatusConflict {
		t.Errorf("the form to ask for what is paid = %d, want 409", got)
	}
	p.sees(409, "Hier ist nichts mehr zu bezahlen.")
}

func TestClaims_OfOthers(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	open, paid := g.claim(3070), g.paid(1250)
	path := func(of payment.Transaction, what string) string { return "/payments/" + of.ID.String() + what }
	stranger, nobody := g.staff("jena", "juri", admin), g.staff("erfurt", "alex", "registrar")
	for _, at := range []string{path(open, "/qr"), path(open, "/request"), path(paid, "/receipt")} {
		if got := stranger.status("/t/jena/staff" + at); got != http.StatusNotFound {
			t.Errorf("GET %s by staff of another municipality = %d, want 404", at, got)
		}
	}
	for _, at := range []string{path(open, "/request"), path(open, "/request/stop")} {
		stranger.open("/t/jena/staff/payments/new")
		f := stranger.Page.Forms()[0]
		f.Action, f.Method = "/t/jena/staff"+at, "POST"
		f.Values.Set("email", "erika@example.org")
		f.Values.Set("language", "de")
		if err := stranger.Submit(t.Context(), f, "", nil); err == nil || stranger.Page.Status != http.StatusNotFound {
			t.Errorf("POST %s by staff of another municipality = %d, %v; want 404", at, stranger.Page.Status, err)
		}
	}
	for _, at := range []string{"/payments/new", path(open, "/qr"), path(open, "/request"), path(paid, "/receipt")} {
		if got := nobody.status("/t/erfurt/staff" + at); got != http.StatusForbidden {
			t.Errorf("GET %s by staff without a role = %d, want 403", at, got)
		}
	}
}
