// Package main holds tests of the staff's pages for payments, over the real services.
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/login"
	"basisdienste/platform/money"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/textbrowser"
	"basisdienste/platform/web"
	"basisdienste/platform/web/browsertest"
	"basisdienste/services/console"
	"basisdienste/services/edge"
	"basisdienste/services/payment"
	"basisdienste/services/payment/receipt"
	"basisdienste/services/payment/request"
	"basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/treasury"
	"basisdienste/services/payment/webhooks"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

// rig is the console and the payment service of two municipalities.
type rig struct {
	*runtest.Env
	t            *testing.T
	service      *payment.Service
	erfurt, jena tenantdir.Entry
	claims       int
	ahead        atomic.Int64 // of the time, as the test lets it pass
}

func (g *rig) clock() time.Time { return time.Now().Add(time.Duration(g.ahead.Load())) }

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t}
	now := time.Now().In(berlin(t))
	g.ahead.Store(int64(time.Date(now.Year(), now.Month(), now.Day()+1, 12, 0, 0, 0, now.Location()).Sub(now))) // far from midnight
	probe := payment.Part{Open: func(_ context.Context, _ *run.Host, s *payment.Service) (payment.Opened, error) {
		g.service = s
		return payment.Opened{}, nil
	}}
	apps := []run.App{payment.New(sandbox.Part(), treasury.Part(), webhooks.Part(), receipt.Part(), request.Part(), probe), console.New(), edge.New()}
	g.Env = runtest.Start(t, apps, runtest.Clock(g.clock), runtest.Set("payment.sweep_every", "1h"))
	g.jena = g.Tenant("jena", "160530000000")
	g.erfurt = g.Tenant("erfurt", "160510000000")
	h := g.Process.Host("console")
	site, err := h.Site(nil, web.Texts{"service": {"Online-Dienste", "Online services"}})
	if err != nil {
		t.Fatal(err)
	}
	// What a login leaves in the browser; logging in has its own tests.
	h.Mux.Handle("GET /t/{tenant}/staff/test-login/{subject}/{roles}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, _ := tenantdir.From(r.Context())
		token := g.Token(authn.Principal{Kind: authn.Staff, Subject: r.PathValue("subject"), TenantID: e.ID, Roles: strings.Split(r.PathValue("roles"), ",")})
		err := site.Cookie("console-session", time.Hour).Set(w, r, login.Session{Person: login.Person{Name: r.PathValue("subject")}, Token: token})
		if err != nil {
			t.Errorf("session: %v", err)
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, `<!DOCTYPE html><html lang="de"><title>in</title><link rel="icon" href="data:,">`)
	}))
	return g
}

const clerk, admin = authn.RoleClerk, authn.RoleClerk + "," + authn.RoleTenantAdmin

// claim makes one that nobody has paid.
func (g *rig) claim(amount money.Amount) payment.Transaction {
	g.t.Helper()
	return g.create(amount, false)
}

func (g *rig) create(amount money.Amount, delayed bool) payment.Transaction {
	g.t.Helper()
	g.claims++
	made, err := g.service.Create(runtest.Context(g.t, g.erfurt), payment.Order{
		Delayed: delayed, OriginatorID: "bewohnerparken", EndPointID: "160510000000", RequestID: fmt.Sprint("antrag-", g.claims), Amount: amount, Currency: "EUR",
		Description: "Bewohnerparkausweis", RedirectURL: "https://dienst.example/", Document: []byte("{}"), Items: []payment.Item{
			{ID: "1", Reference: "A", Description: "Ausweis", TaxRate: "0", Quantity: 1, SingleNet: amount, TotalNet: amount, BookingData: map[string]string{"haushaltsstelle": "1100.10000"}},
		},
	})
	if err != nil {
		g.t.Fatalf("Create: %v", err)
	}
	return made
}

// paid makes a claim that was paid by card.
func (g *rig) paid(amount money.Amount) payment.Transaction {
	g.t.Helper()
	made := g.claim(amount)
	g.pay(made)
	return made
}

func (g *rig) pay(made payment.Transaction) {
	g.t.Helper()
	g.byCard(made)
	if now, err := g.service.Get(runtest.Context(g.t, g.erfurt), made.ID); err != nil || now.State != payment.Payed {
		g.t.Fatalf("after paying the transaction is %s, %v; want PAYED", now.State, err)
	}
}

// byCard is the payer at the pay page and at the provider.
func (g *rig) byCard(made payment.Transaction) {
	g.t.Helper()
	at := g.service.PayURL(runtest.Context(g.t, g.erfurt), made.ID)
	for _, step := range []url.Values{{"offer": {"card"}}, {"act": {"pay"}}} {
		a := g.Do("POST", at, "", step.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Sec-Fetch-Site", "same-origin")
		if at = a.Header.Get("Location"); a.Status != http.StatusSeeOther {
			g.t.Fatalf("pay %v = %d %s, want 303", step, a.Status, a.Body)
		}
	}
}

// person is somebody of the staff, without JavaScript.
type person struct {
	*textbrowser.Browser
	g *rig
}

// staff logs in.
func (g *rig) staff(slug, subject, roles string) *person {
	g.t.Helper()
	p := &person{textbrowser.New(), g}
	p.open("/t/" + slug + "/staff/test-login/" + subject + "/" + roles)
	return p
}

// as opens a page as somebody of Erfurt's staff, and reads the answer as it came.
func (g *rig) as(subject, roles, path string) runtest.Answer {
	g.t.Helper()
	in := g.Do("GET", "/t/erfurt/staff/test-login/"+subject+"/"+roles, "", nil)
	return g.Do("GET", path, "", nil, "Accept", "text/html", "Cookie", strings.Split(in.Header.Get("Set-Cookie"), ";")[0])
}

func (p *person) open(path string) {
	p.g.t.Helper()
	if err := p.Open(p.g.t.Context(), p.g.URL+path); err != nil {
		p.g.t.Fatalf("open %s: %v", path, err)
	}
}

// status is what opening a page answers.
func (p *person) status(path string) int {
	p.g.t.Helper()
	p.Page = nil
	if err := p.Open(p.g.t.Context(), p.g.URL+path); err != nil && p.Page == nil {
		p.g.t.Fatalf("open %s: %v", path, err)
	}
	return p.Page.Status
}

func (p *person) follow(what string) {
	p.g.t.Helper()
	if err := p.Follow(p.g.t.Context(), what); err != nil {
		p.g.t.Fatal(err)
	}
}

// send fills in the form of the page whose action ends so, and sends it; refusals are pages, too.
func (p *person) send(action string, answers ...string) {
	p.g.t.Helper()
	p.sendFile(action, nil, answers...)
}

func (p *person) sendFile(action string, file *textbrowser.Upload, answers ...string) {
	p.g.t.Helper()
	f, err := p.Page.FormTo(action)
	for _, any := range p.Page.Forms() {
		if action == "" && any.Action == "" {
			f, err = any, nil
		}
	}
	if err != nil {
		p.g.t.Fatalf("%v\n%s", err, p.Page.Text())
	}
	for i := 0; i+1 < len(answers); i += 2 {
		f.Values.Set(answers[i], answers[i+1])
	}
	if err := p.Submit(p.g.t.Context(), f, "", file); err != nil && p.Page.Status < 400 {
		p.g.t.Fatal(err)
	}
}

// sees fails the test unless the page has the status and all the words.
func (p *person) sees(status int, words ...string) {
	p.g.t.Helper()
	text := strings.ReplaceAll(p.Page.Text(), "\u00a0", " ")
	for _, w := range words {
		if p.Page.Status != status || !strings.Contains(text, w) {
			p.g.t.Fatalf("%s = %d, want %d and %q\n%s", p.Page.URL.Path, p.Page.Status, status, w, text)
		}
	}
}

func (p *person) misses(words ...string) {
	p.g.t.Helper()
	text := p.Page.Text()
	for _, w := range words {
		if strings.Contains(text, w) {
			p.g.t.Errorf("%s shows %q, want it not to\n%s", p.Page.URL.Path, w, text)
		}
	}
}
