package webhooks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/authn"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/page"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/xbezahldienste"
)

const api = "/t/erfurt/payment/v1/webhooks"

// env is the running service payment with webhooks, and an administrator of Erfurt.
type env struct {
	*runtest.Env
	t      *testing.T
	erfurt tenantdir.Entry
	token  string
	router routers.Router
}

func start(t *testing.T, opts ...runtest.Option) *env {
	t.Helper()
	o := options{local: true, limit: tryTime, chance: func() float64 { return 0.5 }}
	e := &env{t: t, Env: runtest.Start(t, []run.App{payment.New(xbezahldienste.Part(), part(o))}, opts...)}
	e.erfurt = e.Tenant("erfurt", "160510000000")
	e.token = e.Token(authn.Principal{Kind: authn.Staff, TenantID: e.erfurt.ID, Roles: []string{authn.RoleTenantAdmin}})
	doc, err := openapi3.NewLoader().LoadFromFile("../../../contracts/openapi/payment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if e.router, err = legacy.NewRouter(doc); err != nil {
		t.Fatal(err)
	}
	return e
}

// call holds question and answer against the OpenAPI document.
func (e *env) call(method, path, token string, body any) runtest.Answer {
	e.t.Helper()
	a := e.Do(method, path, token, body)
	text, hasBody := body.(string)
	r, err := http.NewRequestWithContext(e.t.Context(), method, path, strings.NewReader(text))
	if err != nil {
		e.t.Fatal(err)
	}
	if hasBody {
		r.Header.Set("Content-Type", "application/json")
	}
	route, params, err := e.router.FindRoute(r)
	if err != nil {
		e.t.Fatalf("%s %s is not in the document: %v", method, path, err)
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route}
	if err := openapi3filter.ValidateRequest(e.t.Context(), in); a.Status < 300 && err != nil {
		e.t.Errorf("%s %s is answered although it breaks the document: %v", method, path, err)
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body))}
	if err := openapi3filter.ValidateResponse(e.t.Context(), out); err != nil {
		e.t.Errorf("%s %s: answer %d breaks the document: %v\n%s", method, path, a.Status, err, a.Body)
	}
	return a
}

func (e *env) ok(method, path string, body any, status int, dst any) {
	e.t.Helper()
	a := e.call(method, path, e.token, body)
	if a.Status != status {
		e.t.Fatalf("%s %s = %d %s, want %d", method, path, a.Status, a.Body, status)
	}
	if dst != nil {
		a.JSON(e.t, dst)
	}
}

// everyEvent has one of each type that can be asked for.
func everyEvent() []outbox.Event {
	of, at := id.New().String(), november
	return []outbox.Event{
		events.TransactionCreated{TransactionID: of, At: at},
		events.TransactionAuthorised{TransactionID: of, At: at},
		events.TransactionPayed{TransactionID: of, At: at},
		events.TransactionFailed{TransactionID: of, At: at},
		events.TransactionCanceled{TransactionID: of, At: at},
		events.TransactionExpired{TransactionID: of, At: at},
		events.RefundRequested{RefundID: of, TransactionID: of, At: at},
		events.RefundSucceeded{RefundID: of, TransactionID: of, At: at},
		events.RefundFailed{RefundID: of, TransactionID: of, At: at},
		events.DisputeChanged{DisputeID: "du_1", TransactionID: of, At: at},
		events.SettlementCompleted{SettlementID: "po_1", At: at},
	}
}

// Each type that can be asked for is heard: one of each through the broker, and one that a
// client made.
func TestAPI_EveryEventArrives(t *testing.T) {
	t.Parallel()
	e, r := start(t), newReceiver(t, nil)
	var made Created
	e.ok("POST", api, fmt.Sprintf(`{"url":%q,"description":"Kasse"}`, r.URL), http.StatusCreated, &made)
	var types []string
	for _, event := range everyEvent() {
		types = append(types, event.EventType())
		e.Tell("payment", e.erfurt.Tenant, event)
	}
	slices.Sort(types)
	if want := EventTypes(); !slices.Equal(types, want) {
		t.Fatalf("events told = %v, want every type: %v", types, want)
	}
	client := e.Token(authn.Principal{Kind: authn.Client, ClientID: "efa", TenantID: e.erfurt.ID, Scopes: []string{"post"}})
	a := e.Do("POST", "/xbezahldienste/paymenttransaction/efa/160510000000", client, `{"requestId":"r-1","requestTimestamp":"2026-11-23T09:30:00Z","currency":"EUR","grossAmount":30.70,
		"redirectUrl":"https://dienst.example/","items":[{"id":"1","reference":"BPA","description":"Ausweis","taxRate":0,"quantity":1,
		"totalNetAmount":30.70,"totalTaxAmount":0,"singleNetAmount":30.70,"singleTaxAmount":0}],
		"requestor":{"requestorType":"INDIVIDUAL","name":"Muster","firstName":"Anna","address":{"addressType":"POSTAL_ADDRESS","addressLine1":"Fischmarkt 1","city":"Erfurt","postalCode":"99084","countryCode":"DE"}}}`)
	if a.Status != http.StatusOK {
		t.Fatalf("POST = %d %s", a.Status, a.Body)
	}
	runtest.Eventually(t, "every event arrives", func() bool { return len(r.all()) == len(types)+1 })
	key, err := standardwebhooks.NewWebhook(made.Secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.all() {
		if err := key.Verify(m.body, m.header); err != nil || !verify(made.Secret, m) {
			t.Errorf("%s with %v: the library says %v, ours %t; want it verified", m.body, m.header, err, verify(made.Secret, m))
		}
		if bytes.Contains(m.body, []byte("Muster")) || bytes.Contains(m.body, []byte("Fischmarkt")) {
			t.Errorf("%s: holds personal data", m.body)
		}
	}
}

func TestAPI_Life(t *testing.T) {
	t.Parallel()
	e, r := start(t), newReceiver(t, status(http.StatusInternalServerError))
	var made Created
	e.ok("POST", api, fmt.Sprintf(`{"url":%q,"events":["payment.transaction.payed.v1"],"enabled":true}`, r.URL), http.StatusCreated, &made)
	one := api + "/" + made.ID.String()
	var v View
	e.ok("GET", one, nil, http.StatusOK, &v)
	if v.URL != r.URL || !v.Enabled || !slices.Equal(v.Events, []string{"payment.transaction.payed.v1"}) {
		t.Errorf("GET = %+v, want what was registered", v)
	}
	if a := e.call("GET", api, e.token, nil); bytes.Contains(a.Body, []byte("whsec_")) || !bytes.Contains(a.Body, []byte(made.ID)) {
		t.Errorf("GET %s = %s, want the webhook without its secret", api, a.Body)
	}
	e.ok("PATCH", one, `{"events":[],"description":"Kämmerei"}`, http.StatusOK, &v)
	if v.Description != "Kämmerei" || len(v.Events) != 0 || v.URL != r.URL {
		t.Errorf("PATCH = %+v, want description and events changed", v)
	}
	var rotated Created
	e.ok("POST", one+"/rotate", nil, http.StatusCreated, &rotated)
	if rotated.Secret == made.Secret || rotated.RotatingUntil == nil {
		t.Errorf("rotate = %+v, want another secret", rotated)
	}

	var tests []DeliveryView
	for range 3 {
		var d DeliveryView
		e.ok("POST", one+"/test", nil, http.StatusAccepted, &d)
		tests = append(tests, d)
	}
	log := one + "/deliveries"
	runtest.Eventually(t, "the first tries fail", func() bool {
		var list page.List[DeliveryView]
		e.ok("GET", log+"?state=pending", nil, http.StatusOK, &list)
		return len(list.Items) == 3 && !slices.ContainsFunc(list.Items, func(d DeliveryView) bool { return len(d.Tries) == 0 || d.Tries[0].Status != 500 })
	})
	var list page.List[DeliveryView]
	e.ok("GET", log+"?limit=2", nil, http.StatusOK, &list)
	if len(list.Items) != 2 || list.Items[0].ID != tests[2].ID || list.Next == "" {
		t.Errorf("first page = %+v, want the newest two and a cursor", list)
	}
	cursor := list.Next
	list = page.List[DeliveryView]{}
	e.ok("GET", log+"?limit=2&cursor="+cursor, nil, http.StatusOK, &list)
	if len(list.Items) != 1 || list.Items[0].ID != tests[0].ID || list.Next != "" {
		t.Errorf("second page = %+v, want the oldest and no cursor", list)
	}
	if a := e.call("GET", log+"?state=failed&cursor="+cursor, e.token, nil); a.Status != http.StatusBadRequest {
		t.Errorf("a cursor of another list = %d, want 400", a.Status)
	}

	r.now(nil)
	before := len(r.ids())
	e.ok("POST", log+"/"+tests[0].ID.String()+"/replay", nil, http.StatusAccepted, nil)
	state := func(of id.ID, want State) bool {
		var d DeliveryView
		e.ok("GET", log+"/"+of.String(), nil, http.StatusOK, &d)
		return d.State == want
	}
	runtest.Eventually(t, "it is delivered", func() bool { return state(tests[0].ID, Delivered) })
	if got := r.ids()[before:]; !slices.Contains(got, tests[0].ID.String()) {
		t.Errorf("sent again = %v, want the id that it had: %s", got, tests[0].ID)
	}
	runtest.Eventually(t, "all are delivered", func() bool { return state(tests[1].ID, Delivered) && state(tests[2].ID, Delivered) })
	before = len(r.ids())
	var again Replayed
	since := url.QueryEscape(time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	e.ok("POST", one+"/replay?since="+since, nil, http.StatusAccepted, &again)
	if again.Deliveries != 0 {
		t.Errorf("replay of what failed = %d, want 0", again.Deliveries)
	}
	e.ok("POST", one+"/replay?state=delivered&since="+since, nil, http.StatusAccepted, &again)
	if again.Deliveries != 3 {
		t.Errorf("replay of what was delivered = %d, want 3", again.Deliveries)
	}
	runtest.Eventually(t, "all come again", func() bool { return len(r.ids()) == before+3 })

	e.ok("PATCH", one, `{"enabled":false}`, http.StatusOK, &v)
	if v.Enabled || v.DisabledReason != reasonByHand {
		t.Errorf("PATCH = %+v, want it disabled by hand", v)
	}
	for _, path := range []string{one + "/test", one + "/replay?since=" + since, log + "/" + tests[0].ID.String() + "/replay"} {
		if a := e.call("POST", path, e.token, nil); a.Status != http.StatusConflict || !bytes.Contains(a.Body, []byte("webhook_disabled")) {
			t.Errorf("POST %s = %d %s, want webhook_disabled", path, a.Status, a.Body)
		}
	}
	e.ok("DELETE", one, nil, http.StatusNoContent, nil)
	if a := e.call("GET", log+"/"+tests[0].ID.String(), e.token, nil); a.Status != http.StatusNotFound {
		t.Errorf("a delivery after DELETE = %d, want 404", a.Status)
	}
}

func TestAPI_BadInput(t *testing.T) {
	t.Parallel()
	e := start(t)
	jena := e.Tenant("jena")
	var made Created
	e.ok("POST", api, `{"url":"https://kasse.erfurt.example/"}`, http.StatusCreated, &made)
	for i := 1; i < maxEndpoints; i++ {
		e.ok("POST", api, fmt.Sprintf(`{"url":"https://kasse.erfurt.example/%d"}`, i), http.StatusCreated, nil)
	}
	one := api + "/" + made.ID.String()
	clerk := e.Token(authn.Principal{Kind: authn.Staff, TenantID: e.erfurt.ID, Roles: []string{authn.RoleClerk}})
	other := e.Token(authn.Principal{Kind: authn.Staff, TenantID: jena.ID, Roles: []string{authn.RoleTenantAdmin}})
	program := func(scope string) string {
		return e.Token(authn.Principal{Kind: authn.Client, ClientID: "c", TenantID: e.erfurt.ID, Scopes: []string{scope}})
	}
	for _, q := range []struct {
		name, method, path, token string
		body                      any
		status                    int
		code                      string
	}{
		{"nobody", "GET", api, "", nil, 401, "token_missing"},
		{"clerk", "GET", api, clerk, nil, 403, "role_missing"},
		{"program without scope", "GET", api, program("payment:read"), nil, 403, "scope_missing"},
		{"program", "GET", api, program(Scope), nil, 200, ""},
		{"another tenant", "GET", api, other, nil, 403, "wrong_tenant"},
		{"another tenant's webhook", "GET", "/t/jena/payment/v1/webhooks/" + made.ID.String(), other, nil, 404, "unknown_webhook"},
		{"one too many", "POST", api, e.token, `{"url":"https://kasse.erfurt.example/21"}`, 409, "too_many_webhooks"},
		{"no url", "POST", api, e.token, `{}`, 400, "invalid_url"},
		{"http", "POST", api, e.token, `{"url":"http://kasse.erfurt.example/"}`, 400, "invalid_url"},
		{"private address", "POST", api, e.token, `{"url":"https://192.168.0.1/"}`, 400, "address_refused"},
		{"unknown type", "POST", api, e.token, `{"url":"https://k.example/","events":["payment.transaction.paid.v1"]}`, 400, "invalid_webhook"},
		{"two types in one", "POST", api, e.token, `{"url":"https://k.example/","events":["payment.transaction.created.v1 payment.transaction.expired.v1"]}`, 400, "invalid_webhook"},
		{"somebody else's type", "POST", api, e.token, `{"url":"https://k.example/","events":["forms.application.accepted.v1"]}`, 400, "invalid_webhook"},
		{"long description", "POST", api, e.token, fmt.Sprintf(`{"url":"https://k.example/","description":%q}`, strings.Repeat("ä", 201)), 400, "invalid_webhook"},
		{"own secret", "POST", api, e.token, `{"url":"https://k.example/","secret":"whsec_x"}`, 400, "unknown_field"},
		{"no JSON", "POST", api, e.token, `{"url"`, 400, "invalid_json"},
		{"url of another", "PATCH", one, e.token, `{"url":"https://kasse.erfurt.example/1"}`, 409, "webhook_exists"},
		{"url to a private address", "PATCH", one, e.token, `{"url":"https://[fd00::1]/"}`, 400, "address_refused"},
		{"events to unknown ones", "PATCH", one, e.token, `{"events":["x"]}`, 400, "invalid_webhook"},
		{"description of two lines", "PATCH", one, e.token, `{"description":"a\nb"}`, 400, "invalid_webhook"},
		{"unknown webhook", "PATCH", api + "/" + id.New().String(), e.token, `{"enabled":true}`, 404, "unknown_webhook"},
		{"no id", "GET", api + "/17", e.token, nil, 404, "unknown_webhook"},
		{"delete unknown", "DELETE", api + "/" + id.New().String(), e.token, nil, 404, "unknown_webhook"},
		{"rotate unknown", "POST", api + "/" + id.New().String() + "/rotate", e.token, nil, 404, "unknown_webhook"},
		{"deliveries of unknown", "GET", api + "/" + id.New().String() + "/deliveries", e.token, nil, 404, "unknown_webhook"},
		{"state", "GET", one + "/deliveries?state=lost", e.token, nil, 400, "invalid_delivery_state"},
		{"limit", "GET", one + "/deliveries?limit=201", e.token, nil, 400, "invalid_limit"},
		{"cursor", "GET", one + "/deliveries?cursor=abc", e.token, nil, 400, "invalid_cursor"},
		{"unknown delivery", "GET", one + "/deliveries/" + id.New().String(), e.token, nil, 404, "unknown_delivery"},
		{"no id of a delivery", "GET", one + "/deliveries/17", e.token, nil, 404, "unknown_delivery"},
		{"replay unknown", "POST", one + "/deliveries/" + id.New().String() + "/replay", e.token, nil, 404, "unknown_delivery"},
		{"since when", "POST", one + "/replay", e.token, nil, 400, "invalid_since"},
		{"since then", "POST", one + "/replay?since=gestern", e.token, nil, 400, "invalid_since"},
		{"replay what is pending", "POST", one + "/replay?state=pending&since=2026-11-23T00:00:00Z", e.token, nil, 400, "invalid_delivery_state"},
	} {
		a := e.call(q.method, q.path, q.token, q.body)
		var p struct{ Code string }
		if a.Status >= 400 {
			a.JSON(t, &p)
		}
		if a.Status != q.status || p.Code != q.code {
			t.Errorf("%s: %s %s = %d %s, want %d %s", q.name, q.method, q.path, a.Status, p.Code, q.status, q.code)
		}
	}
}

// An installation that is no demonstration calls nobody on its own machine, whoever asks.
func TestPart_RefusesTheMachineItself(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	var s *Service
	o := options{limit: tryTime, chance: func() float64 { return 0 }, opened: func(opened *Service) { s = opened }}
	e := runtest.Start(t, []run.App{payment.New(part(o))})
	erfurt := e.Tenant("erfurt")
	ctx := runtest.Context(t, erfurt)
	if _, err := s.Create(ctx, CreateRequest{URL: r.URL}); err == nil {
		t.Error("Create with http to this machine = nil, want invalid_url")
	}
	made, err := s.Create(ctx, CreateRequest{URL: strings.Replace(strings.Replace(r.URL, "http:", "https:", 1), "127.0.0.1", "localhost", 1)})
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Test(ctx, NameRequest{ID: made.ID})
	if err != nil {
		t.Fatal(err)
	}
	runtest.Eventually(t, "the address is refused", func() bool { return refusedAt(ctx, s, made.ID, d.ID) })
	if n := len(r.all()); n != 0 {
		t.Errorf("%d requests came through, want none", n)
	}
}

func refusedAt(ctx context.Context, s *Service, of, message id.ID) bool {
	v, err := s.GetDelivery(ctx, DeliveryRequest{ID: of, Delivery: message})
	return err == nil && len(v.Tries) > 0 && v.Tries[0].Error == "address_refused"
}

// What happens right after an endpoint was created is told, although nobody listened before.
func TestAPI_JustCreated(t *testing.T) {
	t.Parallel()
	e := start(t)
	for range 10 {
		r := newReceiver(t, nil)
		e.ok("POST", api, fmt.Sprintf(`{"url":%q}`, r.URL), http.StatusCreated, nil)
		e.Tell("payment", e.erfurt.Tenant, events.TransactionPayed{TransactionID: id.New().String(), At: november})
		runtest.Eventually(t, "the event arrives", func() bool { return len(r.all()) == 1 })
	}
}
