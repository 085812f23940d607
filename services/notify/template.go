package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
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
