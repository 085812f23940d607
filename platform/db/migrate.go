package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"syscall"
	"testing/fstest"
	"text/template"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

// Set is one owner's migrations: files migrations/00001_name.sql of FS, in goose's format, each
// a template rendered for the engine:
//
//	{{.Bytes}}            BLOB or BYTEA
//	{{.Serial}}           a primary key that counts up in the order of inserting
//	{{isolate "t"}}       rows of t are seen by their tenant alone (its column is tenant_id)
//	{{partition}}         after CREATE TABLE (…): spread by the hash of tenant_id
//	{{partitions "t"}}    the partitions, on a line of its own
//	{{if .Postgres}} … {{end}}
//
// SQLite keeps tenants apart by the WHERE clauses alone and has no partitions.
type Set struct {
	Name string // names the table that remembers versions: migrations_<name>
	FS   fs.FS
}

// Migrate brings every set to its newest version. Processes that start at once wait for one
// another, and each migration runs once. On PostgreSQL it acts as the owner role (see
// Config) and then lets the serving role read and write rows, nothing else. Without an owner
// role it changes nothing and returns an error that names what is missing; a database that is
// newer than the sets is fine.
func (d *DB) Migrate(ctx context.Context, sets ...Set) error {
	return d.engine.migrate(ctx, d.cfg, sets, false)
}

// MigrateDown takes every set back to nothing, the last set first. All rows are lost.
func (d *DB) MigrateDown(ctx context.Context, sets ...Set) error {
	return d.engine.migrate(ctx, d.cfg, sets, true)
}

func (e *sqliteEngine) migrate(ctx context.Context, cfg Config, sets []Set, down bool) (err error) {
	file := strings.TrimPrefix(cfg.URL, "sqlite:")
	f, err := os.OpenFile(file+".migrate", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // closing unlocks
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return runSets(ctx, goose.DialectSQLite3, e.pool, sets, down)
}

func (e *pgEngine) migrate(ctx context.Context, cfg Config, sets []Set, down bool) (err error) {
	if cfg.OwnerURL == "" {
		if down {
			return errors.New("migrate: no owner role is configured (owner_url)")
		}
		return e.checkVersions(ctx, cfg.Schema, sets)
	}
	conn, err := pgConfig(cfg.OwnerURL, cfg, 0)
	if err != nil {
		return err
	}
	owner := sqlx.NewDb(stdlib.OpenDB(*conn), "pgx")
	defer func() { err = errors.Join(err, owner.Close()) }()
	owner.SetMaxOpenConns(2) // one for the lock
	var role string
	if err := e.pool.QueryRow(ctx, "SELECT current_user").Scan(&role); err != nil {
		return err
	}
	schema := quote(cfg.Schema)
	if err := makeSchema(ctx, owner, cfg.Schema); err != nil {
		return err
	}
	unlock, err := lockSchema(ctx, owner, cfg.Schema)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := runSets(ctx, goose.DialectPostgres, owner, sets, down); err != nil {
		return err
	}
	for _, grant := range []string{
		"GRANT USAGE ON SCHEMA %s TO %s",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO %s",
		"GRANT USAGE ON ALL SEQUENCES IN SCHEMA %s TO %s",
	} {
		if _, err := owner.ExecContext(ctx, fmt.Sprintf(grant, schema, quote(role))); err != nil && !isConcurrentGrant(err) {
			return fmt.Errorf("grant to %s: %w", role, err)
		}
	}
	return assertRole(ctx, e.pool, cfg.Schema)
}

// makeSchema makes the schema, unless it is there: the owner may have no right to make one.
func makeSchema(ctx context.Context, owner *sqlx.DB, schema string) error {
	var there bool
	if err := owner.GetContext(ctx, &there, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", schema); err != nil || there {
		return err
	}
	if _, err := owner.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+quote(schema)); err != nil && !IsUnique(err) {
		return fmt.Errorf("create schema %s: %w", schema, err)
	}
	return nil
}

// checkVersions reports each migration of the sets that the schema has not seen. Others that
// it has seen besides are those of a newer release, which leaves the tables fit for this one.
func (e *pgEngine) checkVersions(ctx context.Context, schema string, sets []Set) error {
	var missing []string
	for _, set := range sets {
		rendered, err := render(set, true)
		if err != nil {
			return err
		}
		files, err := fs.Glob(rendered, "*.sql")
		if err != nil {
			return err
		}
		applied, err := e.applied(ctx, set)
		if err != nil {
			return fmt.Errorf("read the versions of %s: %w", set.Name, err)
		}
		for _, file := range files {
			version, err := goose.NumericComponent(file)
			if err != nil {
				return fmt.Errorf("migration %s/%s: %w", set.Name, file, err)
			}
			if !applied[version] {
				missing = append(missing, set.Name+" "+strings.TrimSuffix(file, ".sql"))
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("schema %s lacks the migrations %s: run with --migrate first", schema, strings.Join(missing, ", "))
	}
	return nil
}

func (e *pgEngine) applied(ctx context.Context, set Set) (map[int64]bool, error) {
	var versions []int64
	rows, err := e.pool.Query(ctx, "SELECT version_id FROM "+quote("migrations_"+set.Name)+" WHERE is_applied")
	if err == nil {
		versions, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000") { // no such table, no such schema
		err = nil
	}
	found := map[int64]bool{}
	for _, v := range versions {
		found[v] = true
	}
	return found, err
}

// lockSchema waits until no other process migrates the schema. goose's own lock is one for
// the whole database, so that services wait for each other, and it asks every five seconds.
func lockSchema(ctx context.Context, owner *sqlx.DB, schema string) (unlock func() error, err error) {
	conn, err := owner.Connx(ctx)
	if err != nil {
		return nil, err
	}
	// The lock is the session's: it is also gone when the process or the connection is.
	const lock = `SELECT set_config('lock_timeout', '0', false), pg_advisory_lock(hashtextextended('migrate/' || $1, 0))`
	if _, err := conn.ExecContext(ctx, lock, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for other migrations of schema %s: %w", schema, err), conn.Close())
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock_all()`)
		return errors.Join(err, conn.Close())
	}, nil
}

// isConcurrentGrant: two processes that grant the same at once; one of them did it.
func isConcurrentGrant(err error) bool {
	return strings.Contains(err.Error(), "tuple concurrently updated")
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func runSets(ctx context.Context, dialect goose.Dialect, pool *sqlx.DB, sets []Set, down bool) error {
	for i := range sets {
		set := sets[i]
		if down {
			set = sets[len(sets)-1-i]
		}
		rendered, err := render(set, dialect == goose.DialectPostgres)
		if err != nil {
			return err
		}
		p, err := goose.NewProvider(dialect, pool.DB, rendered,
			goose.WithTableName("migrations_"+set.Name), goose.WithDisableGlobalRegistry(true))
		if err != nil {
			return fmt.Errorf("migrations %s: %w", set.Name, err)
		}
		if down {
			_, err = p.DownTo(ctx, 0)
		} else {
			_, err = p.Up(ctx)
		}
		if err != nil {
			return fmt.Errorf("migrations %s: %w", set.Name, err)
		}
	}
	return nil
}

// partitionCount is fixed for good: another modulus would move every row.
const partitionCount = 8

var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func render(set Set, postgres bool) (fs.FS, error) {
	pg := func(f func(table string) string) func(string) (string, error) {
		return func(table string) (string, error) {
			if !identifier.MatchString(table) {
				return "", fmt.Errorf("%q is no table name", table)
			}
			if !postgres {
				return "", nil
			}
			return f(table), nil
		}
	}
	data := struct {
		Postgres      bool
		Bytes, Serial string
	}{Bytes: "BLOB", Serial: "INTEGER PRIMARY KEY AUTOINCREMENT"}
	partition := ""
	if postgres {
		data.Postgres, data.Bytes, data.Serial = true, "BYTEA", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
		partition = "PARTITION BY HASH (tenant_id)"
	}
	funcs := template.FuncMap{
		"isolate": pg(isolate), "partitions": pg(partitions),
		"partition": func() string { return partition },
	}
	files, err := fs.Glob(set.FS, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("migrations %s: no files migrations/*.sql", set.Name)
	}
	out := fstest.MapFS{}
	for _, name := range files {
		text, err := fs.ReadFile(set.FS, name)
		if err != nil {
			return nil, err
		}
		t, err := template.New(path.Base(name)).Funcs(funcs).Option("missingkey=error").Parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("migration %s/%s: %w", set.Name, name, err)
		}
		var b bytes.Buffer
		if err := t.Execute(&b, data); err != nil {
			return nil, fmt.Errorf("migration %s/%s: %w", set.Name, name, err)
		}
		out[path.Base(name)] = &fstest.MapFile{Data: b.Bytes(), Mode: 0o444}
	}
	return out, nil
}

// isolate makes the database itself keep tenants apart, for the owner too (FORCE).
func isolate(table string) string {
	const see = "(tenant_id = current_setting('app.tenant', true) OR current_setting('app.tenant', true) = '*')"
	return fmt.Sprintf("ALTER TABLE %[1]s ENABLE ROW LEVEL SECURITY;\nALTER TABLE %[1]s FORCE ROW LEVEL SECURITY;\n"+
		"CREATE POLICY tenant ON %[1]s USING %[2]s WITH CHECK %[2]s;", table, see)
}

func partitions(table string) string {
	var b strings.Builder
	for i := range partitionCount {
		part := fmt.Sprintf("%s_p%d", table, i)
		fmt.Fprintf(&b, "CREATE TABLE %s PARTITION OF %s FOR VALUES WITH (MODULUS %d, REMAINDER %d);\n%s\n",
			part, table, partitionCount, i, isolate(part))
	}
	return b.String()
}
