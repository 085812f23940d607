package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"basisdienste/platform/authn"
	"basisdienste/platform/textbrowser"
	"basisdienste/services/basis/clients"
)

// operation is one of the OpenAPI documents.
type operation struct {
	method, path string
	json         bool
	member       string // a member of its JSON body, if it has any
}

// operations reads contracts/openapi.
func operations(t testing.TB) []operation {
	t.Helper()
	files, err := filepath.Glob("../../contracts/openapi/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("contracts/openapi = %v, %v, want documents", files, err)
	}
	var out []operation
	for _, f := range files {
		loader := openapi3.NewLoader()
		loader.IsExternalRefsAllowed = true
		doc, err := loader.LoadFromFile(f)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		prefix := ""
		if len(doc.Servers) > 0 {
			prefix = strings.TrimSuffix(doc.Servers[0].URL, "/")
		}
		for path, item := range doc.Paths.Map() {
			for method, o := range item.Operations() {
				op := operation{method: method, path: prefix + path}
				if o.RequestBody != nil {
					if media := o.RequestBody.Value.Content["application/json"]; media != nil {
						op.json = true
						if media.Schema != nil && media.Schema.Value != nil {
							if names := slices.Sorted(maps.Keys(media.Schema.Value.Properties)); len(names) > 0 {
								op.member = names[0]
							}
						}
					}
				}
				out = append(out, op)
			}
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return out
}

var parameter = regexp.MustCompile(`\{[^}]+\}`)

// at is the operation's path for a municipality.
func (o operation) at(slug, ars string) string {
	values := map[string]string{
		"{tenant}": slug, "{slug}": slug, "{originatorId}": "demo-onlinedienst", "{endPointId}": ars, "{form}": "hundesteuer",
		"{service}": "bewohnerparken-video", "{name}": "test-message", "{template}": "test-message", "{language}": "de", "{client}": "efa-demo",
	}
	return parameter.ReplaceAllStringFunc(o.path, func(p string) string {
		if v, ok := values[p]; ok {
			return v
		}
		return "019a9f01-8639-7a04-a636-6fae2923476b"
	})
}

func (o operation) String() string { return o.method + " " + o.path }

// ofTenant reports whether the operation belongs to the municipality of its path.
func (o operation) ofTenant() bool {
	return strings.Contains(o.path, "{tenant}") || strings.Contains(o.path, "{endPointId}")
}

// world is a running basis and who may what there.
type world struct {
	*server
	d                    clients.Demo
	efa, operator, staff string // tokens: of all demo municipalities, of the operator, of a tenant-admin in Erfurt
	govuk                string // of Erfurt, for GOV.UK Notify's API
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{server: newServer(t)}
	w.start(t)
	w.d = w.demo(t)
	w.efa, w.operator = w.token(t, w.d.EfA), w.token(t, w.d.Operator)
	w.staff, w.govuk = w.staffToken(t), w.govukToken(t)
	return w
}

// staffToken logs the clerk in as the console does, and keeps the token.
func (w *world) staffToken(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "secrets", "service-key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	const verifier = "0123456789abcdef0123456789abcdef0123456789abcdef"
	challenge := sha256.Sum256([]byte(verifier))
	issuer, callback := w.url+"/t/erfurt/auth", w.url+"/t/erfurt/console/callback"
	b := textbrowser.New()
	err = b.Open(t.Context(), issuer+"/authorize?"+url.Values{
		"client_id": {"web-console"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	credentials := textbrowser.Answers{Fields: map[string]string{"username": w.d.Staff.Username, "password": w.d.Staff.Password}}
	// The console refuses a login that it did not begin, and leaves the code unused.
	err = b.Walk(t.Context(), credentials, func(p *textbrowser.Page) bool { return p.URL.Query().Get("code") != "" })
	code := b.Page.URL.Query().Get("code")
	if code == "" {
		t.Fatalf("staff login ended without a code: %v", err)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("web-console", authn.ServiceSecret(key, "web-console"))
	status, body, err := send(req)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.AccessToken == "" {
		t.Fatalf("POST %s/token = %d, %v: %.300s", issuer, status, err, body)
	}
	return answer.AccessToken
}

// govukToken makes the token that clients of GOV.UK Notify make from their API key.
func (w *world) govukToken(t testing.TB) string {
	t.Helper()
	const uuid = 36
	key := w.d.Notify.APIKey
	if len(key) < 2*uuid+1 {
		t.Fatalf("demo.json: notify.api_key is %q, want NAME-SERVICE-SECRET", key)
	}
	secret, service := key[len(key)-uuid:], key[len(key)-2*uuid-1:len(key)-uuid-1]
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret)}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: service, IssuedAt: jwt.NewNumericDate(time.Now())}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// tokenFor is a token that the operation's guard lets in, "" where it takes none.
func (w *world) tokenFor(o operation) string {
	switch {
	case strings.HasPrefix(o.path, "/operator/"), strings.HasPrefix(o.path, "/tenants/"):
		return w.operator
	case strings.HasPrefix(o.path, "/notify/v2/"):
		return w.govuk
	case strings.Contains(o.path, "/applications/{id}"), strings.Contains(o.path, "/staff"), strings.Contains(o.path, "/auth/v1/"), strings.Contains(o.path, "api-keys"), strings.Contains(o.path, "/stripe/account"):
		return w.staff
	default:
		return w.efa
	}
}

// raw sends a body as it is.
func (w *world) raw(ctx context.Context, o operation, token, mediaType string, body io.Reader) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, o.method, w.url+o.at("erfurt", w.d.Payment.EndPointID), body)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", mediaType)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return send(req)
}

// TestInput shows what careless and hostile clients of every operation get.
func TestInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	t.Run("token of another municipality", w.foreignToken)
	t.Run("JSON that is not in order", w.badJSON)
	t.Run("a body of 1 GB", w.hugeBody)
	t.Run("suspended municipality", w.suspended) // last: Erfurt stays suspended
}

// foreignToken: a client of Jena alone gets nowhere in Erfurt, by no operation; nor does
// Erfurt's staff in Jena.
func (w *world) foreignToken(t *testing.T) {
	status, body, err := w.do(t.Context(), http.MethodPost, "/operator/auth/v1/clients", w.operator, "", map[string]any{
		"client_id": "only-jena", "name": "Jena", "scopes": strings.Fields(w.d.EfA.Scope),
	})
	var client clients.OAuthClient
	if err != nil || status >= 300 || json.Unmarshal(body, &client) != nil {
		t.Fatalf("make a client = %d, %v: %.300s", status, err, body)
	}
	if status, body, err = w.do(t.Context(), http.MethodPost, "/operator/auth/v1/clients/only-jena/tenants/enable", w.operator, "", map[string]any{"tenants": []string{"jena"}}); err != nil || status >= 300 {
		t.Fatalf("switch it on for Jena = %d, %v: %.300s", status, err, body)
	}
	client.TokenURL, client.Scope = w.d.EfA.TokenURL, w.d.EfA.Scope
	jena := w.token(t, client)
	eventually(t, 20*time.Second, "the client may read in Jena", func() error {
		status, body, err := w.do(t.Context(), http.MethodGet, "/t/jena/notify/v1/messages", jena, "", nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("GET messages = %d %.200s", status, body)
		}
		return err
	})
	asked := 0
	for _, o := range operations(t) {
		if !o.ofTenant() {
			continue
		}
		status, _, err := w.do(t.Context(), o.method, o.at("erfurt", w.d.Payment.EndPointID), "", "", nil)
		if err != nil {
			t.Fatalf("%s: %v", o, err)
		}
		if status != http.StatusUnauthorized {
			continue // open to everybody, or guarded by a secret of its own
		}
		asked++
		for who, try := range map[string]struct{ token, slug, ars string }{
			"Jena's client in Erfurt": {jena, "erfurt", w.d.Payment.EndPointID}, "Erfurt's staff in Jena": {w.staff, "jena", "160530000000"},
		} {
			status, body, err := w.do(t.Context(), o.method, o.at(try.slug, try.ars), try.token, "", nil)
			if err != nil || status != http.StatusForbidden && status != http.StatusUnauthorized {
				t.Errorf("%s: %s = %d, %v, want 403: %.200s", who, o, status, err, body)
			}
		}
	}
	t.Logf("%d operations of municipalities take a token", asked)
	if asked < 20 {
		t.Errorf("only %d operations ask for a token, want more than 20", asked)
	}
}

// badJSON: a byte order mark, deep nesting, a member twice, something after the end.
func (w *world) badJSON(t *testing.T) {
	asked := 0
	for _, o := range operations(t) {
		if !o.json {
			continue
		}
		asked++
		member := o.member
		if member == "" {
			member = "x"
		}
		for name, body := range map[string]string{
			"BOM": "\xef\xbb\xbf{}", "deep": strings.Repeat(`{"`+member+`":`, 20_000), "deep list": strings.Repeat("[", 100_000),
			"twice": `{"` + member + `":"a","` + member + `":"b"}`, "trailing": `{} {}`, "cut off": `{"` + member + `":`, "no UTF-8": "{\"" + member + "\":\"\xff\"}",
		} {
			status, answer, err := w.raw(t.Context(), o, w.tokenFor(o), "application/json", strings.NewReader(body))
			switch {
			case err != nil:
				t.Errorf("%s: %s: %v", name, o, err)
			case status != http.StatusBadRequest && status != http.StatusUnprocessableEntity:
				t.Errorf("%s: %s = %d, want 400: %.200s", name, o, status, answer)
			case !json.Valid(answer):
				t.Errorf("%s: %s: the answer is no JSON: %.200s", name, o, answer)
			}
		}
		// XBezahldienste and GOV.UK Notify have no 415.
		status, answer, err := w.raw(t.Context(), o, w.tokenFor(o), "text/plain", strings.NewReader("{}"))
		if err != nil || status != http.StatusUnsupportedMediaType && (status != http.StatusBadRequest || !strings.HasPrefix(o.path, "/xbezahldienste") && !strings.HasPrefix(o.path, "/notify/v2/")) {
			t.Errorf("text/plain: %s = %d, %v, want 415: %.200s", o, status, err, answer)
		}
	}
	t.Logf("%d operations take JSON", asked)
	if asked < 15 {
		t.Errorf("only %d operations take JSON, want more than 15", asked)
	}
}

// endless is a body of 1 GB that counts what was taken of it.
type endless struct {
	first string
	left  int64
	taken int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, e.first)
	e.first = e.first[n:]
	for ; n < len(p); n++ {
		p[n] = 'a'
	}
	e.left -= int64(n)
	e.taken += int64(n)
	return n, nil
}

// hugeBody: nobody reads a gigabyte, and nobody keeps it in memory.
func (w *world) hugeBody(t *testing.T) {
	list := operations(t)
	for _, page := range []string{
		"/t/erfurt/auth/login", "/operator/auth/login", "/t/erfurt/auth/idp/sandbox/", "/t/erfurt/forms/begin/hundesteuer", "/t/erfurt/forms/logout",
		"/t/erfurt/booking/services/bewohnerparken-video", "/pay/019a9f01-8639-7a04-a636-6fae2923476b/x", "/operator/tenants/erfurt/suspend",
		"/t/erfurt/staff/applications/019a9f01-8639-7a04-a636-6fae2923476b/reject", "/t/erfurt/mailbox/", "/no/such/address",
	} {
		list = append(list, operation{method: http.MethodPost, path: page})
	}
	const most = 48 << 20 // the longest body that any operation takes, and what waits in buffers
	var asked int
	for _, o := range list {
		if o.method == http.MethodGet || o.method == http.MethodDelete {
			continue
		}
		asked++
		body, mediaType := &endless{first: "a=", left: 1 << 30}, "application/x-www-form-urlencoded"
		if o.json {
			body.first, mediaType = `{"`+o.member+`":"`, "application/json"
		}
		status, answer, err := w.raw(t.Context(), o, w.tokenFor(o), mediaType, body)
		// An operation without a body may do its work and cut the connection.
		if err == nil && (status >= 500 || o.json && status < 400) {
			t.Errorf("1 GB to %s = %d, want it refused: %.200s", o, status, answer)
		}
		if body.taken > most {
			t.Errorf("1 GB to %s: %d MB were taken before %d, %v", o, body.taken>>20, status, err)
		}
	}
	_, peak, err := w.Memory()
	t.Logf("%d addresses; most memory in use so far: %d MB", asked, peak>>20)
	if err != nil || peak == 0 || peak > 500<<20 {
		t.Errorf("the process had %d MB in use, %v, want less than 500", peak>>20, err)
	}
}

// suspended: new business is refused by every service, what is under way finishes, and the
// staff goes on reading.
func (w *world) suspended(t *testing.T) {
	l := newLoad(t, w.server, w.d)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// An application that waits for its fee, and an appointment that is held.
	answers, err := l.Answers(ctx, &clients.Application{Form: "meldebescheinigung", Email: "kim@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	apply := func(key string, dst any) (int, error) {
		return l.Request(ctx, http.MethodPost, "/t/erfurt/forms/v1/forms/meldebescheinigung/applications", key,
			map[string]any{"answers": answers, "level": 3, "return_url": w.url + "/t/erfurt/"}, dst, http.StatusForbidden)
	}
	var receipt struct {
		ID         string `json:"id"`
		PaymentURL string `json:"payment_url"`
	}
	if status, err := apply("before", &receipt); err != nil || status != http.StatusCreated {
		t.Fatalf("apply before = %d, %v", status, err)
	}
	status, body, err := w.do(ctx, http.MethodPost, "/tenants/v1/tenants/erfurt/suspend", w.operator, "", map[string]string{"reason": "Test"})
	if err != nil || status != http.StatusOK {
		t.Fatalf("suspend = %d, %v: %.300s", status, err, body)
	}

	slot := map[string]any{
		"service_id": w.d.Booking.ServiceID, "office_id": w.d.Booking.OfficeID, "starts_at": "2030-01-07T08:00:00Z", "name": "Kim", "email": "kim@example.org",
	}
	message := map[string]any{
		"template": "test-message", "channel": "email", "to": map[string]string{"email": "kim@example.org"}, "personalisation": map[string]string{"name": "Kim"},
	}
	for path, body := range map[string]any{
		"/t/erfurt/forms/v1/forms/meldebescheinigung/applications":                       map[string]any{"answers": answers, "level": 3},
		"/t/erfurt/booking/v1/appointments":                                              slot,
		"/xbezahldienste/paymenttransaction/demo-onlinedienst/" + w.d.Payment.EndPointID: l.Claim("after"),
		"/t/erfurt/notify/v1/messages":                                                   message,
	} {
		eventually(t, 10*time.Second, "new business is refused", func() error {
			status, answer, err := w.do(ctx, http.MethodPost, path, w.efa, "", body)
			if err == nil && (status != http.StatusForbidden || !bytes.Contains(bytes.ToLower(answer), []byte("suspended"))) {
				err = fmt.Errorf("POST %s = %d, want 403 tenant_suspended: %.300s", path, status, answer)
			}
			return err
		})
	}
	transactionID := strings.Split(strings.TrimPrefix(receipt.PaymentURL, w.url), "/")[2]
	if err := l.Pay(ctx, receipt.PaymentURL, "/xbezahldienste/paymenttransaction/meldebescheinigung/"+w.d.Payment.EndPointID+"/"+transactionID); err != nil {
		t.Errorf("a payment under way: %v, want it to finish", err)
	}
	eventually(t, 15*time.Second, "the paid application reaches the staff", func() error {
		status, answer, err := w.do(ctx, http.MethodGet, "/t/erfurt/forms/v1/applications/"+receipt.ID, w.staff, "", nil)
		if err == nil && (status != http.StatusOK || !bytes.Contains(answer, []byte(`"state":"delivered"`))) {
			err = fmt.Errorf("GET application = %d %.300s", status, answer)
		}
		return err
	})
	eventually(t, 15*time.Second, "its receipt is sent", func() error {
		status, answer, err := w.do(ctx, http.MethodGet, "/t/erfurt/notify/v1/messages?reference="+receipt.ID, w.efa, "", nil)
		if err == nil && (status != http.StatusOK || !bytes.Contains(answer, []byte("payment-receipt"))) {
			err = fmt.Errorf("GET messages = %d %.300s", status, answer)
		}
		return err
	})
	b := textbrowser.New()
	if err := b.Open(ctx, w.url+"/t/erfurt/staff"); err != nil {
		t.Fatal(err)
	}
	credentials := textbrowser.Answers{Fields: map[string]string{"username": w.d.Staff.Username, "password": w.d.Staff.Password}}
	if err := b.Walk(ctx, credentials, func(p *textbrowser.Page) bool { return strings.Contains(p.URL.Path, "/staff") }); err != nil || !strings.Contains(b.Page.Text(), "MBS-") {
		t.Errorf("staff's list = %v, %.300s, want the application", err, b.Page.Text())
	}
	if err := b.Open(ctx, w.url+"/t/erfurt/forms/hundesteuer"); err != nil || strings.Contains(b.Page.Text(), "Antrag beginnen") {
		t.Errorf("a form's page = %v, %.300s, want no way to begin", err, b.Page.Text())
	}
}
