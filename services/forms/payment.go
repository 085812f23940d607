package forms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/money"
	"basisdienste/platform/tenantdir"
)

const (
	// grace is how long the job leaves a new payment to the request that made it.
	grace       = 20 * time.Second
	askTimeout  = 10 * time.Second
	maxAnswer   = 64 << 10
	afterUpload = 20 * time.Second
)

// paymentRequest and paymentItem are XBezahldienste 1.2.0.
type paymentRequest struct {
	RequestID        string        `json:"requestId"`
	RequestTimestamp string        `json:"requestTimestamp"`
	Currency         string        `json:"currency"`
	GrossAmount      money.Amount  `json:"grossAmount"`
	Purpose          string        `json:"purpose"`
	Description      string        `json:"description"`
	RedirectURL      string        `json:"redirectUrl"`
	Items            []paymentItem `json:"items"`
}

type paymentItem struct {
	ID              string       `json:"id"`
	Reference       string       `json:"reference"`
	Description     string       `json:"description"`
	TaxRate         int          `json:"taxRate"` // fees for acts of public authority bear no VAT
	Quantity        int          `json:"quantity"`
	TotalNetAmount  money.Amount `json:"totalNetAmount"`
	TotalTaxAmount  money.Amount `json:"totalTaxAmount"`
	SingleNetAmount money.Amount `json:"singleNetAmount"`
	SingleTaxAmount money.Amount `json:"singleTaxAmount"`
}

type paymentAnswer struct {
	PaymentInformation struct {
		TransactionID          string `json:"transactionId"`
		TransactionRedirectURL string `json:"transactionRedirectUrl"`
		Status                 string `json:"status"`
	} `json:"paymentInformation"`
}

// PayURL returns where the citizen pays: the open attempt's address, or that of a new
// attempt after one that failed, was cancelled or expired.
// Errors: application_not_found, nothing_to_pay, payment_unavailable.
func (s *Service) PayURL(ctx context.Context, subject string, appID id.ID) (string, error) {
	m, err := s.Own(ctx, subject, appID)
	if err != nil {
		return "", err
	}
	p, err := s.attempt(ctx, m)
	if err != nil {
		return "", err
	}
	if p.State == PaymentWanted {
		if p, err = s.ask(ctx, m, p, false); err != nil {
			return "", err
		}
	}
	if p.PayURL == "" { // paid while we asked
		return "", nothingToPay(m.State)
	}
	return p.PayURL, nil
}

func nothingToPay(state State) error {
	return fault.Conflict("nothing_to_pay", "the application is %s; there is nothing to pay", state)
}

// attempt returns the attempt under way, a new one if the last one is over. Two at once
// agree on one. Error: nothing_to_pay.
func (s *Service) attempt(ctx context.Context, m *Matter) (p *Payment, err error) {
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		a, err := lockApplication(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		list, err := paymentsOf(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		if a.State != AwaitingPayment || len(list) == 0 {
			return nothingToPay(a.State)
		}
		if p = &list[len(list)-1]; !p.State.Over() {
			return nil
		}
		now := tx.Now()
		p = &Payment{
			RequestID: id.New().String(), ApplicationID: m.ID, Attempt: p.Attempt + 1, State: PaymentWanted, Amount: a.Amount,
			NextTryAt: db.NewTime(now.Add(grace)), At: now,
		}
		return insertPayment(ctx, tx, p)
	})
	return p, err
}

// ask gets a transaction for the attempt from the payment service and keeps it. Asking
// twice, also after a lost answer, makes one transaction: the request id is the idempotency
// key. byMail says that nobody is there to be sent to the pay page. Error: payment_unavailable.
func (s *Service) ask(ctx context.Context, m *Matter, p *Payment, byMail bool) (*Payment, error) {
	answer, askErr := s.transaction(ctx, m, p)
	err := s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		if p, err = lockPayment(ctx, tx, p.RequestID); err != nil {
			return err
		}
		if p.State != PaymentWanted {
			return nil // another request, or the event that it was paid, came first
		}
		if askErr != nil {
			p.Failed(tx.Now())
			p.ByMail = true
			return savePayment(ctx, tx, p)
		}
		p.State, p.TransactionID, p.PayURL = PaymentOpen, answer.PaymentInformation.TransactionID, answer.PaymentInformation.TransactionRedirectURL
		p.ByMail = byMail
		p.NextTryAt = tx.Now()
		return savePayment(ctx, tx, p)
	})
	switch {
	case err != nil:
		return nil, err
	case askErr != nil && p.State == PaymentWanted:
		return nil, fault.Unavailable("payment_unavailable", "the payment service does not answer; the application is kept and the link to pay comes by mail").
			After(time.Minute).Because(askErr)
	}
	return p, nil
}

func (s *Service) transaction(ctx context.Context, m *Matter, p *Payment) (answer paymentAnswer, err error) {
	e, _, err := entry(ctx)
	if err != nil {
		return answer, err
	}
	endPoint, err := endPointID(e)
	if err != nil {
		return answer, err
	}
	title := m.Def.Title.De
	q := paymentRequest{
		RequestID: p.RequestID, RequestTimestamp: p.At.UTC().Format(time.RFC3339), Currency: "EUR", GrossAmount: p.Amount,
		Purpose: m.Ref(), Description: title, RedirectURL: s.returnURL(e, m.Application),
		Items: []paymentItem{{
			ID: m.Form, Reference: m.Ref(), Description: title, Quantity: 1,
			TotalNetAmount: p.Amount, SingleNetAmount: p.Amount,
		}},
	}
	path := "http://payment/xbezahldienste/paymenttransaction/" + url.PathEscape(m.Form) + "/" + url.PathEscape(endPoint)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := post(ctx, s.Payment, path, p.RequestID, q, &answer, http.StatusOK); err != nil {
		return answer, err
	}
	info := answer.PaymentInformation
	if info.TransactionID == "" || !absolute(info.TransactionRedirectURL) {
		return answer, errors.New("payment: the answer has no transaction or no address to pay at")
	}
	return answer, nil
}

// endPointID is the municipality's first ARS, or its first AGS.
func endPointID(e tenantdir.Entry) (string, error) {
	for _, digits := range []int{12, 8} {
		for _, k := range e.Keys {
			if len(k) == digits {
				return k, nil
			}
		}
	}
	return "", fmt.Errorf("payment: the tenant %s has no regional key", e.Slug)
}

// returnURL is where the browser goes after the pay page.
func (s *Service) returnURL(e tenantdir.Entry, a *Application) string {
	if a.ReturnURL != "" {
		return a.ReturnURL
	}
	return s.BaseURL + applicationPath(e.Slug, a.ID)
}

func applicationPath(slug string, appID id.ID) string {
	return "/t/" + slug + "/forms/applications/" + appID.String()
}

// post sends v as JSON with an idempotency key and reads the answer, if it has the status
// wanted, into dst (nil: not at all). Its errors hold the status and the code that the other
// service gave, nothing of what was sent.
func post(ctx context.Context, client *http.Client, target, key string, v, dst any, want int) (err error) {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body)) //nolint:gosec // the host is a service of ours, the path is escaped
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(idem.Header, key)
	resp, err := client.Do(req) //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("post %s: %w", req.URL.Host, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("post %s: %w", req.URL.Host, err)
	}
	if resp.StatusCode != want {
		var problem struct {
			Code string `json:"code"`
		}
		_ = json.Unmarshal(answer, &problem) // without a code the status has to do
		return fmt.Errorf("post %s: status %d %s", req.URL.Host, resp.StatusCode, problem.Code)
	}
	if dst == nil {
		return nil
	}
	return json.Unmarshal(answer, dst)
}
