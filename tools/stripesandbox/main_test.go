package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v79/webhook"

	"basisdienste/services/payment/sandbox/stripeapi"
	"basisdienste/services/payment/stripe"
)

// rig is a running sandbox, and where it tells its events.
type rig struct {
	t      *testing.T
	url    string
	events chan string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, events: make(chan string, 100)}
	basis := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		e, signed := webhook.ConstructEvent(body, r.Header.Get("Stripe-Signature"), "whsec_x")
		if err != nil || signed != nil || r.URL.Path != stripe.AccountPath {
			t.Errorf("event at %s: %v, %v", r.URL.Path, err, signed)
		}
		g.events <- string(e.Type)
	}))
	t.Cleanup(basis.Close)
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- start(ctx, []string{"--listen", "127.0.0.1:0", "--basis", basis.URL, "--secret", "whsec_x"}, out)
	}()
	line, err := bufio.NewReader(in).ReadString('\n')
	if g.url = regexp.MustCompile(`http://[0-9.:]+`).FindString(line); err != nil || g.url == "" {
		t.Fatalf("it said %q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, in) }() // ends with the pipe
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
		_ = out.Close()
	})
	return g
}

// do sends a form, without following where it leads.
func (g *rig) do(method, path string, values url.Values, headers ...string) (status int, to, body string) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.url+path, strings.NewReader(values.Encode()))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(text)
}

func (g *rig) session() string {
	g.t.Helper()
	status, _, body := g.do("POST", "/v1/checkout/sessions", url.Values{
		"mode": {"payment"}, "success_url": {"https://amt.example/zurueck"}, "cancel_url": {"https://amt.example/ohne"},
		"line_items[0][quantity]": {"1"}, "line_items[0][price_data][currency]": {"eur"}, "line_items[0][price_data][unit_amount]": {"3070"},
		"line_items[0][price_data][product_data][name]": {"Ausweis"}, "payment_intent_data[description]": {"16051000-17"},
	}, "Authorization", "Bearer sk_test_sandbox", "Stripe-Version", stripeapi.Version)
	id := regexp.MustCompile(`cs_test_\w+`).FindString(body)
	if status != http.StatusOK || id == "" {
		g.t.Fatalf("create a session = %d %s", status, body)
	}
	return "/c/pay/" + id
}

func TestPages(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	if _, _, body := g.do("GET", "/", nil); !strings.Contains(body, "Noch keine Sitzung") {
		t.Errorf("the page without sessions:\n%s", body)
	}
	if _, _, body := g.do("POST", "/", url.Values{"act": {"payout"}}); !strings.Contains(body, "Dafür ist nichts da") {
		t.Errorf("a payout of nothing:\n%s", body)
	}
	pay := g.session()
	act := func(what, wantTo, wantText string) {
		t.Helper()
		status, to, body := g.do("POST", pay, url.Values{"act": {what}})
		if status != http.StatusSeeOther || to != wantTo {
			t.Errorf("press %s = %d to %q %s, want 303 to %q", what, status, to, body, wantTo)
		}
		if _, _, page := g.do("GET", pay, nil, "Accept-Language", "en"); !strings.Contains(page, wantText) {
			t.Errorf("after %s the page lacks %q:\n%s", what, wantText, page)
		}
	}
	act("back", "https://amt.example/ohne", "€30.70")
	act(stripeapi.CardDeclined, pay, "Your card was declined.")
	act(stripeapi.Card3DS, pay, "Your bank asks")
	act("no", pay, "unable to authenticate")
	act(stripeapi.CardOK, "https://amt.example/zurueck", "nothing left to pay")
	for e := range g.events {
		if e == "checkout.session.completed" {
			break
		}
	}
	for _, q := range []struct {
		method, path, act string
		want              int
	}{
		{"POST", pay, stripeapi.CardOK, http.StatusConflict},
		{"POST", "/", "steal", http.StatusBadRequest},
		{"GET", "/c/pay/cs_test_none", "", http.StatusNotFound},
		{"POST", "/c/pay/cs_test_none", stripeapi.CardOK, http.StatusNotFound},
		{"POST", "/v1/checkout/sessions", "", http.StatusUnauthorized},
		{"POST", "/", "dispute", http.StatusOK},
		{"POST", "/", "settle", http.StatusOK},
		{"POST", "/", "payout", http.StatusOK},
	} {
		if status, _, body := g.do(q.method, q.path, url.Values{"act": {q.act}}); status != q.want {
			t.Errorf("%s %s %s = %d %s, want %d", q.method, q.path, q.act, status, body, q.want)
		}
	}
	for e := range g.events {
		if e == "payout.paid" {
			break
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--listen", "nowhere"}, {"--basis", "x"}, {"--unknown"}} {
		if err := start(t.Context(), args, io.Discard); err == nil {
			t.Errorf("start(%v) = nil, want an error", args)
		}
	}
}
