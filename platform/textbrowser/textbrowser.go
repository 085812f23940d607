// Package textbrowser is what a person without JavaScript has: it opens pages, follows links,
// fills in forms, uploads files and keeps cookies. Programs use it that go through our pages
// as people do: the demonstration, and tests of whole journeys.
package textbrowser

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

// Browser is one person's. It is used by one goroutine at a time.
type Browser struct {
	// Page is what is shown: the last page that was read, also an error page; nil before.
	Page *Page
	// Pages counts what Walk has gone through.
	Pages int

	client *http.Client
}

const (
	maxPage = 4 << 20 // bytes of a page that are read
	timeout = 30 * time.Second
)

// New returns a browser without cookies that prefers German.
func New() *Browser { return Over(nil) }

// Over is New for a browser whose requests go over a transport; nil is the usual one.
func Over(transport http.RoundTripper) *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // never without options
	}
	return &Browser{client: &http.Client{Jar: jar, Timeout: timeout, Transport: transport}}
}

// Open goes to an address, relative to the page shown. A status of 400 and more is an error
// that tells the page's words; the page is shown all the same.
func (b *Browser) Open(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	if b.Page != nil {
		u = b.Page.URL.ResolveReference(u)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	return b.do(req)
}

func (b *Browser) do(req *http.Request) (err error) {
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
	p := &Page{URL: resp.Request.URL, Status: resp.StatusCode}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return fmt.Errorf("%s %s: %w", req.Method, p.URL.Path, err)
	}
	if p.root, err = html.Parse(bytes.NewReader(body)); err != nil {
		return fmt.Errorf("%s %s: %w", req.Method, p.URL.Path, err)
	}
	b.Page = p
	if p.Status >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: status %d: %s", req.Method, p.URL.Path, p.Status, p.Summary())
	}
	return nil
}

// Upload is a file that the person chooses.
type Upload struct {
	Name, MediaType string
	Content         []byte
}

// Submit sends a form of the page, by the button whose text contains press or whose value or
// name is press ("" is the first). The file, if there is one, goes into every file field.
func (b *Browser) Submit(ctx context.Context, f Form, press string, file *Upload) error {
	pressed := f.press(press)
	values := url.Values{}
	for k, v := range f.Values {
		values[k] = slices.Clone(v)
	}
	if pressed.name != "" {
		values.Set(pressed.name, pressed.value)
	}
	action := f.Action
	if pressed.action != "" {
		action = pressed.action
	}
	target, err := b.Page.URL.Parse(action)
	if err != nil {
		return err
	}
	if f.Method != http.MethodPost {
		target.RawQuery = values.Encode()
		return b.Open(ctx, target.String())
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

func multipartBody(values url.Values, files []string, file *Upload) (io.Reader, string, error) {
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
		u := Upload{MediaType: "application/octet-stream"} // what a browser sends for no choice
		if file != nil {
			u = *file
		}
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename=%q`, name, u.Name))
		h.Set("Content-Type", u.MediaType)
		part, err := w.CreatePart(h)
		if err != nil {
			return nil, "", err
		}
		if _, err := part.Write(u.Content); err != nil {
			return nil, "", err
		}
	}
	return &b, w.FormDataContentType(), w.Close()
}

// Follow goes to the first link whose text or address contains what.
func (b *Browser) Follow(ctx context.Context, what string) error {
	for n := range b.Page.nodes("a") {
		if href := attr(n, "href"); strings.Contains(href, what) || strings.Contains(strings.ToLower(text(n)), strings.ToLower(what)) {
			return b.Open(ctx, href)
		}
	}
	return fmt.Errorf("%s has no link %q", b.Page.URL.Path, what)
}
