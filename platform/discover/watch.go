package discover

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/consul/api"
)

const (
	// waitAtConsul is how long a query may wait for news; Consul adds a sixteenth.
	waitAtConsul = 15 * time.Second
	// answerTime is what an answer may take beside it. A link that went dead is noticed by it.
	answerTime = 5 * time.Second
	// pause between two queries, so that a service in flux costs twenty queries a second at most.
	pause = 50 * time.Millisecond
	// maxBackOff is how long a failing query waits before the next at most.
	maxBackOff = 2500 * time.Millisecond
)

// watch keeps p as Consul says, until Close. go-kit's sd/consul has an instancer for this, which
// is not used: its Stop leaves the query that waits at Consul running, with three goroutines,
// for up to five minutes; after an error it sleeps for up to a minute, deaf to Stop; and it
// tells no more of an instance than its address. Here the context ends both.
func (c *Consul) watch(p *pool, known func()) {
	defer known()
	var (
		index uint64
		lost  bool // Consul is away, or was until this answer
		kept  doubtful
	)
	again := newBackOff()
	for {
		wait := waitAtConsul
		if left := kept.until.Sub(c.cfg.Clock()); left > 0 {
			wait = min(wait, left+pause) // ask again when doubt ends
		} else if kept.list != nil && !lost {
			kept, index = doubtful{}, 0 // with an index we would wait for news, and keep them till then
		}
		found, next, err := c.ask(p.service, index, wait)
		switch {
		case c.ctx.Err() != nil:
			return
		case err != nil:
			if !lost {
				lost, kept = true, doubtful{list: p.addresses()}
			}
			index = 0
			c.link.lost(p.service, err)
			known()
			if !sleep(c.ctx, again.NextBackOff()) {
				return
			}
			continue
		case next < index: // it counts anew, so it has lost its state
			lost, kept = true, doubtful{list: p.addresses()}
		}
		if lost {
			// Others come back by their own back-off, and are checked.
			lost, kept.until = false, c.cfg.Clock().Add(3*c.cfg.CheckInterval+maxBackOff)
		}
		c.link.found(p.service)
		again.Reset()
		index = next
		p.set(kept.beside(found))
		known()
		if !sleep(c.ctx, pause) {
			return
		}
	}
}

// doubtful are the instances that were known when Consul went away or lost its state.
type doubtful struct {
	list  []address
	until time.Time            // then they are forgotten
	seen  map[address]struct{} // in the last answer since
}

// beside returns the instances that pass their checks, and those in doubt: that Consul does
// not know, or not as well. Who was seen since and is gone has deregistered: no doubt any more.
func (d *doubtful) beside(found map[address]bool) []address {
	list := make([]address, 0, len(found)+len(d.list))
	for a, passing := range found {
		if passing {
			list = append(list, a)
		}
	}
	d.list = slices.DeleteFunc(d.list, func(a address) bool {
		_, before := d.seen[a]
		_, now := found[a]
		return before && !now
	})
	d.seen = make(map[address]struct{}, len(found))
	for a := range found {
		d.seen[a] = struct{}{}
	}
	for _, a := range d.list {
		if !found[a] {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, address.compare) // in one order, so that turns go on
	return list
}

// ask returns who is registered, and whether it passes its checks, as soon as that differs from
// the index's, or after wait.
func (c *Consul) ask(service string, index uint64, wait time.Duration) (map[address]bool, uint64, error) {
	ctx, cancel := context.WithTimeout(c.ctx, wait+wait/16+answerTime)
	defer cancel()
	entries, meta, err := c.client.Health().Service(service, "", false, (&api.QueryOptions{WaitIndex: index, WaitTime: wait}).WithContext(ctx))
	if err != nil {
		return nil, 0, err
	}
	if meta.LastIndex == 0 { // to ask with it would not wait
		return nil, 0, errors.New("consul answered without an index")
	}
	found := make(map[address]bool, len(entries))
	for _, e := range entries {
		scheme := e.Service.Meta[metaScheme]
		if scheme != "http" && scheme != "https" {
			scheme = c.scheme(false)
		}
		host := cmp.Or(e.Service.Address, e.Node.Address)
		a := address{scheme, net.JoinHostPort(host, strconv.Itoa(e.Service.Port))}
		found[a] = found[a] || e.Checks.AggregatedStatus() == api.HealthPassing // two agents may know it after a move
	}
	return found, meta.LastIndex, nil
}

// scheme of a service's instances.
func (c *Consul) scheme(secured bool) string {
	if secured || c.cfg.TLS {
		return "https"
	}
	return "http"
}

// sleep waits for d; it is false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// newBackOff waits longer from one failure to the next, and each time a little differently, so
// that not all processes come back at once.
func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.Multiplier, b.RandomizationFactor = 100*time.Millisecond, 2, 0.25
	b.MaxInterval = maxBackOff * 4 / 5
	return b
}

// link knows whether Consul answers, and logs when that changes.
type link struct {
	log   *slog.Logger
	clock func() time.Time

	mu    sync.Mutex
	since time.Time           // when the first went without an answer
	away  map[string]struct{} // who is without an answer
}

func newLink(log *slog.Logger, clock func() time.Time) *link {
	return &link{log: log, clock: clock, away: map[string]struct{}{}}
}

// lost says that who got no answer.
func (l *link) lost(who string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.away) == 0 {
		l.since = l.clock()
		l.log.Warn("consul is away: the instances known last are kept", "error", err)
	}
	l.away[who] = struct{}{}
}

// found says that who got an answer.
func (l *link) found(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.away) == 0 {
		return
	}
	if delete(l.away, who); len(l.away) == 0 {
		l.log.Info("consul is back", "away_for", l.clock().Sub(l.since))
	}
}
