package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"github.com/google/uuid"
)

// journey is one citizen, one clerk and one program.
type journey struct {
	d       description
	citizen *browser
	clerk   *browser
	email   string

	application, reference, transaction string
	bookingLink, manageLink             string

	began time.Time
	seen  int
}

func newJourney(d description) (*journey, error) {
	citizen, err := newBrowser()
	if err != nil {
		return nil, err
	}
	clerk, err := newBrowser()
	if err != nil {
		return nil, err
	}
	return &journey{d: d, citizen: citizen, clerk: clerk, email: "erika." + uuid.NewString()[:8] + "@example.org", began: time.Now()}, nil
}

// step is one line of the timeline; it returns what was seen.
type step struct {
	name string
	do   func(ctx context.Context) (saw string, err error)
}

func (j *journey) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	steps := []step{
		{"log in", j.logIn},
		{"fill in the form", j.fillIn},
		{"pay", j.pay},
		{"payment read back", j.paymentReadBack},
		{"application moves on", j.movedOn},
		{"receipt by mail", j.receipt},
		{"official accepts", j.accept},
		{"told by mail", j.told},
		{"book a video appointment", j.book},
		{"invitation by mail", j.invitation},
		{"usage counted", j.usage},
	}
	for i, s := range steps {
		began := time.Now()
		saw, err := s.do(ctx)
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, s.name, err)
		}
		j.seen++
		fmt.Printf("%2d  %-26s %5d ms  %s\n", i+1, s.name, time.Since(began).Milliseconds(), saw)
	}
	fmt.Printf("all %d steps seen in %d ms\n", j.seen, time.Since(j.began).Milliseconds())
	return nil
}

const parkingPermit = "anwohnerparkausweis"

// logIn opens the form and logs in at the sandbox identity provider, level 3.
func (j *journey) logIn(ctx context.Context) (string, error) {
	if err := j.citizen.open(ctx, j.d.Forms.BaseURL+"/"+parkingPermit); err != nil {
		return "", err
	}
	first := j.citizen.page.heading()
	err := j.citizen.walk(ctx, j.answers(), func(p *page) bool {
		return strings.Contains(p.url.Path, "/forms/") && p.hasField("F60000227")
	})
	return fmt.Sprintf("%q, then logged in at the identity provider", first), err
}

// answers are the citizen's, by the end of a field's name.
func (j *journey) answers() map[string]string {
	return map[string]string{
		"F60000228": "Erika", "F60000227": "Beispiel", "F60000231": "12", "F60000232": "8", "F60000233": "1984",
		"G60000083.day": "12", "G60000083.month": "8", "G60000083.year": "1984",
		"F60000243": "Fischmarkt", "F60000244": "1", "F60000246": "99084", "F60000247": "Erfurt",
		"F60000242": j.email, "F60000240": "+49 361 1234567", "residence.main": "yes", "residence.zone": "A1",
		"vehicle.plate": "EF-AB 123", "vehicle.owner": "self", "permit.years": "1",
		"declaration": "true", "consent": "true", "level": "3", "acr": "3",
		// booking
		"name": "Erika Beispiel", "email": j.email,
	}
}

var proof = &upload{name: "fahrzeugschein.pdf", mediaType: "application/pdf", content: []byte("%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\ntrailer\n<</Root 1 0 R>>\n%%EOF\n")}

// fillIn goes through the pages, uploads the proof, checks and submits.
func (j *journey) fillIn(ctx context.Context) (string, error) {
	err := j.citizen.walk(ctx, j.answers(), func(p *page) bool { return strings.HasPrefix(p.url.Path, "/pay/") })
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d pages, proof uploaded; now at %q", j.citizen.walked, j.citizen.page.heading()), nil
}

// pay pays at the sandbox provider and comes back to the service.
func (j *journey) pay(ctx context.Context) (string, error) {
	j.transaction = segmentAfter(j.citizen.page.url.Path, "pay")
	err := j.citizen.walk(ctx, map[string]string{"outcome": "pay", "action": "pay", "method": ""}, func(p *page) bool {
		return strings.Contains(p.url.Path, "/forms/")
	})
	if err != nil {
		return "", err
	}
	j.application = applicationID(j.citizen.page.url.Path)
	if j.application == "" {
		return "", fmt.Errorf("no application in %s", j.citizen.page.url.Path)
	}
	return fmt.Sprintf("back at %q", j.citizen.page.heading()), nil
}

// paymentReadBack asks as the EfA program does, by the federal API.
func (j *journey) paymentReadBack(ctx context.Context) (string, error) {
	token, err := j.d.EfA.token(ctx)
	if err != nil {
		return "", err
	}
	var t struct {
		Information struct {
			Status        string `json:"status"`
			Reference     string `json:"transactionReference"`
			Method        string `json:"paymentMethod"`
			TransactionID string `json:"transactionId"`
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
	return fmt.Sprintf("XBezahldienste says %s by %s, Kassenzeichen %s  [payment.transaction.payed.v1]", t.Information.Status, t.Information.Method, t.Information.Reference), err
}

// movedOn waits until the citizen's own page says that the application is with the office.
func (j *journey) movedOn(ctx context.Context) (string, error) {
	var what string
	err := eventually(ctx, func() error {
		if err := j.staffOpen(ctx, "/applications/"+j.application); err != nil {
			return err
		}
		what = j.clerk.page.text()
		if !strings.Contains(what, "Eingegangen") {
			return errors.New("the clerk does not see it as received")
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	j.reference = strings.TrimSpace(between(what, "Vorgangsnummer", "Eingereicht"))
	return fmt.Sprintf("the clerk sees %s as received  [forms.application.submitted.v1 paid.v1 delivered.v1]", j.reference), nil
}

// staffOpen opens a staff page, logging in where that is asked for.
func (j *journey) staffOpen(ctx context.Context, path string) error {
	if err := j.clerk.open(ctx, j.d.BaseURL+"/t/"+j.d.Staff.Tenant+"/staff"+path); err != nil {
		return err
	}
	credentials := map[string]string{"username": j.d.Staff.Username, "password": j.d.Staff.Password}
	return j.clerk.walk(ctx, credentials, func(p *page) bool { return strings.Contains(p.url.Path, "/staff") })
}

func (j *journey) receipt(ctx context.Context) (string, error) {
	m, err := j.mail(ctx, "30,70")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%q to the citizen  [notify.message.accepted.v1 delivered.v1]", m.Subject), nil
}

// mail waits for a mail to the citizen whose subject or text holds all of what.
func (j *journey) mail(ctx context.Context, what ...string) (found outboxMail, err error) {
	token, err := j.d.Operator.token(ctx)
	if err != nil {
		return found, err
	}
	err = eventually(ctx, func() error {
		var list struct {
			Items []outboxMail `json:"items"`
		}
		if err := getJSON(ctx, j.d.Notify.BaseURL+"/v1/outbox?to="+j.email, token, &list); err != nil {
			return err
		}
		var subjects []string
		for _, m := range list.Items {
			subjects = append(subjects, m.Subject)
			if m.has(what) {
				found = m
				return nil
			}
		}
		return fmt.Errorf("no mail with %q among %q", what, subjects)
	})
	return found, err
}

func (j *journey) accept(ctx context.Context) (string, error) {
	if err := j.staffOpen(ctx, "/applications/"+j.application); err != nil {
		return "", err
	}
	f, err := j.clerk.page.formTo("/accept")
	if err != nil {
		return "", err
	}
	if err := j.clerk.submit(ctx, f, "", nil); err != nil {
		return "", err
	}
	if !strings.Contains(j.clerk.page.text(), "Angenommen") {
		return "", errors.New("the page does not say that it is accepted")
	}
	return "the page says: Angenommen  [forms.application.accepted.v1]", nil
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
	b, err := newBrowser()
	if err != nil {
		return "", err
	}
	if err := b.open(ctx, j.bookingLink); err != nil {
		return "", err
	}
	err = b.walk(ctx, j.answers(), func(p *page) bool { return strings.Contains(p.text(), "bestätigt") })
	return fmt.Sprintf("%q  [booking.appointment.held.v1 confirmed.v1]", b.page.heading()), err
}

// invitation reads the mail's source and parses its calendar part.
func (j *journey) invitation(ctx context.Context) (string, error) {
	token, err := j.d.Operator.token(ctx)
	if err != nil {
		return "", err
	}
	m, err := j.mail(ctx, "Termin")
	if err != nil {
		return "", err
	}
	raw, err := get(ctx, j.d.Notify.BaseURL+"/v1/outbox/"+m.ID+"/raw", token)
	if err != nil {
		return "", err
	}
	part, err := calendarPart(raw)
	if err != nil {
		return "", err
	}
	cal, err := ical.NewDecoder(bytes.NewReader(part)).Decode()
	if err != nil {
		return "", fmt.Errorf("calendar: %w", err)
	}
	events := cal.Events()
	if len(events) != 1 {
		return "", fmt.Errorf("calendar has %d events, want 1", len(events))
	}
	at, err := events[0].DateTimeStart(time.UTC)
	if err != nil {
		return "", err
	}
	conference := events[0].Props.Get("CONFERENCE")
	if conference == nil || !strings.HasPrefix(conference.Value, "https://") {
		return "", errors.New("calendar event has no CONFERENCE link")
	}
	return fmt.Sprintf("%q; iCalendar: %s, video link on %s", m.Subject, at.Format(time.RFC3339), hostOf(conference.Value)), nil
}

// usage reads the tenant's statement of this month.
func (j *journey) usage(ctx context.Context) (string, error) {
	token, err := j.d.Operator.token(ctx)
	if err != nil {
		return "", err
	}
	var text []byte
	err = eventually(ctx, func() error {
		if text, err = get(ctx, j.d.BaseURL+"/tenants/v1/tenants/erfurt/usage", token); err != nil {
			return err
		}
		for _, what := range []string{"payment", "forms", "notify", "booking"} {
			if !bytes.Contains(text, []byte(what)) {
				return fmt.Errorf("%s is not counted: %.300s", what, text)
			}
		}
		return nil
	})
	return fmt.Sprintf("%.160s", text), err
}
