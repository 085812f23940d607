package forms

import (
	"net/http"
	"strings"
	"testing"

	"basisdienste/platform/audit"
	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/page"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
)

const api = "/t/erfurt/forms/v1"

// efa mints a token of a client that the operator switched on for Erfurt.
func (n *town) efa() string {
	n.Grant("efa-1", n.erfurt)
	return n.Token(authn.Principal{Kind: authn.Client, ClientID: "efa-1", Grants: "client:efa-1", Scopes: []string{"forms:write"}})
}

// problem is what an error answer says.
type problemBody struct {
	Code   string        `json:"code"`
	Fields []fault.Field `json:"fields"`
}

func codeOf(t *testing.T, a runtest.Answer) (p problemBody) {
	t.Helper()
	a.JSON(t, &p)
	return p
}

func TestAPI_submit(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	efa := n.efa()
	body := map[string]any{"answers": sample(t, "hundesteuer"), "level": 1, "language": "en"}
	first := n.Do(t, "POST", api+"/forms/hundesteuer/applications", efa, body, "Idempotency-Key", "k-1")
	if first.Status != http.StatusCreated {
		t.Fatalf("submit: got %d %s, want 201", first.Status, first.Body)
	}
	var r Receipt
	first.JSON(t, &r)
	if r.State != Delivered || !strings.HasPrefix(r.Reference, "HST-26-") || r.Amount != 0 || r.PaymentURL != "" {
		t.Errorf("receipt: got %+v, want delivered without a fee", r)
	}
	again := n.Do(t, "POST", api+"/forms/hundesteuer/applications", efa, body, "Idempotency-Key", "k-1")
	if again.Status != http.StatusCreated || string(again.Body) != string(first.Body) {
		t.Errorf("same key again: got %d %s, want the first answer", again.Status, again.Body)
	}
	body["level"] = 3
	if a := n.Do(t, "POST", api+"/forms/hundesteuer/applications", efa, body, "Idempotency-Key", "k-1"); a.Status != http.StatusUnprocessableEntity || codeOf(t, a).Code != "idempotency_key_reused" {
		t.Errorf("same key, other body: got %d %s, want 422 idempotency_key_reused", a.Status, a.Body)
	}
	d := n.show(t, r.ID.String())
	if d.ClientID != "efa-1" || d.Applicant != (Contact{"Kim Beispiel", "kim.beispiel@example.org"}) || len(d.Sections) != 5 || d.Sections[4].Title != "Hund 2: Rex" {
		t.Errorf("application: got %+v, want client, contact and sections", d)
	}
	runtest.Eventually(t, "mail in English", func() bool { return len(n.notify.messages("application-received", "email")) == 1 })
	m := n.notify.messages("application-received", "email")[0]
	if m.Language != "en" || m.Personalisation["form_title"] != "Register a dog for dog tax" || m.Personalisation["municipality"] != "Erfurt" {
		t.Errorf("mail: got %+v, want it in English", m)
	}
	if got := n.notify.messages("application-received", "mailbox"); len(got) != 0 {
		t.Errorf("mailbox of nobody: got %+v", got)
	}
}

func TestAPI_submitWithFilesAndFee(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	efa := n.efa()
	send := func(field, content, contentType string) runtest.Answer {
		return n.Do(t, "POST", api+"/forms/anwohnerparkausweis/files?name=schein.pdf&field="+field, efa, content, "Content-Type", contentType)
	}
	var files [2]FileSent
	for i, field := range []string{"/vehicle/registration", "/vehicle/permission"} {
		a := send(field, pdf, "application/pdf")
		if a.Status != http.StatusCreated {
			t.Fatalf("send file: got %d %s, want 201", a.Status, a.Body)
		}
		a.JSON(t, &files[i])
	}
	answers := sample(t, "anwohnerparkausweis")
	body := map[string]any{"answers": answers, "level": 1, "return_url": "https://efa.example.org/done"}
	post := func() runtest.Answer {
		return n.Do(t, "POST", api+"/forms/anwohnerparkausweis/applications", efa, body)
	}

	if a := post(); a.Status != http.StatusUnprocessableEntity || len(codeOf(t, a).Fields) != 2 || codeOf(t, a).Fields[0].Code != "unknown_file" {
		t.Errorf("files that nobody sent: got %d %s, want 422 with both named", a.Status, a.Body)
	}
	answers.set("/vehicle/registration", []any{files[1].ID})
	answers.set("/vehicle/permission", []any{files[0].ID})
	if a := post(); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("files of the other question: got %d %s, want 422", a.Status, a.Body)
	}
	answers.set("/vehicle/registration", []any{files[0].ID})
	answers.set("/vehicle/permission", []any{files[1].ID})
	a := post()
	var r Receipt
	a.JSON(t, &r)
	if a.Status != http.StatusCreated || r.State != AwaitingPayment || r.Amount != 3070 || !strings.HasPrefix(r.PaymentURL, payPages) {
		t.Fatalf("submit: got %d %s, want 201 with the address to pay at", a.Status, a.Body)
	}
	if got := n.payment.all()[0].RedirectURL; got != "https://efa.example.org/done" {
		t.Errorf("redirectUrl: got %s, want the client's own page", got)
	}
	if a := post(); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("files used twice: got %d, want 422", a.Status)
	}
	if a := n.Do(t, "GET", api+"/applications/"+r.ID.String()+"/files/"+files[0].ID.String(), n.clerk(), nil); a.Status != http.StatusOK || string(a.Body) != pdf ||
		!strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") || a.Header.Get("Content-Type") != "application/pdf" {
		t.Errorf("file for the clerk: got %d %v, want the bytes as an attachment", a.Status, a.Header)
	}
	for _, tt := range []struct{ name, field, content, mime, code string }{
		{"wrong type", "/vehicle/registration", "MZ\x90\x00", "application/pdf", "file_type"},
		{"other than claimed", "/vehicle/registration", png, "application/pdf", "file_type_mismatch"},
		{"no file question", "/vehicle/plate", pdf, "application/pdf", "unknown_file_field"},
		{"empty", "/vehicle/registration", "", "application/pdf", "file_empty"},
	} {
		if a := send(tt.field, tt.content, tt.mime); codeOf(t, a).Code != tt.code {
			t.Errorf("%s: got %d %s, want %s", tt.name, a.Status, a.Body, tt.code)
		}
	}
}

func TestAPI_badInput(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	jena := n.Tenant("jena", "160530000000")
	efa := n.efa()
	good := mustJSON(t, sample(t, "hundesteuer"))
	with := func(old, replaced string) string {
		return `{"level":1,"answers":` + strings.Replace(good, old, replaced, 1) + `}`
	}
	body := func(rest string) string { return `{"level":1,"answers":` + good + rest + `}` }
	tests := []struct {
		name, path, token, body string
		status                  int
		code, field             string
	}{
		{"answer breaks the schema", api + "/forms/hundesteuer/applications", efa, with(`"276098106123456"`, `"12"`), 422, "answers_invalid", "/answers/dogs/0/chip"},
		{"answer missing", api + "/forms/hundesteuer/applications", efa, with(`"breed":"Mischling",`, ``), 422, "answers_invalid", "/answers/dogs/0/breed"},
		{"answer that is not asked", api + "/forms/hundesteuer/applications", efa, with(`"breed":`, `"colour":"red","breed":`), 422, "answers_invalid", "/answers/dogs/0/colour"},
		{"no answers", api + "/forms/hundesteuer/applications", efa, `{"level":1}`, 422, "answers_missing", "/answers"},
		{"answers are a list", api + "/forms/hundesteuer/applications", efa, `{"level":1,"answers":[]}`, 400, "wrong_type", "/answers"},
		{"answer twice", api + "/forms/hundesteuer/applications", efa, with(`"breed":`, `"breed":"x","breed":`), 400, "duplicate_field", "/answers/dogs/0/breed"},
		{"byte order mark", api + "/forms/hundesteuer/applications", efa, "\ufeff" + body(""), 400, "invalid_json", ""},
		{"something after it", api + "/forms/hundesteuer/applications", efa, body("") + "{}", 400, "invalid_json", ""},
		{"deep nesting", api + "/forms/hundesteuer/applications", efa, `{"answers":` + strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20001), 400, "invalid_json", ""},
		{"too long", api + "/forms/hundesteuer/applications", efa, body(`,"x":"` + strings.Repeat("x", 1<<20) + `"`), 413, "body_too_large", ""},
		{"unknown member", api + "/forms/hundesteuer/applications", efa, body(`,"state":"accepted"`), 400, "unknown_field", "/state"},
		{"return to a script", api + "/forms/hundesteuer/applications", efa, body(`,"return_url":"javascript:alert(1)"`), 400, "invalid_value", "/return_url"},
		{"no such level", api + "/forms/hundesteuer/applications", efa, strings.Replace(body(""), `"level":1`, `"level":2`, 1), 400, "invalid_value", "/level"},
		{"level too low", api + "/forms/meldebescheinigung/applications", efa, `{"level":1,"answers":` + mustJSON(t, sample(t, "meldebescheinigung")) + `}`, 403, "level_too_low", ""},
		{"unknown form", api + "/forms/angelschein/applications", efa, body(""), 404, "unknown_form", ""},
		{"unknown tenant", "/t/nirgendwo/forms/v1/forms/hundesteuer/applications", efa, body(""), 404, "unknown_tenant", ""},
		{"tenant that the client may not act for", "/t/jena/forms/v1/forms/hundesteuer/applications", efa, body(""), 403, "wrong_tenant", ""},
		{"no token", api + "/forms/hundesteuer/applications", "", body(""), 401, "token_missing", ""},
		{"scope missing", api + "/forms/hundesteuer/applications", n.Token(authn.Principal{Kind: authn.Client, ClientID: "x", TenantID: n.erfurt.ID}), body(""), 403, "scope_missing", ""},
	}
	for _, tt := range tests {
		a := n.Do(t, "POST", tt.path, tt.token, tt.body)
		got := problemBody{}
		if a.Status >= 400 {
			got = codeOf(t, a)
		}
		if a.Status != tt.status || got.Code != tt.code {
			t.Errorf("%s: got %d %s, want %d %s", tt.name, a.Status, a.Body, tt.status, tt.code)
			continue
		}
		if tt.field != "" && (len(got.Fields) == 0 || got.Fields[0].Name != tt.field) {
			t.Errorf("%s: got fields %+v, want %s", tt.name, got.Fields, tt.field)
		}
	}
	jena.Status, jena.Version = tenantdir.Suspended, 2
	n.Put(jena)
	n.Grant("efa-1", n.erfurt, jena)
	a := n.Do(t, "POST", "/t/jena/forms/v1/forms/hundesteuer/applications", n.Token(authn.Principal{Kind: authn.Client, ClientID: "j", TenantID: jena.ID, Scopes: []string{"forms:write"}}), body(""))
	if a.Status != http.StatusForbidden || codeOf(t, a).Code != "tenant_suspended" {
		t.Errorf("suspended tenant: got %d %s, want 403 tenant_suspended", a.Status, a.Body)
	}
	var left int
	sys := db.System(t.Context())
	if err := n.Process.Host("forms").DB.Read(sys, func(tx *db.Tx) error { return tx.Get(sys, &left, `SELECT count(*) FROM applications`) }); err != nil || left != 0 {
		t.Errorf("applications after refused ones: got %d, %v, want none", left, err)
	}
}

func TestAPI_catalogue(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	var list page.List[FormEntry]
	n.Do(t, "GET", api+"/forms?lang=en", "", nil).JSON(t, &list)
	if len(list.Items) != 3 || list.Items[0].Form != "anwohnerparkausweis" || list.Items[0].Fee != 3070 || list.Items[2].Level != 3 || list.Items[1].Title != "Register a dog for dog tax" {
		t.Errorf("catalogue: got %+v, want three forms with fee, level and title", list.Items)
	}
	var one FormDetail
	n.Do(t, "GET", api+"/forms/hundesteuer", "", nil).JSON(t, &one)
	if !strings.Contains(string(one.Schema), "https://json-schema.org/draft/2020-12/schema") || one.Version != 1 {
		t.Errorf("form: got version %d and schema %s", one.Version, one.Schema)
	}
}

func TestAPI_staff(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	jena := n.Tenant("jena", "160530000000")
	efa := n.efa()
	var ids []string
	for range 3 {
		var r Receipt
		n.Do(t, "POST", api+"/forms/hundesteuer/applications", efa, map[string]any{"answers": sample(t, "hundesteuer"), "level": 1}).JSON(t, &r)
		ids = append([]string{r.ID.String()}, ids...)
	}
	c := n.citizen(t, "kim.1")
	c.fillPermit() // a draft: nobody's business
	draft := c.applicationID()

	var got []string
	cursor := ""
	for range 3 {
		var list page.List[Listed]
		n.Do(t, "GET", api+"/applications?state=delivered&limit=2&cursor="+cursor, n.clerk(), nil).JSON(t, &list)
		for _, a := range list.Items {
			got = append(got, a.ID.String())
			if a.FormTitle != "Hund zur Hundesteuer anmelden" || a.SubmittedAt == nil || a.Reference == "" {
				t.Errorf("list item: got %+v, want title, time and reference", a)
			}
		}
		if cursor = list.Next; cursor == "" {
			break
		}
	}
	if mustJSON(t, got) != mustJSON(t, ids) {
		t.Errorf("list in pages of two: got %v, want %v", got, ids)
	}

	jenaClerk := n.Token(authn.Principal{Kind: authn.Staff, TenantID: jena.ID, Subject: "clerk-2", Roles: []string{authn.RoleClerk}})
	noRole := n.Token(authn.Principal{Kind: authn.Staff, TenantID: n.erfurt.ID, Subject: "guest"})
	citizenToken := n.Token(authn.Principal{Kind: authn.Citizen, TenantID: n.erfurt.ID, Subject: "kim", Level: 4})
	one := api + "/applications/" + ids[0]
	refusals := []struct {
		name, method, path, token, body string
		status                          int
		code                            string
	}{
		{"no token", "GET", one, "", "", 401, "token_missing"},
		{"staff without a role", "GET", one, noRole, "", 403, "role_missing"},
		{"citizen", "GET", one, citizenToken, "", 403, "role_missing"},
		{"EfA client", "GET", one, efa, "", 403, "role_missing"},
		{"clerk of another tenant", "GET", one, jenaClerk, "", 403, "wrong_tenant"},
		{"another tenant's application", "GET", "/t/jena/forms/v1/applications/" + ids[0], jenaClerk, "", 404, "application_not_found"},
		{"another tenant's application, deciding", "POST", "/t/jena/forms/v1/applications/" + ids[0] + "/accept", jenaClerk, "{}", 404, "application_not_found"},
		{"a draft", "GET", api + "/applications/" + draft, n.clerk(), "", 404, "application_not_found"},
		{"accepting a draft", "POST", api + "/applications/" + draft + "/accept", n.clerk(), "{}", 404, "application_not_found"},
		{"a malformed id", "GET", api + "/applications/17", n.clerk(), "", 404, "application_not_found"},
		{"an unknown file", "GET", one + "/files/" + id.New().String(), n.clerk(), "", 404, "file_not_found"},
		{"an unknown state", "GET", api + "/applications?state=draft", n.clerk(), "", 400, "invalid_state"},
		{"a made up cursor", "GET", api + "/applications?cursor=abc", n.clerk(), "", 400, "invalid_cursor"},
		{"rejecting without a reason", "POST", one + "/reject", n.clerk(), `{"reason":" "}`, 422, "text_missing"},
		{"rejecting with a novel", "POST", one + "/reject", n.clerk(), `{"reason":"` + strings.Repeat("x", 2001) + `"}`, 422, "text_too_long"},
	}
	for _, tt := range refusals {
		var body any
		if tt.body != "" {
			body = tt.body
		}
		if a := n.Do(t, tt.method, tt.path, tt.token, body); a.Status != tt.status || codeOf(t, a).Code != tt.code {
			t.Errorf("%s: got %d %s, want %d %s", tt.name, a.Status, a.Body, tt.status, tt.code)
		}
	}

	if got := n.show(t, ids[0]).State; got != Delivered {
		t.Errorf("application: got %s, want delivered", got)
	}
	if a := n.Do(t, "POST", one+"/reject", n.clerk(), map[string]string{"reason": "Der Hund ist schon angemeldet."}); a.Status != http.StatusOK {
		t.Fatalf("reject: got %d %s", a.Status, a.Body)
	}
	runtest.Eventually(t, "mail with the reason", func() bool {
		m := n.notify.messages("application-rejected", "email")
		return len(m) == 1 && m[0].Personalisation["reason"] == "Der Hund ist schon angemeldet."
	})
	var log page.List[LogEntry]
	n.Do(t, "GET", one+"/events", n.clerk(), nil).JSON(t, &log)
	if got, want := logKinds(log.Items), "submitted delivered rejected"; got != want || log.Items[2].Actor != "staff:clerk-1" {
		t.Errorf("event log: got %q by %s, want %q by staff:clerk-1", got, log.Items[len(log.Items)-1].Actor, want)
	}
	ctx := runtest.Context(t, n.erfurt)
	entries, err := audit.Verify(ctx, n.Process.Host("forms").DB)
	if err != nil || entries != 2 {
		t.Errorf("audit log: got %d entries, %v, want those of reading and rejecting", entries, err)
	}
}
