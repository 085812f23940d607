package main

import (
	"crypto/rand"
	"embed"
	"io/fs"
	"net/http"

	"basisdienste/platform/fault"
	"basisdienste/platform/money"
	"basisdienste/platform/web"
	"basisdienste/services/payment/sandbox/stripeapi"
)

//go:embed templates/*.html
var templates embed.FS

var texts = web.Texts{
	"service":    {"Stripe zum Ausprobieren", "Stripe for trying"},
	"pay":        {"Bezahlen", "Pay"},
	"no_money":   {"Hier bewegt sich kein Geld. Drücken Sie, was geschehen soll.", "No money moves here. Press what shall happen."},
	"declined":   {"Abgelehnt", "Declined"},
	"authorise":  {"Ihre Bank fragt nach", "Your bank asks"},
	"yes":        {"Freigeben", "Approve"},
	"no":         {"Ablehnen", "Refuse"},
	"back":       {"Ohne Zahlung zurück", "Back without paying"},
	"over":       {"Hier ist nichts mehr zu bezahlen.", "There is nothing left to pay here."},
	"return":     {"Zurück", "Back"},
	"amount":     {"Betrag", "Amount"},
	"text":       {"Wofür", "For"},
	"order":      {"Bestellung", "Order"},
	"home":       {"Sitzungen und Geld unterwegs", "Sessions, and money on its way"},
	"empty":      {"Noch keine Sitzung. Starten Sie eine Zahlung in basis.", "No session yet. Start a payment in basis."},
	"sessions":   {"Sitzungen, die neueste zuerst", "Sessions, the newest first"},
	"session":    {"Sitzung", "Session"},
	"state":      {"Stand", "State"},
	"settle":     {"Ankommen lassen, was unterwegs ist", "Let arrive what is on its way"},
	"payout":     {"Auszahlen", "Pay out"},
	"dispute":    {"Die letzte bezahlte Sitzung anfechten", "Dispute the newest paid session"},
	"nothing":    {"Dafür ist nichts da.", "There is nothing for that."},
	"done":       {"Erledigt", "Done"},
	"card.ok":    {"Karte, die zahlt", "A card that pays"},
	"card.3ds":   {"Karte mit Freigabe durch die Bank (3-D Secure)", "A card that asks the bank (3-D Secure)"},
	"card.no":    {"Karte, die abgelehnt wird", "A card that is declined"},
	"card.funds": {"Karte ohne Guthaben", "A card without funds"},
	"card.old":   {"Abgelaufene Karte", "An expired card"},
	"card.late":  {"Karte, deren Erstattung später scheitert", "A card whose refund fails later"},
	"iban.ok":    {"Lastschrift, die ankommt", "A debit that arrives"},
	"iban.no":    {"Lastschrift, die zurückkommt", "A debit that comes back"},
}

// pages are the payer's, and one for what happens at Stripe by itself.
type pages struct {
	api  *stripeapi.Server
	site *web.Site
}

func newPages(api *stripeapi.Server) (http.Handler, error) {
	sub, err := fs.Sub(templates, "templates")
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	site, err := web.New(web.Config{Service: "service", Templates: sub, Texts: texts, Key: key, Demo: true})
	p := &pages{api, site}
	mux := http.NewServeMux()
	mux.Handle("/v1/", api)
	mux.Handle("GET /static/", web.Static())
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /{$}": p.home, "POST /{$}": p.happen, "GET /c/pay/{session}": p.show, "POST /c/pay/{session}": p.pay,
	} {
		mux.Handle(pattern, site.Protect(h))
	}
	return mux, err
}

type choice struct{ Value, Text string }

type view struct {
	stripeapi.Shown
	Rows     []web.Row
	Choices  []choice
	Waits    bool
	Done     string
	Sessions web.Table
}

func (p *pages) show(w http.ResponseWriter, r *http.Request) {
	s, err := p.api.Show(r.PathValue("session"))
	if err != nil {
		p.site.ErrorPage(w, r, fault.NotFound("unknown_session", "there is no such session"))
		return
	}
	v := view{Shown: s, Waits: s.Intent == "requires_action", Rows: []web.Row{
		{Key: p.site.T(r, "amount"), Value: money.Amount(s.Amount)}, {Key: p.site.T(r, "text"), Value: s.Text},
	}}
	cards := []choice{
		{stripeapi.CardOK, "card.ok"},
		{stripeapi.Card3DS, "card.3ds"},
		{stripeapi.CardDeclined, "card.no"},
		{stripeapi.CardFunds, "card.funds"},
		{stripeapi.CardExpired, "card.old"},
		{stripeapi.CardRefundFails, "card.late"},
	}
	if s.Debit {
		cards = []choice{{stripeapi.IBANOK, "iban.ok"}, {stripeapi.IBANFails, "iban.no"}}
	}
	for _, c := range cards {
		v.Choices = append(v.Choices, choice{c.Value, p.site.T(r, c.Text)})
	}
	p.site.Render(w, r, http.StatusOK, "session", web.Page{Title: p.site.T(r, "pay"), FormAction: []string{s.Success}}, v)
}

// pay plays the payer: a card, the bank's question, or going back.
func (p *pages) pay(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("session")
	s, err := p.api.Show(id)
	if err != nil {
		p.site.ErrorPage(w, r, fault.NotFound("unknown_session", "there is no such session"))
		return
	}
	switch act := r.PostFormValue("act"); act {
	case "back":
		http.Redirect(w, r, s.Cancel, http.StatusSeeOther)
		return
	case "yes", "no":
		err = p.api.Authenticate(id, act == "yes")
	default:
		_, err = p.api.Pay(id, act)
	}
	if err != nil {
		p.site.ErrorPage(w, r, fault.Conflict("session_over", "%s", err))
		return
	}
	if now, err := p.api.Show(id); err == nil && now.Status == "complete" {
		http.Redirect(w, r, s.Success, http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, "/c/pay/"+s.Session, http.StatusSeeOther)
}

func (p *pages) home(w http.ResponseWriter, r *http.Request) { p.list(w, r, "") }

func (p *pages) list(w http.ResponseWriter, r *http.Request, done string) {
	v := view{Done: done, Sessions: web.Table{
		Caption: p.site.T(r, "sessions"), Head: []string{p.site.T(r, "session"), p.site.T(r, "text"), p.site.T(r, "amount"), p.site.T(r, "state")},
	}}
	for _, s := range p.api.All() {
		v.Sessions.Rows = append(v.Sessions.Rows, []any{web.Link{URL: "/c/pay/" + s.Session, Text: s.Session}, s.Text, money.Amount(s.Amount), s.Status + " " + s.Intent})
	}
	p.site.Render(w, r, http.StatusOK, "home", web.Page{Title: p.site.T(r, "home"), Wide: true}, v)
}

// happen lets something happen that payers do not do.
func (p *pages) happen(w http.ResponseWriter, r *http.Request) {
	done := p.site.T(r, "done")
	switch r.PostFormValue("act") {
	case "settle":
		p.api.Settle()
	case "payout":
		accounts := map[string]bool{"": true}
		for _, s := range p.api.All() {
			accounts[s.Account] = true
		}
		paid := ""
		for account := range accounts {
			paid += p.api.Payout(account)
		}
		if paid == "" {
			done = p.site.T(r, "nothing")
		}
	case "dispute":
		done = p.site.T(r, "nothing")
		for _, s := range p.api.All() {
			if s.Intent != "succeeded" {
				continue
			}
			if _, err := p.api.Dispute(s.Session); err == nil {
				done = p.site.T(r, "done")
			}
			break
		}
	default:
		p.site.ErrorPage(w, r, fault.Invalid("unknown_act", "press one of the buttons"))
		return
	}
	p.list(w, r, done)
}
