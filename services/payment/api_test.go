package payment_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"basisdienste/platform/authn"
	"basisdienste/platform/id"
	"basisdienste/platform/page"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenant"
	"basisdienste/services/payment"
)

const api = "/t/erfurt/payment/v1/transactions"

// own calls our own API and holds question and answer against its OpenAPI document.
func (g *rig) own(router routers.Router, path, token string) runtest.Answer {
	g.t.Helper()
	a := g.Do("GET", path, token, nil)
	r, err := http.NewRequestWithContext(g.t.Context(), "GET", path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	route, params, err := router.FindRoute(r)
	if err != nil {
		g.t.Fatalf("GET %s is not in the document: %v", path, err)
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route}
	if err := openapi3filter.ValidateRequest(g.t.Context(), in); a.Status == http.StatusOK && err != nil {
		g.t.Errorf("GET %s is answered although it breaks the document: %v", path, err)
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body))}
	if err := openapi3filter.ValidateResponse(g.t.Context(), out); err != nil {
		g.t.Errorf("GET %s: answer %d breaks the document: %v\n%s", path, a.Status, err, a.Body)
	}
	return a
}

func document(t *testing.T) routers.Router {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../contracts/openapi/payment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

func TestOwnAPI(t *testing.T) {
	t.Parallel()
	g, router := newRig(t), document(t)
	began := g.clock()
	claims := make([]*claim, 5)
	for i := range claims {
		claims[i] = g.claim(fmt.Sprintf("r-%d", i))
		g.pass(time.Minute)
	}
	g.press(claims[1].toProvider("card"), "act", "pay")
	list := func(query string) (found string, next string) {
		a := g.own(router, api+query, g.token)
		if a.Status != http.StatusOK {
			t.Fatalf("GET %s = %d %s, want 200", query, a.Status, a.Body)
		}
		var l page.List[payment.TransactionView]
		a.JSON(t, &l)
		for _, v := range l.Items {
			found += strings.TrimPrefix(v.RequestID, "r-")
		}
		return found, l.Next
	}
	at := func(minutes int) string {
		return url.QueryEscape(began.Add(time.Duration(minutes) * time.Minute).UTC().Format(time.RFC3339Nano))
	}
	for query, want := range map[string]string{
		"": "43210", "?state=PAYED": "1", "?state=INITIAL": "4320", "?state=EXPIRED": "",
		"?kassenzeichen=" + claims[2].info().TransactionReference: "2", "?request_id=r-3": "3",
		"?from=" + at(1) + "&to=" + at(3): "21",
	} {
		if got, _ := list(query); got != want {
			t.Errorf("list%s = %q, want %q", query, got, want)
		}
	}
	first, next := list("?limit=2")
	second, next2 := list("?limit=2&cursor=" + next)
	third, end := list("?limit=2&cursor=" + next2)
	if got := first + " " + second + " " + third; got != "43 21 0" || end != "" {
		t.Errorf("pages = %q, then %q; want \"43 21 0\" and no more", got, end)
	}
	var one payment.TransactionView
	g.own(router, api+"/"+claims[1].id.String(), g.token).JSON(t, &one)
	if one.State != payment.Payed || one.Status != payment.Payed || one.PayURL != claims[1].pay || len(one.Items) != 2 || one.Amount != 3070 {
		t.Errorf("GET one = %+v, want it PAYED with two items and its pay page", one)
	}
	if a := g.own(router, api+"/"+claims[1].id.String()+"/events", g.token); a.Status != 200 || !strings.Contains(string(a.Body), `"actor":"client:`) {
		t.Errorf("GET events = %d %s, want 200 with who created it", a.Status, a.Body)
	}
}

func TestOwnAPIRefusals(t *testing.T) {
	t.Parallel()
	g, router := newRig(t), document(t)
	jena := g.Tenant("jena", "160530000000")
	c := g.claim("r-1")
	staff := func(role string) string {
		return g.Token(authn.Principal{Kind: authn.Staff, TenantID: g.erfurt.ID, Roles: []string{role}})
	}
	other := g.Token(authn.Principal{Kind: authn.Client, ClientID: "x", TenantID: jena.ID, Scopes: []string{payment.ScopeRead}})
	for _, q := range []struct {
		name, path, token string
		status            int
		code              string
	}{
		{"clerk", api, staff(authn.RoleClerk), 200, ""},
		{"tenant admin", api, staff(authn.RoleTenantAdmin), 200, ""},
		{"no token", api, "", 401, "token_missing"},
		{"citizen", api, g.Token(authn.Principal{Kind: authn.Citizen, TenantID: g.erfurt.ID, Scopes: []string{payment.ScopeRead}}), 403, "role_missing"},
		{"scope missing", api, g.Token(authn.Principal{Kind: authn.Client, TenantID: g.erfurt.ID, Scopes: []string{"read"}}), 403, "scope_missing"},
		{"client of another tenant", api, other, 403, "wrong_tenant"},
		{"operator's staff", api, g.Token(authn.Principal{Kind: authn.Staff, TenantID: tenant.Operator, Roles: []string{authn.RoleOperator}}), 403, "role_missing"},
		{"unknown tenant", "/t/nowhere/payment/v1/transactions", other, 404, "unknown_tenant"},
		{"another tenant's transaction", "/t/jena/payment/v1/transactions/" + c.id.String(), other, 404, "unknown_transaction"},
		{"another tenant's history", "/t/jena/payment/v1/transactions/" + c.id.String() + "/events", other, 404, "unknown_transaction"},
		{"unknown transaction", api + "/" + id.New().String(), g.token, 404, "unknown_transaction"},
		{"no id", api + "/17", g.token, 404, "unknown_transaction"},
		{"limit", api + "?limit=0", g.token, 400, "invalid_limit"},
		{"state", api + "?state=REFUNDED", g.token, 400, "invalid_state"},
		{"time", api + "?from=gestern", g.token, 400, "invalid_time"},
		{"cursor", api + "?cursor=abc", g.token, 400, "invalid_cursor"},
	} {
		a := g.own(router, q.path, q.token)
		var p struct{ Code string }
		if a.Status >= 400 {
			a.JSON(t, &p)
		}
		if a.Status != q.status || p.Code != q.code {
			t.Errorf("%s: GET %s = %d %s, want %d %s", q.name, q.path, a.Status, p.Code, q.status, q.code)
		}
	}
}

func TestSeed(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for range 2 { // a second start finds everything as it was
		demo := map[string]any{}
		if err := g.seed(t.Context(), demo); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint(map[string]string{"base_url": g.URL + "/xbezahldienste", "originator_id": "demo-onlinedienst", "end_point_id": "160510000000"})
		if got := fmt.Sprint(demo["payment"]); got != want {
			t.Errorf("demo.json payment = %s, want %s", got, want)
		}
	}
}
