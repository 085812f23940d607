package db_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
)

func opened(t *testing.T, cfg db.Config) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func unavailable(err error) bool {
	var f *fault.Error
	return errors.As(err, &f) && f.Kind == fault.KindUnavailable
}

// Writers go on while the server is restarted and killed. Each row has a key of its own, so a
// write that was stored twice would be an error of another kind.
func TestPostgres_ServerRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t, "shared_buffers=16MB")
	d := opened(t, server.Config("restart"))
	if err := d.Migrate(t.Context(), notes); err != nil {
		t.Fatal(err)
	}
	ctx := dbtest.Tenant(t, "erfurt")
	var (
		wg                      sync.WaitGroup
		stop                    atomic.Bool
		mu                      sync.Mutex
		acknowledged            = map[string]bool{}
		unknown                 = map[string]bool{}
		refused, reads, written atomic.Int64
	)
	for w := range 6 {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				key := fmt.Sprintf("%d-%d", w, n)
				err := d.Tx(ctx, func(tx *db.Tx) error { return put(ctx, tx, key, "x") })
				mu.Lock()
				switch {
				case err == nil:
					acknowledged[key] = true
					written.Add(1)
				case fault.Is(err, "outcome_unknown"):
					unknown[key] = true
				case unavailable(err):
					refused.Add(1)
				default:
					t.Errorf("Tx during a restart = %v, want nil or a fault of the kind unavailable", err)
				}
				mu.Unlock()
				err = d.Read(ctx, func(tx *db.Tx) error {
					var n int
					return tx.Get(ctx, &n, "SELECT count(*) FROM notes WHERE tenant_id = ? AND id = ?", tx.Tenant(), key)
				})
				if err == nil {
					reads.Add(1)
				} else if !unavailable(err) {
					t.Errorf("Read during a restart = %v, want nil or a fault of the kind unavailable", err)
				}
			}
		})
	}
	more := func(why string) {
		t.Helper()
		before := written.Load()
		eventually(t, why, func() bool { return written.Load() > before+60 })
	}
	more("writers write")
	for _, end := range []func() error{server.Restart, server.Crash, server.Restart} {
		if err := end(); err != nil {
			t.Error(err)
		}
		more("writers write again, without a hand")
	}
	stop.Store(true)
	wg.Wait()
	var keys []string
	if err := d.Read(ctx, func(tx *db.Tx) error { return tx.Select(ctx, &keys, "SELECT id FROM notes") }); err != nil {
		t.Fatal(err)
	}
	stored := map[string]bool{}
	for _, k := range keys {
		if !acknowledged[k] && !unknown[k] {
			t.Errorf("row %s is stored, and its writer was told that nothing was changed", k)
		}
		stored[k] = true
	}
	for k := range acknowledged {
		if !stored[k] {
			t.Errorf("row %s is lost, and its writer was told that it is stored", k)
		}
	}
	if len(keys) != len(stored) {
		t.Errorf("%d rows, %d different", len(keys), len(stored))
	}
	t.Logf("%d acknowledged, %d refused, %d of unknown outcome, %d reads", len(acknowledged), refused.Load(), len(unknown), reads.Load())
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func TestPostgres_WaitingForAConnectionIsBounded(t *testing.T) {
	t.Parallel()
	cfg := dbtest.PostgresConfig(t)
	cfg.Conns, cfg.WaitTime = 1, 50*time.Millisecond
	d := opened(t, cfg)
	if err := d.Migrate(t.Context(), notes); err != nil {
		t.Fatal(err)
	}
	ctx := dbtest.Tenant(t, "erfurt")
	err := d.Read(ctx, func(tx *db.Tx) error {
		var n int
		if err := tx.Get(ctx, &n, "SELECT 1"); err != nil {
			return err
		}
		err := d.Tx(ctx, func(tx *db.Tx) error { return put(ctx, tx, "a", "x") })
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != "database_unavailable" || f.RetryAfter == 0 {
			t.Errorf("Tx without a free connection = %v, want database_unavailable with a time to retry", err)
		}
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if err := d.Tx(short, func(tx *db.Tx) error { return put(short, tx, "a", "x") }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Tx with a context that ends first = %v, want its error", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	mustPut(ctx, t, d, "a")
}

func TestPostgres_SlowStatementsAndLocksEnd(t *testing.T) {
	t.Parallel()
	cfg := dbtest.PostgresConfig(t)
	cfg.StatementTime, cfg.LockTime, cfg.IdleTime = 2*time.Second, 200*time.Millisecond, 500*time.Millisecond
	d := opened(t, cfg)
	if err := d.Migrate(t.Context(), notes); err != nil {
		t.Fatal(err)
	}
	ctx := dbtest.Tenant(t, "erfurt")
	mustPut(ctx, t, d, "a")
	const change = "UPDATE notes SET body = 'y' WHERE tenant_id = ? AND id = 'a'"
	for name, work := range map[string]func(tx *db.Tx) error{
		"statement": func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, "SELECT pg_sleep(20)")
			return err
		},
		"lock": func(tx *db.Tx) error {
			if _, err := tx.Exec(ctx, change, tx.Tenant()); err != nil {
				return err
			}
			return d.Tx(ctx, func(other *db.Tx) error {
				_, err := other.Exec(ctx, change, other.Tenant())
				return err
			})
		},
	} {
		if err := d.Tx(ctx, work); !fault.Is(err, "database_unavailable") {
			t.Errorf("a slow %s = %v, want database_unavailable", name, err)
		}
	}
	// A transaction that does nothing loses its connection, and with it what it wrote.
	runs := 0
	err := d.Tx(ctx, func(tx *db.Tx) error {
		if runs++; runs > 1 {
			return errors.New("enough")
		}
		if err := put(ctx, tx, "idle", "x"); err != nil {
			return err
		}
		eventually(t, "the server ends the idle session", func() bool {
			var n int
			err := d.Read(ctx, func(tx *db.Tx) error {
				return tx.Get(ctx, &n, "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE 'INSERT INTO notes%' AND usename = current_user AND application_name = ?", "basis "+cfg.Schema)
			})
			return err == nil && n == 0
		})
		return nil
	})
	if err == nil {
		t.Error("Tx that did nothing for too long = nil, want an error")
	}
	if n := count(ctx, t, d); n != 1 {
		t.Errorf("rows = %d, want 1", n)
	}
}

func TestMigrate_WithoutOwnerChecksVersions(t *testing.T) {
	t.Parallel()
	cfg := dbtest.PostgresConfig(t)
	second := db.Set{Name: notes.Name, FS: withFile(notes.FS, "migrations/00002_more.sql",
		"-- +goose Up\nALTER TABLE notes ADD COLUMN more TEXT NOT NULL DEFAULT '';\n-- +goose Down\nALTER TABLE notes DROP COLUMN more;\n")}
	serving := cfg
	serving.OwnerURL = ""
	if err := opened(t, serving).Migrate(t.Context(), notes); err == nil || !strings.Contains(err.Error(), "notes 00001_notes: run with --migrate first") {
		t.Errorf("Migrate of an empty database without an owner = %v, want that 00001_notes is missing", err)
	}
	if err := opened(t, cfg).Migrate(t.Context(), notes); err != nil {
		t.Fatal(err)
	}
	if err := opened(t, serving).Migrate(t.Context(), notes); err != nil {
		t.Errorf("Migrate without an owner of a database at its version = %v, want nil", err)
	}
	err := opened(t, serving).Migrate(t.Context(), second)
	if err == nil || !strings.Contains(err.Error(), "notes 00002_more") || strings.Contains(err.Error(), "00001_notes") {
		t.Errorf("Migrate without an owner of an older database = %v, want that 00002_more is missing", err)
	}
	if err := opened(t, cfg).Migrate(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]db.Config{"without an owner": serving, "with an owner": cfg} {
		d := opened(t, c)
		if err := d.Migrate(t.Context(), notes); err != nil { // a process of the release before
			t.Errorf("Migrate %s of a newer database = %v, want nil", name, err)
		}
		mustPut(dbtest.Tenant(t, "erfurt"), t, d, "a")
	}
}

// withFile is files with one more.
func withFile(files fs.FS, name, text string) fs.FS {
	more := fstest.MapFS{name: {Data: []byte(text)}}
	for n, f := range files.(fstest.MapFS) {
		more[n] = f
	}
	return more
}
