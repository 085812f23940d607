package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"basisdienste/platform/id"
)

// client is an OAuth client in demo.json.
type client struct {
	ID       string `json:"client_id"`
	Secret   string `json:"client_secret"`
	TokenURL string `json:"token_url"`
	Scope    string `json:"scope"`
}

// demo is the part of demo.json that the operations need.
type demo struct {
	BaseURL string `json:"base_url"`
	EfA     client `json:"efa_client"`
	Payment struct {
		BaseURL      string `json:"base_url"`
		OriginatorID string `json:"originator_id"`
		EndPointID   string `json:"end_point_id"`
	} `json:"payment"`
	Notify struct {
		BaseURL    string `json:"base_url"`
		APIKey     string `json:"api_key"`
		TemplateID string `json:"email_template_id"`
	} `json:"notify"`
	Forms struct {
		BaseURL string `json:"base_url"`
	} `json:"forms"`
	Booking struct {
		BaseURL   string `json:"base_url"`
		ServiceID string `json:"service_id"`
	} `json:"booking"`
}

// operations returns what is measured, in the order of the table. Payments and applications are
// those of the places in turn, if there are any.
func operations(ctx context.Context, p *process, places []place) ([]operation, error) {
	var d demo
	if err := p.demo(&d); err != nil {
		return nil, err
	}
	token, err := d.EfA.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	endPoint := func(int64) string { return d.Payment.EndPointID }
	forms := func(int64) string { return d.Forms.BaseURL }
	if len(places) > 0 {
		if err := resolve(ctx, p.url, places); err != nil {
			return nil, err
		}
		at := func(n int64) place { return places[n%int64(len(places))] }
		endPoint = func(n int64) string { return at(n).ars }
		forms = func(n int64) string { return p.url + "/t/" + at(n).slug + "/forms" }
	}
	paid, err := d.pay(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("a payment to read: %w", err)
	}
	introspect := strings.TrimSuffix(d.EfA.TokenURL, "/token") + "/introspect"
	from := time.Now().AddDate(0, 0, 1).Format(time.DateOnly)
	to := time.Now().AddDate(0, 0, 31).Format(time.DateOnly)
	return []operation{
		{name: "token", target: "≤ 0.25 ms", want: 200, build: func(ctx context.Context, _ int64) (*http.Request, error) {
			return d.EfA.request(ctx, d.EfA.TokenURL, url.Values{"grant_type": {"client_credentials"}, "scope": {d.EfA.Scope}})
		}},
		{name: "introspection", target: "≤ 0.12 ms", want: 200, build: func(ctx context.Context, _ int64) (*http.Request, error) {
			return d.EfA.request(ctx, introspect, url.Values{"token": {token}})
		}},
		{name: "xbezahldienste-create", target: "≤ 0.45 ms", want: 200, build: func(ctx context.Context, n int64) (*http.Request, error) {
			return jsonRequest(ctx, d.Payment.BaseURL+"/paymenttransaction/"+d.Payment.OriginatorID+"/"+endPoint(n), token, payment())
		}},
		{name: "xbezahldienste-read", target: "≤ 0.15 ms", want: 200, build: func(ctx context.Context, _ int64) (*http.Request, error) {
			return getRequest(ctx, d.Payment.BaseURL+"/paymenttransaction/"+d.Payment.OriginatorID+"/"+d.Payment.EndPointID+"/"+paid, token)
		}},
		{name: "payment-read", target: "≤ 0.15 ms", want: 200, build: func(ctx context.Context, _ int64) (*http.Request, error) {
			return getRequest(ctx, strings.TrimSuffix(d.Forms.BaseURL, "/forms")+"/payment/v1/transactions/"+paid, token)
		}},
		{name: "application-submit", target: "none yet", want: 201, build: func(ctx context.Context, n int64) (*http.Request, error) {
			return jsonRequest(ctx, forms(n)+"/v1/forms/hundesteuer/applications", token, dogTax(n))
		}},
		{name: "notification-accept", target: "≤ 0.4 ms", want: 201, build: func(ctx context.Context, n int64) (*http.Request, error) {
			jwt, err := d.notifyToken(time.Now())
			if err != nil {
				return nil, err
			}
			return jsonRequest(ctx, d.Notify.BaseURL+"/v2/notifications/email", jwt, map[string]any{
				"template_id": d.Notify.TemplateID, "email_address": fmt.Sprintf("person-%d@example.org", n),
				"personalisation": map[string]string{"name": "Erika Beispiel"},
			})
		}},
		{name: "free-slots", target: "≤ 10 ms (50 staff × 60 days)", want: 200, build: func(ctx context.Context, _ int64) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodGet, d.Booking.BaseURL+"/v1/services/"+d.Booking.ServiceID+"/slots?from="+from+"&to="+to, nil)
		}},
	}, nil
}

// pay creates a payment of the demo's own place and returns its id.
func (d demo) pay(ctx context.Context, token string) (string, error) {
	req, err := jsonRequest(ctx, d.Payment.BaseURL+"/paymenttransaction/"+d.Payment.OriginatorID+"/"+d.Payment.EndPointID, token, payment())
	if err != nil {
		return "", err
	}
	var made struct {
		PaymentInformation struct {
			TransactionID string `json:"transactionId"`
		} `json:"paymentInformation"`
	}
	err = answer(req, &made)
	return made.PaymentInformation.TransactionID, err
}

// answer sends a request that is no part of the load, and reads what came.
func answer(req *http.Request, dst any) (err error) {
	resp, err := control.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, dst); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %.300s", resp.StatusCode, body)
	}
	return nil
}

func payment() map[string]any {
	return map[string]any{
		"requestId": id.New(), "requestTimestamp": time.Now().UTC().Format(time.RFC3339), "currency": "EUR",
		"grossAmount": json.Number("30.70"), "purpose": "Bewohnerparkausweis", "redirectUrl": "https://onlinedienst.example.org/zurueck",
		"items": []map[string]any{{
			"id": "1", "reference": "Bewohnerparkausweis", "taxRate": 0, "quantity": 1,
			"totalNetAmount": json.Number("30.70"), "totalTaxAmount": 0, "singleNetAmount": json.Number("30.70"), "singleTaxAmount": 0,
		}},
	}
}

// dogTax is an application without uploads and without a fee.
func dogTax(n int64) map[string]any {
	return map[string]any{"level": 1, "answers": map[string]any{
		"applicant": map[string]any{
			"F60000227": "Beispiel", "F60000228": "Erika",
			"G60000083": map[string]any{"F60000231": 12, "F60000232": 8, "F60000233": 1984},
			"G60000086": map[string]any{"F60000243": "Fischmarkt", "F60000244": "1", "F60000246": "99084", "F60000247": "Erfurt"},
			"G60000085": map[string]any{"F60000242": fmt.Sprintf("person-%d@example.org", n)},
		},
		"dogs": []map[string]any{{
			"name": "Bello", "breed": "Dackel", "chip": fmt.Sprintf("276%012d", n%1_000_000_000_000),
			"birth": "2024-03-01", "since": "2024-05-01", "dangerous": "no",
		}},
	}}
}

func (c client) request(ctx context.Context, address string, form url.Values) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	return req, nil
}

func (c client) token(ctx context.Context) (token string, err error) {
	req, err := c.request(ctx, c.TokenURL, url.Values{"grant_type": {"client_credentials"}, "scope": {c.Scope}})
	if err != nil {
		return "", err
	}
	var made struct {
		AccessToken string `json:"access_token"`
	}
	err = answer(req, &made)
	return made.AccessToken, err
}

// notifyToken signs as GOV.UK Notify's clients do: HS256 with the last 36 characters of the
// API key, issued by the 36 before them.
func (d demo) notifyToken(now time.Time) (string, error) {
	const size = 36
	key := d.Notify.APIKey
	if len(key) < 2*size+1 {
		return "", errors.New("demo.json: notify.api_key is too short")
	}
	secret, service := key[len(key)-size:], key[len(key)-2*size-1:len(key)-size-1]
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." + enc(marshal(map[string]any{"iss": service, "iat": now.Unix()}))
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(text))
	return text + "." + enc(m.Sum(nil)), nil
}

func jsonRequest(ctx context.Context, address, token string, v any) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(marshal(v)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req, nil
}

func getRequest(ctx context.Context, address, token string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err == nil {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req, err
}

// marshal is for the literals above, which always marshal.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }
