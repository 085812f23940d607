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
func forTenant(t *testing.T, slug string, cookies ...*http.Cookie) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
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
	if err := c.Set(w, forTenant(t, "erfurt"), session{"kim", 3}); err != nil {
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
		{"as set", s, forTenant(t, "erfurt", set), 0, true},
		{"just before it expires", s, forTenant(t, "erfurt", set), time.Hour - time.Second, true},
		{"expired", s, forTenant(t, "erfurt", set), time.Hour, false},
		{"absent", s, forTenant(t, "erfurt"), 0, false},
		{"on another tenant's pages", s, forTenant(t, "jena", set), 0, false},
		{"renamed for another tenant", s, forTenant(t, "jena", renamed("__Host-basis_session-jena", set.Value)), 0, false},
		{"another cookie's value", s, forTenant(t, "erfurt", renamed("__Host-basis_session-erfurt", other(t, s))), 0, false},
		{"one bit changed", s, forTenant(t, "erfurt", renamed(set.Name, flipped)), 0, false},
		{"cut", s, forTenant(t, "erfurt", renamed(set.Name, set.Value[:20])), 0, false},
		{"no base64", s, forTenant(t, "erfurt", renamed(set.Name, "!!!")), 0, false},
		{"other key", newGallery(t, func(c *Config) { c.Secure, c.Key = true, []byte(strings.Repeat("x", 32)) }), forTenant(t, "erfurt", set), 0, false},
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
	if err := s.Cookie("draft", time.Hour).Set(w, forTenant(t, "erfurt"), session{"kim", 3}); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0].Value
}

func TestCookie_tooLarge(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	err := newGallery(t).Cookie("draft", time.Hour).Set(w, forTenant(t, "erfurt"), strings.Repeat("x", 4000))
	if err == nil || len(w.Result().Cookies()) != 0 {
		t.Errorf("Set(4000 bytes): got error %v and cookies %v, want an error and none", err, w.Result().Cookies())
	}
}

func TestCookie_Clear(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	newGallery(t).Cookie("session", time.Hour).Clear(w, forTenant(t, "erfurt"))
	got := w.Result().Cookies()[0]
	if got.Name != "basis_session-erfurt" || got.Value != "" || got.MaxAge != -1 {
		t.Errorf("Clear: got cookie %s, want basis_session-erfurt emptied", got)
	}
}

func FuzzCookie_Get(f *testing.F) {
	s, err := New(Config{Key: testKey, Clock: noon})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, value string) {
		var got session
		if s.Cookie("session", time.Hour).Get(forTenant(t, "erfurt", &http.Cookie{Name: "basis_session-erfurt", Value: value}), &got) {
			t.Errorf("Get(%q): got %+v, want nothing: we never sealed it", value, got)
		}
	})
}
