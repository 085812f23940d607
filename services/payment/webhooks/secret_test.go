package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

// The example of the libraries of Standard Webhooks: what they sign, we sign alike.
func TestSign_Example(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	err := sign(h, []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got, want := h.Get("webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("sign = %q, %v; want %q", got, err, want)
	}
	if h.Get("webhook-id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || h.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("headers = %v, want the id and the seconds", h)
	}
}

// verify is what docs/webhooks.md tells receivers to do, without the check of the clock.
func verify(secret string, m received) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(m.header.Get("webhook-id") + "." + m.header.Get("webhook-timestamp") + "."))
	mac.Write(m.body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, signature := range strings.Fields(m.header.Get("webhook-signature")) {
		if hmac.Equal([]byte(signature), []byte(want)) {
			return true
		}
	}
	return false
}

func TestNewSecret(t *testing.T) {
	t.Parallel()
	a, b := newSecret(), newSecret()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a, "whsec_"))
	if a == b || !strings.HasPrefix(a, "whsec_") || err != nil || len(key) != 32 {
		t.Errorf("newSecret = %q, %q: %d bytes, %v; want two with 32 bytes", a, b, len(key), err)
	}
	now, h := time.Now(), http.Header{}
	if err := sign(h, []string{a, b}, id.New(), now, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{a, b} {
		w, err := standardwebhooks.NewWebhook(secret)
		if err != nil || w.Verify([]byte("{}"), h) != nil {
			t.Errorf("the library's Verify of two signatures = %v, %v; want nil", err, w.Verify([]byte("{}"), h))
		}
		if !verify(secret, received{header: h, body: []byte("{}")}) || verify(secret, received{header: h, body: []byte("{ }")}) {
			t.Errorf("verify of a message and of a changed one: want true and false")
		}
	}
}

func TestVault(t *testing.T) {
	t.Parallel()
	v, err := newVault(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	other, err := newVault([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	sealed := v.seal("erfurt", "e-1", "whsec_x")
	if again := v.seal("erfurt", "e-1", "whsec_x"); string(again) == string(sealed) || strings.Contains(string(sealed), "whsec_x") {
		t.Errorf("sealed twice: %x and %x, want them different and unreadable", sealed, again)
	}
	if got, err := v.open("erfurt", "e-1", sealed); err != nil || got != "whsec_x" {
		t.Errorf("open = %q, %v; want whsec_x", got, err)
	}
	for what, open := range map[string]func() (string, error){
		"of another tenant":   func() (string, error) { return v.open("jena", "e-1", sealed) },
		"of another endpoint": func() (string, error) { return v.open("erfurt", "e-2", sealed) },
		"with another key":    func() (string, error) { return other.open("erfurt", "e-1", sealed) },
		"cut off":             func() (string, error) { return v.open("erfurt", "e-1", sealed[:10]) },
		"empty":               func() (string, error) { return v.open("erfurt", "e-1", nil) },
	} {
		if got, err := open(); err == nil {
			t.Errorf("open %s = %q, want an error", what, got)
		}
	}
	if _, err := newVault([]byte("short")); err == nil {
		t.Error("newVault with 5 bytes = nil, want an error")
	}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	at := db.NewTime(november)
	for _, test := range []struct {
		d    Delivery
		want string
	}{
		{
			Delivery{Type: "payment.transaction.payed.v1", TransactionID: "t-1", At: at, Data: `{"transaction_id":"t-1","amount":3070}`},
			`{"type":"payment.transaction.payed.v1","timestamp":"2026-11-23T09:30:00Z","data":{"transaction_id":"t-1","amount":3070,"url":"https://x.example/t/erfurt/payment/v1/transactions/t-1"}}`,
		},
		{Delivery{Type: testType, At: at, Data: `{"webhook_id":"w-1"}`}, `{"type":"payment.webhook.test.v1","timestamp":"2026-11-23T09:30:00Z","data":{"webhook_id":"w-1"}}`},
	} {
		if got, err := message(&test.d, "https://x.example", "erfurt"); err != nil || string(got) != test.want {
			t.Errorf("message = %s, %v\nwant %s", got, err, test.want)
		}
	}
}
