package kit_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"basisdienste/platform/kit"
)

type optional struct {
	kit.OptionalBody
	Note string `json:"note"`
}

func TestRoute_OptionalBody(t *testing.T) {
	t.Parallel()
	m := kit.NewMux(slog.New(slog.DiscardHandler))
	kit.Route(m, "POST /notes", kit.Public, func(_ context.Context, q optional) (optional, error) { return q, nil })
	for _, c := range []struct {
		body string
		want int
		text string
	}{
		{"", 200, `{"note":""}`},
		{`{}`, 200, `{"note":""}`},
		{`{"note":"x"}`, 200, `{"note":"x"}`},
		{`{"note":1}`, 400, `"wrong_type"`},
		{`{"other":1}`, 400, `"unknown_field"`},
		{" ", 400, `"invalid_json"`},
	} {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/notes", strings.NewReader(c.body)))
		if w.Code != c.want || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("POST /notes with body %q = %d %s, want %d %s", c.body, w.Code, w.Body, c.want, c.text)
		}
	}
}
