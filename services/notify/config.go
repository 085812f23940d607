package notify

import (
	"errors"
	"fmt"
	"net/mail"
	"time"
)

// Config is the section "notify" of the process's configuration.
type Config struct {
	SMTP SMTP `config:"smtp"`
	// From is the address that mails are sent from. A municipality's name stands before it.
	From string `config:"from"`
	// Domain is the right side of Message-IDs; default: the domain of From.
	Domain string `config:"message_id_domain"`
	// Workers is how many messages are sent at the same time.
	Workers int `config:"workers"`
	// Retention is how long recipient, text and files of a finished mail are kept, and
	// MailboxRetention how long a message stays in a citizen's mailbox.
	Retention        time.Duration `config:"retention"`
	MailboxRetention time.Duration `config:"mailbox_retention"`
	// PerMinute and Concurrent bound each tenant: messages accepted in a minute, and requests
	// under way at once.
	PerMinute  int `config:"messages_per_minute"`
	Concurrent int `config:"concurrent_requests"`
}

// SMTP is the server that mails are handed to. Without a host they stay in the local outbox.
type SMTP struct {
	Host     string `config:"host"`
	Port     int    `config:"port"`
	TLS      TLS    `config:"tls"`
	Username string `config:"username"`
	Password string `config:"password,secret"`
	// Hello is the name that we greet with; default: the domain of From.
	Hello string `config:"hello"`
	// Connections bounds how many are open at once; each is used again.
	Connections int `config:"connections"`
	// Timeout bounds one message, connecting included.
	Timeout time.Duration `config:"timeout"`
}

// TLS says how the connection to the SMTP server is encrypted.
type TLS string

// The ways.
const (
	StartTLS TLS = "starttls" // must be offered; port 587
	Implicit TLS = "implicit" // from the first byte; port 465
	NoTLS    TLS = "none"     // a relay on the same machine
)

// DefaultConfig is used where nothing else is said.
func DefaultConfig() Config {
	return Config{
		SMTP: SMTP{Port: 587, TLS: StartTLS, Connections: 8, Timeout: time.Minute},
		From: "noreply@basisdienste.invalid", Workers: 8, Retention: 30 * 24 * time.Hour, MailboxRetention: 365 * 24 * time.Hour, PerMinute: 300_000, Concurrent: 256,
	}
}

// Validate implements the check of package config.
func (c *Config) Validate() error {
	var errs []error
	if _, err := mail.ParseAddress(c.From); err != nil {
		errs = append(errs, fmt.Errorf("from: %q is no mail address", c.From))
	}
	if c.Workers < 1 || c.Workers > 256 {
		errs = append(errs, errors.New("workers: want 1 to 256"))
	}
	if c.Retention < 24*time.Hour || c.MailboxRetention < 24*time.Hour {
		errs = append(errs, errors.New("retention and mailbox_retention: want at least 24h"))
	}
	if c.PerMinute < 1 || c.Concurrent < 1 {
		errs = append(errs, errors.New("messages_per_minute and concurrent_requests: want at least 1"))
	}
	s := c.SMTP
	switch s.TLS {
	case StartTLS, Implicit, NoTLS:
	default:
		errs = append(errs, fmt.Errorf("smtp.tls: %q is none of starttls, implicit, none", s.TLS))
	}
	if s.Port < 1 || s.Port > 65535 {
		errs = append(errs, errors.New("smtp.port: want 1 to 65535"))
	}
	if s.Connections < 1 || s.Connections > 256 {
		errs = append(errs, errors.New("smtp.connections: want 1 to 256"))
	}
	if s.Timeout < time.Second || s.Timeout > leaseTime/(perWorker+1) {
		errs = append(errs, fmt.Errorf("smtp.timeout: want 1s to %s", leaseTime/(perWorker+1)))
	}
	if s.Password != "" && s.Username == "" {
		errs = append(errs, errors.New("smtp.username: is needed with a password"))
	}
	if s.Username != "" && s.TLS == NoTLS {
		errs = append(errs, errors.New("smtp.tls: a password is not sent without encryption"))
	}
	return errors.Join(errs...)
}

// Settings are a municipality's own, under "notify" of its settings; what it leaves out is
// the operator's default.
type Settings struct {
	// Language of messages whose sender asks for none: de or en.
	Language string `json:"language"`
	// SenderName stands in front of the sender's address; default: the municipality's name.
	SenderName string `json:"sender_name"`
	// ReplyTo is where answers go; default: nowhere.
	ReplyTo string `json:"reply_to"`
}

// DefaultSettings hold where neither municipality nor operator says otherwise.
func DefaultSettings() Settings { return Settings{Language: "de"} }
