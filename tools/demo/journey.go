package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"basisdienste/platform/id"
	"basisdienste/platform/textbrowser"
)

// journey is one citizen, one clerk and one program.
type journey struct {
	d       description
	citizen *textbrowser.Browser
	clerk   *textbrowser.Browser
	email   string

	application, reference, transaction string
	bookingLink                         string

	before map[string]int64 // the tenant's counters of events when the journey began
	began  time.Time
	seen   int
}

func newJourney(d description) *journey {
	unique := id.Secret(6)
	return &journey{d: d, citizen: textbrowser.New(), clerk: textbrowser.New(), email: "erika." + strings.ToLower(unique) + "@example.org", began: time.Now()}
}

// step is one line of the timeline; it returns what was seen. events are the ones that
// another service must have heard after it.
type step struct {
	name   string
	do     func(ctx context.Context) (saw string, err error)
	events []string
}

func (j *journey) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var err error
	if j.before, err = j.counters(ctx); err != nil {
		return fmt.Errorf("read the usage before the journey: %w", err)
	}
	steps := []step{
		{"log in", j.logIn, nil},
		{"fill in the form", j.fillIn, []string{"forms.application.submitted", "payment.transaction.created"}},
		{"pay", j.pay, []string{"payment.transaction.payed"}},
		{"payment read back", j.paymentReadBack, nil},
		{"application moves on", j.movedOn, nil},
		{"receipt by mail", j.receipt, []string{"notify.message.accepted", "notify.message.delivered"}},
		{"official accepts", j.accept, []string{"forms.application.accepted"}},
		{"told by mail", j.told, nil},
		{"book a video appointment", j.book, []string{"booking.appointment.confirmed"}},
		{"invitation by mail", j.invitation, nil},
	}
	for i, s := range steps {
		began := time.Now()
		saw, err := s.do(ctx)
		if err == nil {
			err = j.heard(ctx, s.events)
		}
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, s.name, err)
		}
		j.seen++
		fmt.Printf("%2d  %-26s %5d ms  %s\n", i+1, s.name, time.Since(began).Milliseconds(), saw)
		for _, e := range s.events {
			fmt.Printf("%42s event %s\n", "", e)
		}
	}
	fmt.Printf("all %d steps seen in %d ms\n", j.seen, time.Since(j.began).Milliseconds())
	return nil
}

const parkingPermit = "anwohnerparkausweis"

// logIn opens the form and logs in at the sandbox identity provider.
func (j *journey) logIn(ctx context.Context) (string, error) {
	if err := j.citizen.Open(ctx, j.d.Forms.BaseURL+"/"+parkingPermit); err != nil {
		return "", err
	}
	first := j.citizen.Page.Heading()
	err := j.citizen.Walk(ctx, j.answers(), func(p *textbrowser.Page) bool {
		return strings.Contains(p.URL.Path, "/forms/applications/")
	})
	return fmt.Sprintf("%q, logged in at the identity provider, first question %q", first, j.citizen.Page.Heading()), err
}

// answers are the citizen's.
func (j *journey) answers() textbrowser.Answers {
	return textbrowser.Answers{File: proof(), Fields: map[string]string{
		"F60000228": "Erika", "F60000227": "Beispiel", "F60000231": "12", "F60000232": "8", "F60000233": "1984",
		"G60000083.day": "12", "G60000083.month": "8", "G60000083.year": "1984",
		"F60000243": "Fischmarkt", "F60000244": "1", "F60000246": "99084", "F60000247": "Erfurt",
		"F60000242": j.email, "F60000240": "+49 361 1234567", "residence.main": "yes", "residence.zone": "A1",
		"vehicle.plate": "EF-AB 123", "vehicle.owner": "self", "permit.years": "1",
		"declaration": "true", "consent": "true", "level": "3", "acr": "3",
		"name": "Erika Beispiel", "email": j.email, // of the appointment
	}}
}

// proof is a small PDF.
func proof() *textbrowser.Upload {
	return &textbrowser.Upload{Name: "fahrzeugschein.pdf", MediaType: "application/pdf", Content: []byte(
		"%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\ntrailer\n<</Root 1 0 R>>\n%%EOF\n")}
}

// fillIn goes through the pages, uploads the proof, checks and submits.
func (j *journey) fillIn(ctx context.Context) (string, error) {
	err := j.citizen.Walk(ctx, j.answers(), func(p *textbrowser.Page) bool { return strings.HasPrefix(p.URL.Path, "/pay/") })
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d pages, proof uploaded; now at %q", j.citizen.Pages, j.citizen.Page.Heading()), nil
}

// pay pays at the sandbox provider and comes back to the service.
func (j *journey) pay(ctx context.Context) (string, error) {
	j.transaction = idShape.FindString(j.citizen.Page.URL.Path)
	outcome := textbrowser.Answers{Fields: map[string]string{"outcome": "pay", "action": "pay"}}
	err := j.citizen.Walk(ctx, outcome, func(p *textbrowser.Page) bool { return strings.Contains(p.URL.Path, "/forms/") })
	if err != nil {
		return "", err
	}
	j.application = idShape.FindString(j.citizen.Page.URL.Path)
	if j.application == "" {
		return "", fmt.Errorf("no application in %s", j.citizen.Page.URL.Path)
	}
	return fmt.Sprintf("back at %q", j.citizen.Page.Heading()), nil
}

// paymentReadBack asks as the EfA program does: the federal API for the state, our own for
// what happened.
func (j *journey) paymentReadBack(ctx context.Context) (string, error) {
	token, err := j.d.EfA.token(ctx)
	if err != nil {
		return "", err
	}
	var t struct {
		Information struct {
			Status    string `json:"status"`
			Reference string `json:"transactionReference"`
			Method    string `json:"paymentMethod"`
		} `json:"paymentInformation"`
	}
	address := j.d.Payment.BaseURL + "/paymenttransaction/" + parkingPermit + "/" + j.d.Payment.EndPointID + "/" + j.transaction
	err = eventually(ctx, func() error {
		if err := getJSON(ctx, address, token, &t); err != nil {
			return err
		}
		if t.Information.Status != "PAYED" {
			return fmt.Errorf("status %s, want PAYED", t.Information.Status)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	var log struct {
		Items []struct {
			What string `json:"what"`
		} `json:"items"`
	}
	if err := getJSON(ctx, j.d.tenantURL("/payment/v1/transactions/"+j.transaction+"/events"), token, &log); err != nil {
		return "", err
	}
	var happened []string
	for _, e := range log.Items {
		happened = append(happened, e.What)
	}
	return fmt.Sprintf("XBezahldienste says %s by %s, Kassenzeichen %s; log: %s",
		t.Information.Status, t.Information.Method, t.Information.Reference, strings.Join(happened, ", ")), nil
}

// movedOn waits until the clerk sees the application as received, and reads its event log.
func (j *journey) movedOn(ctx context.Context) (string, error) {
	var what string
	err := eventually(ctx, func() error {
		if err := j.staffOpen(ctx, "/applications/"+j.application); err != nil {
			return err
		}
		what = j.clerk.Page.Text()
		return holds(what, "Eingereicht", "Bezahlt", "Beim Amt eingegangen")
	})
	if err != nil {
		return "", err
	}
	j.reference = strings.TrimSpace(between(what, "Vorgangsnummer", "Eingereicht"))
	return fmt.Sprintf("the clerk reads of %s: Eingereicht, Bezahlt, Beim Amt eingegangen", j.reference), nil
}

// staffOpen opens a staff page, logging in where that is asked for.
func (j *journey) staffOpen(ctx context.Context, path string) error {
	if err := j.clerk.Open(ctx, j.d.BaseURL+"/t/"+j.d.Staff.Tenant+"/staff"+path); err != nil {
		return err
	}
	credentials := textbrowser.Answers{Fields: map[string]string{"username": j.d.Staff.Username, "password": j.d.Staff.Password}}
	return j.clerk.Walk(ctx, credentials, func(p *textbrowser.Page) bool { return strings.Contains(p.URL.Path, "/staff") })
}

func (j *journey) receipt(ctx context.Context) (string, error) {
	m, err := j.mail(ctx, "30,70", "Kassenzeichen")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%q to the citizen", m.Subject), nil
}

func (j *journey) accept(ctx context.Context) (string, error) {
	if err := j.staffOpen(ctx, "/applications/"+j.application); err != nil {
		return "", err
	}
	f, err := j.clerk.Page.FormTo("/accept")
	if err != nil {
		return "", err
	}
	if err := j.clerk.Submit(ctx, f, "", nil); err != nil {
		return "", err
	}
	return "the page says: Angenommen", holds(j.clerk.Page.Text(), "Angenommen")
}

func (j *journey) told(ctx context.Context) (string, error) {
	m, err := j.mail(ctx, "/booking/")
	if err != nil {
		return "", err
	}
	j.bookingLink = linkIn(m.Text, "/booking/")
	return fmt.Sprintf("%q, with a link to book", m.Subject), nil
}

// book follows the link of the mail, takes the first free slot and confirms.
func (j *journey) book(ctx context.Context) (string, error) {
	b := textbrowser.New()
	if err := b.Open(ctx, j.bookingLink); err != nil {
		return "", err
	}
	err := b.Walk(ctx, j.answers(), func(p *textbrowser.Page) bool { return strings.Contains(p.Heading(), "gebucht") })
	return fmt.Sprintf("%q", b.Page.Heading()), err
}

// invitation reads the mail's source and parses its calendar part.
func (j *journey) invitation(ctx context.Context) (string, error) {
	token, err := j.d.Operator.token(ctx)
	if err != nil {
		return "", err
	}
	m, err := j.mail(ctx, "Termin", "https://")
	if err != nil {
		return "", err
	}
	raw, err := get(ctx, j.d.Notify.BaseURL+"/v1/outbox/"+m.ID+"/raw", token)
	if err != nil {
		return "", err
	}
	a, err := appointmentIn(raw)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%q; iCalendar: %s, video link on %s", m.Subject, a.starts.Format(time.RFC3339), a.conference.Host), nil
}

// mail waits for a mail to the citizen whose subject and text hold all of what.
func (j *journey) mail(ctx context.Context, what ...string) (found outboxMail, err error) {
	token, err := j.d.Operator.token(ctx)
	if err != nil {
		return found, err
	}
	err = eventually(ctx, func() error {
		var list struct {
			Items []outboxMail `json:"items"`
		}
		if err := getJSON(ctx, j.d.Notify.BaseURL+"/v1/outbox?"+url.Values{"to": {j.email}}.Encode(), token, &list); err != nil {
			return err
		}
		var subjects []string
		for _, m := range list.Items {
			subjects = append(subjects, m.Subject)
			if holds(m.Subject+"\n"+m.Text, what...) == nil {
				found = m
				return nil
			}
		}
		return fmt.Errorf("no mail with %q among %q", what, subjects)
	})
	return found, err
}

// counters is how many events of each kind of the demo tenant the service tenants has heard
// this month.
func (j *journey) counters(ctx context.Context) (map[string]int64, error) {
	token, err := j.d.Operator.token(ctx)
	if err != nil {
		return nil, err
	}
	body, err := get(ctx, j.d.BaseURL+"/tenants/v1/tenants/"+j.d.Staff.Tenant+"/usage", token)
	if err != nil {
		return nil, err
	}
	var usage struct {
		Counters []struct {
			Counter string `json:"counter"`
			Count   int64  `json:"count"`
		} `json:"counters"`
	}
	if err := json.Unmarshal(body, &usage); err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, c := range usage.Counters {
		out[c.Counter] = c.Count
	}
	return out, nil
}

// heard waits until each of the events was heard since the journey began.
func (j *journey) heard(ctx context.Context, events []string) error {
	if len(events) == 0 {
		return nil
	}
	return eventually(ctx, func() error {
		now, err := j.counters(ctx)
		if err != nil {
			return err
		}
		for _, e := range events {
			if now[e] <= j.before[e] {
				return fmt.Errorf("the service tenants has not heard of %s", e)
			}
		}
		return nil
	})
}

// holds returns an error unless text holds all of what.
func holds(text string, what ...string) error {
	for _, w := range what {
		if !strings.Contains(text, w) {
			return fmt.Errorf("%q is not said", w)
		}
	}
	return nil
}

var errNotReady = errors.New("not ready")

func expectReady(ctx context.Context, base string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := program.Do(req)
	if err != nil {
		return fmt.Errorf("nothing answers at %s: %w", base, err)
	}
	if resp.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("%s: %w: %s", base, errNotReady, resp.Status), resp.Body.Close())
	}
	return resp.Body.Close()
}
