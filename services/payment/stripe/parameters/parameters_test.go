package parameters_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/id"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/sandbox/stripeapi"
	"basisdienste/services/payment/stripe"
)

const key = "sk_test_123"

// exchange is a request and what was answered.
type exchange struct {
	request string
	status  int
	body    []byte
}

// mock is a running stripe-mock behind a proxy that notes what passes.
type mock struct {
	url string

	mu    sync.Mutex
	notes []exchange
}

func startMock(t *testing.T) *mock {
	t.Helper()
	built, err := exec.CommandContext(t.Context(), "../../../../tools/build.sh", "stripe-mock").Output()
	if err != nil {
		t.Fatalf("tools/build.sh stripe-mock: %v", err)
	}
	socket := filepath.Join(t.TempDir(), "mock.sock")
	program := exec.CommandContext(t.Context(), strings.TrimSpace(string(built)), "-http-unix", socket)
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = program.Process.Kill() // it has nothing to finish
		_ = program.Wait()
	})
	var dialer net.Dialer
	runtest.Eventually(t, "stripe-mock listens", func() bool {
		c, err := dialer.DialContext(t.Context(), "unix", socket)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	m := &mock{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "stripe-mock"}) },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}},
		ModifyResponse: func(a *http.Response) error {
			body, err := io.ReadAll(a.Body)
			if err != nil {
				return err
			}
			a.Body = io.NopCloser(strings.NewReader(string(body)))
			m.mu.Lock()
			defer m.mu.Unlock()
			m.notes = append(m.notes, exchange{a.Request.Method + " " + a.Request.URL.Path, a.StatusCode, body})
			return nil
		},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	m.url = server.URL
	return m
}

// taken returns what passed since it was asked last, and fails the test for what was refused.
func (m *mock) taken(t *testing.T, what string, want int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.notes {
		if n.status != http.StatusOK {
			t.Errorf("%s: stripe-mock answers %s with %d %s, want 200", what, n.request, n.status, n.body)
		}
	}
	if len(m.notes) < want {
		t.Errorf("%s: %d requests, want at least %d", what, len(m.notes), want)
	}
	m.notes = nil
}

func TestStripeMockTakesWhatTheAdapterSends(t *testing.T) {
	t.Parallel()
	m := startMock(t)
	cfg := payment.DefaultConfig()
	cfg.Stripe.URL, cfg.Stripe.SecretKey, cfg.Stripe.Retries = m.url, key, 0
	gateway := stripe.NewGateway(cfg, time.Now)
	entry := tenantdir.Entry{
		Tenant: tenant.Tenant{ID: id.New(), Slug: "erfurt"}, Settings: map[string]json.RawMessage{"payment": json.RawMessage(`{"stripe":{"account":"acct_1"}}`)},
	}
	ctx := tenantdir.With(t.Context(), entry)
	// What it answers has no relation to what it was told, so only whether it takes it counts.
	for _, c := range []struct {
		method payment.Method
		detail string
		hold   bool
	}{
		{payment.CreditCard, "", false},
		{payment.CreditCard, "", true},
		{payment.PayPal, "", false},
		{payment.Other, "SEPA", false},
		{payment.Other, "twint", false},
		{payment.Other, "klarna", false},
	} {
		checkout := payment.Checkout{
			Attempt: id.New(), Transaction: id.New(), Tenant: entry.ID, Amount: 30_70, Currency: "EUR", Method: c.method, Detail: c.detail,
			Reference: "K0001", Text: "Bewohnerparkausweis", Language: "de", ReturnURL: "https://pay.example/return", ExpiresAt: time.Now().Add(time.Hour),
			Hold: c.hold,
		}
		_, err := gateway.Create(ctx, checkout)
		t.Logf("Create by %s %s: %v", c.method, c.detail, err)
		m.taken(t, "Create", 1)
		checkout.ExpiresAt = time.Now().Add(-time.Hour)
		_, err = gateway.Create(ctx, checkout)
		t.Logf("Create too late: %v", err)
		m.taken(t, "Create too late", 1)
	}
	_, err := gateway.Get(ctx, "acct_1/cs_test_1")
	t.Logf("Get: %v", err)
	_, err = gateway.End(ctx, "acct_1/cs_test_1")
	t.Logf("End: %v", err)
	_, err = gateway.Refund(ctx, payment.RefundOrder{Refund: id.New(), Session: "acct_1/cs_test_1", Tenant: entry.ID, Amount: 10_00, Currency: "EUR"})
	t.Logf("Refund: %v", err)
	_, err = gateway.GetRefund(ctx, "acct_1/cs_test_1", "re_1")
	t.Logf("GetRefund: %v", err)
	m.taken(t, "the rest", 4)
}

// stripe-mock has no session whose money is held, so sessions are the fake's, and what the adapter
// says of their PaymentIntents stripe-mock is told.
func TestStripeMockTakesCaptureAndCancel(t *testing.T) {
	t.Parallel()
	m := startMock(t)
	fake := stripeapi.New(stripeapi.Options{Key: key, Clock: time.Now, BaseURL: "https://stripe.example"})
	mock, err := url.Parse(m.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(mock)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/payment_intents/") {
			proxy.ServeHTTP(w, r)
			return
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	cfg := payment.DefaultConfig()
	cfg.Stripe.URL, cfg.Stripe.SecretKey, cfg.Stripe.Retries = server.URL, key, 0
	gateway := stripe.NewGateway(cfg, time.Now)
	account := fake.Connect()
	entry := tenantdir.Entry{
		Tenant: tenant.Tenant{ID: id.New(), Slug: "erfurt"}, Settings: map[string]json.RawMessage{"payment": json.RawMessage(`{"stripe":{"account":"` + account + `"}}`)},
	}
	ctx := tenantdir.With(t.Context(), entry)
	for name, act := range map[string]func(context.Context, string) (payment.Session, error){"capture": gateway.Capture, "cancel": gateway.End} {
		s, err := gateway.Create(ctx, payment.Checkout{
			Attempt: id.New(), Transaction: id.New(), Tenant: entry.ID, Amount: 30_70, Currency: "EUR", Method: payment.CreditCard, Reference: "K0001",
			Text: "Bewohnerparkausweis", Language: "de", ReturnURL: "https://pay.example/return", ExpiresAt: time.Now().Add(time.Hour), Hold: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fake.Pay(strings.TrimPrefix(s.ID, account+"/"), stripeapi.CardOK); err != nil {
			t.Fatal(err)
		}
		if got, err := act(ctx, s.ID); err != nil || got.State != payment.SessionAuthorised {
			t.Errorf("%s = %s, %v; want it as the fake has it, which was not told", name, got.State, err)
		}
		m.mu.Lock()
		if len(m.notes) != 1 || !strings.HasSuffix(m.notes[0].request, "/"+name) {
			t.Errorf("%s: stripe-mock was told %d times, want once", name, len(m.notes))
		}
		m.mu.Unlock()
		m.taken(t, name, 1)
	}
}

// Each field that the fake answers is one of Stripe's and has its type.
func TestTheFakeAnswersFieldsThatStripeHas(t *testing.T) {
	t.Parallel()
	m := startMock(t)
	fake := stripeapi.New(stripeapi.Options{Key: key, Clock: time.Now, BaseURL: "https://stripe.example"})
	account := fake.Connect()
	client := &http.Client{Timeout: 10 * time.Second}
	send := func(url, method, path, form string) *httptest.ResponseRecorder {
		t.Helper()
		body := strings.NewReader(form)
		if method == http.MethodGet {
			path, body = path+"?"+form, strings.NewReader("")
		}
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("Stripe-Version", stripeapi.Version)
		r.Header.Set("Stripe-Account", account)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		if url == "" {
			fake.ServeHTTP(w, r)
		} else {
			a, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			w.Code = a.StatusCode
			if _, err := io.Copy(w.Body, a.Body); err != nil {
				t.Fatal(err)
			}
			_ = a.Body.Close()
		}
		return w
	}
	ask := func(url, method, path, form string) map[string]any {
		t.Helper()
		w := send(url, method, path, form)
		var d map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s %s%s = %d %s, %v", method, url, path, w.Code, w.Body, err)
		}
		return d
	}
	create := url.Values{
		"mode": {"payment"}, "success_url": {"https://pay.example/return"}, "line_items[0][quantity]": {"1"}, "line_items[0][price_data][currency]": {"eur"},
		"line_items[0][price_data][unit_amount]": {"3070"}, "line_items[0][price_data][product_data][name]": {"Ausweis"}, "payment_method_types[0]": {"card"},
	}.Encode()
	for _, url := range []string{"", m.url} {
		if w := send(url, "POST", "/v1/checkout/sessions", create+"&modus=x"); w.Code != http.StatusBadRequest {
			t.Errorf("an unknown parameter at %q: %d, want 400", url, w.Code)
		}
	}
	session := ask("", "POST", "/v1/checkout/sessions", create)["id"].(string)
	if _, err := fake.Pay(session, stripeapi.CardOK); err != nil {
		t.Fatal(err)
	}
	paid := ask("", "GET", "/v1/checkout/sessions/"+session, "expand[]=payment_intent.latest_charge")
	intent := paid["payment_intent"].(map[string]any)
	charge := intent["latest_charge"].(map[string]any)["id"].(string)
	refund := ask("", "POST", "/v1/refunds", "amount=100&payment_intent="+intent["id"].(string))["id"].(string)
	dispute, err := fake.Dispute(session)
	if err != nil {
		t.Fatal(err)
	}
	other := ask("", "POST", "/v1/checkout/sessions", create)["id"].(string)
	if _, err := fake.Pay(other, stripeapi.CardOK); err != nil {
		t.Fatal(err)
	}
	payout := fake.Payout(account)
	var held []string
	for range 2 {
		id := ask("", "POST", "/v1/checkout/sessions", create+"&payment_intent_data[capture_method]=manual")["id"].(string)
		if status, err := fake.Pay(id, stripeapi.CardOK); err != nil || status != "requires_capture" {
			t.Fatalf("Pay of a session whose money is to be held = %s, %v; want requires_capture", status, err)
		}
		held = append(held, ask("", "GET", "/v1/checkout/sessions/"+id, "")["payment_intent"].(string))
	}
	for _, c := range []struct{ method, path, form string }{
		{"POST", "/v1/checkout/sessions", create},
		{"GET", "/v1/checkout/sessions/" + session, ""},
		{"GET", "/v1/checkout/sessions", "limit=1"},
		{"GET", "/v1/payment_intents/" + intent["id"].(string), ""},
		{"GET", "/v1/payment_intents/" + held[0], ""},
		{"POST", "/v1/payment_intents/" + held[0] + "/capture", ""},
		{"POST", "/v1/payment_intents/" + held[1] + "/cancel", "cancellation_reason=requested_by_customer"},
		{"GET", "/v1/charges/" + charge, ""},
		{"GET", "/v1/refunds/" + refund, ""},
		{"GET", "/v1/refunds", "limit=1"},
		{"GET", "/v1/disputes/" + dispute, "expand[]=charge"},
		{"GET", "/v1/payouts/" + payout, ""},
		{"GET", "/v1/payouts", "limit=1&created[gte]=1"},
		{"GET", "/v1/disputes", "limit=1&created[gte]=1"},
		{"GET", "/v1/balance_transactions", "limit=100&expand[]=data.source&payout=" + payout},
		{"POST", "/v1/accounts", "type=standard&country=DE"},
		{"POST", "/v1/account_links", "type=account_onboarding&account=" + account + "&refresh_url=https%3A%2F%2Fa.example&return_url=https%3A%2F%2Fa.example"},
	} {
		recorded := []string{".source is", ".charge.source", ".data[].source", ".controller.", ".external_accounts.total_count"} // by Stripe, and not among the mock's answers
		for _, mistake := range foreign("", ask("", c.method, c.path, c.form), ask(m.url, c.method, c.path, c.form)) {
			if !slices.ContainsFunc(recorded, func(r string) bool { return strings.HasPrefix(mistake, r) }) {
				t.Errorf("%s %s: %s", c.method, c.path, mistake)
			}
		}
	}
}

// foreign lists the fields of got that want has not, or has with another type. Where want is
// null nothing is known of the type; objects with free keys are not looked into.
func foreign(at string, got, want any) (mistakes []string) {
	if got == nil || want == nil {
		return nil
	}
	switch g := got.(type) {
	case map[string]any:
		w, ok := want.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is an object, stripe-mock has %T", at, want)}
		}
		if strings.HasSuffix(at, ".metadata") || strings.HasSuffix(at, ".payment_method_options") || len(w) == 0 {
			return nil
		}
		for field, v := range g {
			other, there := w[field]
			if !there {
				mistakes = append(mistakes, at+"."+field+" is not among stripe-mock's fields")
				continue
			}
			mistakes = append(mistakes, foreign(at+"."+field, v, other)...)
		}
	case []any:
		w, ok := want.([]any)
		if !ok {
			return []string{fmt.Sprintf("%s is a list, stripe-mock has %T", at, want)}
		}
		if len(g) > 0 && len(w) > 0 {
			return foreign(at+"[]", g[0], w[0])
		}
	default:
		if fmt.Sprintf("%T", got) != fmt.Sprintf("%T", want) {
			return []string{fmt.Sprintf("%s is %T, stripe-mock has %T", at, got, want)}
		}
	}
	return mistakes
}
