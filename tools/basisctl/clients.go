package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

type clientsCmd struct {
	List    clientsListCmd    `cmd:"" help:"List clients."`
	Create  clientsCreateCmd  `cmd:"" help:"Register a client; its secret is shown once."`
	Enable  clientsEnableCmd  `cmd:"" help:"Switch a client on for tenants, or on again altogether."`
	Disable clientsDisableCmd `cmd:"" help:"Switch a client off for tenants, or off altogether."`
}

const clientsPath = "/operator/auth/v1/clients"

type clientView struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	Name         string
	Scopes       []string
	Enabled      bool
	AllTenants   bool `json:"all_tenants"`
	TenantCount  int  `json:"tenant_count"`
}

func (c clientView) tenants() string {
	if c.AllTenants {
		return "all"
	}
	return fmt.Sprint(c.TenantCount)
}

func (c clientView) state() string {
	if c.Enabled {
		return "enabled"
	}
	return "disabled"
}

type clientsListCmd struct{}

func (*clientsListCmd) Run(a *app) error {
	items, err := collect[json.RawMessage](a, clientsPath+"?limit=500", 0)
	if err != nil {
		return err
	}
	return showList(a, items, "CLIENT STATE TENANTS SCOPES NAME", func(c clientView) []string {
		return []string{c.ClientID, c.state(), c.tenants(), strings.Join(c.Scopes, " "), c.Name}
	})
}

type clientsCreateCmd struct {
	ID       string   `arg:"" name:"client-id" help:"3 to 64 letters, digits, dots, hyphens and underscores."`
	Name     string   `required:"" help:"What people call the client."`
	Scope    []string `required:"" help:"What it may do, for example payment:write; may be repeated." placeholder:"SCOPE"`
	Redirect []string `help:"Where logins lead back to; with it the client may log people in." placeholder:"URL"`
	JWKS     string   `name:"jwks" help:"File with its public keys: it then has no secret and signs (private_key_jwt)." placeholder:"FILE"`
	MinLevel int      `help:"No login below this STORK level: 1, 3 or 4."`
	DPoP     bool     `name:"dpop" help:"Bind its access tokens to a key that it proves (RFC 9449)."`
	MTLS     bool     `name:"mtls" help:"Bind its access tokens to the TLS certificate that it shows (RFC 8705)."`
}

func (clientsCreateCmd) Help() string {
	return `Example: an EfA service that takes payments and delivers applications, in two towns.

  basisctl clients create efa-wohngeld --name "EfA Wohngeld" --scope post --scope read --scope forms:write
  basisctl clients enable efa-wohngeld erfurt jena`
}

func (c *clientsCreateCmd) Run(a *app) error {
	grants := []string{"client_credentials"}
	if len(c.Redirect) > 0 {
		grants = append(grants, "authorization_code")
	}
	body := map[string]any{"client_id": c.ID, "name": c.Name, "scopes": c.Scope, "grant_types": grants}
	if len(c.Redirect) > 0 {
		body["redirect_uris"] = c.Redirect
	}
	if c.MinLevel > 0 {
		body["min_level"] = c.MinLevel
	}
	if c.DPoP {
		body["dpop_bound_access_tokens"] = true
	}
	if c.MTLS {
		body["tls_client_certificate_bound_access_tokens"] = true
	}
	if c.JWKS != "" {
		keys, err := readObject(c.JWKS, a.in)
		if err != nil {
			return err
		}
		body["jwks"], body["token_endpoint_auth_method"] = keys, "private_key_jwt"
	}
	var answer json.RawMessage
	if err := a.api.call(a.ctx, http.MethodPost, clientsPath, body, &answer); err != nil {
		return err
	}
	return a.show(answer, func(w io.Writer) error {
		var made clientView
		if err := json.Unmarshal(answer, &made); err != nil {
			return err
		}
		fmt.Fprintf(w, "client_id      %s\n", made.ClientID)
		if made.ClientSecret != "" {
			fmt.Fprintf(w, "client_secret  %s\n", made.ClientSecret)
			fmt.Fprintln(a.err, "The secret is shown this once; keep it in a safe place.")
		}
		_, err := fmt.Fprintf(a.err, "It may act for no tenant yet: basisctl clients enable %s TENANT…\n", made.ClientID)
		return err
	})
}

// targets says where a client is switched.
type targets struct {
	ID      string   `arg:"" name:"client-id" help:"The client."`
	Tenants []string `arg:"" optional:"" help:"Slugs of tenants; without them the client itself is meant."`
	All     bool     `help:"For all tenants, also those to come."`
}

type (
	clientsEnableCmd  struct{ targets }
	clientsDisableCmd struct{ targets }
)

func (clientsEnableCmd) Help() string {
	return `Examples:

  basisctl clients enable efa-wohngeld erfurt jena
  basisctl clients enable efa-wohngeld --all`
}

func (c *clientsEnableCmd) Run(a *app) error  { return c.run(a, "enable") }
func (c *clientsDisableCmd) Run(a *app) error { return c.run(a, "disable") }

// mostTargets is how many tenants one request may name.
const mostTargets = 1000

func (t targets) run(a *app, step string) error {
	if t.All && len(t.Tenants) > 0 {
		return usage("name tenants, or give --all, not both")
	}
	path := clientsPath + "/" + escape(t.ID)
	var answer json.RawMessage
	switch {
	case t.All:
		if err := a.api.call(a.ctx, http.MethodPost, path+"/tenants/"+step, map[string]any{"all": true}, &answer); err != nil {
			return err
		}
	case len(t.Tenants) == 0:
		if err := a.api.call(a.ctx, http.MethodPost, path+"/"+step, nil, &answer); err != nil {
			return err
		}
	default:
		for some := range slices.Chunk(t.Tenants, mostTargets) {
			if err := a.api.call(a.ctx, http.MethodPost, path+"/tenants/"+step, map[string]any{"tenants": some}, &answer); err != nil {
				return err
			}
		}
	}
	return a.show(answer, func(w io.Writer) error {
		var c clientView
		if len(answer) > 0 {
			if err := json.Unmarshal(answer, &c); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintf(w, "%s: %s, for %s tenants\n", t.ID, c.state(), c.tenants())
		return err
	})
}
