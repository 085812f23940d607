package web

import (
	"bytes"
	"fmt"
	"html/template"
	"slices"

	"basisdienste/platform/money"
)

// Row is one line of a summary list. Value is a string, Link, Badge, money.Amount, time or
// template.HTML; Change, if set, leads to where it is changed.
type Row struct {
	Key    string
	Value  any
	Change string
}

// Table is a table of data. Cells are what a Row's Value may be; columns of amounts and
// numbers stand right. Without rows the text Empty is shown instead.
type Table struct {
	Caption string
	Head    []string
	Rows    [][]any
	Empty   string
}

// Numeric reports whether the column stands right.
func (t Table) Numeric(column int) bool {
	for _, row := range t.Rows {
		if column < len(row) {
			switch row[column].(type) {
			case money.Amount, int, int64, float64:
			default:
				return false
			}
		}
	}
	return true
}

// Badge is a state in one word. Kind is info, success, warning or danger.
type Badge struct{ Kind, Text string }

// kinds of alerts and badges.
var kinds = []string{"info", "success", "warning", "danger"}

// funcs are the functions of templates in one language.
func (s *Site) funcs(lang int) template.FuncMap {
	kit := func(name string, data any) (template.HTML, error) {
		var b bytes.Buffer
		if err := s.kit[lang].ExecuteTemplate(&b, name, data); err != nil {
			return "", err
		}
		return template.HTML(b.String()), nil //nolint:gosec // made by html/template above
	}
	ofKind := func(name, kind string, data any) (template.HTML, error) {
		if !slices.Contains(kinds, kind) {
			return "", fmt.Errorf("%s: kind %q is none of %q", name, kind, kinds)
		}
		return kit(name, data)
	}
	return template.FuncMap{
		"T":        func(key string, args ...any) string { return s.text(lang, key, args...) },
		"lang":     func() string { return languages[lang] },
		"date":     func(t instant) string { return s.date(lang, t) },
		"weekday":  func(t instant) string { return s.weekday(lang, t) },
		"datetime": func(t instant) string { return s.datetime(lang, t) },
		"clock":    func(t instant) string { return s.timeOfDay(lang, t) },
		"money":    func(a money.Amount) string { return amount(lang, a) },
		"cell":     func(v any) (any, error) { return s.cell(lang, v, kit) },
		"field":    func(f Field) (template.HTML, error) { return kit("field", s.fieldView(lang, f)) },
		"errors":   func(f Form) (template.HTML, error) { return kit("errors", f.wrong()) },
		"alert": func(kind, title string, body any) (template.HTML, error) {
			return ofKind("alert", kind, map[string]any{"Kind": kind, "Title": title, "Body": body})
		},
		"badge": func(kind, text string) (template.HTML, error) {
			return ofKind("badge", kind, Badge{kind, text})
		},
		"summary": func(title string, rows []Row) (template.HTML, error) {
			return kit("summary", map[string]any{"Title": title, "Rows": rows})
		},
		"table": func(t Table) (template.HTML, error) { return kit("table", t) },
		"details": func(title string, body any) (template.HTML, error) {
			return kit("details", map[string]any{"Title": title, "Body": body})
		},
		"progress": func(step, of int) (template.HTML, error) {
			return kit("progress", map[string]int{"Step": step, "Of": of})
		},
		"empty": func(title, body string) (template.HTML, error) {
			return kit("empty", map[string]string{"Title": title, "Body": body})
		},
		"button": func(kind, text string, nameValue ...string) (template.HTML, error) {
			if len(nameValue) != 0 && len(nameValue) != 2 {
				return "", fmt.Errorf("button %q: give a name and a value, or neither", text)
			}
			nameValue = append(nameValue, "", "")
			return kit("button", map[string]string{"Kind": kind, "Text": text, "Name": nameValue[0], "Value": nameValue[1]})
		},
		"linkbutton": func(kind, url, text string) (template.HTML, error) {
			return kit("linkbutton", map[string]string{"Kind": kind, "Text": text, "URL": url})
		},
	}
}

// cell shows a value in a row or table; kit executes a component.
func (s *Site) cell(lang int, v any, kit func(name string, data any) (template.HTML, error)) (any, error) {
	switch v := v.(type) {
	case money.Amount:
		return amount(lang, v), nil
	case Day:
		return s.date(lang, v), nil
	case instant:
		return s.datetime(lang, v), nil
	case Link:
		return kit("link", v)
	case Badge:
		return kit("badge", v)
	default:
		return v, nil
	}
}
