package forms

import (
	"fmt"
	"strings"
	"time"

	"basisdienste/platform/id"
)

// Section is one page of answers with their questions.
type Section struct {
	Title string `json:"title"`
	Rows  []Row  `json:"rows"`

	page *Page
	item int
}

// Row is one question and its answer, as people read it.
type Row struct {
	Path  string  `json:"path"` // JSON pointer
	Label string  `json:"label"`
	Value string  `json:"value"` // "" where nothing was answered
	Files []id.ID `json:"files,omitempty"`
}

// sections are the answers that count, in the order of the pages.
func (m *Matter) sections(lang string) []Section {
	var out []Section
	for _, p := range m.Def.visible(m.Answers) {
		items := 1
		if p.Repeat != nil {
			items = m.Answers.items(p.Repeat.Path)
		}
		for item := range items {
			sec := Section{Title: p.Title.In(lang), Rows: []Row{}, page: p, item: item}
			if p.Repeat != nil {
				sec.Title = m.itemTitle(p, item, lang)
			}
			p.fields(m.Answers, item, func(f *Field, pointer string) {
				sec.Rows = append(sec.Rows, m.row(f, pointer, lang))
			})
			out = append(out, sec)
		}
	}
	return out
}

// itemTitle names an item of a repeated group: "Hund 1: Bello".
func (m *Matter) itemTitle(p *Page, item int, lang string) string {
	title := fmt.Sprintf("%s %d", p.Repeat.Item.In(lang), item+1)
	if name := m.Answers.text(p.prefix(item) + p.Repeat.Name); name != "" {
		title += ": " + name
	}
	return title
}

func (m *Matter) row(f *Field, pointer, lang string) Row {
	v := m.Answers.at(pointer)
	r := Row{Path: pointer, Label: f.Label.In(lang), Value: f.typed(v)}
	switch f.Kind {
	case "select", "radios":
		for _, o := range f.Options {
			if o.Value == r.Value {
				r.Value = o.Label.In(lang)
			}
		}
	case "checkbox":
		if v == true {
			r.Value = map[string]string{"de": "Ja", "en": "Yes"}[lang]
		}
	case "date", "birthdate":
		if day, ok := dayOf(v); ok {
			r.Value = dateIn(lang, day)
		}
	case "file":
		var names []string
		for _, file := range m.Files {
			if file.Field == pointer {
				r.Files = append(r.Files, file.ID)
				names = append(names, file.Name)
			}
		}
		r.Value = strings.Join(names, ", ")
	}
	return r
}

var germanMonths = strings.Fields("Januar Februar März April Mai Juni Juli August September Oktober November Dezember")

// dateIn writes a day: "23. November 2026" or "23 November 2026".
func dateIn(lang string, day time.Time) string {
	if lang == "en" {
		return day.Format("2 January 2006")
	}
	return day.Format("2. ") + germanMonths[day.Month()-1] + day.Format(" 2006")
}
