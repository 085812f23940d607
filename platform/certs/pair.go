package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery bounds how often the files are read; they are small, and contents are compared,
// not times, which a copy or a restored backup may keep.
const lookEvery = 3 * time.Second

// pair is a certificate and its key, as they were last good. It is safe for concurrent use.
type pair struct {
	certFile, keyFile string
	log               func() *slog.Logger

	cert   atomic.Pointer[tls.Certificate]
	looked atomic.Int64 // when the files were read, in Unix nanoseconds

	reading         sync.Mutex // guards what follows; held by the one handshake that looks
	certPEM, keyPEM []byte     // what was last read, good or not
	failed          string     // why that is not in use
}

// current returns the certificate to show. Handshakes that come while another one looks at
// the files take what is there.
func (p *pair) current() *tls.Certificate {
	now := time.Now().UnixNano()
	if since := time.Duration(now - p.looked.Load()); (since >= lookEvery || since < 0) && p.reading.TryLock() {
		defer p.reading.Unlock()
		p.renew()
		p.looked.Store(now)
	}
	return p.cert.Load()
}

// renew takes over new files, if they are good.
func (p *pair) renew() {
	cert, err := p.read()
	ctx := context.Background() // it is about the process, not about this handshake
	switch {
	case err != nil:
		if p.failed != err.Error() {
			p.log().ErrorContext(ctx, "the new certificate cannot be used, the last one stays", "file", p.certFile, "error", err)
		}
		p.failed = err.Error()
	case cert != nil:
		p.failed = ""
		p.use(cert)
		p.log().InfoContext(ctx, "the certificate was renewed", "file", p.certFile, "valid_until", cert.Leaf.NotAfter)
	}
}

func (p *pair) use(cert *tls.Certificate) {
	p.cert.Store(cert)
	p.looked.Store(time.Now().UnixNano())
}

// read returns nil if the files hold what was read before and was good.
func (p *pair) read() (*tls.Certificate, error) {
	certPEM, err := os.ReadFile(p.certFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(p.keyFile)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if p.failed == "" && bytes.Equal(certPEM, p.certPEM) && bytes.Equal(keyPEM, p.keyPEM) {
		return nil, nil //nolint:nilnil // nothing new is no mistake
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %s and key %s: %w", p.certFile, p.keyFile, err)
	}
	p.certPEM, p.keyPEM = certPEM, keyPEM
	return &cert, nil
}
