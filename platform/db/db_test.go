package db_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

var notes = db.Set{Name: "notes", FS: fstest.MapFS{
	"migrations/00001_notes.sql": {Data: []byte(`-- +goose Up
CREATE TABLE notes (
	tenant_id TEXT NOT NULL,
	id        TEXT NOT NULL,
	body      TEXT NOT NULL,
	PRIMARY KEY (tenant_id, id)
) {{partition}};
{{partitions "notes"}}
{{isolate "notes"}}
CREATE TABLE counted (n {{.Serial}}, tenant_id TEXT NOT NULL, raw {{.Bytes}});
{{isolate "counted"}}
-- +goose Down
DROP TABLE counted;
DROP TABLE notes;
`)},
}}

func put(ctx context.Context, tx *db.Tx, key, body string) error {
	_, err := tx.Exec(ctx, "INSERT INTO notes (tenant_id, id, body) VALUES (?, ?, ?)", tx.Tenant(), key, body)
	return err
}

func count(ctx context.Context, t *testing.T, d *db.DB) (n int) {
	t.Helper()
	err := d.Read(ctx, func(tx *db.Tx) error { return tx.Get(ctx, &n, "SELECT count(*) FROM notes") })
	if err != nil {
		t.Fatalf("count: %v", err)
	}
	return n
}

func each(t *testing.T, f func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, []db.Set{notes}, f)
}

func TestTx_CommitsAndRollsBack(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		if err := d.Tx(ctx, func(tx *db.Tx) error { return put(ctx, tx, "a", "kept") }); err != nil {
			t.Fatalf("Tx = %v, want nil", err)
		}
		wrong := errors.New("wrong")
		err := d.Tx(ctx, func(tx *db.Tx) error {
			if err := put(ctx, tx, "b", "dropped"); err != nil {
				return err
			}
			return wrong
		})
		if !errors.Is(err, wrong) {
			t.Errorf("Tx = %v, want %v", err, wrong)
		}
		if n := count(ctx, t, d); n != 1 {
			t.Errorf("rows = %d, want 1", n)
		}
	})
}

func TestTx_FailedStatementCannotBeCommittedOver(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		err := d.Tx(ctx, func(tx *db.Tx) error {
			if err := put(ctx, tx, "a", "1"); err != nil {
				return err
			}
			if err := put(ctx, tx, "a", "2"); !db.IsUnique(err) {
				t.Errorf("second put = %v, want a unique violation", err)
			}
			return nil // ignoring it
		})
		if !db.IsUnique(err) {
			t.Errorf("Tx = %v, want the unique violation", err)
		}
		if n := count(ctx, t, d); n != 0 {
			t.Errorf("rows = %d, want 0", n)
		}
	})
}

func TestTx_CancelledBeforeCommitIsNotCommitted(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		base := dbtest.Tenant(t, "erfurt")
		ctx, cancel := context.WithCancel(base)
		err := d.Tx(ctx, func(tx *db.Tx) error {
			defer cancel()
			return put(ctx, tx, "a", "x")
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Tx = %v, want context.Canceled", err)
		}
		if n := count(base, t, d); n != 0 {
			t.Errorf("rows = %d, want 0", n)
		}
	})
}

// Many writers at once, of which some fail, some panic and some give up: each alone.
func TestTx_NeighboursDoNotDisturbEachOther(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		base := dbtest.Tenant(t, "erfurt")
		const writers = 120
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(base)
				defer cancel()
				defer func() {
					if p := recover(); (p != nil) != (i%4 == 2) {
						t.Errorf("writer %d: panic = %v", i, p)
					}
				}()
				err := d.Tx(ctx, func(tx *db.Tx) error {
					if err := put(ctx, tx, fmt.Sprint(i), "x"); err != nil {
						return err
					}
					switch i % 4 {
					case 1:
						return errors.New("no")
					case 2:
						panic("oh")
					case 3:
						cancel()
					}
					return nil
				})
				if (err == nil) != (i%4 == 0) {
					t.Errorf("writer %d: Tx = %v", i, err)
				}
			})
		}
		wg.Wait()
		if n := count(base, t, d); n != writers/4 {
			t.Errorf("rows = %d, want %d", n, writers/4)
		}
	})
}

func TestTx_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	d := dbtest.NewPostgres(t, notes)
	erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
	mustPut(erfurt, t, d, "a")
	mustPut(jena, t, d, "a") // the same key is another row
	// No WHERE: the database itself keeps them apart.
	if n := count(erfurt, t, d); n != 1 {
		t.Errorf("Erfurt sees %d rows, want 1", n)
	}
	if n := count(db.System(erfurt), t, d); n != 2 {
		t.Errorf("the system sees %d rows, want 2", n)
	}
	other, _ := tenant.From(jena)
	err := d.Tx(erfurt, func(tx *db.Tx) error {
		_, err := tx.Exec(erfurt, "INSERT INTO notes (tenant_id, id, body) VALUES (?, 'b', 'x')", other.ID)
		return err
	})
	if err == nil {
		t.Error("Erfurt could write a row of Jena")
	}
	err = d.Tx(erfurt, func(tx *db.Tx) error {
		n, err := tx.Exec(erfurt, "UPDATE notes_p0 SET body = 'mine'")
		if n > 1 {
			t.Errorf("Erfurt changed %d rows through a partition", n)
		}
		return err
	})
	if err != nil {
		t.Errorf("update of a partition = %v", err)
	}
}

func mustPut(ctx context.Context, t *testing.T, d *db.DB, key string) {
	t.Helper()
	if err := d.Tx(ctx, func(tx *db.Tx) error { return put(ctx, tx, key, "x") }); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func TestTx_WithoutTenantIsRefused(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		if err := d.Tx(t.Context(), func(*db.Tx) error { return nil }); err == nil {
			t.Error("Tx without a tenant = nil, want an error")
		}
		bad := tenant.With(t.Context(), tenant.Tenant{ID: "x'; DROP TABLE notes; --"})
		if n := count(bad, t, d); n != 0 {
			t.Errorf("a tenant that is no id sees %d rows", n)
		}
	})
}

func TestRead_CannotWrite(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		if err := d.Read(ctx, func(tx *db.Tx) error { return put(ctx, tx, "a", "x") }); err == nil {
			t.Error("writing inside Read = nil, want an error")
		}
		mustPut(ctx, t, d, "a") // and the connection is fit for use
	})
}

func TestWake_AfterCommitOnly(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		woken := d.Woken("relay")
		_ = d.Tx(ctx, func(tx *db.Tx) error { tx.Wake("relay"); return errors.New("no") })
		select {
		case <-woken:
			t.Fatal("woken by a transaction that was rolled back")
		default:
		}
		if err := d.Tx(ctx, func(tx *db.Tx) error { tx.Wake("relay"); return nil }); err != nil {
			t.Fatal(err)
		}
		select {
		case <-woken:
		default:
			t.Fatal("not woken by the commit")
		}
	})
}

func TestMigrate_DownAndUpAndAtOnce(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]db.Config{
		"sqlite":   {URL: "sqlite:" + filepath.Join(t.TempDir(), "m.db")},
		"postgres": dbtest.PostgresConfig(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wg sync.WaitGroup
			dbs := make([]*db.DB, 4)
			for i := range dbs {
				d, err := db.Open(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = d.Close() }()
				dbs[i] = d
				wg.Go(func() {
					if err := d.Migrate(t.Context(), notes); err != nil {
						t.Errorf("Migrate = %v", err)
					}
				})
			}
			wg.Wait()
			ctx := dbtest.Tenant(t, "erfurt")
			mustPut(ctx, t, dbs[0], "a")
			if err := dbs[1].MigrateDown(t.Context(), notes); err != nil {
				t.Fatalf("MigrateDown = %v", err)
			}
			if err := dbs[1].Migrate(t.Context(), notes); err != nil {
				t.Fatalf("Migrate again = %v", err)
			}
			if n := count(ctx, t, dbs[2]); n != 0 {
				t.Errorf("rows after down and up = %d, want 0", n)
			}
		})
	}
}

func TestOpen_RefusesRolesThatSeeEverything(t *testing.T) {
	t.Parallel()
	cfg := dbtest.PostgresConfig(t)
	d, err := db.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Migrate(t.Context(), notes); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	owner := cfg
	owner.URL = cfg.OwnerURL
	if _, err := db.Open(t.Context(), owner); err == nil {
		t.Error("Open as the owner of the tables = nil, want an error")
	}
}

func BenchmarkTx_SQLite32Writers(b *testing.B) {
	d := dbtest.New(b, notes)
	ctx := dbtest.Tenant(b, "erfurt")
	b.SetParallelism(16) // times GOMAXPROCS
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := d.Tx(ctx, func(tx *db.Tx) error { return put(ctx, tx, id.New().String(), "x") }); err != nil {
				b.Error(err)
			}
		}
	})
}

func TestTx_SendIsSeenByWhatFollowsAndFailsTheTransaction(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		send := func(tx *db.Tx, key string) error {
			return tx.Send(ctx, "INSERT INTO notes (tenant_id, id, body) VALUES (?, ?, 'x')", tx.Tenant(), key)
		}
		var between int
		err := d.Tx(ctx, func(tx *db.Tx) error {
			if err := errors.Join(send(tx, "a"), send(tx, "b")); err != nil {
				return err
			}
			if err := tx.Get(ctx, &between, "SELECT count(*) FROM notes WHERE tenant_id = ?", tx.Tenant()); err != nil {
				return err
			}
			return send(tx, "c")
		})
		if err != nil || between != 2 || count(ctx, t, d) != 3 {
			t.Errorf("Tx = %v, %d rows seen inside and %d after, want nil, 2 and 3", err, between, count(ctx, t, d))
		}
		if err := d.Tx(ctx, func(tx *db.Tx) error { return errors.Join(send(tx, "d"), send(tx, "a")) }); !db.IsUnique(err) {
			t.Errorf("Tx that sent a row twice = %v, want a unique violation", err)
		}
		err = d.Tx(ctx, func(tx *db.Tx) error {
			if err := errors.Join(send(tx, "e"), send(tx, "a")); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "DELETE FROM notes WHERE tenant_id = ?", tx.Tenant())
			if err == nil {
				t.Error("the statement after one that failed = nil, want an error")
			}
			return nil
		})
		if !db.IsUnique(err) || count(ctx, t, d) != 3 {
			t.Errorf("Tx = %v and %d rows, want a unique violation and 3", err, count(ctx, t, d))
		}
	})
}
