package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"basisdienste/platform/certs"
	"basisdienste/services/payment/xbezahldienste/conformance"
)

type xbezahldiensteCmd struct {
	Check checkCmd `cmd:"" help:"Hold a server of XBezahldienste against the standard, clause by clause; any server, not only ours."`
}

type checkCmd struct {
	Token      string            `help:"Access token with the scopes post and read." env:"BASISCTL_TOKEN"`
	TokenURL   string            `name:"token-url" help:"Get one here, by --client-id and its secret." placeholder:"URL"`
	User       string            `help:"Name for HTTP Basic; the password stands in $BASISCTL_PASSWORD."`
	Cert       string            `help:"Client certificate for mutual TLS, in PEM." placeholder:"FILE"`
	Key        string            `help:"Its key." placeholder:"FILE"`
	CA         string            `name:"ca" help:"Authorities of the server; default: the system's." placeholder:"FILE"`
	Originator string            `help:"An online service that may take payments there." placeholder:"ID"`
	Endpoint   string            `help:"An authority that it may take them for." placeholder:"ID"`
	Spoken     string            `help:"The newest version that the server speaks: 1.1.0 or 1.2.0." default:"1.2.0"`
	Booking    map[string]string `help:"Booking data that the authority wants of each item; may be repeated." placeholder:"KEY=VALUE"`
	Only       []string          `help:"Only clauses whose names begin so; may be repeated." placeholder:"CLAUSE"`
}

func (checkCmd) Help() string {
	return `It makes some dozens of payments that nobody pays, and changes nothing else.
Exit code 1 if a clause failed, or the server could not be asked. Examples:

  basisctl --demo data/demo.json xbezahldienste check
  basisctl --url https://payment.example.de/api/v1 xbezahldienste check --originator L100108 --endpoint 16051000
  basisctl --demo data/demo.json --json xbezahldienste check | jq '.clauses[] | select(.verdict == "fail")'
  basisctl --demo data/demo.json xbezahldienste check --only create.sum --only exists`
}

func (c *checkCmd) Run(a *app) error {
	target, err := c.target(a)
	if err != nil {
		return err
	}
	var writing error
	report, err := conformance.Run(a.ctx, target, func(done conformance.Clause) {
		if !a.json && writing == nil {
			writing = done.Write(a.out)
		}
	})
	if err != nil {
		return err
	}
	if a.json {
		text, err := json.Marshal(report)
		if err != nil {
			return err
		}
		writing = a.printJSON(text)
	} else if writing == nil {
		_, writing = fmt.Fprintln(a.out, report.Summary())
	}
	if writing == nil && !report.Conforms() {
		return errSaid
	}
	return writing
}

// target is the server of the demo description, or that of the flags.
func (c *checkCmd) target(a *app) (t conformance.Target, err error) {
	t = conformance.Target{URL: a.access.URL, Originator: c.Originator, EndPoint: c.Endpoint, Version: c.Spoken, BookingData: c.Booking, Only: c.Only, Clock: time.Now}
	login := credential{ClientID: a.access.ClientID, ClientSecretFile: a.access.ClientSecretFile, TokenURL: c.TokenURL, Scope: "post read"}
	if a.access.Demo != "" {
		if login, err = c.fromDemo(a.access.Demo, &t); err != nil {
			return t, err
		}
	}
	if t.URL == "" || t.Originator == "" || t.EndPoint == "" {
		return t, usage("which server, and as whom? Give --demo FILE, or --url, --originator and --endpoint")
	}
	if u, err := url.Parse(t.URL); err == nil && u.Scheme == "http" && !a.access.AllowHTTP && !isLoopback(u.Hostname()) {
		return t, usage("%s is not encrypted: the credential could be read on its way; use https, or --allow-http in a network that you trust", t.URL)
	}
	if c.Cert != "" || c.CA != "" {
		config, err := certs.Client(c.CA, c.Cert, c.Key)
		if err != nil {
			return t, usage("--cert, --key, --ca: %w", err)
		}
		t.Client = &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	}
	header := ""
	switch {
	case c.Token != "":
		header = "Bearer " + c.Token
	case c.User != "":
		password := os.Getenv("BASISCTL_PASSWORD")
		t.Authorize = func(r *http.Request) { r.SetBasicAuth(c.User, password) }
	case login.TokenURL != "":
		if login.secret == "" && login.ClientSecretFile == "" {
			login.secret = os.Getenv("BASISCTL_CLIENT_SECRET")
		}
		login.URL = t.URL
		client, err := login.client(a.access.AllowHTTP)
		if err != nil {
			return t, err
		}
		if err := client.login(a.ctx); err != nil {
			return t, err
		}
		header = "Bearer " + client.token
	case c.Cert == "":
		return t, usage("the credential is missing: give --token, --token-url with --client-id, --user or --cert")
	}
	if header != "" {
		t.Authorize = func(r *http.Request) { r.Header.Set("Authorization", header) }
	}
	return t, nil
}

// fromDemo reads what basis --demo wrote: the payment service, and the client of the online service.
func (c *checkCmd) fromDemo(file string, t *conformance.Target) (credential, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return credential{}, usage("--demo: %w; start the installation with --demo first", err)
	}
	var demo struct {
		EfA struct {
			ClientID     string `json:"client_id"`
			ClientSecret string `json:"client_secret"`
			TokenURL     string `json:"token_url"`
		} `json:"efa_client"`
		Payment struct {
			BaseURL    string `json:"base_url"`
			Originator string `json:"originator_id"`
			EndPoint   string `json:"end_point_id"`
		} `json:"payment"`
	}
	if err := json.Unmarshal(text, &demo); err != nil {
		return credential{}, usage("--demo: %s is not the JSON that basis --demo writes: %w", file, err)
	}
	for _, known := range []struct {
		at    *string
		value string
	}{{&t.URL, demo.Payment.BaseURL}, {&t.Originator, demo.Payment.Originator}, {&t.EndPoint, demo.Payment.EndPoint}} {
		if *known.at == "" {
			*known.at = known.value
		}
	}
	if strings.TrimSpace(t.URL) == "" || demo.EfA.ClientID == "" {
		return credential{}, usage("--demo: %s has no payment service or no client of an online service; was it written by basis --demo?", file)
	}
	return credential{ClientID: demo.EfA.ClientID, secret: demo.EfA.ClientSecret, TokenURL: demo.EfA.TokenURL, Scope: "post read"}, nil
}
