package certs

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"os"
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
