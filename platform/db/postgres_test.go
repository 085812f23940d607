package db_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/tenant"
)

// narrow is a migrated PostgreSQL database with a single connection, which every path has to
// leave fit for the next.
func narrow(t *testing.T) *db.DB {
	t.Helper()
	cfg := dbtest.PostgresConfig(t)
	cfg.Conns = 1
	d, err := db.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), notes); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPostgres_NoPathLeavesATenantBehind(t *testing.T) {
	t.Parallel()
	d := narrow(t)
	erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
	mustPut(erfurt, t, d, "a")
	paths := map[string]func(ctx context.Context){
		"commit": func(ctx context.Context) {
			_ = d.Tx(ctx, func(tx *db.Tx) error { return put(ctx, tx, "b", "x") })
		},
		"error": func(ctx context.Context) {
			_ = d.Tx(ctx, func(*db.Tx) error { return errors.New("no") })
		},
		"failed statement": func(ctx context.Context) {
			_ = d.Tx(ctx, func(tx *db.Tx) error { return put(ctx, tx, "a", "twice") })
		},
		"panic": func(ctx context.Context) {
			defer func() { _ = recover() }()
			_ = d.Tx(ctx, func(*db.Tx) error { panic("oh") })
		},
		"cancelled": func(ctx context.Context) {
			ctx, cancel := context.WithCancel(ctx)
			_ = d.Tx(ctx, func(tx *db.Tx) error {
				cancel()
				_, err := tx.Exec(ctx, "SELECT pg_sleep(1)")
				return err
			})
		},
		"a session-wide setting": func(ctx context.Context) {
			_ = d.Tx(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec(ctx, "SET app.tenant = '*'")
				return err
			})
		},
		"read":   func(ctx context.Context) { count(ctx, t, d) },
		"system": func(ctx context.Context) { count(db.System(ctx), t, d) },
		"no id":  func(ctx context.Context) { count(tenant.With(ctx, tenant.Tenant{ID: "'; SET app.tenant = '*"}), t, d) },
	}
	for name, path := range paths {
		path(erfurt)
		if n := count(jena, t, d); n != 0 {
			t.Errorf("after %q Jena sees %d rows of Erfurt", name, n)
		}
		other, _ := tenant.From(jena)
		var setting string
		err := d.Tx(jena, func(tx *db.Tx) error { return tx.Get(jena, &setting, "SELECT current_setting('app.tenant')") })
		if err != nil || setting != other.ID.String() {
			t.Errorf("after %q app.tenant = %q, %v, want Jena's", name, setting, err)
		}
	}
}

func TestPostgres_KilledConnectionLosesOneTransactionOnly(t *testing.T) {
	t.Parallel()
	d := dbtest.NewPostgres(t, notes)
	ctx := dbtest.Tenant(t, "erfurt")
	kill := func(pid int) error {
		return d.Tx(ctx, func(tx *db.Tx) error {
			var gone bool
			return tx.Get(ctx, &gone, "SELECT pg_terminate_backend(?, 5000)", pid)
		})
	}
	for name, last := range map[string]func(tx *db.Tx) error{
		"before a statement":  func(tx *db.Tx) error { return put(ctx, tx, "b", "x") },
		"before the commit":   func(*db.Tx) error { return nil },
		"before the rollback": func(*db.Tx) error { return errors.New("no") },
	} {
		var again atomic.Int32
		err := d.Tx(ctx, func(tx *db.Tx) error {
			again.Add(1)
			var pid int
			if err := tx.Get(ctx, &pid, "SELECT pg_backend_pid()"); err != nil {
				return err
			}
			if err := put(ctx, tx, "a", "x"); err != nil {
				return err
			}
			if err := kill(pid); err != nil {
				return fmt.Errorf("kill: %w", err)
			}
			return last(tx)
		})
		if err == nil {
			t.Errorf("%s: Tx over a killed connection = nil, want an error", name)
		}
		if n := count(ctx, t, d); n != 0 {
			t.Errorf("%s: rows = %d, want 0", name, n)
		}
	}
	mustPut(ctx, t, d, "a")
}

func TestPostgres_DeadlockIsTriedAgain(t *testing.T) {
	t.Parallel()
	d := dbtest.NewPostgres(t, notes)
	ctx := dbtest.Tenant(t, "erfurt")
	mustPut(ctx, t, d, "a")
	mustPut(ctx, t, d, "b")
	var wg, both sync.WaitGroup
	var runs atomic.Int32
	both.Add(2)
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		wg.Go(func() {
			met := false
			err := d.Tx(ctx, func(tx *db.Tx) error {
				runs.Add(1)
				for i, key := range order {
					if _, err := tx.Exec(ctx, "UPDATE notes SET body = body || 'y' WHERE tenant_id = ? AND id = ?", tx.Tenant(), key); err != nil {
						return err
					}
					if i == 0 && !met {
						met = true
						both.Done()
						both.Wait()
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("Tx = %v, want nil after another try", err)
			}
		})
	}
	wg.Wait()
	if n := runs.Load(); n != 3 {
		t.Errorf("fn ran %d times, want 3: one of the two lost once", n)
	}
	var bodies []string
	err := d.Read(ctx, func(tx *db.Tx) error { return tx.Select(ctx, &bodies, "SELECT body FROM notes") })
	if err != nil || fmt.Sprint(bodies) != "[xyy xyy]" {
		t.Errorf("bodies = %v, %v, want each changed twice", bodies, err)
	}
}

func TestPostgres_MigrationsOfOneConnection(t *testing.T) {
	t.Parallel()
	d := narrow(t)
	if err := d.Migrate(t.Context(), notes); err != nil { // again, as every start does
		t.Errorf("Migrate again = %v, want nil", err)
	}
}
