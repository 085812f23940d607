// Package jitsi lets people meet on a Jitsi Meet server: by links with a signed token
// (HS256), which the server checks. No call is made: a room exists once somebody enters it.
//
// The server must ask for tokens (token authentication of its Prosody, with this app id and
// secret): a room's name is a secret of 128 bits, but whoever has it could enter a server
// that asks for nothing. Settings: conference.domain is the server's host name, id the app
// id, secret the app secret. Claims as documented by lib-jitsi-meet (tokens.md) and 8x8.
package jitsi

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"basisdienste/platform/run"
	"basisdienste/services/booking"
)

// Early and Late are how long before and after the appointment a link lets people in.
const (
	Early = 15 * time.Minute
	Late  = time.Hour
)

// Meetings makes links. It is safe for concurrent use.
type Meetings struct {
	domain, appID string
	signer        jose.Signer
}

// demoDomain answers nothing (RFC 2606): links of a demo can be looked at, not used.
const demoDomain = "meet.example.org"

// Open reads the adapter's settings. Without a domain there are no conferences (nil), except
// in a demo.
func Open(_ context.Context, h *run.Host, cfg booking.ConferenceConfig) (booking.Conference, error) {
	if cfg.Domain == "" && !h.Demo {
		return nil, nil
	}
	if cfg.Domain == "" {
		key, err := h.Secret("jitsi-demo")
		if err != nil {
			return nil, err
		}
		return New(demoDomain, "basisdienste", key)
	}
	return New(cfg.Domain, cfg.ID, []byte(cfg.Secret))
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?$`)

// New makes links to the server on the domain, signed with the secret that it shares with
// the app id.
func New(domain, appID string, secret []byte) (*Meetings, error) {
	switch {
	case !hostName.MatchString(domain):
		return nil, fmt.Errorf("jitsi: domain %q is no host name", domain)
	case appID == "":
		return nil, errors.New("jitsi: the app id is missing")
	case len(secret) < 32:
		return nil, errors.New("jitsi: the app secret has less than 32 bytes, so HS256 would be weak (RFC 7518 section 3.2)")
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("jitsi: %w", err)
	}
	return &Meetings{domain: domain, appID: appID, signer: signer}, nil
}

// user is who enters. The server takes moderator (8x8) or affiliation (own servers).
type user struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Avatar      string `json:"avatar"` // must not be null
	Email       string `json:"email"`
	Moderator   string `json:"moderator"`
	Affiliation string `json:"affiliation"`
}

// Link implements booking.Conference. The token names the person and holds no address.
func (m *Meetings) Link(_ context.Context, meeting booking.Meeting) (string, error) {
	u := user{ID: meeting.UserID, Name: meeting.UserName, Moderator: "false", Affiliation: "member"}
	if meeting.Moderator {
		u.Moderator, u.Affiliation = "true", "owner"
	}
	token, err := jwt.Signed(m.signer).Claims(jwt.Claims{
		Issuer: m.appID, Audience: jwt.Audience{m.appID}, Subject: m.domain,
		NotBefore: jwt.NewNumericDate(meeting.Starts.Add(-Early)), Expiry: jwt.NewNumericDate(meeting.Ends.Add(Late)),
	}).Claims(map[string]any{"room": meeting.Room, "context": map[string]any{"user": u}}).Serialize()
	if err != nil {
		return "", fmt.Errorf("jitsi: sign: %w", err)
	}
	return (&url.URL{Scheme: "https", Host: m.domain, Path: "/" + meeting.Room, RawQuery: url.Values{"jwt": {token}}.Encode()}).String(), nil
}
