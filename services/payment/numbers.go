package payment

import (
	"context"
	"sync"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

// numbers gives out the numbers of Kassenzeichen, each once, whichever process asks. Who takes
// one locks the counter until the commit, so a counter that is asked for often sets several
// aside at once, for this process. What is set aside when the process ends stays a gap; a
// municipality that is asked for less than one a second has none.
// It is safe for concurrent use and remembers one short list for each counter.
type numbers struct {
	mu  sync.Mutex
	set map[counter]aside
}

type counter struct {
	tenant id.ID
	name   string
}

// aside is what a counter set aside for this process the last time.
type aside struct {
	free []int64
	size int64
	at   time.Time
}

const (
	mostAside = 64          // numbers set aside at once
	busy      = time.Second // a counter asked again so soon sets twice as many aside
)

// next returns a number of the tenant's counter, which begins at first.
func (n *numbers) next(ctx context.Context, tx *db.Tx, name string, first int64) (int64, error) {
	key, now := counter{tx.Tenant(), name}, tx.Now().Time
	number, size := n.take(key, first, now)
	if size == 0 {
		return number, nil
	}
	last, err := setAside(ctx, tx, name, first, size)
	if err != nil {
		return 0, err
	}
	tx.OnCommit(func() { n.put(key, last, size, now) })
	return last - size + 1, nil
}

// take returns a free number, or how many to set aside.
func (n *numbers) take(key counter, first int64, now time.Time) (number, size int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, known := n.set[key]
	for len(a.free) > 0 {
		number, a.free = a.free[0], a.free[1:]
		n.set[key] = a
		if number >= first { // else the treasury began a new range
			return number, 0
		}
	}
	if known && now.Sub(a.at) < busy {
		return 0, min(2*a.size, mostAside)
	}
	return 0, 1
}

// put keeps all but the first of what was set aside.
func (n *numbers) put(key counter, last, size int64, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.set == nil {
		n.set = map[counter]aside{}
	}
	a := n.set[key]
	a.size, a.at = size, now
	for number := last - size + 2; number <= last; number++ {
		a.free = append(a.free, number)
	}
	n.set[key] = a
}
