package outbox

import (
	"context"
	"time"

	"basisdienste/platform/id"
)

// pace lets each tenant have so many events a second, and a quarter of that at once after a
// rest. While a tenant wants more, and those who hear the events do not keep up, the pace goes
// down for such tenants, so that the events of the others find no queue before them.
type pace struct {
	budgets map[id.ID]budget // of tenants that were served lately
	rate    float64          // events of one tenant in a second, from slowest up to full
	wanted  bool             // a tenant wanted more than it was allowed
	checked time.Time
}

const (
	defaultPerSecond = 1000
	slowest          = 100 // events a second; also while a consumer is gone for good
	paceEvery        = 250 * time.Millisecond
	unansweredFor    = 10 * time.Second // nobody is asked again, because asking takes time
	crowded          = 256              // sent events that wait for one consumer
)

type budget struct {
	left float64
	at   time.Time
}

// allow returns how many of the wanted events each tenant may have now.
func (p *pace) allow(now time.Time, want map[id.ID]int) map[id.ID]int {
	most := p.rate / 4
	if p.budgets == nil {
		p.budgets = map[id.ID]budget{}
	}
	allowed := make(map[id.ID]int, len(want))
	for tenant, n := range want {
		b, known := p.budgets[tenant]
		if !known {
			b = budget{left: most, at: now}
		}
		b.left, b.at = min(most, b.left+max(0, now.Sub(b.at).Seconds())*p.rate), now
		allowed[tenant] = min(n, int(b.left))
		p.wanted = p.wanted || allowed[tenant] < n
		p.budgets[tenant] = b
	}
	for tenant, b := range p.budgets {
		if now.Sub(b.at) > time.Second { // full again
			delete(p.budgets, tenant)
		}
	}
	return allowed
}

// spend takes one event from the budget of a tenant that allow was asked for.
func (p *pace) spend(tenant id.ID) {
	b := p.budgets[tenant]
	b.left--
	p.budgets[tenant] = b
}

// adjust asks, while a tenant wants more, how many events wait for the slowest consumer, and
// slows down or speeds up. Without an answer the pace stays.
func (p *pace) adjust(ctx context.Context, now time.Time, perSecond int, waiting func(context.Context) (int, error)) {
	full := float64(perSecond)
	if perSecond <= 0 {
		full = defaultPerSecond
	}
	if p.rate == 0 {
		p.rate = full
	}
	if waiting == nil || !p.wanted || now.Sub(p.checked) < paceEvery {
		return
	}
	p.checked, p.wanted = now, false
	n, err := waiting(ctx)
	switch {
	case err != nil:
		p.checked = now.Add(unansweredFor)
	case n > crowded:
		p.rate = max(p.rate/2, min(slowest, full))
	case n < crowded/2:
		p.rate = min(p.rate*5/4, full)
	}
}
