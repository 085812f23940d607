package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/tenant"
)

type session struct {
	Subject string
	Level   int
}

// forTenant is a request of a reader who is on the tenant's pages.
func forTenant(slug string, cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r = r.WithContext(tenant.With(r.Context(), tenant.Tenant{Slug: slug, Name: slug}))
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

func TestCookie(t *testing.T) {
	t.Parallel()
	now := noon()
	s := newGallery(t, func(c *Config) { c.Secure, c.Clock = true, func() time.Time { return now } })
	c := s.Cookie("session", time.Hour)

	w := httptest.NewRecorder()
	if err := c.Set(w, forTenant("erfurt"), session{"kim", 3}); err != nil {
		t.Fatal(err)
	}
	set := w.Result().Cookies()[0]
	if set.Name != "__Host-basis_session-erfurt" || !set.Secure || !set.HttpOnly || set.SameSite != http.SameSiteLaxMode ||
		set.Path != "/" || set.Domain != "" || set.MaxAge != 3600 {
		t.Errorf("Set: got cookie %s", set)
	}
	if strings.Contains(set.Value, "kim") {
		t.Errorf("Set: got value %q, want it unreadable", set.Value)
	}

	renamed := func(name, value string) *http.Cookie { return &http.Cookie{Name: name, Value: value} }
	flipped := set.Value[:len(set.Value)-2] + map[bool]string{true: "B", false: "A"}[set.Value[len(set.Value)-2] == 'A'] + set.Value[len(set.Value)-1:]
	tests := []struct {
		name    string
		site    *Site
		request *http.Request
		later   time.Duration
		want    bool
	}{
		{"as set", s, forTenant("erfurt", set), 0, true},
		{"just before it expires", s, forTenant("erfurt", set), time.Hour - time.Second, true},
		{"expired", s, forTenant("erfurt", set), time.Hour, false},
		{"absent", s, forTenant("erfurt"), 0, false},
		{"on another tenant's pages", s, forTenant("jena", set), 0, false},
		{"renamed for another tenant", s, forTenant("jena", renamed("__Host-basis_session-jena", set.Value)), 0, false},
		{"another cookie's value", s, forTenant("erfurt", renamed("__Host-basis_session-erfurt", other(t, s))), 0, false},
		{"one bit changed", s, forTenant("erfurt", renamed(set.Name, flipped)), 0, false},
		{"cut", s, forTenant("erfurt", renamed(set.Name, set.Value[:20])), 0, false},
		{"no base64", s, forTenant("erfurt", renamed(set.Name, "!!!")), 0, false},
		{"other key", newGallery(t, func(c *Config) { c.Secure, c.Key = true, []byte(strings.Repeat("x", 32)) }), forTenant("erfurt", set), 0, false},
	}
	for _, tt := range tests {
		now = noon().Add(tt.later)
		var got session
		ok := tt.site.Cookie("session", time.Hour).Get(tt.request, &got)
		if ok != tt.want || (ok && got != session{"kim", 3}) {
			t.Errorf("%s: Get: got %v, %+v, want %v", tt.name, ok, got, tt.want)
		}
	}
}

// other returns the value of a cookie with another name.
func other(t *testing.T, s *Site) string {
	t.Helper()
	w := httptest.NewRecorder()
	if err := s.Cookie("draft", time.Hour).Set(w, forTenant("erfurt"), session{"kim", 3}); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0].Value
}

func TestCookie_tooLarge(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	err := newGallery(t).Cookie("draft", time.Hour).Set(w, forTenant("erfurt"), strings.Repeat("x", 4000))
	if err == nil || len(w.Result().Cookies()) != 0 {
		t.Errorf("Set(4000 bytes): got error %v and cookies %v, want an error and none", err, w.Result().Cookies())
	}
}

func TestCookie_Clear(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	newGallery(t).Cookie("session", time.Hour).Clear(w, forTenant("erfurt"))
	got := w.Result().Cookies()[0]
	if got.Name != "basis_session-erfurt" || got.Value != "" || got.MaxAge != -1 {
		t.Errorf("Clear: got cookie %s, want basis_session-erfurt emptied", got)
	}
}
