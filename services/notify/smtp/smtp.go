// Package smtp hands mails to an SMTP server (RFC 5321), by STARTTLS (RFC 3207) or TLS from
// the first byte (RFC 8314), and keeps connections open for the next mail.
package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail"
	gosmtp "github.com/wneessen/go-mail/smtp"

	"basisdienste/services/notify"
)

const (
	maxIdle = 30 * time.Second // servers end idle connections soon
	maxUses = 100              // then the balancer in front may choose another server
)

// mailer is a pool of connections. It is safe for concurrent use.
type mailer struct {
	cfg    notify.SMTP
	client *mail.Client
	clock  func() time.Time
	slots  chan struct{} // bounds open connections

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

type conn struct {
	*gosmtp.Client
	wire net.Conn
	uses int
	last time.Time
}

// wireKey is where a dial leaves the connection below the SMTP client, which cannot be
// closed from outside while it waits for an answer.
type wireKey struct{}

func dialer(implicit bool, roots *x509.CertPool, host string) mail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if wire, ok := ctx.Value(wireKey{}).(*net.Conn); ok {
			*wire = c
		}
		if !implicit {
			return c, nil
		}
		secure := tls.Client(c, &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12})
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return secure, nil
	}
}

// Open prepares the server's address and credentials; the first mail connects.
func Open(cfg notify.SMTP, clock func() time.Time) (notify.Mailer, error) {
	return open(cfg, clock, nil)
}

// open is Open with other roots of trust than the machine's, for tests.
func open(cfg notify.SMTP, clock func() time.Time, roots *x509.CertPool) (*mailer, error) {
	opts := []mail.Option{
		mail.WithPort(cfg.Port), mail.WithTimeout(cfg.Timeout), mail.WithoutSMTPUTF8(),
		mail.WithDialContextFunc(dialer(cfg.TLS == notify.Implicit, roots, cfg.Host)),
		mail.WithTLSConfig(&tls.Config{ServerName: cfg.Host, RootCAs: roots, MinVersion: tls.VersionTLS12}),
	}
	switch cfg.TLS {
	case notify.Implicit:
		opts = append(opts, mail.WithSSL())
	case notify.StartTLS:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	case notify.NoTLS:
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	}
	if cfg.Username != "" {
		opts = append(opts, mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin),
			mail.WithUsername(cfg.Username), mail.WithPassword(cfg.Password))
	}
	if cfg.Hello != "" {
		opts = append(opts, mail.WithHELO(cfg.Hello))
	}
	client, err := mail.NewClient(cfg.Host, opts...)
	if err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	return &mailer{cfg: cfg, client: client, clock: clock, slots: make(chan struct{}, cfg.Connections)}, nil
}

// Send implements notify.Mailer.
func (m *mailer) Send(ctx context.Context, from, to string, source []byte) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return down("smtp_busy", ctx.Err())
	}
	for {
		c, kept := m.kept()
		if !kept {
			var err error
			if c, err = m.dial(ctx); err != nil {
				return err
			}
		}
		stop := context.AfterFunc(ctx, func() { _ = c.wire.Close() }) // ends a hanging exchange
		err := c.send(from, to, source)
		stopped := stop()
		if !stopped && err != nil {
			return notify.Failure{Kind: notify.Later, Reason: "smtp_timeout", Cause: errors.Join(ctx.Err(), err)}
		}
		if kept && errors.Is(err, errGone) && stopped {
			_ = c.wire.Close() // the server had closed it; nothing of the mail was said yet
			continue
		}
		m.put(c, err)
		return err
	}
}

// kept returns an open connection of an earlier mail.
func (m *mailer) kept() (*conn, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := len(m.idle); n > 0; n = len(m.idle) {
		c := m.idle[n-1]
		m.idle = m.idle[:n-1]
		if m.clock().Sub(c.last) <= maxIdle && c.UpdateDeadline(m.cfg.Timeout) == nil {
			return c, true
		}
		_ = c.wire.Close() // too old
	}
	return nil, false
}

func (m *mailer) dial(ctx context.Context) (*conn, error) {
	var wire net.Conn
	client, err := m.client.DialToSMTPClientWithContext(context.WithValue(ctx, wireKey{}, &wire))
	if err != nil {
		if wire != nil {
			_ = wire.Close() // a client that did not get through its greeting leaves it open
		}
		// Whatever the server says before MAIL, a wrong password too, is about us, not about
		// the message: it waits until the server can be used again.
		return nil, down("smtp_unreachable", err)
	}
	return &conn{Client: client, wire: wire, last: m.clock()}, nil
}

func down(reason string, cause error) notify.Failure {
	return notify.Failure{Kind: notify.Later, Reason: reason, ServerDown: true, Cause: cause}
}

// put keeps the connection for the next mail if its state is known.
func (m *mailer) put(c *conn, err error) {
	c.uses++
	c.last = m.clock()
	var reply *textproto.Error
	reusable := err == nil || errors.As(err, &reply) && reply.Code != 421 && c.Reset() == nil
	m.mu.Lock()
	keep := reusable && c.uses < maxUses && !m.closed
	if keep {
		m.idle = append(m.idle, c)
	}
	m.mu.Unlock()
	if !keep {
		_ = c.UpdateDeadline(time.Second)
		_ = c.Quit()       // politeness; the mail is decided already
		_ = c.wire.Close() // if quitting did not
	}
}

// send is one mail transaction. Its errors are of type notify.Failure.
func (c *conn) send(from, to string, source []byte) error {
	if err := c.Mail("<" + from + ">"); err != nil {
		f := failure("sender_refused", err)
		if f.Reason == lost || f.ServerDown {
			f.Cause = errors.Join(errGone, err)
		}
		return f
	}
	if err := c.Rcpt("<" + to + ">"); err != nil {
		return failure("recipient_refused", err)
	}
	w, err := c.Data()
	if err != nil {
		return failure("content_refused", err)
	}
	if _, err := w.Write(source); err != nil {
		return failure("content_refused", err)
	}
	if err := w.Close(); err != nil {
		return failure("content_refused", err)
	}
	return nil
}

// errGone: the connection ended before the mail began.
var errGone = errors.New("the connection is gone")

const lost = "smtp_connection_lost"

// failure tells a refusal for good (5yz) from everything that may go better later: 4yz, a
// connection that broke. The server's words stay in the cause; they may hold the address.
func failure(refused string, err error) notify.Failure {
	var reply *textproto.Error
	switch {
	case !errors.As(err, &reply):
		return notify.Failure{Kind: notify.Later, Reason: lost, Cause: err}
	case reply.Code >= 500 && !aboutUs(reply):
		return notify.Failure{Kind: notify.Refused, Reason: refused, Cause: err}
	case reply.Code == 421:
		return down("smtp_unavailable", err)
	}
	return notify.Failure{Kind: notify.Later, Reason: "smtp_deferred", Cause: err}
}

// aboutUs: refusals that mean our account or address there, and that the operator can mend:
// 530 authentication required, and enhanced codes 5.7.0, 5.7.8 (RFC 4954).
func aboutUs(reply *textproto.Error) bool {
	return reply.Code == 530 || strings.HasPrefix(reply.Msg, "5.7.8") || strings.HasPrefix(reply.Msg, "5.7.0 Must")
}

// Close ends the idle connections; those in use end after their mail.
func (m *mailer) Close() error {
	m.mu.Lock()
	idle := m.idle
	m.idle, m.closed = nil, true
	m.mu.Unlock()
	var errs []error
	for _, c := range idle {
		if err := errors.Join(c.UpdateDeadline(time.Second), c.Quit()); err != nil {
			errs = append(errs, c.wire.Close())
		}
	}
	return errors.Join(errs...)
}
