package payment

import (
	"strings"
	"testing"
)

func TestStripeConfig_KeyModeAndAddressFitEachOther(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		change func(c *StripeConfig)
		want   string // in the error; empty: none
	}{
		{"no key", func(c *StripeConfig) { c.SecretKey, c.URL = "", "nonsense" }, ""},
		{"test key", func(*StripeConfig) {}, ""},
		{"restricted test key", func(c *StripeConfig) { c.SecretKey = "rk_test_1" }, ""},
		{"live key", func(c *StripeConfig) { c.SecretKey, c.Livemode = "sk_live_1", true }, ""},
		{"live key for tests", func(c *StripeConfig) { c.SecretKey = "sk_live_1" }, "livemode false"},
		{"test key for real money", func(c *StripeConfig) { c.Livemode = true }, "livemode true"},
		{"publishable key", func(c *StripeConfig) { c.SecretKey = "pk_test_1" }, "secret_key"},
		{"plain http", func(c *StripeConfig) { c.URL = "http://api.stripe.com" }, "no https address"},
		{"plain http to the machine itself", func(c *StripeConfig) { c.URL = "http://127.0.0.1:12111" }, ""},
		{"no address", func(c *StripeConfig) { c.URL = "" }, "no https address"},
		{"webhook secrets", func(c *StripeConfig) { c.ConnectWebhookSecrets = []string{"whsec_1", "whsec_2"} }, ""},
		{"a key as webhook secret", func(c *StripeConfig) { c.AccountWebhookSecrets = []string{"sk_test_1"} }, "whsec_"},
		{"many retries", func(c *StripeConfig) { c.Retries = 6 }, "retries"},
	} {
		cfg := defaultStripe()
		cfg.SecretKey = "sk_test_1"
		c.change(&cfg)
		err := cfg.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("Validate with %s = %v, want %q", c.what, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), cfg.SecretKey) {
			t.Errorf("Validate with %s tells the key: %v", c.what, err)
		}
	}
}
