package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Cut is one instant of several SQLite databases that other processes go on writing to: each
// is seen as it was when OpenCut returned, all of them at the same moment. What one of them
// learned from another before that moment is in both, and nothing that came later is in any.
//
// While a Cut is open the write-ahead logs grow: what is written meanwhile cannot be moved
// into the databases. A Cut is not safe for concurrent use.
type Cut struct {
	pools   []*sqlx.DB
	readers map[string]*liteConn
	held    time.Duration
}

const (
	cutTries = 20
	// cutPatience bounds one try, and so how long writers wait: it is well below the 10 s that
	// they are ready to wait for (see openSQLite).
	cutPatience = 2 * time.Second
	cutPoll     = 500 * time.Microsecond
)

var errCutBusy = errors.New("its writer did not pause")

// OpenCut takes the instant. For that all writers are held up at once, for a few milliseconds
// as a rule (Held tells) and never longer than 2 s. The files must exist, and be writable: the
// writers are held up by their own lock.
func OpenCut(ctx context.Context, files ...string) (*Cut, error) {
	c := &Cut{readers: map[string]*liteConn{}}
	lockers := make([]*liteConn, len(files))
	for i, file := range files {
		if _, err := os.Stat(file); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		pool, err := sqlx.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?mode=rw&_pragma=busy_timeout(0)")
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.pools = append(c.pools, pool)
		if lockers[i], err = newLiteConn(ctx, pool); err == nil {
			c.readers[file], err = newLiteConn(ctx, pool)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", file, err), c.Close())
		}
	}
	var err error
	for range cutTries {
		if err = c.take(ctx, lockers, files); !errors.Is(err, errCutBusy) {
			break
		}
	}
	for _, l := range lockers {
		err = errors.Join(err, l.close())
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// take locks all writers out, begins to read everywhere, and lets the writers go on. No writer
// waits for another one (see package doc), so they cannot wait for each other through us.
func (c *Cut) take(ctx context.Context, lockers []*liteConn, files []string) (err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, cutPatience)
	defer cancel()
	for i, l := range lockers {
		if err := lock(ctx, l); err != nil {
			return fmt.Errorf("%s: %w", files[i], err)
		}
		defer func() { err = errors.Join(err, l.raw("ROLLBACK")) }()
	}
	for _, file := range files {
		var tables int // a snapshot begins with the first read
		r := c.readers[file]
		if err := r.raw("BEGIN"); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := r.GetContext(ctx, &tables, "SELECT count(*) FROM sqlite_schema"); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", file, err), r.raw("ROLLBACK"))
		}
	}
	c.held = time.Since(began)
	return nil
}

// lock asks again every half millisecond: SQLite's own waiting sleeps longer and longer, and
// would miss the short pauses of a busy writer.
func lock(ctx context.Context, l *liteConn) error {
	tick := time.NewTicker(cutPoll)
	defer tick.Stop()
	for {
		err := l.raw("BEGIN IMMEDIATE")
		var lite *sqlite.Error
		if err == nil || !errors.As(err, &lite) || lite.Code()&0xff != sqlite3.SQLITE_BUSY {
			return err
		}
		select {
		case <-ctx.Done():
			return errCutBusy
		case <-tick.C:
		}
	}
}

// Held is how long the writers were held up.
func (c *Cut) Held() time.Duration { return c.held }

// Copy writes the database file, as it was at the instant, to a new file, checks the copy and
// returns what is in it. progress (or nil) is told of bytes as they are copied.
func (c *Cut) Copy(ctx context.Context, file, to string, progress func(bytes int64)) (Copied, error) {
	r, ok := c.readers[file]
	if !ok {
		return Copied{}, fmt.Errorf("%s is not part of the cut", file)
	}
	var pageSize int64
	if err := r.GetContext(ctx, &pageSize, "PRAGMA page_size"); err != nil {
		return Copied{}, err
	}
	err := r.Raw(func(driverConn any) error {
		b, err := driverConn.(interface {
			NewBackup(to string) (*sqlite.Backup, error)
		}).NewBackup(to)
		if err != nil {
			return err
		}
		const pages = 1024
		for more, done := true, 0; more; {
			if more, err = b.Step(pages); err != nil || ctx.Err() != nil {
				return errors.Join(err, ctx.Err(), b.Finish())
			}
			if now := b.PageCount() - b.Remaining(); progress != nil {
				progress(int64(now-done) * pageSize)
				done = now
			}
		}
		return b.Finish()
	})
	if err != nil {
		return Copied{}, fmt.Errorf("copy %s: %w", file, err)
	}
	return Inspect(ctx, to)
}

// Copied is what is known of a database file.
type Copied struct {
	Migrations map[string]int64 `json:"migrations"` // newest version, by set
}

// Inspect opens an SQLite file that nobody else uses and fails if it is damaged: a page, an
// index, or a row that names another one which is not there.
func Inspect(ctx context.Context, file string) (k Copied, err error) {
	pool, err := sqlx.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?mode=rw")
	if err != nil {
		return k, err
	}
	defer func() {
		err = errors.Join(err, pool.Close())
		for _, beside := range []string{"-wal", "-shm"} { // empty by now
			if rerr := os.Remove(file + beside); !errors.Is(rerr, fs.ErrNotExist) {
				err = errors.Join(err, rerr)
			}
		}
	}()
	var found []string
	if err := pool.SelectContext(ctx, &found, "PRAGMA quick_check(5)"); err != nil {
		return k, fmt.Errorf("%s is damaged: %w", file, err)
	}
	if len(found) != 1 || found[0] != "ok" {
		return k, fmt.Errorf("%s is damaged: %s", file, strings.Join(found, "; "))
	}
	if err := pool.SelectContext(ctx, &found, `SELECT "table" || ' names rows of ' || parent || ' that are not there' FROM pragma_foreign_key_check LIMIT 5`); err != nil {
		return k, err
	}
	if len(found) > 0 {
		return k, fmt.Errorf("%s is damaged: %s", file, strings.Join(found, "; "))
	}
	k.Migrations = map[string]int64{}
	const prefix = "migrations_"
	var tables []string
	if err := pool.SelectContext(ctx, &tables, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'migrations\_%' ESCAPE '\' ORDER BY name`); err != nil {
		return k, err
	}
	for _, t := range tables {
		var version int64
		if err := pool.GetContext(ctx, &version, "SELECT COALESCE(max(version_id), 0) FROM "+quote(t)+" WHERE is_applied"); err != nil {
			return k, err
		}
		k.Migrations[strings.TrimPrefix(t, prefix)] = version
	}
	return k, nil
}

// Close lets the instant go. It is safe to call twice.
func (c *Cut) Close() error {
	var errs []error
	for _, r := range c.readers {
		errs = append(errs, r.close())
	}
	for _, p := range c.pools {
		errs = append(errs, p.Close())
	}
	c.readers, c.pools = nil, nil
	return errors.Join(errs...)
}
