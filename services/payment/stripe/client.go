package stripe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	stripego "github.com/stripe/stripe-go/v79"
	"github.com/stripe/stripe-go/v79/account"
	"github.com/stripe/stripe-go/v79/accountlink"
	"github.com/stripe/stripe-go/v79/balancetransaction"
	"github.com/stripe/stripe-go/v79/checkout/session"
	"github.com/stripe/stripe-go/v79/dispute"
	"github.com/stripe/stripe-go/v79/paymentintent"
	"github.com/stripe/stripe-go/v79/payout"
	"github.com/stripe/stripe-go/v79/refund"

	"basisdienste/services/payment"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 8 << 20

// api is the part of stripe-go that is used, with a key of its own: nothing of it is global.
type api struct {
	sessions session.Client
	intents  paymentintent.Client
	refunds  refund.Client
	disputes dispute.Client
	payouts  payout.Client
	balance  balancetransaction.Client
	accounts account.Client
	links    accountlink.Client
}

func newAPI(cfg payment.StripeConfig, timeout time.Duration) api {
	backend := stripego.GetBackendWithConfig(stripego.APIBackend, &stripego.BackendConfig{
		URL:               stripego.String(cfg.URL),
		EnableTelemetry:   stripego.Bool(false),
		MaxNetworkRetries: stripego.Int64(cfg.Retries),
		LeveledLogger:     &stripego.LeveledLogger{Level: stripego.LevelNull}, // errors are returned
		HTTPClient: &http.Client{Timeout: timeout, Transport: discreet{&http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: timeout, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
		}}},
	})
	return api{
		sessions: session.Client{B: backend, Key: cfg.SecretKey}, intents: paymentintent.Client{B: backend, Key: cfg.SecretKey},
		refunds:  refund.Client{B: backend, Key: cfg.SecretKey},
		disputes: dispute.Client{B: backend, Key: cfg.SecretKey}, payouts: payout.Client{B: backend, Key: cfg.SecretKey},
		balance:  balancetransaction.Client{B: backend, Key: cfg.SecretKey},
		accounts: account.Client{B: backend, Key: cfg.SecretKey}, links: accountlink.Client{B: backend, Key: cfg.SecretKey},
	}
}

// discreet tells Stripe nothing of the machine, and reads no endless answer.
type discreet struct{ next http.RoundTripper }

func (d discreet) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("X-Stripe-Client-User-Agent") // has the output of uname
	answer, err := d.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = bounded{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	return answer, nil
}

type bounded struct {
	io.Reader
	io.Closer
}

// params are those of each call: whom it acts for, and until when.
func params(ctx context.Context, acct, key string) stripego.Params {
	p := stripego.Params{Context: ctx}
	if acct != Own {
		p.StripeAccount = stripego.String(acct)
	}
	if key != "" {
		p.IdempotencyKey = stripego.String(key)
	}
	return p
}

func listParams(ctx context.Context, acct string) stripego.ListParams {
	p := stripego.ListParams{Context: ctx, Limit: stripego.Int64(100)}
	if acct != Own {
		p.StripeAccount = stripego.String(acct)
	}
	return p
}

// refused returns Stripe's error, if it is an answer 400 of that type.
func refused(err error, kind stripego.ErrorType) (*stripego.Error, bool) {
	var e *stripego.Error
	if errors.As(err, &e) && e.Type == kind && e.HTTPStatusCode == http.StatusBadRequest {
		return e, true
	}
	return nil, false
}

// stuck reports whether Stripe repeats a failure of its own because the idempotency key had it
// before: it would do so for a day. What had been done by then is unknown.
func stuck(err error) bool {
	var e *stripego.Error
	return errors.As(err, &e) && e.HTTPStatusCode >= http.StatusInternalServerError && e.LastResponse != nil && replayed(e.LastResponse)
}

// replayed reports whether an answer is that of an earlier request with the same key.
func replayed(a *stripego.APIResponse) bool { return a.Header.Get("Idempotent-Replayed") == "true" }

// failed says what could not be done and why. Stripe's own text of an error may hold the
// payer's data, all of it but the message of an invalid request is left out.
func failed(what, acct string, err error) error {
	var e *stripego.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("stripe: %s: %w", what, err)
	}
	why := ""
	switch {
	case e.HTTPStatusCode == http.StatusNotFound:
		why = "it is not there; were the key, its mode or the account changed?"
	case e.HTTPStatusCode == http.StatusUnauthorized || e.HTTPStatusCode == http.StatusForbidden:
		why = "the key may not do it; is it the platform's, and the account connected to it?"
	case e.Type == stripego.ErrorTypeInvalidRequest:
		why = e.Msg
	}
	return &Error{What: what, Account: acct, Type: string(e.Type), Code: string(e.Code), Param: e.Param, Status: e.HTTPStatusCode, Request: e.RequestID, Why: why}
}

// Error is what Stripe refused to do.
type Error struct {
	What, Account, Type, Code, Param string
	Status                           int
	Request                          string // Stripe's id of it, for its support
	Why                              string
}

func (e *Error) Error() string {
	text := fmt.Sprintf("stripe: %s at %s: %d %s", e.What, e.Account, e.Status, e.Type)
	for _, more := range []string{e.Code, e.Param, e.Why} {
		if more != "" {
			text += ", " + more
		}
	}
	return text + " (" + e.Request + ")"
}
