package receipt_test

import (
	"bytes"
	"context"
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
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
	"basisdienste/platform/web/browsertest"
	"basisdienste/platform/web/webtest"
	"basisdienste/services/payment"
	"basisdienste/services/payment/receipt"
	"basisdienste/services/payment/sandbox"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

func TestTexts(t *testing.T) {
	t.Parallel()
	webtest.Texts(t, ".", receipt.Texts)
}

// rig is a running service with receipts.
type rig struct {
	*runtest.Env
	t            *testing.T
	service      *payment.Service
	erfurt, jena tenantdir.Entry

	mu  sync.Mutex
	now time.Time
}

func (g *rig) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, now: time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC)}
	probe := payment.Part{Open: func(_ context.Context, h *run.Host, s *payment.Service) (payment.Opened, error) {
		g.service = s
		h.Mux.Handle("GET /static/", web.Static()) // as the console does in an installation
		return payment.Opened{}, nil
	}}
	g.Env = runtest.Start(t, []run.App{payment.New(sandbox.Part(), receipt.Part(), probe)}, runtest.Clock(g.clock), runtest.Set("payment.sweep_every", "1h"))
	g.erfurt, g.jena = g.Tenant("erfurt", "160510000000"), g.Tenant("jena", "160530000000")
	return g
}

func (g *rig) claim(number string) (payment.Transaction, string) {
	g.t.Helper()
	ctx := runtest.Context(g.t, g.erfurt)
	made, err := g.service.Create(ctx, payment.Order{
		OriginatorID: "own", EndPointID: "160510000000", RequestID: number, Amount: 30_70, Currency: "EUR", Description: "Straßenfest der Familie Łukasiewicz",
		Items: []payment.Item{
			{ID: "1", Reference: "A", Description: "Ausweis", TaxRate: "0", Quantity: 1, SingleNet: 20_70, TotalNet: 20_70},
			{ID: "2", Reference: "PLAKETTE", TaxRate: "19", Quantity: 2, SingleNet: 4_20, SingleTax: 80, TotalNet: 8_40, TotalTax: 1_60},
		},
	})
	if err != nil {
		g.t.Fatalf("Create: %v", err)
	}
	return made, g.service.PayURL(ctx, made.ID)
}

// paid is a claim that a payer paid by card.
func (g *rig) paid(number string) (payment.Transaction, string) {
	g.t.Helper()
	made, pay := g.claim(number)
	a := g.post(pay, "offer", "card")
	g.post(a.Header.Get("Location"), "act", "pay")
	if now, err := g.service.Get(runtest.Context(g.t, g.erfurt), made.ID); err != nil || now.State != payment.Payed {
		g.t.Fatalf("after paying the transaction is %s, %v, want PAYED", now.State, err)
	}
	return made, pay
}

func (g *rig) post(address, name, value string) runtest.Answer {
	g.t.Helper()
	return g.Do("POST", address, "", url.Values{name: {value}}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html", "Sec-Fetch-Site", "same-origin")
}

func (g *rig) browse(address string) runtest.Answer {
	g.t.Helper()
	return g.Do("GET", address, "", nil, "Accept", "text/html")
}

func (g *rig) api(e tenantdir.Entry, t payment.Transaction, query, scope string) runtest.Answer {
	g.t.Helper()
	token := g.Token(authn.Principal{Kind: authn.Client, ClientID: "kasse", TenantID: e.ID, Scopes: []string{scope}})
	return g.Do("GET", "/t/"+e.Slug+"/payment/v1/transactions/"+t.ID.String()+"/receipt.pdf"+query, token, nil)
}

func TestReceipt(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	made, pay := g.paid("r-1")
	if a := g.browse(pay); !strings.Contains(string(a.Body), strings.TrimPrefix(pay, g.URL)+"/receipt\"") {
		t.Errorf("the result page lacks the link to the receipt:\n%s", a.Body)
	}
	a := g.browse(pay + "/receipt")
	for _, want := range []string{
		"Zahlungsbeleg", "Erfurt", "Straßenfest der Familie Łukasiewicz", made.Kassenzeichen, "30,70\u00a0€", "EUR", "Kredit- oder Debitkarte",
		"23. November 2026, 00:30\u00a0Uhr", made.ID.String(), "Ausweis", "PLAKETTE", "19\u00a0%", "1,60\u00a0€", "§\u00a014 UStG", "receipt.pdf?lang=de",
	} {
		if a.Status != http.StatusOK || !strings.Contains(string(a.Body), want) {
			t.Errorf("page = %d, without %q", a.Status, want)
		}
	}
	if a := g.browse(pay + "/receipt?lang=en"); !strings.Contains(string(a.Body), "Payment receipt") || !strings.Contains(string(a.Body), "receipt.pdf?lang=en") {
		t.Errorf("page in English = %d %s", a.Status, a.Body)
	}
	if a := g.browse(pay + "/receipt"); strings.Contains(string(a.Body), "Erstattungen") {
		t.Error("the page tells of refunds that were not made")
	}
	first := g.wantPDF("by the link", g.browse(pay+"/receipt.pdf"))
	if again := g.wantPDF("by the link again", g.browse(pay+"/receipt.pdf?lang=de")); !bytes.Equal(first, again) {
		t.Error("the same receipt has other bytes")
	}
	if got := g.wantPDF("by the API", g.api(g.erfurt, made, "", payment.ScopeRead)); !bytes.Equal(first, got) {
		t.Error("the API's receipt has other bytes")
	}
	if english := g.wantPDF("in English", g.api(g.erfurt, made, "?lang=en", payment.ScopeRead)); bytes.Equal(first, english) {
		t.Error("the English receipt is the German one")
	}
	a = g.browse(pay + "/receipt.pdf")
	if got, want := a.Header.Get("Content-Disposition"), `attachment; filename="Zahlungsbeleg-`+made.Kassenzeichen+`.pdf"`; got != want {
		t.Errorf("the file is %s, want %s", got, want)
	}

	if _, err := g.service.RequestRefund(runtest.Context(t, g.erfurt), made.ID, payment.RefundWanted{Amount: 10_00}); err != nil {
		t.Fatal(err)
	}
	a = g.browse(pay + "/receipt")
	for _, want := range []string{"Erstattungen", "Davon erstattet", "10,00\u00a0€", "20,70\u00a0€"} {
		if !strings.Contains(string(a.Body), want) {
			t.Errorf("page after a refund lacks %q", want)
		}
	}
	if now := g.wantPDF("after a refund", g.browse(pay+"/receipt.pdf")); bytes.Equal(first, now) {
		t.Error("the receipt does not tell of the refund")
	}
}

// More receipts at once than are written at once: all come, and all are the same.
func TestReceipt_AtOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, pay := g.paid("r-1")
	first := g.wantPDF("alone", g.browse(pay+"/receipt.pdf"))
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if a := g.browse(pay + "/receipt.pdf"); a.Status != http.StatusOK || !bytes.Equal(a.Body, first) {
				t.Errorf("one of many = %d with %d bytes, want 200 and the same as alone", a.Status, len(a.Body))
			}
		})
	}
	wg.Wait()
}

func (g *rig) wantPDF(what string, a runtest.Answer) []byte {
	g.t.Helper()
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/pdf" || !bytes.HasPrefix(a.Body, []byte("%PDF-")) {
		g.t.Fatalf("%s = %d %s %.200s, want a PDF", what, a.Status, a.Header.Get("Content-Type"), a.Body)
	}
	return a.Body
}

func TestReceipt_Refuses(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	open, pay := g.claim("r-1")
	for _, file := range []string{"/receipt", "/receipt.pdf"} {
		a := g.browse(pay + file)
		if a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "Noch kein Beleg") || !strings.Contains(string(a.Body), `href="`+strings.TrimPrefix(pay, g.URL)+`"`) {
			t.Errorf("%s of what is not paid = %d %s, want 409 in plain words and a link back", file, a.Status, a.Body)
		}
		if a := g.Do("GET", pay+file, "", nil, "Accept", "application/pdf"); a.Status != http.StatusConflict || !strings.Contains(string(a.Body), "not_paid") {
			t.Errorf("%s for a program = %d %s, want 409 not_paid", file, a.Status, a.Body)
		}
		if a := g.browse(pay[:len(pay)-1] + "-" + file); a.Status != http.StatusNotFound {
			t.Errorf("%s by another link = %d, want 404", file, a.Status)
		}
	}
	paid, _ := g.paid("r-2")
	for _, c := range []struct {
		what   string
		a      runtest.Answer
		status int
		code   string
	}{
		{"not paid", g.api(g.erfurt, open, "", payment.ScopeRead), http.StatusConflict, "not_paid"},
		{"no such language", g.api(g.erfurt, paid, "?lang=fr", payment.ScopeRead), http.StatusBadRequest, "unknown_language"},
		{"no such transaction", g.api(g.erfurt, payment.Transaction{ID: id.New()}, "", payment.ScopeRead), http.StatusNotFound, "unknown_transaction"},
		{"another municipality's", g.api(g.jena, paid, "", payment.ScopeRead), http.StatusNotFound, "unknown_transaction"},
		{"another scope", g.api(g.erfurt, paid, "", payment.ScopeWrite), http.StatusForbidden, "scope_missing"},
	} {
		if c.a.Status != c.status || !strings.Contains(string(c.a.Body), `"`+c.code+`"`) {
			t.Errorf("%s = %d %s, want %d %s", c.what, c.a.Status, c.a.Body, c.status, c.code)
		}
	}
}

func TestBrowser_receipt(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]browsertest.Options{"desktop": {}, "phone-dark-en": {Phone: true, NoScript: true, Dark: true, Lang: "en"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t)
			_, pay := g.claim("r-1")
			tab := browsertest.Open(t, options)
			browsertest.Visit(t, tab, pay+"/receipt")
			browsertest.Look(t, tab, "receipt-unpaid-"+name)
			made, pay := g.paid("r-2")
			if _, err := g.service.RequestRefund(runtest.Context(t, g.erfurt), made.ID, payment.RefundWanted{Amount: 10_00}); err != nil {
				t.Fatal(err)
			}
			browsertest.Visit(t, tab, pay)
			browsertest.Look(t, tab, "receipt-result-"+name)
			browsertest.Follow(t, tab, fmt.Sprintf("main a[href=%q]", strings.TrimPrefix(pay, g.URL)+"/receipt"))
			browsertest.Look(t, tab, "receipt-"+name)
		})
	}
}
