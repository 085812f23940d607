package forms

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"

	"basisdienste/platform/authn"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/login"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
	"basisdienste/platform/web/browsertest"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

// fakeLogin believes what the cookie "who" says and keeps the rules of platform/login: who
// is not logged in, or too weakly, is sent to the issuer.
type fakeLogin struct{}

func (fakeLogin) Require(level int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, ok := fakeLogin{}.Current(r)
			if !ok || s.Principal.Level < level {
				e, _ := tenantdir.From(r.Context())
				http.Redirect(w, r, "/t/"+e.Slug+"/auth/authorize?acr_values="+authn.ACR(level), http.StatusSeeOther)
				return
			}
			next.ServeHTTP(w, r.WithContext(login.With(r.Context(), s)))
		})
	}
}

func (fakeLogin) Current(r *http.Request) (login.Session, bool) {
	c, err := r.Cookie("who")
	if err != nil {
		return login.Session{}, false
	}
	name, level, _ := strings.Cut(c.Value, ".")
	e, _ := tenantdir.From(r.Context())
	s := login.Session{Principal: authn.Principal{
		Kind: authn.Citizen, Subject: name, TenantID: e.ID, Level: map[string]int{"1": 1, "3": 3, "4": 4}[level],
	}}
	if name == "kim" {
		s.Person = login.Person{
			GivenName: "Kim", FamilyName: "Beispiel", Email: "kim.beispiel@example.org", Birthdate: "1980-05-15",
			Address: login.Address{Street: "Anger 12a", PostalCode: "99084", City: "Erfurt"},
		}
	}
	return s, true
}

func (fakeLogin) Routes(m *kit.Mux, base string) {
	m.Handle("GET "+base+"/callback", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "who", Value: r.URL.Query().Get("who"), Path: "/"})
		http.Redirect(w, r, "/t/erfurt/forms/", http.StatusSeeOther)
	}))
	m.Handle("GET /static/", web.Static())
}

func testApp() run.App {
	return newApp(func(*run.Host, *web.Site) (Login, error) { return fakeLogin{}, nil })
}

// payPages is where the pay pages of fakePayment would be.
const payPages = "https://bezahlen.example.org/pay/"

// fakePayment behaves as the payment service does to its clients.
type fakePayment struct {
	mu       sync.Mutex
	down     bool
	requests []paymentRequest
	paths    []string
	made     map[string]string // request id → transaction id
}

func (f *fakePayment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var q paymentRequest
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Header.Get("Idempotency-Key") != q.RequestID || r.Header.Get("Authorization") == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if f.made[q.RequestID] == "" {
		f.made[q.RequestID] = id.New().String()
		f.requests, f.paths = append(f.requests, q), append(f.paths, r.URL.Path)
	}
	var a paymentAnswer
	a.PaymentInformation.TransactionID = f.made[q.RequestID]
	a.PaymentInformation.TransactionRedirectURL = payPages + f.made[q.RequestID]
	a.PaymentInformation.Status = "INITIAL"
	_ = json.NewEncoder(w).Encode(a)
}

func (f *fakePayment) setDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *fakePayment) all() []paymentRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// fakeNotify takes messages once for each key, as notify does.
type fakeNotify struct {
	mu    sync.Mutex
	calls int
	sent  map[string]message // by key
}

func (f *fakeNotify) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var m message
	key := r.Header.Get("Idempotency-Key")
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil || key == "" || r.URL.Path != "/t/erfurt/notify/v1/messages" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.calls++
	f.sent[key] = m
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"id":"0192d3c4-5e6f-7a8b-9c0d-1e2f3a4b5c6d","status":"created"}`)
}

// messages returns what was sent with the template by the channel.
func (f *fakeNotify) messages(template, channel string) []message {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []message
	for _, m := range f.sent {
		if m.Template == template && m.Channel == channel {
			out = append(out, m)
		}
	}
	return out
}

// town is a running forms service with its neighbours and one tenant.
type town struct {
	*runtest.Env
	payment *fakePayment
	notify  *fakeNotify
	erfurt  tenantdir.Entry
}

// clerk mints a token of the municipality's staff.
func (n *town) clerk() string {
	return n.Token(authn.Principal{Kind: authn.Staff, TenantID: n.erfurt.ID, Subject: "clerk-1", Roles: []string{authn.RoleClerk}})
}

func newTown(t *testing.T, opts ...runtest.Option) *town {
	t.Helper()
	n := &town{payment: &fakePayment{made: map[string]string{}}, notify: &fakeNotify{sent: map[string]message{}}}
	opts = append([]runtest.Option{
		runtest.Neighbour("payment", n.payment), runtest.Neighbour("notify", n.notify), runtest.Set("forms.retry_every", "50ms"),
	}, opts...)
	n.Env = runtest.Start(t, []run.App{testApp()}, opts...)
	n.erfurt = n.Tenant("erfurt", "160510000000", "16051000")
	return n
}

// citizen is a browser without JavaScript.
type citizen struct {
	t      *testing.T
	base   string
	client *http.Client
	status int
	at     *url.URL
	doc    *html.Node
	text   string
}

// citizen logs a person in: "kim.1" is Kim at level 1.
func (n *town) citizen(t *testing.T, who string) *citizen {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &citizen{t: t, base: n.URL, client: &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.Path, "/pay/") || strings.Contains(r.URL.Path, "/auth/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
	u, err := url.Parse(n.URL)
	if err != nil {
		t.Fatal(err)
	}
	if who != "" {
		jar.SetCookies(u, []*http.Cookie{{Name: "who", Value: who, Path: "/"}})
	}
	t.Cleanup(c.client.CloseIdleConnections)
	return c
}

func (c *citizen) send(req *http.Request) {
	c.t.Helper()
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Accept-Language", "de")
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	c.status, c.at = resp.StatusCode, resp.Request.URL
	if l, err := resp.Location(); err == nil {
		c.at = l
	}
	if c.doc, err = html.Parse(bytes.NewReader(body)); err != nil {
		c.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	c.text = string(body)
}

func (c *citizen) open(target string) {
	c.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = c.base + target
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, target, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(req)
}

// upload is a file to send with a form.
type upload struct{ field, name, mime, content string }

// press fills the form that has the button and sends it as a browser would. The button is
// "name=value", or "" for the first submit button.
func (c *citizen) press(button string, values map[string]string, files ...upload) {
	c.t.Helper()
	form := c.form(button)
	if form == nil {
		c.t.Fatalf("page %s has no form with the button %q:\n%s", c.at, button, c.text)
	}
	v := current(form)
	for k, x := range values {
		v.Set(k, x)
	}
	if name, value, ok := strings.Cut(button, "="); ok {
		v.Set(name, value)
	}
	target := c.at
	if a := attr(form, "action"); a != "" {
		target = c.at.ResolveReference(must(url.Parse(a)))
	}
	var body io.Reader = strings.NewReader(v.Encode())
	contentType := "application/x-www-form-urlencoded"
	if attr(form, "enctype") == "multipart/form-data" {
		body, contentType = multi(c.t, v, files)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, target.String(), body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	c.send(req)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func multi(t *testing.T, v url.Values, files []upload) (io.Reader, string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for k, xs := range v {
		for _, x := range xs {
			if err := w.WriteField(k, x); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, f := range files {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", `form-data; name="`+f.field+`"; filename="`+f.name+`"`)
		h.Set("Content-Type", f.mime)
		part, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(part, f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b, w.FormDataContentType()
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

func walk(n *html.Node, visit func(*html.Node)) {
	visit(n)
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, visit)
	}
}

// find returns all elements below n with the tag.
func find(n *html.Node, tag string) []*html.Node {
	var out []*html.Node
	walk(n, func(n *html.Node) {
		if n.Type == html.ElementNode && n.Data == tag {
			out = append(out, n)
		}
	})
	return out
}

func words(n *html.Node) string {
	var b strings.Builder
	walk(n, func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
	})
	return strings.Join(strings.Fields(b.String()), " ")
}

func (c *citizen) form(button string) *html.Node {
	for _, main := range find(c.doc, "main") {
		for _, form := range find(main, "form") {
			for _, b := range find(form, "button") {
				if button == "" || attr(b, "name")+"="+attr(b, "value") == button {
					return form
				}
			}
		}
	}
	return nil
}

// current is what the form would send as it stands.
func current(form *html.Node) url.Values {
	v := url.Values{}
	for _, in := range find(form, "input") {
		switch attr(in, "type") {
		case "radio", "checkbox":
			if has(in, "checked") {
				v.Add(attr(in, "name"), attr(in, "value"))
			}
		case "file":
		default:
			v.Add(attr(in, "name"), attr(in, "value"))
		}
	}
	for _, area := range find(form, "textarea") {
		v.Add(attr(area, "name"), words(area))
	}
	for _, sel := range find(form, "select") {
		for _, o := range find(sel, "option") {
			if has(o, "selected") {
				v.Add(attr(sel, "name"), attr(o, "value"))
			}
		}
	}
	return v
}

// headline is the page's h1.
func (c *citizen) headline() string {
	c.t.Helper()
	h := find(c.doc, "h1")
	if len(h) != 1 {
		c.t.Fatalf("page %s (%d) has %d h1, want one:\n%s", c.at, c.status, len(h), c.text)
	}
	return words(h[0])
}

// errors are the links of the error summary: target → text.
func (c *citizen) errors() map[string]string {
	out := map[string]string{}
	walk(c.doc, func(n *html.Node) {
		if attr(n, "id") == "errors" {
			for _, a := range find(n, "a") {
				out[attr(a, "href")] = words(a)
			}
		}
	})
	return out
}

// byID returns the element with the id.
func (c *citizen) byID(elementID string) *html.Node {
	var found *html.Node
	walk(c.doc, func(n *html.Node) {
		if n.Type == html.ElementNode && attr(n, "id") == elementID {
			found = n
		}
	})
	return found
}

// expect fails the test unless the page has the status and the headline.
func (c *citizen) expect(status int, headline string) {
	c.t.Helper()
	if got := c.headline(); c.status != status || got != headline {
		c.t.Fatalf("page %s: got %d %q, want %d %q\n%s", c.at, c.status, got, status, headline, words(c.doc))
	}
}

const pdf = "%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << >>\n%%EOF\n"

// png is a picture of one pixel.
var png = string(must(base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")))

// fillPermit walks the whole form for a parking permit up to the check.
func (c *citizen) fillPermit() {
	c.t.Helper()
	c.open("/t/erfurt/forms/begin/anwohnerparkausweis")
	c.expect(200, "Bevor Sie beginnen")
	c.press("", nil)
	if strings.HasSuffix(c.at.Path, "/pages/person") {
		c.t.Fatalf("the first page asks what the login knows")
	}
	c.expect(200, "Wo wohnen Sie?")
	c.press("go=next", map[string]string{"residence-main": "yes", "residence-zone": "A3"})
	c.expect(200, "Wie erreichen wir Sie?")
	c.press("go=next", nil)
	c.expect(200, "Ihr Fahrzeug")
	c.press("go=next", map[string]string{"vehicle-plate": "ef ab 123", "vehicle-owner": "self"})
	c.expect(200, "Ihr Ausweis")
	c.press("go=next", map[string]string{"permit-years": "1"})
	c.expect(200, "Nachweise")
	c.press("go=next", nil, upload{"vehicle-registration", "schein.pdf", "application/pdf", pdf})
	c.expect(200, "Prüfen und absenden")
}

// applicationID is the id in the address of the page.
func (c *citizen) applicationID() string {
	c.t.Helper()
	_, rest, ok := strings.Cut(c.at.Path, "/applications/")
	if !ok {
		c.t.Fatalf("page %s is of no application", c.at)
	}
	appID, _, _ := strings.Cut(rest, "/")
	return appID
}
