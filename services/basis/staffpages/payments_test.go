package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
)

func (g *rig) refundsOf(of payment.Transaction) (list []payment.Refund) {
	g.t.Helper()
	list, err := g.service.Refunds(runtest.Context(g.t, g.erfurt), of.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	return list
}

func TestPayments_AreFound(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	p := g.staff("erfurt", "kim", clerk)
	p.open("/t/erfurt/staff/payments")
	p.sees(200, "Zahlungen", "Keine Zahlung passt zu diesen Angaben.")
	open, paid := g.claim(3070), g.paid(1250)
	p.open("/t/erfurt/staff/payments")
	p.sees(200, open.Kassenzeichen, paid.Kassenzeichen, "30,70 €", "12,50 €", "Offen", "Bezahlt", "Bewohnerparkausweis")
	p.misses("Weitere anzeigen")
	for _, c := range []struct {
		answers     []string
		sees, other string
	}{
		{[]string{"state", "PAYED"}, paid.Kassenzeichen, open.Kassenzeichen},
		{[]string{"kassenzeichen", open.Kassenzeichen}, open.Kassenzeichen, paid.Kassenzeichen},
		{[]string{"request_id", "antrag-2"}, paid.Kassenzeichen, open.Kassenzeichen},
		{[]string{"kassenzeichen", "K-none"}, "Keine Zahlung passt", paid.Kassenzeichen},
		{[]string{"to-day", "1", "to-month", "1", "to-year", "2020"}, "Keine Zahlung passt", paid.Kassenzeichen},
	} {
		p.open("/t/erfurt/staff/payments")
		p.send("/staff/payments", c.answers...)
		p.sees(200, c.sees)
		p.misses(c.other)
	}
	today := g.clock().In(berlin(t))
	p.open("/t/erfurt/staff/payments")
	day, month, year := today.Format("2"), today.Format("1"), today.Format("2006")
	p.send("/staff/payments", "from-day", day, "from-month", month, "from-year", year, "to-day", day, "to-month", month, "to-year", year)
	p.sees(200, open.Kassenzeichen, paid.Kassenzeichen)
	p.open("/t/erfurt/staff/payments")
	p.send("/staff/payments", "from-day", "31", "from-month", "2", "from-year", "2026")
	p.sees(422, "Angelegt ab")
	p.misses(open.Kassenzeichen)
	p.open("/t/erfurt/staff/payments/" + paid.ID.String() + "?lang=en")
	p.sees(200, "Payment "+paid.Kassenzeichen, "€12.50", "Paid", "Give money back", "This payment has no refunds.", "Payment begun", "Items", "Ausweis")
}

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestPayments_HavePages(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	first := g.claim(100)
	for range 50 {
		g.claim(100)
	}
	p := g.staff("erfurt", "kim", clerk)
	p.open("/t/erfurt/staff/payments")
	p.misses(first.Kassenzeichen)
	p.send("/staff/payments", "state", "INITIAL")
	p.follow("Weitere anzeigen")
	p.sees(200, first.Kassenzeichen)
	p.misses("Weitere anzeigen")
}

func TestPayments_AreWithdrawn(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := g.claim(3070)
	p := g.staff("erfurt", "kim", clerk)
	p.open("/t/erfurt/staff/payments/" + made.ID.String())
	p.misses("Geld erstatten")
	p.follow("Forderung zurückziehen")
	p.sees(200, "Diese Forderung zurückziehen?", "nicht rückgängig", made.Kassenzeichen)
	other := g.staff("erfurt", "robin", clerk)
	other.open("/t/erfurt/staff/payments/" + made.ID.String() + "/withdraw")
	p.send("/withdraw")
	p.sees(200, "Die Forderung ist zurückgezogen.", "Abgebrochen", "Von der Gemeinde zurückgezogen", "Sie")
	p.misses("Forderung zurückziehen")
	if got, err := g.service.Get(runtest.Context(t, g.erfurt), made.ID); err != nil || got.State != payment.Canceled {
		t.Errorf("after withdrawing the transaction is %s, %v; want CANCELED", got.State, err)
	}
	paid := g.claim(3070)
	other.open("/t/erfurt/staff/payments/" + paid.ID.String() + "/withdraw")
	g.pay(paid)
	other.send("/withdraw") // somebody paid while the page was open
	other.sees(409, "schon abgeschlossen", "Geld erstatten")
}

func TestPayments_AreCaptured(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := g.create(3070, true)
	p := g.staff("erfurt", "kim", clerk)
	own := "/t/erfurt/staff/payments/" + made.ID.String()
	if got := p.status(own + "/capture"); got != http.StatusConflict {
		t.Errorf("the page to capture what nobody paid = %d, want 409", got)
	}
	p.sees(409, "kein Betrag vorgemerkt")
	g.byCard(made)
	p.open(own)
	p.sees(200, "auf der Karte vorgemerkt", "Betrag vorgemerkt")
	p.follow("Betrag einziehen")
	p.sees(200, "Diesen Betrag einziehen?", made.Kassenzeichen)
	late := g.staff("erfurt", "robin", clerk)
	late.open(own + "/capture")
	p.send("/capture")
	p.sees(200, "Der Betrag ist eingezogen.", "Bezahlt")
	late.send("/capture") // asking again takes nothing twice
	late.sees(200, "Der Betrag ist eingezogen.")
	if got := p.status(own + "/capture"); got != http.StatusConflict {
		t.Errorf("the page to capture what was captured = %d, want 409", got)
	}
}

func TestRefunds_AreRequested(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := g.paid(3070)
	p := g.staff("erfurt", "kim", clerk)
	p.open("/t/erfurt/staff/payments/" + made.ID.String())
	p.follow("Geld erstatten")
	p.sees(200, "Kann noch erstattet werden", "30,70 €")
	form, err := p.Page.FormTo("")
	if err != nil || !p.Page.HasField("amount") {
		t.Fatalf("form = %+v, %v; want one for the amount", form, err)
	}
	for amount, want := range map[string]string{
		"": "Bitte füllen Sie", "abc": "Zahl", "0": "über null", "12,505": "über null", "1.234,50": "Zahl", "-1": "über null", "30,71": "höchstens 30,70 Euro",
	} {
		p.send("", "amount", amount, "note", "Gebühr erlassen")
		p.sees(422, want, "Betrag der Erstattung")
	}
	p.send("", "amount", "1,00", "note", "")
	p.sees(422, "Grund der Erstattung")
	if list := g.refundsOf(made); len(list) != 0 {
		t.Fatalf("refunds after mistakes = %+v, want none", list)
	}
	p.open("/t/erfurt/staff/payments/" + made.ID.String() + "/refund")
	again := g.staff("erfurt", "kim", clerk)
	*again.Page = *p.Page // the same page in another tab
	p.send("", "amount", "12,50", "note", "Gebühr erlassen")
	p.sees(200, "Das Geld ist erstattet.", "Erstattet", "12,50 €", "Gebühr erlassen", "Sie")
	again.send("", "amount", "12,50", "note", "Gebühr erlassen")
	if list := g.refundsOf(made); len(list) != 1 || list[0].Amount != 1250 || list[0].State != payment.RefundSucceeded || list[0].RequestedBy != "staff:kim" {
		t.Errorf("refunds after one form was sent twice = %+v, want one of 12.50 by staff:kim", list)
	}
	p.open("/t/erfurt/staff/payments/" + made.ID.String() + "/refund")
	p.sees(200, "18,20 €")
	p.send("", "amount", "18.20", "note", "Der Rest") // with a point, too
	p.sees(200, "Das Geld ist erstattet.")
	p.misses("Geld erstatten ")
	if got := p.status("/t/erfurt/staff/payments/" + made.ID.String() + "/refund"); got != http.StatusConflict {
		t.Errorf("the form for a refund when nothing is left = %d, want 409", got)
	}
	p.sees(409, "kein Geld da")
	thirteen := g.paid(3070) // what the sandbox refuses
	p.open("/t/erfurt/staff/payments/" + thirteen.ID.String() + "/refund")
	p.send("", "amount", "1,13", "note", "x")
	p.sees(200, "Der Zahlungsdienst hat die Erstattung abgelehnt.", "Das Konto besteht nicht mehr")
}

// Money that a bank statement tells of came in after the claim was paid: staff chooses which to
// give back.
func TestRefunds_OfASurplus(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := g.paid(3070)
	kim := g.staff("erfurt", "kim", admin)
	kim.open(kasse + "/statements")
	kim.sendFile("/statements", file(auszug(made, g.claim(5000))))
	kim.sees(200, "30,70 € Die Forderung war schon bezahlt (als Überzahlung gebucht) "+made.Kassenzeichen)
	kim.open("/t/erfurt/staff/payments/" + made.ID.String())
	kim.sees(200, "Geld ging ein, obwohl nichts offen war")
	kim.follow("Geld erstatten")
	kim.sees(200, "Welches Geld?", "Die Zahlung", "Geld, das danach noch einging", "Noch 30,70 Euro", "61,40 €")
	kim.send("", "note", "Doppelt bezahlt", "attempt", "another")
	kim.sees(422, "Welches Geld?")
	kim.open("/t/erfurt/staff/payments/" + made.ID.String() + "/refund")
	kim.send("", "note", "Doppelt bezahlt")
	kim.sees(200, "Das Geld ist erstattet.")
	kim.follow("Geld erstatten")
	kim.sees(200, "Kann noch erstattet werden 30,70 €")
	kim.misses("Welches Geld?")
}

func TestRefunds_NeedASecondPerson(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := g.paid(60000)
	first, second := g.staff("erfurt", "kim", clerk), g.staff("erfurt", "robin", clerk)
	second.open("/t/erfurt/staff/refunds")
	second.sees(200, "Keine Erstattung wartet auf eine zweite Person.")
	first.open("/t/erfurt/staff/payments/" + made.ID.String() + "/refund")
	first.send("", "amount", "300,00", "note", "Zu viel berechnet")
	first.sees(200, "Eine zweite Person muss sie freigeben.", "Freigeben muss sie jemand anderes")
	if _, err := first.Page.FormTo("/approve"); err == nil {
		t.Error("who asked is offered to approve, want not")
	}
	waits := g.refundsOf(made)[0]
	approve := "/t/erfurt/staff/payments/" + made.ID.String() + "/refunds/" + waits.ID.String() + "/approve"
	if f, err := first.Page.FormTo("/reject"); err != nil {
		t.Error(err)
	} else {
		f.Action = approve // by hand
		if err := first.Submit(t.Context(), f, "", nil); err == nil {
			t.Error("who asked approves, want a refusal")
		}
		first.sees(403, "Jemand anderes muss sie freigeben.")
	}
	second.open("/t/erfurt/staff/refunds")
	second.sees(200, made.Kassenzeichen, "300,00 €", "Zu viel berechnet")
	second.follow(made.Kassenzeichen)
	stale := g.staff("erfurt", "sascha", clerk)
	stale.open("/t/erfurt/staff/payments/" + made.ID.String())
	second.send("/approve")
	second.sees(200, "Die Erstattung ist freigegeben.", "Erstattet", "Erstattung freigegeben")
	stale.send("/reject")
	stale.sees(409, "Über diese Erstattung ist schon entschieden.")
	first.open("/t/erfurt/staff/payments/" + made.ID.String() + "/refund?lang=en")
	first.send("", "amount", "300.00", "note", "The rest")
	first.sees(200, "A second person has to approve it.")
	first.send("/reject")
	first.sees(200, "The refund is rejected.", "Rejected")
	if list := g.refundsOf(made); len(list) != 2 || list[0].State != payment.RefundSucceeded || list[1].State != payment.RefundRejected {
		t.Errorf("refunds = %+v, want one SUCCEEDED and one REJECTED", list)
	}
}

// Nobody reads or changes what is another municipality's, or without the role.
func TestPayments_OfOthers(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made := g.paid(60000)
	kim := g.staff("erfurt", "kim", clerk)
	kim.open("/t/erfurt/staff/payments/" + made.ID.String() + "/refund")
	kim.send("", "amount", "300,00", "note", "x")
	waits := g.refundsOf(made)[0]
	one := "/payments/" + made.ID.String()
	stranger := g.staff("jena", "juri", admin)
	for _, path := range []string{one, one + "/withdraw", one + "/capture", one + "/refund"} {
		if got := stranger.status("/t/jena/staff" + path); got != http.StatusNotFound {
			t.Errorf("GET %s by staff of another municipality = %d, want 404", path, got)
		}
	}
	for _, path := range []string{"/payments", "/refunds"} {
		stranger.open("/t/jena/staff" + path)
		stranger.misses(made.Kassenzeichen)
	}
	for _, path := range []string{one + "/withdraw", one + "/capture", one + "/refund", one + "/refunds/" + waits.ID.String() + "/approve", one + "/refunds/" + waits.ID.String() + "/reject"} {
		stranger.open("/t/jena/staff/refunds")
		f := stranger.Page.Forms()[0]
		f.Action, f.Method = "/t/jena/staff"+path, "POST"
		if err := stranger.Submit(t.Context(), f, "", nil); err == nil || stranger.Page.Status != http.StatusNotFound {
			t.Errorf("POST %s by staff of another municipality = %d, %v; want 404", path, stranger.Page.Status, err)
		}
	}
	nobody := g.staff("erfurt", "alex", "registrar")
	for _, path := range []string{"/payments", "/refunds", one, one + "/withdraw", one + "/capture", one + "/refund"} {
		if got := nobody.status("/t/erfurt/staff" + path); got != http.StatusForbidden {
			t.Errorf("GET %s by staff without a role = %d, want 403", path, got)
		}
		a := g.Do("GET", "/t/erfurt/staff"+path, "", nil, "Accept", "text/html")
		if to := a.Header.Get("Location"); a.Status != http.StatusSeeOther || !strings.Contains(to, "/t/erfurt/auth/authorize?") {
			t.Errorf("GET %s by nobody = %d to %q, want 303 to the login", path, a.Status, to)
		}
	}
	forged := g.Do("POST", "/t/erfurt/staff"+one+"/refund", "", "amount=1", "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Sec-Fetch-Site", "cross-site")
	if forged.Status != http.StatusForbidden {
		t.Errorf("POST from another site = %d, want 403", forged.Status)
	}
	if list := g.refundsOf(made); len(list) != 1 || list[0].State != payment.RefundWaiting {
		t.Errorf("refunds = %+v, want the one, and it waits", list)
	}
}
