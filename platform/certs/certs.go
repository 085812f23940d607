// Package certs makes TLS configurations from PEM files. Certificates are read again when
// their files change, so that a renewal needs no restart.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
)

// Server is for a listener: TLS 1.2 or later, with the certificate (and its intermediates) of
// certFile and the key of keyFile. Both files are read again when they change: looked at
// during a handshake, at most every few seconds. If the new ones are missing, damaged, or do
// not belong together, the last good pair stays in use; that is logged once, and so is the
// renewal. Errors: the files of now cannot be used.
//
// Sessions that began with an older certificate go on. For HTTP/2 hand it to http.Server as
// TLSConfig and call ServeTLS with empty file names.
func Server(certFile, keyFile string) (*tls.Config, error) {
	p, err := openPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current(), nil },
	}, nil
}

// Client is for calls: TLS 1.2 or later. Servers are trusted by the authorities of caFile, or
// those of the operating system if caFile is empty; caFile is read once. With certFile and
// keyFile the client shows that certificate when asked, read again as in Server; without both
// it shows none. Errors: one of the two alone; the files of now cannot be used.
func Client(caFile, certFile, keyFile string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authorities: %s holds no certificate in PEM", caFile)
		}
	}
	if certFile == "" && keyFile == "" {
		return cfg, nil
	}
	if certFile == "" || keyFile == "" {
		return nil, errors.New("a certificate and its key go together: name both files, or neither")
	}
	p, err := openPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.current(), nil }
	return cfg, nil
}

func openPair(certFile, keyFile string) (*pair, error) {
	p := &pair{certFile: certFile, keyFile: keyFile, log: slog.Default}
	cert, err := p.read()
	if err != nil {
		return nil, err
	}
	p.use(cert)
	return p, nil
}
