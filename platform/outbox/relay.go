package outbox

import (
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

// Relay carries committed events to the broker. One relay works at a time for a database,
// however many processes run one: they share a lease.
type Relay struct {
	DB     *db.DB
	Send   Send
	Source string // the lease's name: the service
	Holder string // this process; the same after a restart where there is only one
	Log    *slog.Logger
}

const (
	relayBatch = 500
	leaseTime  = 10 * time.Second
	pollEvery  = 500 * time.Millisecond // for what other processes committed
	maxBackoff = 5 * time.Second
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
		n, err := r.Once(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && failing == nil:
			r.Log.ErrorContext(ctx, "events wait: the broker does not take them", "service", r.Source, "error", err)
		case err == nil && failing != nil:
			r.Log.InfoContext(ctx, "events flow again", "service", r.Source)
		}
		failing = err
		switch {
		case err != nil:
			backoff = min(max(2*backoff, 50*time.Millisecond), maxBackoff)
			timer.Reset(backoff)
		case n == relayBatch:
			timer.Reset(0)
		default:
			backoff = 0
			timer.Reset(pollEvery)
		}
	}
}

// Once sends one batch and returns how many events were sent.
func (r *Relay) Once(ctx context.Context) (int, error) {
	ctx = db.System(ctx)
	records, err := r.take(ctx)
	if err != nil || len(records) == 0 {
		return 0, err
	}
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

// take holds the lease and reads the oldest unsent events. Without the lease it returns none.
func (r *Relay) take(ctx context.Context) (records []Record, err error) {
	const unsent = `SELECT seq, tenant_id, id, type, subject, payload, traceparent, at, sent_at
		FROM outbox WHERE sent_at IS NULL ORDER BY seq LIMIT ?`
	read := func(tx *db.Tx) error {
		records = nil
		return tx.Select(ctx, &records, unsent, relayBatch)
	}
	if !r.DB.Postgres() { // one process alone has the file
		err = r.DB.Read(ctx, read)
		return records, err
	}
	err = r.DB.Tx(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		n, err := tx.Exec(ctx, `INSERT INTO outbox_lease (name, holder, until) VALUES (?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
			WHERE outbox_lease.holder = excluded.holder OR outbox_lease.until < ?`,
			r.Source, r.Holder, db.NewTime(now.Add(leaseTime)), now)
		if err != nil || n == 0 {
			return err
		}
		return read(tx)
	})
	return records, err
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
		for start := 0; start < len(sent); start += markChunk {
			args := []any{tx.Now()}
			for i := range markChunk {
				args = append(args, sent[min(start+i, len(sent)-1)]) // the last one fills up
			}
			if _, err := tx.Exec(ctx, query, args...); err != nil {
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
