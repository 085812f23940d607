package forms

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/login"
	"basisdienste/platform/web"
)

// question is a field as a page shows it.
type question struct {
	web.Field
	Files []fileView
	Full  bool // no further file fits

	field   *Field
	pointer string
}

type fileView struct {
	ID        id.ID
	Name, URL string
	KB        int64
}

// visit is one page of one matter, as a request meets it.
type visit struct {
	p    *pages
	r    *http.Request
	m    *Matter
	page *Page
	item int  // of a repeated group, from 0
	list bool // the overview of a repeated group, not an item
	lang string
}

// visit finds the page that the request asks for. Errors: unknown_page, not_a_draft.
func (p *pages) visit(r *http.Request, m *Matter) (*visit, error) {
	if m.State != Draft {
		return nil, fault.Conflict("not_a_draft", "the application was submitted already and cannot be changed")
	}
	page, ok := m.Def.page(r.PathValue("page"))
	if !ok || !page.When.holds(m.Answers, "") {
		return nil, fault.NotFound("unknown_page", "this form has no such page, or it is not asked with these answers")
	}
	v := &visit{p: p, r: r, m: m, page: page, lang: p.site.Lang(r)}
	if page.Repeat == nil {
		return v, nil
	}
	items := m.Answers.items(page.Repeat.Path)
	item := r.URL.Query().Get("item")
	switch n, err := strconv.Atoi(item); {
	case item == "" && items > 0:
		v.list = true
	case item == "":
	case err != nil || n < 1 || n > min(items+1, page.Repeat.Max):
		return nil, fault.NotFound("unknown_page", "this form has no such page, or it is not asked with these answers")
	default:
		v.item = n - 1
	}
	return v, nil
}

// fieldName is the name of a question's form value, which is also part of its HTML id.
func fieldName(f *Field) string {
	return strings.ReplaceAll(strings.TrimPrefix(f.Path, "/"), "/", "-")
}

// questions are the page's fields with the answers so far.
func (v *visit) questions() []question {
	var qs []question
	v.page.fields(v.m.Answers, v.item, func(f *Field, pointer string) { qs = append(qs, v.question(f, pointer)) })
	return qs
}

func (v *visit) question(f *Field, pointer string) question {
	q := question{field: f, pointer: pointer, Field: web.Field{
		Name: fieldName(f), Kind: f.Kind, Label: f.Label.In(v.lang), Hint: f.Hint.In(v.lang), Autocomplete: f.Autocomplete,
		Required: !f.Optional, MaxLength: f.MaxLength, Value: f.typed(v.m.Answers.at(pointer)),
	}}
	for _, o := range f.Options {
		q.Options = append(q.Options, web.Option{Value: o.Value, Label: o.Label.In(v.lang), Hint: o.Hint.In(v.lang)})
	}
	switch f.Kind {
	case "birthdate":
		q.Kind = "date"
	case "number":
		q.Kind = "code" // digits only
	case "file":
		q.Value, q.Accept, q.Multiple = "", strings.Join(f.Files.Types, ","), f.Files.Max > 1
		for _, file := range v.m.Files {
			if file.Field == pointer {
				q.Files = append(q.Files, fileView{
					ID: file.ID, Name: file.Name, URL: v.p.applicationPath(v.r, v.m, "/files/"+file.ID.String()), KB: (file.Size + 1023) / 1024,
				})
			}
		}
		q.Full = len(q.Files) >= f.Files.Max
	}
	if v.m.takenOver(pointer) {
		if q.Hint != "" {
			q.Hint = strings.TrimSuffix(q.Hint, ".") + ". "
		}
		q.Hint += v.p.site.T(v.r, "ask.taken_over")
	}
	return q
}

// ask shows a page of questions, or the overview of a repeated group.
func (p *pages) ask(w http.ResponseWriter, r *http.Request, _ login.Session, m *Matter) error {
	v, err := p.visit(r, m)
	if err != nil {
		return err
	}
	v.render(w, http.StatusOK, v.questions())
	return nil
}

func (v *visit) render(w http.ResponseWriter, status int, qs []question) {
	p, r := v.p, v.r
	title := v.page.Title.In(v.lang)
	if v.page.Repeat != nil && !v.list {
		title = v.m.itemTitle(v.page, v.item, v.lang)
	}
	frame := p.frame(r, title)
	frame.Self = v.self()
	step, of := v.step()
	data := map[string]any{
		"Step": step, "Of": of, "Form": v.m.Def.Title.In(v.lang), "Title": title, "Intro": v.page.Intro.In(v.lang),
		"DeletedOn": p.s.deletedOn(v.m.Application), "Action": v.self(),
	}
	if v.list {
		data["Items"], data["Next"] = v.items(), v.next()
		if n := v.m.Answers.items(v.page.Repeat.Path); n < v.page.Repeat.Max {
			data["Add"] = v.url(v.page, n, true)
		}
		data["Item"] = v.page.Repeat.Item.In(v.lang)
		data["Back"] = v.previous()
		p.site.Render(w, r, status, "items", frame, data)
		return
	}
	form := make(web.Form, len(qs))
	var asked []string
	for i, q := range qs {
		form[i] = q.Field
		asked = append(asked, q.Name)
		if q.Kind == "file" {
			data["Upload"] = true
		}
	}
	data["Questions"], data["Errors"], data["Asked"] = qs, form, strings.Join(asked, " ")
	p.site.Render(w, r, status, "question", frame, data)
}

// itemView is an item of a repeated group in its overview.
type itemView struct {
	Title string
	Rows  []web.Row
	Index int
	URL   string
}

func (v *visit) items() []itemView {
	var items []itemView
	for _, sec := range v.m.sections(v.lang) {
		if sec.page != v.page {
			continue
		}
		it := itemView{Title: sec.Title, Index: sec.item, URL: v.url(v.page, sec.item, true)}
		for _, row := range sec.Rows {
			if row.Value == "" {
				row.Value = v.p.site.T(v.r, "check.none")
			}
			it.Rows = append(it.Rows, web.Row{Key: row.Label, Value: row.Value})
		}
		items = append(items, it)
	}
	return items
}

// step counts pages, the check of all answers being the last.
func (v *visit) step() (step, of int) {
	visible := v.m.Def.visible(v.m.Answers)
	return slices.Index(visible, v.page) + 1, len(visible) + 1
}

func (v *visit) changing() bool { return v.r.URL.Query().Get("change") != "" }

// url is the address of a page; item (from 0) is named if named is set.
func (v *visit) url(page *Page, item int, named bool) string {
	q := url.Values{}
	if named {
		q.Set("item", strconv.Itoa(item+1))
	}
	if v.changing() && page == v.page {
		q.Set("change", "1")
	}
	target := v.p.applicationPath(v.r, v.m, "/pages/"+page.ID)
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	return target
}

func (v *visit) self() string {
	return v.url(v.page, v.item, v.page.Repeat != nil && !v.list)
}

// next is where the citizen goes when the page is answered.
func (v *visit) next() string {
	visible := v.m.Def.visible(v.m.Answers)
	i := slices.Index(visible, v.page)
	if v.changing() || i < 0 || i+1 >= len(visible) {
		return v.p.applicationPath(v.r, v.m, "/check")
	}
	return v.url(visible[i+1], 0, false)
}

// previous is the page before; of the first page the form's start.
func (v *visit) previous() string {
	visible := v.m.Def.visible(v.m.Answers)
	if i := slices.Index(visible, v.page); i > 0 {
		return v.url(visible[i-1], 0, false)
	}
	return v.p.path(v.r, "/"+v.m.Form)
}

// answer takes a posted page. What was typed is kept in any case, also when it is wrong or
// the citizen goes back; forward it goes only with right answers.
func (p *pages) answer(w http.ResponseWriter, r *http.Request, who login.Session, m *Matter) error {
	v, err := p.visit(r, m)
	if err != nil {
		return err
	}
	values, refused, err := v.read(r.Context(), w)
	if err != nil {
		return err
	}
	ctx, cancel := detached(r.Context())
	defer cancel()
	if index, err := strconv.Atoi(values.Get("remove-item")); err == nil && v.page.Repeat != nil {
		if err := p.s.RemoveItem(ctx, who.Principal.Subject, m.ID, v.page.Repeat.Path, index); err != nil {
			return err
		}
		return p.see(w, r, v.url(v.page, 0, false))
	}
	asked := strings.Fields(values.Get("asked"))
	if err := v.store(ctx, who.Principal.Subject, values, asked); err != nil {
		return err
	}
	if file := values.Get("remove-file"); file != "" {
		if err := v.removeFile(ctx, who.Principal.Subject, file); err != nil {
			return err
		}
		return p.see(w, r, v.self())
	}
	switch values.Get("go") {
	case "back":
		return p.see(w, r, v.previous())
	case "later":
		p.site.Flash(w, r, "success", p.site.T(r, "ask.kept"))
		return p.see(w, r, p.path(r, "/applications"))
	}
	return v.forward(ctx, w, asked, refused)
}

// forward leads on, or shows what is wrong, or what an answer has made a question.
func (v *visit) forward(ctx context.Context, w http.ResponseWriter, asked []string, refused map[string]error) error {
	fresh, err := v.p.s.matter(ctx, v.m.ID)
	if err != nil {
		return err
	}
	v.m = fresh
	qs := v.questions()
	wrong := v.judge(qs, refused)
	unasked := slices.ContainsFunc(qs, func(q question) bool { return !slices.Contains(asked, q.Name) })
	switch {
	case wrong && !unasked:
		v.render(w, http.StatusUnprocessableEntity, qs)
		return nil
	case unasked:
		// An answer led to further questions: they are no mistakes yet.
		for i := range qs {
			if !slices.Contains(asked, qs[i].Name) {
				qs[i].Error = ""
			}
		}
		if slices.ContainsFunc(qs, func(q question) bool { return q.Error != "" }) {
			v.render(w, http.StatusUnprocessableEntity, qs)
			return nil
		}
		v.p.site.Flash(w, v.r, "info", v.p.site.T(v.r, "ask.more"))
		return v.p.see(w, v.r, v.self())
	case v.page.Repeat != nil:
		return v.p.see(w, v.r, v.url(v.page, 0, false))
	}
	return v.p.see(w, v.r, v.next())
}
