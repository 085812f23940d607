// Package certstest makes throw-away certificates for tests.
package certstest

import (
	"testing"

	"basisdienste/platform/certs"
)

// Authority is one test's authority; its files are gone when the test ends.
type Authority struct {
	CA string // PEM file of its own certificate

	t         testing.TB
	authority *certs.Authority
}

// New makes an authority.
func New(t testing.TB) *Authority {
	t.Helper()
	a, err := certs.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatalf("certstest: %v", err)
	}
	return &Authority{CA: a.CA, t: t, authority: a}
}

// Server issues a certificate for the hosts; without any, for localhost, 127.0.0.1 and ::1.
// A second call with the same name writes over the files of the first.
func (a *Authority) Server(name string, hosts ...string) certs.Files {
	a.t.Helper()
	if len(hosts) == 0 {
		hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	f, err := a.authority.Server(name, hosts...)
	if err != nil {
		a.t.Fatalf("certstest: %v", err)
	}
	return f
}

// Client issues a certificate that names its owner.
func (a *Authority) Client(name string) certs.Files {
	a.t.Helper()
	f, err := a.authority.Client(name)
	if err != nil {
		a.t.Fatalf("certstest: %v", err)
	}
	return f
}
