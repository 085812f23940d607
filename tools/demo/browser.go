package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// browser is what a person without JavaScript has: it follows links, fills in forms, keeps
// cookies. It is used by one goroutine.
type browser struct {
	client *http.Client
	page   *page
	walked int // pages that walk has passed
}

// page is what is shown.
type page struct {
	url    *url.URL
	status int
	root   *html.Node
	body   []byte
}

func newBrowser() (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &browser{client: &http.Client{Jar: jar, Timeout: 30 * time.Second}}, nil
}

// open goes to an address, relative to the page shown.
func (b *browser) open(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	if b.page != nil {
		u = b.page.url.ResolveReference(u)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	return b.do(req)
}

const maxPage = 4 << 20

func (b *browser) do(req *http.Request) (err error) {
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	req.Header.Set("Accept-Language", "de")
	if req.Method == http.MethodPost {
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	p := &page{url: resp.Request.URL, status: resp.StatusCode}
	if p.body, err = io.ReadAll(io.LimitReader(resp.Body, maxPage)); err != nil {
		return err
	}
	if p.root, err = html.Parse(bytes.NewReader(p.body)); err != nil {
		return err
	}
	b.page = p
	if p.status >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: status %d: %s", req.Method, p.url.Path, p.status, p.summary())
	}
	return nil
}

// form is one form of the page with the values that it has now.
type form struct {
	action, method, enctype string
	values                  url.Values
	files                   []string // names of file inputs
	buttons                 []button
	options                 map[string][]string // of selects, radios and checkboxes
}

type button struct{ name, value, text, action string }

// forms returns the page's forms.
func (p *page) forms() []form {
	var out []form
	for n := range p.nodes("form") {
		f := form{action: attr(n, "action"), method: strings.ToUpper(attr(n, "method")), enctype: attr(n, "enctype"), values: url.Values{}, options: map[string][]string{}}
		for c := range n.Descendants() {
			if c.Type == html.ElementNode {
				f.take(c)
			}
		}
		out = append(out, f)
	}
	return out
}

func (f *form) take(n *html.Node) {
	name, value := attr(n, "name"), attr(n, "value")
	switch n.Data {
	case "input":
		switch attr(n, "type") {
		case "radio", "checkbox":
			if value == "" {
				value = "on"
			}
			f.options[name] = append(f.options[name], value)
			if has(n, "checked") {
				f.values.Add(name, value)
			}
		case "file":
			f.files = append(f.files, name)
		case "submit":
			f.buttons = append(f.buttons, button{name, value, value, attr(n, "formaction")})
		default:
			if name != "" {
				f.values.Set(name, value)
			}
		}
	case "textarea":
		f.values.Set(name, text(n))
	case "select":
		for o := range n.Descendants() {
			if o.Type == html.ElementNode && o.Data == "option" {
				f.options[name] = append(f.options[name], attr(o, "value"))
				if has(o, "selected") {
					f.values.Set(name, attr(o, "value"))
				}
			}
		}
	case "button":
		if t := attr(n, "type"); t == "" || t == "submit" {
			f.buttons = append(f.buttons, button{name, value, text(n), attr(n, "formaction")})
		}
	}
}

// upload is a file that the person chooses.
type upload struct {
	name, mediaType string
	content         []byte
}

// submit sends a form, by the button whose text, name or value contains press ("" is the first).
func (b *browser) submit(ctx context.Context, f form, press string, file *upload) error {
	var pressed button
	if len(f.buttons) > 0 {
		pressed = f.buttons[0]
		for _, c := range f.buttons {
			if press != "" && (strings.Contains(strings.ToLower(c.text), strings.ToLower(press)) || c.value == press || c.name == press) {
				pressed = c
				break
			}
		}
	}
	values := url.Values{}
	for k, v := range f.values {
		values[k] = slices.Clone(v)
	}
	if pressed.name != "" {
		values.Set(pressed.name, pressed.value)
	}
	action := f.action
	if pressed.action != "" {
		action = pressed.action
	}
	target, err := b.page.url.Parse(action)
	if err != nil {
		return err
	}
	if f.method != http.MethodPost {
		target.RawQuery = values.Encode()
		return b.open(ctx, target.String())
	}
	body, contentType := io.Reader(strings.NewReader(values.Encode())), "application/x-www-form-urlencoded"
	if f.enctype == "multipart/form-data" {
		if body, contentType, err = multipartBody(values, f.files, file); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	return b.do(req)
}

func multipartBody(values url.Values, files []string, file *upload) (io.Reader, string, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for k, list := range values {
		for _, v := range list {
			if err := w.WriteField(k, v); err != nil {
				return nil, "", err
			}
		}
	}
	for _, name := range files {
		h := textproto.MIMEHeader{}
		u := upload{mediaType: "application/octet-stream"}
		if file != nil {
			u = *file
		}
		h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename=%q`, name, u.name))
		h.Set("Content-Type", u.mediaType)
		part, err := w.CreatePart(h)
		if err != nil {
			return nil, "", err
		}
		if _, err := part.Write(u.content); err != nil {
			return nil, "", err
		}
	}
	return &b, w.FormDataContentType(), w.Close()
}

// follow goes to the first link whose text or address contains what.
func (b *browser) follow(ctx context.Context, what string) error {
	for n := range b.page.nodes("a") {
		if href := attr(n, "href"); strings.Contains(href, what) || strings.Contains(strings.ToLower(text(n)), strings.ToLower(what)) {
			return b.open(ctx, href)
		}
	}
	return fmt.Errorf("%s has no link %q", b.page.url.Path, what)
}

// nodes goes over the page's elements of a name.
func (p *page) nodes(element string) func(yield func(*html.Node) bool) {
	return func(yield func(*html.Node) bool) {
		for n := range p.root.Descendants() {
			if n.Type == html.ElementNode && n.Data == element && !yield(n) {
				return
			}
		}
	}
}

// text returns what a person reads in an element, with single spaces.
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

// heading is the text of the first h1.
func (p *page) heading() string {
	for n := range p.nodes("h1") {
		return text(n)
	}
	return ""
}

// summary is what a person would tell of the page: heading and first errors.
func (p *page) summary() string {
	out := p.heading()
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && (attr(n, "role") == "alert" || strings.Contains(attr(n, "class"), "error")) {
			out += " | " + text(n)
			break
		}
	}
	if len(out) > 400 {
		out = out[:400]
	}
	return out
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
