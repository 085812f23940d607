package host

import (
	"context"
	"fmt"
	"sync"
	"time"

	"basisdienste/platform/db"
)

// Waits is what PostgreSQL's sessions did, as the mean number of sessions over all looks.
type Waits struct {
	Looks     int
	Running   float64 // on a processor, or ready for one
	Locks     float64 // for a lock of another transaction
	Sync      float64 // for the log to be on disk
	Inside    float64 // for the server's own short locks, buffers and other processes
	Reading   float64 // for other disk work
	Statement float64 // in a transaction, for the client's next statement
}

// Most is what most sessions waited for, and how many; threads of a program that waited for the
// disk count with those that wait for the log.
func (w Waits) Most(threadsOnDisk float64) (what string, n float64) {
	for _, wait := range []struct {
		what string
		n    float64
	}{{"waits for locks", w.Locks}, {"disk sync", w.Sync + threadsOnDisk}, {"PostgreSQL's inner locks", w.Inside}, {"reading from disk", w.Reading}} {
		if wait.n > n {
			what, n = wait.what, wait.n
		}
	}
	return what, n
}

// Full is the share of the cores from which on they are what limits, and Notable the number of
// sessions or threads from which on it is what they wait for.
const (
	Full    = 0.9
	Notable = 0.5
)

func (w Waits) String() string {
	return fmt.Sprintf("PostgreSQL's sessions in the mean of %d looks: running %.1f, disk sync %.1f, locks %.1f, inner locks %.1f, reading %.1f, waiting for their client's next statement %.1f",
		w.Looks, w.Running, w.Sync, w.Locks, w.Inside, w.Reading, w.Statement)
}

// looks is how often sessions and threads are looked at.
const looks = 50 * time.Millisecond

// LWLock WALWrite is the wait for a session that writes the log for others, too.
const sessions = `SELECT
	count(*) FILTER (WHERE state = 'active' AND wait_event_type IS NULL) AS running,
	count(*) FILTER (WHERE state = 'active' AND wait_event_type = 'Lock') AS locks,
	count(*) FILTER (WHERE state = 'active' AND wait_event IN ('WALSync', 'WALWrite', 'WALInitSync', 'WALInitWrite', 'SyncRep')) AS sync,
	count(*) FILTER (WHERE state = 'active' AND wait_event_type IN ('LWLock', 'BufferPin', 'IPC', 'Timeout') AND wait_event NOT IN ('WALWrite', 'SyncRep')) AS inside,
	count(*) FILTER (WHERE state = 'active' AND wait_event_type = 'IO' AND wait_event NOT LIKE 'WAL%') AS reading,
	count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS statement
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`

// Watch looks at the sessions of the database (nil: of none) and at the threads of a process
// until the returned function is called, which says what was seen: the waits, and how many
// threads waited for the disk in the mean.
func Watch(ctx context.Context, d *db.DB, pid int) func() (Waits, float64, error) {
	ctx, cancel := context.WithCancel(db.System(ctx))
	var (
		w       Waits
		onDisk  float64
		n       int
		problem error
		wg      sync.WaitGroup
	)
	wg.Go(func() {
		tick := time.NewTicker(looks)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			n++
			onDisk += float64(OnDisk(pid))
			if d == nil {
				continue
			}
			if err := w.look(ctx, d); err != nil && ctx.Err() == nil {
				problem = err
				return
			}
		}
	})
	return func() (Waits, float64, error) {
		cancel()
		wg.Wait()
		for _, f := range []*float64{&w.Running, &w.Locks, &w.Sync, &w.Inside, &w.Reading, &w.Statement} {
			*f /= float64(max(w.Looks, 1))
		}
		return w, onDisk / float64(max(n, 1)), problem
	}
}

func (w *Waits) look(ctx context.Context, d *db.DB) error {
	var seen struct{ Running, Locks, Sync, Inside, Reading, Statement float64 }
	if err := d.Read(ctx, func(tx *db.Tx) error { return tx.Get(ctx, &seen, sessions) }); err != nil {
		return err
	}
	w.Looks++
	w.Running += seen.Running
	w.Locks += seen.Locks
	w.Sync += seen.Sync
	w.Inside += seen.Inside
	w.Reading += seen.Reading
	w.Statement += seen.Statement
	return nil
}
