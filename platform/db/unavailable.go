package db

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"basisdienste/platform/fault"
)

// verdict says what may be done about a transaction that failed.
type verdict int

const (
	final   verdict = iota // the error is the caller's
	again                  // nothing was committed, and another run may do better
	away                   // nothing was committed; the server cannot be used now
	unknown                // the connection broke between COMMIT and its answer
)

var errNoConnection = errors.New("db: no connection became free")

// judge looks at the cause: the error of a statement, of connecting or of COMMIT.
func (e *pgEngine) judge(ctx context.Context, q *pgQuerier, cause error, begin string) verdict {
	if cause == nil || ctx.Err() != nil {
		return final
	}
	var refused *pgconn.ConnectError
	if errors.Is(cause, errNoConnection) || errors.As(cause, &refused) {
		return away
	}
	if q.conn == nil {
		return final
	}
	var pg *pgconn.PgError
	code := ""
	if errors.As(cause, &pg) {
		code = pg.Code
	}
	switch {
	case code == "40P01", code == "40001": // deadlock, conflict
		return again
	case code == "0A000" && pg.Message == "cached plan must not change result type": // a migration came between
		return again
	case code == "25006" && begin == beginWrite:
		// The server became a standby: our connections lead to the wrong one.
		e.pool.Reset()
		return again
	case q.conn.Conn().IsClosed():
		// It ended the session, or the network did; the others of the pool may be as dead.
		e.pool.Reset()
		return again
	case len(code) == 5 && (code[:2] == "53" || code == "57014" || code == "55P03"):
		return away // out of disk or memory; a statement or a lock took too long
	}
	return final
}

// explain makes of the error what a caller is told.
func explain(ctx context.Context, err error, v verdict) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	switch v {
	case unknown:
		return fault.Unavailable("outcome_unknown", "the connection to the database broke while this was being stored: it may be stored or not; look, or repeat it with the same Idempotency-Key").
			Because(err)
	case away:
		return fault.Unavailable("database_unavailable", "the database cannot be used at the moment; nothing was changed, try again").After(retryAfter).Because(err)
	case again:
		var pg *pgconn.PgError
		if errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001") {
			return fault.Unavailable("database_conflict", "others kept changing the same things; nothing was changed, try again").After(retryAfter).Because(err)
		}
		return fault.Unavailable("database_unavailable", "the database cannot be used at the moment; nothing was changed, try again").After(retryAfter).Because(err)
	case final:
	}
	return err
}

// retryAfter is when a caller is told to try again.
const retryAfter = 2 * time.Second
