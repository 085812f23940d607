package stripe_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/paymenttest"
	"basisdienste/services/payment/sandbox/stripeapi"
	"basisdienste/services/payment/stripe"
)

const key = "sk_test_0123456789"

// clock is a clock that the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// office is a municipality with the adapter over a fake Stripe.
type office struct {
	*clock
	gateway *stripe.Gateway
	api     *stripeapi.Server
	entry   tenantdir.Entry
	account string
	ctx     context.Context
	headers http.Header // of the last request
}

func newAPI(t *testing.T, c *clock, watch func(*http.Request)) (*stripeapi.Server, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.Config.SetKeepAlivesEnabled(false) // a lost answer is not asked for again by net/http
	server.Start()
	t.Cleanup(server.Close)
	api := stripeapi.New(stripeapi.Options{Key: key, Clock: c.Now, BaseURL: server.URL})
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watch(r)
		api.ServeHTTP(w, r)
	})
	return api, server.URL
}

func config(url string) payment.Config {
	cfg := payment.DefaultConfig()
	cfg.Stripe.URL, cfg.Stripe.SecretKey, cfg.Stripe.Retries = url, key, 0
	return cfg
}

func withAccount(e tenantdir.Entry, account string) tenantdir.Entry {
	e.Settings = map[string]json.RawMessage{"payment": json.RawMessage(`{"stripe":{"account":"` + account + `"},"methods":[
		{"key":"card","method":"CREDITCARD","provider":"stripe","min":0.50},{"key":"sepa","method":"OTHER","detail":"SEPA","provider":"stripe","min":0.50}]}`)}
	e.Version++
	return e
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{clock: &clock{now: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}}
	var url string
	var mu sync.Mutex
	o.api, url = newAPI(t, o.clock, func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		o.headers = r.Header.Clone()
	})
	o.gateway = stripe.NewGateway(config(url), o.Now)
	o.account = o.api.Connect()
	o.entry = withAccount(tenantdir.Entry{Tenant: tenant.Tenant{ID: id.New(), Slug: "erfurt", Name: "Erfurt"}, Status: tenantdir.Active}, o.account)
	o.ctx = tenantdir.With(t.Context(), o.entry)
	return o
}

func (o *office) Gateway() payment.Gateway { return o.gateway }
func (o *office) Context() context.Context { return o.ctx }
func (o *office) Tenant() id.ID            { return o.entry.ID }

func session(s string) string { return s[strings.Index(s, "/")+1:] }

func (o *office) pay(s, number string) error {
	_, err := o.api.Pay(session(s), number)
	return err
}

func (o *office) Pay(s string) error      { return o.pay(s, stripeapi.CardOK) }
func (o *office) Decline(s string) error  { return o.pay(s, stripeapi.CardFunds) }
func (o *office) PayShaky(s string) error { return o.pay(s, stripeapi.CardRefundFails) }
func (o *office) Settle()                 { o.api.Settle() }
func (o *office) LoseAnswer()             { o.api.Fail("POST /v1/", stripeapi.LoseAnswer, 1) }
func (o *office) Away(calls int)          { o.api.Fail("/v1/", stripeapi.Refuse, calls) }
func (o *office) Sessions() int           { return len(o.api.Sessions()) }
func (o *office) Taken() money.Amount     { return money.Amount(o.api.Taken()) }
func (o *office) Refunded() money.Amount  { return money.Amount(o.api.Refunded()) }

func (o *office) PayLate(s string, arrives bool) error {
	if !arrives {
		return o.pay(s, stripeapi.IBANFails)
	}
	return o.pay(s, stripeapi.IBANOK)
}

func TestGateway_KeepsThePromisesOfAProvider(t *testing.T) {
	t.Parallel()
	paymenttest.Run(t, func(t *testing.T) paymenttest.World { return newOffice(t) })
}

func (o *office) checkout() payment.Checkout {
	return payment.Checkout{
		Attempt: id.New(), Transaction: id.New(), Tenant: o.entry.ID, Amount: 30_70, Currency: "EUR", Method: payment.CreditCard,
		Reference: "K0001", Text: "Bewohnerparkausweis", Language: "de", ReturnURL: "https://pay.example/return", ExpiresAt: o.Now().Add(time.Hour),
	}
}

func TestGateway_ThreeDSecure(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	s, err := o.gateway.Create(o.ctx, o.checkout())
	if err != nil {
		t.Fatal(err)
	}
	want := func(when string, want payment.SessionState) {
		t.Helper()
		if got, err := o.gateway.Get(o.ctx, s.ID); err != nil || got.State != want {
			t.Errorf("%s: Get = %s, %v; want %s", when, got.State, err, want)
		}
	}
	for _, passes := range []bool{false, true} {
		if status, err := o.api.Pay(session(s.ID), stripeapi.Card3DS); err != nil || status != "requires_action" {
			t.Fatalf("Pay = %s, %v; want requires_action", status, err)
		}
		want("while the payer authenticates", payment.SessionOpen)
		if err := o.api.Authenticate(session(s.ID), passes); err != nil {
			t.Fatal(err)
		}
		if !passes {
			want("after the payer failed to", payment.SessionOpen)
		}
	}
	want("after the payer did", payment.SessionPaid)
	if got, _ := o.gateway.Get(o.ctx, s.ID); got.Detail != "Visa" || got.PaidAt.IsZero() {
		t.Errorf("Get = %+v, want detail Visa and the time", got)
	}
}

func TestGateway_SessionsAreReadAtTheirOwnAccount(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := o.checkout()
	s, err := o.gateway.Create(o.ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	o.entry = withAccount(o.entry, o.api.Connect())
	o.ctx = tenantdir.With(t.Context(), o.entry)
	if err := o.Pay(s.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := o.gateway.Get(o.ctx, s.ID); err != nil || got.State != payment.SessionPaid {
		t.Errorf("Get after the municipality changed its account = %s, %v; want paid", got.State, err)
	}
	foreign := withAccount(o.entry, "acct_unknown")
	_, err = o.gateway.Create(tenantdir.With(t.Context(), foreign), c)
	if err == nil || !strings.Contains(err.Error(), "acct_unknown") || !strings.Contains(err.Error(), "the key may not do it") {
		t.Errorf("Create at an account that is not connected = %v, want an error that says so", err)
	}
	_, err = o.gateway.Get(o.ctx, o.account+"/cs_live_other")
	if err == nil || !strings.Contains(err.Error(), "were the key, its mode or the account changed") {
		t.Errorf("Get of a session of another key = %v, want an error that says so", err)
	}
}

func TestGateway_RefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for name, change := range map[string]func(c *payment.Checkout) context.Context{
		"a method that has ended": func(c *payment.Checkout) context.Context { c.Method = payment.Giropay; return o.ctx },
		"a method Stripe has not": func(c *payment.Checkout) context.Context {
			c.Method, c.Detail = payment.Other, "Rechnung"
			return o.ctx
		},
		"another tenant": func(c *payment.Checkout) context.Context { c.Tenant = id.New(); return o.ctx },
		"no account":     func(*payment.Checkout) context.Context { return tenantdir.With(t.Context(), withAccount(o.entry, "")) },
		"a bad account": func(*payment.Checkout) context.Context {
			return tenantdir.With(t.Context(), withAccount(o.entry, "acct_1/x"))
		},
		"too small": func(c *payment.Checkout) context.Context { c.Amount = 49; return o.ctx },
	} {
		c := o.checkout()
		if got, err := o.gateway.Create(change(&c), c); err == nil {
			t.Errorf("Create with %s = %+v, want an error", name, got)
		}
	}
	if n := o.Sessions(); n != 0 {
		t.Errorf("Stripe made %d sessions, want none", n)
	}
}

func TestGateway_SessionsOfAttemptsThatEndSoonOrLateAreMade(t *testing.T) {
	t.Parallel()
	for _, lives := range []time.Duration{time.Second, 30 * time.Minute, 24 * time.Hour, 72 * time.Hour} {
		o := newOffice(t)
		c := o.checkout()
		c.ExpiresAt = o.Now().Add(lives)
		if s, err := o.gateway.Create(o.ctx, c); err != nil || s.State != payment.SessionOpen {
			t.Errorf("Create for an attempt of %s = %s, %v; want it open", lives, s.State, err)
		}
	}
}

func TestGateway_TellsStripeNothingOfTheMachine(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if _, err := o.gateway.Create(o.ctx, o.checkout()); err != nil {
		t.Fatal(err)
	}
	if got := o.headers.Get("Stripe-Account"); got != o.account {
		t.Errorf("Stripe-Account = %q, want %q", got, o.account)
	}
	for _, name := range []string{"X-Stripe-Client-User-Agent", "X-Stripe-Client-Telemetry"} {
		if got := o.headers.Get(name); got != "" {
			t.Errorf("header %s = %q, want none", name, got)
		}
	}
}

func TestGateway_ModesAreNotMixed(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Now()}
	server := httptest.NewServer(nil)
	t.Cleanup(server.Close)
	api := stripeapi.New(stripeapi.Options{Key: key, Clock: c.Now, BaseURL: server.URL, Livemode: true})
	server.Config.Handler = api
	o := &office{clock: c, api: api, gateway: stripe.NewGateway(config(server.URL), c.Now)}
	o.entry = withAccount(tenantdir.Entry{Tenant: tenant.Tenant{ID: id.New(), Slug: "erfurt"}}, api.Connect())
	if got, err := o.gateway.Create(tenantdir.With(t.Context(), o.entry), o.checkout()); err == nil || !strings.Contains(err.Error(), "livemode") {
		t.Errorf("Create of a live session by an installation for tests = %+v, %v; want an error", got, err)
	}
}

// Stripe keeps its own failures under the key for a day, whether it had done what was asked or not.
func TestGateway_AKeyThatIsStuckStopsNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]stripeapi.Fault{"nothing was done": stripeapi.Stuck, "all was done": stripeapi.StuckAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			c := o.checkout()
			o.api.Fail("POST /v1/checkout/sessions", fault, 1)
			if got, err := o.gateway.Create(o.ctx, c); err == nil {
				t.Errorf("Create at a Stripe that fails = %+v, want an error", got)
			}
			var ids [2]string
			for i := range ids {
				s, err := o.gateway.Create(o.ctx, c)
				if err != nil || s.State != payment.SessionOpen {
					t.Fatalf("Create again = %+v, %v; want it open", s, err)
				}
				ids[i] = s.ID
			}
			if n := o.Sessions(); n != 1 || ids[0] != ids[1] {
				t.Errorf("Stripe made %d sessions, told %v; want one", n, ids)
			}
			if err := o.Pay(ids[0]); err != nil {
				t.Fatal(err)
			}
			r := payment.RefundOrder{Refund: id.New(), Session: ids[0], Tenant: o.entry.ID, Amount: 10_00, Currency: "EUR"}
			o.api.Fail("POST /v1/refunds", fault, 1)
			if got, err := o.gateway.Refund(o.ctx, r); err == nil {
				t.Errorf("Refund at a Stripe that fails = %+v, want an error", got)
			}
			for range 2 {
				if got, err := o.gateway.Refund(o.ctx, r); err != nil || got.State != payment.RefundSucceeded {
					t.Errorf("Refund again = %+v, %v; want it succeeded", got, err)
				}
			}
			if got := o.Refunded(); got != 10_00 {
				t.Errorf("Stripe gave %s back, want 10.00", got)
			}
		})
	}
}

func TestGateway_ErrorsHoldNoPayersData(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Request-Id", "req_1")
		w.WriteHeader(http.StatusPaymentRequired)
		_, _ = w.Write([]byte(`{"error":{"type":"card_error","code":"card_declined","message":"Mustermann declined",
			"payment_intent":{"id":"pi_1","client_secret":"pi_1_secret","receipt_email":"max@example.org"}}}`))
	}))
	t.Cleanup(server.Close)
	o := newOffice(t)
	_, err := stripe.NewGateway(config(server.URL), o.Now).Create(o.ctx, o.checkout())
	if err == nil || !strings.Contains(err.Error(), "card_declined") || !strings.Contains(err.Error(), "req_1") {
		t.Fatalf("Create = %v, want an error with code and request id", err)
	}
	for _, secret := range []string{"Mustermann", "max@example.org", "pi_1_secret", key} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells %q: %v", secret, err)
		}
	}
}
