// Package db runs the same SQL on SQLite and on PostgreSQL.
//
// A service writes one text for both engines, with ? placeholders, and meets the engine in
// one place only: the migrations, which are templates. What both engines promise:
//
//   - Tx is durable when it returns nil, and nothing of it exists when it returns an error.
//     A context that is cancelled before the commit means not committed. One case is open on
//     PostgreSQL: a connection that breaks between COMMIT and its answer is the fault
//     outcome_unknown, and the server may have committed. Who repeats the work finds out by
//     its keys.
//   - The tenant of the context is the tenant of the transaction. PostgreSQL enforces it by
//     row-level security; SQLite relies on the WHERE clauses, which the same tests check.
//   - A statement that fails spoils its transaction, whether or not the error was looked at.
//   - fn may run more than once (a deadlock, a connection that broke before the commit, a
//     neighbour in the same group commit that gave up), so it has no effects besides tx and
//     variables that it sets anew each time. No network call and no waiting inside: on SQLite
//     every other writer waits too.
//   - A database that is away is a fault of the kind unavailable, database_unavailable, and
//     nothing was changed; it is used again as soon as it is back.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

// ErrNoRows is returned by Tx.Get when no row matches.
var ErrNoRows = sql.ErrNoRows

// errNoTenant is a programming error: a transaction without a tenant sees nothing.
var errNoTenant = errors.New("db: the context names no tenant; use tenant.With, or db.System for work across tenants")

// Config says where the database is.
type Config struct {
	// URL is "sqlite:/path/to/file.db" or "postgres://role@host/database".
	URL string
	// OwnerURL is the PostgreSQL role that migrates; it owns the tables. The role in URL
	// must not own them, be superuser or have BYPASSRLS: Open refuses it otherwise.
	OwnerURL string
	// Schema is the PostgreSQL schema of the service; it is made by Migrate.
	Schema string
	// Conns bounds the connections (PostgreSQL) or the readers (SQLite); 0 means 8.
	Conns int
	// PostgreSQL alone: how long a transaction waits for a connection (0 means 5 s), a statement
	// may take (30 s) or wait for a lock (10 s), and a transaction may do nothing (60 s).
	// Beyond it the transaction ends with the fault database_unavailable.
	WaitTime, StatementTime, LockTime, IdleTime time.Duration
	Log                                         *slog.Logger
	// Clock is what Tx.Now reads; nil means time.Now.
	Clock func() time.Time
	// Process names this process among those that share a PostgreSQL database: work that it
	// has begun is marked with the name, so that it finds it again after a restart.
	Process string
}

// DB is one database. It is safe for concurrent use.
type DB struct {
	engine engine
	cfg    Config
	clock  func() time.Time
	wakes  *wakes
}

// wakes are the channels of Woken.
type wakes struct {
	mu     sync.Mutex
	byName map[string][]chan struct{}
}

type engine interface {
	tx(ctx context.Context, scope scope, fn func(*Tx) error) (committed *Tx, err error)
	read(ctx context.Context, scope scope, fn func(*Tx) error) error
	migrate(ctx context.Context, cfg Config, sets []Set, down bool) error
	postgres() bool
	usage() usage
	ping(ctx context.Context) error
	close() error
}

// scope is the tenant that a transaction acts for; all means every tenant.
type scope struct {
	tenant id.ID
	all    bool
	clock  func() time.Time

	process string
}

type systemKey struct{}

// System returns a context for work across all tenants: relays, sweeps, the registry.
// A transaction under it has no tenant; every other check stays the caller's.
func System(ctx context.Context) context.Context {
	return context.WithValue(ctx, systemKey{}, true)
}

// For returns a context that acts for one tenant, also under a System context.
func For(ctx context.Context, t tenant.Tenant) context.Context {
	return tenant.With(context.WithValue(ctx, systemKey{}, false), t)
}

func scopeOf(ctx context.Context) (scope, error) {
	if all, _ := ctx.Value(systemKey{}).(bool); all {
		return scope{all: true}, nil
	}
	t, ok := tenant.From(ctx)
	if !ok || t.ID == "" {
		return scope{}, errNoTenant
	}
	return scope{tenant: t.ID}, nil
}

// Open connects. On SQLite it makes the file. It does not migrate.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.Conns <= 0 {
		cfg.Conns = 8
	}
	for _, bound := range []struct {
		time     *time.Duration
		fallback time.Duration
	}{{&cfg.WaitTime, 5 * time.Second}, {&cfg.StatementTime, 30 * time.Second}, {&cfg.LockTime, 10 * time.Second}, {&cfg.IdleTime, time.Minute}} {
		if *bound.time <= 0 {
			*bound.time = bound.fallback
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	d := &DB{cfg: cfg, clock: cfg.Clock, wakes: &wakes{byName: map[string][]chan struct{}{}}}
	var err error
	switch kind, rest, _ := strings.Cut(cfg.URL, ":"); kind {
	case "sqlite":
		d.engine, err = openSQLite(ctx, rest, cfg)
	case "postgres", "postgresql":
		d.engine, err = openPostgres(ctx, cfg)
	default:
		err = errors.New("a database URL begins with sqlite: or postgres://")
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return d, nil
}

// WithClock returns the same database with another clock, for tests.
func (d *DB) WithClock(clock func() time.Time) *DB {
	other := *d
	other.clock = clock
	return &other
}

// WithProcess returns the same database as another process sees it, for tests.
func (d *DB) WithProcess(name string) *DB {
	other := *d
	other.cfg.Process = name
	return &other
}

// Process is Config.Process on PostgreSQL, and empty on SQLite, whose file one process has alone.
func (d *DB) Process() string {
	if !d.Postgres() {
		return ""
	}
	return d.cfg.Process
}

// Close ends the connections after the transactions under way.
func (d *DB) Close() error { return d.engine.close() }

// Postgres reports the engine, for the rare statement that has no common form.
func (d *DB) Postgres() bool { return d.engine.postgres() }

// Tx runs fn in a write transaction for the tenant of ctx and commits it if fn returns nil.
func (d *DB) Tx(ctx context.Context, fn func(tx *Tx) error) error {
	sc, err := scopeOf(ctx)
	if err != nil {
		return err
	}
	sc.clock, sc.process = d.clock, d.Process()
	span := d.traced(ctx, "db.tx")
	tx, err := d.engine.tx(ctx, sc, fn)
	span.End(err)
	if err != nil {
		return err
	}
	for _, f := range tx.hooks {
		f()
	}
	for _, name := range tx.wakes {
		d.wakes.wake(name)
	}
	return nil
}

// Read runs fn over one consistent snapshot. Writing in it fails.
func (d *DB) Read(ctx context.Context, fn func(tx *Tx) error) error {
	sc, err := scopeOf(ctx)
	if err != nil {
		return err
	}
	sc.clock, sc.process = d.clock, d.Process()
	span := d.traced(ctx, "db.read")
	err = d.engine.read(ctx, sc, fn)
	span.End(err)
	return err
}

// Woken returns a channel that gets a value soon after a transaction that called
// Tx.Wake(name) was committed by this process. Wakes that nobody has taken yet are merged.
func (d *DB) Woken(name string) <-chan struct{} {
	d.wakes.mu.Lock()
	defer d.wakes.mu.Unlock()
	c := make(chan struct{}, 1)
	d.wakes.byName[name] = append(d.wakes.byName[name], c)
	return c
}

func (w *wakes) wake(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.byName[name] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// IsUnique reports whether err is the violation of a unique, primary key or exclusion
// constraint, or a trigger's RAISE that stands for one on SQLite.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505" || pg.Code == "23P01"
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY ||
			lite.Code() == sqlite3.SQLITE_CONSTRAINT_TRIGGER
	}
	return false
}
