package stripe_test

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"basisdienste/platform/authn"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/sandbox/stripeapi"
	"basisdienste/services/payment/stripe"
)

func (o *town) admin(e tenantdir.Entry, role string) string {
	return o.Token(authn.Principal{Kind: authn.Staff, Subject: "a", TenantID: e.ID, Roles: []string{role}})
}

const goOn = `{"return_url":"https://basisdienste.example/t/erfurt/console/"}`

func TestAccounts_AMunicipalityOpensItsAccountAndTakesMoney(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]runtest.Option{"sqlite": nil, "postgres": {runtest.Postgres()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newTown(t, options...)
			spec := runtest.LoadSpec(t, "../../../contracts/openapi/payment-stripe.yaml")
			weimar := o.Put(withAccount(o.Tenant("weimar", "160550000000"), ""))
			const path = "/t/weimar/payment/v1/stripe/account"
			token := o.admin(weimar, authn.RoleTenantAdmin)
			ask := func(method, path, token string, body any, want int, code string) runtest.Answer {
				t.Helper()
				a := o.Do(method, path, token, body)
				spec.Check(t, method, path, a)
				if a.Status != want || !strings.Contains(string(a.Body), code) {
					t.Errorf("%s %s = %d %s, want %d %s", method, path, a.Status, a.Body, want, code)
				}
				return a
			}
			ask("GET", path, token, nil, http.StatusNotFound, "no_stripe_account")
			for _, url := range []string{"", "x", "ftp://a.example/", "https://u@a.example/"} {
				ask("POST", path, token, map[string]string{"return_url": url}, http.StatusBadRequest, "invalid_return_url")
			}
			ask("POST", path, o.admin(weimar, authn.RoleClerk), goOn, http.StatusForbidden, "")
			ask("POST", path, o.admin(o.erfurt, authn.RoleTenantAdmin), goOn, http.StatusForbidden, "")
			ask("GET", path, "", nil, http.StatusUnauthorized, "")
			o.api.Fail("POST /v1/accounts", stripeapi.Refuse, 1)
			ask("POST", path, token, goOn, http.StatusServiceUnavailable, "stripe_unavailable")

			var wg sync.WaitGroup
			var mu sync.Mutex
			accounts, links := map[string]bool{}, map[string]bool{}
			for range 4 {
				wg.Go(func() {
					var v stripe.OpenView
					a := o.Do("POST", path, token, goOn)
					a.JSON(t, &v)
					mu.Lock()
					defer mu.Unlock()
					accounts[v.Account], links[v.URL] = true, true
				})
			}
			wg.Wait()
			if len(accounts) != 1 || len(links) != 4 {
				t.Fatalf("asked four times at once: accounts %v, links %v; want one account, four links", accounts, links)
			}
			ask("POST", path, token, goOn, http.StatusOK, "acct_")
			var v stripe.AccountView
			ask("GET", path, token, nil, http.StatusOK, "external_account").JSON(t, &v)
			if v.ChargesEnabled || v.PayoutsEnabled || v.DetailsSubmitted || !accounts[v.Account] {
				t.Errorf("a new account = %+v, want nothing enabled", v)
			}
			o.api.Onboard(v.Account)
			v = stripe.AccountView{}
			ask("GET", path, token, nil, http.StatusOK, "acct_").JSON(t, &v)
			if !v.ChargesEnabled || !v.PayoutsEnabled || len(v.Requirements.CurrentlyDue) != 0 {
				t.Errorf("an account whose owner told all = %+v, want it enabled", v)
			}

			// It is the one to which payers pay, and by which events and payouts are found.
			o.ctx = runtest.Context(t, weimar)
			txID := o.claimAt("160550000000", "w-1")
			o.pay(o.start(txID, "card"), stripeapi.CardOK)
			payout := o.api.Payout(v.Account)
			o.deliver(stripeapi.Delivery{Shuffle: rand.New(rand.NewPCG(9, 9)), Times: 2})
			o.wantState("paid to the account that was made", txID, payment.Payed)
			o.wantSettled(weimar, payout)

			own := o.Put(withAccount(o.Tenant("suhl", "160540000000"), stripe.Own))
			for _, method := range []string{"GET", "POST"} {
				ask(method, "/t/suhl/payment/v1/stripe/account", o.admin(own, authn.RoleTenantAdmin), goOn, http.StatusConflict, "own_stripe_account")
			}
		})
	}
}

// A municipality whose key is its own needs no platform: its events come by the account's endpoint.
func TestAccounts_OfAMunicipalityAlone(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	o.erfurt = o.Put(withAccount(o.erfurt, stripe.Own))
	o.ctx = runtest.Context(t, o.erfurt)
	txID := o.claim("r-1")
	o.pay(o.start(txID, "card"), stripeapi.CardOK)
	payout := o.api.Payout("")
	o.deliver(stripeapi.Delivery{})
	o.wantState("paid to its own account", txID, payment.Payed)
	o.wantSettled(o.erfurt, payout)
}
