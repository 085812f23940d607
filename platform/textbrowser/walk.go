package textbrowser

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// maxWalk bounds the pages of one walk: a page that comes again and again is an error.
const maxWalk = 40

// Answers are what somebody says when asked: by the end of a field's name, where every run
// of characters other than letters and digits counts as a dot. Of several ends that fit the
// longest wins. File is what is uploaded where a file is asked for.
type Answers struct {
	Fields map[string]string
	File   *Upload
}

// Walk goes on from page to page, as somebody does who answers what is asked, until the page
// is the one. Without an answer a choice gets its first option, and a text stays as it is.
// Where a page has no form, Walk takes its main link.
func (b *Browser) Walk(ctx context.Context, answers Answers, arrived func(*Page) bool) error {
	for range maxWalk {
		if arrived(b.Page) {
			return nil
		}
		b.Pages++
		f, ok := b.Page.mainForm()
		if !ok {
			if err := b.takeMainLink(ctx); err != nil {
				return err
			}
			continue
		}
		for _, name := range f.names() {
			f.answer(name, answers.Fields)
		}
		if err := b.Submit(ctx, f, f.goOn(), answers.File); err != nil {
			return err
		}
	}
	return fmt.Errorf("did not arrive within %d pages; the last was %s: %s", maxWalk, b.Page.URL.Path, b.Page.Summary())
}

// mainForm is the form that leads on: not the log-out, not the search, nothing that ends or
// takes back.
func (p *Page) mainForm() (best Form, ok bool) {
	for _, f := range p.Forms() {
		if f.Method != http.MethodPost || leadsAway(f.Action) {
			continue
		}
		if !ok || f.weight() > best.weight() {
			best, ok = f, true
		}
	}
	return best, ok
}

func leadsAway(action string) bool {
	for _, end := range []string{"logout", "withdraw", "delete", "cancel", "discard", "remove"} {
		if strings.Contains(action, end) {
			return true
		}
	}
	return false
}

func (f *Form) weight() int { return len(f.Values) + len(f.Options) + len(f.files) }

var separators = regexp.MustCompile(`[^A-Za-z0-9]+`)

func (f *Form) answer(name string, answers map[string]string) {
	plain := strings.Trim(separators.ReplaceAllString(name, "."), ".")
	best := ""
	for suffix := range answers {
		if (plain == suffix || strings.HasSuffix(plain, "."+suffix)) && len(suffix) > len(best) {
			best = suffix
		}
	}
	options := f.Options[name]
	switch {
	case best != "" && len(options) == 0:
		f.Values.Set(name, answers[best])
	case best != "":
		f.Values.Set(name, options[0])
		for _, o := range options {
			if o == answers[best] {
				f.Values.Set(name, o)
			}
		}
	case len(options) > 0 && f.Values.Get(name) == "":
		f.Values.Set(name, options[0])
	}
}

// goOn names the button that leads on; "" is the first.
func (f *Form) goOn() string {
	for _, want := range []string{"pay", "bezahlen", "weiter", "absenden", "einreichen", "anmelden", "bestätigen", "buchen"} {
		for _, b := range f.buttons {
			if strings.Contains(strings.ToLower(b.text), want) || b.value == want {
				return want
			}
		}
	}
	return ""
}

// takeMainLink follows the link that is a button, or the first one in the main part that is
// not a step back.
func (b *Browser) takeMainLink(ctx context.Context) error {
	for n := range b.Page.nodes("a") {
		if class := attr(n, "class"); strings.Contains(class, "kern-btn") && inMain(n) && !strings.Contains(class, "tertiary") {
			return b.Open(ctx, attr(n, "href"))
		}
	}
	for n := range b.Page.nodes("a") {
		if inMain(n) && !strings.Contains(attr(n, "class"), "back") && strings.Contains(attr(n, "href"), "/booking/") {
			return b.Open(ctx, attr(n, "href"))
		}
	}
	return fmt.Errorf("%s leads nowhere: %s", b.Page.URL.Path, b.Page.Summary())
}
