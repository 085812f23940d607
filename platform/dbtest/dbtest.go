// Package dbtest gives each test an empty, migrated database on the real engines.
package dbtest

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

// New returns a migrated SQLite database in the test's own folder.
func New(t testing.TB, sets ...db.Set) *db.DB {
	t.Helper()
	return migrated(t, db.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "test.db"), Conns: 4}, sets)
}

// NewPostgres returns a migrated PostgreSQL database: a schema of its own on a server that
// the test binary starts once and that ends with it. The role that serves is a plain one.
// It fails the test, and says what to install, where there is no PostgreSQL.
func NewPostgres(t testing.TB, sets ...db.Set) *db.DB {
	t.Helper()
	return migrated(t, PostgresConfig(t), sets)
}

var schemas atomic.Int64

// PostgresConfig is what NewPostgres opens, with a fresh schema name.
func PostgresConfig(t testing.TB) db.Config {
	t.Helper()
	pg, err := shared()
	if err != nil {
		t.Fatalf("dbtest: PostgreSQL: %v", err)
	}
	return pg.Config(fmt.Sprintf("test_%d", schemas.Add(1)))
}

// Each runs f on both engines, as the subtests "sqlite" and "postgres".
func Each(t *testing.T, sets []db.Set, f func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, New(t, sets...))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, NewPostgres(t, sets...))
	})
}

func migrated(t testing.TB, cfg db.Config, sets []db.Set) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("dbtest: open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("dbtest: close: %v", err)
		}
	})
	if err := d.Migrate(t.Context(), sets...); err != nil {
		t.Fatalf("dbtest: migrate: %v", err)
	}
	return d
}

// Tenant returns a context that acts for a new tenant with that slug.
func Tenant(t testing.TB, slug string) context.Context {
	t.Helper()
	return tenant.With(t.Context(), tenant.Tenant{ID: id.New(), Slug: slug, Name: strings.ToUpper(slug[:1]) + slug[1:]})
}
