package run

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Settings are the section "server" of the configuration.
type Settings struct {
	Listen          string            `config:"listen"`
	TLS             TLSSettings       `config:"tls"`
	PublicURL       string            `config:"public_url"` // the same in every process of an installation
	DataDir         string            `config:"data_dir"`
	Demo            bool              `config:"demo"`
	DemoFile        string            `config:"demo_file"` // default: demo.json in the data folder
	Log             LogSettings       `config:"log"`
	Database        DatabaseSettings  `config:"database"`
	Broker          BrokerSettings    `config:"broker"`
	Consul          ConsulSettings    `config:"consul"`
	Advertise       string            `config:"advertise"` // host:port under which other processes reach this one; default: listen
	ServiceURLs     map[string]string `config:"services"`  // base URLs of services that run elsewhere, several with commas; without Consul
	RequestTime     time.Duration     `config:"request_timeout"`
	DrainDelay      time.Duration     `config:"drain_delay"` // between leaving the lists of others and taking no more requests
	DrainTime       time.Duration     `config:"drain_timeout"`
	AddressLimit    int               `config:"requests_per_minute_and_address"`
	EventsPerTenant int               `config:"events_per_second_and_tenant"`
	TrustedProxy    []string          `config:"trusted_proxies"` // networks whose X-Forwarded-For counts
	MetricsFrom     []string          `config:"metrics_from"`    // networks that may read /metrics, besides the machine itself
	Telemetry       TelemetrySettings `config:"telemetry"`
	Profile         bool              `config:"profile"`            // serve /debug/pprof to this machine
	ServiceSecret   string            `config:"service_key,secret"` // the same in every process; other secrets are derived from it

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

// TLSSettings make the process listen with TLS, and trust the other services that do; the files
// are read again when they change.
type TLSSettings struct {
	CertFile string `config:"cert_file"`
	KeyFile  string `config:"key_file"`
	CAFile   string `config:"ca_file"` // of the authorities of the other services; default: the system's
	// ClientCerts asks clients for a certificate, for access tokens that are bound to one (RFC
	// 8705), and believes what trusted_proxies write of theirs in Client-Cert (RFC 9440) or
	// X-Client-Cert: they have to take away what a client writes there itself.
	ClientCerts bool `config:"client_certs"`
}

// BrokerSettings say where the NATS JetStream cluster is; without URLs the process has a
// broker of its own, in the data folder, that nobody else can use.
type BrokerSettings struct {
	URLs     []string `config:"urls"` // tls://nats1:4222
	User     string   `config:"user"`
	Password string   `config:"password,secret"`
	CAFile   string   `config:"ca_file"`
	CertFile string   `config:"cert_file"`
	KeyFile  string   `config:"key_file"`
	Replicas int      `config:"replicas"` // of each stream
}

// ConsulSettings say how to find other services; without an address they are found by services.
type ConsulSettings struct {
	Address         string        `config:"address"` // 127.0.0.1:8500
	Scheme          string        `config:"scheme"`
	Token           string        `config:"token,secret"`
	CAFile          string        `config:"ca_file"`
	CertFile        string        `config:"cert_file"`
	KeyFile         string        `config:"key_file"`
	Datacenter      string        `config:"datacenter"`
	CheckInterval   time.Duration `config:"check_interval"`
	DeregisterAfter time.Duration `config:"deregister_after"` // of an instance that does not answer; Consul's least is 1 min
}

// TelemetrySettings say where traces go; without an endpoint none are made.
type TelemetrySettings struct {
	OTLPEndpoint string  `config:"otlp_endpoint"` // http://collector:4318
	SampleRatio  float64 `config:"sample_ratio"`  // of the traces that begin here; others follow their caller
}

// DatabaseSettings say where tables live; an empty URL means SQLite files in the data folder.
type DatabaseSettings struct {
	URL      string `config:"url,secret"`       // of the role that serves
	OwnerURL string `config:"owner_url,secret"` // of the role that migrates; without it nothing is migrated at the start
	Prefix   string `config:"schema_prefix"`    // each service's schema is named prefix + service
	Conns    int    `config:"connections"`

	// PostgreSQL alone; whoever waits for longer hears database_unavailable.
	WaitTime      time.Duration `config:"wait_time"`      // for a connection
	StatementTime time.Duration `config:"statement_time"` // of one statement
	LockTime      time.Duration `config:"lock_time"`      // of which it may wait for others
	IdleTime      time.Duration `config:"idle_time"`      // between two statements of a transaction
}

// Defaults are the settings where nothing else is said.
func Defaults() Settings {
	return Settings{
		Listen: "127.0.0.1:8080", DataDir: "data", Log: LogSettings{Level: "info", Format: "auto", Access: true},
		RequestTime: 30 * time.Second, DrainTime: 4 * time.Second, AddressLimit: 6000, EventsPerTenant: 1000,
		Database: DatabaseSettings{WaitTime: 5 * time.Second, StatementTime: 30 * time.Second, LockTime: 10 * time.Second, IdleTime: time.Minute},
		Broker:   BrokerSettings{Replicas: 3},
		Consul:   ConsulSettings{Scheme: "http", CheckInterval: 5 * time.Second, DeregisterAfter: time.Minute},
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
	if (s.TLS.CertFile == "") != (s.TLS.KeyFile == "") {
		errs = append(errs, errors.New("tls: cert_file and key_file go together"))
	}
	errs = append(errs, s.Database.validate(), s.Broker.validate(), s.Consul.validate())
	if (len(s.Broker.URLs) > 0 || s.Consul.Address != "") && s.ServiceSecret == "" {
		errs = append(errs, errors.New("service_key: several processes need the same one; set 32 random characters or more"))
	}
	if len(s.Broker.URLs) > 0 && s.PublicURL == "" {
		errs = append(errs, errors.New("public_url: several processes need the same one: the address of the edge"))
	}
	if _, _, err := net.SplitHostPort(s.Advertise); s.Advertise != "" && err != nil {
		errs = append(errs, fmt.Errorf("advertise: %q is no address, want for example 10.0.0.5:8080", s.Advertise))
	}
	if n := len(s.ServiceSecret); n > 0 && n < minServiceKey {
		errs = append(errs, fmt.Errorf("service_key: %d characters are too few, want %d random ones or more", n, minServiceKey))
	}
	if s.RequestTime <= 0 || s.DrainTime <= 0 {
		errs = append(errs, errors.New("request_timeout and drain_timeout: have to be longer than nothing, for example 30s and 4s"))
	}
	_, proxies := networks("trusted_proxies", s.TrustedProxy)
	_, readers := networks("metrics_from", s.MetricsFrom)
	return errors.Join(append(errs, proxies, readers)...)
}

func (d DatabaseSettings) validate() error {
	var errs []error
	if d.URL == "" && d.OwnerURL != "" {
		errs = append(errs, errors.New("database: owner_url (migrates) is nothing without url (serves)"))
	}
	if d.Conns < 0 {
		errs = append(errs, fmt.Errorf("database.connections: %d, want 1 or more", d.Conns))
	}
	const least, most = 100 * time.Millisecond, 10 * time.Minute
	for _, bound := range []struct {
		key  string
		time time.Duration
	}{{"wait_time", d.WaitTime}, {"statement_time", d.StatementTime}, {"lock_time", d.LockTime}, {"idle_time", d.IdleTime}} {
		if bound.time < least || bound.time > most {
			errs = append(errs, fmt.Errorf("database.%s: %s, want %s to %s", bound.key, bound.time, least, most))
		}
	}
	if d.LockTime > d.StatementTime {
		errs = append(errs, fmt.Errorf("database.lock_time: %s is more than statement_time (%s), which would end first", d.LockTime, d.StatementTime))
	}
	return errors.Join(errs...)
}

func (b BrokerSettings) validate() error {
	var errs []error
	for _, u := range b.URLs {
		if p, err := url.Parse(u); err != nil || p.Host == "" || p.User != nil || (p.Scheme != "nats" && p.Scheme != "tls") {
			errs = append(errs, fmt.Errorf("broker.urls: %q is none, want for example tls://nats1:4222, without a password", u))
		}
	}
	if b.Replicas < 1 || b.Replicas > 5 {
		errs = append(errs, fmt.Errorf("broker.replicas: %d, want 1 to 5", b.Replicas))
	}
	return errors.Join(errs...)
}

func (c ConsulSettings) validate() error {
	var errs []error
	if c.Scheme != "http" && c.Scheme != "https" {
		errs = append(errs, fmt.Errorf("consul.scheme: %q, want http or https", c.Scheme))
	}
	if c.CheckInterval < time.Second || c.DeregisterAfter < time.Minute {
		errs = append(errs, errors.New("consul: check_interval is 1s at least, deregister_after 1m"))
	}
	return errors.Join(errs...)
}

const minServiceKey = 32

// networks reads a list such as 10.0.0.0/8.
func networks(key string, list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is no network, want for example 10.0.0.0/8", key, text)
		}
		out = append(out, p)
	}
	return out, nil
}
