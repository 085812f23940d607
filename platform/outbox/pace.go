package outbox

import (
	"time"

	"basisdienste/platform/id"
)

// pace lets each tenant have so many events a second, and as many at once after a rest. Only
// tenants that were served lately are remembered.
type pace struct {
	budgets map[id.ID]budget
}

const defaultPerSecond = 1000

type budget struct {
	left float64
	at   time.Time
}

// allow returns how many of the wanted events each tenant may have now.
func (p *pace) allow(now time.Time, want map[id.ID]int, perSecond int) map[id.ID]int {
	if p.budgets == nil {
		p.budgets = map[id.ID]budget{}
	}
	full := float64(perSecond)
	if perSecond <= 0 {
		full = defaultPerSecond
	}
	allowed := make(map[id.ID]int, len(want))
	for tenant, n := range want {
		b, known := p.budgets[tenant]
		if !known {
			b = budget{left: full, at: now}
		}
		b.left, b.at = min(full, b.left+max(0, now.Sub(b.at).Seconds())*full), now
		allowed[tenant] = min(n, int(b.left))
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
