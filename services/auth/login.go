package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenantdir"
)

const (
	requestLife = 30 * time.Minute // that a login may take
	codeLife    = time.Minute      // RFC 6749 section 4.1.2 recommends ten at most
)

// beginLogin remembers a login that was asked for in the browser, and returns its id.
func (s *Service) beginLogin(ctx context.Context, browser string, q loginRequest) (string, error) {
	requestID := id.Secret(16)
	err := s.db.Tx(ctx, func(tx *db.Tx) error {
		return insertRequest(ctx, tx, requestID, hashSecret(browser), q, db.NewTime(tx.Now().Add(requestLife)))
	})
	return requestID, err
}

// readLogin returns the login under way in the browser. Error: login_stale.
func (s *Service) readLogin(ctx context.Context, browser, requestID string) (q loginRequest, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		q, err = getRequest(ctx, tx, requestID, hashSecret(browser))
		return err
	})
	return q, err
}

// sessionOf returns the living session of the cookie, or nil.
func (s *Service) sessionOf(ctx context.Context, kind authn.Kind, cookie string) (*session, error) {
	if cookie == "" {
		return nil, nil
	}
	var found session
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		found, err = sessionByCookie(ctx, tx, hashSecret(cookie), string(kind))
		return err
	})
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &found, nil
}

// resume gives a code for a session that is good enough for the request.
func (s *Service) resume(ctx context.Context, sessionID id.ID, q loginRequest) (code string, err error) {
	code = id.Secret(32)
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		return insertCode(ctx, tx, hashSecret(code), sessionID, q, db.NewTime(tx.Now().Add(codeLife)))
	})
	return code, err
}

// arrival is somebody who has just logged in.
type arrival struct {
	kind    authn.Kind
	subject string
	level   int
	profile Profile
}

// finishLogin ends the login under way: the session is made, or made anew for the same
// person, and a code is given for it. The cookie is another one after each login, so that
// nobody can plant one. Error: login_stale.
func (s *Service) finishLogin(ctx context.Context, browser, requestID, oldCookie string, who arrival) (cookie, code string, q loginRequest, err error) {
	cookie, code = id.Secret(32), id.Secret(32)
	profile, err := json.Marshal(who.profile)
	if err != nil {
		return "", "", q, err
	}
	sessionID := id.New()
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		if q, err = getRequest(ctx, tx, requestID, hashSecret(browser)); err != nil {
			return err
		}
		now := tx.Now()
		fresh := session{
			ID: sessionID, Cookie: hashSecret(cookie), Kind: who.kind, Subject: who.subject, Level: who.level,
			AuthTime: now, ExpiresAt: db.NewTime(now.Add(s.cfg.Session)),
		}
		old, err := sessionByCookie(ctx, tx, hashSecret(oldCookie), string(who.kind))
		switch {
		case errors.Is(err, db.ErrNoRows):
		case err != nil:
			return err
		case old.Subject == who.subject: // what came of the old session lives on
			fresh.ID = old.ID
			err = deleteSession(ctx, tx, old.ID)
		default:
			err = endSessions(ctx, tx, "id", old.ID)
		}
		if err != nil && !errors.Is(err, db.ErrNoRows) {
			return err
		}
		if fresh.Profile, err = s.secrets.sealed(aboutProfile(fresh.ID), profile); err != nil {
			return err
		}
		if err := insertSession(ctx, tx, fresh); err != nil {
			return err
		}
		if err := insertCode(ctx, tx, hashSecret(code), fresh.ID, q, db.NewTime(now.Add(codeLife))); err != nil {
			return err
		}
		return deleteRequest(ctx, tx, requestID)
	})
	return cookie, code, q, err
}

func aboutProfile(sessionID id.ID) string { return "profile of session " + sessionID.String() }

func (s *Service) profile(ss session) (p Profile, err error) {
	plain, err := s.secrets.opened(aboutProfile(ss.ID), ss.Profile)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(plain, &p)
}

// abandon forgets a login under way and returns what it was. Error: login_stale.
func (s *Service) abandon(ctx context.Context, browser, requestID string) (q loginRequest, err error) {
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		if q, err = getRequest(ctx, tx, requestID, hashSecret(browser)); err != nil {
			return err
		}
		return deleteRequest(ctx, tx, requestID)
	})
	return q, err
}

// logout ends the sessions of the cookies, and revokes the tokens that came of them.
func (s *Service) logout(ctx context.Context, cookies ...string) error {
	return s.db.Tx(ctx, func(tx *db.Tx) error {
		for _, c := range cookies {
			if c == "" {
				continue
			}
			if err := endSessions(ctx, tx, "cookie", hashSecret(c)); err != nil {
				return err
			}
		}
		return nil
	})
}

// opensFor refuses citizens where no new business is taken; staff may go on reading.
// Errors: tenant_suspended, tenant_closing.
func opensFor(ctx context.Context, kind authn.Kind) error {
	if e, ok := tenantdir.From(ctx); ok && kind != authn.Staff {
		return e.Open()
	}
	return nil
}

// pendingLogin is readLogin for the browser of the request.
func (s *Service) pendingLogin(r *http.Request, requestID string) (loginRequest, error) {
	if requestID == "" {
		return loginRequest{}, fault.Gone("login_stale", "this login was begun elsewhere, is finished, or took too long; open the page again that you came from")
	}
	return s.readLogin(r.Context(), s.cookie(r, browserCookie), requestID)
}
