package stripe_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v79/webhook"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/sandbox/stripeapi"
	"basisdienste/services/payment/stripe"
)

const (
	accountSecret = "whsec_account"
	oldSecret     = "whsec_old"
	newSecret     = "whsec_new"
)

// town is a running service with the adapter, over a fake Stripe that tells it events.
type town struct {
	*runtest.Env
	*clock
	t       *testing.T
	api     *stripeapi.Server
	account string
	erfurt  tenantdir.Entry
	service *payment.Service
	ctx     context.Context
	url     string // of Stripe
}

func (o *town) gateway() *stripe.Gateway { return stripe.NewGateway(config(o.url), o.Now) }

func newTown(t *testing.T, options ...runtest.Option) *town {
	t.Helper()
	o := &town{t: t, clock: &clock{now: time.Now()}}
	o.api, o.url = newAPI(t, o.clock, func(*http.Request) {})
	o.account = o.api.Connect()
	probe := payment.Part{Open: func(_ context.Context, _ *run.Host, s *payment.Service) (payment.Opened, error) {
		o.service = s
		return payment.Opened{}, nil
	}}
	o.Env = runtest.Start(t, []run.App{payment.New(stripe.Part(), probe)}, append(options, runtest.Clock(o.Now),
		runtest.Set("payment.sweep_every", "1h"), runtest.Set("payment.stripe.url", o.url), runtest.Set("payment.stripe.secret_key", key),
		runtest.Set("payment.stripe.retries", 0), runtest.Set("payment.stripe.account_webhook_secrets", accountSecret),
		runtest.Set("payment.stripe.connect_webhook_secrets", newSecret+","+oldSecret))...)
	o.erfurt = o.Put(withAccount(o.Tenant("erfurt", "160510000000"), o.account))
	o.ctx = runtest.Context(t, o.erfurt)
	o.api.Subscribe(stripeapi.Endpoint{Handler: o.relay(), Path: stripe.ConnectPath, Secret: oldSecret, Connect: true})
	o.api.Subscribe(stripeapi.Endpoint{Handler: o.relay(), Path: stripe.AccountPath, Secret: accountSecret})
	return o
}

// relay brings an event to the service.
func (o *town) relay() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			o.t.Errorf("event: %v", err)
		}
		w.WriteHeader(o.post(r.URL.Path, body, r.Header.Get("Stripe-Signature")))
	})
}

func (o *town) post(path string, body []byte, signature string) int {
	return o.Do(http.MethodPost, path, "", body, "Stripe-Signature", signature).Status
}

func (o *town) deliver(d stripeapi.Delivery) {
	o.t.Helper()
	if left, err := o.api.Deliver(o.t.Context(), d); err != nil || left != 0 {
		o.t.Errorf("Deliver = %d left, %v; want all taken", left, err)
	}
}

func (o *town) claim(request string) id.ID { return o.claimAt("160510000000", request) }

func (o *town) claimAt(key, request string) id.ID {
	o.t.Helper()
	t, err := o.service.Create(o.ctx, payment.Order{
		OriginatorID: "bewohnerparken", EndPointID: key, RequestID: request, Amount: 30_70, Currency: "EUR", Description: "Ausweis",
		RedirectURL: "https://dienst.example/", Document: []byte(`{}`),
		Items: []payment.Item{{ID: "1", Quantity: 1, SingleNet: 30_70, TotalNet: 30_70, TaxRate: "0"}},
	})
	if err != nil {
		o.t.Fatalf("Create: %v", err)
	}
	return t.ID
}

// start begins a payment and returns Stripe's id of the session.
func (o *town) start(txID id.ID, offer string) string {
	o.t.Helper()
	url, err := o.service.Start(o.ctx, txID, offer, "de")
	if err != nil {
		o.t.Fatalf("Start(%s): %v", offer, err)
	}
	return url[strings.LastIndex(url, "/")+1:]
}

func (o *town) pay(session, number string) {
	o.t.Helper()
	if _, err := o.api.Pay(session, number); err != nil {
		o.t.Fatalf("Pay: %v", err)
	}
}

func (o *town) wantState(when string, txID id.ID, want payment.State) {
	o.t.Helper()
	if got, err := o.service.Get(o.ctx, txID); err != nil || got.State != want {
		o.t.Errorf("%s: transaction is %s, %v; want %s", when, got.State, err, want)
	}
}

func (o *town) events(where string) (n int) {
	o.t.Helper()
	sys := db.System(o.t.Context())
	err := o.Process.Host("payment").DB.Read(sys, func(tx *db.Tx) error {
		return tx.Get(sys, &n, `SELECT count(*) FROM stripe_events WHERE `+where)
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return n
}

func TestWebhooks_PaymentsAreFoundOnceInWhateverOrder(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]runtest.Option{"sqlite": nil, "postgres": {runtest.Postgres()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newTown(t, options...)
			var cards, debits, failing []id.ID
			for i := range 4 {
				card, debit, fails := o.claim(fmt.Sprintf("c-%d", i)), o.claim(fmt.Sprintf("d-%d", i)), o.claim(fmt.Sprintf("f-%d", i))
				o.pay(o.start(card, "card"), stripeapi.CardOK)
				o.pay(o.start(debit, "sepa"), stripeapi.IBANOK)
				o.pay(o.start(fails, "sepa"), stripeapi.IBANFails)
				cards, debits, failing = append(cards, card), append(debits, debit), append(failing, fails)
			}
			o.deliver(stripeapi.Delivery{Shuffle: rand.New(rand.NewPCG(1, 2)), Times: 2})
			for _, txID := range cards {
				o.wantState("paid by card", txID, payment.Payed)
			}
			for _, txID := range debits {
				o.wantState("a debit on its way", txID, payment.Initial)
			}
			o.api.Settle()
			o.deliver(stripeapi.Delivery{Shuffle: rand.New(rand.NewPCG(3, 4)), Times: 2})
			for _, txID := range debits {
				o.wantState("a debit that arrived", txID, payment.Payed)
			}
			for _, txID := range failing {
				o.wantState("a debit that came back", txID, payment.Initial)
				list, err := o.service.History(o.ctx, txID)
				if last := list[len(list)-1]; err != nil || last.What != "declined" || last.Reason != "insufficient_funds" {
					t.Errorf("history ends with %+v, %v; want declined for insufficient_funds", last, err)
				}
			}
			if n := o.events("due_at IS NOT NULL"); n != 0 {
				t.Errorf("%d events wait, want none", n)
			}
		})
	}
}

func TestWebhooks_BeforeTheAnswerOfCreate(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	txID := o.claim("r-1")
	o.api.Fail("POST /v1/checkout/sessions", stripeapi.LoseAnswer, 1)
	if url, err := o.service.Start(o.ctx, txID, "card", "en"); err == nil {
		t.Fatalf("Start without an answer = %s, want an error", url)
	}
	o.pay(o.api.Sessions()[0], stripeapi.CardOK)
	o.deliver(stripeapi.Delivery{})
	o.wantState("the event came before the session was known", txID, payment.Payed)
	if n := len(o.api.Sessions()); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

func TestWebhooks_StripeIsAwayWhenItIsAsked(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	txID := o.claim("r-1")
	o.pay(o.start(txID, "card"), stripeapi.CardOK)
	o.api.Fail("GET /v1/checkout/sessions/", stripeapi.Busy, 100)
	o.deliver(stripeapi.Delivery{}) // taken all the same
	o.wantState("Stripe does not answer", txID, payment.Initial)
	if n := o.events("due_at IS NOT NULL"); n == 0 {
		t.Error("no event waits, want those whose look failed")
	}
	o.api.Recover()
	o.Pass(time.Minute)
	runtest.Eventually(t, "the job looks again", func() bool {
		got, err := o.service.Get(o.ctx, txID)
		return err == nil && got.State == payment.Payed
	})
}

func TestWebhooks_WhatIsRefusedAndWhatIsIgnored(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	jena := o.Put(withAccount(o.Tenant("jena", "160530000000"), o.api.Connect()))
	txID := o.claim("r-1")
	o.start(txID, "card")
	event := func(change func(e map[string]any, object map[string]any)) []byte {
		object := map[string]any{"object": "checkout.session", "metadata": map[string]string{"tenant": o.erfurt.ID.String(), "transaction": txID.String()}}
		e := map[string]any{"id": "evt_" + id.Secret(8), "type": "checkout.session.completed", "account": o.account, "livemode": false, "data": map[string]any{"object": object}}
		change(e, object)
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	plain := event(func(map[string]any, map[string]any) {})
	sign := func(body []byte, secret string, after time.Duration) string {
		return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret, Timestamp: o.Now().Add(after)}).Header
	}
	for _, c := range []struct {
		what, path string
		body       []byte
		signature  string
		want       int
		stored     int
	}{
		{"no signature", stripe.ConnectPath, plain, "", 400, 0},
		{"no time", stripe.ConnectPath, plain, "v1=00", 400, 0},
		{"another secret", stripe.ConnectPath, plain, sign(plain, "whsec_x", 0), 400, 0},
		{"the other endpoint's secret", stripe.ConnectPath, plain, sign(plain, accountSecret, 0), 400, 0},
		{"a changed body", stripe.ConnectPath, append([]byte(" "), plain...), sign(plain, newSecret, 0), 400, 0},
		{"too old", stripe.ConnectPath, plain, sign(plain, newSecret, -301*time.Second), 400, 0},
		{"from the future", stripe.ConnectPath, plain, sign(plain, newSecret, 301*time.Second), 400, 0},
		{"no JSON", stripe.ConnectPath, []byte("x"), sign([]byte("x"), newSecret, 0), 400, 0},
		{"no id", stripe.ConnectPath, []byte("{}"), sign([]byte("{}"), newSecret, 0), 400, 0},
		{"too large", stripe.ConnectPath, make([]byte, 300<<10), "", 413, 0},
		{"live mode", stripe.ConnectPath, event(func(e, _ map[string]any) { e["livemode"] = true }), "", 200, 0},
		{"another object", stripe.ConnectPath, event(func(_, o map[string]any) { o["object"] = "customer" }), "", 200, 0},
		{"no metadata", stripe.ConnectPath, event(func(_, o map[string]any) { o["metadata"] = nil }), "", 200, 0},
		{"other metadata", stripe.ConnectPath, event(func(_, o map[string]any) { o["metadata"] = map[string]string{"tenant": "x", "transaction": "y"} }), "", 200, 0},
		{"an unknown tenant", stripe.ConnectPath, event(func(_, object map[string]any) {
			object["metadata"] = map[string]string{"tenant": id.New().String(), "transaction": txID.String()}
		}), "", 200, 0},
		{"another tenant's account", stripe.ConnectPath, event(func(_, object map[string]any) {
			object["metadata"] = map[string]string{"tenant": jena.ID.String(), "transaction": txID.String()}
		}), "", 200, 0},
		{"no account", stripe.ConnectPath, event(func(e, _ map[string]any) { delete(e, "account") }), "", 200, 0},
		{"an account at the other endpoint", stripe.AccountPath, plain, sign(plain, accountSecret, 0), 200, 0},
		{"an unknown transaction", stripe.ConnectPath, event(func(_, object map[string]any) {
			object["metadata"] = map[string]string{"tenant": o.erfurt.ID.String(), "transaction": id.New().String()}
		}), "", 200, 1},
		{"an unknown refund", stripe.ConnectPath, event(func(_, object map[string]any) {
			object["object"], object["metadata"] = "refund", map[string]string{"tenant": o.erfurt.ID.String(), "refund": id.New().String()}
		}), "", 200, 1},
		{"299 seconds old, by the old secret", stripe.ConnectPath, plain, sign(plain, oldSecret, -299*time.Second), 200, 1},
		{"the same again", stripe.ConnectPath, plain, sign(plain, newSecret, 0), 200, 0},
	} {
		before := o.events("1 = 1")
		signature := c.signature
		if signature == "" && c.want != 400 {
			signature = sign(c.body, newSecret, 0)
		}
		if got := o.post(c.path, c.body, signature); got != c.want {
			t.Errorf("event with %s: %d, want %d", c.what, got, c.want)
		}
		if got := o.events("1 = 1") - before; got != c.stored {
			t.Errorf("event with %s: %d stored, want %d", c.what, got, c.stored)
		}
	}
	if n := o.events("due_at IS NOT NULL"); n != 0 {
		t.Errorf("%d events wait, want none", n)
	}
	o.wantState("after all that nobody paid", txID, payment.Initial)
}

func TestPart_AttemptsDoNotOutliveIdempotencyKeys(t *testing.T) {
	t.Parallel()
	probe := run.App{Name: "payment", Migrations: []db.Set{payment.Migrations(), stripe.Migrations()}}
	probe.Open = func(ctx context.Context, h *run.Host) (run.Unit, error) {
		_, err := stripe.Part().Open(ctx, h, nil)
		if err == nil || !strings.Contains(err.Error(), "session_time") {
			t.Errorf("Open with attempts of 24 hours = %v, want an error that names session_time", err)
		}
		return run.Unit{}, nil
	}
	runtest.Start(t, []run.App{probe}, runtest.Set("payment.stripe.secret_key", key), runtest.Set("payment.session_time", "24h"))
}

func TestPart_WithoutAKeyThereIsNoStripe(t *testing.T) {
	t.Parallel()
	e := runtest.Start(t, []run.App{payment.New(stripe.Part())})
	if got := e.Do(http.MethodPost, stripe.ConnectPath, "", "{}").Status; got != http.StatusNotFound {
		t.Errorf("POST %s = %d, want 404", stripe.ConnectPath, got)
	}
}
