package bus

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/outbox"
)

// Gathering handles events of many aggregates and tenants together: those that come within a
// moment share one transaction, in which each has its mark in the inbox. It is for effects
// that add up, in whatever order, and for which a moment's delay does not matter.
// It is safe for concurrent use.
type Gathering[T any] struct {
	r    *Router
	wait time.Duration
	fn   func(ctx context.Context, tx *db.Tx, batch []T) error
	want func(ctx context.Context, tx *db.Tx, batch []T) ([]bool, error) // nil: all

	mu   sync.Mutex
	open *batch[T] // that takes more
}

// maxBatch bounds the events of one transaction.
const maxBatch = 256

// Gather returns a Gathering whose fn gets, at most wait after the first, the events that came
// meanwhile and that were not handled before; its transaction is one of all tenants
// (db.System). If fn fails, each of them is handled alone, so that one cannot hold up others.
func Gather[T any](r *Router, wait time.Duration, fn func(ctx context.Context, tx *db.Tx, batch []T) error) *Gathering[T] {
	return &Gathering[T]{r: r, wait: wait, fn: fn}
}

// Only lets g ask first, in a transaction that only reads, which items of a batch are wanted.
// Of the others nothing is stored, not even a mark, so that a batch of which nothing is wanted
// costs that one question; want is asked again if such an event comes again. It is for what
// few tenants want, and must be called before the first event comes.
func (g *Gathering[T]) Only(want func(ctx context.Context, tx *db.Tx, batch []T) ([]bool, error)) *Gathering[T] {
	g.want = want
	return g
}

// Into hands the events of one type to g, as what item makes of them. The consumer's name is
// for good, as with Handle, and may have been one of Handle's.
func Into[E outbox.Event, T any](g *Gathering[T], name string, item func(m Meta, e E) T) {
	add(g.r, name, func(ctx context.Context, m Meta, e E) error {
		again, err := g.handle(ctx, outbox.Mark{Tenant: m.Tenant, Consumer: name, ID: m.ID}, item(m, e))
		if err == nil && again {
			g.r.metrics.duplicates.WithLabelValues(name).Inc()
		}
		return err
	})
}

// batch is what one transaction handles. Whoever opened it runs it; the others wait.
type batch[T any] struct {
	marks []outbox.Mark
	items []T
	full  chan struct{}
	done  chan struct{}
	// What came of each, once done.
	again []bool
	errs  []error
}

// handle returns when the item's effect is stored, and whether that was so before.
func (g *Gathering[T]) handle(ctx context.Context, mark outbox.Mark, item T) (again bool, err error) {
	b, place := g.join(mark, item)
	if place == 0 {
		g.gather(ctx, b)
		g.run(context.WithoutCancel(ctx), b)
		close(b.done)
	}
	select {
	case <-b.done:
		return b.again[place], b.errs[place]
	case <-ctx.Done():
		return false, ctx.Err() // it comes again, and finds its mark if it had its effect
	}
}

// join puts the item into the open batch, or opens one.
func (g *Gathering[T]) join(mark outbox.Mark, item T) (*batch[T], int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = &batch[T]{full: make(chan struct{}), done: make(chan struct{})}
	}
	b := g.open
	b.marks, b.items = append(b.marks, mark), append(b.items, item)
	if len(b.items) == maxBatch {
		g.open = nil
		close(b.full)
	}
	return b, len(b.items) - 1
}

// gather waits for others, and closes the batch.
func (g *Gathering[T]) gather(ctx context.Context, b *batch[T]) {
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.full:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == b {
		g.open = nil
	}
}

func (g *Gathering[T]) run(ctx context.Context, b *batch[T]) {
	ctx, cancel := context.WithTimeout(db.System(ctx), g.r.cfg.Timeout)
	defer cancel()
	b.errs = make([]error, len(b.items))
	var err error
	if b.again, err = g.tx(ctx, b.marks, b.items); err == nil {
		return
	}
	b.again = make([]bool, len(b.items))
	if len(b.items) == 1 {
		b.errs[0] = err
		return
	}
	for i := range b.items {
		var again []bool
		if again, b.errs[i] = g.tx(ctx, b.marks[i:i+1], b.items[i:i+1]); b.errs[i] == nil {
			b.again[i] = again[0]
		}
	}
}

// tx handles the items in one transaction and returns which of them had been handled before.
func (g *Gathering[T]) tx(ctx context.Context, marks []outbox.Mark, items []T) (again []bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	again = make([]bool, len(items))
	wanted, err := g.wanted(ctx, items)
	if err != nil || len(wanted) == 0 {
		return again, err
	}
	err = g.r.cfg.DB.Tx(ctx, func(tx *db.Tx) error {
		asked := make([]outbox.Mark, len(wanted))
		for k, i := range wanted {
			asked[k] = marks[i]
		}
		first, err := outbox.FirstOf(ctx, tx, asked)
		if err != nil {
			return err
		}
		var fresh []T
		for _, i := range wanted {
			m := marks[i]
			if again[i] = !first[m]; again[i] {
				continue
			}
			delete(first, m) // the same event may be in the batch twice
			fresh = append(fresh, items[i])
		}
		if len(fresh) == 0 {
			return nil
		}
		return g.fn(ctx, tx, fresh)
	})
	return again, err
}

// wanted lists the places of the items that are.
func (g *Gathering[T]) wanted(ctx context.Context, items []T) (places []int, err error) {
	var is []bool
	if g.want != nil {
		err = g.r.cfg.DB.Read(ctx, func(tx *db.Tx) (err error) {
			is, err = g.want(ctx, tx, items)
			return err
		})
	}
	for i := range items {
		if is == nil || is[i] {
			places = append(places, i)
		}
	}
	return places, err
}
