package run

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"basisdienste/platform/config"
)

// flags are the same for every process.
type flags struct {
	Config      string `help:"Configuration file (YAML). Every key can also be set by the environment: BASIS_SERVER__LISTEN." type:"existingfile" placeholder:"FILE"`
	Data        string `help:"Data folder: databases, event store, secrets. Default: ./data." placeholder:"DIR"`
	Listen      string `help:"Address to listen on. Default: 127.0.0.1:8080." placeholder:"ADDR"`
	PublicURL   string `name:"public-url" help:"URL under which clients reach this process. Default: http://ADDR." placeholder:"URL"`
	Demo        bool   `help:"Make demo tenants and content, and write DIR/demo.json with everything a client needs."`
	PrintConfig bool   `help:"Print the effective configuration, without secrets, and end."`
	CheckConfig bool   `help:"Name every mistake in the configuration and end."`
}

// Settings are the section "server" of the configuration.
type Settings struct {
	Listen        string            `config:"listen"`
	PublicURL     string            `config:"public_url"`
	DataDir       string            `config:"data_dir"`
	Demo          bool              `config:"demo"`
	Log           LogSettings       `config:"log"`
	Database      DatabaseSettings  `config:"database"`
	RequestTime   time.Duration     `config:"request_timeout"`
	DrainTime     time.Duration     `config:"drain_timeout"`
	AddressLimit  int               `config:"requests_per_minute_and_address"`
	TrustedProxy  []string          `config:"trusted_proxies"`    // networks whose X-Forwarded-For counts
	ServiceURLs   map[string]string `config:"services"`           // base URLs of services that run elsewhere, several with commas
	Profile       bool              `config:"profile"`            // serve /debug/pprof to this machine
	ServiceSecret string            `config:"service_key,secret"` // the same in every process; other secrets are derived from it

	// Provided are services of this process that are no App: the neighbours in a test.
	Provided map[string]http.Handler
	// Clock is the time of the process; nil means time.Now.
	Clock func() time.Time
}

// LogSettings of the process's log on standard error.
type LogSettings struct {
	Level  string `config:"level"`
	Format string `config:"format"` // json, text or auto
	Access bool   `config:"access"`
}

// DatabaseSettings say where tables live; empty URLs mean SQLite files in the data folder.
type DatabaseSettings struct {
	URL      string `config:"url,secret"`
	OwnerURL string `config:"owner_url,secret"`
	Prefix   string `config:"schema_prefix"` // each service's schema is named prefix + service
	Conns    int    `config:"connections"`
}

// Defaults are the settings where nothing else is said.
func Defaults() Settings {
	return Settings{
		Listen: "127.0.0.1:8080", DataDir: "data", Log: LogSettings{Level: "info", Format: "auto", Access: true},
		RequestTime: 30 * time.Second, DrainTime: 4 * time.Second, AddressLimit: 6000,
	}
}

// Validate implements the check of package config.
func (s *Settings) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(s.Listen); err != nil {
		errs = append(errs, fmt.Errorf("listen: %q is no address, want for example 127.0.0.1:8080", s.Listen))
	}
	if u, err := url.Parse(s.PublicURL); s.PublicURL != "" && (err != nil || u.Host == "" || strings.HasSuffix(u.Path, "/")) {
		errs = append(errs, fmt.Errorf("public_url: %q is no base URL, want for example https://basis.example.de", s.PublicURL))
	}
	if (s.Database.URL == "") != (s.Database.OwnerURL == "") {
		errs = append(errs, errors.New("database: url (serves) and owner_url (migrates) go together"))
	}
	if n := len(s.ServiceSecret); n > 0 && n < minServiceKey {
		errs = append(errs, fmt.Errorf("service_key: %d characters are too few, want %d random ones or more", n, minServiceKey))
	}
	if s.RequestTime <= 0 || s.DrainTime <= 0 {
		errs = append(errs, errors.New("request_timeout and drain_timeout: have to be longer than nothing, for example 30s and 4s"))
	}
	if _, err := s.proxies(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

const minServiceKey = 32

// proxies are the networks whose X-Forwarded-For counts.
func (s *Settings) proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range s.TrustedProxy {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("trusted_proxies: %q is no network, want for example 10.0.0.0/8", text)
		}
		out = append(out, p)
	}
	return out, nil
}

// errDone ends the process without starting it, successfully.
var errDone = errors.New("done")

// read parses the arguments and loads the configuration.
func read(name string, args, env []string, out io.Writer) (flags, *config.Config, Settings, error) {
	var f flags
	parser, err := kong.New(&f, kong.Name(name), kong.Writers(out, out), kong.Exit(func(int) {}),
		kong.Description("Base services of a municipal IT provider. Without arguments it runs on 127.0.0.1:8080 with the folder ./data."))
	if err != nil {
		return f, nil, Settings{}, err
	}
	for _, a := range args {
		if a == "--help" || a == "-h" {
			if _, err := parser.Parse([]string{"--help"}); err == nil || len(args) > 0 {
				return f, nil, Settings{}, errDone
			}
		}
	}
	if _, err := parser.Parse(args); err != nil {
		return f, nil, Settings{}, fmt.Errorf("%w; see %s --help", err, name)
	}
	overrides := map[string]any{}
	set := func(key, v string) {
		if v != "" {
			overrides["server."+key] = v
		}
	}
	set("listen", f.Listen)
	set("public_url", f.PublicURL)
	set("data_dir", f.Data)
	if f.Demo {
		overrides["server.demo"] = "true"
	}
	cfg, err := config.Load(f.Config, env, overrides)
	if err != nil {
		return f, nil, Settings{}, err
	}
	s := Defaults()
	if err := cfg.Section("server").Decode(&s); err != nil {
		return f, nil, s, err
	}
	s.DataDir, err = filepath.Abs(s.DataDir)
	if err != nil {
		return f, nil, s, err
	}
	return f, cfg, s, os.MkdirAll(s.DataDir, 0o750)
}
