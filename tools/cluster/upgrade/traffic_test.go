package upgrade

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"basisdienste/platform/id"
)

// target is what demo.json says of the installation.
type target struct {
	EfAClient struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
		Scope  string `json:"scope"`
	} `json:"efa_client"`
	Payment struct {
		OriginatorID string `json:"originator_id"`
		EndPointID   string `json:"end_point_id"`
	} `json:"payment"`
	Notify struct {
		APIKey     string `json:"api_key"`
		TemplateID string `json:"email_template_id"`
	} `json:"notify"`
	Booking struct {
		ServiceID string `json:"service_id"`
	} `json:"booking"`
}

func readTarget(t *testing.T, file string) (d target) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// traffic sends each kind of request over and over until it is stopped, to the edges that are
// ready, as a load balancer does. No request is sent twice.
type traffic struct {
	t      *testing.T
	d      target
	edges  []string // addresses
	client *http.Client

	ready   atomic.Pointer[[]string]
	turn    atomic.Uint64
	sent    sync.Map // kind → *atomic.Int64
	mu      sync.Mutex
	created []string // payments that were acknowledged
	token   atomic.Pointer[string]
}

const (
	pause    = 40 * time.Millisecond // of a worker, between two requests
	lookAt   = 200 * time.Millisecond
	patience = 30 * time.Second // of a client
)

func newTraffic(t *testing.T, d target, edges []string) *traffic {
	return &traffic{t: t, d: d, edges: edges, client: &http.Client{
		Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
}

// run keeps everything going until ctx ends.
func (f *traffic) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	f.look(ctx)
	f.login(ctx)
	wg.Go(func() { repeat(ctx, lookAt, f.look) })
	for _, do := range []func(context.Context){f.login, f.payment, f.payment, f.message, f.slots, f.page, f.form, f.keys} {
		wg.Go(func() { repeat(ctx, pause, do) })
	}
}

func repeat(ctx context.Context, every time.Duration, do func(context.Context)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// A request that has begun is finished, and counts.
			do(context.WithoutCancel(ctx))
		}
	}
}

// look finds out which edges are ready.
func (f *traffic) look(ctx context.Context) {
	var ready []string
	for _, edge := range f.edges {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+edge+"/readyz", nil)
		if err != nil {
			f.t.Errorf("look at %s: %v", edge, err)
			continue
		}
		resp, err := f.client.Do(r)
		if err != nil {
			continue
		}
		if resp.StatusCode == http.StatusOK {
			ready = append(ready, edge)
		}
		_ = resp.Body.Close() // nothing is read
	}
	f.ready.Store(&ready)
}

// send sends one request and fails the test unless it is answered with the wanted status.
func (f *traffic) send(ctx context.Context, kind, method, path, body string, want int, header ...string) []byte {
	ready := *f.ready.Load()
	if len(ready) == 0 {
		f.t.Errorf("%s: no edge is ready", kind)
		return nil
	}
	edge := ready[f.turn.Add(1)%uint64(len(ready))]
	r, err := http.NewRequestWithContext(ctx, method, "http://"+edge+path, strings.NewReader(body))
	if err != nil {
		f.t.Errorf("%s: %v", kind, err)
		return nil
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	began := time.Now()
	resp, err := f.client.Do(r)
	if err != nil {
		f.t.Errorf("%s at %s: %v", kind, began.Format("15:04:05.000"), err)
		return nil
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // it was read
	if err != nil || resp.StatusCode != want {
		f.t.Errorf("%s at %s: got %d %v %.300s, want %d", kind, began.Format("15:04:05.000"), resp.StatusCode, err, text, want)
		return nil
	}
	n, _ := f.sent.LoadOrStore(kind, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	return text
}

func (f *traffic) login(ctx context.Context) {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {f.d.EfAClient.Scope}}
	credentials := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(f.d.EfAClient.ID) + ":" + url.QueryEscape(f.d.EfAClient.Secret)))
	text := f.send(ctx, "token", http.MethodPost, "/operator/auth/token", form.Encode(), 200,
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", "Basic "+credentials)
	var got struct {
		Token string `json:"access_token"`
	}
	if text == nil {
		return
	}
	if err := json.Unmarshal(text, &got); err != nil || got.Token == "" {
		f.t.Errorf("token: got %s, %v", text, err)
		return
	}
	f.token.Store(&got.Token)
}

func (f *traffic) bearer() string {
	if token := f.token.Load(); token != nil {
		return "Bearer " + *token
	}
	return "" // the login has failed the test
}

func (f *traffic) payments() string {
	return "/xbezahldienste/paymenttransaction/" + f.d.Payment.OriginatorID + "/" + f.d.Payment.EndPointID
}

// payment is made, and read back by another request.
func (f *traffic) payment(ctx context.Context) {
	body := fmt.Sprintf(`{"requestId": %q, "requestTimestamp": %q, "currency": "EUR", "grossAmount": 12.50, "purpose": "Rolling upgrade",
		"redirectUrl": "https://onlinedienst.example.org/zurueck", "items": [{"id": "1", "reference": "Fee", "taxRate": 0, "quantity": 1,
		"totalNetAmount": 12.50, "totalTaxAmount": 0, "singleNetAmount": 12.50, "singleTaxAmount": 0}]}`,
		id.New().String(), time.Now().UTC().Format(time.RFC3339))
	text := f.send(ctx, "payment", http.MethodPost, f.payments(), body, 200, "Authorization", f.bearer())
	if text == nil {
		return
	}
	var made struct {
		Information struct {
			ID string `json:"transactionId"`
		} `json:"paymentInformation"`
	}
	if err := json.Unmarshal(text, &made); err != nil || made.Information.ID == "" {
		f.t.Errorf("payment: got %s, %v", text, err)
		return
	}
	f.mu.Lock()
	f.created = append(f.created, made.Information.ID)
	f.mu.Unlock()
	f.read(ctx, made.Information.ID)
}

func (f *traffic) read(ctx context.Context, transactionID string) {
	f.send(ctx, "payment read", http.MethodGet, f.payments()+"/"+transactionID, "", 200, "Authorization", f.bearer())
}

func (f *traffic) message(ctx context.Context) {
	body := fmt.Sprintf(`{"email_address": "citizen@example.org", "template_id": %q, "reference": %q, "personalisation": {"name": "Kim"}}`, f.d.Notify.TemplateID, id.New().String())
	f.send(ctx, "message", http.MethodPost, "/notify/v2/notifications/email", body, 201, "Authorization", "Bearer "+f.notifyToken())
}

// notifyToken is made as the clients of GOV.UK Notify do: the key ends with the service's id
// and its secret, 36 characters each.
func (f *traffic) notifyToken() string {
	key := f.d.Notify.APIKey
	service, secret := key[len(key)-73:len(key)-37], key[len(key)-36:]
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret)}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		f.t.Errorf("notify token: %v", err)
		return ""
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: service, IssuedAt: jwt.NewNumericDate(time.Now())}).Serialize()
	if err != nil {
		f.t.Errorf("notify token: %v", err)
	}
	return token
}

func (f *traffic) slots(ctx context.Context) {
	f.send(ctx, "slots", http.MethodGet, "/t/erfurt/booking/v1/services/"+f.d.Booking.ServiceID+"/slots?"+url.Values{
		"from": {time.Now().AddDate(0, 0, 1).Format(time.DateOnly)}, "to": {time.Now().AddDate(0, 0, 8).Format(time.DateOnly)},
	}.Encode(), "", 200)
}

func (f *traffic) page(ctx context.Context) {
	f.send(ctx, "page", http.MethodGet, "/t/erfurt/", "", 200, "Accept", "text/html")
}

func (f *traffic) form(ctx context.Context) {
	f.send(ctx, "form page", http.MethodGet, "/t/jena/forms/", "", 200, "Accept", "text/html")
}

func (f *traffic) keys(ctx context.Context) {
	f.send(ctx, "tenants", http.MethodGet, "/t/erfurt/auth/.well-known/openid-configuration", "", 200)
}
