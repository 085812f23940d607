package authn_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/authn"
)

func TestBasic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked []string
	down := false
	w.local.Add("auth", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/keys") {
			w.serveKeys(rw, r)
			return
		}
		client, secret, _ := r.BasicAuth()
		asked = append(asked, r.URL.Path)
		switch {
		case down:
			rw.WriteHeader(http.StatusBadGateway)
		case client+":"+secret == "efa:right" && r.URL.Path == "/operator/auth/token", client+":"+secret == "own:right" && r.URL.Path == "/t/erfurt/auth/token":
			token := w.sign(w.claims("/operator/auth", "client_id", client, "scope", "post"))
			_ = json.NewEncoder(rw).Encode(map[string]any{"access_token": token, "expires_in": 1800})
		default:
			rw.WriteHeader(http.StatusUnauthorized)
		}
	}))
	b := authn.NewBasic(w.local, w.clock)
	guarded := b.Guard(func(*http.Request) []string { return []string{"/operator/auth", "/t/erfurt/auth"} })(
		w.v.Guard("post")(func(ctx context.Context, _ any) (any, error) {
			p, _ := authn.From(ctx)
			return p.ClientID, nil
		}))
	for _, c := range []struct {
		name, client, secret, want, code string
		down                             bool
		asked                            int
	}{
		{"the operator's client", "efa", "right", "efa", "", false, 1},
		{"again, from what is kept", "efa", "right", "efa", "", true, 0},
		{"the municipality's own", "own", "right", "own", "", false, 2},
		{"that again, from what is kept", "own", "right", "own", "", true, 0},
		{"a wrong secret", "efa", "wrong", "", "basic_refused", false, 2},
		{"nobody", "", "", "", "basic_refused", false, 2},
		{"auth is away", "efa", "other", "", "token_unavailable", true, 1},
	} {
		asked, down = nil, c.down
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/x", nil)
		r.SetBasicAuth(c.client, c.secret)
		got, err := guarded(r.Context(), r)
		if code(err) != c.code || (err == nil && got != c.want) || len(asked) != c.asked {
			t.Errorf("%s: guard = %v, %v, after asking %v; want %s %s after asking %d times", c.name, got, err, asked, c.want, c.code, c.asked)
		}
		if auth := r.Header.Get("Authorization"); !strings.HasPrefix(auth, "Basic ") {
			t.Errorf("%s: the caller's request was changed to %q", c.name, auth)
		}
	}
	w.pass(6 * time.Minute)
	down = true
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/x", nil)
	r.SetBasicAuth("efa", "right")
	if _, err := guarded(r.Context(), r); code(err) != "token_unavailable" {
		t.Errorf("after six minutes = %v, want it asked again", err)
	}
	r.Header.Set("Authorization", "Bearer "+w.sign(w.claims("/operator/auth", "scope", "post")))
	if _, err := guarded(r.Context(), r); err != nil {
		t.Errorf("a token beside Basic = %v, want it let in", err)
	}
}
