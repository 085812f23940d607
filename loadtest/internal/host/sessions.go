package host

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"basisdienste/platform/db"
)

// Waits is what PostgreSQL's sessions did, as the mean number of sessions over all looks, and
// what a program's threads did.
type Waits struct {
	Looks     int
	Running   float64 // on a processor, or ready for one
	Locks     float64 // for a lock of another transaction
	Sync      float64 // for the log to be on disk
	Inside    float64 // for the server's own short locks, buffers and other processes
	Reading   float64 // for other disk work
	Statement float64 // in a transaction, for the client's next statement
	Threads   float64 // of the program that was watched, for the disk

	statements map[string]int // how often they were seen under way, by role and text
}

// Full is the share of the cores from which on they are what limits, and Notable the number of
// sessions or threads from which on it is what they wait for.
const (
	Full    = 0.9
	Notable = 0.5
)

// Most is what most sessions and threads waited for, and how many.
func (w *Waits) Most() (what string, n float64) {
	for _, wait := range []struct {
		what string
		n    float64
	}{{"waits for locks", w.Locks}, {"disk sync", w.Sync + w.Threads}, {"PostgreSQL's inner locks", w.Inside}, {"reading from disk", w.Reading}} {
		if wait.n > n {
			what, n = wait.what, wait.n
		}
	}
	return what, n
}

func (w *Waits) String() string {
	if w.Looks == 0 {
		return fmt.Sprintf("threads of basis on the disk %.1f", w.Threads)
	}
	return fmt.Sprintf("PostgreSQL's sessions in the mean of %d looks: running %.1f, disk sync %.1f, locks %.1f, inner locks %.1f, reading %.1f, waiting for their client's next statement %.1f",
		w.Looks, w.Running, w.Sync, w.Locks, w.Inside, w.Reading, w.Statement)
}

// Statements are those that were most often seen under way, at most n of them: the mean number
// of sessions, the role, the beginning of the text.
func (w *Waits) Statements(n int) (list []string) {
	keys := make([]string, 0, len(w.statements))
	for k := range w.statements {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if d := w.statements[b] - w.statements[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, k := range keys[:min(n, len(keys))] {
		list = append(list, fmt.Sprintf("%.2f %s", float64(w.statements[k])/float64(w.Looks), k))
	}
	return list
}

// look is how often sessions and threads are looked at.
const look = 50 * time.Millisecond

// Watch looks at the sessions of the database (nil: of none) and at the threads of a process
// (0: of none) until the returned function is called, which says what was seen.
func Watch(ctx context.Context, d *db.DB, pid int) func() (*Waits, error) {
	ctx, cancel := context.WithCancel(db.System(ctx))
	w := &Waits{statements: map[string]int{}}
	var (
		n       float64
		problem error
		wg      sync.WaitGroup
	)
	wg.Go(func() {
		tick := time.NewTicker(look)
		defer tick.Stop()
		for problem == nil {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			n++
			if pid > 0 {
				w.Threads += float64(OnDisk(pid))
			}
			if d == nil {
				continue
			}
			if err := w.look(ctx, d); err != nil && ctx.Err() == nil {
				problem = err
			}
		}
	})
	return func() (*Waits, error) {
		cancel()
		wg.Wait()
		for _, f := range []*float64{&w.Running, &w.Locks, &w.Sync, &w.Inside, &w.Reading, &w.Statement} {
			*f /= float64(max(w.Looks, 1))
		}
		w.Threads /= max(n, 1)
		return w, problem
	}
}

// session is what one was seen doing.
type session struct {
	Role, State, Kind, Event, Text string
}

const sessions = `SELECT usename AS role, state, coalesce(wait_event_type, '') AS kind, coalesce(wait_event, '') AS event,
	left(regexp_replace(query, '\s+', ' ', 'g'), 100) AS text
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state IN ('active', 'idle in transaction', 'idle in transaction (aborted)')`

func (w *Waits) look(ctx context.Context, d *db.DB) error {
	var seen []session
	if err := d.Read(ctx, func(tx *db.Tx) error {
		seen = nil
		return tx.Select(ctx, &seen, sessions)
	}); err != nil {
		return err
	}
	w.Looks++
	for _, s := range seen {
		w.count(s)
	}
	return nil
}

func (w *Waits) count(s session) {
	if s.State != "active" {
		w.Statement++
		return
	}
	w.statements[s.Role+": "+strings.ReplaceAll(s.Text, "|", "¦")]++
	switch {
	case s.Kind == "":
		w.Running++
	case s.Kind == "Lock":
		w.Locks++
	case strings.HasPrefix(s.Event, "WAL"): // also the short lock of those whose log another session writes
		w.Sync++
	case s.Kind == "IO":
		w.Reading++
	default:
		w.Inside++
	}
}

// RoleCPU is the processor time so far of PostgreSQL's processes by the role that they serve,
// or by what they do for themselves; those of sessions that have ended are not in it.
func RoleCPU(ctx context.Context, d *db.DB) (map[string]time.Duration, error) {
	ctx = db.System(ctx)
	var processes []struct {
		PID  int    `db:"pid"`
		Name string `db:"name"`
	}
	if err := d.Read(ctx, func(tx *db.Tx) error {
		processes = nil
		return tx.Select(ctx, &processes, "SELECT pid, coalesce(usename, backend_type) AS name FROM pg_stat_activity")
	}); err != nil {
		return nil, err
	}
	used := map[string]time.Duration{}
	for _, p := range processes {
		if cpu, err := CPU(p.PID); err == nil { // else it has ended
			used[p.Name] += cpu
		}
	}
	return used, nil
}
