// Package certs makes TLS configurations from PEM files. Certificates are read again when
// their files change, so that a renewal needs no restart.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
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
// those of the operating system if caFile is empty; caFile is read once (see Authorities). With
// certFile and keyFile the client shows that certificate when asked, read again as in Server;
// without both it shows none. Errors: one of the two alone; the files of now cannot be used.
func Client(caFile, certFile, keyFile string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		a, err := OpenAuthorities(caFile)
		if err != nil {
			return nil, err
		}
		cfg = a.Client()
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

// Authorities are whom calls trust to name servers: the certificates of one file, read again
// when it changes, as in Server. They are safe for concurrent use.
type Authorities struct{ pool *kept[x509.CertPool] }

// OpenAuthorities reads the file. Errors: it cannot be read, or holds no certificate.
func OpenAuthorities(caFile string) (*Authorities, error) {
	pool, err := keep("authorities", func(pems [][]byte) (*x509.CertPool, error) {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pems[0]) {
			return nil, errors.New("no certificate in PEM")
		}
		return pool, nil
	}, caFile)
	if err != nil {
		return nil, err
	}
	return &Authorities{pool}, nil
}

// Client is for one connection: TLS 1.2 or later, to servers that the authorities of now name.
func (a *Authorities) Client() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.pool.current()}
}

func openPair(certFile, keyFile string) (*kept[tls.Certificate], error) {
	return keep("certificate", func(pems [][]byte) (*tls.Certificate, error) {
		cert, err := tls.X509KeyPair(pems[0], pems[1])
		return &cert, err
	}, certFile, keyFile)
}
