package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/op"

	"basisdienste/platform/fault"
)

// TestRefuse_WhatPassesIsNoServerError: while the database is away, programs are told to try
// again, by the status that their libraries know for it.
func TestRefuse_WhatPassesIsNoServerError(t *testing.T) {
	t.Parallel()
	away := fmt.Errorf("read the client: %w", fault.Unavailable("database_unavailable", "the database is away"))
	ours := &endpoints{s: &Service{log: slog.New(slog.DiscardHandler)}}
	for name, c := range map[string]struct {
		write      func(w http.ResponseWriter, r *http.Request)
		status     int
		code       string
		retryAfter string
	}{
		"our own, away":       {func(w http.ResponseWriter, r *http.Request) { ours.refuse(w, r, away) }, 503, "temporarily_unavailable", "1"},
		"our own, broken":     {func(w http.ResponseWriter, r *http.Request) { ours.refuse(w, r, errors.New("broken")) }, 500, "server_error", ""},
		"the library's, away": {func(w http.ResponseWriter, r *http.Request) { op.WriteError(w, r, serverError(away), nil) }, 503, "temporarily_unavailable", ""},
		"the library's, other": {func(w http.ResponseWriter, r *http.Request) {
			op.WriteError(w, r, serverError(errors.New("broken")), nil)
		}, 500, "server_error", ""},
	} {
		w := httptest.NewRecorder()
		c.write(w, httptest.NewRequest(http.MethodPost, "/token", nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), `"error":"`+c.code+`"`) || w.Header().Get("Retry-After") != c.retryAfter {
			t.Errorf("%s: got %d %s, Retry-After %q, want %d %s, %q", name, w.Code, w.Body, w.Header().Get("Retry-After"), c.status, c.code, c.retryAfter)
		}
	}
}
