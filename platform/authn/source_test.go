package authn_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"basisdienste/platform/authn"
)

func TestSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := []byte("0123456789abcdef0123456789abcdef")
	var asked atomic.Int32
	var down atomic.Bool
	w.local.Add("auth", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		client, secret, _ := r.BasicAuth()
		if down.Load() || client != "svc-forms" || secret != authn.ServiceSecret(key, "forms") || r.FormValue("grant_type") != "client_credentials" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"access_token": fmt.Sprint("t", n), "expires_in": 600})
	}))
	w.local.Add("notify", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = rw.Write([]byte(r.Header.Get("Authorization")))
	}))
	s := authn.NewSource(w.local, "forms", key, w.clock)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := s.Token(t.Context()); err != nil || got != "t1" {
				t.Errorf("Token = %q, %v, want t1: one asks for all", got, err)
			}
		})
	}
	wg.Wait()
	step := func(what, want, wantCode string, wantAsked int32) {
		t.Helper()
		got, err := s.Token(t.Context())
		if got != want || code(err) != wantCode || asked.Load() != wantAsked {
			t.Errorf("%s: Token = %q, %v after %d fetches, want %q %s after %d", what, got, err, asked.Load(), want, wantCode, wantAsked)
		}
	}
	w.pass(8 * time.Minute)
	step("still good", "t1", "", 1)
	w.pass(61 * time.Second)
	step("renewed before it ends", "t2", "", 2)
	down.Store(true)
	w.pass(9*time.Minute + time.Second)
	step("issuer away", "t2", "", 3)
	w.pass(time.Minute)
	step("issuer away for too long", "", "token_unavailable", 4)
	down.Store(false)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://notify/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client("notify").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got [64]byte
	n, _ := resp.Body.Read(got[:])
	if string(got[:n]) != "Bearer t5" || req.Header.Get("Authorization") != "" {
		t.Errorf("the call carried %q and changed the caller's request to %q", got[:n], req.Header.Get("Authorization"))
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	w.pass(time.Hour)
	if _, err := s.Token(cancelled); err == nil {
		t.Error("Token of a caller that gave up = nil error")
	}
}

func TestServiceSecret_IsStable(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	const want = "hEHMQfM1iSaotzWqSMWui-8-yUHVczQbkQkF306KuvQ"
	if got := authn.ServiceSecret(key, "payment"); got != want {
		t.Errorf("ServiceSecret = %s, want %s: running installations know it", got, want)
	}
	if authn.ServiceSecret(key, "web-payment") == authn.ServiceSecret(key, "payment") || authn.ServiceClient("payment") != "svc-payment" {
		t.Error("two clients share a secret")
	}
}
