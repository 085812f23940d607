package forms

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"basisdienste/platform/fault"
	"basisdienste/platform/money"
)

// clean returns the answers to the questions that are asked: what was answered before an
// earlier answer made the question disappear is left out, and so is what no page asks.
func (d *Definition) clean(a Answers) Answers {
	out := Answers{}
	d.each(a, func(_ *Page, _ *Field, pointer string) {
		if v := a.at(pointer); v != nil {
			out.set(pointer, cloneValue(v))
		}
	})
	return out
}

// check returns what is wrong with the answers, each part by its JSON pointer, in the order
// of the pages: questions without an answer, what breaks the schema, and what a schema
// cannot say. today is a date.
func (d *Definition) check(a Answers, today time.Time) []fault.Field {
	var wrong []fault.Field
	add := func(name, code, detail string) {
		if !slices.ContainsFunc(wrong, func(f fault.Field) bool { return f.Name == name }) {
			wrong = append(wrong, fault.Field{Name: name, Code: code, Detail: detail})
		}
	}
	d.each(a, func(_ *Page, f *Field, pointer string) {
		if !f.Optional && a.at(pointer) == nil {
			add(pointer, "missing", "is missing")
		}
	})
	var broken *jsonschema.ValidationError
	if err := d.schema.Validate(map[string]any(a)); errors.As(err, &broken) {
		leaves(broken, add)
	}
	d.each(a, func(_ *Page, f *Field, pointer string) {
		day, ok := dayOf(a.at(pointer))
		switch {
		case a.at(pointer) == nil:
		case f.Kind == "birthdate" && !ok:
			add(pointer, "wrong_format", "is no day of the calendar")
		case f.Rule == "past" && ok && day.After(today):
			add(pointer, "in_future", "lies in the future")
		}
	})
	// An object that is missing as a whole is named by its questions already.
	wrong = slices.DeleteFunc(wrong, func(f fault.Field) bool {
		return slices.ContainsFunc(wrong, func(inner fault.Field) bool { return strings.HasPrefix(inner.Name, f.Name+"/") })
	})
	order := d.order(a)
	slices.SortStableFunc(wrong, func(x, y fault.Field) int { return rank(order, x.Name) - rank(order, y.Name) })
	return wrong
}

// order lists the pointers as they are asked.
func (d *Definition) order(a Answers) []string {
	var order []string
	d.each(a, func(_ *Page, _ *Field, pointer string) { order = append(order, pointer) })
	return order
}

func rank(order []string, name string) int {
	for i, pointer := range order {
		if name == pointer || strings.HasPrefix(name, pointer+"/") {
			return i
		}
	}
	return len(order)
}

// leaves names the innermost reasons of a violation.
func leaves(e *jsonschema.ValidationError, add func(name, code, detail string)) {
	for _, c := range e.Causes {
		leaves(c, add)
	}
	if len(e.Causes) > 0 {
		return
	}
	at := ""
	for _, t := range e.InstanceLocation {
		at += "/" + t
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, m := range k.Missing {
			add(at+"/"+m, "missing", "is missing")
		}
	case *kind.DependentRequired:
		for _, m := range k.Missing {
			add(at+"/"+m, "missing", "is missing")
		}
	case *kind.AdditionalProperties:
		for _, m := range k.Properties {
			add(at+"/"+m, "unknown_field", "is not asked by this form")
		}
	case *kind.FalseSchema:
		add(at, "not_allowed", "does not go with the other answers")
	case *kind.Type:
		add(at, "wrong_type", "is a JSON "+k.Got+", want "+strings.Join(k.Want, " or "))
	case *kind.Enum, *kind.Const:
		add(at, "unknown_choice", "is none of the answers that are possible here")
	case *kind.Pattern:
		add(at, "wrong_format", "does not match "+k.Want)
	case *kind.Format:
		add(at, "wrong_format", "is no "+k.Want)
	case *kind.MaxLength:
		add(at, "too_long", "has more than "+strconv.Itoa(k.Want)+" characters")
	case *kind.MinLength:
		add(at, "missing", "has fewer than "+strconv.Itoa(k.Want)+" characters")
	case *kind.Minimum, *kind.ExclusiveMinimum:
		add(at, "too_small", "is too small")
	case *kind.Maximum, *kind.ExclusiveMaximum:
		add(at, "too_large", "is too large")
	case *kind.MinItems:
		add(at, "too_few", "has fewer than "+strconv.Itoa(k.Want)+" entries")
	case *kind.MaxItems:
		add(at, "too_many", "has more than "+strconv.Itoa(k.Want)+" entries")
	case *kind.UniqueItems:
		add(at, "duplicate", "has an entry twice")
	default:
		add(at, "invalid", "breaks the form's schema")
	}
}

// Members of XDatenfelder's group G60000083, a date of birth in three parts.
const (
	birthDay   = "F60000231"
	birthMonth = "F60000232"
	birthYear  = "F60000233"
)

// dayOf reads a date: "2026-11-23", or the three parts of a date of birth.
func dayOf(v any) (time.Time, bool) {
	if m, ok := v.(map[string]any); ok {
		v = birthText(m)
	}
	s, ok := v.(string)
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(time.DateOnly, s)
	return t, err == nil
}

func birthText(m map[string]any) string {
	pad := func(key string, width int) string {
		s := textOf(m[key])
		for len(s) < width {
			s = "0" + s
		}
		return s
	}
	return pad(birthYear, 4) + "-" + pad(birthMonth, 2) + "-" + pad(birthDay, 2)
}

// value is what an answer typed into the field is stored as. What does not fit the kind
// stays the text that it is: the schema refuses it, and the citizen sees it again.
func (f *Field) value(text string) any {
	text = f.tidy(text)
	switch {
	case text == "":
		return nil
	case f.Kind == "checkbox":
		return text == "true"
	case f.Kind == "number" && isNumber(text):
		return json.Number(text)
	case f.Kind == "birthdate":
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return text
		}
		return map[string]any{
			birthDay: json.Number(strconv.Itoa(day.Day())), birthMonth: json.Number(strconv.Itoa(int(day.Month()))),
			birthYear: json.Number(strconv.Itoa(day.Year())),
		}
	default:
		return text
	}
}

// typed is the reverse of value.
func (f *Field) typed(v any) string {
	if m, ok := v.(map[string]any); ok && f.Kind == "birthdate" {
		return birthText(m)
	}
	return textOf(v)
}

func isNumber(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && strconv.Itoa(n) == s
}

var (
	spaces = regexp.MustCompile(`[\s\x{a0}\x{202f}]+`)
	// plateParts: district, then letters, then digits with E (electric) or H (historic).
	// Between district and letters stands at least a space or hyphen, for "EFA 1" could be
	// two plates.
	plateParts = regexp.MustCompile(`^([A-ZÄÖÜ]{1,3})[ -]+([A-Z]{1,2})[ -]*([1-9][0-9]{0,3}[EH]?)$`)
)

// tidy brings an answer into the form that the schema wants, where that is beyond doubt.
func (f *Field) tidy(text string) string {
	switch f.Normalize {
	case "plate":
		text = strings.TrimSpace(spaces.ReplaceAllString(strings.ToUpper(text), " "))
		return plateParts.ReplaceAllString(text, "$1-$2 $3")
	case "digits":
		return strings.NewReplacer(" ", "", "-", "", ".", "", "\u00a0", "").Replace(text)
	}
	return text
}

// amount is what filing these answers costs at the given rate.
func (d *Definition) amount(rate money.Amount, a Answers) money.Amount {
	if d.Fee == nil || d.Fee.FreeWhen != nil && d.Fee.FreeWhen.holds(a, "") {
		return 0
	}
	if d.Fee.Per == "" {
		return rate
	}
	n, err := strconv.Atoi(a.text(d.Fee.Per))
	if err != nil || n < 1 {
		return rate
	}
	return rate * money.Amount(n)
}

// contact is whom to write to.
func (d *Definition) contact(a Answers) Contact {
	return Contact{
		Name:  strings.TrimSpace(a.text(d.Contact.GivenName) + " " + a.text(d.Contact.FamilyName)),
		Email: a.text(d.Contact.Email),
	}
}
