package jitsi_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"basisdienste/services/booking"
	"basisdienste/services/booking/jitsi"
)

var (
	secret = []byte("0123456789abcdef0123456789abcdef")
	starts = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	ends   = starts.Add(30 * time.Minute)
)

type claims struct {
	jwt.Claims
	Room    string `json:"room"`
	Context struct {
		User map[string]string `json:"user"`
	} `json:"context"`
}

// enter does what the server does: it checks the signature and the time, and reads the claims.
func enter(t *testing.T, link string, key []byte, at time.Time) (claims, error) {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" || u.Host != "meet.example.org" {
		t.Fatalf("link: got %q, %v; want an https address of the server", link, err)
	}
	token, err := jwt.ParseSigned(u.Query().Get("jwt"), []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		t.Fatalf("token of %q: %v", link, err)
	}
	var c claims
	if err := token.Claims(key, &c); err != nil {
		return c, err
	}
	if c.Room != strings.TrimPrefix(u.Path, "/") {
		t.Errorf("room: the token is for %q, the address for %q", c.Room, u.Path)
	}
	return c, c.ValidateWithLeeway(jwt.Expected{Issuer: "basis", AnyAudience: jwt.Audience{"basis"}, Subject: "meet.example.org", Time: at}, 0)
}

func TestLink(t *testing.T) {
	t.Parallel()
	m, err := jitsi.New("meet.example.org", "basis", secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, moderator := range []bool{false, true} {
		link, err := m.Link(t.Context(), booking.Meeting{Room: "termin-0123", Starts: starts, Ends: ends, UserID: "citizen:1", UserName: "Kim Ä. Beispiel", Moderator: moderator})
		if err != nil {
			t.Fatalf("Link: %v", err)
		}
		for _, c := range []struct {
			at   time.Time
			want bool
		}{
			{starts.Add(-jitsi.Early - time.Second), false},
			{starts.Add(-jitsi.Early), true},
			{starts, true},
			{ends.Add(jitsi.Late), true},
			{ends.Add(jitsi.Late + time.Second), false},
		} {
			if _, err := enter(t, link, secret, c.at); (err == nil) != c.want {
				t.Errorf("enter at %s: got %v, want let in %t", c.at, err, c.want)
			}
		}
		got, _ := enter(t, link, secret, starts)
		affiliation, flag := "member", "false"
		if moderator {
			affiliation, flag = "owner", "true"
		}
		user := got.Context.User
		if user["name"] != "Kim Ä. Beispiel" || user["id"] != "citizen:1" || user["affiliation"] != affiliation || user["moderator"] != flag || user["email"] != "" {
			t.Errorf("user of a link with moderator %t: got %v", moderator, user)
		}
		if _, err := enter(t, link, []byte("another secret of 32 bytes......"), starts); err == nil {
			t.Error("a token with another secret was let in")
		}
	}
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		domain, id string
		secret     []byte
	}{
		"no domain":    {"", "basis", secret},
		"a URL":        {"https://meet.example.org", "basis", secret},
		"no app id":    {"meet.example.org", "", secret},
		"short secret": {"meet.example.org", "basis", []byte("short")},
	} {
		if _, err := jitsi.New(c.domain, c.id, c.secret); err == nil {
			t.Errorf("%s: New returned no error", name)
		}
	}
}
