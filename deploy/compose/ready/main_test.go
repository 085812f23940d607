package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestReady(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/drains" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for url, want := range map[string]bool{
		server.URL + "/readyz": true, server.URL + "/drains": false, gone.URL + "/readyz": false, "::": false,
	} {
		if got := ready(url); got != want {
			t.Errorf("ready(%s) = %t, want %t", url, got, want)
		}
	}
}
