package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/runtest"
	"basisdienste/platform/textbrowser"
	"basisdienste/services/payment"
	"basisdienste/services/payment/camt/camttest"
	"basisdienste/services/payment/settlement"
)

const kasse = "/t/erfurt/staff/treasury"

// dayOf is the answer to the three fields of a day, days from today on.
func (g *rig) dayOf(name string, days int) []string {
	at := g.clock().In(berlin(g.t)).AddDate(0, 0, days)
	return []string{name + "-day", at.Format("2"), name + "-month", at.Format("1"), name + "-year", at.Format("2006")}
}

func TestClosing(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	paid := g.paid(60000)
	g.claim(3070)
	p := g.staff("erfurt", "kim", admin)
	p.open("/t/erfurt/staff/payments")
	p.follow("Kasse")
	p.sees(200, "Die Bücher stimmen: keine Differenz", "Nummer 1", "An diesem Tag wurde nichts gebucht.")
	p.send("/staff/treasury", g.dayOf("day", 0)...)
	p.sees(200, "Der Tag ist noch nicht abgeschlossen", "Sollstellung 2 630,70 €", "Karte (Visa) 1 600,00 €", "1100.10000 630,70 € 0,00 € 1 600,00 €", "Forderungen", "Verrechnung: sandbox", "Offene Forderungen 30,70 €")
	p.send("/staff/treasury", g.dayOf("day", 1)...)
	p.sees(422, "Dieser Tag hat noch nicht begonnen")
	p.send("/staff/treasury", "day-day", "30", "day-month", "2", "day-year", "2026")
	p.sees(422, "Bitte geben Sie ein Datum ein")
	p.misses("Konten")
	p.send("/staff/treasury", "day-day", "", "day-month", "", "day-year", "")
	p.sees(422, "Bitte füllen Sie")

	g.ahead.Add(int64(25 * time.Hour))
	p = g.staff("erfurt", "kim", admin)
	p.open(kasse + "?lang=en")
	p.sees(200, "The books are right: no difference", "number 2", "Card (Visa) 1 €600.00", "Claim 2 €630.70")

	p.follow("Download bookings")
	p.send("/download")
	if text := p.Page.Text(); p.Page.Status != 200 || !strings.Contains(text, paid.Kassenzeichen) || !strings.Contains(text, ";600,00;") {
		t.Errorf("download = %d %s, want the payment with semicolons and a decimal comma", p.Page.Status, text)
	}
	for format, want := range map[string]string{"csv": ",600.00,", "json": `"amount":600.00`, "xml": `export:1" what="payments"`} {
		a := g.as("kim", admin, kasse+"/exports/download?what=payments&format="+format+"&"+query(g.dayOf("from", -1))+"&"+query(g.dayOf("to", -1)))
		if got := a.Header.Get("Content-Disposition"); a.Status != 200 || !strings.Contains(string(a.Body), want) || !strings.HasPrefix(got, "attachment; filename=istbuchungen-") {
			t.Errorf("download as %s = %d %q %s, want a file with %s", format, a.Status, got, a.Body, want)
		}
	}
	p.open(kasse + "/exports?lang=de")
	p.send("/download", g.dayOf("to", 0)...)
	p.sees(422, "Dieser Tag ist noch nicht vorbei")
	p.send("/download", append(g.dayOf("from", -1), g.dayOf("to", -2)...)...)
	p.sees(422, "Der letzte Tag liegt nicht vor dem ersten")
	p.send("/download", "what", "secrets")
	p.sees(422, "Welche Buchungen?")
}

func query(pairs []string) string {
	var parts []string
	for i := 0; i+1 < len(pairs); i += 2 {
		parts = append(parts, pairs[i]+"="+pairs[i+1])
	}
	return strings.Join(parts, "&")
}

func file(text string) *textbrowser.Upload {
	return &textbrowser.Upload{Name: "auszug.xml", MediaType: "application/xml", Content: []byte(text)}
}

// auszug is a statement of the bank: one movement pays the claim, one pays another amount, one
// names nothing, and one went out.
func auszug(claim, other payment.Transaction) string {
	return camttest.String("camt.053.001.08", camttest.Statement{ID: "2026-324", Sequence: 324, Opening: 10000, Entries: []camttest.Entry{
		{Amount: claim.Amount, Text: []string{"Gebuehr " + claim.Kassenzeichen}},
		{Amount: 1000, Text: []string{other.Kassenzeichen}},
		{Amount: 4200, Text: []string{"Danke"}},
		{Amount: 700, Debit: true, Text: []string{"Kontofuehrung"}},
	}})
}

func TestStatements(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	p := g.staff("erfurt", "kim", admin)
	p.open(kasse)
	p.follow("Kontoauszüge")
	p.sees(200, "Noch kein Kontoauszug wurde eingelesen.")
	p.send("/statements")
	p.sees(422, "Wählen Sie eine Datei")
	claim, other := g.claim(3070), g.claim(5000)
	text := auszug(claim, other)
	p.sendFile("/statements", file(strings.Replace(text, "42.00", "42.01", 1)))
	p.sees(422, "Die Datei wurde abgelehnt. Nichts wurde eingelesen", "Zeile ", " der Datei:")
	p.sendFile("/statements", file("<html></html>"))
	p.sees(422, "Die Datei wurde abgelehnt.", "Zeile 1 der Datei:", "Noch kein Kontoauszug wurde eingelesen.")
	p.sendFile("/statements", file(text))
	p.sees(200, "Der Kontoauszug ist eingelesen.", "Kontoauszug 2026-324", "Zugeordnet 1", "Umsätze 4", "Kontoauszug (CAMT.053)", "Sie",
		"Nicht zugeordnete Umsätze", "10,00 € Anderer Betrag als die Forderung "+other.Kassenzeichen, "42,00 € Nennt keine Forderung – Danke", "-7,00 € Ausgang", "20.11.2026")
	p.misses(claim.Kassenzeichen)
	if !strings.HasPrefix(p.Page.URL.Path, kasse+"/statements/") {
		t.Errorf("after the import the page is %s, want the statement's", p.Page.URL.Path)
	}
	own := p.Page.URL.Path
	p.send(own, "show", "matched")
	p.sees(200, claim.Kassenzeichen, "30,70 € Zugeordnet")
	p.misses("Danke")
	p.follow(claim.Kassenzeichen)
	p.sees(200, "Zahlung "+claim.Kassenzeichen, "Bezahlt")
	p.open(own + "?show=all&lang=en")
	p.sees(200, claim.Kassenzeichen, "Names no claim", "Movements 4")
	p.open(kasse + "/statements?lang=de")
	p.sees(200, "2026-324", "Kontoauszug (CAMT.053) 4 1")
	p.sendFile("/statements", file(text))
	p.sees(409, "Ein Auszug dieser Datei ist schon eingelesen.")
}

// payout saves one of the provider stripe, with as many payments of the claim as asked for.
func (g *rig) payout(name string, of payment.Transaction, payments int) {
	g.t.Helper()
	at := db.NewTime(g.clock().Add(-time.Hour))
	s := settlement.Settlement{Provider: "stripe", ID: name, Currency: "EUR", State: settlement.Paid, CreatedAt: at, ArrivesAt: at, Complete: payments > 0}
	for n := range payments {
		s.Lines = append(s.Lines, settlement.Line{
			ID: fmt.Sprint(name, "-", n), Kind: settlement.LinePayment, Source: fmt.Sprint("ch_", n), Transaction: of.ID, Amount: 3070, Fee: 71, Net: 2999, At: at,
		})
		s.Amount += 2999
	}
	if !s.Complete {
		s.Amount, s.State = 500, settlement.Pending
	}
	ctx := runtest.Context(g.t, g.erfurt)
	if err := g.Process.Host("payment").DB.Tx(ctx, func(tx *db.Tx) error { return settlement.Save(ctx, tx, s) }); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) dispute(of payment.Transaction) {
	g.t.Helper()
	at := db.NewTime(g.clock().Add(-time.Hour))
	ctx := runtest.Context(g.t, g.erfurt)
	err := g.Process.Host("payment").DB.Tx(ctx, func(tx *db.Tx) error {
		return settlement.SaveDispute(ctx, tx, settlement.Dispute{
			Provider: "stripe", ID: "dp_1", Transaction: of.ID, Amount: 3070, Currency: "EUR", State: settlement.NeedsResponse, CreatedAt: at, ReadAt: at,
		})
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

func TestSettlements(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	p := g.staff("erfurt", "kim", admin)
	p.open(kasse)
	p.follow("Auszahlungen der Zahlungsdienste")
	p.sees(200, "Keine Auszahlung in diesem Zustand.")
	claim := g.claim(3070)
	g.payout("po_few", claim, 2)
	g.payout("po_many", claim, 201)
	g.payout("po_soon", claim, 0)
	p.open(kasse + "/settlements")
	p.sees(200, "po_few 59,98 € Ausgezahlt", "po_soon 5,00 € Unterwegs", "In keinem eingelesenen Kontoauszug")
	p.send("/settlements", "state", "pending")
	p.sees(200, "po_soon")
	p.misses("po_few")
	p.follow("po_soon")
	p.sees(200, "Die Abrechnung ist noch nicht vollständig", "Noch sind keine Posten bekannt.")
	p.misses("herunterladen")
	p.open(kasse + "/settlements/stripe/po_few")
	p.sees(200, "Auszahlung po_few", "keine Differenz", "Zahlungen 61,40 €", "Gebühren -1,42 €", "Zahlung 30,70 € 0,71 € 29,99 € "+claim.Kassenzeichen)
	p.misses("Hier stehen die ersten")
	a := g.as("kim", admin, kasse+"/settlements/stripe/po_few/download")
	if got := a.Header.Get("Content-Disposition"); a.Status != 200 || strings.Count(string(a.Body), ";30,70;0,71;29,99;") != 2 || got != "attachment; filename=abrechnung-stripe-po_few.csv" {
		t.Errorf("download = %d %q %s, want a file with two lines", a.Status, got, a.Body)
	}
	p.open(kasse + "/settlements/stripe/po_many?lang=en")
	p.sees(200, "€6,027.99", "These are the first 200 lines.", "no difference", "Download the lines as CSV")
	if got := strings.Count(p.Page.Text(), claim.Kassenzeichen); got != 200 {
		t.Errorf("po_many shows %d lines, want 200", got)
	}
	p.open(kasse + "/disputes?lang=de")
	p.sees(200, "Keine Rückbuchung in diesem Zustand.")
	g.dispute(claim)
	p.send("/disputes", "state", "needs_response")
	p.sees(200, claim.Kassenzeichen+" 30,70 € Antwort nötig", "dp_1")
	p.send("/disputes", "state", "won")
	p.misses("dp_1")

	stranger, sasha := g.staff("jena", "juri", admin), g.staff("erfurt", "sasha", clerk)
	for _, path := range []string{"/settlements/stripe/po_few", "/settlements/stripe/po_few/download"} {
		if got := stranger.status("/t/jena/staff/treasury" + path); got != http.StatusNotFound {
			t.Errorf("GET %s by another municipality = %d, want 404", path, got)
		}
	}
	for _, path := range []string{"/settlements", "/disputes"} {
		stranger.open("/t/jena/staff/treasury" + path)
		stranger.misses("po_few", "dp_1")
	}
	for _, path := range []string{"/settlements", "/settlements/stripe/po_few", "/settlements/stripe/po_few/download", "/disputes"} {
		if got := sasha.status(kasse + path); got != http.StatusForbidden {
			t.Errorf("GET %s by a clerk = %d, want 403", path, got)
		}
	}
}

// Nobody sees another municipality's treasury, nor one's own without the role; the links are not
// shown either.
func TestTreasury_OfOthers(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	p := g.staff("erfurt", "kim", admin)
	p.open(kasse + "/statements")
	p.sendFile("/statements", file(auszug(g.claim(3070), g.claim(5000))))
	id := strings.TrimPrefix(p.Page.URL.Path, kasse)
	stranger := g.staff("jena", "juri", admin)
	if got := stranger.status("/t/jena/staff/treasury" + id); got != http.StatusNotFound {
		t.Errorf("GET %s by the treasury of another municipality = %d, want 404", id, got)
	}
	stranger.open("/t/jena/staff/treasury/statements")
	stranger.sees(200, "Noch kein Kontoauszug wurde eingelesen.")
	stranger.open("/t/jena/staff/treasury?" + query(g.dayOf("day", 0)))
	stranger.sees(200, "An diesem Tag wurde nichts gebucht.")
	sasha := g.staff("erfurt", "sasha", clerk)
	sasha.open("/t/erfurt/staff/payments")
	sasha.misses("Kasse ")
	for _, path := range []string{"", "/exports", "/exports/download", "/statements", id} {
		if got := sasha.status(kasse + path); got != http.StatusForbidden {
			t.Errorf("GET %s by a clerk = %d, want 403", path, got)
		}
		a := g.Do("GET", kasse+path, "", nil, "Accept", "text/html")
		if a.Status != http.StatusSeeOther || !strings.Contains(a.Header.Get("Location"), "/t/erfurt/auth/authorize?") {
			t.Errorf("GET %s by nobody = %d, want 303 to the login", path, a.Status)
		}
	}
}
