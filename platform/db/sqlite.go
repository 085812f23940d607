package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx"
)

// maxGroup bounds how many transactions share one commit, and so how long the first waits.
const maxGroup = 512

// sqliteEngine has one writer, which groups commits, and a pool of readers.
//
// Group commit: whoever calls tx while the writer is busy waits in a queue; the writer
// then runs all that wait in one SQL transaction, with a savepoint each, and syncs the
// disk once for all of them.
type sqliteEngine struct {
	pool    *sqlx.DB
	writer  *liteConn
	jobs    chan *job
	stopped chan struct{} // closed when the writer has ended
	readers chan *liteConn
	closing chan struct{} // closed when no reader is given out any more

	mu     sync.RWMutex // held to write while closing
	closed bool
}

type job struct {
	ctx   context.Context
	scope scope
	fn    func(*Tx) error

	tx       *Tx
	err      error
	panicked any
	done     chan struct{}
}

var errClosed = errors.New("db: closed")

func openSQLite(ctx context.Context, path string, cfg Config) (*sqliteEngine, error) {
	q := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		"temp_store(MEMORY)", "cache_size(-16000)", "journal_size_limit(67108864)",
	}}
	pool, err := sqlx.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	e := &sqliteEngine{
		pool: pool, jobs: make(chan *job, maxGroup), stopped: make(chan struct{}),
		readers: make(chan *liteConn, cfg.Conns), closing: make(chan struct{}),
	}
	if e.writer, err = newLiteConn(ctx, pool); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	for range cfg.Conns {
		c, err := newLiteConn(ctx, pool)
		if err == nil {
			_, err = c.ExecContext(ctx, "PRAGMA query_only = 1")
		}
		if err != nil {
			return nil, errors.Join(err, pool.Close())
		}
		e.readers <- c
	}
	go e.write()
	return e, nil
}

func (e *sqliteEngine) postgres() bool { return false }

func (e *sqliteEngine) close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	close(e.jobs)
	close(e.closing)
	e.mu.Unlock()
	<-e.stopped
	conns := []*liteConn{e.writer}
	for range cap(e.readers) {
		conns = append(conns, <-e.readers)
	}
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.close())
	}
	return errors.Join(append(errs, e.pool.Close())...)
}

func (e *sqliteEngine) tx(ctx context.Context, sc scope, fn func(*Tx) error) (*Tx, error) {
	j := &job{ctx: ctx, scope: sc, fn: fn, done: make(chan struct{})}
	if err := e.submit(ctx, j); err != nil {
		return nil, err
	}
	<-j.done // the writer alone knows whether it was committed
	if j.panicked != nil {
		panic(j.panicked)
	}
	if j.err != nil {
		return nil, j.err
	}
	return j.tx, nil
}

func (e *sqliteEngine) submit(ctx context.Context, j *job) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return errClosed
	}
	select {
	case e.jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the one writer. It ends when the queue is closed and empty.
func (e *sqliteEngine) write() {
	defer close(e.stopped)
	group := make([]*job, 0, maxGroup)
	for first := range e.jobs {
		group = append(group[:0], first)
	fill:
		for len(group) < maxGroup {
			select {
			case j, ok := <-e.jobs:
				if !ok {
					break fill
				}
				group = append(group, j)
			default:
				break fill
			}
		}
		e.commit(group)
		for _, j := range group {
			close(j.done)
		}
	}
}

// commit runs the jobs in one SQL transaction. When one of them was cancelled after it ran,
// all is rolled back and the others run again: a cancelled caller must find nothing written.
func (e *sqliteEngine) commit(group []*job) {
	for {
		live := e.runGroup(group)
		if len(live) == 0 {
			return
		}
		again := live[:0:0]
		for _, j := range live {
			if j.err = j.ctx.Err(); j.err == nil {
				again = append(again, j)
			}
		}
		if len(again) == len(live) {
			if err := e.writer.raw("COMMIT"); err != nil {
				e.fail(live, fmt.Errorf("commit: %w", err))
			}
			return
		}
		if err := e.writer.raw("ROLLBACK"); err != nil {
			e.fail(again, fmt.Errorf("roll back: %w", err))
			return
		}
		if len(again) == 0 {
			return
		}
		group = again
	}
}

// runGroup begins a transaction and runs each job in it; it returns the jobs that
// succeeded, with the transaction still open, or none, with the transaction ended.
func (e *sqliteEngine) runGroup(group []*job) (live []*job) {
	if err := e.writer.raw("BEGIN IMMEDIATE"); err != nil {
		e.fail(group, fmt.Errorf("begin: %w", err))
		return nil
	}
	for _, j := range group {
		if j.err = j.ctx.Err(); j.err != nil {
			continue
		}
		if err := e.writer.raw("SAVEPOINT job"); err != nil {
			e.fail(group, fmt.Errorf("savepoint: %w", err))
			return nil
		}
		j.run(e.writer)
		end := "RELEASE job"
		if j.err != nil {
			end = "ROLLBACK TO job; RELEASE job"
		} else {
			live = append(live, j)
		}
		// Some errors (disk full, I/O) make SQLite end the transaction by itself; then the
		// savepoint is gone, and what the neighbours wrote with it.
		if err := e.writer.raw(end); err != nil {
			e.fail(group, fmt.Errorf("the shared transaction was lost: %w", err))
			return nil
		}
	}
	if len(live) == 0 {
		if err := e.writer.raw("ROLLBACK"); err != nil {
			e.fail(group, fmt.Errorf("roll back: %w", err))
		}
		return nil
	}
	return live
}

// fail ends the SQL transaction, if one is left, and gives err to each job without one.
func (e *sqliteEngine) fail(group []*job, err error) {
	if rerr := e.writer.raw("ROLLBACK"); rerr != nil {
		err = fmt.Errorf("%w (no transaction was left: %w)", err, rerr)
	}
	for _, j := range group {
		if j.err == nil {
			j.err = err
		}
	}
}

func (j *job) run(c *liteConn) {
	j.tx = &Tx{q: c, scope: j.scope}
	defer func() {
		if p := recover(); p != nil {
			j.panicked = p
			j.err = errSpoiled
		}
	}()
	if j.err = j.fn(j.tx); j.err == nil {
		j.err = j.tx.spoiled
	}
}

func (e *sqliteEngine) read(ctx context.Context, sc scope, fn func(*Tx) error) error {
	select {
	case <-e.closing:
		return errClosed
	default:
	}
	select {
	case <-e.closing:
		return errClosed
	case c := <-e.readers:
		defer func() { e.readers <- c }()
		if err := c.raw("BEGIN"); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		defer func() { _ = c.raw("ROLLBACK") }() // nothing was written; an error here shows at the next BEGIN
		return fn(&Tx{q: c, scope: sc})
	case <-ctx.Done():
		return ctx.Err()
	}
}

// liteConn is one SQLite connection with its prepared statements. Statements run without
// the caller's context: SQLite would answer an interrupt by rolling back the whole
// transaction, neighbours included.
type liteConn struct {
	*sqlx.Conn
	stmts map[string]*sqlx.Stmt
}

func newLiteConn(ctx context.Context, pool *sqlx.DB) (*liteConn, error) {
	c, err := pool.Connx(ctx)
	if err != nil {
		return nil, err
	}
	return &liteConn{Conn: c, stmts: map[string]*sqlx.Stmt{}}, nil
}

// maxStatements bounds the cache; a service has fewer texts than that.
const maxStatements = 500

func (c *liteConn) stmt(query string) (*sqlx.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	if len(c.stmts) >= maxStatements {
		for k, s := range c.stmts {
			delete(c.stmts, k)
			if err := s.Close(); err != nil {
				return nil, err
			}
			break
		}
	}
	s, err := c.PreparexContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

// raw runs statements that begin, bound and end transactions; single ones are prepared once.
func (c *liteConn) raw(query string) error {
	if strings.Contains(query, ";") {
		_, err := c.ExecContext(context.Background(), query)
		return err
	}
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(context.Background())
	return err
}

func (c *liteConn) GetContext(_ context.Context, dest any, query string, args ...any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	return s.GetContext(context.Background(), dest, args...)
}

func (c *liteConn) SelectContext(_ context.Context, dest any, query string, args ...any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	return s.SelectContext(context.Background(), dest, args...)
}

func (c *liteConn) execContext(_ context.Context, query string, args ...any) (int64, error) {
	s, err := c.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (c *liteConn) sendContext(ctx context.Context, query string, args ...any) error {
	_, err := c.execContext(ctx, query, args...)
	return err
}

func (c *liteConn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	if err := c.Close(); !errors.Is(err, sql.ErrConnDone) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
