package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"basisdienste/platform/id"
)

// pgEngine speaks to PostgreSQL through pgx's database/sql driver.
type pgEngine struct{ pool *sqlx.DB }

func openPostgres(ctx context.Context, cfg Config) (*pgEngine, error) {
	pool, err := pgPool(cfg.URL, cfg, "30000")
	if err != nil {
		return nil, err
	}
	if err := assertRole(ctx, pool, cfg.Schema); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return &pgEngine{pool: pool}, nil
}

// pgPool connects as the role of url; statementTimeout is in milliseconds, "0" is none.
func pgPool(url string, cfg Config, statementTimeout string) (*sqlx.DB, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the PostgreSQL URL cannot be read: %w", errors.Unwrap(err))
	}
	if cfg.Schema != "" {
		c.RuntimeParams["search_path"] = cfg.Schema
	}
	c.RuntimeParams["statement_timeout"] = statementTimeout
	c.RuntimeParams["lock_timeout"] = "10000"
	c.RuntimeParams["idle_in_transaction_session_timeout"] = "60000"
	pool := sqlx.NewDb(stdlib.OpenDB(*c), "pgx")
	pool.SetMaxOpenConns(cfg.Conns)
	pool.SetMaxIdleConns(cfg.Conns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return pool, nil
}

// assertRole refuses a role for which row-level security would not hold.
func assertRole(ctx context.Context, pool *sqlx.DB, schema string) error {
	var role struct {
		Name   string `db:"rolname"`
		Super  bool   `db:"rolsuper"`
		Bypass bool   `db:"rolbypassrls"`
		Owns   int    `db:"owns"`
	}
	err := pool.GetContext(ctx, &role, `SELECT rolname, rolsuper, rolbypassrls,
		(SELECT count(*) FROM pg_tables WHERE tableowner = rolname AND schemaname = $1) AS owns
		FROM pg_roles WHERE rolname = current_user`, schema)
	switch {
	case err != nil:
		return fmt.Errorf("ask for the role: %w", err)
	case role.Super:
		return fmt.Errorf("role %s is a superuser: tenants would not be kept apart; serve with a plain role and migrate with another", role.Name)
	case role.Bypass:
		return fmt.Errorf("role %s has BYPASSRLS: tenants would not be kept apart; ALTER ROLE %s NOBYPASSRLS", role.Name, role.Name)
	case role.Owns > 0:
		return fmt.Errorf("role %s owns %d tables in schema %s: serve with another role than the one that migrates", role.Name, role.Owns, schema)
	}
	return nil
}

func (e *pgEngine) postgres() bool { return true }
func (e *pgEngine) close() error   { return e.pool.Close() }

// endTime bounds COMMIT and ROLLBACK.
const endTime = 10 * time.Second

// maxAttempts of a transaction that lost a deadlock or a serialization conflict.
const maxAttempts = 5

func (e *pgEngine) tx(ctx context.Context, sc scope, fn func(*Tx) error) (done *Tx, err error) {
	for attempt := 1; ; attempt++ {
		done, err = e.once(ctx, sc, "BEGIN", fn)
		var pg *pgconn.PgError
		if attempt < maxAttempts && errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001") && ctx.Err() == nil {
			continue
		}
		return done, err
	}
}

func (e *pgEngine) read(ctx context.Context, sc scope, fn func(*Tx) error) error {
	_, err := e.once(ctx, sc, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", fn)
	return err
}

func (e *pgEngine) once(ctx context.Context, sc scope, begin string, fn func(*Tx) error) (done *Tx, err error) {
	conn, err := e.pool.Connx(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer func() {
		if cerr := conn.Close(); cerr != nil && !errors.Is(cerr, sql.ErrConnDone) && err == nil {
			err = cerr
		}
	}()
	// BEGIN and the tenant travel together: one round trip.
	if err := simple(ctx, conn, begin+"; SET LOCAL app.tenant = '"+sc.literal()+"'", ""); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	tx := &Tx{q: pgQuerier{conn}, scope: sc, postgres: true}
	committed := false
	defer func() {
		if !committed {
			// The caller's context may have ended; the connection still has to be left clean.
			rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
			defer cancel()
			if rerr := simple(rctx, conn, "ROLLBACK", ""); rerr != nil {
				err = errors.Join(err, fmt.Errorf("roll back: %w", rerr))
			}
		}
	}()
	if err := fn(tx); err != nil {
		return nil, err
	}
	if tx.spoiled != nil {
		return nil, tx.spoiled
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Whoever gives up from here on is too late: half a COMMIT would leave it open what is stored.
	cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if err := simple(cctx, conn, "COMMIT", "COMMIT"); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	committed = true
	return tx, nil
}

// literal is the value of app.tenant; an id is checked before it stands in SQL text.
func (s scope) literal() string {
	if s.all {
		return "*"
	}
	if t, err := id.Parse(s.tenant.String()); err == nil {
		return t.String()
	}
	return "" // matches no row
}

// simple runs statements in one round trip. PostgreSQL answers COMMIT of a failed
// transaction with the tag ROLLBACK and no error, so the wanted last tag is checked.
func simple(ctx context.Context, conn *sqlx.Conn, statements, wantTag string) error {
	return conn.Raw(func(driverConn any) error {
		c, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("not a pgx connection: %T", driverConn)
		}
		results, err := c.Conn().PgConn().Exec(ctx, statements).ReadAll()
		if err != nil {
			return err
		}
		if n := len(results); wantTag != "" && (n == 0 || results[n-1].CommandTag.String() != wantTag) {
			return fmt.Errorf("the server answered %q", results[n-1].CommandTag)
		}
		return nil
	})
}

type pgQuerier struct{ conn *sqlx.Conn }

// rebound caches the $n form of each text; texts are constants of the stores.
var rebound sync.Map

func rebind(query string) string {
	if r, ok := rebound.Load(query); ok {
		return r.(string)
	}
	r := sqlx.Rebind(sqlx.DOLLAR, query)
	if strings.Count(query, "?") <= 40 { // expanded IN lists are not worth keeping
		rebound.Store(query, r)
	}
	return r
}

func (q pgQuerier) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	return q.conn.GetContext(ctx, dest, rebind(query), args...)
}

func (q pgQuerier) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	return q.conn.SelectContext(ctx, dest, rebind(query), args...)
}

func (q pgQuerier) execContext(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := q.conn.ExecContext(ctx, rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
