package conformance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"basisdienste/platform/authn"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
	"basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/xbezahldienste"
	"basisdienste/services/payment/xbezahldienste/conformance"
)

const erfurt = "160510000000"

// own is a target that is our own service.
func own(t *testing.T) conformance.Target {
	t.Helper()
	e := runtest.Start(t, []run.App{payment.New(xbezahldienste.Part(), sandbox.Part())})
	tenant := e.Tenant("erfurt", erfurt)
	tenant.Version = 2
	tenant.Settings = map[string]json.RawMessage{"payment": json.RawMessage(`{"booking_data": {"*": {"haushaltstelle": {"required": true}}}}`)}
	e.Put(tenant)
	e.Grant("efa", tenant)
	token := e.Token(authn.Principal{Kind: authn.Client, ClientID: "efa", Grants: "client:efa", Scopes: []string{"post", "read"}})
	return conformance.Target{
		URL: e.URL + xbezahldienste.Base, Originator: "bewohnerparken", EndPoint: erfurt, BookingData: map[string]string{"haushaltstelle": "1.1200"}, Clock: time.Now,
		Authorize: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
	}
}

func TestOwnServiceConforms(t *testing.T) {
	t.Parallel()
	var told []conformance.Clause
	r, err := conformance.Run(t.Context(), own(t), func(c conformance.Clause) { told = append(told, c) })
	if err != nil {
		t.Fatal(err)
	}
	// What does not apply to us, and why.
	notApplicable := []string{"place.originator"} // the settings let every originator in
	for _, c := range r.Clauses {
		want := conformance.Pass
		if slices.Contains(notApplicable, c.ID) {
			want = conformance.NotApplicable
		}
		if c.Verdict != want {
			t.Errorf("%s: %s, got %s; want %s (sent %s, expected %s)", c.ID, c.Verdict, c.Got, want, c.Sent, c.Expected)
		}
	}
	if !r.Conforms() || len(told) != len(r.Clauses) || len(r.Clauses) < 200 {
		t.Errorf("Run: %s, %d clauses told; want 200 or more, each told, none failed", r.Summary(), len(told))
	}
	seen := map[string]bool{}
	for _, c := range r.Clauses {
		if seen[c.ID] || c.Standard == "" || c.Expected == "" || c.Got == "" {
			t.Errorf("clause %+v: its id is there twice, or it does not say what it is", c)
		}
		seen[c.ID] = true
	}
	t.Log(r.Summary())
}

// exchange is what passes through a broken server: a request on its way to a good one, then
// its answer.
type exchange struct {
	request *http.Request
	body    string
	status  int
	header  http.Header
	answer  string
}

func (x *exchange) creates() bool { return x.request.Method == http.MethodPost }

// behind is a server that passes requests on and breaks them.
func behind(t *testing.T, good string, before, after func(*exchange)) string {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("broken server: %v", err)
		}
		x := &exchange{request: r, body: string(body)}
		if before != nil {
			before(x)
		}
		if x.status == 0 {
			on, err := http.NewRequestWithContext(r.Context(), r.Method, good+strings.TrimPrefix(r.URL.RequestURI(), xbezahldienste.Base), strings.NewReader(x.body))
			if err != nil {
				t.Error(err)
				return
			}
			on.Header = r.Header.Clone()
			resp, err := client.Do(on)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			answer, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				t.Error(err)
			}
			x.status, x.header, x.answer = resp.StatusCode, resp.Header, string(answer)
		}
		if after != nil {
			after(x)
		}
		x.header.Del("Content-Length")
		for name, values := range x.header {
			w.Header()[name] = values
		}
		w.WriteHeader(x.status)
		_, _ = io.WriteString(w, x.answer) // the test sees that
	}))
	t.Cleanup(s.Close)
	return s.URL + xbezahldienste.Base
}

func replace(old, with string) func(*exchange) {
	return func(x *exchange) { x.answer = strings.ReplaceAll(x.answer, old, with) }
}

func replaceSent(old, with string) func(*exchange) {
	return func(x *exchange) { x.body = strings.ReplaceAll(x.body, old, with) }
}

// Each way to break the standard is found by the clause that is about it.
func TestBrokenServersAreFound(t *testing.T) {
	t.Parallel()
	target := own(t)
	token := func() string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		target.Authorize(r)
		return r.Header.Get("Authorization")
	}()
	var count atomic.Int64
	for _, c := range []struct {
		name, clause  string
		verdict       conformance.Verdict
		before, after func(*exchange)
	}{
		{"201 instead of 200", "create.plain", conformance.Fail, nil, func(x *exchange) {
			if x.creates() && x.status == 200 {
				x.status = 201
			}
		}},
		{"a sum that nobody adds up", "create.sum.cent-more", conformance.Fail, replaceSent(`"grossAmount":30.71`, `"grossAmount":30.70`), nil},
		{"a text that is cut off", "create.request.purpose.longer", conformance.Fail, func(x *exchange) {
			x.body = strings.ReplaceAll(x.body, "Pruefung"+strings.Repeat("x", 20), "Pruefung"+strings.Repeat("x", 19))
		}, nil},
		{"a shorter limit than the standard's", "create.request.purpose.longest", conformance.Fail, replaceSent(strings.Repeat("x", 19)+`"`, strings.Repeat("x", 39)+`"`), nil},
		{"a field that need not be there", "create.request.requestTimestamp.missing", conformance.Fail, func(x *exchange) {
			if !strings.Contains(x.body, "requestTimestamp") {
				x.body = strings.Replace(x.body, "{", `{"requestTimestamp":"2026-11-23T09:30:00Z",`, 1)
			}
		}, nil},
		{"amounts as binary fractions", "create.sum.decimal", conformance.Fail, nil, replace(`"grossAmount":0.30`, `"grossAmount":0.30000000000000004`)},
		{"amounts as texts", "create.amount.whole", conformance.Fail, nil, replace(`"grossAmount":30.00`, `"grossAmount":"30.00"`)},
		{"every currency", "create.currency.other", conformance.Fail, replaceSent(`"USD"`, `"EUR"`), nil},
		{"a script to come back by", "create.redirectUrl.script", conformance.Fail, replaceSent(`javascript:alert(1)`, `https://dienst.example/`), nil},
		{"the newer requestor in an answer to the legacy one", "version.legacy-requestor", conformance.Fail, nil, replace(`"isOrganization":true`, `"requestorType":"INDIVIDUAL"`)},
		{"another name of the amount than the client's", "version.1.0.0", conformance.Fail, nil, replace(`"grosAmount"`, `"grossAmount"`)},
		{"no 1.0.0", "version.1.0.0", conformance.NotApplicable, replaceSent(`"grosAmount"`, `"unknown"`), nil},
		{"a payment twice", "exists.same", conformance.Fail, func(x *exchange) {
			x.body = strings.Replace(x.body, `"requestId":"check-`, fmt.Sprintf(`"requestId":"%d-`, count.Add(1)), 1)
		}, func(x *exchange) {
			x.answer = regexp.MustCompile(`"requestId":"[0-9]+-`).ReplaceAllString(x.answer, `"requestId":"check-`)
		}},
		{"an id that no path can name", "read.id", conformance.Fail, nil, func(x *exchange) {
			x.answer = strings.Replace(x.answer, `"transactionId":"`, `"transactionId":"0000-`, 1)
		}},
		{"200 for every transaction", "read.unknown", conformance.Fail, nil, func(x *exchange) {
			if !x.creates() && x.status == 404 {
				x.status = 200
			}
		}},
		{"paid by nobody", "create.plain", conformance.Fail, nil, replace(`"INITIAL"`, `"PAYED"`)},
		{"a method that there is not", "methods.list", conformance.Fail, nil, replace(`"CREDITCARD"`, `"WERO"`)},
		{"an older server without payment-methods", "methods.list", conformance.Fail, nil, func(x *exchange) {
			if strings.Contains(x.request.URL.Path, "payment-methods") {
				x.status = 404
			}
		}},
		{
			"windows that end before they begin", "maintenance.list", conformance.Fail, nil,
			replace(`"maintenanceWindows":[]`, `"maintenanceWindows":[{"startTime":"2026-11-24T00:00:00Z","endTime":"2026-11-23T00:00:00Z"}]`),
		},
		{"a status that is no document", "status.place", conformance.Fail, nil, replace(`"status":200`, `"status":"UP"`)},
		{"no end point is wrong", "place.end-point", conformance.Fail, nil, func(x *exchange) {
			if x.status == 404 {
				x.status = 200
			}
		}},
		{"no credential is needed", "access.create.none", conformance.Fail, func(x *exchange) { x.request.Header.Set("Authorization", token) }, nil},
		{"401", "access.create.none", conformance.Warn, nil, func(x *exchange) {
			if x.status == 403 {
				x.status = 401
			}
		}},
		{"errors in JSON of its own", "answers.problem.schema", conformance.Fail, nil, replace(`"functionalCode"`, `"code"`)},
		{"errors with quotation marks", "answers.problem.schema", conformance.Fail, nil, replace(`"detail":"`, `"detail":"(x) `)},
		{"errors as application/json", "answers.problem.media-type", conformance.Fail, nil, func(x *exchange) {
			if x.status >= 400 {
				x.header.Set("Content-Type", "application/json")
			}
		}},
		{"another status in the document", "answers.problem.status", conformance.Fail, nil, replace(`"status":400`, `"status":422`)},
		{"a server that falls over", "answers.errors-of-the-server", conformance.Fail, nil, func(x *exchange) {
			if strings.Contains(x.answer, "is not JSON") {
				x.status = 500
			}
		}},
		{"its own works in a detail", "answers.problem.internals", conformance.Warn, nil, replace(`"detail":"`, `"detail":"java.lang.NullPointerException `)},
		{"a big body that is read", "body.big", conformance.Fail, func(x *exchange) {
			if len(x.body) > 1<<20 {
				x.status, x.header = 500, http.Header{}
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			broken := target
			broken.URL = behind(t, target.URL, c.before, c.after)
			broken.Only = []string{c.clause}
			if strings.HasPrefix(c.clause, "answers.") {
				broken.Only = append(broken.Only, "body.", "create.sum", "create.plain")
			}
			r, err := conformance.Run(t.Context(), broken, nil)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(r.Clauses, func(f conformance.Clause) bool { return f.ID == c.clause })
			if i < 0 || r.Clauses[i].Verdict != c.verdict {
				t.Errorf("Run: %+v; want %s to be %s", r.Clauses, c.clause, c.verdict)
			}
			if r.Conforms() == (c.verdict == conformance.Fail) {
				t.Errorf("Conforms() = %t with %s", r.Conforms(), r.Summary())
			}
		})
	}
}

func TestNothingToAsk(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		target conformance.Target
		want   string
	}{
		{conformance.Target{URL: "payment.example", Originator: "a", EndPoint: "b"}, "is no address of a server"},
		{conformance.Target{URL: "https://user:word@payment.example", Originator: "a", EndPoint: "b"}, "is no address of a server"},
		{conformance.Target{URL: "https://payment.example", Originator: "a"}, "originator and end point are missing"},
		{conformance.Target{URL: "http://127.0.0.1:1", Originator: "a", EndPoint: "b"}, "cannot be asked"},
		{conformance.Target{URL: "http://127.0.0.1:1", Originator: "a", EndPoint: "b", Version: "1.0.0"}, `no server of version "1.0.0"`},
		{conformance.Target{URL: "http://127.0.0.1:1", Originator: "a", EndPoint: "b", Version: "latest"}, `no server of version "latest"`},
	} {
		c.target.Clock = time.Now
		if _, err := conformance.Run(t.Context(), c.target, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Run(%+v) = %v, want %q", c.target, err, c.want)
		}
	}
}

// Whatever is asked for: a server that takes no request at all does not conform.
func TestNothingIsTaken(t *testing.T) {
	t.Parallel()
	target := own(t)
	target.Authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }
	target.Only = []string{"create.sum", "exists"}
	r, err := conformance.Run(t.Context(), target, nil)
	if err != nil || r.Conforms() || len(r.Clauses) == 0 || r.Clauses[0].ID != "create.plain" || r.Clauses[0].Verdict != conformance.Fail {
		t.Errorf("Run = %s, %v, %+v; want create.plain to fail first", r.Summary(), err, r.Clauses)
	}
}

// A clause that there is not is a mistake of who asks, not a server without faults.
func TestNoSuchClause(t *testing.T) {
	t.Parallel()
	target := own(t)
	target.Only = []string{"create.sum.cent-more", "creat.sum"}
	if r, err := conformance.Run(t.Context(), target, nil); err == nil || !strings.Contains(err.Error(), `"creat.sum"`) {
		t.Errorf("Run = %s, %v; want an error that names creat.sum", r.Summary(), err)
	}
}

// A server of 1.1.0 knows the requestor of its own version alone, and is asked with that.
func TestServerOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	target := own(t)
	target.URL = behind(t, target.URL, func(x *exchange) {
		if strings.Contains(x.body, "requestorType") {
			x.status, x.header = http.StatusBadRequest, http.Header{"Content-Type": {"application/problem+json"}}
			x.answer = `{"status":400,"title":"Bad Request","detail":"unknown field","functionalCode":"VALIDATION_ERROR"}`
		}
	}, nil)
	target.Version = "1.1.0"
	r, err := conformance.Run(t.Context(), target, nil)
	if err != nil || !r.Conforms() || r.Counts[conformance.Pass] < 150 {
		t.Errorf("Run = %s, %v; want 150 passed or more, and none failed", r.Summary(), err)
	}
	for _, c := range r.Clauses {
		since120 := strings.HasPrefix(c.ID, "create.individual.") || strings.HasPrefix(c.ID, "create.address.") || c.ID == "create.organization" || c.ID == "methods.list"
		switch {
		case c.Verdict == conformance.Fail || c.Verdict == conformance.Warn:
			t.Errorf("%s: %s, got %s", c.ID, c.Verdict, c.Got)
		case since120 && c.Verdict != conformance.NotApplicable:
			t.Errorf("%s: %s, got %s; want n/a", c.ID, c.Verdict, c.Got)
		}
	}
}

// The schemas are those of the contract.
func TestSchemas(t *testing.T) {
	t.Parallel()
	schemas := func(file string) []byte {
		doc, err := openapi3.NewLoader().LoadFromFile(filepath.FromSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(doc.Components.Schemas)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if !bytes.Equal(schemas("schemas.yaml"), schemas("../../../../contracts/openapi/payment-xbezahldienste.yaml")) {
		t.Error("schemas.yaml and the contract differ; take over what changed")
	}
}

// Clients whose tokens are bound to a key find the same service.
func TestOwnServiceConforms_BoundTokens(t *testing.T) {
	t.Parallel()
	e := runtest.Start(t, []run.App{payment.New(xbezahldienste.Part(), sandbox.Part())})
	e.Grant("efa", e.Tenant("erfurt", erfurt))
	key := runtest.NewProver(t, time.Now)
	token := e.Token(authn.Principal{
		Kind: authn.Client, ClientID: "efa", Grants: "client:efa", Scopes: []string{"post", "read"}, KeyThumbprint: key.Thumbprint,
	})
	for _, scheme := range []string{"DPoP", "Bearer"} {
		r, err := conformance.Run(t.Context(), conformance.Target{
			URL: e.URL + xbezahldienste.Base, Originator: "bewohnerparken", EndPoint: erfurt, Clock: time.Now,
			Only: []string{"create.sum", "exists", "read", "access", "status"},
			Authorize: func(r *http.Request) {
				r.Header.Set("Authorization", scheme+" "+token)
				r.Header.Set("DPoP", key.Proof(r.Method, r.URL.String(), token))
			},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Clauses {
			if c.Verdict != conformance.Pass {
				t.Errorf("scheme %s: %s: %s, got %s; want pass", scheme, c.ID, c.Verdict, c.Got)
			}
		}
		if len(r.Clauses) < 20 {
			t.Errorf("scheme %s: %s, want 20 clauses or more", scheme, r.Summary())
		}
	}
}
