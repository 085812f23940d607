package db

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"basisdienste/platform/id"
)

// pgEngine speaks to PostgreSQL through a pool of pgx.
type pgEngine struct {
	pool   *pgxpool.Pool
	wait   time.Duration
	closed atomic.Bool
}

func openPostgres(ctx context.Context, cfg Config) (*pgEngine, error) {
	conn, err := pgConfig(cfg.URL, cfg, cfg.StatementTime)
	if err != nil {
		return nil, err
	}
	c, err := pgxpool.ParseConfig("") // pgxpool wants its configurations made by itself
	if err != nil {
		return nil, err
	}
	c.ConnConfig, c.MaxConns, c.MaxConnIdleTime = conn, int32(min(cfg.Conns, 10_000)), 5*time.Minute
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	e := &pgEngine{pool: pool, wait: cfg.WaitTime}
	if err := assertRole(ctx, pool, cfg.Schema); err != nil {
		pool.Close()
		return nil, err
	}
	return e, nil
}

// pgConfig connects as the role of url. A session's statements end after statementTime; 0 is never.
func pgConfig(url string, cfg Config, statementTime time.Duration) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the PostgreSQL URL cannot be read: %w", errors.Unwrap(err))
	}
	if cfg.Schema != "" {
		c.RuntimeParams["search_path"] = quote(cfg.Schema)
	}
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	c.RuntimeParams["statement_timeout"] = ms(statementTime)
	c.RuntimeParams["lock_timeout"] = ms(cfg.LockTime)
	c.RuntimeParams["idle_in_transaction_session_timeout"] = ms(cfg.IdleTime)
	c.RuntimeParams["jit"] = "off" // it pays for reports, and costs a short statement many times its own time
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "basis " + cfg.Schema
	}
	if c.ConnectTimeout == 0 || c.ConnectTimeout > cfg.WaitTime {
		c.ConnectTimeout = cfg.WaitTime
	}
	return c, nil
}

// assertRole refuses a role for which row-level security would not hold.
func assertRole(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	var (
		name          string
		super, bypass bool
		owns          int
	)
	// A member of the owning role could SET ROLE to it, and has its rights besides.
	err := pool.QueryRow(ctx, `SELECT rolname, rolsuper, rolbypassrls,
		(SELECT count(*) FROM pg_tables WHERE schemaname = $1 AND pg_has_role(rolname, tableowner, 'MEMBER')) AS owns
		FROM pg_roles WHERE rolname = current_user`, schema).Scan(&name, &super, &bypass, &owns)
	switch {
	case err != nil:
		return fmt.Errorf("ask for the role: %w", err)
	case super:
		return fmt.Errorf("role %s is a superuser: tenants would not be kept apart; serve with a plain role and migrate with another", name)
	case bypass:
		return fmt.Errorf("role %s has BYPASSRLS: tenants would not be kept apart; ALTER ROLE %s NOBYPASSRLS", name, name)
	case owns > 0:
		return fmt.Errorf("role %s owns %d tables in schema %s: serve with another role than the one that migrates", name, owns, schema)
	}
	return nil
}

func (e *pgEngine) postgres() bool { return true }

func (e *pgEngine) close() error {
	e.closed.Store(true)
	e.pool.Close()
	return nil
}

// endTime bounds COMMIT and ROLLBACK.
const endTime = 10 * time.Second

// maxAttempts of a transaction that lost a deadlock, a serialization conflict or its connection.
const maxAttempts = 5

// minPause before the second attempt; before later ones it is a multiple, and up to once more.
const minPause = 10 * time.Millisecond

const (
	beginWrite = "begin"
	beginRead  = "begin isolation level repeatable read read only"
)

func (e *pgEngine) tx(ctx context.Context, sc scope, fn func(*Tx) error) (*Tx, error) {
	return e.attempts(ctx, sc, beginWrite, fn)
}

func (e *pgEngine) read(ctx context.Context, sc scope, fn func(*Tx) error) error {
	_, err := e.attempts(ctx, sc, beginRead, fn)
	return err
}

// attempts runs the transaction again where it is known that nothing of it was committed.
func (e *pgEngine) attempts(ctx context.Context, sc scope, begin string, fn func(*Tx) error) (done *Tx, err error) {
	for attempt := 1; ; attempt++ {
		if e.closed.Load() {
			return nil, errClosed
		}
		var next verdict
		done, next, err = e.once(ctx, sc, begin, fn)
		if next != again || attempt == maxAttempts {
			return done, explain(ctx, err, next)
		}
		// Whoever won a conflict gets time to end.
		pause := time.NewTimer(time.Duration(attempt)*minPause + rand.N(minPause)) //nolint:gosec // nothing secret
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil, errors.Join(ctx.Err(), err)
		case <-pause.C:
		}
	}
}

// once runs fn in one transaction. It takes a connection with fn's first statement.
func (e *pgEngine) once(ctx context.Context, sc scope, begin string, fn func(*Tx) error) (done *Tx, next verdict, err error) {
	q := &pgQuerier{engine: e, begin: begin, tenant: sc.literal()}
	tx := &Tx{q: q, scope: sc, postgres: true}
	committed := false
	defer func() {
		if !committed {
			err = errors.Join(err, q.rollback(ctx))
		}
		if q.conn != nil {
			q.conn.Release()
		}
	}()
	if err = fn(tx); err == nil {
		err = tx.spoiled
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		next = e.judge(ctx, q, tx.spoiled, begin)
		return nil, next, err
	}
	if begin == beginRead {
		return tx, final, nil // nothing to commit; rolled back
	}
	if err = q.commit(ctx); err != nil {
		next = e.judge(ctx, q, err, begin)
		if next != final && q.conn != nil && q.conn.Conn().IsClosed() {
			next = unknown
		}
		return nil, next, fmt.Errorf("commit: %w", err)
	}
	committed = true
	return tx, final, nil
}

// literal is the value of app.tenant: "*" for all; what is no id matches no row.
func (s scope) literal() string {
	if s.all {
		return "*"
	}
	if t, err := id.Parse(s.tenant.String()); err == nil {
		return t.String()
	}
	return ""
}
