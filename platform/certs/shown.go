package certs

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// ClientHeader carries the certificate that a client showed from proxy to service (RFC 9440).
const ClientHeader = "Client-Cert"

// shownHeaders are where proxies write it: the standard's, and the one of nginx, HAProxy and
// Traefik by custom.
var shownHeaders = []string{ClientHeader, "X-Client-Cert"}

type shownKey struct{}

// Shown returns the thumbprint (RFC 8705 section 3.1: SHA-256 of the DER form, base64url) of the
// TLS certificate that the client of the request showed, or "". Possession is proven by the
// handshake; whether anybody vouches for the name in it was not asked.
func Shown(ctx context.Context) string {
	t, _ := ctx.Value(shownKey{}).(string)
	return t
}

// Show makes handlers know the certificate that the client showed: in the connection's
// handshake, or, only if the one that connects belongs to the trusted proxies, in the header
// Client-Cert or X-Client-Cert. Such a header of anybody else is taken away.
func Show(trusted []netip.Prefix, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var der []byte
		switch {
		case r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
			der = r.TLS.PeerCertificates[0].Raw
			if fromTrusted(r, trusted) {
				der = headerCertificate(r.Header) // the proxy's own certificate is not the client's
			}
		case fromTrusted(r, trusted):
			der = headerCertificate(r.Header)
		}
		for _, name := range shownHeaders {
			r.Header.Del(name)
		}
		if der == nil {
			next.ServeHTTP(w, r)
			return
		}
		// For the services behind us, which trust us.
		r.Header.Set(ClientHeader, ":"+base64.StdEncoding.EncodeToString(der)+":")
		sum := sha256.Sum256(der)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), shownKey{}, base64.RawURLEncoding.EncodeToString(sum[:]))))
	})
}

func fromTrusted(r *http.Request, trusted []netip.Prefix) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	at := peer.Addr().Unmap().WithZone("")
	return err == nil && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(at) })
}

// headerCertificate reads a certificate as RFC 9440 writes it, as base64 of the DER form
// (HAProxy, Traefik), or as escaped PEM (nginx). What is none of these is no certificate.
func headerCertificate(h http.Header) []byte {
	var values []string
	for _, name := range shownHeaders {
		values = append(values, h.Values(name)...)
	}
	if len(values) != 1 {
		return nil
	}
	text := strings.Trim(strings.TrimSpace(values[0]), ":")
	var der []byte
	if plain, err := url.PathUnescape(text); err == nil && strings.Contains(plain, "BEGIN CERTIFICATE") {
		block, _ := pem.Decode([]byte(plain))
		if block == nil {
			return nil
		}
		der = block.Bytes
	} else if der, err = base64.StdEncoding.DecodeString(text); err != nil {
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return cert.Raw
}
