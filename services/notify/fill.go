package notify

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"basisdienste/platform/fault"
	"basisdienste/platform/money"
)

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
