package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"basisdienste/platform/id"
)

// Tx is a transaction for one tenant (or, under System, for all). It must not be used
// after fn returned, nor by two goroutines.
type Tx struct {
	q        querier
	scope    scope
	postgres bool
	spoiled  error
	wakes    []string
	hooks    []func()
}

// querier is what an engine gives to run one statement.
type querier interface {
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
	execContext(ctx context.Context, query string, args ...any) (int64, error)
	sendContext(ctx context.Context, query string, args ...any) error
}

var errSpoiled = errors.New("db: an earlier statement of this transaction failed")

// Tenant is the tenant of the transaction: the first value of every WHERE. Empty under System.
func (tx *Tx) Tenant() id.ID { return tx.scope.tenant }

// Process is DB.Process.
func (tx *Tx) Process() string { return tx.scope.process }

// Now is the injected clock's time, cut to the microseconds that are stored.
func (tx *Tx) Now() Time { return NewTime(tx.scope.clock()) }

// ForUpdate is " FOR UPDATE" where rows must be locked, and empty where there is only one
// writer anyway.
func (tx *Tx) ForUpdate() string {
	if tx.postgres {
		return " FOR UPDATE"
	}
	return ""
}

// SkipLocked is ForUpdate that leaves out the rows that others have locked.
func (tx *Tx) SkipLocked() string {
	if tx.postgres {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// Forgettable lets the transaction return before it is safe on the disk: a crash of the
// database within the next second may undo it, whole. For what is only remembered to save work.
// On SQLite it changes nothing.
func (tx *Tx) Forgettable(ctx context.Context) error {
	if !tx.postgres {
		return nil
	}
	return tx.Send(ctx, `SET LOCAL synchronous_commit = off`)
}

// Postgres reports the engine, for the rare statement that has no common form.
func (tx *Tx) Postgres() bool { return tx.postgres }

// Wake tells those who wait on DB.Woken(name), after the commit.
func (tx *Tx) Wake(name string) {
	for _, w := range tx.wakes {
		if w == name {
			return
		}
	}
	tx.wakes = append(tx.wakes, name)
}

// OnCommit runs f after the commit and before DB.Tx returns, in the order of the calls; never
// after a rollback. A transaction that is run again forgets what the first run asked for.
// f may use the database, but what it does is not part of the transaction: for caches.
func (tx *Tx) OnCommit(f func()) { tx.hooks = append(tx.hooks, f) }

// Get reads exactly one row into dest (a struct with db tags, or one value).
// Errors: ErrNoRows, invalid_text (as Select and Exec).
func (tx *Tx) Get(ctx context.Context, dest any, query string, args ...any) error {
	return tx.note(tx.run(args, func() error { return tx.q.GetContext(ctx, dest, query, args...) }), query)
}

// Select reads all rows into dest, a pointer to a slice. Bound the number of rows by LIMIT.
func (tx *Tx) Select(ctx context.Context, dest any, query string, args ...any) error {
	return tx.note(tx.run(args, func() error { return tx.q.SelectContext(ctx, dest, query, args...) }), query)
}

// Exec runs a statement and returns how many rows it changed.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	var n int64
	err := tx.run(args, func() (err error) {
		n, err = tx.q.execContext(ctx, query, args...)
		return err
	})
	return n, tx.note(err, query)
}

// Send is Exec whose outcome nobody looks at before the commit. On PostgreSQL the statement
// travels with the next one, or with the commit, which saves a round trip; if it fails, that
// one returns the error.
func (tx *Tx) Send(ctx context.Context, query string, args ...any) error {
	return tx.note(tx.run(args, func() error { return tx.q.sendContext(ctx, query, args...) }), query)
}

func (tx *Tx) run(args []any, f func() error) error {
	if tx.spoiled != nil {
		return fmt.Errorf("%w: %w", errSpoiled, tx.spoiled)
	}
	if err := checkText(args); err != nil {
		return err
	}
	return f()
}

// note remembers a failure, so that it cannot be committed over, on both engines alike.
func (tx *Tx) note(err error, query string) error {
	if err == nil || errors.Is(err, ErrNoRows) {
		return err
	}
	if tx.spoiled == nil {
		tx.spoiled = err
		return fmt.Errorf("%w (in %.60q)", err, query)
	}
	return err
}

// In expands a slice argument: In("… id IN (?)", ids) returns the query with as many
// placeholders as there are ids.
func In(query string, args ...any) (string, []any, error) { return sqlx.In(query, args...) }
