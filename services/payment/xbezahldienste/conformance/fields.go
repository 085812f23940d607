package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
)

// fields asks for every field of the schema: missing, empty, at its limit, beyond it, of
// another type, with a sign that its pattern forbids.
func (s *session) fields() {
	for _, m := range s.mutants() {
		c := clause{id: "create." + m.id, standard: postPath + ", " + m.field, sent: m.what, must: m.must}
		if m.valid {
			s.mustAccept(c, m.body)
			continue
		}
		s.mustRefuse(c, func() []byte { return edited(m.body(), func(object) {}) }, m.codes)
	}
}

// mutant is a valid request with one change.
type mutant struct {
	id, field, what string
	valid, must     bool
	codes           []string
	body            func() object
}

// walker makes mutants of all fields of a schema.
type walker struct {
	name string // of the ids: "item", "individual"
	base func() object
	made []mutant
}

func (s *session) mutants() []mutant {
	var all []mutant
	for _, part := range []struct {
		name, schema string
		base         func() object
		path         []string
	}{
		{"request", "PaymentRequest", s.plain, nil},
		{"item", "PaymentItem", s.plain, []string{"items", "0"}},
		{"individual", "RequestorIndividual", s.ofIndividual, []string{"requestor"}},
		{"organization", "RequestorOrganization", s.ofOrganization, []string{"requestor"}},
		{"address", "PostalAddress", s.ofIndividual, []string{"requestor", "address"}},
		{"legacy", "RequestorLegacy", s.ofLegacy, []string{"requestor"}},
		{"legacyAddress", "Address", s.ofLegacy, []string{"requestor", "address"}},
	} {
		w := &walker{name: part.name, base: part.base}
		w.object(s.schemas[part.schema].Value, part.schema, part.path)
		all = append(all, w.made...)
	}
	return all
}

func (w *walker) object(schema *openapi3.Schema, name string, path []string) {
	sample := w.base()
	for _, field := range sortedKeys(schema.Properties) {
		at := append(slices.Clone(path), field)
		value, there := get(sample, at)
		if !there {
			continue
		}
		if slices.Contains(schema.Required, field) {
			w.add(name, at, "missing", "without "+field, false, true, func(b object) { remove(b, at) })
		}
		w.value(schema.Properties[field].Value, name, at, value)
	}
	w.add(name, append(slices.Clone(path), "unbekannt"), "unknown", "with a field that the schema does not have", false, false,
		func(b object) { set(b, append(slices.Clone(path), "unbekannt"), "x") })
}

// add makes a mutant. The amounts of a request depend on each other, so a wrong one may be
// told as a wrong sum.
func (w *walker) add(schema string, at []string, kind, what string, valid, must bool, edit func(object)) {
	field := at[len(at)-1]
	m := mutant{
		id: w.name + "." + field + "." + kind, field: schema + "." + field, what: what, valid: valid, must: must, codes: validation(),
		body: func() object {
			b := w.base()
			edit(b)
			return b
		},
	}
	if field == "quantity" || strings.HasSuffix(field, "Amount") {
		m.codes = append(m.codes, "CALCULATION_ERROR")
	}
	if kind == "missing" && schema == "PaymentItem" {
		m.codes = append(m.codes, "BOOKING_DATA_MISSING")
	}
	w.made = append(w.made, m)
}

func (w *walker) value(schema *openapi3.Schema, name string, at []string, sample any) {
	field := at[len(at)-1]
	put := func(kind, what string, must bool, value any) {
		w.add(name, at, kind, what, false, must, func(b object) { set(b, at, value) })
	}
	switch v := sample.(type) {
	case string:
		put("type", field+" as a number", true, json.Number("17"))
		w.text(schema, name, at, v)
	case json.Number:
		put("type", field+" as a text", true, v.String())
		put("null", field+" as null", false, nil)
		if *schema.Min > 0 || schema.ExclusiveMin.IsTrue() {
			put("zero", field+" as 0", true, json.Number("0"))
		}
		put("below", field+" as -1", true, json.Number("-1"))
		put("beyond", fmt.Sprintf("%s as %.0f", field, *schema.Max+1), true, json.Number(fmt.Sprintf("%.0f", *schema.Max+1)))
		if schema.Type.Is("integer") {
			put("fraction", field+" as 1.5", true, json.Number("1.5"))
		}
	case bool:
		put("type", field+" as a text", true, "ja")
	case []any:
		put("type", field+" as an object", true, object{})
		if schema.MinItems > 0 {
			put("empty", field+" without entries", true, []any{})
		}
	case object:
		put("type", field+" as a text", true, "x")
		put("array", field+" as an array", true, []any{})
	}
}

// text makes the mutants of a text.
func (w *walker) text(schema *openapi3.Schema, name string, at []string, sample string) {
	field := at[len(at)-1]
	put := func(kind, what string, valid, must bool, value func(old string) string) {
		w.add(name, at, kind, what, valid, must, func(b object) {
			old, _ := get(b, at)
			text, _ := old.(string)
			set(b, at, value(text))
		})
	}
	put("null", field+" as null", false, false, func(string) string { return "" })
	w.made[len(w.made)-1].body = func() object {
		b := w.base()
		set(b, at, nil)
		return b
	}
	put("empty", field+" as an empty text", false, true, func(string) string { return "" })
	if len(schema.Enum) > 0 {
		put("other", field+" as none of the values", false, true, func(string) string { return "SONSTIGES" })
		return
	}
	if schema.MaxLength != nil {
		most := int(*schema.MaxLength)
		if most > utf8.RuneCountInString(sample) {
			put("longest", field+" with "+strconv.Itoa(most)+" characters", true, true, func(old string) string { return pad(old, most) })
		}
		put("longer", field+" with "+strconv.Itoa(most+1)+" characters", false, true, func(old string) string { return pad(old, most+1) })
	}
	if schema.MinLength > 1 {
		put("shorter", field+" with a character less", false, true, func(old string) string { return old[:len(old)-1] })
	}
	if schema.Pattern != "" {
		// Identifiers stand in paths and files; of other texts \w and \s are read in several ways.
		must := schema.Pattern == `^[\w-]+$` || schema.Pattern == `^[\w]+$`
		put("sign", field+" with a sign that the pattern forbids", false, must, func(old string) string { return old[:len(old)-1] + "!" })
	}
}

// pad makes a text longer, with signs of its own kind.
func pad(text string, length int) string {
	with := "x"
	if strings.Trim(text, "0123456789") == "" {
		with = "1"
	} else if strings.ToUpper(text) == text {
		with = "X"
	}
	return text + strings.Repeat(with, length-utf8.RuneCountInString(text))
}
