package payment_test

import (
	"testing"

	"basisdienste/platform/authn"
	"basisdienste/services/payment"
)

// The municipality takes a claim back; what is paid already stays paid.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	token := g.Token(authn.Principal{Kind: authn.Client, ClientID: "fv", TenantID: g.erfurt.ID, Scopes: []string{payment.ScopeWrite}})
	open, begun, paid := g.claim("r-1"), g.claim("r-2"), g.claim("r-3")
	begun.toProvider("card")
	g.press(paid.toProvider("card"), "act", "close") // paid, and nobody has told us
	for _, q := range []struct {
		name   string
		c      *claim
		status int
		code   string
		after  string
	}{
		{"open", open, 200, "", "CANCELED"},
		{"again", open, 200, "", "CANCELED"},
		{"at the provider", begun, 200, "", "CANCELED"},
		{"paid", paid, 409, "transaction_final", "PAYED"},
	} {
		a := g.Do("POST", api+"/"+q.c.id.String()+"/withdraw", token, nil)
		if a.Status != q.status || codeOf(t, a) != q.code {
			t.Errorf("withdraw %s = %d %s, want %d %s", q.name, a.Status, a.Body, q.status, q.code)
		}
		q.c.wantStatus(q.name, q.after)
	}
	if got, want := begun.happened(), "created started attempt_ended withdrawn"; got != want {
		t.Errorf("history = %q, want %q", got, want)
	}
	if info := begun.info(); info.StatusDetail != payment.ReasonService {
		t.Errorf("statusDetail = %q, want %q", info.StatusDetail, payment.ReasonService)
	}
	reader := g.Token(authn.Principal{Kind: authn.Client, ClientID: "r", TenantID: g.erfurt.ID, Scopes: []string{payment.ScopeRead}})
	if a := g.Do("POST", api+"/"+open.id.String()+"/withdraw", reader, nil); a.Status != 403 {
		t.Errorf("withdraw with scope payment:read = %d %s, want 403", a.Status, a.Body)
	}
}
