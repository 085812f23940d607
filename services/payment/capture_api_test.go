package payment_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/id"
	"basisdienste/platform/web/browsertest"
	"basisdienste/services/payment"
)

// delayed makes a claim whose money is to be held first.
func (g *rig) delayed(requestID string) *claim {
	g.t.Helper()
	a := g.Do("POST", api, g.writer(), fmt.Sprintf(`{"request_id":%q,"amount":30.70,"description":"Standgenehmigung","delayed_capture":true,"redirect_url":%q}`, requestID, home))
	if a.Status != http.StatusCreated {
		g.t.Fatalf("POST = %d %s, want 201", a.Status, a.Body)
	}
	var made payment.TransactionView
	a.JSON(g.t, &made)
	return &claim{g: g, id: made.ID, pay: made.PayURL}
}

// view is the claim in our own API, held against its document.
func (c *claim) view() (v payment.TransactionView) {
	c.g.t.Helper()
	c.g.own(document(c.g.t), api+"/"+c.id.String(), c.g.token).JSON(c.g.t, &v)
	return v
}

func (c *claim) wantView(when string, state payment.State, capturable bool) {
	c.g.t.Helper()
	if v := c.view(); v.State != state || v.Capturable != capturable || !v.Delayed {
		c.g.t.Errorf("%s: %s, capturable %t, delayed_capture %t; want %s, %t, true", when, v.State, v.Capturable, v.Delayed, state, capturable)
	}
}

// authorise lets the payer do all that the payer has to do.
func (c *claim) authorise() {
	c.g.t.Helper()
	back := c.g.wantRedirect("authorise", c.g.press(c.toProvider("card"), "act", "pay"), c.pay+"/return")
	if got := c.g.wantRedirect("return", c.g.browse(back), home); got != home {
		c.g.t.Errorf("the browser goes to %s, want %s", got, home)
	}
}

func (c *claim) decide(what, token string) (status int, code string) {
	c.g.t.Helper()
	a := c.g.Do("POST", api+"/"+c.id.String()+"/"+what, token, nil)
	return a.Status, codeOf(c.g.t, a)
}

func TestDelayedCapture(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	c := g.delayed("r-1")
	page := g.browse(c.pay)
	if !strings.Contains(string(page.Body), "zuerst nur reserviert") || strings.Contains(string(page.Body), "PayPal") {
		t.Errorf("pay page = %s, want that the amount is reserved first, and no method that cannot hold it", page.Body)
	}
	c.wantView("before", payment.Initial, false)
	if status, code := c.decide("capture", g.writer()); status != 409 || code != "not_capturable" {
		t.Errorf("capture before the payer authorised = %d %s, want 409 not_capturable", status, code)
	}
	c.authorise()
	c.wantView("authorised", payment.Initial, true)
	if page := g.browse(c.pay); page.Status != 200 || !strings.Contains(string(page.Body), "Der Betrag ist reserviert") || strings.Contains(string(page.Body), "/cancel") {
		t.Errorf("pay page = %d %s, want that the amount is reserved, and no way to cancel", page.Status, page.Body)
	}
	english := g.Do("GET", c.pay, "", nil, "Accept", "text/html", "Accept-Language", "en")
	if !strings.Contains(string(english.Body), "The amount is reserved") {
		t.Errorf("pay page in English = %s, want that the amount is reserved", english.Body)
	}
	for _, q := range [][]string{{c.pay + "/cancel"}, {c.pay, "offer", "card"}, {c.pay, "offer", "paypal"}} {
		if a := g.press(q[0], q[1:]...); a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "Der Betrag ist reserviert") {
			t.Errorf("POST %v = %d %s, want 409 and that the amount is reserved", q, a.Status, a.Body)
		}
	}
	for range 2 {
		if status, code := c.decide("capture", g.writer()); status != 200 {
			t.Errorf("capture = %d %s, want 200", status, code)
		}
		c.wantView("captured", payment.Payed, false)
	}
	if status, code := c.decide("withdraw", g.writer()); status != 409 || code != "transaction_final" {
		t.Errorf("withdraw of what was captured = %d %s, want 409 transaction_final", status, code)
	}
	if page := g.browse(c.pay); !strings.Contains(string(page.Body), "Ihre Zahlung ist angekommen") {
		t.Errorf("pay page = %s, want the result", page.Body)
	}
	if got, want := c.happened(), "created started authorised capture_requested payed"; got != want {
		t.Errorf("history = %q, want %q", got, want)
	}
	if got, want := g.told(c.id), "created authorised payed"; got != want {
		t.Errorf("events = %q, want %q", got, want)
	}
}

// The payer authorises at the provider while another tab still shows the choice: nothing of what
// the payer does there ends it, also before we have heard of it.
func TestDelayedCapture_AnotherTabEndsNothing(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.settings(`{"methods":[{"key":"card","method":"CREDITCARD","provider":"sandbox"},{"key":"debit","method":"CREDITCARD","detail":"debit","provider":"sandbox"}]}`)
	for name, tab := range map[string][]string{"cancel": {"/cancel"}, "another offer": {"", "offer", "debit"}, "the same offer": {"", "offer", "card"}} {
		c := g.delayed("r-" + name[:3])
		g.press(c.toProvider("card"), "act", "timeout") // nobody tells us
		g.pass(time.Minute)
		if a := g.press(c.pay+tab[0], tab[1:]...); a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "Der Betrag ist reserviert") {
			t.Errorf("%s = %d %s, want 409 and that the amount is reserved", name, a.Status, a.Body)
		}
		c.wantView("after "+name, payment.Initial, true)
	}
}

func TestDelayedCapture_Released(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	withdrawn, forgotten := g.delayed("r-1"), g.delayed("r-2")
	withdrawn.authorise()
	forgotten.authorise()
	for range 2 {
		if status, code := withdrawn.decide("withdraw", g.writer()); status != 200 {
			t.Errorf("withdraw = %d %s, want 200", status, code)
		}
	}
	if status, code := withdrawn.decide("capture", g.writer()); status != 409 || code != "transaction_final" {
		t.Errorf("capture of what was released = %d %s, want 409 transaction_final", status, code)
	}
	g.pass(5*24*time.Hour - time.Minute)
	if err := g.service.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	forgotten.wantView("shortly before the end", payment.Initial, true)
	g.pass(time.Minute)
	if err := g.service.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		*claim
		state       payment.State
		page, story string
	}{
		{withdrawn, payment.Canceled, "Das Amt hat die Zahlung zurückgezogen", "created started authorised attempt_ended withdrawn"},
		{forgotten, payment.Expired, "Die Reservierung ist aufgehoben", "created started authorised attempt_ended expired"},
	} {
		c.wantView("released", c.state, false)
		if page := g.browse(c.pay); !strings.Contains(string(page.Body), c.page) {
			t.Errorf("pay page = %s, want %q", page.Body, c.page)
		}
		if got := c.happened(); got != c.story {
			t.Errorf("history = %q, want %q", got, c.story)
		}
	}
}

func TestCaptureRefusals(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	jena := g.Tenant("jena", "160530000000")
	c := g.delayed("r-1")
	c.authorise()
	other := g.Token(authn.Principal{Kind: authn.Client, ClientID: "x", TenantID: jena.ID, Scopes: []string{payment.ScopeWrite}})
	for _, q := range []struct {
		name, path, token string
		status            int
		code              string
	}{
		{"no token", api + "/" + c.id.String(), "", 401, "token_missing"},
		{"reader", api + "/" + c.id.String(), g.token, 403, "scope_missing"},
		{"client of another tenant", api + "/" + c.id.String(), other, 403, "wrong_tenant"},
		{"another tenant's transaction", "/t/jena/payment/v1/transactions/" + c.id.String(), other, 404, "unknown_transaction"},
		{"unknown transaction", api + "/" + id.New().String(), g.writer(), 404, "unknown_transaction"},
		{"no id", api + "/17", g.writer(), 404, "unknown_transaction"},
		{"paid at once", api + "/" + g.claim("r-2").id.String(), g.writer(), 409, "not_capturable"},
	} {
		if a := g.Do("POST", q.path+"/capture", q.token, nil); a.Status != q.status || codeOf(t, a) != q.code {
			t.Errorf("%s: POST %s/capture = %d %s, want %d %s", q.name, q.path, a.Status, a.Body, q.status, q.code)
		}
	}
	c.wantView("after all refusals", payment.Initial, true)
	clerk := g.Token(authn.Principal{Kind: authn.Staff, TenantID: g.erfurt.ID, Roles: []string{authn.RoleClerk}})
	if status, code := c.decide("capture", clerk); status != 200 {
		t.Errorf("capture by a clerk = %d %s, want 200", status, code)
	}
	var list struct{ Items []payment.TransactionView }
	second := g.delayed("r-3")
	second.authorise()
	g.own(document(t), api, g.token).JSON(t, &list)
	for _, v := range list.Items {
		if want := v.ID == second.id; v.Capturable != want {
			t.Errorf("list: %s capturable = %t, want %t", v.RequestID, v.Capturable, want)
		}
	}
}

func TestBrowser_reserved(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options browsertest.Options
		heading string
	}{
		{"desktop", browsertest.Options{}, "Der Betrag ist reserviert"},
		{"phone-dark-noscript-en", browsertest.Options{Phone: true, NoScript: true, Dark: true, Lang: "en"}, "The amount is reserved"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t)
			made := g.delayed("r-1")
			tab := browsertest.Open(t, c.options)
			browsertest.Visit(t, tab, made.pay)
			browsertest.Look(t, tab, "pay-delayed-"+c.name)
			made.authorise()
			browsertest.Visit(t, tab, made.pay)
			heading(t, tab, c.heading)
			browsertest.Look(t, tab, "pay-reserved-"+c.name)
		})
	}
}
