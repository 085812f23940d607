package transfer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/id"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
	"basisdienste/platform/web/browsertest"
	"basisdienste/platform/web/webtest"
	"basisdienste/services/payment"
	"basisdienste/services/payment/camt/camttest"
	"basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/transfer"
	"basisdienste/services/payment/treasury"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

func TestTexts(t *testing.T) {
	t.Parallel()
	webtest.Texts(t, ".", transfer.Texts)
}

// rig is a running service whose municipality takes transfers and cards.
type rig struct {
	*runtest.Env
	t       *testing.T
	service *payment.Service
	erfurt  tenantdir.Entry

	mu  sync.Mutex
	now time.Time
}

func (g *rig) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *rig) pass(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = g.now.Add(d)
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	probe := payment.Part{Open: func(_ context.Context, h *run.Host, s *payment.Service) (payment.Opened, error) {
		g.service = s
		h.Mux.Handle("GET /static/", web.Static()) // as the console does in an installation
		return payment.Opened{}, nil
	}}
	g.Env = runtest.Start(t, []run.App{payment.New(sandbox.Part(), treasury.Part(), transfer.Part(), probe)}, runtest.Clock(g.clock), runtest.Set("payment.sweep_every", "1h"))
	g.erfurt = g.settings(tenantdir.Entry{Tenant: tenant.Tenant{ID: id.New(), Slug: "erfurt", Name: "Erfurt"}}, camttest.IBAN(1))
	return g
}

// settings lets the municipality take transfers to the account.
func (g *rig) settings(e tenantdir.Entry, iban string) tenantdir.Entry {
	e.Status, e.Keys, e.Version = tenantdir.Active, []string{"160510000000"}, e.Version+1
	e.Settings = map[string]json.RawMessage{"payment": json.RawMessage(fmt.Sprintf(`{
		"methods": [{"key": "card", "method": "CREDITCARD", "provider": "sandbox"}, {"key": "transfer", "method": "OTHER", "detail": "transfer", "provider": "transfer"}],
		"expire_hours": 48, "transfer": {"iban": %q, "holder": "Stadt Erfurt", "days": 10}}`, iban))}
	return g.Put(e)
}

func (g *rig) claim(n int) (payment.Transaction, string) {
	g.t.Helper()
	ctx := runtest.Context(g.t, g.erfurt)
	made, err := g.service.Create(ctx, payment.Order{
		OriginatorID: "bewohnerparken", EndPointID: "160510000000", RequestID: fmt.Sprint("r-", n), Amount: 3070, Currency: "EUR",
		Description: "Bewohnerparkausweis", RedirectURL: "https://dienst.example/zurueck", Document: []byte("{}"),
		Items: []payment.Item{{ID: "1", Reference: "A", TaxRate: "0", Quantity: 1, SingleNet: 3070, TotalNet: 3070}},
	})
	if err != nil {
		g.t.Fatalf("Create: %v", err)
	}
	return made, g.service.PayURL(ctx, made.ID)
}

// choose presses a method on the pay page and returns where the browser goes.
func (g *rig) choose(pay, offer string) string {
	g.t.Helper()
	a := g.Do("POST", pay, "", url.Values{"offer": {offer}}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Sec-Fetch-Site", "same-origin")
	if a.Status != http.StatusSeeOther {
		g.t.Fatalf("choose %s = %d, want 303\n%s", offer, a.Status, a.Body)
	}
	return a.Header.Get("Location")
}

func (g *rig) browse(address string) runtest.Answer {
	g.t.Helper()
	return g.Do("GET", address, "", nil, "Accept", "text/html")
}

// arrive lets the bank report money.
func (g *rig) arrive(number int, kassenzeichen string) {
	g.t.Helper()
	token := g.Token(authn.Principal{Kind: authn.Client, ClientID: "kasse", TenantID: g.erfurt.ID, Scopes: []string{treasury.Scope}})
	text := camttest.String("camt.053.001.08", camttest.Statement{ID: fmt.Sprint("S-", number), Entries: []camttest.Entry{{Amount: 3070, Text: []string{kassenzeichen}}}})
	if a := g.Do("POST", "/t/erfurt/payment/v1/treasury/statements", token, text, "Content-Type", "application/xml"); a.Status != http.StatusCreated {
		g.t.Fatalf("import = %d %s, want 201", a.Status, a.Body)
	}
}

func (g *rig) want(what string, t payment.Transaction, state payment.State, history string) {
	g.t.Helper()
	ctx := runtest.Context(g.t, g.erfurt)
	now, err := g.service.Get(ctx, t.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	list, err := g.service.History(ctx, t.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	var words []string
	for _, h := range list {
		words = append(words, h.What)
	}
	if got := strings.Join(words, " "); now.State != state || got != history {
		g.t.Errorf("%s: %s after %q, want %s after %q", what, now.State, got, state, history)
	}
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made, pay := g.claim(1)
	if a := g.browse(pay); !strings.Contains(string(a.Body), "Überweisung mit GiroCode") {
		t.Errorf("pay page = %s, want the transfer among the methods", a.Body)
	}
	page := g.choose(pay, "transfer")
	if !strings.HasPrefix(page, g.URL+"/pay/transfer/") || g.choose(pay, "transfer") != page {
		t.Fatalf("choosing the transfer leads to %s, want the same page of ours twice", page)
	}
	iban := camttest.IBAN(1)
	a := g.browse(page)
	for _, want := range []string{"Stadt Erfurt", iban[:4] + " " + iban[4:8] + " ", "30,70\u00a0€", made.Kassenzeichen, "Bewohnerparkausweis", `role="img"`, "30.11.2026", "https://dienst.example/zurueck"} {
		if a.Status != http.StatusOK || !strings.Contains(string(a.Body), want) && !strings.Contains(string(a.Body), strings.Replace(want, "30.11.2026", "30. November 2026", 1)) {
			t.Errorf("page = %d, without %q\n%s", a.Status, want, a.Body)
		}
	}
	g.pass(9 * 24 * time.Hour) // longer than transactions last as a rule
	if err := g.service.Sweep(t.Context()); err != nil {
		t.Errorf("Sweep: %v", err)
	}
	if err := g.service.Expire(t.Context()); err != nil {
		t.Errorf("Expire: %v", err)
	}
	g.want("before the money", made, payment.Initial, "created started")
	g.arrive(1, made.Kassenzeichen)
	g.want("after the money", made, payment.Payed, "created started payed")
	if a := g.browse(page); a.Status != http.StatusSeeOther || a.Header.Get("Location") != pay {
		t.Errorf("the page afterwards = %d to %s, want 303 to the result", a.Status, a.Header.Get("Location"))
	}
	ctx := runtest.Context(t, g.erfurt)
	refund, err := g.service.RequestRefund(ctx, made.ID, payment.RefundWanted{Amount: 100})
	if err != nil || refund.State != payment.RefundFailed || refund.Reason != "bank_transfer" {
		t.Errorf("refund = %+v, %v, want it FAILED because of bank_transfer", refund, err)
	}
}

// Nobody who chose to transfer transfers in time; the money comes after all.
func TestTransfer_Late(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made, pay := g.claim(1)
	g.choose(pay, "transfer")
	g.pass(10*24*time.Hour + time.Second)
	if err := g.service.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.want("after its time", made, payment.Expired, "created started attempt_ended expired")
	g.arrive(1, made.Kassenzeichen)
	g.want("after the money", made, payment.Expired, "created started attempt_ended expired surplus")
}

// The payer changes their mind: at most one way is open, and the transfer counts all the same.
func TestTransfer_AnotherMethod(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made, pay := g.claim(1)
	g.choose(pay, "transfer")
	card := g.choose(pay, "card")
	if !strings.HasPrefix(card, g.URL+"/pay/sandbox/") {
		t.Fatalf("choosing the card leads to %s, want the sandbox", card)
	}
	g.arrive(1, made.Kassenzeichen) // closes the card's session
	g.want("transferred while a card was about to be used", made, payment.Payed, "created started attempt_ended started attempt_ended payed")
	a := g.Do("POST", card, "", "act=pay", "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Sec-Fetch-Site", "same-origin")
	g.want(fmt.Sprintf("after the card's page was used (%d)", a.Status), made, payment.Payed, "created started attempt_ended started attempt_ended payed")

	second, pay := g.claim(2)
	card = g.choose(pay, "card")
	g.Do("POST", card, "", "act=pay", "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Sec-Fetch-Site", "same-origin")
	g.arrive(2, second.Kassenzeichen)
	g.want("transferred after the card had paid", second, payment.Payed, "created started payed surplus")
}

// The provider of an attempt that is open does not answer while a transfer comes in: the
// transfer pays, and what the provider had taken is found to be owed back.
func TestTransfer_ProviderSilent(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made, pay := g.claim(1)
	card := g.choose(pay, "card")
	g.Do("POST", card, "", "act=timeout", "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Sec-Fetch-Site", "same-origin")
	g.arrive(1, made.Kassenzeichen)
	g.want("transferred while the provider was silent", made, payment.Payed, "created started payed")
	g.pass(time.Minute)
	if err := g.service.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.want("after the provider answered", made, payment.Payed, "created started payed surplus")
}

func TestTransfer_Refusals(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, pay := g.claim(1)
	page := g.choose(pay, "transfer")
	for name, address := range map[string]string{"another link": page[:len(page)-1] + "x", "no link": g.URL + "/pay/transfer/x", "half a link": page[:strings.LastIndex(page, ".")]} {
		if a := g.browse(address); a.Status != http.StatusNotFound {
			t.Errorf("%s = %d, want 404", name, a.Status)
		}
	}
	g.settings(g.erfurt, "DE00")
	if a := g.browse(page); a.Status != http.StatusServiceUnavailable || !strings.Contains(string(a.Body), "Überweisen ist zurzeit nicht möglich") {
		t.Errorf("page without an account = %d %s, want 503 in plain words", a.Status, a.Body)
	}
}

func TestBrowser_transfer(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]browsertest.Options{"desktop": {}, "phone-dark-en": {Phone: true, NoScript: true, Dark: true, Lang: "en"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t)
			_, pay := g.claim(1)
			tab := browsertest.Open(t, options)
			browsertest.Visit(t, tab, pay)
			browsertest.Press(t, tab, "input[value=transfer]")
			browsertest.Follow(t, tab, "main form button.kern-btn--primary")
			if got := browsertest.Evaluate(t, tab, `document.querySelector("main svg").getAttribute("aria-label")`); !strings.Contains(got, "GiroCode") {
				t.Errorf("label of the code = %q, want what it is", got)
			}
			browsertest.Look(t, tab, "transfer-"+name)
		})
	}
}
