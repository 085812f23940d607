package main

import (
	"bytes"
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

// ledger is what the clients know: every write that was acknowledged, kept outside of the
// process that is killed.
type ledger struct {
	sync.Mutex
	payments     map[string]*claim       // by request id, of the EfA client itself
	applications map[string]*application // by id
	messages     map[string]string       // id by reference
	appointments map[string]*booked      // by id
	trouble      []string                // answers that a client must never get
}

type claim struct {
	id   string
	paid bool
}

type application struct {
	form, email    string
	fee            bool
	paid, accepted bool
}

type booked struct{ secret, email string }

func newLedger() *ledger {
	return &ledger{payments: map[string]*claim{}, applications: map[string]*application{}, messages: map[string]string{}, appointments: map[string]*booked{}}
}

func (l *ledger) note(change func()) {
	l.Lock()
	defer l.Unlock()
	change()
}

// load is the clients at work. Each goes on with its operation through every death of the
// server, with the same key, until it has an answer; between two operations it looks whether
// it is to stop.
type load struct {
	s       *server
	d       demo
	token   string // of the EfA client
	ledger  *ledger
	began   chan struct{} // one for each request
	stop    chan struct{}
	decided chan string // applications for the clerk
}

// request is one operation of the API, repeated until it is answered. Refused are answers
// with one of these statuses: the caller goes on in another way.
func (l *load) request(ctx context.Context, method, path, key string, body, dst any, refused ...int) (status int, err error) {
	err = l.again(ctx, func() error {
		code, text, err := l.s.do(ctx, method, path, l.token, key, body)
		switch {
		case err != nil:
			return err
		case code >= 500, code == http.StatusTooManyRequests, bytes.Contains(text, []byte("idempotency_key_in_use")):
			return fmt.Errorf("%s %s: %d %.300s", method, path, code, text)
		}
		status = code
		for _, r := range refused {
			if code == r {
				return nil
			}
		}
		if code >= 300 {
			return permanentError{fmt.Errorf("%s %s: %d %.500s", method, path, code, text)}
		}
		if dst == nil {
			return nil
		}
		return json.Unmarshal(text, dst)
	})
	return status, err
}

// permanentError is an answer that asking again does not change.
type permanentError struct{ error }

// again repeats f until it succeeds, fails for good, or ctx ends.
func (l *load) again(ctx context.Context, f func() error) error {
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case l.began <- struct{}{}:
		default: // nobody counts right now
		}
		err := f()
		var permanent permanentError
		if err == nil || errors.As(err, &permanent) {
			return err
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// worker repeats an operation until the load is to stop.
func (l *load) worker(ctx context.Context, name string, operation func(ctx context.Context, n int) error) {
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		if err := operation(ctx, n); err != nil {
			l.ledger.note(func() { l.ledger.trouble = append(l.ledger.trouble, name+": "+err.Error()) })
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// payer is the EfA client that takes payments of its own; two of three are paid.
func (l *load) payer(worker string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		requestID := fmt.Sprintf("%s-%d", worker, n)
		body := l.claim(requestID)
		path := "/xbezahldienste/paymenttransaction/" + l.d.Payment.OriginatorID + "/" + l.d.Payment.EndPointID
		var t transaction
		if _, err := l.request(ctx, http.MethodPost, path, requestID, body, &t); err != nil {
			return err
		}
		l.ledger.note(func() { l.ledger.payments[requestID] = &claim{id: t.Information.ID} })
		if n%3 == 2 {
			return nil
		}
		if err := l.pay(ctx, t.Information.PayURL, path+"/"+t.Information.ID); err != nil {
			return err
		}
		l.ledger.note(func() { l.ledger.payments[requestID].paid = true })
		return nil
	}
}

// claim is a request of XBezahldienste.
func (l *load) claim(requestID string) map[string]any {
	return map[string]any{
		"requestId": requestID, "requestTimestamp": "2026-11-22T10:00:00Z", "currency": "EUR", "grossAmount": json.Number("12.50"),
		"purpose": "Test " + requestID, "description": "Gebühr", "redirectUrl": l.s.url + "/t/erfurt/",
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

// pay goes through the pay pages as a person does, from the beginning after each death, and
// then makes sure that the payment service knows.
func (l *load) pay(ctx context.Context, payURL, readPath string) error {
	err := l.again(ctx, func() error {
		b := textbrowser.New()
		if err := b.Open(ctx, payURL); err != nil {
			return err
		}
		return b.Walk(ctx, textbrowser.Answers{}, func(p *textbrowser.Page) bool { return p.URL.Path == "/t/erfurt/" })
	})
	if err != nil {
		return err
	}
	for {
		var t transaction
		if _, err := l.request(ctx, http.MethodGet, readPath, "", nil, &t); err != nil {
			return err
		}
		switch t.Information.Status {
		case "PAYED":
			return nil
		case "INITIAL": // the provider's word is under way
		default:
			return permanentError{fmt.Errorf("GET %s: status %s after paying", readPath, t.Information.Status)}
		}
	}
}

// applicant is the EfA client that delivers applications: with a proof and a fee, with a fee,
// without one. Three of four fees are paid, and then the clerk decides.
func (l *load) applicant(worker string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		a := &application{form: []string{"hundesteuer", "meldebescheinigung", "anwohnerparkausweis"}[n%3], email: fmt.Sprintf("%s-%d@example.org", worker, n)}
		a.fee = a.form != "hundesteuer"
		answers, err := l.answers(ctx, a)
		if err != nil {
			return err
		}
		var receipt struct {
			ID         string `json:"id"`
			PaymentURL string `json:"payment_url"`
		}
		body := map[string]any{"answers": answers, "level": 3, "return_url": l.s.url + "/t/erfurt/"}
		path := "/t/erfurt/forms/v1/forms/" + a.form + "/applications"
		// Without a pay page the same request is sent again: it gets one as soon as there is one.
		for done := false; !done; done = !a.fee || receipt.PaymentURL != "" {
			if _, err := l.request(ctx, http.MethodPost, path, a.email, body, &receipt); err != nil {
				return err
			}
			l.ledger.note(func() {
				if l.ledger.applications[receipt.ID] == nil {
					l.ledger.applications[receipt.ID] = a
				}
			})
		}
		if a.fee {
			if n%4 == 3 {
				return nil
			}
			u, err := url.Parse(receipt.PaymentURL)
			if err != nil {
				return err
			}
			transactionID := strings.Split(u.Path, "/")[2]
			if err := l.pay(ctx, receipt.PaymentURL, "/xbezahldienste/paymenttransaction/"+a.form+"/"+l.d.Payment.EndPointID+"/"+transactionID); err != nil {
				return err
			}
			l.ledger.note(func() { a.paid = true })
		}
		l.decided <- receipt.ID
		return nil
	}
}

func (l *load) answers(ctx context.Context, a *application) (map[string]any, error) {
	answers := map[string]any{"applicant": map[string]any{
		"F60000227": "Beispiel", "F60000228": "Kim",
		"G60000083": map[string]any{"F60000231": 12, "F60000232": 8, "F60000233": 1984},
		"G60000086": map[string]any{"F60000243": "Fischmarkt", "F60000244": "1", "F60000246": "99084", "F60000247": "Erfurt"},
		"G60000085": map[string]any{"F60000242": a.email},
	}}
	switch a.form {
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

// proof is a small PDF.
const proof = "%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\ntrailer\n<</Root 1 0 R>>\n%%EOF\n"

// upload sends a proof ahead. An upload whose answer was lost is sent again and leaves a file
// that nobody names; the service forgets it after a day.
func (l *load) upload(ctx context.Context) (string, error) {
	var sent struct {
		ID string `json:"id"`
	}
	query := url.Values{"field": {"/vehicle/registration"}, "name": {"fahrzeugschein.pdf"}}
	err := l.again(ctx, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.s.url+"/t/erfurt/forms/v1/forms/anwohnerparkausweis/files?"+query.Encode(), strings.NewReader(proof))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+l.token)
		req.Header.Set("Content-Type", "application/pdf")
		status, body, err := send(req)
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

// clerk accepts applications on the staff's pages, each until the page says so.
func (l *load) clerk(ctx context.Context) {
	b := textbrowser.New()
	credentials := textbrowser.Answers{Fields: map[string]string{"username": l.d.Staff.Username, "password": l.d.Staff.Password}}
	for appID := range l.decided {
		path := "/t/erfurt/staff/applications/" + appID
		err := l.again(ctx, func() error {
			if err := b.Open(ctx, l.s.url+path); err != nil {
				return err
			}
			if err := b.Walk(ctx, credentials, func(p *textbrowser.Page) bool { return strings.Contains(p.URL.Path, "/staff") }); err != nil {
				return err
			}
			if strings.Contains(b.Page.Text(), "Angenommen") {
				return nil
			}
			f, err := b.Page.FormTo("/accept")
			if err != nil {
				return err // the payment's event is under way
			}
			if err := b.Submit(ctx, f, "", nil); err != nil {
				return err
			}
			if !strings.Contains(b.Page.Text(), "Angenommen") {
				return errors.New("the page does not say that it is accepted")
			}
			return nil
		})
		l.ledger.note(func() {
			if err != nil {
				l.ledger.trouble = append(l.ledger.trouble, "clerk: "+appID+": "+err.Error())
				return
			}
			l.ledger.applications[appID].accepted = true
		})
	}
}

// notifier is a program that sends messages.
func (l *load) notifier(ctx context.Context, n int) error {
	reference := fmt.Sprintf("message-%d", n)
	body := map[string]any{
		"template": "test-message", "language": "de", "channel": "email", "to": map[string]string{"email": reference + "@example.org"},
		"personalisation": map[string]string{"name": "Kim"}, "reference": reference,
	}
	var sent struct {
		ID string `json:"id"`
	}
	if _, err := l.request(ctx, http.MethodPost, "/t/erfurt/notify/v1/messages", reference, body, &sent); err != nil {
		return err
	}
	l.ledger.note(func() { l.ledger.messages[reference] = sent.ID })
	return nil
}

// booker holds the first free slot from some day on, and confirms it.
func (l *load) booker(worker string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		email := fmt.Sprintf("%s-%d@example.org", worker, n)
		day := time.Now().AddDate(0, 0, 2+n%50)
		var free struct {
			Items []struct {
				StartsAt string `json:"starts_at"`
				OfficeID string `json:"office_id"`
			} `json:"items"`
		}
		query := url.Values{"from": {day.Format(time.DateOnly)}, "to": {day.AddDate(0, 0, 8).Format(time.DateOnly)}}
		path := "/t/erfurt/booking/v1/services/" + l.d.Booking.ServiceID + "/slots?" + query.Encode()
		if _, err := l.request(ctx, http.MethodGet, path, "", nil, &free); err != nil {
			return err
		}
		for i, slot := range free.Items {
			body := map[string]any{
				"service_id": l.d.Booking.ServiceID, "office_id": slot.OfficeID, "starts_at": slot.StartsAt,
				"name": "Kim Beispiel", "email": email, "language": "de", "reference": email[:strings.Index(email, "@")],
			}
			var held struct {
				ID     string `json:"id"`
				Secret string `json:"secret"`
			}
			status, err := l.request(ctx, http.MethodPost, "/t/erfurt/booking/v1/appointments", fmt.Sprintf("%s-%d", email, i), body, &held, http.StatusConflict)
			if err != nil {
				return err
			}
			if status == http.StatusConflict {
				continue // somebody was quicker
			}
			path := "/t/erfurt/booking/v1/appointments/" + held.ID + "/confirm"
			if _, err := l.request(ctx, http.MethodPost, path, email, map[string]string{"secret": held.Secret}, nil); err != nil {
				return err
			}
			l.ledger.note(func() { l.ledger.appointments[held.ID] = &booked{secret: held.Secret, email: email} })
			return nil
		}
		return permanentError{fmt.Errorf("no slot is free from %s on", day.Format(time.DateOnly))}
	}
}

// read returns a document as it is, for checks at the end.
func (l *load) read(ctx context.Context, path string, headers http.Header) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.s.url+path, nil)
	if err != nil {
		return 0, nil, err
	}
	for name, values := range headers {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	return send(req)
}
