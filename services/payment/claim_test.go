package payment_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/idem"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
)

func (g *rig) writer() string {
	return g.Token(authn.Principal{Kind: authn.Client, ClientID: "fv", TenantID: g.erfurt.ID, Scopes: []string{payment.ScopeWrite, payment.ScopeRead}})
}

func viewOf(t *testing.T, a runtest.Answer) (v payment.TransactionView) {
	t.Helper()
	if a.Status != http.StatusCreated && a.Status != http.StatusOK {
		t.Fatalf("answer = %d %s, want a transaction", a.Status, a.Body)
	}
	a.JSON(t, &v)
	return v
}

// A municipality asks by itself; the payer pays by the link, however late before the end.
func TestClaim_OfTheMunicipality(t *testing.T) {
	t.Parallel()
	g, router := newRig(t), document(t)
	due := g.clock().AddDate(0, 2, 0).Format(time.DateOnly)
	body := `{"amount":25.00,"purpose":"Hundesteuer","due_on":"` + due + `","metadata":{"case":"47/11"}}`
	writer := g.writer()
	made := viewOf(t, g.Do("POST", api, writer, body, idem.Header, "k1"))
	again := viewOf(t, g.Do("POST", api, writer, body, idem.Header, "k1"))
	if again.ID != made.ID || again.PayURL != made.PayURL {
		t.Errorf("the same request again made %s at %s, want %s at %s", again.ID, again.PayURL, made.ID, made.PayURL)
	}
	if a := g.own(router, api+"/"+made.ID.String(), g.token); a.Status != http.StatusOK {
		t.Errorf("GET = %d %s", a.Status, a.Body)
	}
	got := viewOf(t, g.own(router, api+"/"+made.ID.String(), g.writer()))
	if got.DueOn != due || !maps.Equal(got.Metadata, payment.Metadata{"case": "47/11"}) || got.OriginatorID != payment.OwnOriginator || len(got.Items) != 1 ||
		got.Kassenzeichen == "" || got.Amount != 25_00 || got.ExpiresAt.Before(g.clock().AddDate(0, 2, 13)) {
		t.Errorf("the transaction is %+v", got)
	}
	page := g.browse(got.PayURL)
	if text := string(page.Body); !strings.Contains(text, "Zu zahlen bis") || strings.Contains(text, "/cancel") || strings.Contains(text, "Zurück zum") {
		t.Errorf("the pay page lacks the due date, or offers to cancel or to go back:\n%s", text)
	}
	if a := g.press(got.PayURL+"/cancel", "x", "y"); a.Status != http.StatusConflict {
		t.Errorf("the payer's cancel = %d %s, want 409", a.Status, a.Body)
	}
	g.pass(45 * 24 * time.Hour)
	session := g.wantRedirect("start", g.press(got.PayURL, "offer", "card"), "http")
	g.press(session, "act", "cancel") // at the provider: that ends the attempt alone
	if v := viewOf(t, g.own(router, api+"/"+made.ID.String(), g.token)); v.State != payment.Initial {
		t.Fatalf("after the payer broke off at the provider it is %s, want INITIAL", v.State)
	}
	session = g.wantRedirect("start again", g.press(got.PayURL, "offer", "card"), "http")
	g.press(session, "act", "pay")
	end := g.browse(got.PayURL + "/return")
	g.wantRedirect("return without a service behind it", end, strings.TrimPrefix(got.PayURL, g.URL))
	if text := string(g.browse(got.PayURL).Body); !strings.Contains(text, "Ihre Zahlung ist angekommen") || strings.Contains(text, `href=""`) {
		t.Errorf("the result page:\n%s", text)
	}
	for query, want := range map[string]int{
		"?originator_id=own": 1, "?originator_id=bewohnerparken": 0, "?method=CREDITCARD": 1, "?method=PAYPAL": 0,
		"?min_amount=25": 1, "?min_amount=25.01": 0, "?max_amount=25": 1, "?max_amount=24.99": 0,
	} {
		var l struct{ Items []json.RawMessage }
		g.own(router, api+query, g.token).JSON(t, &l)
		if len(l.Items) != want {
			t.Errorf("list%s has %d, want %d", query, len(l.Items), want)
		}
	}
	foreign := g.Do("GET", "/xbezahldienste/paymenttransaction/own/160510000000/"+made.ID.String(), g.token, nil)
	if foreign.Status != http.StatusNotFound {
		t.Errorf("XBezahldienste's GET of what it has no words for = %d %s, want 404", foreign.Status, foreign.Body)
	}
}

func TestClaim_Refusals(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	item := `{"id":"1","reference":"r","tax_rate":"19","quantity":1,"single_net":10,"single_tax":1.9,"total_net":10,"total_tax":1.9}`
	for _, q := range []struct{ name, body, code, field string }{
		{"nothing to pay", `{"amount":0,"purpose":"x"}`, "claim_invalid", "amount"},
		{"too much", `{"amount":1000000,"purpose":"x"}`, "claim_invalid", "amount"},
		{"no words for the payer", `{"amount":1}`, "claim_invalid", "description"},
		{"long purpose", `{"amount":1,"purpose":"` + strings.Repeat("x", 28) + `"}`, "claim_invalid", "purpose"},
		{"control character", `{"amount":1,"purpose":"a\nb"}`, "claim_invalid", "purpose"},
		{"no day", `{"amount":1,"purpose":"x","due_on":"2026-02-30"}`, "claim_invalid", "due_on"},
		{"past", `{"amount":1,"purpose":"x","due_on":"2020-01-01"}`, "claim_invalid", "due_on"},
		{"far", `{"amount":1,"purpose":"x","due_on":"2090-01-01"}`, "claim_invalid", "due_on"},
		{"another's key", `{"amount":1,"purpose":"x","end_point_id":"160530000000"}`, "claim_invalid", "end_point_id"},
		{"script", `{"amount":1,"purpose":"x","redirect_url":"javascript:alert(1)"}`, "invalid_redirect_url", "/redirectUrl"},
		{"metadata", `{"amount":1,"purpose":"x","metadata":{"` + strings.Repeat("k", 31) + `":"v"}}`, "invalid_metadata", "metadata"},
		{"tax rate", `{"amount":11.9,"purpose":"x","items":[` + strings.Replace(item, `"19"`, `"viel"`, 1) + `]}`, "claim_invalid", "items/0/tax_rate"},
		{"quantity", `{"amount":11.9,"purpose":"x","items":[` + strings.Replace(item, `"quantity":1`, `"quantity":0`, 1) + `]}`, "claim_invalid", "items/0/quantity"},
		{"below zero", `{"amount":11.9,"purpose":"x","items":[` + strings.Replace(item, `"total_tax":1.9`, `"total_tax":-1.9`, 1) + `]}`, "claim_invalid", "items/0/total_net"},
		{"sums", `{"amount":12,"purpose":"x","items":[` + item + `]}`, "calculation_error", ""},
		{"both booking data", `{"amount":11.9,"purpose":"x","booking_data":{"a":"b"},"items":[` + item + `]}`, "claim_invalid", "booking_data"},
		{"unknown field", `{"amount":1,"purpose":"x","betrag":1}`, "unknown_field", "betrag"},
	} {
		a := g.Do("POST", api, g.writer(), q.body)
		if a.Status != http.StatusBadRequest || codeOf(t, a) != q.code || !strings.Contains(string(a.Body), q.field) || strings.HasPrefix(q.code, "claim") && !strings.Contains(string(a.Body), `"/`+q.field+`"`) {
			t.Errorf("%s: POST %s = %d %s, want 400 %s at %q", q.name, q.body, a.Status, a.Body, q.code, q.field)
		}
	}
	good := `{"amount":11.9,"purpose":"x","items":[` + item + `]}`
	if a := g.Do("POST", api, g.token, good); a.Status != http.StatusForbidden {
		t.Errorf("POST with scope payment:read = %d %s, want 403", a.Status, a.Body)
	}
	jena := g.Tenant("jena", "160530000000")
	if a := g.Do("POST", api, g.Token(authn.Principal{Kind: authn.Client, TenantID: jena.ID, Scopes: []string{payment.ScopeWrite}}), good); a.Status != http.StatusForbidden {
		t.Errorf("POST for another municipality = %d %s, want 403", a.Status, a.Body)
	}
	if got := g.Do("GET", api, g.token, nil); strings.Contains(string(got.Body), `"id"`) {
		t.Errorf("refused requests left %s", got.Body)
	}
}
