package payment

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// StripeConfig is the section payment.stripe. Without a secret key Stripe is not offered.
type StripeConfig struct {
	// URL of the API.
	URL string `config:"url"`
	// SecretKey of the platform, or of a municipality that is alone: sk_… or rk_….
	SecretKey string `config:"secret_key,secret"`
	// Livemode: real money. Has to fit the key.
	Livemode bool `config:"livemode"`
	// AccountWebhookSecrets sign the events of the account itself, ConnectWebhookSecrets those
	// of connected accounts. Each is a list: old and new while a secret is rolled.
	AccountWebhookSecrets []string `config:"account_webhook_secrets,secret"`
	ConnectWebhookSecrets []string `config:"connect_webhook_secrets,secret"`
	// Retries of a call that got no answer, within the time that it has.
	Retries int64 `config:"retries"`
}

func defaultStripe() StripeConfig { return StripeConfig{URL: "https://api.stripe.com", Retries: 1} }

// Validate implements the check of package config.
func (c *StripeConfig) Validate() error {
	if c.SecretKey == "" {
		return nil
	}
	var errs []error
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "127.0.0.1") {
		errs = append(errs, fmt.Errorf("url: %q is no https address", c.URL))
	}
	mode := "_test_"
	if c.Livemode {
		mode = "_live_"
	}
	if !strings.HasPrefix(c.SecretKey, "sk"+mode) && !strings.HasPrefix(c.SecretKey, "rk"+mode) {
		errs = append(errs, fmt.Errorf("secret_key: with livemode %t want one that begins with sk%s or rk%s", c.Livemode, mode, mode))
	}
	for _, s := range append(append([]string{}, c.AccountWebhookSecrets...), c.ConnectWebhookSecrets...) {
		if !strings.HasPrefix(s, "whsec_") {
			errs = append(errs, errors.New("webhook secrets: want such that begin with whsec_"))
		}
	}
	if c.Retries < 0 || c.Retries > 5 {
		errs = append(errs, errors.New("retries: want 0 to 5"))
	}
	return errors.Join(errs...)
}
