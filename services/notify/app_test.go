package notify_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/notify"
)

func noMailer(notify.SMTP, func() time.Time) (notify.Mailer, error) { panic("no SMTP is configured") }

// env is a running service with two municipalities and tokens for each kind of caller.
type env struct {
	*runtest.Env
	erfurt, jena                      tenantdir.Entry
	client, other, service, op, admin string
}

func start(t testing.TB, opts ...runtest.Option) env {
	t.Helper()
	e := env{Env: runtest.Start(t, []run.App{notify.New(noMailer)}, opts...)}
	e.erfurt, e.jena = e.Tenant("erfurt", "160510000000"), e.Tenant("jena", "160530000000")
	scopes := []string{"notify:read", "notify:write"}
	e.client = e.Token(authn.Principal{Kind: authn.Client, ClientID: "c", TenantID: e.erfurt.ID, Scopes: scopes, Subject: "c"})
	e.other = e.Token(authn.Principal{Kind: authn.Client, ClientID: "d", TenantID: e.jena.ID, Scopes: scopes, Subject: "d"})
	e.service = e.Token(authn.Principal{Kind: authn.Service, ClientID: "svc-forms", Subject: "svc-forms"})
	e.op = e.Token(authn.Principal{Kind: authn.Staff, TenantID: tenant.Operator, Roles: []string{authn.RoleOperator}})
	e.admin = e.Token(authn.Principal{Kind: authn.Staff, TenantID: e.erfurt.ID, Roles: []string{authn.RoleTenantAdmin}})
	return e
}

// object is a JSON object of a test.
type object = map[string]any

func received(to string) object {
	return object{
		"template": "application-received", "language": "de", "channel": "email", "to": object{"email": to},
		"personalisation": object{"name": "Erika Mustermann", "form_title": "Hundesteuer", "reference": "HUN-1", "municipality": "Erfurt"},
		"reference":       "r-1",
	}
}

type mails struct {
	Items []notify.LocalMail `json:"items"`
	Next  string             `json:"next"`
}

// outbox waits for n mails to an address.
func (e env) outbox(t testing.TB, to string, n int) []notify.LocalMail {
	t.Helper()
	var got mails
	runtest.Eventually(t, "mails to "+to, func() bool {
		a := e.Do(http.MethodGet, "/notify/v1/outbox?tenant=erfurt&to="+to, e.op, nil)
		if a.Status != http.StatusOK {
			t.Fatalf("GET outbox = %d %s", a.Status, a.Body)
		}
		got = mails{}
		a.JSON(t, &got)
		return len(got.Items) >= n
	})
	if len(got.Items) != n {
		t.Fatalf("outbox of %s has %d mails, want %d", to, len(got.Items), n)
	}
	return got.Items
}

const messages = "/t/erfurt/notify/v1/messages"

func TestApp_MessageToLocalOutbox(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]runtest.Option{"sqlite": nil, "postgres": {runtest.Postgres()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testMessageToLocalOutbox(t, start(t, opts...))
		})
	}
}

func testMessageToLocalOutbox(t *testing.T, e env) {
	t.Helper()
	q := received("erika@example.org")
	q["attachments"] = []object{{
		"filename": "termin.ics", "content_type": "text/calendar; method=REQUEST; charset=UTF-8; component=VEVENT",
		"content": base64.StdEncoding.EncodeToString([]byte("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")),
	}}
	a := e.Do(http.MethodPost, messages, e.client, q, "Idempotency-Key", "k1")
	var sent notify.SendAnswer
	a.JSON(t, &sent)
	if a.Status != http.StatusCreated || sent.Status != notify.Created {
		t.Fatalf("POST message = %d %s, want 201 created", a.Status, a.Body)
	}
	if again := e.Do(http.MethodPost, messages, e.client, q, "Idempotency-Key", "k1"); again.Status != http.StatusCreated || string(again.Body) != string(a.Body) {
		t.Errorf("POST with the same key = %d %s, want the first answer %s", again.Status, again.Body, a.Body)
	}
	m := e.outbox(t, "erika@example.org", 1)[0]
	if m.Subject != "Ihr Antrag „Hundesteuer“ ist eingegangen" || m.Tenant != "erfurt" || m.ID != sent.ID ||
		!strings.Contains(m.Text, "Guten Tag Erika Mustermann,") || !strings.Contains(m.HTML, "<strong>HUN-1</strong>") {
		t.Errorf("mail = %+v", m)
	}
	if len(m.Attachments) != 1 || m.Attachments[0].Filename != "termin.ics" {
		t.Errorf("attachments = %+v, want termin.ics", m.Attachments)
	}
	raw := e.Do(http.MethodGet, "/notify/v1/outbox/"+m.ID.String()+"/raw", e.op, nil)
	if raw.Status != http.StatusOK || raw.Header.Get("Content-Type") != "message/rfc822" ||
		strings.Count(string(raw.Body), "method=REQUEST") != 2 || !strings.Contains(string(raw.Body), "Auto-Submitted: auto-generated\r\n") {
		t.Errorf("raw = %d %s", raw.Status, raw.Body)
	}
	var view notify.MessageView
	e.Do(http.MethodGet, messages+"/"+sent.ID.String(), e.client, nil).JSON(t, &view)
	if view.Status != notify.Delivered || len(view.History) != 3 || view.CompletedAt == nil {
		t.Errorf("message = %+v, want delivered after three steps", view)
	}
}

// TestApp_MailboxAsksForLogin: nobody reads a mailbox without having logged in.
func TestApp_MailboxAsksForLogin(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, path := range []string{"/t/erfurt/mailbox/", "/t/erfurt/mailbox/0199b7c2-7d3a-7c11-8e55-2f6f0c9d4a01"} {
		a := e.Do(http.MethodGet, path, "", nil, "Accept", "text/html")
		if to := a.Header.Get("Location"); a.Status != http.StatusSeeOther || !strings.HasPrefix(to, e.URL+"/t/erfurt/auth/authorize?") ||
			!strings.Contains(to, "client_id=web-notify") || !strings.Contains(to, "acr_values=STORK-QAA-Level-1") {
			t.Errorf("GET %s = %d to %s, want the login", path, a.Status, to)
		}
	}
	for _, path := range []string{"/t/erfurt/mailbox", "/t/erfurt/notify"} {
		if a := e.Do(http.MethodGet, path, "", nil); a.Status != http.StatusSeeOther || a.Header.Get("Location") != "/t/erfurt/mailbox/" {
			t.Errorf("GET %s = %d to %s, want the mailbox", path, a.Status, a.Header.Get("Location"))
		}
	}
}
