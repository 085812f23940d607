package tenants

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/authn"
	"basisdienste/platform/id"
	"basisdienste/platform/page"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

// operator is the context of an operator's client.
func operator(t testing.TB) context.Context {
	t.Helper()
	return authn.With(t.Context(), principal())
}

func principal() authn.Principal {
	return authn.Principal{Kind: authn.Client, TenantID: tenant.Operator, Subject: "cli", ClientID: "cli", Scopes: []string{"operator"}}
}

func start(t testing.TB, opts ...runtest.Option) (*runtest.Env, string) {
	t.Helper()
	e := runtest.Start(t, []run.App{New()}, append([]runtest.Option{runtest.Set("tenants.catalogue_every", "100ms")}, opts...)...)
	return e, e.Token(principal())
}

type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Fields []struct {
		Name string `json:"name"`
		Code string `json:"code"`
	} `json:"fields"`
}

// wants fails unless the answer has the status and, for a problem, the code.
func wants(t testing.TB, call string, a runtest.Answer, status int, code string) {
	t.Helper()
	var p problem
	if code != "" {
		a.JSON(t, &p)
	}
	if a.Status != status || p.Code != code {
		t.Errorf("%s = %d %q %s, want %d %q", call, a.Status, p.Code, a.Body, status, code)
	}
}

func tenantView(t testing.TB, a runtest.Answer) (v TenantView) {
	t.Helper()
	if a.Status != http.StatusOK && a.Status != http.StatusCreated {
		t.Fatalf("answer = %d %s, want a tenant", a.Status, a.Body)
	}
	a.JSON(t, &v)
	return v
}

const (
	base   = "/tenants/v1"
	erfurt = base + "/tenants/erfurt"
)

func TestTenantFromCreateToClose(t *testing.T) {
	t.Parallel()
	e, op := start(t)
	body := `{"slug":"erfurt","name":"Erfurt, Stadt","keys":["16051000","160510000000"],"hosts":["Service.Erfurt.example"]}`
	a := e.Do("POST", base+"/tenants", op, body, "Idempotency-Key", "k1")
	v := tenantView(t, a)
	if a.Status != http.StatusCreated || a.Header.Get("Location") != erfurt || v.Status != Trial || v.Version != 1 ||
		len(v.Keys) != 2 || v.Keys[0].Key != "160510000000" || v.Hosts[0] != "service.erfurt.example" {
		t.Errorf("create = %d %+v, want 201 and a trial with its ARS first and its host in lower case", a.Status, v)
	}
	if again := tenantView(t, e.Do("POST", base+"/tenants", op, body, "Idempotency-Key", "k1")); again.ID != v.ID {
		t.Errorf("create again with the same key = tenant %s, want %s", again.ID, v.ID)
	}
	wants(t, "create with the key of another request", e.Do("POST", base+"/tenants", op, `{"slug":"x","name":"X"}`, "Idempotency-Key", "k1"), 422, "idempotency_key_reused")

	for _, q := range []string{"slug=erfurt", "key=16051000", "key=160510000000", "host=service.ERFURT.example"} {
		var r Resolved
		a := e.Do("GET", base+"/resolve?"+q, "", nil)
		a.JSON(t, &r)
		if a.Status != 200 || r.ID != v.ID || r.Name != "Erfurt, Stadt" {
			t.Errorf("resolve %s = %d %s, want %s", q, a.Status, a.Body, v.ID)
		}
	}
	for _, step := range []struct {
		step string
		want Status
	}{{"activate", Active}, {"suspend", Suspended}, {"resume", Active}, {"close", Closing}} {
		v = tenantView(t, e.Do("POST", erfurt+"/"+step.step, op, `{"reason":"agreed by contract"}`))
		if v.Status != step.want {
			t.Errorf("%s = %s, want %s", step.step, v.Status, step.want)
		}
	}
	wants(t, "resume of a closing tenant", e.Do("POST", erfurt+"/resume", op, `{"reason":"a mistake"}`), 409, "wrong_status")
	if v.Version != 5 {
		t.Errorf("version after four steps = %d, want 5", v.Version)
	}
	// The service's own directory heard it all.
	runtest.Eventually(t, "the directory knows version 5 as closing", func() bool {
		d, err := e.Process.Host("tenants").Dir.BySlug(t.Context(), "erfurt")
		return err == nil && d.Version == 5 && d.Status == tenantdir.Closing && len(d.Keys) == 2 && len(d.Hosts) == 1
	})
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	e, op := start(t)
	tenantView(t, e.Do("POST", base+"/tenants", op, `{"slug":"erfurt","name":"Erfurt","keys":["16051000"],"hosts":["erfurt.example"]}`))
	tests := []struct {
		call, method, path, body string
		status                   int
		code, field              string
	}{
		{"taken slug", "POST", base + "/tenants", `{"slug":"erfurt","name":"X"}`, 409, "tenant_conflict", "/slug"},
		{"taken key", "POST", base + "/tenants", `{"slug":"x","name":"X","keys":["16052000","16051000"]}`, 409, "tenant_conflict", "/keys"},
		{"taken host", "POST", base + "/tenants", `{"slug":"x","name":"X","hosts":["ERFURT.example"]}`, 409, "tenant_conflict", "/hosts"},
		{"bad slug", "POST", base + "/tenants", `{"slug":"Erfurt","name":"X"}`, 400, "invalid_tenant", "/slug"},
		{"double hyphen", "POST", base + "/tenants", `{"slug":"a--b","name":"X"}`, 400, "invalid_tenant", "/slug"},
		{"the operator's slug", "POST", base + "/tenants", `{"slug":"operator","name":"X"}`, 400, "invalid_tenant", "/slug"},
		{"no name", "POST", base + "/tenants", `{"slug":"x"}`, 400, "invalid_tenant", "/name"},
		{"bad key", "POST", base + "/tenants", `{"slug":"x","name":"X","keys":["1605100"]}`, 400, "invalid_tenant", "/keys/0"},
		{"key twice", "POST", base + "/tenants", `{"slug":"x","name":"X","keys":["16052000","16052000"]}`, 400, "invalid_tenant", "/keys/1"},
		{"host with port", "POST", base + "/tenants", `{"slug":"x","name":"X","hosts":["a.example:80"]}`, 400, "invalid_tenant", "/hosts/0"},
		{"born suspended", "POST", base + "/tenants", `{"slug":"x","name":"X","status":"suspended"}`, 400, "invalid_tenant", "/status"},
		{"unknown kind", "POST", base + "/tenants", `{"slug":"x","name":"X","kind":"kingdom"}`, 400, "invalid_tenant", "/kind"},
		{"unknown field", "POST", base + "/tenants", `{"slug":"x","name":"X","id":"1"}`, 400, "unknown_field", "/id"},
		{"byte order mark", "POST", base + "/tenants", "\ufeff" + `{"slug":"x","name":"X"}`, 400, "invalid_json", ""},
		{"duplicate member", "POST", base + "/tenants", `{"slug":"x","slug":"y","name":"X"}`, 400, "duplicate_field", "/slug"},
		{"unknown tenant", "GET", base + "/tenants/nowhere", "", 404, "unknown_tenant", ""},
		{"patch of an unknown tenant", "PATCH", base + "/tenants/nowhere", `{"name":"X"}`, 404, "unknown_tenant", ""},
		{"no reason", "POST", erfurt + "/close", `{}`, 400, "reason_missing", "/reason"},
		{"blank reason", "POST", erfurt + "/close", `{"reason":"  "}`, 400, "reason_missing", "/reason"},
		{"settings no object", "PUT", erfurt + "/settings/payment", `[1]`, 400, "settings_no_object", ""},
		{"settings with duplicates", "PUT", erfurt + "/settings/payment", `{"a":{"b":1,"b":2}}`, 400, "duplicate_field", "/a/b"},
		{"settings too large", "PUT", erfurt + "/settings/payment", `{"a":"` + strings.Repeat("x", 65<<10) + `"}`, 413, "settings_too_large", ""},
		{"settings of no service", "PUT", erfurt + "/settings/Payment", `{}`, 400, "invalid_service", ""},
		{"bad limit", "PUT", erfurt + "/limits", `{"payment.create":{"rate":1}}`, 400, "invalid_limits", "/payment.create"},
		{"limit of nothing", "PUT", erfurt + "/limits", `{"payment.create":{"rate":0,"burst":1}}`, 400, "invalid_limits", "/payment.create"},
		{"bad default limit", "PUT", base + "/limits", `{"payment.create":null}`, 400, "invalid_limits", "/payment.create"},
		{"bad month", "GET", erfurt + "/usage?month=2026-13", "", 400, "invalid_month", ""},
		{"bad status", "GET", base + "/tenants?status=gone", "", 400, "invalid_status", ""},
		{"bad limit", "GET", base + "/tenants?limit=0", "", 400, "invalid_limit", ""},
		{"made-up cursor", "GET", base + "/tenants?cursor=abc", "", 400, "invalid_cursor", ""},
		{"resolve by nothing", "GET", base + "/resolve", "", 400, "resolve_by_one", ""},
		{"resolve by two", "GET", base + "/resolve?slug=erfurt&key=16051000", "", 400, "resolve_by_one", ""},
		{"ARS of nobody", "GET", base + "/resolve?key=999999999999", "", 404, "unknown_tenant", ""},
		{"host of nobody", "GET", base + "/resolve?host=example.org", "", 404, "unknown_tenant", ""},
		{"NUL in a name", "GET", base + "/resolve?slug=%00", "", 400, "invalid_text", ""},
		{"import as JSON", "POST", base + "/import", `{}`, 415, "csv_expected", ""},
	}
	for _, tt := range tests {
		var body any
		if tt.body != "" {
			body = tt.body
		}
		a := e.Do(tt.method, tt.path, op, body)
		wants(t, tt.call, a, tt.status, tt.code)
		var p problem
		a.JSON(t, &p)
		if tt.field != "" && (len(p.Fields) == 0 || p.Fields[0].Name != tt.field) {
			t.Errorf("%s = %s, want the field %s named", tt.call, a.Body, tt.field)
		}
	}
	if v := tenantView(t, e.Do("GET", erfurt, op, nil)); v.Version != 1 {
		t.Errorf("version after requests that were refused = %d, want 1", v.Version)
	}
	wants(t, "import of Latin-1 by its own word", e.Do("POST", base+"/import", op, header, "Content-Type", "text/csv; charset=iso-8859-1"), 415, "csv_expected")
	wants(t, "import with a bad each", e.Do("POST", base+"/import?each=yes", op, header, "Content-Type", "text/csv"), 400, "invalid_each")
}

func TestWhoMay(t *testing.T) {
	t.Parallel()
	e, op := start(t)
	ids := map[string]id.ID{}
	for i, slug := range []string{"erfurt", "jena"} {
		v := tenantView(t, e.Do("POST", base+"/tenants", op, fmt.Sprintf(`{"slug":%q,"name":"X","keys":["1605%d000"]}`, slug, i)))
		ids[slug] = v.ID
		if _, err := e.Process.Host("tenants").Dir.Await(t.Context(), slug); err != nil {
			t.Fatalf("Await %s: %v", slug, err)
		}
	}
	admin := e.Token(authn.Principal{Kind: authn.Staff, TenantID: ids["erfurt"], Roles: []string{authn.RoleTenantAdmin}})
	clerk := e.Token(authn.Principal{Kind: authn.Staff, TenantID: ids["erfurt"], Roles: []string{authn.RoleClerk}})
	citizen := e.Token(authn.Principal{Kind: authn.Citizen, TenantID: ids["erfurt"], Roles: []string{authn.RoleTenantAdmin}, Scopes: []string{"operator"}})
	jena := base + "/tenants/jena"
	for _, tt := range []struct {
		call, method, path, token, body string
		status                          int
		code                            string
	}{
		{"no token", "GET", erfurt, "", "", 401, "token_missing"},
		{"admin reads own", "GET", erfurt, admin, "", 200, ""},
		{"admin reads own usage", "GET", erfurt + "/usage", admin, "", 200, ""},
		{"admin reads another", "GET", jena, admin, "", 403, "wrong_tenant"},
		{"admin reads nobody", "GET", base + "/tenants/nowhere", admin, "", 403, "wrong_tenant"},
		{"admin changes another", "PUT", jena + "/settings/notify", admin, `{"reply_to":"x"}`, 403, "wrong_tenant"},
		{"admin lists", "GET", base + "/tenants", admin, "", 403, "operator_only"},
		{"admin renames", "PATCH", erfurt, admin, `{"name":"Y"}`, 403, "operator_only"},
		{"admin limits", "PUT", erfurt + "/limits", admin, `{}`, 403, "operator_only"},
		{"admin imports", "POST", base + "/import", admin, "x", 403, "operator_only"},
		{"admin sets what is left to tenants", "PATCH", erfurt + "/settings/notify", admin, `{"reply_to":"buergeramt"}`, 200, ""},
		{"admin sets what is not", "PATCH", erfurt + "/settings/notify", admin, `{"reply_to":"x","provider":"y"}`, 403, "setting_not_yours"},
		{"admin sets another service", "PUT", erfurt + "/settings/payment", admin, `{"provider":"y"}`, 403, "setting_not_yours"},
		{"clerk reads", "GET", erfurt, clerk, "", 403, "role_missing"},
		{"citizen with made-up claims", "GET", erfurt, citizen, "", 403, "role_missing"},
		{"citizen lists", "GET", base + "/tenants", citizen, "", 403, "operator_only"},
	} {
		var body any
		if tt.body != "" {
			body = tt.body
		}
		wants(t, tt.call, e.Do(tt.method, tt.path, tt.token, body), tt.status, tt.code)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	e, op := start(t)
	var done Imported
	a := e.Do("POST", base+"/import", op, thueringen, "Content-Type", "text/csv; charset=utf-8")
	a.JSON(t, &done)
	if a.Status != 200 || done.Created != 190 {
		t.Fatalf("import = %d %s, want 190 created", a.Status, a.Body)
	}
	seen, next := map[string]bool{}, ""
	for pages := 1; ; pages++ {
		var l page.List[ListItem]
		e.Do("GET", base+"/tenants?limit=80&cursor="+next, op, nil).JSON(t, &l)
		for _, i := range l.Items {
			seen[i.Slug] = true
		}
		if next = l.Next; next == "" {
			if pages != 3 || len(seen) != 190 {
				t.Errorf("list by 80 = %d pages with %d tenants, want 3 with 190", pages, len(seen))
			}
			break
		}
	}
	for q, want := range map[string]string{
		"q=caaschwitz":                   "bad-koestritz", // a municipality's name
		"q=Bad+K%C3%B6stritz":            "bad-koestritz",
		"q=160765051":                    "bad-koestritz",
		"q=k%25":                         "", // no wildcards
		"q=erfurt&status=active":         "",
		"q=erfurt&status=trial&limit=10": "erfurt",
	} {
		var l page.List[ListItem]
		e.Do("GET", base+"/tenants?"+q, op, nil).JSON(t, &l)
		got := ""
		for _, i := range l.Items {
			got = i.Slug
		}
		if want == "" && q != "q=k%25" && len(l.Items) != 0 || want != "" && (len(l.Items) != 1 || got != want) {
			t.Errorf("list %s = %+v, want %q", q, l.Items, want)
		}
	}
}

func TestSettingsAndCatalogue(t *testing.T) {
	t.Parallel()
	e, op := start(t)
	for _, slug := range []string{"erfurt", "jena"} {
		tenantView(t, e.Do("POST", base+"/tenants", op, fmt.Sprintf(`{"slug":%q,"name":"X"}`, slug)))
	}
	directory := func(slug string, version int64) tenantdir.Entry {
		t.Helper()
		var d tenantdir.Entry
		runtest.Eventually(t, fmt.Sprintf("the directory has version %d of %s", version, slug), func() bool {
			var err error
			d, err = e.Process.Host("tenants").Dir.BySlug(t.Context(), slug)
			return err == nil && d.Version >= version
		})
		return d
	}
	// The operator's defaults reach everybody.
	wants(t, "put catalogue", e.Do("PUT", base+"/catalogue/payment", op, `{"kassenzeichen":"{year}","methods":{"card":true,"paypal":true}}`), 200, "")
	if d := directory("jena", 2); string(d.Settings["payment"]) != `{"kassenzeichen":"{year}","methods":{"card":true,"paypal":true}}` {
		t.Errorf("settings of jena = %s, want the catalogue's", d.Settings["payment"])
	}
	directory("erfurt", 2)
	// The same again changes nothing.
	wants(t, "put catalogue again", e.Do("PUT", base+"/catalogue/payment", op, `{"methods":{"paypal":true,"card":true},"kassenzeichen":"{year}"}`), 200, "")
	// A tenant lays its own over it: null takes away.
	v := tenantView(t, e.Do("PUT", erfurt+"/settings/payment", op, `{"kassenzeichen":"EF-{year}","methods":{"paypal":null}}`))
	if got, want := string(v.Settings["payment"]), `{"kassenzeichen":"EF-{year}","methods":{"card":true}}`; got != want || v.Version != 3 {
		t.Errorf("settings after put = %s, version %d, want %s, 3", got, v.Version, want)
	}
	v = tenantView(t, e.Do("PATCH", erfurt+"/settings/payment", op, `{"kassenzeichen":null,"methods":{"giropay":true}}`))
	if got, want := string(v.Settings["payment"]), `{"kassenzeichen":"{year}","methods":{"card":true,"giropay":true}}`; got != want {
		t.Errorf("settings after patch = %s, want %s", got, want)
	}
	if got, want := string(v.Own.Settings["payment"]), `{"methods":{"giropay":true,"paypal":null}}`; got != want {
		t.Errorf("own settings after patch = %s, want %s", got, want)
	}
	if again := tenantView(t, e.Do("PATCH", erfurt+"/settings/payment", op, `{"methods":{"giropay":true}}`)); again.Version != v.Version {
		t.Errorf("version after a patch that changes nothing = %d, want %d", again.Version, v.Version)
	}
	// Limits the same way.
	wants(t, "put default limits", e.Do("PUT", base+"/limits", op, `{"payment.create":{"rate":60,"burst":10},"forms.submit":{"rate":5,"burst":5}}`), 200, "")
	v = tenantView(t, e.Do("PUT", erfurt+"/limits", op, `{"payment.create":{"rate":600,"burst":100},"forms.submit":null}`))
	if got, err := json.Marshal(v.Limits); err != nil || string(got) != `{"payment.create":{"burst":100,"rate":600}}` {
		t.Errorf("limits = %s, %v, want payment.create alone", got, err)
	}
	v = tenantView(t, e.Do("PATCH", erfurt+"/limits", op, `{"payment.create":null}`))
	if got, err := json.Marshal(v.Limits); err != nil || string(got) != `{"payment.create":{"burst":10,"rate":60}}` {
		t.Errorf("limits after a patch = %s, %v, want the catalogue's payment.create", got, err)
	}
	if d := directory("jena", 3); len(d.Limits) != 2 {
		t.Errorf("limits of jena = %s, want the catalogue's two", d.Limits)
	}
	// Taking everything back.
	v = tenantView(t, e.Do("PUT", erfurt+"/settings/payment", op, `{}`))
	if len(v.Own.Settings) != 0 || string(v.Settings["payment"]) != `{"kassenzeichen":"{year}","methods":{"card":true,"paypal":true}}` {
		t.Errorf("settings after taking them back = %s (own %s), want the catalogue's", v.Settings["payment"], v.Own.Settings)
	}
	var c struct{ Kassenzeichen string }
	e.Do("GET", base+"/catalogue/payment", op, nil).JSON(t, &c)
	if c.Kassenzeichen != "{year}" {
		t.Errorf("catalogue = %+v, want the defaults", c)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	// 23:30 UTC at the end of October is November in Berlin.
	e, op := start(t, runtest.Clock(func() time.Time { return time.Date(2026, 10, 31, 23, 30, 0, 0, time.UTC) }))
	v := tenantView(t, e.Do("POST", base+"/tenants", op, `{"slug":"erfurt","name":"Erfurt"}`))
	of := tenant.Tenant{ID: v.ID, Slug: "erfurt"}
	at := time.Date(2026, 10, 31, 23, 30, 0, 0, time.UTC)
	for i := range 3 {
		e.Tell("payment", of, events.TransactionPayed{TransactionID: fmt.Sprint("t", i), RequestID: "r", Amount: 3070, Currency: "EUR", Status: "PAYED", At: at})
		e.Tell("notify", of, events.MessageDelivered{MessageID: fmt.Sprint("m", i), Channel: "email", At: at})
	}
	e.Tell("forms", of, events.ApplicationSubmitted{ApplicationID: "a", Form: "hundesteuer", FormVersion: 1, At: at})
	e.Tell("booking", of, events.AppointmentConfirmed{AppointmentID: "a", At: at})
	const want = `[{"counter":"booking.appointment.confirmed","count":1,"amount":0.00},{"counter":"forms.application.submitted","count":1,"amount":0.00},` +
		`{"counter":"notify.message.delivered","count":3,"amount":0.00},{"counter":"payment.transaction.payed","count":3,"amount":92.10}]`
	var got struct{ Counters json.RawMessage }
	runtest.Eventually(t, "usage is "+want, func() bool {
		e.Do("GET", erfurt+"/usage?month=2026-11", op, nil).JSON(t, &got)
		return string(got.Counters) == want
	})
	e.Do("GET", erfurt+"/usage?month=2026-10", op, nil).JSON(t, &got)
	if string(got.Counters) != "[]" {
		t.Errorf("usage of October = %s, want none", got.Counters)
	}
}

func TestImportOverHTTP(t *testing.T) {
	t.Parallel()
	e, op := start(t)
	bad := strings.Replace(string(thueringen), "160510000000", "16051000000", 1)
	for _, want := range []Imported{{Created: 189, Refused: 1}, {Unchanged: 189, Refused: 1}} {
		var got Imported
		a := e.Do("POST", base+"/import?status=active", op, bad, "Content-Type", "text/csv")
		a.JSON(t, &got)
		if a.Status != 200 || got.Created != want.Created || got.Unchanged != want.Unchanged || got.Refused != 1 || got.Errors[0].Line != 2 || got.Errors[0].Code != "invalid_ars" {
			t.Errorf("import with a bad row = %d %s, want %+v with line 2 refused", a.Status, a.Body, want)
		}
	}
	if v := tenantView(t, e.Do("GET", base+"/tenants/jena", op, nil)); v.Status != Active {
		t.Errorf("status of an imported tenant = %s, want active", v.Status)
	}
	wants(t, "import without Content-Type of CSV", e.Do("POST", base+"/import", op, thueringen), 415, "csv_expected")
	huge := strings.Repeat("x", maxImport+1)
	wants(t, "import of more than 32 MB", e.Do("POST", base+"/import", op, huge, "Content-Type", "text/csv"), 413, "body_too_large")
}
