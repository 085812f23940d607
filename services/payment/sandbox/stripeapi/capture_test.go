package stripeapi

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// held makes a session whose payer authorised, and returns its PaymentIntent.
func (r *rig) held(number string) (session, intent string) {
	r.t.Helper()
	session = r.doc("POST", "/v1/checkout/sessions", sessionForm("payment_intent_data[capture_method]", "manual", "payment_method_types[1]", "link"))["id"].(string)
	r.pay(session, number)
	if number == Card3DS {
		if err := r.api.Authenticate(session, true); err != nil {
			r.t.Fatal(err)
		}
	}
	return session, r.doc("GET", "/v1/checkout/sessions/"+session, "")["payment_intent"].(string)
}

// wantIntent compares a PaymentIntent: its state, what can be captured and what was received.
func (r *rig) wantIntent(when, id, status string, capturable, received float64) {
	r.t.Helper()
	in := r.doc("GET", "/v1/payment_intents/"+id, "expand[]=latest_charge")
	if in["status"] != status || in["amount_capturable"] != capturable || in["amount_received"] != received || in["capture_method"] != "manual" {
		r.t.Errorf("%s: %v, capturable %v, received %v, %v; want %s, %v, %v, manual",
			when, in["status"], in["amount_capturable"], in["amount_received"], in["capture_method"], status, capturable, received)
	}
	charge := in["latest_charge"].(doc)
	if got, want := charge["captured"], status == "succeeded"; got != want || charge["amount_captured"] != received || charge["paid"] != true {
		r.t.Errorf("%s: charge captured %v of %v, want %t of %v", when, got, charge["amount_captured"], want, received)
	}
	if got, want := charge["balance_transaction"] != nil, status == "succeeded"; got != want {
		r.t.Errorf("%s: charge has a balance transaction: %t, want %t", when, got, want)
	}
	if got, want := charge["refunded"], status == "canceled"; got != want {
		r.t.Errorf("%s: charge is refunded: %v, want %t", when, got, want)
	}
}

// happened lists the types of the events since it was asked last.
func (r *rig) happened() (types []string) {
	for _, e := range r.api.events {
		types = append(types, e.doc["type"].(string))
	}
	r.api.Forget()
	return types
}

func (r *rig) wantEvents(when string, want ...string) {
	r.t.Helper()
	if got := r.happened(); !slices.Equal(got, want) {
		r.t.Errorf("%s: told %v, want %v", when, got, want)
	}
}

func TestMoneyIsHeldUntilItIsDecided(t *testing.T) {
	t.Parallel()
	for _, number := range []string{CardOK, Card3DS} {
		r := newRig(t)
		_, captured := r.held(number)
		r.happened()
		session, released := r.held(CardOK)
		r.wantEvents("authorised", "payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated", "checkout.session.completed")
		_, forgotten := r.held(number)
		r.happened()
		if got := r.doc("GET", "/v1/checkout/sessions/"+session, ""); got["status"] != "complete" || got["payment_status"] != "unpaid" {
			t.Errorf("session = %v, %v; want it complete and unpaid", got["status"], got["payment_status"])
		}
		if sum := r.api.Taken(); sum != 0 {
			t.Errorf("%d cents were taken, want none", sum)
		}
		r.wantIntent("held", captured, "requires_capture", 3070, 0)
		r.doc("POST", "/v1/payment_intents/"+captured+"/capture", "")
		r.wantEvents("captured", "charge.captured", "payment_intent.succeeded")
		r.wantIntent("captured", captured, "succeeded", 0, 3070)
		r.doc("POST", "/v1/payment_intents/"+released+"/cancel", "cancellation_reason=abandoned")
		r.wantEvents("released", "charge.refunded", "payment_intent.canceled")
		r.wantIntent("released", released, "canceled", 0, 0)
		r.clock = r.clock.Add(7*24*time.Hour - time.Second)
		r.wantIntent("a second before the hold's end", forgotten, "requires_capture", 3070, 0)
		r.clock = r.clock.Add(time.Second)
		r.api.Settle()
		r.wantEvents("lapsed", "charge.expired", "charge.refunded", "payment_intent.canceled")
		r.wantIntent("lapsed", forgotten, "canceled", 0, 0)
		if sum := r.api.Taken(); sum != 3070 {
			t.Errorf("%d cents were taken, want 3070", sum)
		}
	}
}

func TestCapturesThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, held := r.held(CardOK)
	_, captured := r.held(CardOK)
	r.doc("POST", "/v1/payment_intents/"+captured+"/capture", "")
	_, released := r.held(CardOK)
	r.doc("POST", "/v1/payment_intents/"+released+"/cancel", "")
	plain := r.session()
	r.pay(plain, CardOK)
	paid := r.doc("GET", "/v1/checkout/sessions/"+plain, "")["payment_intent"].(string)
	waiting := r.session()
	r.pay(waiting, Card3DS)
	open := r.doc("GET", "/v1/checkout/sessions/"+waiting, "")["payment_intent"].(string)
	other := r.api.Connect()
	const unexpected = "payment_intent_unexpected_state"
	for _, c := range []struct {
		what, path, form string
		headers          []string
		status           int
		code             string
	}{
		{"capture again", captured + "/capture", "", nil, 400, unexpected},
		{"capture of what was released", released + "/capture", "", nil, 400, unexpected},
		{"capture of what was taken at once", paid + "/capture", "", nil, 400, unexpected},
		{"capture of what nobody authorised", open + "/capture", "", nil, 400, unexpected},
		{"cancel again", released + "/cancel", "", nil, 400, unexpected},
		{"cancel of what was captured", captured + "/cancel", "", nil, 400, unexpected},
		{"cancel of what belongs to an open session", open + "/cancel", "", nil, 400, unexpected},
		{"a reason that there is not", held + "/cancel", "cancellation_reason=x", nil, 400, ""},
		{"a parameter that there is not", held + "/capture", "amount=1", nil, 400, "parameter_unknown"},
		{"nothing there", "pi_x/capture", "", nil, 404, "resource_missing"},
		{"another account's", held + "/capture", "", []string{"Stripe-Account", other}, 404, "resource_missing"},
	} {
		d := r.ask("POST", "/v1/payment_intents/"+c.path, c.form, c.headers...)
		w := r.request("POST", "/v1/payment_intents/"+c.path, c.form, c.headers...)
		e, _ := d["error"].(doc)
		if code, _ := e["code"].(string); w.Code != c.status || code != c.code {
			t.Errorf("%s = %d %v, want %d %s", c.what, w.Code, e, c.status, c.code)
		}
	}
	r.wantIntent("after all refusals", held, "requires_capture", 3070, 0)
	for what, changes := range map[string][]string{
		"a debit that is to be held": {"payment_intent_data[capture_method]", "manual"},
		"another way to capture":     {"payment_intent_data[capture_method]", "later"},
	} {
		if w := r.request("POST", "/v1/checkout/sessions", sessionForm(changes...)); w.Code != http.StatusBadRequest {
			t.Errorf("%s = %d %s, want 400", what, w.Code, w.Body)
		}
	}
	if d := r.ask("POST", "/v1/refunds", "payment_intent="+held); d["error"] == nil {
		t.Errorf("refund of what is held = %v, want an error", d)
	}
}
