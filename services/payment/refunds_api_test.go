package payment_test

import (
	"net/http"
	"testing"

	"basisdienste/platform/authn"
	"basisdienste/platform/page"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
)

func TestRefundsOverHTTP(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.settings(`{"refunds": {"four_eyes_above": 10}}`)
	c := g.claim("r-1")
	base := "/t/erfurt/payment/v1/transactions/" + c.id.String() + "/refunds"
	by := func(client string, scopes ...string) string {
		return g.Token(authn.Principal{Kind: authn.Client, ClientID: client, TenantID: g.erfurt.ID, Scopes: scopes})
	}
	treasury, second := by("treasury", payment.ScopeRefund, payment.ScopeRead), by("second", payment.ScopeRefund)
	ask := func(token, path string, body any, headers ...string) payment.RefundView {
		t.Helper()
		a := g.Do("POST", path, token, body, headers...)
		var r payment.RefundView
		if a.Status == http.StatusOK {
			a.JSON(t, &r)
		} else {
			t.Fatalf("POST %s %v = %d %s, want 200", path, body, a.Status, a.Body)
		}
		return r
	}
	refused := func(token, body string, status int, code string) {
		t.Helper()
		if a := g.Do("POST", base, token, body); a.Status != status || codeOf(t, a) != code {
			t.Errorf("POST refund %s = %d %s, want %d %s", body, a.Status, a.Body, status, code)
		}
	}
	refused(treasury, `{"amount":1}`, 409, "not_refundable")
	g.press(c.toProvider("card"), "act", "pay")
	c.wantStatus("paid", "PAYED")
	refused(by("reader", payment.ScopeRead), `{"amount":1}`, 403, "scope_missing")
	refused(treasury, `{"amount":0}`, 400, "invalid_amount")
	refused(treasury, `{"amount":0.001}`, 400, "invalid_value")
	refused(treasury, `{"amount":30.71}`, 409, "refund_above_balance")
	refused(treasury, `{"amount":1,"attempt_id":"x"}`, 409, "not_refundable")
	refused(treasury, `{"amount":1,"iban":"x"}`, 400, "unknown_field")

	first := ask(treasury, base, `{"amount":10.00,"note":"Gebühr erlassen"}`, "Idempotency-Key", "k-1")
	if first.State != payment.RefundSucceeded || first.Amount != 1000 || first.RequestedBy == "" {
		t.Errorf("refund = %+v, want 10.00 SUCCEEDED", first)
	}
	if again := ask(treasury, base, `{"amount":10.00,"note":"Gebühr erlassen"}`, "Idempotency-Key", "k-1"); again.ID != first.ID {
		t.Errorf("the same again = %s, want %s", again.ID, first.ID)
	}
	large := ask(treasury, base, `{"amount":20.70}`)
	if large.State != payment.RefundWaiting {
		t.Errorf("refund above the limit = %s, want WAITING", large.State)
	}
	all := "/t/erfurt/payment/v1/refunds"
	waiting := func(query, token string) (answer page.List[payment.ListedRefundView]) {
		t.Helper()
		a := g.Do("GET", all+query, token, nil)
		if a.Status != http.StatusOK {
			t.Fatalf("GET %s = %d %s, want 200", all+query, a.Status, a.Body)
		}
		a.JSON(t, &answer)
		return answer
	}
	if list := waiting("?state=WAITING", treasury); len(list.Items) != 1 || list.Items[0].ID != large.ID || list.Items[0].Kassenzeichen != c.info().TransactionReference {
		t.Errorf("refunds that wait = %+v, want the one of %s with its Kassenzeichen", list.Items, large.ID)
	}
	newest := waiting("?limit=1", treasury)
	if rest := waiting("?limit=1&cursor="+newest.Next, treasury); len(rest.Items) != 1 || rest.Items[0].ID != first.ID || rest.Next != "" {
		t.Errorf("the second page of all refunds = %+v, want %s and no more", rest, first.ID)
	}
	for query, want := range map[string]string{"?state=waiting": "invalid_refund_state", "?limit=0": "invalid_limit", "?state=WAITING&cursor=" + newest.Next: "invalid_cursor"} {
		if a := g.Do("GET", all+query, treasury, nil); a.Status != 400 || codeOf(t, a) != want {
			t.Errorf("GET %s = %d %s, want 400 %s", all+query, a.Status, a.Body, want)
		}
	}
	if a := g.Do("GET", all, second, nil); a.Status != 403 || codeOf(t, a) != "scope_missing" {
		t.Errorf("GET %s without payment:read = %d %s, want 403 scope_missing", all, a.Status, a.Body)
	}
	if a := g.Do("POST", base+"/"+large.ID.String()+"/approve", treasury, nil); a.Status != 403 || codeOf(t, a) != "second_person_needed" {
		t.Errorf("approve by who asked = %d %s, want 403 second_person_needed", a.Status, a.Body)
	}
	if done := ask(second, base+"/"+large.ID.String()+"/approve", nil); done.State != payment.RefundSucceeded {
		t.Errorf("approved = %s, want SUCCEEDED", done.State)
	}
	refused(treasury, `{"amount":0.01}`, 409, "refund_above_balance")
	var list struct{ Items []payment.RefundView }
	g.Do("GET", base, treasury, nil).JSON(t, &list)
	if len(list.Items) != 2 || list.Items[1].DecidedBy == "" {
		t.Errorf("list = %+v, want two, the second with who approved", list.Items)
	}
	if got, want := c.happened(), "created started payed refund_requested refunded refund_requested refund_approved refunded"; got != want {
		t.Errorf("history = %q, want %q", got, want)
	}
	c.wantStatus("given back", "PAYED") // the standard has no word for it
	// Another tenant, or another transaction, does not find it.
	g.Tenant("jena", "160530000000", "16053000")
	if a := g.Do("GET", "/t/jena/payment/v1/transactions/"+c.id.String()+"/refunds", treasury, nil); a.Status != 403 {
		t.Errorf("refunds under another tenant = %d %s, want 403", a.Status, a.Body)
	}
	if a := g.Do("GET", "/t/jena/payment/v1/refunds", treasury, nil); a.Status != 403 {
		t.Errorf("refunds of another tenant = %d %s, want 403", a.Status, a.Body)
	}
	if list := waiting("?state=WAITING", treasury); len(list.Items) != 0 {
		t.Errorf("refunds that wait after the decision = %+v, want none", list.Items)
	}
	if a := g.Do("POST", base+"/"+c.id.String()+"/reject", second, nil); a.Status != 404 || codeOf(t, a) != "unknown_refund" {
		t.Errorf("reject an unknown refund = %d %s, want 404 unknown_refund", a.Status, a.Body)
	}
}

// The sandbox refuses an amount of which the cents are 13.
func TestRefundThatFailsAtTheProvider(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	c := g.claim("r-1")
	g.press(c.toProvider("card"), "act", "pay")
	c.wantStatus("paid", "PAYED")
	token := g.Token(authn.Principal{Kind: authn.Client, ClientID: "treasury", TenantID: g.erfurt.ID, Scopes: []string{payment.ScopeRefund}})
	var r payment.RefundView
	g.Do("POST", "/t/erfurt/payment/v1/transactions/"+c.id.String()+"/refunds", token, `{"amount":1.13}`).JSON(t, &r)
	if r.State != payment.RefundFailed || r.Reason != "account_closed" {
		t.Errorf("refund = %+v, want FAILED, account_closed", r)
	}
}

// codeOf is the code of an answer that refuses.
func codeOf(t *testing.T, a runtest.Answer) string {
	t.Helper()
	var p struct{ Code string }
	if a.Status >= 400 {
		a.JSON(t, &p)
	}
	return p.Code
}
