// Package main holds tests of all services on one PostgreSQL server as operators run it: the
// roles that each service has, and the plans of its statements on a million rows.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/auth"
	identity "basisdienste/services/auth/sandbox"
	"basisdienste/services/booking"
	"basisdienste/services/booking/jitsi"
	"basisdienste/services/edge"
	"basisdienste/services/forms"
	"basisdienste/services/notify"
	"basisdienste/services/notify/govuk"
	"basisdienste/services/notify/smtp"
	"basisdienste/services/payment"
	"basisdienste/services/payment/camt/camttest"
	"basisdienste/services/payment/receipt"
	"basisdienste/services/payment/request"
	provider "basisdienste/services/payment/sandbox"
	"basisdienste/services/payment/stripe"
	"basisdienste/services/payment/transfer"
	"basisdienste/services/payment/treasury"
	"basisdienste/services/payment/webhooks"
	"basisdienste/services/payment/xbezahldienste"
	"basisdienste/services/tenants"
)

func apps() []run.App {
	return []run.App{
		tenants.New(), notify.New(smtp.Open, govuk.Mount),
		payment.New(xbezahldienste.Part(), provider.Part(), stripe.Part(), transfer.Part(), treasury.Part(), webhooks.Part(), receipt.Part(), request.Part()),
		forms.New(), booking.New(jitsi.Open), edge.New(),
	}
}

// The services run on a database with a million rows; the server itself explains each
// statement that they run, as they ran it: with their role, their tenant and their values.
func TestPlans_NoStatementReadsALargeTableFromEndToEnd(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t, "fsync=off", "full_page_writes=off", "autovacuum=off", "shared_buffers=256MB", "max_wal_size=4GB", "jit=off",
		"session_preload_libraries=auto_explain", "auto_explain.log_format=json", "auto_explain.log_verbose=on", "auto_explain.log_min_duration=-1", "log_line_prefix="+mark)
	dir, cfg := t.TempDir(), server.Config("plans")
	start := func(apps []run.App, options ...runtest.Option) *runtest.Env {
		return runtest.Start(t, apps, append(options, runtest.Dir(dir), runtest.Database(cfg), // nobody is at Stripe's address
			runtest.Set("payment.stripe.secret_key", "sk_test_plans"), runtest.Set("payment.stripe.url", "http://127.0.0.1:1"))...)
	}
	first := start(apps())
	great := registered(t, first, "erfurt", "160510000000")
	if err := first.Process.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := start([]run.App{auth.New(identity.Open)}, runtest.RealAuth()).Process.Stop(); err != nil {
		t.Fatal(err)
	}
	share := 1
	if testing.Short() {
		share = 8
	}
	began := time.Now()
	if _, err := server.Ask("postgres", fill("plans_", great.ID, share)); err != nil {
		t.Fatalf("fill the tables: %v", err)
	}
	t.Logf("filled in %s", time.Since(began).Round(time.Second))
	if err := server.Psql("-c", "ALTER ROLE basis_app SET auto_explain.log_min_duration = 0"); err != nil {
		t.Fatal(err)
	}
	large, err := largeTables(server)
	if err != nil {
		t.Fatal(err)
	}
	if len(large) < 2*len(tables()) {
		t.Fatalf("only %d partitions are large; the tables were not filled", len(large))
	}

	e := start(apps())
	e.Put(great)
	drive(t, e, great)
	wanted(t, server,
		"FROM transactions", "FROM attempts", "FROM history", "FROM refunds", "FROM applications", "FROM payments", "FROM files", "FROM messages",
		"FROM treasury_statements", "FROM treasury_entries", "INTO treasury_entries", "UPDATE treasury_entries", "FROM treasury_closings", "FROM ledger",
		"FROM settlements", "FROM settlement_lines", "FROM disputes", "check_at <=", "FROM stripe_events", "DELETE FROM stripe_events",
		"FROM payment_requests", "DELETE FROM payment_requests", "FROM payment_reminders", "INTO payment_reminders",
		"FROM webhooks_endpoints", "FROM webhooks_deliveries", "INTO webhooks_deliveries", "DELETE FROM webhooks_deliveries", "UPDATE webhooks_deliveries",
		"FROM appointments", "FROM days", "FROM sandbox_notices", "FROM sandbox_sessions", "FROM idempotency",
		"FROM application_events", "FROM usage_slots", "INTO outbox", "DELETE FROM outbox", "INTO inbox", "DELETE FROM inbox")
	if err := e.Process.Stop(); err != nil {
		t.Fatal(err)
	}
	a := start([]run.App{auth.New(identity.Open)}, runtest.RealAuth())
	wanted(t, server, "DELETE FROM sessions", "DELETE FROM codes", "DELETE FROM password_failures")
	if err := a.Process.Stop(); err != nil {
		t.Fatal(err)
	}

	seen := judge(t, logOf(t, server), large, t.Errorf)
	t.Logf("%d different statements, %d large partitions", len(seen), len(large))

	// The judge itself: a statement without an index has to be found.
	before := len(logOf(t, server))
	for _, planted := range []string{"SELECT count(*) FROM transactions WHERE purpose = 'x'", "SELECT id FROM applications WHERE form = 'x' ORDER BY tenant_id, id LIMIT 1"} {
		schema := "plans_payment"
		if strings.Contains(planted, "applications") {
			schema = "plans_forms"
		}
		if _, err := server.Ask("basis_app", fmt.Sprintf("SET search_path = %s; SET app.tenant = '*'; %s", schema, planted)); err != nil {
			t.Fatal(err)
		}
		var found []string
		judge(t, logOf(t, server)[before:], large, func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) })
		if len(found) == 0 {
			t.Errorf("the judge found nothing wrong with %s", planted)
		}
		before = len(logOf(t, server))
	}
}

// registered is a tenant that the registry knows as well.
func registered(t *testing.T, e *runtest.Env, slug string, keys ...string) tenantdir.Entry {
	t.Helper()
	made := e.Do(http.MethodPost, "/tenants/v1/tenants", operatorToken(e), map[string]any{"slug": slug, "name": slug, "status": "active", "keys": keys})
	var body struct {
		ID id.ID `json:"id"`
	}
	if err := json.Unmarshal(made.Body, &body); err != nil || made.Status != http.StatusCreated {
		t.Fatalf("POST tenant %s = %d %.300s, %v", slug, made.Status, made.Body, err)
	}
	return e.Put(tenantdir.Entry{Tenant: tenant.Tenant{ID: body.ID, Slug: slug, Name: slug}, Status: tenantdir.Active, Keys: keys, Version: 1})
}

func operatorToken(e *runtest.Env) string {
	return e.Token(authn.Principal{Kind: authn.Staff, Subject: "o", TenantID: tenant.Operator, Roles: []string{authn.RoleOperator}})
}

// drive asks for every list, with each filter and a second page, and for one of each thing.
func drive(t *testing.T, e *runtest.Env, entry tenantdir.Entry) {
	t.Helper()
	client := e.Token(authn.Principal{Kind: authn.Client, ClientID: "c", Subject: "c", TenantID: entry.ID, Scopes: []string{
		"payment:read", "payment:write", "payment:refund", "notify:read", "notify:write", "forms:write", xbezahldienste.ScopePost, xbezahldienste.ScopeRead,
	}})
	admin := e.Token(authn.Principal{Kind: authn.Staff, Subject: "s", TenantID: entry.ID, Roles: []string{authn.RoleTenantAdmin, authn.RoleClerk}})
	operator := operatorToken(e)
	list := func(token, path string, filters ...string) {
		t.Helper()
		for _, filter := range append([]string{""}, filters...) {
			address := path
			if filter != "" {
				address += "?" + filter
			}
			answer := e.Do(http.MethodGet, address, token, nil)
			switch {
			case answer.Status == http.StatusNotFound, answer.Status == http.StatusUnauthorized, answer.Status == http.StatusForbidden:
				t.Errorf("GET %s = %d %.200s", address, answer.Status, answer.Body)
				continue
			case answer.Status != http.StatusOK: // rows that were made up may not be fit to show; their statement ran
				continue
			}
			var page struct {
				Items []struct {
					ID string `json:"id"`
				} `json:"items"`
				Next string `json:"next_cursor"`
			}
			if json.Unmarshal(answer.Body, &page) != nil { // not a list
				continue
			}
			if page.Next != "" {
				separator := "?"
				if filter != "" {
					separator = "&"
				}
				if second := e.Do(http.MethodGet, address+separator+"cursor="+page.Next, token, nil); second.Status != http.StatusOK {
					t.Errorf("the second page of %s = %d %.200s", address, second.Status, second.Body)
				}
			}
			if filter == "" && len(page.Items) > 0 && page.Items[0].ID != "" {
				for _, more := range []string{"", "/events", "/refunds"} { // what has none is not found
					e.Do(http.MethodGet, path+"/"+page.Items[0].ID+more, token, nil)
				}
			}
		}
	}
	list(client, "/t/erfurt/payment/v1/transactions", "state=FAILED", "kassenzeichen=k-6", "request_id=r-6", "from=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z")
	list(client, "/t/erfurt/payment/v1/refunds", "state=WAITING")
	ofPayment(t, e, entry, client, admin, list)
	list(client, "/t/erfurt/notify/v1/messages", "status=permanent-failure", "channel=mailbox", "reference=F-6", "template=receipt")
	list(admin, "/t/erfurt/notify/v1/outbox", "to=citizen-6")
	list(operator, "/notify/v1/outbox", "tenant=erfurt", "to=citizen-6")
	list(client, "/t/erfurt/notify/v1/templates")
	list(admin, "/t/erfurt/notify/v1/api-keys")
	list(admin, "/t/erfurt/forms/v1/applications", "state=rejected", "state=accepted")
	list(admin, "/t/erfurt/booking/v1/staff/appointments", "office_id=office-1")
	list(admin, "/t/erfurt/booking/v1/staff/closures", "office_id=office-1")
	list(operator, "/tenants/v1/tenants", "q=erf", "status=active")
	if usage := e.Do(http.MethodGet, "/tenants/v1/tenants/erfurt/usage?month=2026-01", operator, nil); usage.Status != http.StatusOK {
		t.Errorf("GET usage = %d %.300s", usage.Status, usage.Body)
	}
	for _, service := range []string{"payment", "forms", "notify", "booking", "tenants"} {
		e.Do(http.MethodGet, "/"+service+"/v1/dead-letters", operator, nil)
	}
	if made := e.Do(http.MethodPost, "/t/erfurt/notify/v1/messages", client, map[string]any{
		"channel": "email", "template": "application-accepted", "language": "de", "to": map[string]string{"email": "erika@example.org"}, "personalisation": map[string]string{"name": "Erika", "form_title": "Hundesteuer", "reference": "F-6", "municipality": "Erfurt"},
	}, "Idempotency-Key", "one"); made.Status >= http.StatusBadRequest {
		t.Errorf("POST message = %d %.300s", made.Status, made.Body)
	}
	// What citizens' pages list, without their logins.
	ctx := runtest.Context(t, entry)
	if _, err := (&forms.Service{Deps: forms.Deps{DB: e.Process.Host("forms").DB}}).Mine(ctx, "citizen-6"); err != nil {
		t.Errorf("the citizen's applications: %v", err)
	}
	mailbox := notify.Filter{Channel: "mailbox", Recipient: "citizen-6", WithContent: true}
	if _, err := (&notify.Service{Deps: notify.Deps{DB: e.Process.Host("notify").DB}}).Messages(ctx, mailbox, 50); err != nil {
		t.Errorf("the citizen's mailbox: %v", err)
	}
}

// ofPayment drives the parts of payment: treasury, webhooks, requests.
func ofPayment(t *testing.T, e *runtest.Env, entry tenantdir.Entry, client, admin string, list func(token, path string, filters ...string)) {
	t.Helper()
	const base = "/t/erfurt/payment/v1"
	want := func(status int, method, path, token string, body any, headers ...string) (answer struct {
		ID            string `json:"id"`
		Kassenzeichen string `json:"kassenzeichen"`
		Items         []struct {
			ID string `json:"id"`
		} `json:"items"`
	},
	) {
		t.Helper()
		a := e.Do(method, path, token, body, headers...)
		if err := json.Unmarshal(a.Body, &answer); a.Status != status || err != nil && method == http.MethodPost {
			t.Errorf("%s %s = %d %.300s, %v, want %d", method, path, a.Status, a.Body, err, status)
		}
		return answer
	}
	hook := want(http.StatusCreated, http.MethodPost, base+"/webhooks", admin, map[string]any{"url": "https://kasse.example.invalid/hook"})
	list(admin, base+"/webhooks")
	list(admin, base+"/webhooks/"+hook.ID+"/deliveries", "state=failed", "state=delivered")
	want(http.StatusAccepted, http.MethodPost, base+"/webhooks/"+hook.ID+"/test", admin, nil)
	want(http.StatusAccepted, http.MethodPost, base+"/webhooks/"+hook.ID+"/replay?state=delivered&since="+time.Now().UTC().AddDate(0, 0, -1).Format(time.RFC3339), admin, nil)

	claim := want(http.StatusCreated, http.MethodPost, base+"/transactions", client, map[string]any{
		"end_point_id": "160510000000", "amount": json.Number("30.70"), "description": "Ausweis", "due_on": time.Now().AddDate(0, 1, 0).Format(time.DateOnly),
	})
	want(http.StatusCreated, http.MethodPost, base+"/transactions/"+claim.ID+"/request", client, map[string]any{"email": "erika@example.org", "language": "de"})
	want(http.StatusOK, http.MethodGet, base+"/transactions/"+claim.ID+"/request", client, nil)
	want(http.StatusOK, http.MethodGet, base+"/transactions/"+claim.ID+"/qr.svg", client, nil)
	e.Do(http.MethodGet, base+"/transactions/"+claim.ID+"/receipt.pdf", client, nil) // nothing was paid

	file := camttest.String("camt.053.001.08", camttest.Statement{ID: "2026-324", Sequence: 324, Entries: []camttest.Entry{
		{Amount: 3070, Text: []string{"Kassenzeichen " + claim.Kassenzeichen}}, {Amount: 100, Text: []string{"Auszahlung po_1001 vom 20.11."}}, {Amount: 100, Text: []string{"Rechnung 2026-17"}},
	}})
	statement := want(http.StatusCreated, http.MethodPost, base+"/treasury/statements", admin, file, "Content-Type", "application/xml")
	list(admin, base+"/treasury/statements")
	for _, s := range statement.Items {
		list(admin, base+"/treasury/statements/"+s.ID+"/entries", "matched=true", "matched=false")
	}
	list(admin, base+"/treasury/settlements", "provider=stripe", "state=paid", "from=2026-01-01", "to=2026-02-01")
	want(http.StatusOK, http.MethodGet, base+"/treasury/settlements/stripe/po_1001", admin, nil)
	list(admin, base+"/treasury/disputes", "provider=stripe", "state=needs_response", "from=2026-01-01")
	day := time.Now().AddDate(0, 0, -20).Format(time.DateOnly)
	want(http.StatusOK, http.MethodGet, base+"/treasury/closings/"+day, admin, nil)
	for _, what := range []string{"payments", "claims"} {
		if a := e.Do(http.MethodGet, base+"/treasury/exports/"+what+"?format=csv&from="+day+"&to="+day, admin, nil); a.Status != http.StatusOK {
			t.Errorf("GET export of %s = %d %.300s", what, a.Status, a.Body)
		}
	}
}

// wanted waits until the server has explained a statement with each of the words: jobs run by
// themselves, and a test that looks at nothing proves nothing.
func wanted(t *testing.T, server *dbtest.Server, words ...string) {
	t.Helper()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		log, missing := logOf(t, server), ""
		for _, word := range words {
			if !strings.Contains(log, word) {
				missing += " «" + word + "»"
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("no statement was explained with%s", missing)
			return
		}
	}
}
