package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestPair_IsReadAgain writes files as renewals do and looks at which certificate is shown.
func TestPair_IsReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		authority, err := NewAuthority(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		issue := func(name string) Files {
			t.Helper()
			f, err := authority.Server(name)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		first, second, third := issue("first"), issue("second"), issue("third")
		used := issue("used")
		put := func(cert, key string) {
			t.Helper()
			for from, to := range map[string]string{cert: used.Cert, key: used.Key} {
				b, err := os.ReadFile(from)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(to, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		put(first.Cert, first.Key)
		var log bytes.Buffer
		p, err := openPair(used.Cert, used.Key)
		if err != nil {
			t.Fatal(err)
		}
		logger := slog.New(slog.NewTextHandler(&log, nil))
		p.log = func() *slog.Logger { return logger }
		step := func(what, want string, wait time.Duration, lines int) {
			t.Helper()
			<-time.After(wait)
			var wg sync.WaitGroup // handshakes come side by side
			shown := make([]*tls.Certificate, 8)
			for i := range shown {
				wg.Go(func() { shown[i] = p.current() })
			}
			wg.Wait()
			if got := p.current().Leaf.Subject.CommonName; got != want {
				t.Errorf("%s: shown = %s, want %s", what, got, want)
			}
			for _, c := range shown {
				if c == nil {
					t.Errorf("%s: a handshake got no certificate", what)
				}
			}
			if got := strings.Count(log.String(), "\n"); got != lines {
				t.Errorf("%s: %d lines in the log, want %d:\n%s", what, got, lines, log.String())
			}
		}
		step("at the start", "first", 0, 0)
		step("unchanged", "first", time.Hour, 0)
		put(second.Cert, second.Key)
		step("changed just now", "first", lookEvery-time.Nanosecond, 0)
		step("changed", "second", time.Nanosecond, 1)
		put(third.Cert, second.Key) // the key follows later
		step("half renewed", "second", lookEvery, 2)
		step("still half renewed", "second", lookEvery, 2)
		put(third.Cert, third.Key)
		step("wholly renewed", "third", lookEvery, 3)
		if err := os.Remove(used.Cert); err != nil {
			t.Fatal(err)
		}
		step("gone", "third", lookEvery, 4)
		put(third.Cert, third.Key)
		step("back", "third", lookEvery, 5)
		put(second.Cert, third.Key)
		step("broken again", "third", lookEvery, 6)
		put(third.Cert, third.Key)
		step("mended again", "third", lookEvery, 7)
	})
}

// TestAuthorities_AreReadAgain exchanges the authority, as an installation does that gets a new one.
func TestAuthorities_AreReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var pems [2][]byte
		for i := range pems {
			authority, err := NewAuthority(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if pems[i], err = os.ReadFile(authority.CA); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(t.TempDir(), "ca.pem")
		put := func(pem []byte) {
			t.Helper()
			if err := os.WriteFile(file, pem, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put(pems[0])
		a, err := OpenAuthorities(file)
		if err != nil {
			t.Fatal(err)
		}
		a.pool.log = func() *slog.Logger { return slog.New(slog.DiscardHandler) }
		for _, step := range []struct {
			what   string
			file   []byte
			wait   time.Duration
			trusts []byte
		}{
			{"at the start", pems[0], 0, pems[0]},
			{"changed just now", pems[1], lookEvery - time.Nanosecond, pems[0]},
			{"changed", pems[1], time.Nanosecond, pems[1]},
			{"damaged", []byte("no PEM"), lookEvery, pems[1]},
			{"both", append(pems[0], pems[1]...), lookEvery, append(pems[0], pems[1]...)},
		} {
			put(step.file)
			<-time.After(step.wait)
			want := x509.NewCertPool()
			want.AppendCertsFromPEM(step.trusts)
			if got := a.Client().RootCAs; !got.Equal(want) {
				t.Errorf("%s: Client trusts others than it should", step.what)
			}
		}
	})
}
