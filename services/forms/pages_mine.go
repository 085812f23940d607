package forms

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"basisdienste/platform/id"
	"basisdienste/platform/login"
	"basisdienste/platform/web"
)

// badge is a state in one word.
func (p *pages) badge(r *http.Request, s State) web.Badge {
	kind := "info"
	switch s {
	case AwaitingPayment, Draft:
		kind = "warning"
	case Accepted:
		kind = "success"
	case Rejected:
		kind = "danger"
	case Submitted, Paid, Delivered, Withdrawn:
	}
	return web.Badge{Kind: kind, Text: p.site.T(r, "state."+string(s))}
}

// mine lists drafts and applications.
func (p *pages) mine(w http.ResponseWriter, r *http.Request, who login.Session) error {
	list, err := p.s.Mine(r.Context(), who.Principal.Subject)
	if err != nil {
		return err
	}
	lang := p.site.Lang(r)
	drafts := web.Table{Caption: p.site.T(r, "mine.drafts"), Empty: p.site.T(r, "mine.no_drafts"), Head: []string{
		p.site.T(r, "mine.form"), p.site.T(r, "mine.edited"), p.site.T(r, "mine.deleted"),
	}}
	sent := web.Table{Caption: p.site.T(r, "mine.sent"), Empty: p.site.T(r, "mine.no_sent"), Head: []string{
		p.site.T(r, "mine.form"), p.site.T(r, "mine.reference"), p.site.T(r, "mine.submitted"), p.site.T(r, "mine.state"),
	}}
	var discards []web.Link
	for i := range list {
		a := &list[i]
		def, err := p.s.catalogue.version(r.Context(), a.Form, a.FormVersion)
		if err != nil {
			return err
		}
		link := web.Link{URL: p.path(r, "/applications/"+a.ID.String()), Text: def.Title.In(lang)}
		if a.State == Draft {
			discards = append(discards, web.Link{URL: link.URL + "/discard", Text: link.Text})
			drafts.Rows = append(drafts.Rows, []any{link, a.EditedAt.Time, dateIn(lang, p.s.deletedOn(a).In(p.s.zone))})
		} else {
			sent.Rows = append(sent.Rows, []any{link, a.Ref(), a.SubmittedAt.Time, p.badge(r, a.State)})
		}
	}
	page := p.frame(r, p.site.T(r, "nav.mine"))
	p.site.Render(w, r, http.StatusOK, "mine", page, map[string]any{
		"Drafts": drafts, "Sent": sent, "Discards": discards, "Days": int(p.s.Config.DraftsKept.Hours() / 24), "Forms": p.path(r, ""),
	})
	return nil
}

// logLine is an entry of the event log as the citizen reads it.
type logLine struct {
	Text string
	At   time.Time
}

// application shows what became of an application; a draft goes on where something is missing.
func (p *pages) application(w http.ResponseWriter, r *http.Request, _ login.Session, m *Matter) error {
	if m.State == Draft {
		return p.see(w, r, p.resume(r, m))
	}
	lang := p.site.Lang(r)
	rows := []web.Row{
		{Key: p.site.T(r, "mine.reference"), Value: m.Ref()},
		{Key: p.site.T(r, "mine.state"), Value: p.badge(r, m.State)},
		{Key: p.site.T(r, "mine.submitted"), Value: m.SubmittedAt.Time},
	}
	if m.Amount > 0 {
		rows = append(rows, web.Row{Key: p.site.T(r, "app.fee"), Value: m.Amount})
	}
	if m.PaidAt != nil {
		rows = append(rows, web.Row{Key: p.site.T(r, "app.paid_at"), Value: m.PaidAt.Time})
		if i := slices.IndexFunc(m.Payments, func(p Payment) bool { return p.State == PaymentPayed }); i >= 0 && m.Payments[i].Kassenzeichen != "" {
			rows = append(rows, web.Row{Key: p.site.T(r, "app.kassenzeichen"), Value: m.Payments[i].Kassenzeichen})
		}
	}
	var log []logLine
	for _, e := range m.Log {
		if !strings.HasPrefix(e.Kind, "paid_") { // those are for the clerk
			log = append(log, logLine{Text: p.site.T(r, "log."+e.Kind), At: e.At.Time})
		}
	}
	payment := ""
	if pay := m.Payment(); m.State == AwaitingPayment && pay != nil {
		payment = string(pay.State)
	}
	page := p.frame(r, m.Def.Title.In(lang))
	page.Back = p.path(r, "/applications")
	page.Self = p.applicationPath(r, m, "")
	p.site.Render(w, r, http.StatusOK, "application", page, map[string]any{
		"M": m, "State": string(m.State), "Rows": rows, "Payment": payment, "Sections": p.summaries(r, m, false), "Log": log,
		"Self": page.Self, "Booking": strings.TrimSuffix(p.path(r, ""), "/forms") + "/booking/",
		"CanWithdraw": !m.State.Final(),
	})
	return nil
}

// resume is where a draft goes on: the first page with something missing, or the check.
func (p *pages) resume(r *http.Request, m *Matter) string {
	wrong := p.s.Check(m)
	for _, page := range m.Def.visible(m.Answers) {
		v := visit{p: p, r: r, m: m, page: page}
		for _, f := range wrong {
			if at, _ := m.Def.field(f.Name); at == page || page.Repeat != nil && strings.HasPrefix(f.Name, page.Repeat.Path) {
				return v.url(page, 0, false)
			}
		}
	}
	return p.applicationPath(r, m, "/check")
}

func (p *pages) pay(w http.ResponseWriter, r *http.Request, who login.Session, m *Matter) error {
	return p.toPayment(w, r, who, m)
}

func (p *pages) withdraw(w http.ResponseWriter, r *http.Request, who login.Session, m *Matter) error {
	if _, err := p.s.Withdraw(r.Context(), who.Principal.Subject, m.ID); err != nil {
		return err
	}
	p.site.Flash(w, r, "success", p.site.T(r, "app.withdrawn"))
	return p.see(w, r, p.applicationPath(r, m, ""))
}

func (p *pages) discard(w http.ResponseWriter, r *http.Request, who login.Session, m *Matter) error {
	if err := p.s.Discard(r.Context(), who.Principal.Subject, m.ID); err != nil {
		return err
	}
	p.site.Flash(w, r, "success", p.site.T(r, "mine.discarded"))
	return p.see(w, r, p.path(r, "/applications"))
}

// file sends the citizen an uploaded file back.
func (p *pages) file(w http.ResponseWriter, r *http.Request, _ login.Session, m *Matter) error {
	fileID, err := id.Parse(r.PathValue("file"))
	if err != nil {
		return fileNotFound()
	}
	f, content, err := p.s.openFile(r.Context(), m, fileID)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // it was only read
	serveFile(w, r, f, content)
	return nil
}
