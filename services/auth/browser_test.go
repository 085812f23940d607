package auth_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// browser is a person in front of a browser without JavaScript: it keeps cookies, follows
// redirects within the site and fills in forms.
type browser struct {
	t      *testing.T
	client *http.Client
	base   string
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{t: w.t, base: w.URL, client: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is what the browser shows in the end: a page of the site, or the address of another
// site that it was sent to.
type page struct {
	t      *testing.T
	b      *browser
	URL    *url.URL
	Status int
	Text   string
	Header http.Header
	Left   bool // the site was left; URL is where to
}

func (b *browser) open(target string) page {
	b.t.Helper()
	return b.send(http.MethodGet, target, nil)
}

func (b *browser) send(method, target string, values url.Values) page {
	b.t.Helper()
	for range 10 {
		u, err := url.Parse(target)
		if err != nil {
			b.t.Fatal(err)
		}
		if !strings.HasPrefix(target, b.base+"/") {
			return page{t: b.t, b: b, URL: u, Left: true}
		}
		var body io.Reader
		if values != nil {
			body = strings.NewReader(values.Encode())
		}
		r, err := http.NewRequestWithContext(b.t.Context(), method, target, body)
		if err != nil {
			b.t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		if values != nil {
			r.Header.Set("Content-Type", form)
			r.Header.Set("Origin", b.base)
		}
		resp, err := b.client.Do(r)
		if err != nil {
			b.t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			b.t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			b.t.Fatal(err)
		}
		location := resp.Header.Get("Location")
		if location == "" {
			return page{t: b.t, b: b, URL: u, Status: resp.StatusCode, Text: string(text), Header: resp.Header}
		}
		next, err := u.Parse(location)
		if err != nil {
			b.t.Fatal(err)
		}
		method, target, values = http.MethodGet, next.String(), nil
	}
	b.t.Fatal("more than 10 redirects")
	return page{}
}

// submit sends the first form of the page with the given values set; pairs of name and value.
func (p page) submit(pairs ...string) page {
	p.t.Helper()
	action, values, ok := p.form()
	if !ok {
		p.t.Fatalf("the page %s (%d) has no form:\n%s", p.URL, p.Status, p.Text)
	}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	u, err := p.URL.Parse(action)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.b.send(http.MethodPost, u.String(), values)
}

func (p page) form() (action string, values url.Values, ok bool) {
	p.t.Helper()
	doc, err := html.Parse(strings.NewReader(p.Text))
	if err != nil {
		p.t.Fatal(err)
	}
	attr := func(n *html.Node, name string) (string, bool) {
		i := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
		if i < 0 {
			return "", false
		}
		return n.Attr[i].Val, true
	}
	for n := range doc.Descendants() {
		if n.Data != "form" {
			continue
		}
		if method, _ := attr(n, "method"); method != "post" {
			continue
		}
		action, _ = attr(n, "action")
		values = url.Values{}
		for in := range n.Descendants() {
			name, _ := attr(in, "name")
			kind, _ := attr(in, "type")
			value, _ := attr(in, "value")
			_, checked := attr(in, "checked")
			if in.Data != "input" || name == "" || ((kind == "radio" || kind == "checkbox") && !checked) {
				continue
			}
			values.Set(name, value)
		}
		return action, values, true
	}
	return "", nil, false
}

// link returns the address of the first link whose text contains the words.
func (p page) link(words string) string {
	p.t.Helper()
	doc, err := html.Parse(strings.NewReader(p.Text))
	if err != nil {
		p.t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Data != "a" {
			continue
		}
		var text strings.Builder
		for c := range n.Descendants() {
			if c.Type == html.TextNode {
				text.WriteString(c.Data)
			}
		}
		for _, a := range n.Attr {
			if a.Key == "href" && strings.Contains(text.String(), words) {
				u, err := p.URL.Parse(a.Val)
				if err != nil {
					p.t.Fatal(err)
				}
				return u.String()
			}
		}
	}
	p.t.Fatalf("the page %s has no link %q:\n%s", p.URL, words, p.Text)
	return ""
}
