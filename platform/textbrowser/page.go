package textbrowser

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Page is what is shown.
type Page struct {
	URL    *url.URL
	Status int

	root *html.Node
}

// Form is one form of a page with the values that it has now; change Values to fill it in.
type Form struct {
	Action, Method string
	Values         url.Values
	Options        map[string][]string // what selects, radios and checkboxes offer

	enctype string
	files   []string // names of file inputs
	buttons []button
}

type button struct{ name, value, text, action string }

// Forms returns the page's forms.
func (p *Page) Forms() []Form {
	var out []Form
	for n := range p.nodes("form") {
		f := Form{Action: attr(n, "action"), Method: strings.ToUpper(attr(n, "method")), enctype: attr(n, "enctype"), Values: url.Values{}, Options: map[string][]string{}}
		for c := range n.Descendants() {
			if c.Type == html.ElementNode {
				f.take(c)
			}
		}
		out = append(out, f)
	}
	return out
}

// FormTo finds the form whose action ends so.
func (p *Page) FormTo(suffix string) (Form, error) {
	for _, f := range p.Forms() {
		if strings.HasSuffix(f.Action, suffix) {
			return f, nil
		}
	}
	return Form{}, fmt.Errorf("%s has no form to %s", p.URL.Path, suffix)
}

func (f *Form) take(n *html.Node) {
	name, value := attr(n, "name"), attr(n, "value")
	switch n.Data {
	case "input":
		switch attr(n, "type") {
		case "radio", "checkbox":
			if value == "" {
				value = "on"
			}
			f.Options[name] = append(f.Options[name], value)
			if has(n, "checked") {
				f.Values.Add(name, value)
			}
		case "file":
			f.files = append(f.files, name)
		case "submit":
			f.buttons = append(f.buttons, button{name, value, value, attr(n, "formaction")})
		default:
			if name != "" {
				f.Values.Set(name, value)
			}
		}
	case "textarea":
		f.Values.Set(name, text(n))
	case "select":
		f.takeSelect(n, name)
	case "button":
		if t := attr(n, "type"); t == "" || t == "submit" {
			f.buttons = append(f.buttons, button{name, value, text(n), attr(n, "formaction")})
		}
	}
}

func (f *Form) takeSelect(n *html.Node, name string) {
	for o := range n.Descendants() {
		if o.Type == html.ElementNode && o.Data == "option" {
			f.Options[name] = append(f.Options[name], attr(o, "value"))
			if has(o, "selected") {
				f.Values.Set(name, attr(o, "value"))
			}
		}
	}
}

func (f *Form) press(what string) button {
	for _, b := range f.buttons {
		if what != "" && (strings.Contains(strings.ToLower(b.text), strings.ToLower(what)) || b.value == what || b.name == what) {
			return b
		}
	}
	if len(f.buttons) > 0 {
		return f.buttons[0]
	}
	return button{}
}

// names of the fields that take an answer.
func (f *Form) names() []string {
	var out []string
	for n := range f.Values {
		out = append(out, n)
	}
	for n := range f.Options {
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// HasField reports whether the name of a field ends so.
func (p *Page) HasField(suffix string) bool {
	for _, f := range p.Forms() {
		if slices.ContainsFunc(f.names(), func(n string) bool { return strings.HasSuffix(n, suffix) }) {
			return true
		}
	}
	return false
}

// Heading is the text of the first h1.
func (p *Page) Heading() string {
	for n := range p.nodes("h1") {
		return text(n)
	}
	return ""
}

// Text is everything that a person reads, with single spaces.
func (p *Page) Text() string { return text(p.root) }

// Summary is what a person would tell of the page: its heading and the first error.
func (p *Page) Summary() string {
	out := p.Heading()
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && (attr(n, "role") == "alert" || strings.Contains(attr(n, "class"), "error")) {
			out += " | " + text(n)
			break
		}
	}
	if p.Status >= http.StatusBadRequest && !strings.Contains(out, "|") {
		out += " | " + p.Text()
	}
	const most = 600
	if len(out) > most {
		out = strings.ToValidUTF8(out[:most], "")
	}
	return out
}

// nodes goes over the page's elements of a name.
func (p *Page) nodes(element string) func(yield func(*html.Node) bool) {
	return func(yield func(*html.Node) bool) {
		for n := range p.root.Descendants() {
			if n.Type == html.ElementNode && n.Data == element && !yield(n) {
				return
			}
		}
	}
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func inMain(n *html.Node) bool {
	for ; n != nil; n = n.Parent {
		if n.Type == html.ElementNode && n.Data == "main" {
			return true
		}
	}
	return false
}
