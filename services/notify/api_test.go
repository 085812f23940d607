package notify_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"basisdienste/platform/authn"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/notify"
)

// problem is what a refusal says.
type problem struct {
	Code   string `json:"code"`
	Fields []struct {
		Name string `json:"name"`
		Code string `json:"code"`
	} `json:"fields"`
}

func change(q object, name string, v any) object {
	out := object{}
	for k, x := range q {
		out[k] = x
	}
	if v == nil {
		delete(out, name)
	} else {
		out[name] = v
	}
	return out
}

// TestAPI_Refusals: bad input gets a problem with a code and the field, and stores nothing.
func TestAPI_Refusals(t *testing.T) {
	t.Parallel()
	e := start(t)
	spec := runtest.LoadSpec(t, "../../contracts/openapi/notify.yaml")
	good := received("refused@example.org")
	file := func(name, kind, content string) object {
		return object{"filename": name, "content_type": kind, "content": base64.StdEncoding.EncodeToString([]byte(content))}
	}
	eleven := make([]object, 11)
	for i := range eleven {
		eleven[i] = file("a.txt", "text/plain", "x")
	}
	for _, c := range []struct {
		name, path, token string
		body              any
		status            int
		code, field       string
	}{
		{"no token", messages, "", good, 401, "token_missing", ""},
		{"token without the scope", messages, e.admin, good, 403, "scope_missing", ""},
		{"token of another tenant", messages, e.other, good, 403, "wrong_tenant", ""},
		{"unknown tenant", "/t/nowhere/notify/v1/messages", e.client, good, 404, "unknown_tenant", ""},
		{"byte order mark", messages, e.client, "\ufeff{}", 400, "invalid_json", ""},
		{"duplicate key", messages, e.client, `{"template":"a","template":"b"}`, 400, "duplicate_field", "/template"},
		{"deep nesting", messages, e.client, `{"personalisation":{"name":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}}`, 400, "invalid_json", ""},
		{"unknown field", messages, e.client, change(good, "cc", "x"), 400, "unknown_field", "/cc"},
		{"wrong type", messages, e.client, change(good, "to", "x"), 400, "wrong_type", "/to"},
		{"no template", messages, e.client, change(good, "template", nil), 422, "message_invalid", "/template"},
		{"unknown template", messages, e.client, change(good, "template", "nothing"), 404, "unknown_template", ""},
		{"unknown language", messages, e.client, change(good, "language", "fr"), 422, "message_invalid", "/language"},
		{"unknown channel", messages, e.client, change(good, "channel", "sms"), 422, "message_invalid", "/channel"},
		{"bad address", messages, e.client, change(good, "to", object{"email": "x@"}), 422, "message_invalid", "/to/email"},
		{"header in the address", messages, e.client, change(good, "to", object{"email": "x@example.org\r\nBcc: y@example.org"}), 422, "message_invalid", "/to/email"},
		{"mailbox without a subject", messages, e.client, change(good, "channel", "mailbox"), 422, "message_invalid", "/to/subject"},
		{"long reference", messages, e.client, change(good, "reference", strings.Repeat("x", 1001)), 422, "message_invalid", "/reference"},
		{"control character in the reference", messages, e.client, change(good, "reference", "a\x00b"), 422, "message_invalid", "/reference"},
		{"placeholder missing", messages, e.client, change(good, "personalisation", object{"name": "x"}), 422, "placeholder_missing", "/personalisation/form_title"},
		{"too many files", messages, e.client, change(good, "attachments", eleven), 422, "message_invalid", "/attachments"},
		{"file too large", messages, e.client, change(good, "attachments", []object{file("a.pdf", "application/pdf", strings.Repeat("x", 2<<20+1))}), 422, "message_invalid", "/attachments/0"},
		{"folder in a filename", messages, e.client, change(good, "attachments", []object{file("../a.pdf", "application/pdf", "x")}), 422, "message_invalid", "/attachments/0"},
		{"bad media type", messages, e.client, change(good, "attachments", []object{file("a.pdf", "application/pdf\r\nX: y", "x")}), 422, "message_invalid", "/attachments/0"},
		{"no base64", messages, e.client, change(good, "attachments", []object{{"filename": "a", "content_type": "text/plain", "content": "%"}}), 400, "wrong_type", "/attachments/0/content"},
	} {
		a := e.Do(http.MethodPost, c.path, c.token, c.body)
		var p problem
		a.JSON(t, &p)
		field := ""
		if len(p.Fields) > 0 {
			field = p.Fields[0].Name
		}
		if a.Status != c.status || p.Code != c.code || field != c.field {
			t.Errorf("%s: POST = %d %s at %q, want %d %s at %q\n%s", c.name, a.Status, p.Code, field, c.status, c.code, c.field, a.Body)
		}
		if c.path == messages {
			spec.Check(t, http.MethodPost, c.path, a)
		}
	}
	e.outbox(t, "refused@example.org", 0)
	if a := e.Do(http.MethodGet, messages, e.client, nil); !strings.Contains(string(a.Body), `"items":[]`) {
		t.Errorf("messages after refusals = %s, want none", a.Body)
	}
}

// TestAPI_HugeBody: a body of a gigabyte is refused after its limit, not read.
func TestAPI_HugeBody(t *testing.T) {
	t.Parallel()
	e := start(t)
	body := &counter{r: io.MultiReader(strings.NewReader(`{"reference":"`), io.LimitReader(endless{}, 1<<30))}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL+messages, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.client)
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusRequestEntityTooLarge || body.n.Load() > 100<<20 {
		t.Errorf("POST of 1 GB = %d after %d bytes, want 413 soon", resp.StatusCode, body.n.Load())
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestAPI_Idempotency(t *testing.T) {
	t.Parallel()
	e := start(t)
	q := received("once@example.org")
	first := e.Do(http.MethodPost, messages, e.client, q, "Idempotency-Key", "k")
	for range 3 {
		if again := e.Do(http.MethodPost, messages, e.client, q, "Idempotency-Key", "k"); string(again.Body) != string(first.Body) || again.Status != 201 {
			t.Errorf("again = %d %s, want the first answer %s", again.Status, again.Body, first.Body)
		}
	}
	if other := e.Do(http.MethodPost, messages, e.client, change(q, "reference", "other"), "Idempotency-Key", "k"); other.Status != 422 {
		t.Errorf("another body with the key = %d %s, want 422", other.Status, other.Body)
	}
	e.outbox(t, "once@example.org", 1)
}

func TestAPI_SuspendedTenant(t *testing.T) {
	t.Parallel()
	e := start(t)
	suspended := e.erfurt
	suspended.Status, suspended.Version = tenantdir.Suspended, 2
	e.Put(suspended)
	var p problem
	e.Do(http.MethodPost, messages, e.client, received("a@example.org")).JSON(t, &p)
	if p.Code != "tenant_suspended" {
		t.Errorf("a client's message = %s, want tenant_suspended", p.Code)
	}
	if a := e.Do(http.MethodPost, messages, e.service, received("b@example.org")); a.Status != 201 {
		t.Errorf("a message of our own service = %d %s, want it taken: what is under way finishes", a.Status, a.Body)
	}
	e.outbox(t, "b@example.org", 1)
}

func TestAPI_ReadAndList(t *testing.T) {
	t.Parallel()
	e := start(t)
	spec := runtest.LoadSpec(t, "../../contracts/openapi/notify.yaml")
	get := func(path, token string, want int) runtest.Answer {
		t.Helper()
		a := e.Do(http.MethodGet, path, token, nil)
		if a.Status != want {
			t.Fatalf("GET %s = %d %s, want %d", path, a.Status, a.Body, want)
		}
		spec.Check(t, http.MethodGet, path, a)
		return a
	}
	for i := range 5 {
		q := change(received(fmt.Sprintf("p%d@example.org", i)), "reference", fmt.Sprintf("r%d", i))
		a := e.Do(http.MethodPost, messages, e.client, q)
		spec.Check(t, http.MethodPost, messages, a)
		e.outbox(t, fmt.Sprintf("p%d@example.org", i), 1)
	}
	type list struct {
		Items []notify.MessageView `json:"items"`
		Next  string               `json:"next"`
	}
	var refs []string
	cursor := ""
	for range 5 {
		var l list
		get(messages+"?limit=2&cursor="+cursor, e.client, 200).JSON(t, &l)
		for _, m := range l.Items {
			refs = append(refs, m.Reference)
		}
		if cursor = l.Next; cursor == "" {
			break
		}
	}
	if got := strings.Join(refs, " "); got != "r4 r3 r2 r1 r0" {
		t.Errorf("pages = %s, want each once, the newest first", got)
	}
	var one list
	get(messages+"?reference=r3&status=delivered&channel=email&template=application-received", e.client, 200).JSON(t, &one)
	if len(one.Items) != 1 || one.Items[0].Reference != "r3" {
		t.Errorf("filtered = %+v, want r3", one.Items)
	}
	path := messages + "/" + one.Items[0].ID.String()
	get(path, e.client, 200)
	get("/t/jena/notify/v1/messages/"+one.Items[0].ID.String(), e.other, 404)
	get(messages+"/x", e.client, 404)
	get(messages+"?status=lost", e.client, 400)
	get(messages+"?channel=sms", e.client, 400)
	get(messages+"?cursor=x", e.client, 400)
	get(messages+"?limit=0", e.client, 400)

	get("/notify/v1/outbox", e.admin, 403)
	get("/t/jena/notify/v1/outbox", e.admin, 403)
	get("/notify/v1/outbox?tenant=nowhere", e.op, 404)
	var box mails
	get("/t/erfurt/notify/v1/outbox?limit=3", e.admin, 200).JSON(t, &box)
	if len(box.Items) != 3 || box.Next == "" {
		t.Errorf("outbox = %d, next %q, want 3 and more", len(box.Items), box.Next)
	}
	get("/t/erfurt/notify/v1/outbox?limit=3&cursor="+box.Next, e.admin, 200).JSON(t, &box)
	mid := box.Items[0].ID.String()
	get("/t/erfurt/notify/v1/outbox/"+mid, e.admin, 200)
	get("/t/erfurt/notify/v1/outbox/"+mid+"/raw", e.admin, 200)
	get("/notify/v1/outbox/"+mid, e.op, 200)
	get("/notify/v1/outbox/00000000-0000-7000-8000-000000000000", e.op, 404)
	jena := e.Token(authn.Principal{Kind: authn.Staff, TenantID: e.jena.ID, Roles: []string{authn.RoleClerk}})
	get("/t/jena/notify/v1/outbox/"+mid, jena, 404)
	if a := get("/t/jena/notify/v1/outbox", jena, 200); !strings.Contains(string(a.Body), `"items":[]`) {
		t.Errorf("Jena's outbox = %s, want nothing", a.Body)
	}
}

func TestAPI_TemplatesAndKeys(t *testing.T) {
	t.Parallel()
	e := start(t)
	spec := runtest.LoadSpec(t, "../../contracts/openapi/notify.yaml")
	do := func(method, path, token string, body any, want int) runtest.Answer {
		t.Helper()
		a := e.Do(method, "/t/erfurt/notify/v1/"+path, token, body)
		if a.Status != want {
			t.Fatalf("%s %s = %d %s, want %d", method, path, a.Status, a.Body, want)
		}
		spec.Check(t, method, "/t/erfurt/notify/v1/"+path, a)
		return a
	}
	do(http.MethodGet, "templates", e.client, nil, 200)
	do(http.MethodGet, "templates/payment-receipt?language=en", e.client, nil, 200)
	do(http.MethodGet, "templates/nothing", e.client, nil, 404)
	do(http.MethodGet, "templates/payment-receipt?language=fr", e.client, nil, 400)
	var v notify.TemplateView
	do(http.MethodPut, "templates/payment-receipt/de", e.client, object{
		"subject": "Danke, ((name))", "body": "# Danke\n\n((amount))", "placeholders": []object{{"name": "amount", "type": "amount"}},
	}, 200).JSON(t, &v)
	if !v.Own || v.Version != 2 || len(v.Placeholders) != 2 {
		t.Errorf("PUT template = %+v, want version 2 with two placeholders", v)
	}
	do(http.MethodPut, "templates/Bad_Name/de", e.client, object{"subject": "s", "body": "b"}, 422)
	do(http.MethodPut, "templates/payment-receipt/de", e.client, object{"subject": "s", "body": "((x"}, 422)
	do(http.MethodPut, "templates/payment-receipt/fr", e.client, object{"subject": "s", "body": "b"}, 400)
	var p notify.PreviewAnswer
	do(http.MethodPost, "templates/payment-receipt/preview", e.client, object{"personalisation": object{"name": "Erika", "amount": 10}}, 200).JSON(t, &p)
	if p.Subject != "Danke, Erika" || !strings.Contains(p.Text, "10,00\u00a0€") || !strings.Contains(p.HTML, `<html lang="de">`) {
		t.Errorf("preview = %+v", p)
	}
	do(http.MethodPost, "templates/payment-receipt/preview", e.client, object{"personalisation": object{"name": "Erika", "amount": "viel"}}, 422)

	do(http.MethodPost, "api-keys", e.client, object{"name": "x"}, 403)
	do(http.MethodPost, "api-keys", e.admin, object{"name": ""}, 422)
	var k notify.KeyView
	do(http.MethodPost, "api-keys", e.admin, object{"name": "x"}, 201).JSON(t, &k)
	if a := do(http.MethodGet, "api-keys", e.admin, nil, 200); strings.Contains(string(a.Body), k.Key[len(k.Key)-36:]) {
		t.Errorf("the list shows the secret: %s", a.Body)
	}
	do(http.MethodPost, "api-keys/"+k.ID.String()+"/revoke", e.admin, nil, 200)
	do(http.MethodPost, "api-keys/x/revoke", e.admin, nil, 404)
}

// TestSeed: a second start finds the same key and template.
func TestSeed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var first string
	var erfurt tenantdir.Entry
	for i := range 2 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			var seed func() run.Demo
			app := notify.New(noMailer)
			open := app.Open
			app.Open = withSeed(open, &seed, t)
			e := runtest.Start(t, []run.App{app}, runtest.Dir(dir))
			if i == 0 {
				erfurt = e.Tenant("erfurt")
			}
			demo := seed()["notify"].(map[string]string)
			if !strings.HasPrefix(demo["api_key"], "demo-"+erfurt.ID.String()+"-") || demo["base_url"] != e.URL+"/notify" || len(demo["email_template_id"]) != 36 {
				t.Errorf("demo = %v", demo)
			}
			if key := demo["api_key"] + demo["email_template_id"]; i == 0 {
				first = key
			} else if key != first {
				t.Errorf("second start = %v, want %v", key, first)
			}
		})
	}
}
