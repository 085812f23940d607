package govuk_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/id"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/notify"
	"basisdienste/services/notify/govuk"
)

// clock is the time of server and client; a client's own may be off.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Millisecond) // no two messages at the same time
	return c.at
}

type env struct {
	*runtest.Env
	clock        *clock
	erfurt, jena tenantdir.Entry
	key, keyID   string
	admin        string
	spec         *runtest.Spec
	template     id.ID // test-message in German: needs name
}

func start(t *testing.T) *env {
	t.Helper()
	c := &clock{at: time.Now()}
	noMailer := func(notify.SMTP, func() time.Time) (notify.Mailer, error) { panic("no SMTP is configured") }
	e := &env{
		Env: runtest.Start(t, []run.App{notify.New(noMailer, govuk.Mount)}, runtest.Clock(c.now)), clock: c,
		spec: runtest.LoadSpec(t, "../../../contracts/openapi/notify-govuk.yaml"),
	}
	e.erfurt, e.jena = e.Tenant("erfurt"), e.Tenant("jena")
	e.admin = e.Token(authn.Principal{Kind: authn.Staff, TenantID: e.erfurt.ID, Roles: []string{authn.RoleTenantAdmin}})
	var k notify.KeyView
	a := e.Do(http.MethodPost, "/t/erfurt/notify/v1/api-keys", e.admin, map[string]string{"name": "fachverfahren"})
	a.JSON(t, &k)
	if a.Status != http.StatusCreated || k.Key == "" {
		t.Fatalf("POST api-keys = %d %s", a.Status, a.Body)
	}
	e.key, e.keyID = k.Key, k.ID.String()
	var list struct {
		Templates []struct {
			ID   id.ID  `json:"id"`
			Name string `json:"name"`
		} `json:"templates"`
	}
	e.get(t, "/v2/templates", http.StatusOK).JSON(t, &list)
	for _, tpl := range list.Templates {
		if tpl.Name == "test-message (de)" {
			e.template = tpl.ID
		}
	}
	if e.template == "" {
		t.Fatalf("templates = %+v, want test-message (de)", list)
	}
	return e
}

// sign makes a token as the official clients do: header, claims, HMAC-SHA256.
func sign(alg, issuer, secret string, iat any) string {
	claims := map[string]any{}
	if issuer != "" {
		claims["iss"] = issuer
	}
	if iat != nil {
		claims["iat"] = iat
	}
	enc := func(v any) string {
		b, _ := json.Marshal(v) //nolint:errchkjson // plain maps
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := enc(map[string]string{"alg": alg, "typ": "JWT"}) + "." + enc(claims)
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// token is made from a key as notifications-node-client 8.4.0 does: the last 36 characters
// are the secret, those from -73 to -37 the service; the time is rounded to seconds.
func (e *env) token(key string, off time.Duration) string {
	return sign("HS256", key[len(key)-73:len(key)-37], key[len(key)-36:], e.clock.now().Add(off).Round(time.Second).Unix())
}

// client is what that client sends along.
var client = []string{"User-Agent", "NOTIFY-API-NODE-CLIENT/8.4.0", "Accept", "application/json, text/plain, */*"}

func (e *env) do(t *testing.T, method, path string, body any, want int) runtest.Answer {
	t.Helper()
	a := e.Do(method, "/notify"+path, e.token(e.key, 0), body, client...)
	if a.Status != want {
		t.Fatalf("%s %s = %d %s, want %d", method, path, a.Status, a.Body, want)
	}
	e.spec.Check(t, method, "/notify"+path, a)
	return a
}

func (e *env) get(t *testing.T, path string, want int) runtest.Answer {
	t.Helper()
	return e.do(t, http.MethodGet, path, nil, want)
}

type object = map[string]any

// failure checks an error body, and returns its messages.
func failure(t *testing.T, what string, a runtest.Answer, status int, kind string, messages ...string) {
	t.Helper()
	var got struct {
		Status int `json:"status_code"`
		Errors []struct {
			Error   string `json:"error"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	a.JSON(t, &got)
	var texts []string
	for _, e := range got.Errors {
		if e.Error != kind {
			t.Errorf("%s: error type %s, want %s", what, e.Error, kind)
		}
		texts = append(texts, e.Message)
	}
	slices.Sort(texts)
	slices.Sort(messages)
	if a.Status != status || got.Status != status || !slices.Equal(texts, messages) {
		t.Errorf("%s = %d %s, want %d %q", what, a.Status, a.Body, status, messages)
	}
}

func TestSendEmail(t *testing.T) {
	t.Parallel()
	e := start(t)
	a := e.do(t, http.MethodPost, "/v2/notifications/email", object{
		"email_address": "amala@example.com", "template_id": e.template, "reference": "meine Referenz",
		"personalisation":           object{"name": "Amala [böser Link](https://evil.example) www.evil.example", "extra": 1},
		"one_click_unsubscribe_url": "https://example.com/u?x=1", "sanitise_content_for": []string{"name"},
	}, http.StatusCreated)
	var sent struct {
		ID      id.ID `json:"id"`
		Content struct {
			Subject string `json:"subject"`
			Body    string `json:"body"`
		} `json:"content"`
		URI      string `json:"uri"`
		Template struct {
			URI string `json:"uri"`
		} `json:"template"`
		Sanitised map[string]map[string]string `json:"sanitised_content"`
	}
	a.JSON(t, &sent)
	if sent.URI != e.URL+"/notify/v2/notifications/"+sent.ID.String() || sent.Template.URI != e.URL+"/notify/v2/template/"+e.template.String() {
		t.Errorf("uris = %s, %s, want ones that can be fetched", sent.URI, sent.Template.URI)
	}
	if strings.Contains(sent.Content.Body, "evil.example") || !strings.Contains(sent.Content.Body, "Guten Tag Amala [böser Link](") ||
		!strings.Contains(sent.Sanitised["name"]["unsanitised"], "https://evil.example") {
		t.Errorf("answer = %s, want the links taken out and said so", a.Body)
	}
	var n struct {
		Status      string  `json:"status"`
		Email       string  `json:"email_address"`
		Reference   string  `json:"reference"`
		CompletedAt *string `json:"completed_at"`
	}
	runtest.Eventually(t, "delivery", func() bool {
		e.get(t, "/v2/notifications/"+sent.ID.String(), http.StatusOK).JSON(t, &n)
		return n.Status == "delivered"
	})
	if n.Email != "amala@example.com" || n.Reference != "meine Referenz" || n.CompletedAt == nil {
		t.Errorf("notification = %+v", n)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000000Z", *n.CompletedAt); err != nil {
		t.Errorf("completed_at %q: %v", *n.CompletedAt, err)
	}
}

// TestSendEmail_MinimalNodeBody sends exactly what the Node client sends without options.
func TestSendEmail_MinimalNodeBody(t *testing.T) {
	t.Parallel()
	e := start(t)
	body := `{"template_id":"` + e.template.String() + `","email_address":"amala@example.com","personalisation":{"name":"Amala"}}`
	a := e.do(t, http.MethodPost, "/v2/notifications/email", body, http.StatusCreated)
	var got map[string]any
	a.JSON(t, &got)
	if got["reference"] != nil || got["scheduled_for"] != nil {
		t.Errorf("answer = %s, want null for reference and scheduled_for", a.Body)
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	e := start(t)
	service, secret := e.erfurt.ID.String(), e.key[len(e.key)-36:]
	now := e.clock.now().Unix()
	for _, c := range []struct {
		name, header string
		status       int
		message      string
	}{
		{"no header", "", 401, "Unauthorized: authentication token must be provided"},
		{"another scheme", "Basic eDp5", 401, "Unauthorized: authentication bearer scheme must be used"},
		{"no token", "Bearer nonsense", 403, "Invalid token: signature, api token is not valid"},
		{"no issuer", "Bearer " + sign("HS256", "", secret, now), 403, "Invalid token: iss field not provided"},
		{"issuer is no id", "Bearer " + sign("HS256", "erfurt", secret, now), 403, "Invalid token: service id is not the right data type"},
		{"unknown service", "Bearer " + sign("HS256", id.New().String(), secret, now), 403, "Invalid token: service not found"},
		{"service without keys", "Bearer " + sign("HS256", e.jena.ID.String(), secret, now), 403, "Invalid token: service has no API keys"},
		{"another algorithm", "Bearer " + sign("HS512", service, secret, now), 403, "Invalid token: algorithm used is not HS256"},
		{"no algorithm", "Bearer " + sign("none", service, secret, now), 403, "Invalid token: algorithm used is not HS256"},
		{"wrong secret", "Bearer " + sign("HS256", service, id.New().String(), now), 403, "Invalid token: API key not found"},
		{"too old", "Bearer " + sign("HS256", service, secret, now-32), 403, "Error: Your system clock must be accurate to within 30 seconds"},
		{"from the future", "Bearer " + sign("HS256", service, secret, now+40), 403, "Error: Your system clock must be accurate to within 30 seconds"},
		{"without a time", "Bearer " + sign("HS256", service, secret, nil), 403, "Error: Your system clock must be accurate to within 30 seconds"},
	} {
		a := e.Do(http.MethodGet, "/notify/v2/templates", "", nil, "Authorization", c.header)
		failure(t, c.name, a, c.status, "AuthError", c.message)
	}
	for name, off := range map[string]time.Duration{"a little ahead": 25 * time.Second, "a little behind": -25 * time.Second} {
		if a := e.Do(http.MethodGet, "/notify/v2/templates", e.token(e.key, off), nil); a.Status != http.StatusOK {
			t.Errorf("%s = %d %s, want 200", name, a.Status, a.Body)
		}
	}
	if a := e.Do(http.MethodPost, "/t/erfurt/notify/v1/api-keys/"+e.keyID+"/revoke", e.admin, nil); a.Status != http.StatusOK {
		t.Fatalf("revoke = %d %s", a.Status, a.Body)
	}
	failure(t, "revoked", e.Do(http.MethodGet, "/notify/v2/templates", e.token(e.key, 0), nil), 403, "AuthError", "Invalid token: API key revoked")
}

func TestSendEmail_Refusals(t *testing.T) {
	t.Parallel()
	e := start(t)
	tid := e.template.String()
	other := id.New().String()
	for _, c := range []struct {
		name, body, kind string
		messages         []string
	}{
		{"nothing", `{}`, "ValidationError", []string{"email_address is a required property", "template_id is a required property"}},
		{"no JSON", `{`, "BadRequestError", []string{"Invalid JSON supplied in POST data"}},
		{"no object", `[]`, "BadRequestError", []string{"Invalid JSON supplied in POST data"}},
		{"wrong values", `{"email_address":"x","template_id":"y","personalisation":[],"reference":1}`, "ValidationError", []string{
			"email_address Not a valid email address", "template_id is not a valid UUID", "personalisation [] is not of type object", "reference 1 is not of type string",
		}},
		{"unknown field", `{"email_address":"a@example.com","template_id":"` + tid + `","foo":1}`, "ValidationError", []string{"Additional properties are not allowed (foo was unexpected)"}},
		{"unsubscribe by http", `{"email_address":"a@example.com","template_id":"` + tid + `","one_click_unsubscribe_url":"http://example.com"}`, "ValidationError", []string{"one_click_unsubscribe_url is not a valid https url"}},
		{"reply-to", `{"email_address":"a@example.com","template_id":"` + tid + `","personalisation":{"name":"x"},"email_reply_to_id":"` + other + `"}`, "BadRequestError", []string{"email_reply_to_id " + other + " does not exist in database for service id " + e.erfurt.ID.String()}},
		{"unknown template", `{"email_address":"a@example.com","template_id":"` + other + `"}`, "BadRequestError", []string{"Template not found"}},
		{"missing personalisation", `{"email_address":"a@example.com","template_id":"` + tid + `","personalisation":{"vorname":"x"}}`, "BadRequestError", []string{"Missing personalisation: name"}},
		{"file by link", `{"email_address":"a@example.com","template_id":"` + tid + `","personalisation":{"name":{"file":"aGVsbG8=","filename":null,"confirm_email_before_download":null,"retention_period":null}}}`, "BadRequestError", []string{"Send files by email has not been set up for this service"}},
	} {
		a := e.do(t, http.MethodPost, "/v2/notifications/email", c.body, http.StatusBadRequest)
		failure(t, c.name, a, 400, c.kind, c.messages...)
	}
	a := e.do(t, http.MethodPost, "/v2/notifications/email", `{"personalisation":{"name":"`+strings.Repeat("x", 3_000_000)+`"}}`, http.StatusRequestEntityTooLarge)
	failure(t, "too long", a, 413, "BadRequestError", "Your message is too long")
}

func TestSMSAndLetters(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, c := range []struct {
		name, path, body, kind string
		messages               []string
	}{
		{"sms", "sms", `{"phone_number":"+447900900123","template_id":"` + e.template.String() + `","personalisation":{"name":"x"}}`, "BadRequestError", []string{"Service is not allowed to send text messages"}},
		{"sms without number", "sms", `{"template_id":"` + e.template.String() + `"}`, "ValidationError", []string{"phone_number is a required property"}},
		{"letter", "letter", `{"template_id":"` + e.template.String() + `","personalisation":{"address_line_1":"A"}}`, "BadRequestError", []string{"Service is not allowed to send letters"}},
		{"precompiled letter", "letter", `{"reference":"r","content":"JVBERi0="}`, "BadRequestError", []string{"Service is not allowed to send letters"}},
		{"letter without anything", "letter", `{}`, "ValidationError", []string{"template_id is a required property", "personalisation is a required property"}},
	} {
		a := e.do(t, http.MethodPost, "/v2/notifications/"+c.path, c.body, http.StatusBadRequest)
		failure(t, c.name, a, 400, c.kind, c.messages...)
	}
}

func (e *env) send(t *testing.T, reference string) id.ID {
	t.Helper()
	var sent struct {
		ID id.ID `json:"id"`
	}
	e.do(t, http.MethodPost, "/v2/notifications/email", object{
		"email_address": "amala@example.com", "template_id": e.template, "personalisation": object{"name": "Amala"}, "reference": reference,
	}, http.StatusCreated).JSON(t, &sent)
	return sent.ID
}

func TestNotifications_List(t *testing.T) {
	t.Parallel()
	e := start(t)
	var ids []id.ID
	for i := range 3 {
		ids = append(ids, e.send(t, strconv.Itoa(i)))
	}
	// A message that another program sent by our own API is not for this key.
	token := e.Token(authn.Principal{Kind: authn.Client, TenantID: e.erfurt.ID, Scopes: []string{"notify:write"}})
	a := e.Do(http.MethodPost, "/t/erfurt/notify/v1/messages", token, object{
		"template": "test-message", "channel": "email", "to": object{"email": "x@example.org"}, "personalisation": object{"name": "x"},
	})
	var own notify.SendAnswer
	a.JSON(t, &own)
	failure(t, "a message of another program", e.get(t, "/v2/notifications/"+own.ID.String(), http.StatusNotFound), 404, "NoResultFound", "No result found")
	list := func(query string) (got []id.ID, next string) {
		t.Helper()
		var l struct {
			Notifications []struct {
				ID id.ID `json:"id"`
			} `json:"notifications"`
			Links struct {
				Current string `json:"current"`
				Next    string `json:"next"`
			} `json:"links"`
		}
		e.get(t, "/v2/notifications"+query, http.StatusOK).JSON(t, &l)
		for _, n := range l.Notifications {
			got = append(got, n.ID)
		}
		if !strings.HasPrefix(l.Links.Current, e.URL+"/notify/v2/notifications") {
			t.Errorf("links.current = %s", l.Links.Current)
		}
		return got, l.Links.Next
	}
	all, next := list("")
	if !slices.Equal(all, []id.ID{ids[2], ids[1], ids[0]}) || !strings.Contains(next, "older_than="+ids[0].String()) {
		t.Errorf("list = %v, next %s, want the newest first", all, next)
	}
	for query, want := range map[string][]id.ID{
		"?reference=1":                               {ids[1]},
		"?older_than=" + ids[1].String():             {ids[0]},
		"?template_type=sms":                         nil,
		"?template_type=sms&template_type=email":     all,
		"?status=permanent-failure&status=failed":    nil,
		"?include_jobs=true&reference=2":             {ids[2]},
		"?older_than=" + ids[0].String():             nil,
		"?reference=1&status=created&status=sending": nil,
	} {
		if strings.Contains(query, "created") {
			runtest.Eventually(t, "delivery", func() bool { got, _ := list(query); return len(got) == 0 })
		}
		got, next := list(query)
		if !slices.Equal(got, want) || (next == "") != (len(want) == 0) {
			t.Errorf("list%s = %v next %q, want %v and a next page unless empty", query, got, next, want)
		}
	}
	a = e.get(t, "/v2/notifications?template_type=pigeon&older_than=x&page=2", http.StatusBadRequest)
	failure(t, "bad filters", a, 400, "ValidationError", "template_type pigeon is not one of [sms, email, letter]", "older_than is not a valid UUID",
		"Additional properties are not allowed (page was unexpected)")
}

func TestNotifications_NotFound(t *testing.T) {
	t.Parallel()
	e := start(t)
	failure(t, "unknown", e.get(t, "/v2/notifications/"+id.New().String(), http.StatusNotFound), 404, "NoResultFound", "No result found")
	failure(t, "no id", e.get(t, "/v2/notifications/x", http.StatusBadRequest), 400, "ValidationError", "notification_id is not a valid UUID")
	failure(t, "pdf", e.get(t, "/v2/notifications/"+e.send(t, "").String()+"/pdf", http.StatusBadRequest), 400, "BadRequestError", "Notification is not a letter")
	failure(t, "unknown address", e.Do(http.MethodGet, "/notify/v2/nothing", e.token(e.key, 0), nil), 404, "NotFound", "The requested URL was not found on the server")
	a := e.get(t, "/v2/received-text-messages", http.StatusOK)
	if !strings.Contains(string(a.Body), `"received_text_messages":[]`) {
		t.Errorf("received texts = %s", a.Body)
	}
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	e := start(t)
	var tpl struct {
		ID              id.ID          `json:"id"`
		Version         int            `json:"version"`
		Subject         string         `json:"subject"`
		Personalisation map[string]any `json:"personalisation"`
	}
	e.get(t, "/v2/template/"+e.template.String(), http.StatusOK).JSON(t, &tpl)
	if tpl.ID != e.template || tpl.Version != 1 || tpl.Subject != "Testnachricht für ((name))" || tpl.Personalisation["name"] == nil {
		t.Errorf("template = %+v", tpl)
	}
	e.get(t, "/v2/template/"+e.template.String()+"/version/1", http.StatusOK)
	failure(t, "unknown version", e.get(t, "/v2/template/"+e.template.String()+"/version/7", http.StatusNotFound), 404, "NoResultFound", "No result found")
	failure(t, "unknown template", e.get(t, "/v2/template/"+id.New().String(), http.StatusNotFound), 404, "NoResultFound", "No result found")
	failure(t, "no id", e.get(t, "/v2/template/x", http.StatusBadRequest), 400, "ValidationError", "id is not a valid UUID")
	failure(t, "bad type", e.get(t, "/v2/templates?type=pigeon", http.StatusBadRequest), 400, "ValidationError", "type pigeon is not one of [sms, email, letter]")
	if a := e.get(t, "/v2/templates?type=sms", http.StatusOK); !strings.Contains(string(a.Body), `"templates":[]`) {
		t.Errorf("templates of sms = %s, want none", a.Body)
	}
	var p struct {
		Subject string `json:"subject"`
		Body    string `json:"body"`
		HTML    string `json:"html"`
	}
	path := "/v2/template/" + e.template.String() + "/preview"
	e.do(t, http.MethodPost, path, `{"personalisation":{"NAME":"A <b>"}}`, http.StatusOK).JSON(t, &p)
	if p.Subject != "Testnachricht für A <b>" || !strings.Contains(p.Body, "Guten Tag A <b>,") || !strings.Contains(p.HTML, "Guten Tag A &lt;b&gt;,") {
		t.Errorf("preview = %+v", p)
	}
	failure(t, "preview without values", e.do(t, http.MethodPost, path, `{"personalisation":{}}`, http.StatusBadRequest), 400, "BadRequestError", "Missing personalisation: name")
}

func TestSimulator(t *testing.T) {
	t.Parallel()
	e := start(t)
	body := object{"email_address": "simulate-delivered@notifications.service.gov.uk", "template_id": e.template, "personalisation": object{"name": "x"}}
	var sent struct {
		ID id.ID `json:"id"`
	}
	e.do(t, http.MethodPost, "/v2/notifications/email", body, http.StatusCreated).JSON(t, &sent)
	e.get(t, "/v2/notifications/"+sent.ID.String(), http.StatusNotFound)
}

func TestSuspended(t *testing.T) {
	t.Parallel()
	e := start(t)
	suspended := e.erfurt
	suspended.Status, suspended.Version = tenantdir.Suspended, 2
	e.Put(suspended)
	a := e.do(t, http.MethodPost, "/v2/notifications/email", object{"email_address": "a@example.com", "template_id": e.template}, http.StatusForbidden)
	failure(t, "suspended", a, 403, "AuthError", "Invalid token: service is archived")
	e.get(t, "/v2/notifications", http.StatusOK)
}
