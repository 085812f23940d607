package stripe_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/services/payment"
	"basisdienste/services/payment/sandbox/stripeapi"
	"basisdienste/services/payment/stripe"
)

// held is a session whose payer authorised.
func (o *office) held(t *testing.T) string {
	t.Helper()
	c := o.checkout()
	c.Hold = true
	s, err := o.gateway.Create(o.ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Pay(s.ID); err != nil {
		t.Fatal(err)
	}
	return s.ID
}

// Stripe keeps its own failures under the key for a day; neither capture nor release is stopped by that.
func TestCapture_AKeyThatIsStuckStopsNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]stripeapi.Fault{"nothing was done": stripeapi.Stuck, "all was done": stripeapi.StuckAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			taken, released := o.held(t), o.held(t)
			o.api.Fail("/capture", fault, 1)
			o.api.Fail("/cancel", fault, 1)
			if got, err := o.gateway.Capture(o.ctx, taken); err == nil {
				t.Errorf("Capture at a Stripe that fails = %+v, want an error", got)
			}
			if got, err := o.gateway.End(o.ctx, released); err == nil {
				t.Errorf("End at a Stripe that fails = %+v, want an error", got)
			}
			for range 2 {
				if got, err := o.gateway.Capture(o.ctx, taken); err != nil || got.State != payment.SessionPaid {
					t.Errorf("Capture again = %+v, %v; want it paid", got, err)
				}
				if got, err := o.gateway.End(o.ctx, released); err != nil || got.State != payment.SessionEnded {
					t.Errorf("End again = %+v, %v; want it ended", got, err)
				}
			}
			if got := o.Taken(); got != 30_70 {
				t.Errorf("Stripe took %s, want 30.70", got)
			}
		})
	}
}

func TestCapture_AHoldLapses(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	s := o.held(t)
	o.Pass(7 * 24 * time.Hour)
	for name, ask := range map[string]func() (payment.Session, error){
		"Get":     func() (payment.Session, error) { return o.gateway.Get(o.ctx, s) },
		"Capture": func() (payment.Session, error) { return o.gateway.Capture(o.ctx, s) },
		"End":     func() (payment.Session, error) { return o.gateway.End(o.ctx, s) },
	} {
		if got, err := ask(); err != nil || got.State != payment.SessionEnded {
			t.Errorf("%s after seven days = %s, %v; want ended", name, got.State, err)
		}
	}
}

// Whether a session of captured money ever says that it is paid does not matter.
func TestCapture_ThePaymentIntentCounts(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]payment.SessionState{
		"requires_capture": payment.SessionAuthorised, "succeeded": payment.SessionPaid, "canceled": payment.SessionEnded,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"id":"cs_1","object":"checkout.session","status":"complete","payment_status":"unpaid","amount_total":3070,"currency":"eur",
				"payment_intent":{"id":"pi_1","object":"payment_intent","capture_method":"manual","status":%q,"amount":3070,"amount_capturable":3070,
				"amount_received":3070,"currency":"eur"}}`, status)
		}))
		t.Cleanup(server.Close)
		o := newOffice(t)
		if got, err := stripe.NewGateway(config(server.URL), o.Now).Get(o.ctx, o.account+"/cs_1"); err != nil || got.State != want {
			t.Errorf("Get of a complete, unpaid session whose payment is %s = %s, %v; want %s", status, got.State, err, want)
		}
	}
}

func TestCapture_OnlyCardsAreHeld(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, method := range []payment.Method{payment.PayPal, payment.Other} {
		c := o.checkout()
		c.Method, c.Detail, c.Hold = method, "SEPA", true
		if got, err := o.gateway.Create(o.ctx, c); err == nil {
			t.Errorf("Create of a hold by %s = %+v, want an error", method, got)
		}
	}
}

func (o *town) held(request string) (txID id.ID, session string) {
	o.t.Helper()
	t, err := o.service.Create(o.ctx, payment.Order{
		OriginatorID: "standgenehmigung", EndPointID: "160510000000", RequestID: request, Amount: 30_70, Currency: "EUR", Description: "Stand",
		Items: []payment.Item{{ID: "1", Quantity: 1, SingleNet: 30_70, TotalNet: 30_70, TaxRate: "0"}}, Delayed: true,
	})
	if err != nil {
		o.t.Fatalf("Create: %v", err)
	}
	session = o.start(t.ID, "card")
	o.pay(session, stripeapi.CardOK)
	return t.ID, session
}

func (o *town) wantEvent(when string, txID id.ID, want string) {
	o.t.Helper()
	list, err := o.service.History(o.ctx, txID)
	if err != nil || list[len(list)-1].What != want {
		o.t.Errorf("%s: history ends with %+v, %v; want %s", when, list[len(list)-1], err, want)
	}
}

// What Stripe tells is enough: of the hold, and of a capture whose answer was lost.
func TestCapture_IsFoundByEvents(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	captured, _ := o.held("r-1")
	released, _ := o.held("r-2")
	o.deliver(stripeapi.Delivery{Shuffle: rand.New(rand.NewPCG(1, 2)), Times: 2})
	for _, txID := range []id.ID{captured, released} {
		o.wantState("the money is held", txID, payment.Initial)
		o.wantEvent("the money is held", txID, "authorised")
	}
	o.api.Fail("/capture", stripeapi.LoseAnswer, 1)
	if got, err := o.service.Capture(o.ctx, captured); !fault.Is(err, "provider_unavailable") {
		t.Errorf("Capture without an answer = %s, %v; want provider_unavailable", got.State, err)
	}
	if got, err := o.service.Withdraw(o.ctx, released); err != nil || got.State != payment.Canceled {
		t.Errorf("Withdraw = %s, %v; want CANCELED", got.State, err)
	}
	o.deliver(stripeapi.Delivery{Shuffle: rand.New(rand.NewPCG(3, 4)), Times: 2})
	o.wantState("captured", captured, payment.Payed)
	o.wantState("released", released, payment.Canceled)
	if got := o.api.Taken(); got != 30_70 {
		t.Errorf("Stripe took %d cents, want 3070", got)
	}
	if n := o.events("due_at IS NOT NULL"); n != 0 {
		t.Errorf("%d events wait, want none", n)
	}
}
