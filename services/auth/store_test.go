package auth

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenant"
)

func sets() []db.Set { return []db.Set{outbox.Migrations(), Migrations()} }

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func frozen() time.Time { return noon }

// in runs f in a transaction and fails the test on an error.
func in(ctx context.Context, t *testing.T, d *db.DB, f func(tx *db.Tx) error) {
	t.Helper()
	if err := d.Tx(ctx, f); err != nil {
		t.Fatal(err)
	}
}

func filled(ctx context.Context, t *testing.T, d *db.DB) (Client, Staff, session) {
	t.Helper()
	at := db.NewTime(noon)
	c := Client{
		ID: "client", Name: "Client", Login: "citizen", AuthMethod: authBasic, SecretHash: hashSecret("s"), Redirects: list("https://a.example/"),
		AfterLogout: list(), Grants: list(grantCode), Scopes: list("a", "b"), MinLevel: 3, Enabled: true, Version: 1, CreatedAt: at,
	}
	p := Staff{ID: id.New(), Username: "clerk", Name: "Clerk", Roles: list("clerk"), PasswordHash: "h", CreatedAt: at, ChangedAt: at}
	s := session{
		ID: id.New(), Cookie: "cookie", Kind: "citizen", Subject: "sub", Level: 3, AuthTime: at, Profile: []byte{1, 2}, ExpiresAt: db.NewTime(noon.Add(time.Hour)),
	}
	in(ctx, t, d, func(tx *db.Tx) error {
		return errors.Join(insertClient(ctx, tx, &c), insertStaff(ctx, tx, p), insertSession(ctx, tx, s),
			addTarget(ctx, tx, c.ID, "target-1"), addTarget(ctx, tx, c.ID, "target-2"), addTarget(ctx, tx, c.ID, "target-2"),
			insertRequest(ctx, tx, "request", "browser", loginRequest{ClientID: c.ID, Level: 3}, s.ExpiresAt),
			insertCode(ctx, tx, "code", s.ID, loginRequest{ClientID: c.ID}, s.ExpiresAt),
			markCodeUsed(ctx, tx, "code", "jti", s.ExpiresAt), revoke(ctx, tx, "gone", s.ExpiresAt), revoke(ctx, tx, "gone", s.ExpiresAt),
			insertKey(ctx, tx, keyRow{Generation: 1, KID: "k", Sealed: []byte{9}, CreatedAt: at, SignsFrom: at}),
			countFailure(ctx, tx, "account", db.NewTime(noon.Add(-time.Minute))))
	})
	return c, p, s
}

func TestStore(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		d = d.WithClock(frozen)
		ctx := dbtest.Tenant(t, "erfurt")
		c, p, s := filled(ctx, t, d)
		in(ctx, t, d, func(tx *db.Tx) error {
			got, err := getClient(ctx, tx, "client", true)
			if err != nil || got.SecretHash != c.SecretHash || !slices.Equal(got.Scopes.V, c.Scopes.V) || !got.Enabled || got.AllTenants || got.PreviousUntil != nil {
				t.Errorf("getClient = %+v, %v; want %+v", got, err, c)
			}
			until := db.NewTime(noon)
			got.Enabled, got.AllTenants, got.PreviousUntil = false, true, &until
			if err := updateClient(ctx, tx, got); err != nil {
				return err
			}
			again, err := getClient(ctx, tx, "client", false)
			if err != nil || again.Enabled || !again.AllTenants || again.Version != 2 || !again.PreviousUntil.Equal(noon) {
				t.Errorf("getClient after update = %+v, %v; want it off, for all, version 2", again, err)
			}
			ids, err := selectTargets(ctx, tx, "client", "target-1", 10)
			n, err2 := countTargets(ctx, tx, "client")
			on, err3 := hasTarget(ctx, tx, "client", "target-1")
			if err != nil || err2 != nil || err3 != nil || !slices.Equal(ids, []id.ID{"target-2"}) || n != 2 || !on {
				t.Errorf("targets after target-1 = %v, %d in all, target-1 %t, %v %v %v; want target-2, 2, true", ids, n, on, err, err2, err3)
			}
			q, err := getRequest(ctx, tx, "request", "browser")
			if err != nil || q.Level != 3 {
				t.Errorf("getRequest = %+v, %v; want level 3", q, err)
			}
			found, err := sessionOfToken(ctx, tx, "jti")
			if err != nil || found.ID != s.ID || found.Kind != "citizen" || !slices.Equal(found.Profile, s.Profile) || !found.AuthTime.Equal(noon) {
				t.Errorf("sessionOfToken = %+v, %v; want %+v", found, err, s)
			}
			who, err := staffByUsername(ctx, tx, "clerk")
			if err != nil || who.ID != p.ID || !slices.Equal(who.Roles.V, []string{"clerk"}) {
				t.Errorf("staffByUsername = %+v, %v; want %+v", who, err, p)
			}
			for jti, want := range map[string]bool{"gone": true, "jti": false} {
				if got, err := isRevoked(ctx, tx, jti); err != nil || got != want {
					t.Errorf("isRevoked(%s) = %t, %v; want %t", jti, got, err, want)
				}
			}
			for i, want := range []bool{true, false} {
				if got, err := useAssertion(ctx, tx, "client", "once", s.ExpiresAt); err != nil || got != want {
					t.Errorf("useAssertion, time %d = %t, %v; want %t", i+1, got, err, want)
				}
			}
			// The second wrong password within the window counts on; one after it begins anew.
			if err := countFailure(ctx, tx, "account", db.NewTime(noon.Add(-time.Minute))); err != nil {
				return err
			}
			if n, err := failures(ctx, tx, "account", db.NewTime(noon.Add(-time.Minute))); err != nil || n != 2 {
				t.Errorf("failures = %d, %v; want 2", n, err)
			}
			if err := countFailure(ctx, tx, "account", db.NewTime(noon)); err != nil {
				return err
			}
			if n, err := failures(ctx, tx, "account", db.NewTime(noon.Add(-time.Minute))); err != nil || n != 1 {
				t.Errorf("failures after a new window = %d, %v; want 1", n, err)
			}
			return endSessions(ctx, tx, "subject", "sub")
		})
		in(ctx, t, d, func(tx *db.Tx) error {
			if _, err := sessionByCookie(ctx, tx, "cookie", "citizen"); !errors.Is(err, db.ErrNoRows) {
				t.Errorf("sessionByCookie after endSessions = %v, want no rows", err)
			}
			if got, err := isRevoked(ctx, tx, "jti"); err != nil || !got {
				t.Errorf("isRevoked(token of an ended session) = %t, %v; want true", got, err)
			}
			return nil
		})
	})
}

func TestStore_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		d = d.WithClock(frozen)
		_, p, s := filled(dbtest.Tenant(t, "erfurt"), t, d)
		ctx := dbtest.Tenant(t, "jena")
		in(ctx, t, d, func(tx *db.Tx) error {
			if c, err := getClient(ctx, tx, "client", false); !errors.Is(err, db.ErrNoRows) {
				t.Errorf("getClient = %+v, %v; want no rows", c, err)
			}
			if rows, err := selectClients(ctx, tx, "", 10); err != nil || len(rows) > 0 {
				t.Errorf("selectClients = %v, %v; want none", rows, err)
			}
			if ids, err := selectTargets(ctx, tx, "client", "", 10); err != nil || len(ids) > 0 {
				t.Errorf("selectTargets = %v, %v; want none", ids, err)
			}
			if q, err := getRequest(ctx, tx, "request", "browser"); err == nil {
				t.Errorf("getRequest = %+v, want login_stale", q)
			}
			if got, err := sessionByCookie(ctx, tx, "cookie", "citizen"); !errors.Is(err, db.ErrNoRows) {
				t.Errorf("sessionByCookie = %+v, %v; want no rows", got, err)
			}
			if got, err := sessionByID(ctx, tx, s.ID); !errors.Is(err, db.ErrNoRows) {
				t.Errorf("sessionByID = %+v, %v; want no rows", got, err)
			}
			if got, err := lockCode(ctx, tx, "code"); !errors.Is(err, db.ErrNoRows) {
				t.Errorf("lockCode = %+v, %v; want no rows", got, err)
			}
			if got, err := sessionOfToken(ctx, tx, "jti"); !errors.Is(err, db.ErrNoRows) {
				t.Errorf("sessionOfToken = %+v, %v; want no rows", got, err)
			}
			if got, err := isRevoked(ctx, tx, "gone"); err != nil || got {
				t.Errorf("isRevoked = %t, %v; want false", got, err)
			}
			if got, err := getStaff(ctx, tx, p.ID, true); err == nil {
				t.Errorf("getStaff = %+v, want unknown_staff", got)
			}
			if rows, err := selectStaff(ctx, tx, "", 10); err != nil || len(rows) > 0 {
				t.Errorf("selectStaff = %v, %v; want none", rows, err)
			}
			if rows, err := selectKeys(ctx, tx); err != nil || len(rows) > 0 {
				t.Errorf("selectKeys = %v, %v; want none", rows, err)
			}
			if n, err := failures(ctx, tx, "account", db.NewTime(noon.Add(-time.Hour))); err != nil || n > 0 {
				t.Errorf("failures = %d, %v; want 0", n, err)
			}
			return endSessions(ctx, tx, "cookie", "cookie") // ends nothing of erfurt's
		})
		sys := db.System(t.Context())
		in(sys, t, d, func(tx *db.Tx) error {
			var n int
			if err := tx.Get(sys, &n, `SELECT count(*) FROM sessions`); err != nil || n != 1 {
				t.Errorf("sessions after another tenant's logout = %d, %v; want 1", n, err)
			}
			return nil
		})
	})
}

func TestStore_Purge(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		filled(ctx, t, d.WithClock(frozen))
		count := func(d *db.DB) (total int) {
			sys := db.System(t.Context())
			in(sys, t, d, func(tx *db.Tx) error {
				if err := purge(sys, tx, db.NewTime(tx.Now().Add(-failureWindow))); err != nil {
					return err
				}
				total = 0
				for _, table := range []string{"auth_requests", "sessions", "codes", "revoked_tokens", "password_failures", "clients", "staff"} {
					var n int
					if err := tx.Get(sys, &n, `SELECT count(*) FROM `+table); err != nil {
						return err
					}
					total += n
				}
				return nil
			})
			return total
		}
		if got := count(d.WithClock(frozen)); got != 7 {
			t.Errorf("rows after purging at once = %d, want 7: nothing has expired", got)
		}
		if got := count(d.WithClock(func() time.Time { return noon.Add(time.Hour) })); got != 2 {
			t.Errorf("rows after purging an hour later = %d, want 2: client and staff", got)
		}
	})
}

func TestStore_ClientEvent(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		for _, c := range []struct {
			at   tenant.Tenant
			want int
		}{{tenant.Tenant{ID: tenant.Operator, Slug: "operator"}, 1}, {tenant.Tenant{ID: id.New(), Slug: "erfurt"}, 0}} {
			ctx := tenant.With(t.Context(), c.at)
			client := Client{TenantID: c.at.ID, ID: "efa", Login: "citizen", Redirects: list(), AfterLogout: list(), Grants: list(), Scopes: list(), Enabled: true, Version: 4}
			in(ctx, t, d, func(tx *db.Tx) error {
				return errors.Join(insertClient(ctx, tx, &client), addTarget(ctx, tx, "efa", "target"), tellClient(ctx, tx, &client))
			})
			var told []db.JSON[events.ClientChanged]
			in(ctx, t, d, func(tx *db.Tx) error {
				return tx.Select(ctx, &told, `SELECT payload FROM outbox WHERE tenant_id = ?`, tx.Tenant())
			})
			if len(told) != c.want || (c.want == 1 && (told[0].V.Version != 4 || !slices.Equal(told[0].V.Tenants, []string{"target"}))) {
				t.Errorf("events of a client of %s = %+v, want %d with version and tenants", c.at.Slug, told, c.want)
			}
		}
	})
}

func TestMigrations_Down(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		if err := d.MigrateDown(t.Context(), sets()...); err != nil {
			t.Errorf("MigrateDown = %v", err)
		}
		if err := d.Migrate(t.Context(), sets()...); err != nil {
			t.Errorf("Migrate after MigrateDown = %v", err)
		}
	})
}
