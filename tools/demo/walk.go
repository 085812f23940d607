package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// maxWalk bounds the pages of one walk: a page that comes again and again is an error.
const maxWalk = 40

// walk goes on from page to page, as somebody does who answers what is asked, until the
// page is the one. It answers by the ends of field names, leaves what is filled in already,
// and where there is no form it takes the page's main link.
func (b *browser) walk(ctx context.Context, answers map[string]string, arrived func(*page) bool) error {
	for range maxWalk {
		if arrived(b.page) {
			return nil
		}
		b.walked++
		f, ok := b.page.mainForm()
		if !ok {
			if err := b.takeMainLink(ctx); err != nil {
				return err
			}
			continue
		}
		for _, name := range f.names() {
			f.answer(name, answers)
		}
		var file *upload
		if len(f.files) > 0 {
			file = proof
		}
		if err := b.submit(ctx, f, f.goOn(), file); err != nil {
			return err
		}
	}
	return fmt.Errorf("did not arrive within %d pages; the last was %s: %s", maxWalk, b.page.url.Path, b.page.summary())
}

// mainForm is the form that leads on: not the log-out, not the search.
func (p *page) mainForm() (best form, ok bool) {
	for _, f := range p.forms() {
		if f.method != "POST" || strings.HasSuffix(f.action, "/logout") || strings.Contains(f.action, "withdraw") || strings.Contains(f.action, "delete") {
			continue
		}
		if !ok || len(f.values)+len(f.options)+len(f.files) > len(best.values)+len(best.options)+len(best.files) {
			best, ok = f, true
		}
	}
	return best, ok
}

// names of the fields that take an answer.
func (f form) names() []string {
	var out []string
	for n := range f.values {
		out = append(out, n)
	}
	for n := range f.options {
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var separators = regexp.MustCompile(`[^A-Za-z0-9]+`)

// answer fills in one field. Without an answer of ours, a choice takes its first option.
func (f *form) answer(name string, answers map[string]string) {
	plain := strings.Trim(separators.ReplaceAllString(name, "."), ".")
	best := ""
	for suffix := range answers {
		if (plain == suffix || strings.HasSuffix(plain, "."+suffix)) && len(suffix) > len(best) {
			best = suffix
		}
	}
	options := f.options[name]
	switch {
	case best != "" && len(options) == 0:
		f.values.Set(name, answers[best])
	case best != "":
		for _, o := range options {
			if o == answers[best] || strings.HasSuffix(o, answers[best]) {
				f.values.Set(name, o)
				return
			}
		}
		f.values.Set(name, options[0])
	case len(options) > 0 && f.values.Get(name) == "":
		f.values.Set(name, options[0])
	}
}

// goOn names the button that leads on.
func (f form) goOn() string {
	for _, want := range []string{"pay", "bezahlen", "weiter", "absenden", "einreichen", "anmelden", "bestätigen", "buchen"} {
		for _, b := range f.buttons {
			if strings.Contains(strings.ToLower(b.text), want) || b.value == want {
				if b.value == want {
					return b.value
				}
				return want
			}
		}
	}
	return ""
}

// takeMainLink follows the link that is a button, or the first one in the main part that is
// not a step back.
func (b *browser) takeMainLink(ctx context.Context) error {
	for n := range b.page.nodes("a") {
		if strings.Contains(attr(n, "class"), "kern-btn") && inMain(n) && !strings.Contains(attr(n, "class"), "tertiary") {
			return b.open(ctx, attr(n, "href"))
		}
	}
	for n := range b.page.nodes("a") {
		if inMain(n) && !strings.Contains(attr(n, "class"), "back") && strings.Contains(attr(n, "href"), "/booking/") {
			return b.open(ctx, attr(n, "href"))
		}
	}
	return fmt.Errorf("%s leads nowhere: %s", b.page.url.Path, b.page.summary())
}

func inMain(n *html.Node) bool {
	for ; n != nil; n = n.Parent {
		if n.Type == html.ElementNode && n.Data == "main" {
			return true
		}
	}
	return false
}

// hasField reports whether a field's name ends so.
func (p *page) hasField(suffix string) bool {
	for _, f := range p.forms() {
		for _, n := range f.names() {
			if strings.HasSuffix(n, suffix) {
				return true
			}
		}
	}
	return false
}

// formTo finds the form whose action ends so.
func (p *page) formTo(suffix string) (form, error) {
	for _, f := range p.forms() {
		if strings.HasSuffix(f.action, suffix) {
			return f, nil
		}
	}
	return form{}, errors.New("the page has no form to " + suffix)
}

// text is everything a person reads.
func (p *page) text() string { return text(p.root) }
