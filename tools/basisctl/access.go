package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// access says which installation is meant and as whom to speak to it.
type access struct {
	Demo             string `help:"Take address and operator credential from the demo.json of a demo installation." placeholder:"FILE" env:"BASISCTL_DEMO"`
	Profile          string `help:"Take them from this profile." placeholder:"NAME" env:"BASISCTL_PROFILE"`
	URL              string `help:"Address of the installation." placeholder:"URL" env:"BASISCTL_URL"`
	ClientID         string `help:"Client of the operator with the scope operator." placeholder:"ID" env:"BASISCTL_CLIENT_ID"`
	ClientSecretFile string `help:"File that holds its secret. The secret itself may stand in $BASISCTL_CLIENT_SECRET." placeholder:"FILE" env:"BASISCTL_CLIENT_SECRET_FILE"`
	AllowHTTP        bool   `name:"allow-http" help:"Send the secret without encryption to another machine." env:"BASISCTL_ALLOW_HTTP"`
}

// credential is a resolved access.
type credential struct {
	URL              string `yaml:"url"`
	ClientID         string `yaml:"client_id"`
	ClientSecretFile string `yaml:"client_secret_file"`
	TokenURL         string `yaml:"token_url"` // default: below URL
	Scope            string `yaml:"scope"`     // default: operator

	secret string
}

type profiles struct {
	Default  string                `yaml:"default"`
	Profiles map[string]credential `yaml:"profiles"`
}

// open resolves the access. The ways exclude each other, so that a secret never goes to
// another installation than its own.
func (a *access) open() (*client, error) {
	byFlags := a.URL != "" || a.ClientID != "" || a.ClientSecretFile != ""
	var c credential
	var err error
	switch {
	case a.Demo != "" && a.Profile != "":
		return nil, usage("--demo and --profile (or $BASISCTL_DEMO, $BASISCTL_PROFILE) exclude each other")
	case byFlags && a.Demo+a.Profile != "":
		return nil, usage("--demo and --profile say everything; leave out --url, --client-id and --client-secret-file (or unset $BASISCTL_URL and so on)")
	case a.Demo != "":
		c, err = fromDemo(a.Demo)
	case byFlags:
		c = credential{URL: a.URL, ClientID: a.ClientID, ClientSecretFile: a.ClientSecretFile}
	default:
		c, err = fromProfile(a.Profile)
	}
	if err != nil {
		return nil, err
	}
	if c.secret == "" && c.ClientSecretFile == "" {
		c.secret = os.Getenv("BASISCTL_CLIENT_SECRET")
	}
	return c.client(a.AllowHTTP)
}

func (c credential) client(allowHTTP bool) (*client, error) {
	if c.URL == "" || c.ClientID == "" {
		return nil, usage("which installation? Give --demo FILE, or --url and --client-id, or write %s", profileFile())
	}
	if c.secret == "" {
		if c.ClientSecretFile == "" {
			return nil, usage("the secret of %s is missing: give --client-secret-file, or set BASISCTL_CLIENT_SECRET", c.ClientID)
		}
		text, err := os.ReadFile(c.ClientSecretFile)
		if err != nil {
			return nil, usage("the secret of %s: %w", c.ClientID, err)
		}
		c.secret = strings.TrimSpace(string(text))
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	if c.TokenURL == "" {
		c.TokenURL = c.URL + "/operator/auth/token"
	}
	if c.Scope == "" {
		c.Scope = "operator"
	}
	for _, address := range []string{c.URL, c.TokenURL} {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, usage("%q is no address; it looks like https://basisdienste.example.de", address)
		}
		if u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()) {
			return nil, usage("%s is not encrypted: the secret could be read on its way; use https, or --allow-http in a network that you trust", address)
		}
	}
	return newClient(c), nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// fromDemo reads what basis --demo wrote.
func fromDemo(file string) (c credential, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return c, usage("--demo: %w; start the installation with --demo first", err)
	}
	var demo struct {
		BaseURL  string `json:"base_url"`
		Operator struct {
			ClientID     string `json:"client_id"`
			ClientSecret string `json:"client_secret"`
			TokenURL     string `json:"token_url"`
			Scope        string `json:"scope"`
		} `json:"operator"`
	}
	if err := json.Unmarshal(text, &demo); err != nil {
		return c, usage("--demo: %s is not the JSON that basis --demo writes: %w", file, err)
	}
	o := demo.Operator
	if demo.BaseURL == "" || o.ClientID == "" || o.ClientSecret == "" {
		return c, usage("--demo: %s has no base_url or no operator credential; was it written by basis --demo?", file)
	}
	return credential{URL: demo.BaseURL, ClientID: o.ClientID, secret: o.ClientSecret, TokenURL: o.TokenURL, Scope: o.Scope}, nil
}

func profileFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "~/.config/basisctl/profiles.yaml"
	}
	return filepath.Join(dir, "basisctl", "profiles.yaml")
}

// fromProfile returns the named profile, or the default one; nothing if there is no file and
// none was asked for.
func fromProfile(name string) (c credential, err error) {
	file := profileFile()
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) && name == "" {
		return c, nil
	}
	if err != nil {
		return c, usage("--profile: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var p profiles
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil {
		return c, usage("%s: %w", file, err)
	}
	if name == "" {
		name = p.Default
	}
	c, ok := p.Profiles[name]
	if !ok && name != "" {
		return c, usage("%s has no profile %q", file, name)
	}
	if c.ClientSecretFile != "" && !filepath.IsAbs(c.ClientSecretFile) {
		c.ClientSecretFile = filepath.Join(filepath.Dir(file), c.ClientSecretFile)
	}
	return c, nil
}
