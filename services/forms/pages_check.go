package forms

import (
	"net/http"
	"strconv"

	"basisdienste/platform/fault"
	"basisdienste/platform/login"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

// summaryView is a section with links to where its answers are changed.
type summaryView struct {
	Title string
	Rows  []web.Row
}

func (p *pages) summaries(r *http.Request, m *Matter, change bool) []summaryView {
	var out []summaryView
	for _, sec := range m.sections(p.site.Lang(r)) {
		v := summaryView{Title: sec.Title}
		for _, row := range sec.Rows {
			line := web.Row{Key: row.Label, Value: row.Value}
			if row.Value == "" {
				line.Value = p.site.T(r, "check.none")
			}
			if len(row.Files) == 1 {
				line.Value = web.Link{URL: p.applicationPath(r, m, "/files/"+row.Files[0].String()), Text: row.Value}
			}
			if change {
				line.Change = p.changeURL(r, m, row.Path)
			}
			v.Rows = append(v.Rows, line)
		}
		out = append(out, v)
	}
	return out
}

// changeURL leads to the question of an answer and back to the check.
func (p *pages) changeURL(r *http.Request, m *Matter, pointer string) string {
	page, field := m.Def.field(pointer)
	if page == nil {
		return ""
	}
	target := p.applicationPath(r, m, "/pages/"+page.ID) + "?change=1"
	if page.Repeat != nil {
		index, _ := strconv.Atoi(tokens(pointer)[len(tokens(page.Repeat.Path))])
		target += "&item=" + strconv.Itoa(index+1)
	}
	return target + "#f-" + fieldName(field)
}

// check shows all answers before they are sent.
func (p *pages) check(w http.ResponseWriter, r *http.Request, _ login.Session, m *Matter) error {
	if m.State != Draft {
		return p.see(w, r, p.applicationPath(r, m, ""))
	}
	p.renderCheck(w, r, http.StatusOK, m, p.s.Check(m), false)
	return nil
}

func (p *pages) declaration(r *http.Request, m *Matter) web.Form {
	return web.Form{{Name: "declaration", Kind: "checkbox", Label: m.Def.Declaration.In(p.site.Lang(r)), Required: true}}
}

func (p *pages) renderCheck(w http.ResponseWriter, r *http.Request, status int, m *Matter, wrong []fault.Field, posted bool) {
	lang := p.site.Lang(r)
	e, _ := tenantdir.From(r.Context())
	settings, err := settingsOf(e)
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	var open []web.Link
	for _, f := range wrong {
		if _, field := m.Def.field(f.Name); field != nil {
			open = append(open, web.Link{URL: p.changeURL(r, m, f.Name), Text: p.complaint(r, field, f.Code, lang)})
		} else if page, ok := m.Def.listPage(f.Name); ok {
			open = append(open, web.Link{URL: p.applicationPath(r, m, "/pages/"+page.ID) + "?change=1", Text: p.site.T(r, "check.items", page.Title.In(lang))})
		}
	}
	form := p.declaration(r, m)
	if posted && len(wrong) == 0 {
		form.Fill(r.PostForm)
		p.site.Check(r, form)
	}
	frame := p.frame(r, p.site.T(r, "check.title"))
	frame.Self = p.applicationPath(r, m, "/check")
	pages := m.Def.visible(m.Answers)
	p.site.Render(w, r, status, "check", frame, map[string]any{
		"Step": len(pages) + 1, "Of": len(pages) + 1, "Form": m.Def.Title.In(lang), "Sections": p.summaries(r, m, true), "Open": open,
		"Declaration": form, "Fee": m.Def.amount(settings.fee(m.Def), m.Def.clean(m.Answers)), "Def": m.Def, "Lang": lang,
		"Back": p.applicationPath(r, m, "/pages/"+pages[len(pages)-1].ID), "DeletedOn": p.s.deletedOn(m.Application),
		"Action": p.applicationPath(r, m, "/check"),
	})
}

// listPage finds the page that repeats over the list.
func (d *Definition) listPage(pointer string) (*Page, bool) {
	for i := range d.Pages {
		if rep := d.Pages[i].Repeat; rep != nil && rep.Path == pointer {
			return &d.Pages[i], true
		}
	}
	return nil, false
}

// submit sends the application, asks for the payment and leads there. Sending twice sends
// once.
func (p *pages) submit(w http.ResponseWriter, r *http.Request, who login.Session, m *Matter) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	if m.State == Draft {
		form := p.declaration(r, m)
		form.Fill(r.PostForm)
		wrong := p.s.Check(m)
		if len(wrong) > 0 || !p.site.Check(r, form) {
			p.renderCheck(w, r, http.StatusUnprocessableEntity, m, wrong, true)
			return nil
		}
	}
	a, err := p.s.Submit(r.Context(), who.Principal.Subject, who.Principal.Level, m.ID, p.site.Lang(r))
	if fault.Is(err, "answers_invalid") {
		p.renderCheck(w, r, http.StatusUnprocessableEntity, m, fault.From(err).Fields, true)
		return nil
	}
	if err != nil {
		return err
	}
	if a.State == AwaitingPayment {
		return p.toPayment(w, r, who, m)
	}
	return p.see(w, r, p.applicationPath(r, m, ""))
}

// toPayment leads to the pay page, or back to the application, which says why not.
func (p *pages) toPayment(w http.ResponseWriter, r *http.Request, who login.Session, m *Matter) error {
	target, err := p.s.PayURL(r.Context(), who.Principal.Subject, m.ID)
	if err != nil {
		if !fault.Is(err, "payment_unavailable") && !fault.Is(err, "nothing_to_pay") {
			return err
		}
		p.s.Log.WarnContext(r.Context(), "pay page not available", "application", m.ID, "error", err)
		target = p.applicationPath(r, m, "")
	}
	return p.see(w, r, target)
}
