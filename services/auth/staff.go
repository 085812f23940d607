package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"

	"basisdienste/platform/audit"
	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// A password may be wrong this often within the window; then nobody gets in under that name
// until the window is over, whatever they know. The bound is by account and in the database,
// so that many machines and a restart do not raise it; addresses are bounded besides.
const (
	failuresAllowed = 10
	failureWindow   = 15 * time.Minute
)

// passwords hashes by argon2id (RFC 9106), as many at a time as memory allows.
type passwords struct {
	params *argon2id.Params
	decoy  string        // stands in for accounts that do not exist
	slots  chan struct{} // each hash takes 19 MiB
}

const hashesAtOnce = 4

func newPasswords() (*passwords, error) {
	// OWASP's recommendation for argon2id: 19 MiB, two passes, one lane.
	p := &passwords{
		params: &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32},
		slots:  make(chan struct{}, hashesAtOnce),
	}
	var err error
	p.decoy, err = argon2id.CreateHash(id.Secret(16), p.params)
	return p, err
}

func (p *passwords) slot(ctx context.Context) (release func(), err error) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	release, err := p.slot(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return argon2id.CreateHash(password, p.params)
}

// match costs the same for every account, also for those that do not exist (hash is "").
func (p *passwords) match(ctx context.Context, password, hash string) (bool, error) {
	release, err := p.slot(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	if hash == "" {
		_, err := argon2id.ComparePasswordAndHash(password, p.decoy)
		return false, err
	}
	return argon2id.ComparePasswordAndHash(password, hash)
}

// CheckPassword returns who of the tenant's staff this is. The answer and the time it takes
// are the same for a wrong password, an unknown name and a disabled account.
// Errors: login_wrong, too_many_attempts.
func (s *Service) CheckPassword(ctx context.Context, username, password string) (Staff, error) {
	username = strings.ToLower(strings.TrimSpace(username))
	account := s.secrets.accountKey(username)
	var p Staff
	var failed int
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		if failed, err = failures(ctx, tx, account, db.NewTime(tx.Now().Add(-failureWindow))); err != nil {
			return err
		}
		p, err = staffByUsername(ctx, tx, username)
		if errors.Is(err, db.ErrNoRows) {
			p, err = Staff{}, nil
		}
		return err
	})
	if err != nil {
		return Staff{}, err
	}
	if failed >= failuresAllowed {
		return Staff{}, fault.RateLimited("too_many_attempts", "there were too many wrong passwords for this name; try again later").After(failureWindow)
	}
	if len(password) > 4*maxPassword {
		password = ""
	}
	ok, err := s.passwords.match(ctx, password, p.PasswordHash)
	if err != nil {
		return Staff{}, fmt.Errorf("check password: %w", err)
	}
	if !ok || p.Disabled {
		err := s.db.Tx(ctx, func(tx *db.Tx) error {
			return countFailure(ctx, tx, account, db.NewTime(tx.Now().Add(-failureWindow)))
		})
		if err != nil {
			return Staff{}, err
		}
		return Staff{}, fault.Unauthenticated("login_wrong", "user name or password is wrong")
	}
	if failed > 0 {
		err = s.db.Tx(ctx, func(tx *db.Tx) error { return forgetFailures(ctx, tx, account) })
	}
	return p, err
}

// CreateStaff makes an account. Without a password it makes one, which is told in the
// answer and nowhere else. Errors: staff_exists, unknown_role, invalid_password.
func (s *Service) CreateStaff(ctx context.Context, q CreateStaffRequest) (StaffAnswer, error) {
	if err := checkRoles(here(ctx).ID, q.Roles); err != nil {
		return StaffAnswer{}, err
	}
	generated, password := "", q.Password
	if password == "" {
		generated = id.Secret(12)
		password = generated
	}
	hash, err := s.passwords.hash(ctx, password)
	if err != nil {
		return StaffAnswer{}, err
	}
	p := Staff{
		ID: id.New(), Username: q.Username, Name: q.Name, Email: q.Email,
		Roles: db.JSON[[]string]{V: q.Roles}, PasswordHash: hash,
	}
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		p.CreatedAt, p.ChangedAt = tx.Now(), tx.Now()
		if err := insertStaff(ctx, tx, p); err != nil {
			return err
		}
		return audit.Record(ctx, tx, "staff.created", "staff:"+p.ID.String(), map[string]any{"roles": q.Roles})
	})
	if db.IsUnique(err) {
		return StaffAnswer{}, fault.Conflict("staff_exists", "there is an account with this user name already")
	}
	a := staffAnswer(p)
	a.Password, a.created = generated, true
	return a, err
}

// ListStaff lists the tenant's accounts by user name.
func (s *Service) ListStaff(ctx context.Context, q ListRequest) (list StaffList, err error) {
	var rows []Staff
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		after, err := s.after(q)
		if err != nil {
			return err
		}
		rows, err = selectStaff(ctx, tx, after, q.Limit+1)
		return err
	})
	if err != nil {
		return list, err
	}
	rows, list.Next, err = cut(s, rows, q.Limit, func(p Staff) string { return p.Username })
	list.Items = make([]StaffAnswer, 0, len(rows))
	for _, p := range rows {
		list.Items = append(list.Items, staffAnswer(p))
	}
	return list, err
}

// changeStaff changes an account and ends its sessions. action and detail go into the audit log.
func (s *Service) changeStaff(ctx context.Context, staffID id.ID, action string, detail any, change func(*Staff)) (StaffAnswer, error) {
	var p Staff
	err := s.db.Tx(ctx, func(tx *db.Tx) (err error) {
		if p, err = getStaff(ctx, tx, staffID, true); err != nil {
			return err
		}
		change(&p)
		if err := updateStaff(ctx, tx, p); err != nil {
			return err
		}
		if err := endSessions(ctx, tx, "subject", p.ID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, action, "staff:"+p.ID.String(), detail)
	})
	return staffAnswer(p), err
}

// DisableStaff lets nobody in under the account any more; its sessions end. Access tokens
// that are out expire by themselves. Doing it twice changes nothing. Error: unknown_staff.
func (s *Service) DisableStaff(ctx context.Context, q StaffRef) (StaffAnswer, error) {
	return s.changeStaff(ctx, q.ID, "staff.disabled", nil, func(p *Staff) { p.Disabled = true })
}

// EnableStaff takes DisableStaff back. Error: unknown_staff.
func (s *Service) EnableStaff(ctx context.Context, q StaffRef) (StaffAnswer, error) {
	return s.changeStaff(ctx, q.ID, "staff.enabled", nil, func(p *Staff) { p.Disabled = false })
}

// SetRoles gives the account other roles; its sessions end. Errors: unknown_staff, unknown_role.
func (s *Service) SetRoles(ctx context.Context, q RolesRequest) (StaffAnswer, error) {
	if err := checkRoles(here(ctx).ID, q.Roles); err != nil {
		return StaffAnswer{}, err
	}
	return s.changeStaff(ctx, q.ID, "staff.roles_changed", map[string]any{"roles": q.Roles}, func(p *Staff) { p.Roles.V = q.Roles })
}

// ResetPassword gives the account a new password, the one of the request or a made one that
// is told in the answer. Its sessions end, and wrong passwords are forgotten.
// Errors: unknown_staff, invalid_password.
func (s *Service) ResetPassword(ctx context.Context, q PasswordRequest) (StaffAnswer, error) {
	generated, password := "", q.Password
	if password == "" {
		generated = id.Secret(12)
		password = generated
	}
	hash, err := s.passwords.hash(ctx, password)
	if err != nil {
		return StaffAnswer{}, err
	}
	a, err := s.changeStaff(ctx, q.ID, "staff.password_reset", nil, func(p *Staff) { p.PasswordHash = hash })
	if err != nil {
		return a, err
	}
	a.Password = generated
	return a, s.db.Tx(ctx, func(tx *db.Tx) error { return forgetFailures(ctx, tx, s.secrets.accountKey(a.Username)) })
}

func staffAnswer(p Staff) StaffAnswer {
	return StaffAnswer{
		ID: p.ID, Username: p.Username, Name: p.Name, Email: p.Email, Roles: p.Roles.V,
		Disabled: p.Disabled, CreatedAt: p.CreatedAt, ChangedAt: p.ChangedAt,
	}
}

// staffArrival is a member of staff who has just logged in.
func staffArrival(p Staff) arrival {
	return arrival{kind: authn.Staff, subject: p.ID.String(), profile: Profile{Name: p.Name, Username: p.Username}}
}
