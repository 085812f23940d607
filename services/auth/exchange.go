package auth

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// Exchange turns an authorization code into tokens, once (RFC 6749 section 4.1.3, RFC 7636
// section 4.6). A code that comes a second time was stolen before or after: the access token
// of the first time is revoked (RFC 6749 section 4.1.2). Errors: invalid_grant, invalid_request.
func (s *Service) Exchange(ctx context.Context, by *Client, q oidc.AccessTokenRequest) (tokenAnswer, error) {
	jti := id.New().String()
	var reused string
	var row codeRow
	var ss session
	var expires time.Time
	err := s.db.Tx(ctx, func(tx *db.Tx) (err error) {
		reused = ""
		row, err = lockCode(ctx, tx, hashSecret(q.Code))
		if errors.Is(err, db.ErrNoRows) {
			return errCode("is not one of ours, or has been forgotten")
		}
		if err != nil {
			return err
		}
		if err := checkCode(by, q, row, tx.Now()); err != nil {
			return err
		}
		if row.JTI != nil {
			reused = *row.JTI
			return revoke(ctx, tx, reused, row.KeepUntil)
		}
		ss, err = sessionByID(ctx, tx, row.SessionID)
		if errors.Is(err, db.ErrNoRows) {
			return errCode("belongs to a login that has ended")
		}
		if err != nil {
			return err
		}
		expires = earlier(tx.Now().Add(s.cfg.LoginToken), ss.ExpiresAt.Time).Truncate(time.Second)
		return markCodeUsed(ctx, tx, hashSecret(q.Code), jti, db.NewTime(expires))
	})
	if err != nil {
		return tokenAnswer{}, err
	}
	if reused != "" {
		s.revocations.Remove(here(ctx).ID.String() + reused)
		return tokenAnswer{}, errCode("was used before; the token that it gave is revoked")
	}
	return s.loginTokens(ctx, by, row.Request.V, ss, jti, expires)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func errCode(what string) error {
	return oidc.ErrInvalidGrant().WithDescription("the authorization code %s", what)
}

func checkCode(by *Client, q oidc.AccessTokenRequest, row codeRow, now db.Time) error {
	r := row.Request.V
	switch {
	case r.ClientID != by.ID:
		return errCode("was given to another client")
	case q.RedirectURI != r.RedirectURI:
		return errCode("was given for another redirect_uri")
	case row.JTI == nil && !now.Before(row.ExpiresAt.Time):
		return errCode("has expired")
	}
	return op.AuthorizeCodeChallenge(q.CodeVerifier, &oidc.CodeChallenge{Challenge: r.Challenge, Method: oidc.CodeChallengeMethodS256})
}

// loginTokens makes the access token and the ID token of a login.
func (s *Service) loginTokens(ctx context.Context, by *Client, q loginRequest, ss session, jti string, expires time.Time) (tokenAnswer, error) {
	p := authn.Principal{Kind: ss.Kind, Subject: ss.Subject, ClientID: by.ID, TenantID: here(ctx).ID, Scopes: q.Scopes, Level: ss.Level}
	who, err := s.whoIs(ctx, ss)
	if err != nil {
		return tokenAnswer{}, err
	}
	p.Roles = who.Roles
	claims := s.claimsFor(ctx, p, expires)
	claims.ID, claims.AuthTime = jti, ss.AuthTime.Unix()
	answer := tokenAnswer{TokenType: "Bearer", ExpiresIn: claims.Expiry - claims.IssuedAt, Scope: claims.Scope}
	if answer.AccessToken, err = s.sign(ctx, claims, true); err != nil || !slices.Contains(q.Scopes, oidc.ScopeOpenID) {
		return answer, err
	}
	hash, err := oidc.ClaimHash(answer.AccessToken, "ES256")
	if err != nil {
		return answer, err
	}
	idToken := profileClaims(who, q.Scopes)
	for name, value := range map[string]any{
		"iss": claims.Issuer, "sub": claims.Subject, "aud": by.ID, "azp": by.ID, "exp": claims.Expiry, "iat": claims.IssuedAt,
		"auth_time": claims.AuthTime, "at_hash": hash, "sid": ss.ID, "nonce": q.Nonce, "acr": claims.ACR,
	} {
		if value != "" {
			idToken[name] = value
		}
	}
	if ss.Kind == authn.Staff {
		idToken["amr"] = []string{"pwd"}
	}
	answer.IDToken, err = s.sign(ctx, idToken, false)
	return answer, err
}

// whoIs returns the profile of the session. What is said of staff is what holds now.
// Error: invalid_grant, for staff that was disabled meanwhile.
func (s *Service) whoIs(ctx context.Context, ss session) (Profile, error) {
	if ss.Kind != authn.Staff {
		return s.profile(ss)
	}
	var p Staff
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		p, err = getStaff(ctx, tx, id.ID(ss.Subject), false)
		return err
	})
	if fault.Is(err, "unknown_staff") || (err == nil && p.Disabled) {
		return Profile{}, oidc.ErrInvalidGrant().WithDescription("the account is disabled")
	}
	return Profile{Name: p.Name, Email: p.Email, Username: p.Username, Roles: p.Roles.V}, err
}

// profileClaims are the claims about a person that the scopes ask for (OpenID Connect Core
// section 5.4), for the ID token and userinfo alike.
func profileClaims(p Profile, scopes []string) map[string]any {
	claims := map[string]any{}
	set := func(scope, name, value string) {
		if value != "" && slices.Contains(scopes, scope) {
			claims[name] = value
		}
	}
	set("profile", "name", p.displayName())
	set("profile", "given_name", p.GivenName)
	set("profile", "family_name", p.FamilyName)
	set("profile", "birthdate", p.Birthdate)
	set("profile", "preferred_username", p.Username)
	set("profile", "mailbox", p.Mailbox)
	set("email", "email", p.Email)
	if p.Roles != nil && slices.Contains(scopes, "profile") {
		claims["roles"] = p.Roles
	}
	if p.Address != nil && slices.Contains(scopes, "address") {
		claims["address"] = p.Address
	}
	return claims
}

// Userinfo says what is known of the person that the access token speaks for (OpenID
// Connect Core section 5.3). ok is false for every token that is no longer, or was never,
// good for it.
func (s *Service) Userinfo(ctx context.Context, token string) (claims map[string]any, ok bool, err error) {
	c, err := s.verify(ctx, token)
	if errors.Is(err, errForeignToken) {
		return nil, false, nil
	}
	if err != nil || (c.Kind != authn.Citizen && c.Kind != authn.Staff) {
		return nil, false, err
	}
	if revoked, err := s.revoked(ctx, c.ID); err != nil || revoked {
		return nil, false, err
	}
	var ss session
	err = s.db.Read(ctx, func(tx *db.Tx) (err error) {
		ss, err = sessionOfToken(ctx, tx, c.ID)
		return err
	})
	if errors.Is(err, db.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	who, err := s.whoIs(ctx, ss)
	if isGrantError(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	claims = profileClaims(who, scopesOf(c.Scope))
	claims["sub"] = c.Subject
	if c.ACR != "" {
		claims["acr"] = c.ACR
	}
	return claims, true, nil
}

func isGrantError(err error) bool {
	var e *oidc.Error
	return errors.As(err, &e) && e.ErrorType == oidc.InvalidGrant
}
