package notify

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
)

// Kind is the type of a placeholder: what its value must look like and how it is shown.
type Kind string

// The kinds.
const (
	Text      Kind = "text"       // one line; a list becomes a bullet list
	Amount    Kind = "amount"     // euros: 30.70 (number or text) is shown as 30,70 € or €30.70
	DateTime  Kind = "date-time"  // RFC 3339, shown in the time of Berlin; a date alone is shown as a date
	URL       Kind = "url"        // absolute, http or https
	MultiLine Kind = "multi-line" // line ends are kept
)

// Placeholder is one gap in a template.
type Placeholder struct {
	Name string `json:"name"`
	Kind Kind   `json:"type"`
	// Optional: its value may be missing, and what depends on it is left out.
	Optional bool `json:"optional,omitempty"`
}

// Template is one version of a text in one language. Versions never change. Subject and Body
// hold placeholders in the style of GOV.UK Notify:
//
//	((name))            the value; names are compared without case, spaces, _ and -
//	((name??text))      text if the value of name is yes, y, true, t, 1, include or show
//
// The text of a condition may hold simple placeholders; for a placeholder that is optional or
// no text the condition is that a value is given. Body is Markdown (CommonMark without raw HTML).
type Template struct {
	ID           id.ID
	Name         string
	Language     string
	Version      int64
	Subject      string
	Body         string
	Placeholders []Placeholder
	CreatedAt    time.Time
	Own          bool // of the tenant, not of the catalogue

	subject, body []node
	zone          *time.Location
}

// node is literal text, a placeholder, or a condition with what depends on it.
type node struct {
	text string
	name string // of the placeholder; "" for text
	key  string // the name as it is compared
	cond []node // not nil: a condition
}

const (
	maxSubject      = 500
	maxBody         = 100_000
	maxPlaceholders = 50
	maxValue        = 20_000
)

// Compile checks the template and makes it ready to be filled. Placeholders that the text
// holds and that are not declared become required ones of the kind text.
// Errors: template_invalid, with the field that is wrong.
func (t *Template) Compile() error {
	var wrong []fault.Field
	bad := func(name, format string, args ...any) {
		wrong = append(wrong, fault.Field{Name: name, Code: "template_invalid", Detail: fmt.Sprintf(format, args...)})
	}
	switch {
	case strings.TrimSpace(t.Subject) == "":
		bad("/subject", "must not be empty")
	case len(t.Subject) > maxSubject, hasControls(t.Subject):
		bad("/subject", "is one line of at most %d bytes", maxSubject)
	}
	switch {
	case strings.TrimSpace(t.Body) == "":
		bad("/body", "must not be empty")
	case len(t.Body) > maxBody, clean(t.Body) != strings.ReplaceAll(t.Body, "\r\n", "\n"):
		bad("/body", "has at most %d bytes, and no characters that cannot be seen", maxBody)
	}
	var err error
	if t.zone, err = time.LoadLocation("Europe/Berlin"); err != nil {
		return fmt.Errorf("time zone: %w", err)
	}
	if t.subject, err = parse(t.Subject); err != nil {
		bad("/subject", "%v", err)
	}
	if t.body, err = parse(strings.ReplaceAll(t.Body, "\r\n", "\n")); err != nil {
		bad("/body", "%v", err)
	}
	used := map[string]string{}
	names(t.subject, used)
	names(t.body, used)
	declared := map[string]bool{}
	for i, p := range t.Placeholders {
		at := fmt.Sprintf("/placeholders/%d", i)
		key := nameKey(p.Name)
		switch p.Kind {
		case Text, Amount, DateTime, URL, MultiLine:
		default:
			bad(at+"/type", "is one of text, amount, date-time, url, multi-line")
		}
		if used[key] == "" {
			bad(at+"/name", "((%s)) stands neither in the subject nor in the body", p.Name)
		}
		if declared[key] {
			bad(at+"/name", "is declared twice")
		}
		declared[key] = true
	}
	var rest []string
	for key, name := range used {
		if !declared[key] {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	for _, name := range rest {
		t.Placeholders = append(t.Placeholders, Placeholder{Name: name, Kind: Text})
	}
	if len(t.Placeholders) > maxPlaceholders {
		bad("/body", "has at most %d placeholders", maxPlaceholders)
	}
	if len(wrong) > 0 {
		return fault.Unprocessable("template_invalid", "the template cannot be used as it is").With(wrong...)
	}
	return nil
}

// nameKey is how names are compared.
func nameKey(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r == ' ' || r == '_' || r == '-' {
			return -1
		}
		return r
	}, name))
}

func names(nodes []node, into map[string]string) {
	for _, n := range nodes {
		if n.name != "" {
			if _, ok := into[n.key]; !ok {
				into[n.key] = n.name
			}
		}
		names(n.cond, into)
	}
}

// parse reads text with placeholders.
func parse(s string) ([]node, error) {
	nodes, _, err := parseUntil(s, false)
	return nodes, err
}

// parseUntil reads up to the end, or inside a condition up to the brackets that close it.
func parseUntil(s string, inside bool) (nodes []node, rest string, err error) {
	for {
		open := strings.Index(s, "((")
		if inside {
			if end := strings.Index(s, "))"); end >= 0 && (open < 0 || end < open) {
				return append(nodes, node{text: s[:end]}), s[end+2:], nil
			}
		}
		if open < 0 {
			if inside {
				return nil, "", fmt.Errorf("a condition is not closed by ))")
			}
			return append(nodes, node{text: s}), "", nil
		}
		for strings.HasPrefix(s[open+1:], "((") { // in "[text](((link)))" the first bracket is Markdown's
			open++
		}
		nodes = append(nodes, node{text: s[:open]})
		s = s[open+2:]
		end := strings.Index(s, "))")
		if end < 0 {
			return nil, "", fmt.Errorf("the placeholder ((%.20s is not closed by ))", s)
		}
		if name, text, ok := strings.Cut(s[:end], "??"); ok {
			if inside {
				return nil, "", fmt.Errorf("a condition stands in another: ((%.20s", s)
			}
			n := node{name: strings.TrimSpace(name), key: nameKey(name)}
			if err := checkName(n.name); err != nil {
				return nil, "", err
			}
			if n.cond, s, err = parseUntil(s[end-len(text):], true); err != nil {
				return nil, "", err
			}
			nodes = append(nodes, n)
			continue
		}
		n := node{name: strings.TrimSpace(s[:end]), key: nameKey(s[:end])}
		if err := checkName(n.name); err != nil {
			return nil, "", err
		}
		nodes = append(nodes, n)
		s = s[end+2:]
	}
}

func checkName(name string) error {
	if name == "" || len(name) > 100 || strings.ContainsAny(name, "()\r\n") || nameKey(name) == "" {
		return fmt.Errorf("a placeholder has a name of 1 to 100 bytes on one line, without brackets: ((%.20s))", name)
	}
	return nil
}

// Values are what placeholders are filled with, by name: JSON strings, numbers, booleans or
// lists of them. null is the same as nothing.
type Values map[string]json.RawMessage

// filled is one value, ready for subject and body.
type filled struct {
	given bool
	yes   bool   // for conditions
	plain string // for the subject
	mark  string // Markdown
}

// Filled is a template with its values. Body is Markdown; in both the values are no more
// than text.
type Filled struct {
	Subject, Body string
}

// Fill puts the values in. Values for which there is no placeholder are left out.
// Errors: placeholder_missing and placeholder_invalid, with the names as fields.
func (t *Template) Fill(values Values) (Filled, error) {
	byKey := make(map[string]json.RawMessage, len(values))
	for name, v := range values {
		byKey[nameKey(name)] = v
	}
	full := make(map[string]filled, len(t.Placeholders))
	var missing, invalid []fault.Field
	for _, p := range t.Placeholders {
		key := nameKey(p.Name)
		f, err := t.fill(p.Kind, byKey[key])
		if p.Optional {
			f.given = f.given && f.plain != ""
			f.yes = f.given
		}
		switch {
		case err != nil:
			invalid = append(invalid, fault.Field{Name: "/personalisation/" + p.Name, Code: "placeholder_invalid", Detail: err.Error()})
		case !f.given && !p.Optional:
			missing = append(missing, fault.Field{Name: "/personalisation/" + p.Name, Code: "placeholder_missing", Detail: "is needed by the template"})
		}
		full[key] = f
	}
	if len(missing) > 0 {
		return Filled{}, fault.Unprocessable("placeholder_missing", "the template needs a value for: %s", fieldNames(missing)).With(missing...)
	}
	if len(invalid) > 0 {
		return Filled{}, fault.Unprocessable("placeholder_invalid", "values that do not fit their placeholder: %s", fieldNames(invalid)).With(invalid...)
	}
	var subject, body strings.Builder
	write(&subject, t.subject, full, func(f filled) string { return f.plain })
	write(&body, t.body, full, func(f filled) string { return f.mark })
	return Filled{Subject: oneLine(subject.String()), Body: body.String()}, nil
}

func fieldNames(fields []fault.Field) string {
	var out []string
	for _, f := range fields {
		out = append(out, strings.TrimPrefix(f.Name, "/personalisation/"))
	}
	return strings.Join(out, ", ")
}

func write(b *strings.Builder, nodes []node, full map[string]filled, show func(filled) string) {
	for _, n := range nodes {
		switch {
		case n.name == "":
			b.WriteString(n.text)
		case n.cond == nil:
			b.WriteString(show(full[n.key]))
		case full[n.key].yes:
			write(b, n.cond, full, show)
		}
	}
}

// fill reads one value. Its error says what is expected, without the value.
func (t *Template) fill(k Kind, raw json.RawMessage) (filled, error) {
	values, list, err := scalars(raw)
	if err != nil || values == nil {
		return filled{}, err
	}
	if list && k != Text {
		return filled{}, fmt.Errorf("a list fits a text only")
	}
	f := filled{given: true, yes: true}
	s := values[0]
	switch k {
	case Text:
		f.plain = strings.Join(values, ", ")
		if list {
			for i, v := range values {
				values[i] = "* " + escape(oneLine(v))
			}
			f.mark = "\n\n" + strings.Join(values, "\n") + "\n\n"
			return f, nil
		}
		f.yes = isYes(s)
		f.mark = escape(oneLine(s))
	case MultiLine:
		f.plain, f.mark = oneLine(s), escapeLines(s)
		f.yes = strings.TrimSpace(s) != ""
	case Amount:
		a, err := parseAmount(s)
		if err != nil {
			return filled{}, err
		}
		f.plain = amountText(a, t.Language)
		f.mark = escape(f.plain)
	case DateTime:
		text, err := t.timeText(s)
		if err != nil {
			return filled{}, err
		}
		f.plain, f.mark = text, escape(text)
	case URL:
		if s == "" {
			return filled{}, nil
		}
		if err := checkURL(s); err != nil {
			return filled{}, err
		}
		f.plain, f.mark = s, "<"+s+">"
	default:
		return filled{}, fmt.Errorf("unknown placeholder type %q", k)
	}
	return f, nil
}

// scalars returns the texts of a JSON value; nil for none.
func scalars(raw json.RawMessage) (values []string, list bool, err error) {
	if len(raw) == 0 {
		return nil, false, nil
	}
	switch raw[0] {
	case 'n':
		return nil, false, nil
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, false, fmt.Errorf("is no text")
		}
		if len(s) > maxValue {
			return nil, false, fmt.Errorf("has at most %d bytes", maxValue)
		}
		return []string{clean(s)}, false, nil
	case '[':
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil || len(items) > 100 {
			return nil, false, fmt.Errorf("is a list of at most 100 texts")
		}
		for _, item := range items {
			v, nested, err := scalars(item)
			if err != nil || nested {
				return nil, false, fmt.Errorf("is a list of texts")
			}
			values = append(values, v...)
		}
		return values, true, nil
	case '{':
		return nil, false, fmt.Errorf("is a text, a number or a list of texts")
	}
	return []string{string(raw)}, false, nil // a number or a boolean
}

// clean takes out what no reader sees and mail programs stumble over.
func clean(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\ufeff' ||
			(r >= '\u202a' && r <= '\u202e') || (r >= '\u2066' && r <= '\u2069'): // no turning of the reading direction
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// punctuation is what a backslash in Markdown makes plain.
const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// escape makes text mean itself in Markdown (CommonMark 2.4), at the beginning of a line too.
func escape(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 8)
	for _, r := range s {
		if r < 0x80 && strings.ContainsRune(punctuation, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func escapeLines(s string) string {
	var out []string
	for line := range strings.SplitSeq(strings.Trim(s, "\n"), "\n") {
		out = append(out, escape(oneLine(line)))
	}
	var b strings.Builder
	for i, line := range out {
		b.WriteString(line)
		switch {
		case i == len(out)-1:
		case line == "" || out[i+1] == "":
			b.WriteString("\n")
		default:
			b.WriteString("\\\n") // a hard line break
		}
	}
	return b.String()
}

// unescape is the text that escape was given: for readers of Markdown as it is.
func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '\n' || strings.IndexByte(punctuation, s[i+1]) >= 0) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isYes(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "yes", "y", "true", "t", "1", "include", "show", "ja":
		return true
	}
	return false
}

var germanAmount = regexp.MustCompile(`^-?(\d{1,3}(\.\d{3})+|\d+),\d\d$`)

// parseAmount reads 30.70, and 30,70 € or €30.70 as pages show it.
func parseAmount(s string) (money.Amount, error) {
	s = strings.NewReplacer("€", "", " ", "", "\u00a0", "", "\u202f", "").Replace(s)
	if germanAmount.MatchString(s) {
		s = strings.NewReplacer(".", "", ",", ".").Replace(s)
	}
	a, err := money.Parse(s)
	if err != nil {
		return 0, fmt.Errorf("is an amount in euros, for example 30.70")
	}
	return a, nil
}

func amountText(a money.Amount, lang string) string {
	if lang == "en" {
		return "€" + a.String()
	}
	return a.German()
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil {
		return fmt.Errorf("is an absolute URL with https")
	}
	for _, r := range s {
		if r <= ' ' || r > '~' || strings.ContainsRune("<>\"\\^`{|}", r) {
			return fmt.Errorf("is a URL in which other characters than letters, digits and punctuation are percent-encoded")
		}
	}
	return nil
}
