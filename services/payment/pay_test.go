package payment_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
	"basisdienste/services/payment"
	"basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/xbezahldienste"
)

// rig is a running service with the sandbox, a clock that the test moves, and a tenant.
type rig struct {
	*runtest.Env
	t       *testing.T
	service *payment.Service
	erfurt  tenantdir.Entry
	token   string
	seed    func(ctx context.Context, d run.Demo) error

	mu  sync.Mutex
	now time.Time
}

func (g *rig) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

// pass lets time go by; the client gets a new token meanwhile.
func (g *rig) pass(d time.Duration) {
	g.mu.Lock()
	g.now = g.now.Add(d)
	g.mu.Unlock()
	g.login()
}

func (g *rig) login() {
	g.token = g.Token(authn.Principal{Kind: authn.Client, ClientID: "efa", TenantID: g.erfurt.ID, Scopes: []string{"post", "read", "payment:read"}})
}

func newRig(t *testing.T, parts ...payment.Part) *rig {
	t.Helper()
	g := &rig{t: t, now: time.Now()}
	probe := payment.Part{Open: func(_ context.Context, h *run.Host, s *payment.Service) (payment.Opened, error) {
		g.service = s
		h.Mux.Handle("GET /static/", web.Static()) // as the console does in an installation
		return payment.Opened{}, nil
	}}
	parts = append([]payment.Part{xbezahldienste.Part(), sandbox.Part(), probe}, parts...)
	app := payment.New(parts...)
	open := app.Open
	app.Open = func(ctx context.Context, h *run.Host) (run.Unit, error) {
		unit, err := open(ctx, h)
		g.seed = unit.Seed
		return unit, err
	}
	g.Env = runtest.Start(t, []run.App{app}, runtest.Clock(g.clock), runtest.Set("payment.sweep_every", "1h"))
	g.erfurt = g.Tenant("erfurt", "160510000000", "16051000")
	g.login()
	return g
}

// claim is a transaction as its client sees it.
type claim struct {
	g        *rig
	id       id.ID
	url, pay string
}

const home = "https://dienst.example/zurueck?antrag=17"

func (g *rig) claim(requestID string) *claim {
	g.t.Helper()
	return g.claimFor(requestID, home)
}

// claimFor makes a claim whose payer goes on to redirectURL.
func (g *rig) claimFor(requestID, redirectURL string) *claim {
	g.t.Helper()
	body := fmt.Sprintf(`{"requestId":%q,"requestTimestamp":"2026-11-23T09:30:00Z","currency":"EUR","grossAmount":30.70,
		"description":"Bewohnerparkausweis","redirectUrl":%q,"items":[
		{"id":"1","reference":"BPA","description":"Ausweis","taxRate":0,"quantity":1,"totalNetAmount":20.70,"totalTaxAmount":0,"singleNetAmount":20.70,"singleTaxAmount":0},
		{"id":"2","reference":"BPA","description":"Plakette","taxRate":19,"quantity":2,"totalNetAmount":8.40,"totalTaxAmount":1.60,"singleNetAmount":4.20,"singleTaxAmount":0.80}]}`, requestID, redirectURL)
	a := g.Do("POST", "/xbezahldienste/paymenttransaction/bewohnerparken/160510000000", g.token, body)
	if a.Status != http.StatusOK {
		g.t.Fatalf("POST = %d %s, want 200", a.Status, a.Body)
	}
	var made xbezahldienste.PaymentTransaction
	a.JSON(g.t, &made)
	return &claim{g, id.ID(made.PaymentInformation.TransactionID), made.PaymentInformation.TransactionURL, made.PaymentInformation.TransactionRedirectURL}
}

// info is what the client is told.
func (c *claim) info() xbezahldienste.PaymentInformation {
	c.g.t.Helper()
	a := c.g.Do("GET", c.url, c.g.token, nil)
	if a.Status != http.StatusOK {
		c.g.t.Fatalf("GET %s = %d %s, want 200", c.url, a.Status, a.Body)
	}
	var read xbezahldienste.PaymentTransaction
	a.JSON(c.g.t, &read)
	return read.PaymentInformation
}

func (c *claim) wantStatus(when, want string) {
	c.g.t.Helper()
	if got := c.info().Status; got != want {
		c.g.t.Errorf("%s: status = %s, want %s", when, got, want)
	}
}

// happened lists the words of the history.
func (c *claim) happened() string {
	c.g.t.Helper()
	a := c.g.Do("GET", fmt.Sprintf("/t/erfurt/payment/v1/transactions/%s/events", c.id), c.g.token, nil)
	var list struct{ Items []payment.HistoryView }
	a.JSON(c.g.t, &list)
	var words []string
	for _, h := range list.Items {
		words = append(words, h.What)
	}
	return strings.Join(words, " ")
}

// browse opens a page as a browser would, without following redirects.
func (g *rig) browse(address string) runtest.Answer {
	g.t.Helper()
	return g.Do("GET", address, "", nil, "Accept", "text/html")
}

// press posts a form as a browser would.
func (g *rig) press(address string, values ...string) runtest.Answer {
	g.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return g.Do("POST", address, "", form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Sec-Fetch-Site", "same-origin")
}

func (g *rig) wantRedirect(what string, a runtest.Answer, want string) string {
	g.t.Helper()
	got := a.Header.Get("Location")
	if a.Status != http.StatusSeeOther || !strings.HasPrefix(got, want) {
		g.t.Fatalf("%s = %d to %q, want 303 to %s…\n%s", what, a.Status, got, want, a.Body)
	}
	return got
}

// toProvider chooses an offer on the pay page and returns the provider's page.
func (c *claim) toProvider(offer string) string {
	c.g.t.Helper()
	return c.g.wantRedirect("choose "+offer, c.g.press(c.pay, "offer", offer), c.g.URL+"/pay/sandbox/sbx_")
}

func TestPayRoundTrip(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	c := g.claim("r-1")
	for range 2 { // opening it twice does no harm
		page := g.browse(c.pay)
		for _, want := range []string{"30,70\u00a0€", "Bewohnerparkausweis", "Erfurt", c.info().TransactionReference, "Plakette", "PayPal"} {
			if page.Status != http.StatusOK || !strings.Contains(string(page.Body), want) {
				t.Fatalf("pay page = %d, without %q\n%s", page.Status, want, page.Body)
			}
		}
	}
	provider := c.toProvider("card")
	if again := c.toProvider("card"); again != provider {
		t.Errorf("the same offer again leads to %s, want the same session %s", again, provider)
	}
	if page := g.browse(provider); page.Status != http.StatusOK {
		t.Fatalf("provider's page = %d\n%s", page.Status, page.Body)
	}
	back := g.wantRedirect("pay", g.press(provider, "act", "pay"), c.pay+"/return")
	c.wantStatus("before the browser is back", "PAYED") // the notification came first
	if got := g.wantRedirect("return", g.browse(back), home); got != home {
		t.Errorf("the browser goes to %s, want %s and nothing added", got, home)
	}
	info := c.info()
	if info.PaymentMethod != "CREDITCARD" || info.PaymentMethodDetail != "Visa" || info.TransactionTimestamp == "" || info.TransactionReference == "" {
		t.Errorf("paymentInformation = %+v, want method, detail, time and reference", info)
	}
	if page := g.browse(c.pay); !strings.Contains(string(page.Body), "Ihre Zahlung ist angekommen") || !strings.Contains(string(page.Body), home) {
		t.Errorf("pay page afterwards = %s, want the result and the way back", page.Body)
	}
	g.wantRedirect("choose after the end", g.press(c.pay, "offer", "card"), strings.TrimPrefix(c.pay, g.URL))
	g.wantRedirect("pay the session again", g.press(provider, "act", "pay"), c.pay+"/return")
	if got, want := c.happened(), "created started payed"; got != want {
		t.Errorf("history = %q, want %q", got, want)
	}
	if got, want := g.told(c.id), "created payed"; got != want {
		t.Errorf("events = %q, want %q", got, want)
	}
}

func TestNotifiedTwiceAndOutOfOrder(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	c := g.claim("r-1")
	if err := g.service.Notified(t.Context(), g.erfurt.ID, c.id); err != nil {
		t.Errorf("notification before anything happened: %v", err)
	}
	provider := c.toProvider("card")
	g.press(provider, "act", "close")
	c.wantStatus("paid, and the browser never came back", "PAYED")
	for range 3 {
		if err := g.service.Notified(t.Context(), g.erfurt.ID, c.id); err != nil {
			t.Errorf("notification again: %v", err)
		}
	}
	if err := g.service.Notified(t.Context(), g.erfurt.ID, id.New()); err == nil {
		t.Error("notification of an unknown transaction = nil, want unknown_transaction")
	}
	if got, want := g.told(c.id), "created payed"; got != want {
		t.Errorf("events = %q, want %q", got, want)
	}
}

func TestDeclineAndAnotherTry(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	c := g.claim("r-1")
	back := g.wantRedirect("decline", g.press(c.toProvider("card"), "act", "funds"), c.pay+"/return")
	g.wantRedirect("return", g.browse(back), strings.TrimPrefix(c.pay, g.URL))
	c.wantStatus("after a decline", "INITIAL")
	if page := g.browse(c.pay); !strings.Contains(string(page.Body), "Auf dem Konto war nicht genug Geld") || !strings.Contains(string(page.Body), "PayPal") {
		t.Errorf("pay page after a decline = %s, want the reason and the other methods", page.Body)
	}
	g.press(c.toProvider("paypal"), "act", "pay")
	if info := c.info(); info.Status != "PAYED" || info.PaymentMethod != "PAYPAL" {
		t.Errorf("after another try = %+v, want PAYED by PAYPAL", info)
	}
	if got, want := c.happened(), "created started declined started payed"; got != want {
		t.Errorf("history = %q, want %q", got, want)
	}
}

func TestTooManyDeclines(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.settings(`{"max_declined": 2}`)
	c := g.claim("r-1")
	g.press(c.toProvider("card"), "act", "decline")
	c.wantStatus("after one decline of two", "INITIAL")
	g.press(c.toProvider("card"), "act", "decline")
	if info := c.info(); info.Status != "FAILED" || info.StatusDetail != "too_many_declined" {
		t.Errorf("after two declines = %+v, want FAILED, too_many_declined", info)
	}
	if got, want := g.told(c.id), "created failed"; got != want {
		t.Errorf("events = %q, want %q", got, want)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	t.Run("at the provider", func(t *testing.T) {
		c := g.claim("r-1")
		back := g.wantRedirect("cancel", g.press(c.toProvider("card"), "act", "cancel"), c.pay+"/return")
		g.wantRedirect("return", g.browse(back), home)
		c.wantStatus("canceled at the provider", "CANCELED")
	})
	t.Run("on our page", func(t *testing.T) {
		c := g.claim("r-2")
		provider := c.toProvider("card")
		g.wantRedirect("cancel", g.press(c.pay+"/cancel"), home)
		c.wantStatus("canceled with us", "CANCELED")
		g.press(provider, "act", "pay") // the session is closed there
		c.wantStatus("paid in a closed session", "CANCELED")
		if got, want := c.happened(), "created started attempt_ended canceled"; got != want {
			t.Errorf("history = %q, want %q", got, want)
		}
	})
	t.Run("after the money came", func(t *testing.T) {
		c := g.claim("r-3")
		g.press(c.toProvider("card"), "act", "close")
		g.wantRedirect("cancel", g.press(c.pay+"/cancel"), home)
		c.wantStatus("canceled after paying", "PAYED")
	})
	t.Run("gone back without paying", func(t *testing.T) {
		c := g.claim("r-4")
		back := g.wantRedirect("back", g.press(c.toProvider("card"), "act", "back"), c.pay+"/return")
		g.wantRedirect("return", g.browse(back), strings.TrimPrefix(c.pay, g.URL))
		c.wantStatus("gone back", "INITIAL")
	})
}

func TestAnotherMethodClosesTheSessionBefore(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	c := g.claim("r-1")
	card := c.toProvider("card")
	paypal := c.toProvider("paypal")
	if card == paypal {
		t.Fatal("two methods have one session")
	}
	g.press(card, "act", "pay")
	c.wantStatus("paid in the session before", "INITIAL")
	g.press(paypal, "act", "pay")
	c.wantStatus("paid in the open session", "PAYED")
	if got, want := c.happened(), "created started attempt_ended started payed"; got != want {
		t.Errorf("history = %q, want %q", got, want)
	}
}

func TestLateMoney(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	c := g.claim("r-1")
	back := g.wantRedirect("late", g.press(c.toProvider("sepa"), "act", "late"), c.pay+"/return")
	if page := g.browse(back); page.Status != http.StatusOK || !strings.Contains(string(page.Body), "wird verarbeitet") {
		t.Errorf("return = %d %s, want the waiting page", page.Status, page.Body)
	}
	c.wantStatus("while the money is on its way", "INITIAL")
	if a := g.press(c.pay, "offer", "card"); a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "wird verarbeitet") {
		t.Errorf("another method meanwhile = %d %s, want 409 and the waiting page", a.Status, a.Body)
	}
	if a := g.press(c.pay + "/cancel"); a.Status != http.StatusConflict {
		t.Errorf("cancel meanwhile = %d, want 409", a.Status)
	}
	g.pass(time.Minute)
	if err := g.service.Sweep(t.Context()); err != nil {
		t.Fatalf("Sweep: %v", err)
	}
	if info := c.info(); info.Status != "PAYED" || info.PaymentMethod != "OTHER" || info.PaymentMethodDetail != "SEPA" {
		t.Errorf("after the money arrived = %+v, want PAYED by OTHER, SEPA", info)
	}
}

func TestTimeoutAfterSuccess(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	c := g.claim("r-1")
	provider := c.toProvider("card")
	if a := g.press(provider, "act", "timeout"); a.Status != http.StatusGatewayTimeout {
		t.Fatalf("time-out = %d, want 504", a.Status)
	}
	if page := g.browse(c.pay + "/return"); page.Status != http.StatusOK || !strings.Contains(string(page.Body), "wird verarbeitet") {
		t.Errorf("return while the provider is silent = %d %s, want the waiting page", page.Status, page.Body)
	}
	if a := g.press(c.pay, "offer", "paypal"); a.Status != http.StatusServiceUnavailable || a.Header.Get("Location") != "" {
		t.Errorf("another method while the provider is silent = %d, want 503: nobody may pay twice", a.Status)
	}
	c.wantStatus("while the provider is silent", "INITIAL")
	g.pass(time.Minute)
	if err := g.service.Sweep(t.Context()); err != nil {
		t.Fatalf("Sweep: %v", err)
	}
	c.wantStatus("after the sweep", "PAYED")
	if got, want := g.told(c.id), "created payed"; got != want {
		t.Errorf("events = %q, want %q", got, want)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.settings(`{"expire_hours": 2}`)
	quiet, begun, paid, silent := g.claim("quiet"), g.claim("begun"), g.claim("paid"), g.claim("silent")
	begun.toProvider("card")
	g.pass(2*time.Hour - time.Minute)
	if err := g.service.Expire(t.Context()); err != nil {
		t.Fatalf("Expire: %v", err)
	}
	quiet.wantStatus("a minute before", "INITIAL")
	paidAt, silentAt := paid.toProvider("card"), silent.toProvider("card")
	g.press(paidAt, "act", "timeout")
	g.pass(50 * time.Second)
	g.press(silentAt, "act", "timeout")
	g.pass(10 * time.Second)
	if err := g.service.Expire(t.Context()); err == nil {
		t.Error("Expire while a provider is silent = nil, want its error")
	}
	for _, c := range []*claim{quiet, begun} {
		if info := c.info(); info.Status != "FAILED" || info.StatusDetail != "expired" {
			t.Errorf("expired = %+v, want FAILED, expired", info)
		}
		if page := g.browse(c.pay); !strings.Contains(string(page.Body), "Die Zeit zum Bezahlen ist abgelaufen") {
			t.Errorf("pay page of an expired transaction = %s", page.Body)
		}
		if got, want := g.told(c.id), "created expired"; got != want {
			t.Errorf("events = %q, want %q", got, want)
		}
	}
	paid.wantStatus("paid shortly before the end", "PAYED")
	silent.wantStatus("while nobody can say whether it was paid", "INITIAL")
	g.pass(time.Minute)
	if err := g.service.Expire(t.Context()); err != nil {
		t.Fatalf("Expire: %v", err)
	}
	silent.wantStatus("once the provider could say", "PAYED")
}

func TestTwoPayAtOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	c := g.claim("r-1")
	const clients = 8
	at := make([]string, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			offer := []string{"card", "paypal"}[i%2]
			a := g.press(c.pay, "offer", offer)
			if at[i] = a.Header.Get("Location"); a.Status != http.StatusSeeOther && a.Status != http.StatusServiceUnavailable {
				t.Errorf("choose %s = %d %s", offer, a.Status, a.Body)
			}
		})
	}
	wg.Wait()
	for i := range clients {
		if at[i] != "" {
			wg.Go(func() { g.press(at[i], "act", "pay") })
		}
	}
	wg.Wait()
	if c.info().Status == "INITIAL" { // the last session was closed for another that lost the race
		g.press(c.toProvider("card"), "act", "pay")
	}
	c.wantStatus("after all paid", "PAYED")
	if got := c.happened(); strings.Count(got, "payed") != 1 || strings.Contains(got, "surplus") {
		t.Errorf("history = %q, want one payment and no surplus", got)
	}
	if got, want := g.told(c.id), "created payed"; got != want {
		t.Errorf("events = %q, want %q", got, want)
	}
}

// lossy is the sandbox behind a line that loses answers.
type lossy struct {
	payment.Gateway
	lose *bool
}

func (l lossy) Create(ctx context.Context, c payment.Checkout) (payment.Session, error) {
	s, err := l.Gateway.Create(ctx, c)
	if *l.lose {
		return payment.Session{}, errors.New("the answer was lost")
	}
	return s, err
}

// wrapSandbox offers the provider "lossy": the sandbox of this process, behind that line.
func wrapSandbox(lose *bool) payment.Part {
	return payment.Part{Open: func(_ context.Context, h *run.Host, _ *payment.Service) (payment.Opened, error) {
		return payment.Opened{Gateways: map[string]payment.Gateway{"lossy": lossy{sandbox.New(h.DB, h.BaseURL, h.Log), lose}}}, nil
	}}
}

func TestProviderAwayAndAnswerLost(t *testing.T) {
	t.Parallel()
	lose := true
	g := newRig(t, wrapSandbox(&lose))
	g.settings(`{"methods":[{"key":"card","method":"CREDITCARD","provider":"lossy"},{"key":"gone","method":"OTHER","provider":"lossy"}]}`)
	c := g.claim("r-1") // needs no provider
	for range 3 {
		if a := g.press(c.pay, "offer", "card"); a.Status != http.StatusServiceUnavailable || !strings.Contains(string(a.Body), "antwortet gerade nicht") {
			t.Fatalf("choose while the provider is away = %d %s, want 503 and the page", a.Status, a.Body)
		}
	}
	lose = false
	provider := c.toProvider("card")
	g.press(provider, "act", "pay")
	c.wantStatus("after the line is back", "PAYED")
	if got, want := c.happened(), "created started payed"; got != want {
		t.Errorf("history = %q, want %q: one attempt, one session", got, want)
	}
}

// settings gives erfurt payment settings.
func (g *rig) settings(text string) {
	g.t.Helper()
	g.erfurt.Version++
	g.erfurt.Settings = map[string]json.RawMessage{"payment": json.RawMessage(text)}
	g.Put(g.erfurt)
}

// told lists the last words of the events about the transaction, in their order.
func (g *rig) told(txID id.ID) string {
	g.t.Helper()
	return strings.Join(eventsOf(g.t, g.Process.Host("payment").DB, txID), " ")
}

func TestForeignLinks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	mine, others := g.claim("r-1"), g.claim("r-2")
	_, token, _ := strings.Cut(strings.TrimPrefix(mine.pay, g.URL+"/pay/"), "/")
	for _, address := range []string{
		"/pay/" + others.id.String() + "/" + token,
		"/pay/" + others.id.String() + "/" + token + "/return",
		"/pay/" + mine.id.String() + "/" + token[:len(token)-2],
		"/pay/" + id.New().String() + "/" + token,
		"/pay/sandbox/sbx_unknown",
	} {
		if page := g.browse(address); page.Status != http.StatusNotFound || strings.Contains(string(page.Body), "30,70") {
			t.Errorf("GET %s = %d, want a 404 page", address, page.Status)
		}
	}
	if a := g.press("/pay/"+others.id.String()+"/"+token+"/cancel", "x", "y"); a.Status != http.StatusNotFound {
		t.Errorf("cancel another's = %d, want 404", a.Status)
	}
	others.wantStatus("after a foreign cancel", "INITIAL")
	cross := g.Do("POST", mine.pay+"/cancel", "", "", "Sec-Fetch-Site", "cross-site", "Accept", "text/html")
	if cross.Status != http.StatusForbidden {
		t.Errorf("cancel from another site = %d, want 403", cross.Status)
	}
	mine.wantStatus("after a forged cancel", "INITIAL")
}

func TestPayPageOfASuspendedTenantWorks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	c := g.claim("r-1")
	g.erfurt.Status = tenantdir.Suspended
	g.settings(`{}`)
	g.press(c.toProvider("card"), "act", "pay")
	c.wantStatus("what was under way", "PAYED")
}

func TestChoiceMissing(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	c := g.claim("r-1")
	for _, offer := range []string{"", "bitcoin"} {
		if a := g.press(c.pay, "offer", offer); a.Status != http.StatusBadRequest || !strings.Contains(string(a.Body), "Wählen Sie aus, wie Sie bezahlen möchten") {
			t.Errorf("choose %q = %d %s, want 400 with the field's error", offer, a.Status, a.Body)
		}
	}
}

// eventsOf reads the outbox: what was told about a transaction, and only that.
func eventsOf(t *testing.T, d *db.DB, txID id.ID) (words []string) {
	t.Helper()
	ctx := db.System(t.Context())
	err := d.Read(ctx, func(tx *db.Tx) error {
		var types []string
		if err := tx.Select(ctx, &types, `SELECT type FROM outbox WHERE subject = ? ORDER BY seq`, txID); err != nil {
			return err
		}
		for _, name := range types {
			words = append(words, strings.TrimSuffix(strings.TrimPrefix(name, "payment.transaction."), ".v1"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return words
}
