package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/auth"
	"basisdienste/services/auth/sandbox"
)

// world is a running auth with two municipalities.
type world struct {
	*runtest.Env
	t            *testing.T
	dir          string
	clock        *clock
	erfurt, jena tenantdir.Entry
}

// clock can be set forward.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func start(t *testing.T, opts ...runtest.Option) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), clock: &clock{now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}}
	opts = append([]runtest.Option{
		runtest.RealAuth(), runtest.Dir(w.dir), runtest.Clock(w.clock.Now), runtest.Set("auth.sandbox", "true"),
	}, opts...)
	w.Env = runtest.Start(t, []run.App{auth.New(sandbox.Open)}, opts...)
	w.erfurt = w.Tenant("erfurt", "160510000000")
	w.jena = w.Tenant("jena", "160530000000")
	return w
}

// operatorSecret is what basisctl has on a new installation.
func (w *world) operatorSecret() string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "secrets", "operator-client"))
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
	IDToken     string `json:"id_token"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

const form = "application/x-www-form-urlencoded"

// post sends a form, with basic authentication if id is not empty.
func (w *world) post(path, id, secret string, values url.Values) runtest.Answer {
	w.t.Helper()
	headers := []string{"Content-Type", form}
	if id != "" {
		headers = append(headers, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret))))
	}
	return w.Do(http.MethodPost, path, "", values.Encode(), headers...)
}

func (w *world) clientToken(path, id, secret, scope string) (runtest.Answer, tokenAnswer) {
	w.t.Helper()
	v := url.Values{"grant_type": {"client_credentials"}}
	if scope != "" {
		v.Set("scope", scope)
	}
	a := w.post(path, id, secret, v)
	var answer tokenAnswer
	a.JSON(w.t, &answer)
	return a, answer
}

// operator returns an access token of the operator.
func (w *world) operator() string {
	w.t.Helper()
	a, answer := w.clientToken("/operator/auth/token", "basisctl", w.operatorSecret(), "")
	if a.Status != http.StatusOK {
		w.t.Fatalf("token of basisctl = %d %s", a.Status, a.Body)
	}
	return answer.AccessToken
}

// client registers a client below base ("/operator", "/t/erfurt") and returns its secret.
func (w *world) client(base string, metadata map[string]any) string {
	w.t.Helper()
	a := w.Do(http.MethodPost, base+"/auth/v1/clients", w.operator(), metadata)
	var answer struct {
		Secret string `json:"client_secret"`
	}
	a.JSON(w.t, &answer)
	if a.Status != http.StatusCreated {
		w.t.Fatalf("create client %v at %s = %d %s", metadata["client_id"], base, a.Status, a.Body)
	}
	return answer.Secret
}

// segment decodes a part of a JWT.
func segment(t *testing.T, token string, n int) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token has %d parts, want 3", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// principal is who the token speaks for, as every service sees it.
func (w *world) principal(token string) (authn.Principal, error) {
	return w.Process.Host("auth").Verifier.Verify(w.t.Context(), token)
}
