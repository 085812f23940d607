package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-message/mail"
)

// program is the HTTP client of the EfA service and of the operator.
var program = &http.Client{Timeout: 30 * time.Second}

// oauthClient is an OAuth client in demo.json.
type oauthClient struct {
	ID       string `json:"client_id"`
	Secret   string `json:"client_secret"`
	TokenURL string `json:"token_url"`
	Scope    string `json:"scope"`
}

// description is demo.json as far as the journey needs it.
type description struct {
	BaseURL  string      `json:"base_url"`
	EfA      oauthClient `json:"efa_client"`
	Operator oauthClient `json:"operator"`
	Payment  struct {
		BaseURL    string `json:"base_url"`
		EndPointID string `json:"end_point_id"`
	} `json:"payment"`
	Notify struct {
		BaseURL string `json:"base_url"`
	} `json:"notify"`
	Forms struct {
		BaseURL string `json:"base_url"`
	} `json:"forms"`
	Staff struct {
		Tenant   string `json:"tenant"`
		Username string `json:"username"`
		Password string `json:"password"`
	} `json:"staff"`
}

// outboxMail is a mail as the local outbox shows it.
type outboxMail struct {
	ID      string `json:"id"`
	To      string `json:"to"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
}

func (d description) tenantURL(path string) string { return d.BaseURL + "/t/" + d.Staff.Tenant + path }

const maxAnswer = 4 << 20 // bytes

func (c oauthClient) token(ctx context.Context) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {c.Scope}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	body, err := send(req)
	if err != nil {
		return "", err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	err = json.Unmarshal(body, &answer)
	return answer.AccessToken, err
}

func get(ctx context.Context, address, token string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return send(req)
}

func getJSON(ctx context.Context, address, token string, dst any) error {
	body, err := get(ctx, address, token)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, dst)
}

func send(req *http.Request) (body []byte, err error) {
	resp, err := program.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %.300s", req.Method, req.URL.Path, resp.Status, body)
	}
	return body, err
}

// eventually tries until f returns nil, for at most 20 s; events take their time.
func eventually(ctx context.Context, f func() error) error {
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// appointment is what an invitation says.
type appointment struct {
	starts     time.Time
	conference *url.URL
}

// appointmentIn reads the one calendar event of a mail, which must have a video link.
func appointmentIn(raw []byte) (a appointment, err error) {
	part, err := calendarPart(raw)
	if err != nil {
		return a, err
	}
	cal, err := ical.NewDecoder(bytes.NewReader(part)).Decode()
	if err != nil {
		return a, fmt.Errorf("calendar: %w", err)
	}
	events := cal.Events()
	if len(events) != 1 {
		return a, fmt.Errorf("calendar has %d events, want 1", len(events))
	}
	if a.starts, err = events[0].DateTimeStart(time.UTC); err != nil {
		return a, fmt.Errorf("calendar: %w", err)
	}
	link := events[0].Props.Get("CONFERENCE")
	if link == nil {
		return a, errors.New("calendar event has no CONFERENCE")
	}
	if a.conference, err = url.Parse(link.Value); err != nil {
		return a, fmt.Errorf("calendar event's CONFERENCE: %w", err)
	}
	if a.conference.Scheme != "https" {
		return a, errors.New("calendar event's CONFERENCE is no https link")
	}
	return a, nil
}

// calendarPart finds the text/calendar part of a mail.
func calendarPart(raw []byte) ([]byte, error) {
	r, err := mail.CreateReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	for {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the mail has no text/calendar part")
		}
		if err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/calendar") {
			return io.ReadAll(p.Body)
		}
	}
}

var addressShape = regexp.MustCompile(`https?://[^\s<>()\]]+`)

// linkIn returns the first address in text that contains what.
func linkIn(text, what string) string {
	for _, a := range addressShape.FindAllString(text, -1) {
		if strings.Contains(a, what) {
			return strings.TrimRight(a, ".,;")
		}
	}
	return ""
}

var idShape = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	out, _, _ := strings.Cut(rest, to)
	return out
}
