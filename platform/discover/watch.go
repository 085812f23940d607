package discover

import (
	"log/slog"
	"sync"
	"time"
)

// link knows whether Consul answers, and logs when that changes.
type link struct {
	log   *slog.Logger
	clock func() time.Time

	mu    sync.Mutex
	since time.Time           // when the first went away
	away  map[string]struct{} // who is without an answer
}

func newLink(log *slog.Logger, clock func() time.Time) *link {
	return &link{log: log, clock: clock, away: map[string]struct{}{}}
}

func (c *Consul) watch(p *pool, known func()) {
	known()
	<-c.ctx.Done()
}
