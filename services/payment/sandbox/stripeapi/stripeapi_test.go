package stripeapi

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v79/webhook"
)

// rig asks the fake as a client does.
type rig struct {
	t       *testing.T
	api     *Server
	account string
	clock   time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, clock: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	r.api = New(Options{Key: "sk_test_1", Clock: func() time.Time { return r.clock }, BaseURL: "https://stripe.example"})
	r.account = r.api.Connect()
	return r
}

func (r *rig) request(method, path, form string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	var body io.Reader
	if method == http.MethodGet && form != "" {
		path += "?" + form
	} else {
		body = strings.NewReader(form)
	}
	q := httptest.NewRequestWithContext(r.t.Context(), method, path, body)
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.Header.Set("Authorization", "Bearer sk_test_1")
	q.Header.Set("Stripe-Version", Version)
	q.Header.Set("Stripe-Account", r.account)
	for i := 0; i+1 < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.api.ServeHTTP(w, q)
	return w
}

func (r *rig) ask(method, path, form string, headers ...string) doc {
	r.t.Helper()
	w := r.request(method, path, form, headers...)
	var d doc
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		r.t.Fatalf("%s %s: %v\n%s", method, path, err, w.Body)
	}
	return d
}

// doc is an answer that is no error.
func (r *rig) doc(method, path, form string) doc {
	r.t.Helper()
	d := r.ask(method, path, form)
	if d["error"] != nil {
		r.t.Fatalf("%s %s %s = %v, want no error", method, path, form, d["error"])
	}
	return d
}

func sessionForm(changes ...string) string {
	v := url.Values{
		"mode": {"payment"}, "success_url": {"https://pay.example/return"}, "line_items[0][quantity]": {"1"}, "line_items[0][price_data][currency]": {"eur"},
		"line_items[0][price_data][unit_amount]": {"3070"}, "line_items[0][price_data][product_data][name]": {"Ausweis"},
		"payment_method_types[0]": {"card"}, "payment_method_types[1]": {"sepa_debit"}, "payment_intent_data[metadata][transaction]": {"t1"},
	}
	for i := 0; i+1 < len(changes); i += 2 {
		v.Set(changes[i], changes[i+1])
	}
	return v.Encode()
}

func (r *rig) session() string {
	r.t.Helper()
	return r.doc("POST", "/v1/checkout/sessions", sessionForm())["id"].(string)
}

func (r *rig) pay(session, number string) {
	r.t.Helper()
	if _, err := r.api.Pay(session, number); err != nil {
		r.t.Fatalf("Pay(%s): %v", number, err)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const path = "/v1/checkout/sessions"
	first := r.request("POST", path, sessionForm(), "Idempotency-Key", "k")
	again := r.request("POST", path, sessionForm(), "Idempotency-Key", "k")
	if again.Body.String() != first.Body.String() || again.Header().Get("Idempotent-Replayed") != "true" || first.Header().Get("Idempotent-Replayed") != "" {
		t.Errorf("the same request again = %v %s, want the first answer, marked as replayed", again.Header(), again.Body)
	}
	kind := func(w *httptest.ResponseRecorder) any {
		var d struct{ Error struct{ Type string } }
		if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		return d.Error.Type
	}
	if w := r.request("POST", path, sessionForm("locale", "en"), "Idempotency-Key", "k"); w.Code != 400 || kind(w) != "idempotency_error" {
		t.Errorf("other parameters = %d %s, want 400 idempotency_error", w.Code, w.Body)
	}
	r.api.Fail("POST", InFlight, 1)
	if w := r.request("POST", path, sessionForm(), "Idempotency-Key", "k2"); w.Code != 409 || kind(w) != "idempotency_error" {
		t.Errorf("while another runs = %d %s, want 409 idempotency_error", w.Code, w.Body)
	}
	if w := r.request("POST", path, sessionForm("line_items[0][price_data][unit_amount]", "1"), "Idempotency-Key", "k3"); w.Code != 400 {
		t.Errorf("an amount that is too small = %d, want 400", w.Code)
	}
	if w := r.request("POST", path, sessionForm(), "Idempotency-Key", "k3"); w.Code != 200 {
		t.Errorf("the key of a request that was refused before it began = %d, want 200", w.Code)
	}
	other := r.api.Connect()
	if w := r.request("POST", path, sessionForm(), "Idempotency-Key", "k", "Stripe-Account", other); w.Header().Get("Idempotent-Replayed") != "" {
		t.Error("the key of another account was replayed")
	}
	r.clock = r.clock.Add(25 * time.Hour)
	if w := r.request("POST", path, sessionForm(), "Idempotency-Key", "k"); w.Code != 200 || w.Body.String() == first.Body.String() {
		t.Errorf("the key after a day = %d, want another session", w.Code)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct {
		what, method, path, form string
		headers                  []string
		status                   int
		code, param              string
	}{
		{"another key", "GET", "/v1/charges/x", "", []string{"Authorization", "Bearer x"}, 401, "", ""},
		{"another version", "GET", "/v1/charges/x", "", []string{"Stripe-Version", "2020-01-01"}, 400, "", ""},
		{"another account", "GET", "/v1/charges/x", "", []string{"Stripe-Account", "acct_x"}, 403, "account_invalid", ""},
		{"another address", "GET", "/v1/customers", "", nil, 404, "", ""},
		{"nothing there", "GET", "/v1/checkout/sessions/x", "", nil, 404, "resource_missing", "id"},
		{"unknown parameter", "POST", "/v1/checkout/sessions", sessionForm("modus", "x"), nil, 400, "parameter_unknown", "modus"},
		{"no mode", "POST", "/v1/checkout/sessions", sessionForm("mode", ""), nil, 400, "parameter_missing", "mode"},
		{"no number", "POST", "/v1/checkout/sessions", sessionForm("line_items[0][quantity]", "x"), nil, 400, "parameter_invalid_integer", "line_items[0][quantity]"},
		{"29 minutes", "POST", "/v1/checkout/sessions", sessionForm("expires_at", "1795429740"), nil, 400, "", "expires_at"},
		{"no such method", "POST", "/v1/checkout/sessions", sessionForm("payment_method_types[0]", "giropay2"), nil, 400, "", "payment_method_types[0]"},
		{"a payment that is not there", "POST", "/v1/refunds", "payment_intent=pi_x", nil, 404, "resource_missing", "id"},
	} {
		w := r.request(c.method, c.path, c.form, c.headers...)
		var d struct {
			Error struct{ Code, Param, Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != c.status || d.Error.Code != c.code || d.Error.Param != c.param || d.Error.Message == "" {
			t.Errorf("%s: %d %s, want %d %q %q and a message", c.what, w.Code, w.Body, c.status, c.code, c.param)
		}
	}
}

func TestDisputesAndPayoutsAddUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var ids []string
	for range 3 {
		ids = append(ids, r.session())
		r.pay(ids[len(ids)-1], CardOK)
	}
	dispute, err := r.api.Dispute(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	in := r.doc("GET", "/v1/checkout/sessions/"+ids[0], "")["payment_intent"].(string)
	if got := r.ask("POST", "/v1/refunds", "payment_intent="+in)["error"]; got == nil || got.(doc)["code"] != "charge_disputed" {
		t.Errorf("refund of a disputed charge = %v, want charge_disputed", got)
	}
	r.api.Decide(dispute, true)
	payout := r.api.Payout(r.account)
	list := r.doc("GET", "/v1/balance_transactions", "limit=100&expand[]=data.source&payout="+payout)
	sum, kinds := 0.0, map[string]int{}
	for _, e := range list["data"].([]any) {
		e := e.(doc)
		sum += e["net"].(float64)
		kinds[e["type"].(string)]++
		if e["source"].(doc)["id"] == nil {
			t.Errorf("source of %v is not expanded", e["id"])
		}
	}
	if sum != 0 || kinds["charge"] != 3 || kinds["adjustment"] != 2 || kinds["payout"] != 1 {
		t.Errorf("payout of %v sums up to %v, want 0 of 3 charges, 2 adjustments and the payout", kinds, sum)
	}
	if again := r.api.Payout(r.account); again != "" {
		t.Errorf("Payout of nothing = %s, want none", again)
	}
}

func TestEventsAreToldAtLeastOnceAndSigned(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	took, refuse := map[string]int{}, 3
	r.api.Subscribe(Endpoint{Path: "/hook", Secret: "whsec_1", Connect: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		if err := webhook.ValidatePayloadIgnoringTolerance(body, q.Header.Get("Stripe-Signature"), "whsec_1"); err != nil {
			t.Errorf("signature: %v", err)
		}
		var e struct{ ID, Type, Account string }
		if err := json.Unmarshal(body, &e); err != nil || e.Account != r.account {
			t.Errorf("event = %+v, %v; want one of %s", e, err, r.account)
		}
		if refuse--; refuse >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		took[e.Type]++
	})})
	id := r.session()
	r.pay(id, CardOK)
	left, err := r.api.Deliver(t.Context(), Delivery{Shuffle: rand.New(rand.NewPCG(1, 1))})
	if err != nil || left != 3 {
		t.Errorf("Deliver = %d left, %v; want the three that were refused", left, err)
	}
	if left, err := r.api.Deliver(t.Context(), Delivery{Times: 2}); err != nil || left != 0 {
		t.Errorf("Deliver again = %d left, %v; want none", left, err)
	}
	for _, kind := range []string{"checkout.session.completed", "payment_intent.succeeded", "charge.succeeded"} {
		if took[kind] == 0 {
			t.Errorf("told %v, want %s among them", took, kind)
		}
	}
}
