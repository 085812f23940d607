package smtp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"

	"basisdienste/services/notify"
)

// server is a real SMTP server that behaves as the test says.
type server struct {
	mu       sync.Mutex
	mails    []mailIn
	sessions int
	// answers to RCPT and DATA in turn; then everything is taken.
	rcpt, data []error
	user, pass string
	cut        bool          // the connection ends within the next DATA
	hang       chan struct{} // DATA waits until it is closed
	listener   net.Listener
	conns      []net.Conn
}

type mailIn struct{ from, to, source string }

func (s *server) NewSession(*gosmtp.Conn) (gosmtp.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions++
	return &session{s: s}, nil
}

type session struct {
	s        *server
	from, to string
}

func (se *session) AuthMechanisms() []string {
	if se.s.user == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (se *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, pass string) error {
		if user != se.s.user || pass != se.s.pass {
			return gosmtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (se *session) Mail(from string, _ *gosmtp.MailOptions) error {
	se.from = from
	return nil
}

func (se *session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	se.to = to
	return se.s.next(&se.s.rcpt)
}

func (s *server) next(list *[]error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(*list) == 0 {
		return nil
	}
	err := (*list)[0]
	*list = (*list)[1:]
	return err
}

func (se *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	se.s.mu.Lock()
	hang, cut := se.s.hang, se.s.cut
	se.s.cut = false
	se.s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if cut {
		se.s.mu.Lock()
		for _, c := range se.s.conns {
			_ = c.Close()
		}
		se.s.mu.Unlock()
	}
	if err := se.s.next(&se.s.data); err != nil {
		return err
	}
	se.s.mu.Lock()
	defer se.s.mu.Unlock()
	se.s.mails = append(se.s.mails, mailIn{se.from, se.to, string(b)})
	return nil
}

func (*session) Reset()        {}
func (*session) Logout() error { return nil }

// Accept notes connections, so that the test can cut them.
func (s *server) Accept() (net.Conn, error) {
	c, err := s.listener.Accept()
	if err == nil {
		s.mu.Lock()
		s.conns = append(s.conns, c)
		s.mu.Unlock()
	}
	return c, err
}
func (s *server) Close() error   { return s.listener.Close() }
func (s *server) Addr() net.Addr { return s.listener.Addr() }

// begin serves s and returns a mailer for it.
func begin(t testing.TB, s *server, kind notify.TLS, change func(*notify.SMTP)) *mailer {
	t.Helper()
	cert, roots := certificate(t)
	var err error
	if s.listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	srv := gosmtp.NewServer(s)
	srv.Domain, srv.AllowInsecureAuth, srv.ErrorLog = "127.0.0.1", false, quiet{}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	var l net.Listener = s
	switch kind {
	case notify.StartTLS:
		srv.TLSConfig = config
	case notify.Implicit:
		l = tls.NewListener(s, config)
	case notify.NoTLS:
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends with Close
	}()
	cfg := notify.SMTP{Host: "127.0.0.1", Port: s.listener.Addr().(*net.TCPAddr).Port, TLS: kind, Connections: 2, Timeout: 5 * time.Second, Hello: "client.example"}
	if change != nil {
		change(&cfg)
	}
	m, err := open(cfg, time.Now, roots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = m.Close() // the server may be gone already
		_ = srv.Close()
		<-done
	})
	return m
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

const source = "Subject: hallo\r\n\r\n.Punkt am Anfang\r\nzweite Zeile\r\n"

func TestSend_Ways(t *testing.T) {
	t.Parallel()
	for _, kind := range []notify.TLS{notify.StartTLS, notify.Implicit, notify.NoTLS} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := &server{}
			login := func(c *notify.SMTP) { c.Username, c.Password = "user", "secret" }
			if kind == notify.NoTLS {
				login = nil
			} else {
				s.user, s.pass = "user", "secret"
			}
			m := begin(t, s, kind, login)
			for range 3 {
				if err := m.Send(t.Context(), "noreply@example.de", "erika@example.org", []byte(source)); err != nil {
					t.Fatalf("Send = %v", err)
				}
			}
			if len(s.mails) != 3 || s.mails[0] != (mailIn{"noreply@example.de", "erika@example.org", source}) {
				t.Errorf("server has %+v, want the mail three times as it was given", s.mails)
			}
			if s.sessions > 2 { // STARTTLS begins a second one on the same connection
				t.Errorf("%d sessions for three mails, want the connection used again", s.sessions)
			}
			if len(s.conns) != 1 {
				t.Errorf("%d connections for three mails, want 1", len(s.conns))
			}
		})
	}
}

func reply(code int, text string) error { return &gosmtp.SMTPError{Code: code, Message: text} }

func TestSend_Refusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		rcpt, data []error
		kind       notify.FailureKind
		reason     string
		down       bool
	}{
		{"recipient unknown", []error{reply(550, "no such user here")}, nil, notify.Refused, "recipient_refused", false},
		{"greylisted", []error{reply(451, "try again later")}, nil, notify.Later, "smtp_deferred", false},
		{"mailbox full", []error{reply(452, "mailbox full")}, nil, notify.Later, "smtp_deferred", false},
		{"content refused", nil, []error{reply(554, "looks like spam")}, notify.Refused, "content_refused", false},
		{"content deferred", nil, []error{reply(451, "later")}, notify.Later, "smtp_deferred", false},
		{"server closes", []error{reply(421, "closing")}, nil, notify.Later, "smtp_unavailable", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &server{rcpt: c.rcpt, data: c.data}
			m := begin(t, s, notify.NoTLS, nil)
			err := m.Send(t.Context(), "a@example.de", "b@example.org", []byte(source))
			var f notify.Failure
			if !errors.As(err, &f) || f.Kind != c.kind || f.Reason != c.reason || f.ServerDown != c.down {
				t.Fatalf("Send = %+v, want %s %s down %t", err, c.kind, c.reason, c.down)
			}
			if err := m.Send(t.Context(), "a@example.de", "b@example.org", []byte(source)); err != nil {
				t.Errorf("the next mail = %v, want it taken", err)
			}
			if len(s.mails) != 1 {
				t.Errorf("server has %d mails, want 1", len(s.mails))
			}
		})
	}
}

func TestSend_ConnectionCut(t *testing.T) {
	t.Parallel()
	s := &server{cut: true}
	m := begin(t, s, notify.StartTLS, nil)
	err := m.Send(t.Context(), "a@example.de", "b@example.org", []byte(source))
	var f notify.Failure
	if !errors.As(err, &f) || f.Kind != notify.Later || f.Reason != "smtp_connection_lost" {
		t.Fatalf("Send over a connection that is cut = %v, want smtp_connection_lost", err)
	}
	if err := m.Send(t.Context(), "a@example.de", "b@example.org", []byte(source)); err != nil {
		t.Errorf("the next mail = %v, want a new connection", err)
	}
}

// TestSend_IdleConnectionDied: a kept connection that the server has closed costs no mail.
func TestSend_IdleConnectionDied(t *testing.T) {
	t.Parallel()
	s := &server{}
	m := begin(t, s, notify.NoTLS, nil)
	for range 2 {
		if err := m.Send(t.Context(), "a@example.de", "b@example.org", []byte(source)); err != nil {
			t.Fatalf("Send = %v", err)
		}
		s.mu.Lock()
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
	}
	if len(s.conns) != 2 {
		t.Errorf("%d connections, want 2", len(s.conns))
	}
}

func TestSend_Hang(t *testing.T) {
	t.Parallel()
	s := &server{hang: make(chan struct{})}
	t.Cleanup(func() { close(s.hang) })
	m := begin(t, s, notify.NoTLS, func(c *notify.SMTP) { c.Timeout = 300 * time.Millisecond })
	began := time.Now()
	err := m.Send(t.Context(), "a@example.de", "b@example.org", []byte(source))
	var f notify.Failure
	if !errors.As(err, &f) || f.Kind != notify.Later || time.Since(began) > 3*time.Second {
		t.Errorf("Send to a server that hangs = %v after %s, want a failure to try again after 0.3 s", err, time.Since(began))
	}
	ctx, cancel := context.WithCancel(t.Context())
	m.cfg.Timeout = time.Minute
	context.AfterFunc(t.Context(), cancel)
	done := make(chan error, 1)
	go func() { done <- m.Send(ctx, "a@example.de", "b@example.org", []byte(source)) }()
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("Send that was called off = nil")
		}
	case <-time.After(5 * time.Second):
		t.Error("Send goes on 5 s after it was called off")
	}
}

func TestSend_ServerCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(t *testing.T) *mailer{
		"wrong password": func(t *testing.T) *mailer {
			return begin(t, &server{user: "user", pass: "secret"}, notify.StartTLS, func(c *notify.SMTP) { c.Username, c.Password = "user", "wrong" })
		},
		"no STARTTLS": func(t *testing.T) *mailer {
			m := begin(t, &server{}, notify.NoTLS, nil)
			cfg := m.cfg
			cfg.TLS = notify.StartTLS
			strict, err := open(cfg, time.Now, nil)
			if err != nil {
				t.Fatal(err)
			}
			return strict
		},
		"certificate not trusted": func(t *testing.T) *mailer {
			m := begin(t, &server{}, notify.Implicit, nil)
			other, err := open(m.cfg, time.Now, x509.NewCertPool())
			if err != nil {
				t.Fatal(err)
			}
			return other
		},
		"nobody listens": func(t *testing.T) *mailer {
			s := &server{}
			m := begin(t, s, notify.NoTLS, nil)
			_ = s.listener.Close()
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := begin(t).Send(t.Context(), "a@example.de", "b@example.org", []byte(source))
			var f notify.Failure
			if !errors.As(err, &f) || f.Kind != notify.Later || !f.ServerDown {
				t.Errorf("Send = %v, want a failure of the server, to be tried again", err)
			}
			if strings.Contains(f.Reason, "wrong") {
				t.Errorf("reason %q", f.Reason)
			}
		})
	}
}

// TestSend_ManyAtOnce shares two connections among many mails.
func TestSend_ManyAtOnce(t *testing.T) {
	t.Parallel()
	s := &server{}
	m := begin(t, s, notify.NoTLS, nil)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if err := m.Send(t.Context(), "a@example.de", "b@example.org", []byte(source)); err != nil {
				t.Errorf("Send = %v", err)
			}
		})
	}
	wg.Wait()
	if len(s.mails) != 40 || len(s.conns) > 2 {
		t.Errorf("%d mails over %d connections, want 40 over at most 2", len(s.mails), len(s.conns))
	}
}

// BenchmarkSend hands mails to a server in the same process, 8 at once over 8 connections.
func BenchmarkSend(b *testing.B) {
	s := &server{}
	m := begin(b, s, notify.NoTLS, func(c *notify.SMTP) { c.Connections = 8 })
	mail := []byte(source + strings.Repeat("Eine Zeile Text in einer Nachricht von sechs Kilobytes.\r\n", 100))
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := m.Send(b.Context(), "a@example.de", "b@example.org", mail); err != nil {
				b.Errorf("Send = %v", err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
}
