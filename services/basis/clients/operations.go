package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"basisdienste/platform/textbrowser"
)

// Payer is the EfA client that takes payments of its own; two of three are paid.
func (l *Load) Payer(worker string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		requestID := fmt.Sprintf("%s-%d", worker, n)
		body := l.Claim(requestID)
		path := "/xbezahldienste/paymenttransaction/" + l.Demo.Payment.OriginatorID + "/" + l.Demo.Payment.EndPointID
		var t transaction
		if _, err := l.Request(ctx, http.MethodPost, path, requestID, body, &t); err != nil {
			return err
		}
		l.Ledger.Note(func() { l.Ledger.Payments[requestID] = &Payment{ID: t.Information.ID} })
		if n%3 == 2 {
			return nil
		}
		if err := l.Pay(ctx, t.Information.PayURL, path+"/"+t.Information.ID); err != nil {
			return err
		}
		l.Ledger.Note(func() { l.Ledger.Payments[requestID].Paid = true })
		return nil
	}
}

// Claim is a request of XBezahldienste.
func (l *Load) Claim(requestID string) map[string]any {
	return map[string]any{
		"requestId": requestID, "requestTimestamp": "2026-11-22T10:00:00Z", "currency": "EUR", "grossAmount": json.Number("12.50"),
		"purpose": "Test " + requestID, "description": "Gebühr", "redirectUrl": l.Site.URL + "/t/erfurt/",
		"items": []map[string]any{{
			"id": "1", "reference": requestID, "description": "Gebühr", "taxRate": 0, "quantity": 1,
			"totalNetAmount": json.Number("12.50"), "totalTaxAmount": 0, "singleNetAmount": json.Number("12.50"), "singleTaxAmount": 0,
		}},
	}
}

type transaction struct {
	Information struct {
		ID     string `json:"transactionId"`
		PayURL string `json:"transactionRedirectUrl"`
		Status string `json:"status"`
	} `json:"paymentInformation"`
}

// Pay goes through the pay pages as a person does, from the beginning after each death, and
// then makes sure that the payment service knows.
func (l *Load) Pay(ctx context.Context, payURL, readPath string) error {
	err := l.again(ctx, func() error {
		b := textbrowser.Over(l.Site.HTTP.Transport)
		if err := b.Open(ctx, payURL); err != nil {
			return err
		}
		return b.Walk(ctx, textbrowser.Answers{}, func(p *textbrowser.Page) bool { return p.URL.Path == "/t/erfurt/" })
	})
	if err != nil {
		return err
	}
	return l.again(ctx, func() error {
		var t transaction
		if _, err := l.Request(ctx, http.MethodGet, readPath, "", nil, &t); err != nil {
			return err
		}
		switch t.Information.Status {
		case "PAYED":
			return nil
		case "INITIAL":
			return errors.New("the provider's word is under way")
		default:
			return permanentError{fmt.Errorf("GET %s: status %s after paying", readPath, t.Information.Status)}
		}
	})
}

// Applicant is the EfA client that delivers applications: with a proof and a fee, with a fee,
// without one. Three of four fees are paid, and then the clerk decides.
func (l *Load) Applicant(worker string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		a := &Application{Form: []string{"hundesteuer", "meldebescheinigung", "anwohnerparkausweis"}[n%3], Email: fmt.Sprintf("%s-%d@example.org", worker, n)}
		a.Fee = a.Form != "hundesteuer"
		answers, err := l.Answers(ctx, a)
		if err != nil {
			return err
		}
		var receipt struct {
			ID         string `json:"id"`
			PaymentURL string `json:"payment_url"`
		}
		body := map[string]any{"answers": answers, "level": 3, "return_url": l.Site.URL + "/t/erfurt/"}
		path := "/t/erfurt/forms/v1/forms/" + a.Form + "/applications"
		// Without a pay page the same request is sent again: it gets one as soon as there is one.
		err = l.again(ctx, func() error {
			if _, err := l.Request(ctx, http.MethodPost, path, a.Email, body, &receipt); err != nil {
				return err
			}
			l.Ledger.Note(func() {
				if l.Ledger.Applications[receipt.ID] == nil {
					l.Ledger.Applications[receipt.ID] = a
				}
			})
			if a.Fee && receipt.PaymentURL == "" {
				return errors.New("there is no pay page yet")
			}
			return nil
		})
		if err != nil {
			return err
		}
		if a.Fee {
			if n%4 == 3 {
				return nil
			}
			u, err := url.Parse(receipt.PaymentURL)
			if err != nil {
				return err
			}
			transactionID := strings.Split(u.Path, "/")[2]
			if err := l.Pay(ctx, receipt.PaymentURL, "/xbezahldienste/paymenttransaction/"+a.Form+"/"+l.Demo.Payment.EndPointID+"/"+transactionID); err != nil {
				return err
			}
			l.Ledger.Note(func() { a.Paid = true })
		}
		if l.Submitted != nil {
			l.Submitted(ctx, receipt.ID)
		}
		return nil
	}
}

// Answers are what an applicant fills in; a proof is uploaded first where there is one.
func (l *Load) Answers(ctx context.Context, a *Application) (map[string]any, error) {
	answers := map[string]any{"applicant": map[string]any{
		"F60000227": "Beispiel", "F60000228": "Kim",
		"G60000083": map[string]any{"F60000231": 12, "F60000232": 8, "F60000233": 1984},
		"G60000086": map[string]any{"F60000243": "Fischmarkt", "F60000244": "1", "F60000246": "99084", "F60000247": "Erfurt"},
		"G60000085": map[string]any{"F60000242": a.Email},
	}}
	switch a.Form {
	case "hundesteuer":
		answers["dogs"] = []any{map[string]any{
			"name": "Bello", "breed": "Dackel", "chip": "276098100000001", "birth": "2024-01-01", "since": "2024-03-01", "dangerous": "no",
		}}
	case "meldebescheinigung":
		answers["certificate"] = map[string]any{"kind": "simple", "purpose": "bank", "copies": 1}
	case "anwohnerparkausweis":
		file, err := l.upload(ctx)
		if err != nil {
			return nil, err
		}
		answers["residence"] = map[string]any{"main": "yes", "zone": "A1"}
		answers["vehicle"] = map[string]any{"plate": "EF-AB 123", "owner": "self", "registration": []string{file}}
		answers["permit"] = map[string]any{"years": "1"}
	}
	return answers, nil
}

// Proof is a small PDF.
const Proof = "%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\ntrailer\n<</Root 1 0 R>>\n%%EOF\n"

// upload sends a proof ahead. An upload whose answer was lost is sent again and leaves a file
// that nobody names; the service forgets it after a day.
func (l *Load) upload(ctx context.Context) (string, error) {
	var sent struct {
		ID string `json:"id"`
	}
	query := url.Values{"field": {"/vehicle/registration"}, "name": {"fahrzeugschein.pdf"}}
	err := l.again(ctx, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.Site.URL+"/t/erfurt/forms/v1/forms/anwohnerparkausweis/files?"+query.Encode(), strings.NewReader(Proof))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+*l.token.Load())
		req.Header.Set("Content-Type", "application/pdf")
		status, body, err := l.Site.Send(req)
		switch {
		case err != nil:
			return err
		case status >= 500:
			return fmt.Errorf("upload: %d %.300s", status, body)
		case status != http.StatusCreated:
			return permanentError{fmt.Errorf("upload: %d %.300s", status, body)}
		}
		return json.Unmarshal(body, &sent)
	})
	return sent.ID, err
}

// Clerk accepts applications on the staff's pages, one at a time.
type Clerk struct {
	l  *Load
	mu sync.Mutex
	b  *textbrowser.Browser
}

// NewClerk returns one who is not logged in.
func (l *Load) NewClerk() *Clerk {
	return &Clerk{l: l, b: textbrowser.Over(l.Site.HTTP.Transport)}
}

// Accept goes on until the page says that the application is accepted.
func (c *Clerk) Accept(ctx context.Context, applicationID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.l.again(ctx, func() error { return c.accept(ctx, applicationID) })
	c.l.Ledger.Note(func() {
		if err != nil {
			c.l.Ledger.Trouble = append(c.l.Ledger.Trouble, "clerk: "+applicationID+": "+err.Error())
			return
		}
		c.l.Ledger.Applications[applicationID].Accepted = true
	})
}

func (c *Clerk) accept(ctx context.Context, applicationID string) error {
	credentials := textbrowser.Answers{Fields: map[string]string{"username": c.l.Demo.Staff.Username, "password": c.l.Demo.Staff.Password}}
	if err := c.b.Open(ctx, c.l.Site.URL+"/t/erfurt/staff/applications/"+applicationID); err != nil {
		return err
	}
	if err := c.b.Walk(ctx, credentials, func(p *textbrowser.Page) bool { return strings.Contains(p.URL.Path, "/staff") }); err != nil {
		return err
	}
	if strings.Contains(c.b.Page.Text(), "Angenommen") {
		return nil
	}
	f, err := c.b.Page.FormTo("/accept")
	if err != nil {
		return err // the payment's event is under way
	}
	if err := c.b.Submit(ctx, f, "", nil); err != nil {
		return err
	}
	if !strings.Contains(c.b.Page.Text(), "Angenommen") {
		return errors.New("the page does not say that it is accepted")
	}
	return nil
}

// Notifier is a program that sends messages.
func (l *Load) Notifier(ctx context.Context, n int) error {
	reference := fmt.Sprintf("message-%d", n)
	body := map[string]any{
		"template": "test-message", "language": "de", "channel": "email", "to": map[string]string{"email": reference + "@example.org"},
		"personalisation": map[string]string{"name": "Kim"}, "reference": reference,
	}
	var sent struct {
		ID string `json:"id"`
	}
	if _, err := l.Request(ctx, http.MethodPost, "/t/erfurt/notify/v1/messages", reference, body, &sent); err != nil {
		return err
	}
	l.Ledger.Note(func() { l.Ledger.Messages[reference] = sent.ID })
	return nil
}

// Booker holds the first free slot from some day on, and confirms it.
func (l *Load) Booker(worker string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		email := fmt.Sprintf("%s-%d@example.org", worker, n)
		day := l.clock().AddDate(0, 0, 2+n%50)
		var free struct {
			Items []struct {
				StartsAt string `json:"starts_at"`
				OfficeID string `json:"office_id"`
			} `json:"items"`
		}
		query := url.Values{"from": {day.Format(time.DateOnly)}, "to": {day.AddDate(0, 0, 8).Format(time.DateOnly)}}
		path := "/t/erfurt/booking/v1/services/" + l.Demo.Booking.ServiceID + "/slots?" + query.Encode()
		if _, err := l.Request(ctx, http.MethodGet, path, "", nil, &free); err != nil {
			return err
		}
		for i, slot := range free.Items {
			body := map[string]any{
				"service_id": l.Demo.Booking.ServiceID, "office_id": slot.OfficeID, "starts_at": slot.StartsAt,
				"name": "Kim Beispiel", "email": email, "language": "de", "reference": email[:strings.Index(email, "@")],
			}
			var held struct {
				ID     string `json:"id"`
				Secret string `json:"secret"`
			}
			status, err := l.Request(ctx, http.MethodPost, "/t/erfurt/booking/v1/appointments", fmt.Sprintf("%s-%d", email, i), body, &held, http.StatusConflict)
			if err != nil {
				return err
			}
			if status == http.StatusConflict {
				continue // somebody was quicker
			}
			path := "/t/erfurt/booking/v1/appointments/" + held.ID + "/confirm"
			if _, err := l.Request(ctx, http.MethodPost, path, email, map[string]string{"secret": held.Secret}, nil); err != nil {
				return err
			}
			l.Ledger.Note(func() { l.Ledger.Appointments[held.ID] = &Appointment{Secret: held.Secret, Email: email} })
			return nil
		}
		return permanentError{fmt.Errorf("no slot is free from %s on", day.Format(time.DateOnly))}
	}
}
