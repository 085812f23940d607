package xbezahldienste_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"basisdienste/platform/authn"
	"basisdienste/platform/id"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/xbezahldienste"
)

const (
	erfurtARS = "160510000000"
	erfurtAGS = "16051000"
	jenaARS   = "160530000000"
)

// env is a running payment service with the tenants erfurt and jena and a client of the
// operator that is switched on for erfurt.
type env struct {
	*runtest.Env
	erfurt, jena tenantdir.Entry
	token        string
	router       routers.Router
}

func start(t *testing.T) *env {
	t.Helper()
	e := &env{Env: runtest.Start(t, []run.App{payment.New(xbezahldienste.Part())}), router: contract(t)}
	e.erfurt = e.Tenant("erfurt", erfurtARS, erfurtAGS)
	e.jena = e.Tenant("jena", jenaARS)
	e.Grant("efa", e.erfurt)
	e.token = e.Token(authn.Principal{Kind: authn.Client, ClientID: "efa", Grants: "client:efa", Scopes: []string{"post", "read"}})
	return e
}

func contract(t *testing.T) routers.Router {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../../contracts/openapi/payment-xbezahldienste.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// call sends a request and fails the test when the answer breaks the contract. With
// validRequest the request is held against the contract too.
func (e *env) call(t *testing.T, method, path, token, body string, validRequest bool, headers ...string) runtest.Answer {
	t.Helper()
	var send any
	if body != "" {
		send = body
	}
	a := e.Do(method, path, token, send, headers...)
	r, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	route, params, err := e.router.FindRoute(r)
	if err != nil {
		t.Fatalf("%s %s is not in the contract: %v", method, path, err)
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route}
	if validRequest {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Fatalf("%s %s: the test's request breaks the contract: %v", method, path, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body))}
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("%s %s: answer %d breaks the contract: %v\n%s", method, path, a.Status, err, a.Body)
	}
	if a.Status >= 400 {
		e.systemResponse(t, a)
	}
	return a
}

// systemResponse holds an error against the schema also where the contract lists no such status.
func (e *env) systemResponse(t *testing.T, a runtest.Answer) xbezahldienste.SystemResponse {
	t.Helper()
	if got, want := a.Header.Get("Content-Type"), "application/problem+json"; got != want {
		t.Errorf("Content-Type of an error = %q, want %q", got, want)
	}
	doc, err := openapi3.NewLoader().LoadFromFile("../../../contracts/openapi/payment-xbezahldienste.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var v any
	a.JSON(t, &v)
	if err := doc.Components.Schemas["SystemResponse"].Value.VisitJSON(v); err != nil {
		t.Errorf("error %d breaks the schema: %v\n%s", a.Status, err, a.Body)
	}
	var s xbezahldienste.SystemResponse
	a.JSON(t, &s)
	if s.Status != a.Status {
		t.Errorf("status in the body = %d, want %d", s.Status, a.Status)
	}
	return s
}

func postPath(endPoint string) string {
	return "/xbezahldienste/paymenttransaction/bewohnerparken/" + endPoint
}

// request is a valid body; edits replace text in it.
func request(requestID string, edits ...string) string {
	body := fmt.Sprintf(`{
		"requestId": %q, "requestTimestamp": "2026-11-23T09:30:00Z", "currency": "EUR", "grossAmount": 30.70,
		"purpose": "Bewohnerparken", "description": "Bewohnerparkausweis Zone 3 für ein Jahr", "redirectUrl": "https://dienst.example/zurueck?x=1",
		"items": [{"id": "1", "reference": "BPA-2026", "description": "Bewohnerparkausweis", "taxRate": 0, "quantity": 1,
			"totalNetAmount": 30.70, "totalTaxAmount": 0, "singleNetAmount": 30.70, "singleTaxAmount": 0.00,
			"bookingData": {"haushaltstelle": "1.1200.1000", "objektnummer": "4711"}}],
		"requestor": {"requestorType": "INDIVIDUAL", "name": "Muster", "firstName": "Jördis", "address": {"addressType": "POSTAL_ADDRESS",
			"addressLine1": "Fischmarkt 1", "city": "Erfurt", "postalCode": "99084", "countryCode": "DE"}}
	}`, requestID)
	for i := 0; i+1 < len(edits); i += 2 {
		if !strings.Contains(body, edits[i]) {
			panic("request: nothing to replace: " + edits[i])
		}
		body = strings.Replace(body, edits[i], edits[i+1], 1)
	}
	return body
}

func TestCreateAndRead(t *testing.T) {
	t.Parallel()
	e := start(t)
	a := e.call(t, "POST", postPath(erfurtARS), e.token, request("r-1"), true)
	if a.Status != http.StatusOK {
		t.Fatalf("POST = %d %s, want 200", a.Status, a.Body)
	}
	var made xbezahldienste.PaymentTransaction
	a.JSON(t, &made)
	info := made.PaymentInformation
	if info.Status != "INITIAL" || info.TransactionReference == "" || info.PaymentMethod != "" || info.TransactionTimestamp != "" {
		t.Errorf("POST: paymentInformation = %+v, want INITIAL with a reference and no payment", info)
	}
	if !strings.HasPrefix(info.TransactionRedirectURL, e.URL+"/pay/"+info.TransactionID+"/") {
		t.Errorf("transactionRedirectUrl = %s, want one below %s/pay/%s/", info.TransactionRedirectURL, e.URL, info.TransactionID)
	}
	var sent, back any
	if err := json.Unmarshal([]byte(request("r-1")), &sent); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(made.PaymentRequest, &back); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(sent) != fmt.Sprint(back) || !strings.Contains(string(made.PaymentRequest), `30.70`) {
		t.Errorf("paymentRequest = %s, want what was sent, amounts as written", made.PaymentRequest)
	}
	for _, path := range []string{
		strings.TrimPrefix(info.TransactionURL, e.URL),
		postPath(erfurtAGS) + "/" + info.TransactionID,
	} {
		a = e.call(t, "GET", path, e.token, "", true)
		var read xbezahldienste.PaymentTransaction
		a.JSON(t, &read)
		if a.Status != http.StatusOK || read.PaymentInformation.TransactionID != info.TransactionID || read.PaymentInformation.Status != "INITIAL" {
			t.Errorf("GET %s = %d %s, want the transaction", path, a.Status, a.Body)
		}
	}
}

func TestLegacyRequestorComesBackInItsShape(t *testing.T) {
	t.Parallel()
	e := start(t)
	body := request("r-1", `"requestorType": "INDIVIDUAL", `, ``, `"addressType": "POSTAL_ADDRESS",
			"addressLine1": "Fischmarkt 1", "city": "Erfurt", "postalCode": "99084", "countryCode": "DE"`,
		`"street": "Fischmarkt", "houseNumber": "1", "postalCode": "99084", "city": "Erfurt", "country": "DE"`)
	a := e.call(t, "POST", postPath(erfurtARS), e.token, body, true)
	if a.Status != http.StatusOK || !strings.Contains(string(a.Body), `"houseNumber":"1"`) || strings.Contains(string(a.Body), "requestorType") {
		t.Errorf("POST = %d %s, want 200 with the legacy requestor", a.Status, a.Body)
	}
}

func TestRepeatedRequest(t *testing.T) {
	t.Parallel()
	e := start(t)
	send := func(endPoint, body string, headers ...string) (runtest.Answer, string) {
		a := e.call(t, "POST", postPath(endPoint), e.token, body, false, headers...)
		var p xbezahldienste.PaymentTransaction
		a.JSON(t, &p)
		return a, p.PaymentInformation.TransactionID
	}
	first, id1 := send(erfurtARS, request("r-1"), "Idempotency-Key", "k-1")
	if first.Status != http.StatusOK {
		t.Fatalf("first POST = %d %s, want 200", first.Status, first.Body)
	}
	for _, c := range []struct {
		name, endPoint, body, key string
		status                    int
		code                      string
	}{
		{"same key and bytes", erfurtARS, request("r-1"), "k-1", 200, ""},
		{"another key, same bytes", erfurtARS, request("r-1"), "k-2", 200, ""},
		{"no key", erfurtARS, request("r-1"), "", 400, "PAYMENT_EXISTS"},
		{"no key, AGS instead of ARS", erfurtAGS, request("r-1"), "", 400, "PAYMENT_EXISTS"},
		{"another key and content", erfurtARS, request("r-1", "Zone 3", "Zone 4"), "k-3", 400, "PAYMENT_EXISTS"},
		{"same key, other content", erfurtARS, request("r-2"), "k-1", 400, "VALIDATION_ERROR"},
	} {
		var headers []string
		if c.key != "" {
			headers = []string{"Idempotency-Key", c.key}
		}
		a, again := send(c.endPoint, c.body, headers...)
		switch {
		case a.Status != c.status:
			t.Errorf("%s: POST = %d %s, want %d", c.name, a.Status, a.Body, c.status)
		case c.status == 200 && again != id1:
			t.Errorf("%s: transactionId = %s, want the first one, %s", c.name, again, id1)
		case c.status == 200 && !bytes.Equal(a.Body, first.Body):
			t.Errorf("%s: answer\n%s\nwant the first\n%s", c.name, a.Body, first.Body)
		case c.status != 200:
			if s := e.systemResponse(t, a); s.FunctionalCode != c.code {
				t.Errorf("%s: functionalCode = %s, want %s", c.name, s.FunctionalCode, c.code)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	e := start(t)
	suspended := e.Tenant("weimar", "160550000000")
	e.Grant("efa", e.erfurt, suspended)
	before := e.call(t, "POST", postPath("160550000000"), e.token, request("r-0"), true)
	var made xbezahldienste.PaymentTransaction
	before.JSON(t, &made)
	suspended.Status, suspended.Version = tenantdir.Suspended, 2
	e.Put(suspended)
	if a := e.call(t, "GET", postPath("160550000000")+"/"+made.PaymentInformation.TransactionID, e.token, "", true); a.Status != 200 {
		t.Errorf("GET at a suspended tenant = %d %s, want 200", a.Status, a.Body)
	}
	readOnly := e.Token(authn.Principal{Kind: authn.Client, ClientID: "efa", Grants: "client:efa", Scopes: []string{"read"}})
	jena := e.Token(authn.Principal{Kind: authn.Client, ClientID: "own", TenantID: e.jena.ID, Scopes: []string{"post", "read"}})
	const ars = erfurtARS
	for _, c := range []struct {
		name, endPoint, token, body string
		status                      int
		code, detail                string
	}{
		{"no token", ars, "", request("a"), 403, "FORBIDDEN", ""},
		{"forged token", ars, "abc.def.ghi", request("a"), 403, "FORBIDDEN", ""},
		{"scope missing", ars, readOnly, request("a"), 403, "FORBIDDEN", "scope post"},
		{"client not switched on", jenaARS, e.token, request("a"), 403, "FORBIDDEN", ""},
		{"token of another tenant", ars, jena, request("a"), 403, "FORBIDDEN", ""},
		{"suspended tenant", "160550000000", e.token, request("a"), 403, "FORBIDDEN", "no new business"},
		{"ARS of nobody", "160000000001", e.token, request("a"), 404, "NO_VALID_ORIGINATOR_OR_ENDPOINT", ""},
		{"no key at all", "erfurt", e.token, request("a"), 404, "NO_VALID_ORIGINATOR_OR_ENDPOINT", ""},
		{"a cent too much", ars, e.token, request("a", `"grossAmount": 30.70`, `"grossAmount": 30.71`), 400, "CALCULATION_ERROR", "30.71"},
		{"a cent too little", ars, e.token, request("a", `"grossAmount": 30.70`, `"grossAmount": 30.69`), 400, "CALCULATION_ERROR", ""},
		{"quantity times single", ars, e.token, request("a", `"quantity": 1`, `"quantity": 2`), 400, "CALCULATION_ERROR", ""},
		{"a tenth of a cent", ars, e.token, request("a", `"grossAmount": 30.70`, `"grossAmount": 30.701`), 400, "VALIDATION_ERROR", "grossAmount"},
		{"nothing to pay", ars, e.token, request("a", `"grossAmount": 30.70`, `"grossAmount": 0`), 400, "VALIDATION_ERROR", "grossAmount"},
		{"negative", ars, e.token, request("a", `"grossAmount": 30.70`, `"grossAmount": -30.70`), 400, "VALIDATION_ERROR", "grossAmount"},
		{"over the maximum", ars, e.token, request("a", `"grossAmount": 30.70`, `"grossAmount": 999999.01`), 400, "VALIDATION_ERROR", "grossAmount"},
		{"amount as text", ars, e.token, request("a", `"grossAmount": 30.70`, `"grossAmount": "30.70"`), 400, "VALIDATION_ERROR", "grossAmount"},
		{"other currency", ars, e.token, request("a", `"EUR"`, `"USD"`), 400, "VALIDATION_ERROR", "EUR"},
		{"umlaut in purpose", ars, e.token, request("a", `"purpose": "Bewohnerparken"`, `"purpose": "Gebühr"`), 400, "VALIDATION_ERROR", "purpose"},
		{"purpose too long", ars, e.token, request("a", `"purpose": "Bewohnerparken"`, `"purpose": "1234567890123456789012345678"`), 400, "VALIDATION_ERROR", "purpose"},
		{"requestId too long", ars, e.token, request(strings.Repeat("x", 37)), 400, "VALIDATION_ERROR", "requestId"},
		{"requestId with a slash", ars, e.token, request("a/b"), 400, "VALIDATION_ERROR", "requestId"},
		{"script as redirectUrl", ars, e.token, request("a", `https://dienst.example/zurueck?x=1`, `javascript:alert(1)`), 400, "VALIDATION_ERROR", "redirectUrl"},
		{"no items", ars, e.token, request("a", `"items": [`, `"items": [], "x": [`), 400, "VALIDATION_ERROR", ""},
		{"unknown field", ars, e.token, request("a", `"currency"`, `"iban": "", "currency"`), 400, "VALIDATION_ERROR", "iban"},
		{"duplicate field", ars, e.token, request("a", `"currency"`, `"currency": "EUR", "currency"`), 400, "VALIDATION_ERROR", "currency"},
		{"null", ars, e.token, request("a", `"Bewohnerparken"`, `null`), 400, "VALIDATION_ERROR", "purpose"},
		{"control character", ars, e.token, request("a", `Zone 3`, `Zone\u0000`), 400, "VALIDATION_ERROR", "description"},
		{"item without id", ars, e.token, request("a", `"id": "1"`, `"id": ""`), 400, "VALIDATION_ERROR", "items.0.id"},
		{"tax rate over 100", ars, e.token, request("a", `"taxRate": 0`, `"taxRate": 101`), 400, "VALIDATION_ERROR", "taxRate"},
		{"half an item", ars, e.token, request("a", `"quantity": 1`, `"quantity": 1.5`), 400, "VALIDATION_ERROR", "quantity"},
		{"booking data with a slash", ars, e.token, request("a", `1.1200.1000`, `1/1200`), 400, "VALIDATION_ERROR", "haushaltstelle"},
		{"organisation with a first name", ars, e.token, request("a", `INDIVIDUAL`, `ORGANIZATION`), 400, "VALIDATION_ERROR", "firstName"},
		{"time without zone", ars, e.token, request("a", `09:30:00Z`, `09:30:00`), 400, "VALIDATION_ERROR", "requestTimestamp"},
		{"byte order mark", ars, e.token, "\ufeff" + request("a"), 400, "VALIDATION_ERROR", ""},
		{"two values", ars, e.token, request("a") + request("a"), 400, "VALIDATION_ERROR", ""},
		{"cut off", ars, e.token, request("a")[:200], 400, "VALIDATION_ERROR", ""},
		{"deep nesting", ars, e.token, strings.Repeat(`{"items":[`, 20000), 400, "VALIDATION_ERROR", ""},
		{"an array", ars, e.token, `[]`, 400, "VALIDATION_ERROR", ""},
		{"nothing", ars, e.token, `{}`, 400, "VALIDATION_ERROR", "requestId"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := e.call(t, "POST", postPath(c.endPoint), c.token, c.body, false)
			s := e.systemResponse(t, a)
			if a.Status != c.status || s.FunctionalCode != c.code || !strings.Contains(s.Detail, c.detail) {
				t.Errorf("POST = %d %s %q, want %d %s with %q in the detail", a.Status, s.FunctionalCode, s.Detail, c.status, c.code, c.detail)
			}
		})
	}
	t.Run("nothing was written", func(t *testing.T) {
		a := e.Do("GET", "/t/erfurt/payment/v1/transactions", e.Token(authn.Principal{Kind: authn.Client, ClientID: "own", TenantID: e.erfurt.ID, Scopes: []string{"payment:read"}}), nil)
		if a.Status != 200 || strings.Contains(string(a.Body), `"request_id":"a"`) {
			t.Errorf("transactions after refusals = %d %s, want none", a.Status, a.Body)
		}
	})
}

// endless is a body that does not end before 1 GB.
type endless struct{ left int }

func (r *endless) Read(b []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(b), r.left)
	for i := range n {
		b[i] = ' '
	}
	r.left -= n
	return n, nil
}

func TestHugeBody(t *testing.T) {
	t.Parallel()
	e := start(t)
	req, err := http.NewRequestWithContext(t.Context(), "POST", e.URL+postPath(erfurtARS), &endless{left: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.token)
	resp, err := e.Client.Do(req)
	if err != nil {
		t.Logf("the server closed the connection: %v", err) // while we still wrote: refused all the same
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("POST of 1 GB = %d, want 400", resp.StatusCode)
	}
}

func TestReadRefusals(t *testing.T) {
	t.Parallel()
	e := start(t)
	var made xbezahldienste.PaymentTransaction
	e.call(t, "POST", postPath(erfurtARS), e.token, request("r-1"), true).JSON(t, &made)
	txID := made.PaymentInformation.TransactionID
	jena := e.Token(authn.Principal{Kind: authn.Client, ClientID: "own", TenantID: e.jena.ID, Scopes: []string{"post", "read"}})
	for _, c := range []struct {
		name, path, token string
		status            int
		code              string
	}{
		{"unknown transaction", postPath(erfurtARS) + "/" + id.New().String(), e.token, 404, "UNSPECIFIED"},
		{"no id", postPath(erfurtARS) + "/17", e.token, 404, "UNSPECIFIED"},
		{"another originator", "/xbezahldienste/paymenttransaction/other/" + erfurtARS + "/" + txID, e.token, 404, "UNSPECIFIED"},
		{"at another municipality", postPath(jenaARS) + "/" + txID, jena, 404, "UNSPECIFIED"},
		{"another tenant's token", postPath(erfurtARS) + "/" + txID, jena, 403, "FORBIDDEN"},
		{"unknown municipality", postPath("160000000001") + "/" + txID, e.token, 404, "NO_VALID_ORIGINATOR_OR_ENDPOINT"},
	} {
		a := e.call(t, "GET", c.path, c.token, "", true)
		if s := e.systemResponse(t, a); a.Status != c.status || s.FunctionalCode != c.code {
			t.Errorf("%s: GET = %d %s, want %d %s", c.name, a.Status, s.FunctionalCode, c.status, c.code)
		}
	}
}

func TestOtherReads(t *testing.T) {
	t.Parallel()
	e := start(t)
	entry := e.erfurt
	entry.Version = 2
	entry.Settings = map[string]json.RawMessage{"payment": json.RawMessage(`{
		"methods": [{"key":"card","method":"CREDITCARD","provider":"sandbox"},{"key":"giro","method":"OTHER","provider":"sandbox"},
			{"key":"wero","method":"OTHER","provider":"sandbox","down":true}],
		"maintenance": [{"from":"2999-01-01T00:00:00Z","until":"2999-01-02T00:00:00Z","description":"Wartung","methods":["OTHER"]},
			{"until":"2001-01-01T00:00:00Z","description":"vorbei"}]}`)}
	e.Put(entry)
	for path, want := range map[string]string{
		"/payment-methods/bewohnerparken/" + erfurtARS: `{"paymentMethods":{"up":["CREDITCARD","OTHER"],"down":["OTHER"]}}`,
		"/maintenance/bewohnerparken/" + erfurtARS: `{"maintenanceWindows":[{"startTime":"2999-01-01T00:00:00Z",` +
			`"endTime":"2999-01-02T00:00:00Z","description":"Wartung","paymentMethods":{"down":["OTHER"]}}]}`,
		"/status":                             `{"type":"urn:basisdienste:status:ok","status":200,"title":"OK","detail":"Everything is up and running"}`,
		"/status/bewohnerparken/" + erfurtAGS: `{"type":"urn:basisdienste:status:ok","status":200,"title":"OK","detail":"Everything is up and running"}`,
	} {
		a := e.call(t, "GET", "/xbezahldienste"+path, e.token, "", true)
		if got := strings.TrimSpace(string(a.Body)); a.Status != 200 || got != want {
			t.Errorf("GET %s = %d %s, want 200 %s", path, a.Status, got, want)
		}
		if a := e.call(t, "GET", "/xbezahldienste"+path, "", "", true); a.Status != 403 {
			t.Errorf("GET %s without token = %d, want 403", path, a.Status)
		}
	}
}

// What a municipality wrote too long is cut, so that clients that read by the schema can.
func TestMaintenance_LongDescription(t *testing.T) {
	t.Parallel()
	e := start(t)
	entry := e.erfurt
	entry.Version = 2
	entry.Settings = map[string]json.RawMessage{"payment": json.RawMessage(`{"maintenance": [{"description": "` + strings.Repeat("ä", 251) + `"}]}`)}
	e.Put(entry)
	a := e.call(t, "GET", "/xbezahldienste/maintenance/bewohnerparken/"+erfurtARS, e.token, "", true)
	if want := `"description":"` + strings.Repeat("ä", 249) + `…"`; !strings.Contains(string(a.Body), want) {
		t.Errorf("GET maintenance = %d %s, want the first 249 letters and …", a.Status, a.Body)
	}
}
