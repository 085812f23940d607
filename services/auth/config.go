package auth

import (
	"errors"
	"fmt"
	"time"
)

// Config is the section "auth" of the configuration.
type Config struct {
	// Sandbox lets everybody log in as anybody, at a page that says so. By default it is on
	// in a demonstration only.
	Sandbox *bool `config:"sandbox"`
	// MasterKey is the secret from which all keys of auth are made, 32 characters at least. By
	// default it is in DIR/secrets/auth; processes that share a database share the key.
	MasterKey string `config:"master_key,secret"`
	// ClientToken and LoginToken are how long access tokens of programs and of persons are good.
	ClientToken time.Duration `config:"client_token_lifetime"`
	LoginToken  time.Duration `config:"login_token_lifetime"`
	// Session is how long a login lasts.
	Session time.Duration `config:"session_lifetime"`
	// KeyLead is how long a new signing key is published before it signs: longer than
	// anybody caches the key set.
	KeyLead time.Duration `config:"key_lead"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{ClientToken: 30 * time.Minute, LoginToken: time.Hour, Session: 8 * time.Hour, KeyLead: 15 * time.Minute}
}

// Validate implements the check of package config.
func (c *Config) Validate() error {
	var errs []error
	if n := len(c.MasterKey); n > 0 && n < 32 {
		errs = append(errs, errors.New("master_key: is shorter than 32 characters"))
	}
	for _, d := range []struct {
		key         string
		value       time.Duration
		least, most time.Duration
	}{
		{"client_token_lifetime", c.ClientToken, time.Minute, 24 * time.Hour},
		{"login_token_lifetime", c.LoginToken, time.Minute, 24 * time.Hour},
		{"session_lifetime", c.Session, 5 * time.Minute, 24 * time.Hour},
		{"key_lead", c.KeyLead, 11 * time.Minute, 7 * 24 * time.Hour},
	} {
		if d.value < d.least || d.value > d.most {
			errs = append(errs, fmt.Errorf("%s: %s is not between %s and %s", d.key, d.value, d.least, d.most))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) sandbox(demo bool) bool {
	if c.Sandbox == nil {
		return demo
	}
	return *c.Sandbox
}
