package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

// Send publishes the records, in their order, and returns one result for each: nil once the
// broker has stored it. Sending a record twice stores it once (its ID is the message id).
type Send func(ctx context.Context, records []Record) []error

// Relay carries committed events to the broker. Where several processes share a database, each
// relays what it has committed itself, at once; what a process left behind that is gone is
// taken over by the others (see adopt).
//
// A tenant's backlog stops nobody else's events: a batch takes a few of each tenant, and no
// tenant's go faster than PerTenant, so that they do not fill the streams either.
type Relay struct {
	DB   *db.DB
	Send Send
	Log  *slog.Logger
	// PerTenant is how many events of one tenant go out in a second at most; 0 means 1000.
	PerTenant int
	// Waiting tells how many sent events the slowest of those who hear them has still to take.
	// Tenants with a backlog go slower while it does not keep up; nil lets them go on.
	Waiting func(context.Context) (int, error)
	Clock   func() time.Time // of the pace; nil means time.Now

	pace   pace
	beaten time.Time
	last   id.ID // the tenant that the last batch ended with, if there were too many
}

const (
	tenantShare  = 100 // events of one tenant in a batch
	batchTenants = 100 // tenants in a batch
	pollEvery    = 500 * time.Millisecond
	paceWait     = 50 * time.Millisecond
	maxBackoff   = 5 * time.Second
	// A process that has not been heard of for holderGone is gone; clocks may differ by half of it.
	holderGone = 20 * time.Second
	beatEvery  = 2 * time.Second
	adoptBatch = 500
)

// Run relays until ctx ends. It logs when sending begins to fail and when it works again.
func (r *Relay) Run(ctx context.Context) {
	woken := r.DB.Woken(WakeName)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var failing error
	backoff := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-woken:
		case <-timer.C:
		}
		n, more, err := r.once(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && failing == nil:
			r.Log.ErrorContext(ctx, "events wait: they cannot be sent", "error", err)
		case err == nil && failing != nil:
			r.Log.InfoContext(ctx, "events flow again")
		}
		failing = err
		switch {
		case err != nil:
			backoff = min(max(2*backoff, 50*time.Millisecond), maxBackoff)
			timer.Reset(backoff)
		case more && n == 0: // only of tenants that have to go slower
			timer.Reset(paceWait)
		case more:
			timer.Reset(0)
		default:
			backoff = 0
			timer.Reset(pollEvery)
		}
	}
}

// Once sends one batch and returns how many events were sent.
func (r *Relay) Once(ctx context.Context) (int, error) {
	n, more, err := r.once(ctx)
	if n == 0 && more && err == nil { // it has taken some over
		n, _, err = r.once(ctx)
	}
	return n, err
}

// once also reports whether more events wait.
func (r *Relay) once(ctx context.Context) (n int, more bool, err error) {
	ctx = db.System(ctx)
	if err := r.beat(ctx); err != nil {
		return 0, false, err
	}
	records, more, err := r.take(ctx)
	switch {
	case err != nil:
		return 0, false, err
	case len(records) > 0:
		n, err = r.send(ctx, records)
		return n, more, err
	case more || !r.DB.Postgres():
		return 0, more, nil
	}
	more, err = r.adopt(ctx)
	return 0, more, err
}

// send publishes the records and marks those that the broker has.
func (r *Relay) send(ctx context.Context, records []Record) (int, error) {
	sent := make([]int64, 0, len(records))
	var failed []error
	stuck := map[aggregate]bool{}
	for _, round := range rounds(records) {
		// A later event of the same aggregate must not overtake; others need not wait.
		round = slices.DeleteFunc(round, func(rec Record) bool { return stuck[aggregateOf(rec)] })
		if len(round) == 0 {
			continue
		}
		before := len(sent)
		for i, err := range r.Send(ctx, round) {
			if err != nil {
				failed = append(failed, err)
				stuck[aggregateOf(round[i])] = true
				continue
			}
			sent = append(sent, round[i].Seq)
			r.pace.spend(round[i].Tenant)
		}
		if len(sent) == before {
			break // it is the broker, not the event
		}
	}
	if err := r.mark(ctx, sent); err != nil {
		return 0, err
	}
	if len(failed) > 3 {
		failed = append(failed[:3:3], fmt.Errorf("and %d more", len(failed)-3))
	}
	return len(sent), errors.Join(failed...)
}

type aggregate struct {
	tenant  id.ID
	subject string
}

func aggregateOf(rec Record) aggregate { return aggregate{rec.Tenant, rec.Subject} }

// unsent reads the oldest events of each tenant in turn, beginning after the given one, and
// whether the earlier event of their aggregate that they name has not been sent yet. (With EXISTS
// the planner may read all that wait, or all there is, to look that one up.)
const (
	pendingTenants = `WITH RECURSIVE pending(tenant_id) AS (
		SELECT min(tenant_id) FROM outbox WHERE holder = ? AND sent_at IS NULL AND tenant_id > ?
		UNION ALL
		SELECT (SELECT min(o.tenant_id) FROM outbox o WHERE o.holder = ? AND o.sent_at IS NULL AND o.tenant_id > pending.tenant_id)
		FROM pending WHERE pending.tenant_id IS NOT NULL
	)
	SELECT o.seq, o.tenant_id, o.id, o.type, o.subject, o.prior, o.payload, o.traceparent, o.at, o.sent_at, `
	ofTenants      = `FROM (SELECT tenant_id FROM pending WHERE tenant_id IS NOT NULL LIMIT ?) t `
	oldest         = `FROM outbox i WHERE i.holder = ? AND i.tenant_id = t.tenant_id AND i.sent_at IS NULL ORDER BY i.seq LIMIT ?`
	unsentSQLite   = pendingTenants + `FALSE AS waits ` + ofTenants + `JOIN outbox o ON o.seq IN (SELECT i.seq ` + oldest + `)`
	unsentPostgres = pendingTenants + `o.prior <> '' AND COALESCE((SELECT p.sent_at IS NULL FROM outbox p WHERE p.tenant_id = o.tenant_id
			AND p.subject = o.subject AND p.type = o.type AND p.id = o.prior LIMIT 1), FALSE) AS waits ` + ofTenants + `
		CROSS JOIN LATERAL (SELECT i.seq, i.tenant_id, i.id, i.type, i.subject, i.prior, i.payload, i.traceparent, i.at, i.sent_at ` + oldest + `) o`
)

// take reads the next batch, in the order of committing, without the tenants that have to
// wait, and reports whether there may be more.
func (r *Relay) take(ctx context.Context) (records []Record, more bool, err error) {
	me, query := r.DB.Process(), unsentSQLite
	if r.DB.Postgres() {
		query = unsentPostgres
	}
	err = r.DB.Read(ctx, func(tx *db.Tx) error {
		records = nil
		return tx.Select(ctx, &records, query, me, r.last, me, batchTenants, me, tenantShare)
	})
	if err != nil {
		return nil, false, err
	}
	midway := r.last != "" // of the tenants
	count := map[id.ID]int{}
	for _, rec := range records {
		count[rec.Tenant]++
		r.last = max(r.last, rec.Tenant)
		more = more || count[rec.Tenant] == tenantShare
	}
	if len(count) == batchTenants {
		more = true
	} else {
		more, r.last = more || midway, ""
	}
	now := r.now()
	r.pace.adjust(ctx, now, r.PerTenant, r.Waiting)
	allowed := r.pace.allow(now, count)
	slices.SortFunc(records, func(a, b Record) int { return cmp.Compare(a.Seq, b.Seq) })
	taken := map[id.ID]bool{}
	records = slices.DeleteFunc(records, func(rec Record) bool {
		// Nothing overtakes an event of its aggregate that another process has to send.
		if allowed[rec.Tenant] <= 0 || rec.Waits && !taken[rec.Prior] {
			return true
		}
		allowed[rec.Tenant]--
		taken[rec.ID] = true
		return false
	})
	return records, more, nil
}

func (r *Relay) now() time.Time {
	if r.Clock == nil {
		return time.Now()
	}
	return r.Clock()
}

// adopt takes over what a process left behind that has not been heard of for a while, and
// reports whether there was anything. A process that was only stopped for long may send it too:
// the broker keeps one.
func (r *Relay) adopt(ctx context.Context) (bool, error) {
	ctx = db.System(ctx)
	var gone []string
	err := r.DB.Read(ctx, func(tx *db.Tx) error {
		gone = nil
		return tx.Select(ctx, &gone, `SELECT name FROM outbox_holders WHERE seen_at < ? ORDER BY name`, db.NewTime(tx.Now().Add(-holderGone)))
	})
	if err != nil || len(gone) == 0 {
		return false, err
	}
	adopted := int64(0)
	for _, holder := range gone {
		err := r.DB.Tx(ctx, func(tx *db.Tx) error {
			n, err := tx.Exec(ctx, `WITH left_behind AS MATERIALIZED (SELECT seq AS place FROM outbox
				WHERE holder = ? AND sent_at IS NULL ORDER BY tenant_id, seq LIMIT ? FOR UPDATE SKIP LOCKED)
				UPDATE outbox SET holder = ? FROM left_behind WHERE seq = place`, holder, adoptBatch, tx.Process())
			if err != nil {
				return err
			}
			if adopted += n; n > 0 {
				return nil
			}
			_, err = tx.Exec(ctx, `DELETE FROM outbox_holders WHERE name = ? AND seen_at < ?
				AND NOT EXISTS (SELECT 1 FROM outbox WHERE holder = ? AND sent_at IS NULL)`,
				holder, db.NewTime(tx.Now().Add(-holderGone)), holder)
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return adopted > 0, nil
}

// beat says that this process lives, so that the others leave it what it has committed.
func (r *Relay) beat(ctx context.Context) error {
	if now := r.now(); !r.DB.Postgres() || now.Sub(r.beaten) < beatEvery {
		return nil
	}
	ctx = db.System(ctx)
	err := r.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO outbox_holders (name, seen_at) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at`, tx.Process(), tx.Now())
		return err
	})
	if err == nil {
		r.beaten = r.now()
	}
	return err
}

// rounds splits the records so that each round holds one event of an aggregate at most, and
// an aggregate's events stand in later and later rounds.
func rounds(records []Record) [][]Record {
	var out [][]Record
	next := map[aggregate]int{}
	for _, rec := range records {
		key := aggregateOf(rec)
		n := next[key]
		next[key] = n + 1
		if n == len(out) {
			out = append(out, nil)
		}
		out[n] = append(out[n], rec)
	}
	return out
}

// markChunk is the fixed number of placeholders, so that the statement is prepared once.
const markChunk = 50

func (r *Relay) mark(ctx context.Context, sent []int64) error {
	if len(sent) == 0 {
		return nil
	}
	query, _, err := db.In(`UPDATE outbox SET sent_at = ? WHERE seq IN (?)`, 0, make([]int64, markChunk))
	if err != nil {
		return err
	}
	err = r.DB.Tx(ctx, func(tx *db.Tx) error {
		if err := tx.Forgettable(ctx); err != nil { // what is sent again, the broker and the inboxes know
			return err
		}
		for start := 0; start < len(sent); start += markChunk {
			args := []any{tx.Now()}
			for i := range markChunk {
				args = append(args, sent[min(start+i, len(sent)-1)]) // the last one fills up
			}
			if err := tx.Send(ctx, query, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("outbox: mark sent: %w", err)
	}
	return nil
}

// Resend makes the events that were sent within the last window be sent once more: after a
// start that may follow an unclean stop of the broker. Consumers know what they have seen.
func Resend(ctx context.Context, d *db.DB, window time.Duration) error {
	ctx = db.System(ctx)
	return d.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE outbox SET sent_at = NULL WHERE sent_at >= ?`, db.NewTime(tx.Now().Add(-window)))
		if err == nil {
			tx.Wake(WakeName)
		}
		return err
	})
}
