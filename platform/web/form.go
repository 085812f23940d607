package web

import (
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"basisdienste/platform/fault"
)

// Field is one question of a form. Label, Hint, Error and Options are in the reader's
// language already.
type Field struct {
	Name  string // of the form value; unique in the form
	Kind  string // "" or text, email, tel, number, code, password, textarea, select, radios, checkboxes, checkbox, date, file, hidden
	Label string
	Hint  string
	// Value is the answer as the reader gave it: of a date "2026-11-23" (also when it is
	// no day of the calendar: "2026-02-31"), of a checkbox "true". Passwords are never
	// sent back to the browser.
	Value        string
	Values       []string // the answers of checkboxes
	Error        string
	Autocomplete string // the HTML token: "email", "given-name", "bday", …
	Required     bool
	Options      []Option // of select, radios, checkboxes
	MaxLength    int      // in characters; 0: none
	Accept       string   // of file: media types and suffixes
	Multiple     bool     // of file
}

// Option is one choice.
type Option struct{ Value, Label, Hint string }

// Form is the questions of one page, in order.
type Form []Field

// Field returns the field with the name, or nil.
func (f Form) Field(name string) *Field {
	for i := range f {
		if f[i].Name == name {
			return &f[i]
		}
	}
	return nil
}

// Value returns the answer of the field with the name, "" if there is none.
func (f Form) Value(name string) string {
	if field := f.Field(name); field != nil {
		return field.Value
	}
	return ""
}

// wrong lists the fields with an error for the error summary.
func (f Form) wrong() []fieldView {
	var wrong []fieldView
	for _, field := range f {
		if field.Error != "" {
			wrong = append(wrong, fieldView{Field: field, ID: fieldID(field.Name)})
		}
	}
	return wrong
}

// Fill takes the answers from a posted form: surrounding space is cut (not of passwords),
// line ends become \n, and the three parts of a date are joined. Files stay in the
// request.
func (f Form) Fill(values url.Values) {
	for i := range f {
		field := &f[i]
		switch field.Kind {
		case "file":
		case "password":
			field.Value = values.Get(field.Name)
		case "checkboxes":
			field.Values = values[field.Name]
		case "date":
			field.Value = joinDate(values.Get(field.Name+"-year"), values.Get(field.Name+"-month"), values.Get(field.Name+"-day"))
		default:
			field.Value = strings.TrimSpace(strings.ReplaceAll(values.Get(field.Name), "\r\n", "\n"))
		}
	}
}

// joinDate writes parts in the order of ISO 8601, digits padded; "" if all are empty.
func joinDate(year, month, day string) string {
	year, month, day = strings.TrimSpace(year), strings.TrimSpace(month), strings.TrimSpace(day)
	if year+month+day == "" {
		return ""
	}
	pad := func(s string) string {
		if len(s) == 1 {
			return "0" + s
		}
		return s
	}
	return year + "-" + pad(month) + "-" + pad(day)
}

// Check sets the errors that follow from the fields themselves: missing answers, wrong
// format, unknown choice, too long. It reports whether there is none. Files are the
// caller's to check.
func (s *Site) Check(r *http.Request, f Form) bool {
	ok := true
	for i := range f {
		field := &f[i]
		key, args := field.check()
		field.Error = ""
		if key != "" {
			field.Error = s.T(r, key, append([]any{field.Label}, args...)...)
			ok = false
		}
	}
	return ok
}

var (
	telephone = regexp.MustCompile(`^\+?[0-9][0-9 ()/.-]{3,30}$`)
	decimal   = regexp.MustCompile(`^-?[0-9]{1,15}([.,][0-9]{1,6})?$`)
)

// check returns the key of what is wrong, "" for nothing.
func (f *Field) check() (key string, args []any) {
	switch {
	case f.Kind == "file" || f.Kind == "hidden":
		return "", nil
	case f.Kind == "checkboxes":
		if f.Required && len(f.Values) == 0 {
			return "web.choose_missing", nil
		}
		for _, v := range f.Values {
			if !f.offers(v) {
				return "web.choice_unknown", nil
			}
		}
		return "", nil
	case f.Value == "" && !f.Required:
		return "", nil
	case f.Value == "" && (f.Kind == "select" || f.Kind == "radios"):
		return "web.choose_missing", nil
	case f.Value == "" && f.Kind == "checkbox":
		return "web.consent_missing", nil
	case f.Value == "":
		return "web.missing", nil
	case f.MaxLength > 0 && utf8.RuneCountInString(f.Value) > f.MaxLength:
		return "web.too_long", []any{f.MaxLength}
	case (f.Kind == "select" || f.Kind == "radios") && !f.offers(f.Value):
		return "web.choice_unknown", nil
	case f.Kind == "email" && !isAddress(f.Value):
		return "web.email_wrong", nil
	case f.Kind == "tel" && !telephone.MatchString(f.Value):
		return "web.tel_wrong", nil
	case f.Kind == "number" && !decimal.MatchString(f.Value):
		return "web.number_wrong", nil
	case f.Kind == "date" && !isDay(f.Value):
		return "web.date_wrong", nil
	}
	return "", nil
}

func (f *Field) offers(value string) bool {
	return slices.ContainsFunc(f.Options, func(o Option) bool { return o.Value == value })
}

func isAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// Fail puts the wrong fields that err names (a fault with Fields; "/email" and "email"
// both name the field email) on the form, with the text "field.CODE" where the catalogue
// has one. It returns nil when every wrong part found its field, else err, which is then
// the caller's to answer.
func (s *Site) Fail(r *http.Request, f Form, err error) error {
	e := fault.From(err)
	if e == nil || len(e.Fields) == 0 {
		return err
	}
	for _, wrong := range e.Fields {
		field := f.Field(strings.TrimPrefix(wrong.Name, "/"))
		if field == nil {
			return err
		}
		key := "field." + wrong.Code
		if _, ok := s.texts[key]; !ok {
			key = "web.field_wrong"
		}
		field.Error = s.T(r, key, field.Label)
	}
	return nil
}

// fieldView is a field as the component shows it.
type fieldView struct {
	Field
	ID, Type, InputMode string
	Group, ShowValue    bool
	Choices             []choiceView
	Parts               []partView
}

type choiceView struct {
	Option
	ID     string
	Chosen bool
}

type partView struct {
	ID, Name, Label, Value, Class, Autocomplete string
	Length                                      int
}

// fieldID is the id of a field's first control, where the error summary leads.
func fieldID(name string) string { return "f-" + name }

func (s *Site) fieldView(lang int, f Field) fieldView {
	v := fieldView{Field: f, ID: fieldID(f.Name), Type: "text", ShowValue: true}
	switch f.Kind {
	case "email", "tel":
		v.Type = f.Kind
	case "password":
		v.Type, v.ShowValue = "password", false
	case "file":
		v.Type, v.ShowValue = "file", false
	case "number":
		v.InputMode = "decimal" // type=number loses what it cannot read, and a comma with it
	case "code":
		v.InputMode = "numeric"
	case "date":
		v.Group, v.Parts = true, s.dateParts(lang, f)
	case "radios", "checkboxes":
		v.Group = true
	}
	for i, o := range f.Options {
		c := choiceView{Option: o, ID: v.ID, Chosen: o.Value == f.Value || slices.Contains(f.Values, o.Value)}
		if i > 0 {
			c.ID += "-" + strconv.Itoa(i+1)
		}
		v.Choices = append(v.Choices, c)
	}
	return v
}

// dateParts splits a date into its three inputs. Day comes first in both languages, as on
// paper in Germany.
func (s *Site) dateParts(lang int, f Field) []partView {
	year, rest, _ := strings.Cut(f.Value, "-")
	month, day, _ := strings.Cut(rest, "-")
	parts := []partView{
		{ID: fieldID(f.Name), Name: f.Name + "-day", Label: s.text(lang, "web.day"), Value: day, Class: "site-date-part", Length: 2},
		{ID: fieldID(f.Name) + "-month", Name: f.Name + "-month", Label: s.text(lang, "web.month"), Value: month, Class: "site-date-part", Length: 2},
		{ID: fieldID(f.Name) + "-year", Name: f.Name + "-year", Label: s.text(lang, "web.year"), Value: year, Class: "site-date-year", Length: 4},
	}
	if f.Autocomplete == "bday" {
		parts[0].Autocomplete, parts[1].Autocomplete, parts[2].Autocomplete = "bday-day", "bday-month", "bday-year"
	}
	return parts
}
