package forms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"basisdienste/platform/money"
)

// Text is said in both languages.
type Text struct {
	De string `json:"de"`
	En string `json:"en"`
}

// In returns the text in the language, German unless it is "en".
func (t Text) In(lang string) string {
	if lang == "en" {
		return t.En
	}
	return t.De
}

func (t Text) empty() bool { return t.De == "" && t.En == "" }

// half reports a text that one language lacks.
func (t Text) half() bool { return (strings.TrimSpace(t.De) == "") != (strings.TrimSpace(t.En) == "") }

// Definition is one version of a form: what may be answered (a JSON Schema), and how it is
// asked (pages). It does not change after parseDefinition and may be shared.
type Definition struct {
	Form        string          `json:"form"`
	Prefix      string          `json:"prefix"` // of reference numbers
	Title       Text            `json:"title"`
	Summary     Text            `json:"summary"`
	LegalBasis  Text            `json:"legal_basis"`
	Needs       []Text          `json:"needs"`   // what to have at hand
	Minutes     int             `json:"minutes"` // how long filling in takes
	Level       int             `json:"level"`   // least STORK level of the login
	Fee         *Fee            `json:"fee,omitempty"`
	Declaration Text            `json:"declaration"`
	Contact     ContactFields   `json:"contact"`
	Schema      json.RawMessage `json:"schema"`
	Pages       []Page          `json:"pages"`

	Version int64 `json:"-"`
	schema  *jsonschema.Schema
}

// ContactFields are the JSON pointers of the answers that say whom to write to.
type ContactFields struct {
	GivenName  string `json:"given_name"`
	FamilyName string `json:"family_name"`
	Email      string `json:"email"`
}

// Fee says what filing costs. A tenant's settings may hold another amount.
type Fee struct {
	Amount   money.Amount `json:"amount"`
	Per      string       `json:"per,omitempty"` // JSON pointer of a count that the amount is multiplied by
	Unit     Text         `json:"unit"`          // "a year"
	Basis    Text         `json:"basis"`
	FreeWhen *Condition   `json:"free_when,omitempty"`
	FreeText Text         `json:"free_text"`
}

// Condition holds when the answer at Path is one of Is. In a page that repeats, a path that
// begins with "./" belongs to the same item.
type Condition struct {
	Path string   `json:"path"`
	Is   []string `json:"is"`
}

// Page is one question group.
type Page struct {
	ID     string     `json:"id"`
	Title  Text       `json:"title"`
	Intro  Text       `json:"intro"`
	When   *Condition `json:"when,omitempty"`
	Repeat *Repeat    `json:"repeat,omitempty"`
	Fields []Field    `json:"fields"`
}

// Repeat asks the page's fields once for each item of a list.
type Repeat struct {
	Path string `json:"path"`
	Min  int    `json:"min"`
	Max  int    `json:"max"`
	Item Text   `json:"item"` // "Hund"
	Name string `json:"name"` // path in the item that names it
}

// Field is one question. Kind is text, email, tel, number, select, radios, checkbox, date,
// textarea, birthdate (an object of day, month and year as in XDatenfelder's G60000083) or
// file (a list of ids of uploaded files).
type Field struct {
	Path         string     `json:"path"` // JSON pointer; in a page that repeats below the item
	Kind         string     `json:"kind"`
	Label        Text       `json:"label"`
	Hint         Text       `json:"hint"`
	Error        Text       `json:"error"` // what to change when the schema refuses the answer
	Optional     bool       `json:"optional,omitempty"`
	When         *Condition `json:"when,omitempty"`
	Options      []Option   `json:"options,omitempty"`
	Autocomplete string     `json:"autocomplete,omitempty"`
	MaxLength    int        `json:"max_length,omitempty"`
	Prefill      string     `json:"prefill,omitempty"`   // taken over from the login
	Normalize    string     `json:"normalize,omitempty"` // plate, digits: how an answer is tidied up
	Rule         string     `json:"rule,omitempty"`      // past: a date that is not in the future
	Files        *FileRule  `json:"files,omitempty"`
}

// Option is one answer to choose.
type Option struct {
	Value string `json:"value"`
	Label Text   `json:"label"`
	Hint  Text   `json:"hint"`
}

// FileRule says what may be uploaded.
type FileRule struct {
	Types    []string `json:"types"` // media types
	MaxBytes int64    `json:"max_bytes"`
	Max      int      `json:"max"` // number of files
}

var kinds = []string{"text", "email", "tel", "number", "select", "radios", "checkbox", "date", "textarea", "birthdate", "file"}

// parseDefinition reads and checks a definition. Its errors are the author's mistakes, all
// of them at once.
func parseDefinition(body []byte) (*Definition, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	var d Definition
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("form definition: %w", err)
	}
	if err := d.compile(); err != nil {
		return nil, fmt.Errorf("form definition %s: schema: %w", d.Form, err)
	}
	if err := errors.Join(d.mistakes()...); err != nil {
		return nil, fmt.Errorf("form definition %s: %w", d.Form, err)
	}
	return &d, nil
}

func (d *Definition) compile() error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.Schema))
	if err != nil {
		return err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	url := "urn:basisdienste:form:" + d.Form
	if err := c.AddResource(url, doc); err != nil {
		return err
	}
	d.schema, err = c.Compile(url)
	return err
}

// noLoader: a schema refers to itself alone; nothing is fetched.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: other documents are not loaded", url)
}

var (
	slugShape   = regexp.MustCompile(`^[a-z][a-z0-9]{0,35}$`) // also an XBezahldienste originatorId
	pageShape   = regexp.MustCompile(`^[a-z][a-z0-9]*$`)
	prefixShape = regexp.MustCompile(`^[A-Z]{2,4}$`)
)

func (d *Definition) mistakes() (errs []error) {
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slugShape.MatchString(d.Form) || !prefixShape.MatchString(d.Prefix) {
		wrong("form %q or prefix %q has the wrong shape", d.Form, d.Prefix)
	}
	if d.Level != 0 && d.Level != 1 && d.Level != 3 && d.Level != 4 {
		wrong("level %d is no STORK level", d.Level)
	}
	d.eachText(func(where string, t Text, required bool) {
		if t.half() || required && t.empty() {
			wrong("%s: a language is missing", where)
		}
	})
	seen := map[string]bool{}
	for _, p := range d.Pages {
		if !pageShape.MatchString(p.ID) || seen[p.ID] {
			wrong("page %q: the id is malformed or stands twice", p.ID)
		}
		seen[p.ID] = true
		prefix := ""
		if p.Repeat != nil {
			prefix = p.Repeat.Path + "/0"
		}
		for _, f := range p.Fields {
			if seen[prefix+f.Path] {
				wrong("%s stands twice", f.Path)
			}
			seen[prefix+f.Path] = true
			errs = append(errs, d.fieldMistakes(prefix, f)...)
		}
		for _, c := range p.conditions() {
			if pointer := c.pointer(prefix); d.schemaOf(pointer) == nil {
				wrong("condition on %s: the schema has no such member", pointer)
			}
		}
	}
	if d.Fee != nil && d.Fee.Per != "" && d.schemaOf(d.Fee.Per) == nil {
		wrong("fee per %s: the schema has no such member", d.Fee.Per)
	}
	return errs
}

func (d *Definition) fieldMistakes(prefix string, f Field) (errs []error) {
	schema := d.schemaOf(prefix + f.Path)
	if schema == nil {
		return []error{fmt.Errorf("%s: the schema has no such member", prefix+f.Path)}
	}
	if !slices.Contains(kinds, f.Kind) {
		errs = append(errs, fmt.Errorf("%s: kind %q is none of %q", f.Path, f.Kind, kinds))
	}
	if (f.Kind == "file") != (f.Files != nil) {
		errs = append(errs, fmt.Errorf("%s: a file needs its rule, and nothing else has one", f.Path))
	}
	if enum, ok := schema["enum"].([]any); ok {
		var offered []any
		for _, o := range f.Options {
			offered = append(offered, o.Value)
		}
		if !slices.Equal(enum, offered) {
			errs = append(errs, fmt.Errorf("%s: the options %q are not the schema's %q", f.Path, offered, enum))
		}
	}
	return errs
}

func (p Page) conditions() []*Condition {
	var cs []*Condition
	if p.When != nil {
		cs = append(cs, p.When)
	}
	for _, f := range p.Fields {
		if f.When != nil {
			cs = append(cs, f.When)
		}
	}
	return cs
}

// eachText calls yield for every text with the place where it stands.
func (d *Definition) eachText(yield func(where string, t Text, required bool)) {
	yield("title", d.Title, true)
	yield("summary", d.Summary, true)
	yield("legal_basis", d.LegalBasis, true)
	yield("declaration", d.Declaration, true)
	for i, t := range d.Needs {
		yield(fmt.Sprintf("needs/%d", i), t, true)
	}
	if d.Fee != nil {
		yield("fee/unit", d.Fee.Unit, true)
		yield("fee/basis", d.Fee.Basis, true)
		yield("fee/free_text", d.Fee.FreeText, d.Fee.FreeWhen != nil)
	}
	for _, p := range d.Pages {
		yield(p.ID+"/title", p.Title, true)
		yield(p.ID+"/intro", p.Intro, false)
		if p.Repeat != nil {
			yield(p.ID+"/repeat/item", p.Repeat.Item, true)
		}
		for _, f := range p.Fields {
			yield(p.ID+f.Path+"/label", f.Label, true)
			yield(p.ID+f.Path+"/hint", f.Hint, false)
			yield(p.ID+f.Path+"/error", f.Error, false)
			for _, o := range f.Options {
				yield(p.ID+f.Path+"/options/"+o.Value, o.Label, true)
				yield(p.ID+f.Path+"/options/"+o.Value+"/hint", o.Hint, false)
			}
		}
	}
}

// schemaOf returns the part of the schema that describes the member, nil if there is none.
func (d *Definition) schemaOf(pointer string) map[string]any {
	var root map[string]any
	if json.Unmarshal(d.Schema, &root) != nil {
		return nil // compile has read it before
	}
	node := resolve(root, root)
	for _, t := range tokens(pointer) {
		if isIndex(t) {
			items, _ := node["items"].(map[string]any)
			node = resolve(root, items)
			continue
		}
		properties, _ := node["properties"].(map[string]any)
		member, ok := properties[t].(map[string]any)
		if !ok {
			return nil
		}
		node = resolve(root, member)
	}
	return node
}

func resolve(root, node map[string]any) map[string]any {
	ref, ok := node["$ref"].(string)
	if !ok {
		return node
	}
	defs, _ := root["$defs"].(map[string]any)
	target, _ := defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	return target
}

// pointer is the condition's path below the item that prefix names.
func (c *Condition) pointer(prefix string) string {
	if rest, ok := strings.CutPrefix(c.Path, "."); ok {
		return prefix + rest
	}
	return c.Path
}

// holds reports whether the condition is fulfilled; none is always fulfilled.
func (c *Condition) holds(a Answers, prefix string) bool {
	return c == nil || slices.Contains(c.Is, a.text(c.pointer(prefix)))
}

// page returns the page with the id.
func (d *Definition) page(pageID string) (*Page, bool) {
	for i := range d.Pages {
		if d.Pages[i].ID == pageID {
			return &d.Pages[i], true
		}
	}
	return nil, false
}

// field returns the field that the pointer names, also inside a list.
func (d *Definition) field(pointer string) (*Page, *Field) {
	for i := range d.Pages {
		p := &d.Pages[i]
		path := pointer
		if p.Repeat != nil {
			rest, ok := strings.CutPrefix(pointer, p.Repeat.Path+"/")
			if !ok {
				continue
			}
			index, inItem, ok := strings.Cut(rest, "/")
			if !ok || !isIndex(index) {
				continue
			}
			path = "/" + inItem
		}
		for j := range p.Fields {
			if f := &p.Fields[j]; path == f.Path || strings.HasPrefix(path, f.Path+"/") {
				return p, f
			}
		}
	}
	return nil, nil
}

// visible returns the pages that are asked for these answers.
func (d *Definition) visible(a Answers) []*Page {
	var pages []*Page
	for i := range d.Pages {
		if p := &d.Pages[i]; p.When.holds(a, "") {
			pages = append(pages, p)
		}
	}
	return pages
}

// fields calls yield with every field of the page that is asked: the item's, if the page
// repeats (from 0).
func (p *Page) fields(a Answers, item int, yield func(f *Field, pointer string)) {
	prefix := p.prefix(item)
	for i := range p.Fields {
		if f := &p.Fields[i]; f.When.holds(a, prefix) {
			yield(f, prefix+f.Path)
		}
	}
}

func (p *Page) prefix(item int) string {
	if p.Repeat == nil {
		return ""
	}
	return fmt.Sprintf("%s/%d", p.Repeat.Path, item)
}

// each calls yield with every field that is asked for these answers.
func (d *Definition) each(a Answers, yield func(p *Page, f *Field, pointer string)) {
	for _, p := range d.visible(a) {
		items := 1
		if p.Repeat != nil {
			items = a.items(p.Repeat.Path)
		}
		for item := range items {
			p.fields(a, item, func(f *Field, pointer string) { yield(p, f, pointer) })
		}
	}
}
