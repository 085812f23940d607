package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jmoiron/sqlx"
)

// pgQuerier is one transaction. What need not be answered at once travels with the next
// statement, in one round trip: BEGIN and the tenant with the first, what Send queued with
// the one after it or with COMMIT.
type pgQuerier struct {
	engine *pgEngine
	begin  string
	tenant string

	conn  *pgxpool.Conn // nil before the first statement
	begun bool
	queue []statement
}

type statement struct {
	query string
	args  []any
}

const setTenant = "select set_config('app.tenant', $1, true)"

// acquire takes a connection from the pool; it waits as long as the context and Config.WaitTime allow.
func (q *pgQuerier) acquire(ctx context.Context) (err error) {
	if q.conn != nil {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, q.engine.wait)
	defer cancel()
	if q.conn, err = q.engine.pool.Acquire(wait); err == nil {
		return nil
	}
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w for %s", errNoConnection, q.engine.wait)
	}
	return fmt.Errorf("connect: %w", err)
}

// do runs a statement, after what waits for it, and hands its rows to read.
func (q *pgQuerier) do(ctx context.Context, query string, args []any, read func(pgx.Rows) error) (err error) {
	if err := q.acquire(ctx); err != nil {
		return err
	}
	query = rebind(query)
	if args, err = plainArgs(args); err != nil {
		return err
	}
	if q.begun && len(q.queue) == 0 {
		rows, err := q.conn.Query(ctx, query, args...)
		return readRows(rows, err, read)
	}
	results, err := q.sendWith(ctx, statement{query, args})
	if err == nil {
		rows, qerr := results.Query()
		err = readRows(rows, qerr, read)
	}
	// The first error is the cause; later ones only say that the rest was skipped.
	if cerr := results.Close(); err == nil {
		err = cerr
	}
	return err
}

func readRows(rows pgx.Rows, err error, read func(pgx.Rows) error) error {
	if err != nil {
		return err
	}
	err = read(rows)
	rows.Close()
	if rerr := rows.Err(); rerr != nil {
		return rerr
	}
	return err
}

// sendWith sends BEGIN if it is the first, the queue and last, and reads the outcome of all but last.
func (q *pgQuerier) sendWith(ctx context.Context, last statement) (pgx.BatchResults, error) {
	var b pgx.Batch
	if !q.begun {
		b.Queue(q.begin)
		b.Queue(setTenant, q.tenant)
	}
	for _, s := range q.queue {
		b.Queue(s.query, s.args...)
	}
	b.Queue(last.query, last.args...)
	first := !q.begun
	queued := q.queue
	q.begun, q.queue = true, nil
	results := q.conn.SendBatch(ctx, &b)
	if first {
		for range 2 {
			if _, err := results.Exec(); err != nil {
				return results, fmt.Errorf("begin: %w", err)
			}
		}
	}
	for _, s := range queued {
		if _, err := results.Exec(); err != nil {
			return results, fmt.Errorf("%w (in %.60q)", err, s.query)
		}
	}
	return results, nil
}

func (q *pgQuerier) sendContext(_ context.Context, query string, args ...any) error {
	args, err := plainArgs(args)
	if err == nil {
		q.queue = append(q.queue, statement{rebind(query), args})
	}
	return err
}

func (q *pgQuerier) execContext(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = q.do(ctx, query, args, func(rows pgx.Rows) error {
		rows.Close()
		n = rows.CommandTag().RowsAffected()
		return nil
	})
	return n, err
}

func (q *pgQuerier) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	return q.do(ctx, query, args, func(rows pgx.Rows) error { return scanOne(rows, dest, query) })
}

func (q *pgQuerier) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	return q.do(ctx, query, args, func(rows pgx.Rows) error { return scanAll(rows, dest, query) })
}

// commit ends the transaction, with what is queued. Whoever gives up from here on is too late:
// half a COMMIT would leave it open what is stored.
func (q *pgQuerier) commit(ctx context.Context) error {
	if !q.begun && len(q.queue) == 0 {
		return nil
	}
	if err := q.acquire(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if q.begun && len(q.queue) == 0 {
		return q.simple(ctx, "COMMIT", "COMMIT")
	}
	results, err := q.sendWith(ctx, statement{query: "commit"})
	if err == nil {
		var tag pgconn.CommandTag
		if tag, err = results.Exec(); err == nil && tag.String() != "COMMIT" {
			err = fmt.Errorf("the server answered %q", tag)
		}
	}
	if cerr := results.Close(); err == nil {
		err = cerr
	}
	return err
}

// rollback leaves the connection clean, though the caller's context may have ended.
func (q *pgQuerier) rollback(ctx context.Context) error {
	if !q.begun || q.conn.Conn().IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if err := q.simple(ctx, "ROLLBACK", ""); err != nil && !q.conn.Conn().IsClosed() {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// simple runs a statement without preparing it. PostgreSQL answers COMMIT of a failed
// transaction with the tag ROLLBACK and no error, so the wanted tag is checked.
func (q *pgQuerier) simple(ctx context.Context, statement, wantTag string) error {
	results, err := q.conn.Conn().PgConn().Exec(ctx, statement).ReadAll()
	if err != nil {
		return err
	}
	if n := len(results); wantTag != "" && (n == 0 || results[n-1].CommandTag.String() != wantTag) {
		return fmt.Errorf("the server answered %q", results[n-1].CommandTag)
	}
	return nil
}

// rebound caches the $n form of each text; texts are constants of the stores.
var rebound sync.Map

// keptText reports whether a text is worth remembering; expanded IN lists are not.
func keptText(query string) bool { return strings.Count(query, "?") <= 40 }

func rebind(query string) string {
	if r, ok := rebound.Load(query); ok {
		return r.(string)
	}
	r := sqlx.Rebind(sqlx.DOLLAR, query)
	if keptText(query) {
		rebound.Store(query, r)
	}
	return r
}
