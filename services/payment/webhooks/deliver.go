package webhooks

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

// Bounds of a process.
const (
	perEndpoint = 4  // tries under way; 1 while the endpoint fails
	perTenant   = 16 // tries under way
	atOnce      = 64 // tries under way
	tenantsRead = 100
	// leaseTime is how long a try is ours. It is longer than a try and storing it can take.
	leaseTime = time.Minute
	// idle is the longest time without a look for what is due.
	idle = time.Second
	// wakeName is what a new delivery wakes: see db.DB.Woken.
	wakeName = "webhooks"
)

// sender counts the tries under way in this process.
type sender struct {
	mu        sync.Mutex
	endpoints map[id.ID]int
	tenants   map[id.ID]int
	all       int
	served    id.ID           // the tenant whose turn was last
	last      map[id.ID]id.ID // by tenant: its endpoint whose turn was last
	done      chan struct{}   // gets a value soon after a try ended
	after     id.ID           // the tenant that the last look ended with; of the loop alone
}

func newSender() *sender {
	return &sender{endpoints: map[id.ID]int{}, tenants: map[id.ID]int{}, last: map[id.ID]id.ID{}, done: make(chan struct{}, 1)}
}

func (b *sender) begin(e *Endpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endpoints[e.ID]++
	b.tenants[e.Tenant]++
	b.all++
}

func (b *sender) end(e *Endpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	less := func(m map[id.ID]int, key id.ID) {
		if m[key]--; m[key] == 0 {
			delete(m, key)
		}
	}
	less(b.endpoints, e.ID)
	less(b.tenants, e.Tenant)
	b.all--
	select {
	case b.done <- struct{}{}:
	default:
	}
}

func (b *sender) free() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return atOnce - b.all
}

// share gives each endpoint of the list, which is in the order of tenants and ids, how many
// tries may begin now. Tenants take turns, and so do the endpoints of each, beginning behind
// those that were served last.
func (b *sender) share(list []Endpoint) []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	given := make([]int, len(list))
	var groups [][2]int // from, until
	at := 0             // whose turn it is
	for i := range list {
		if i > 0 && list[i].Tenant == list[i-1].Tenant {
			groups[len(groups)-1][1]++
			continue
		}
		if list[i].Tenant <= b.served {
			at = len(groups) + 1
		}
		groups = append(groups, [2]int{i, i + 1})
	}
	busy := make([]int, len(groups))
	for g, span := range groups {
		busy[g] = b.tenants[list[span[0]].Tenant]
	}
	for free, passed := atOnce-b.all, 0; free > 0 && passed < len(groups); at++ {
		g := at % len(groups)
		i := b.next(list, given, groups[g])
		if busy[g] >= perTenant || i < 0 {
			passed++
			continue
		}
		given[i]++
		busy[g]++
		b.served, b.last[list[i].Tenant] = list[i].Tenant, list[i].ID
		free, passed = free-1, 0
	}
	return given
}

// next is which endpoint of a tenant may begin a try, or -1.
func (b *sender) next(list []Endpoint, given []int, span [2]int) int {
	of := list[span[0]:span[1]]
	behind := slices.IndexFunc(of, func(e Endpoint) bool { return e.ID > b.last[e.Tenant] })
	for k := range of {
		i := (max(behind, 0) + k) % len(of)
		under := given[span[0]+i] + b.endpoints[of[i].ID]
		if under == 0 || (under < perEndpoint && of[i].FailingSince == nil) {
			return span[0] + i
		}
	}
	return -1
}

// Deliver sends what is due until ctx ends: at once what became due in this process, and what
// others left or made by looking each second. What is under way when ctx ends is given up and
// is due again at once.
func (s *Service) Deliver(ctx context.Context) error {
	var tries sync.WaitGroup
	defer tries.Wait()
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		midway := s.sender.after != ""
		n, err := s.dispatch(ctx, &tries)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if (n > 0 || midway) && s.sender.free() > 0 && ctx.Err() == nil {
			continue
		}
		timer.Reset(idle)
		select {
		case <-ctx.Done():
			return nil
		case <-s.woken:
		case <-s.sender.done:
		case <-timer.C:
		}
	}
}

// dispatch goes through the tenants with something to send, from where it stopped the last
// time to the end or until nothing is free, begins tries and returns how many.
func (s *Service) dispatch(ctx context.Context, tries *sync.WaitGroup) (begun int, err error) {
	sys := db.System(ctx)
	for s.sender.free() > 0 {
		var tenants []id.ID
		var due []Endpoint
		err := s.db.Read(sys, func(tx *db.Tx) (err error) {
			due = nil
			if tenants, err = pendingTenants(sys, tx, s.sender.after, tenantsRead); err != nil || len(tenants) == 0 {
				return err
			}
			due, err = dueEndpoints(sys, tx, tenants)
			return err
		})
		if err != nil {
			return begun, fmt.Errorf("find what is due: %w", err)
		}
		n, err := s.begin(ctx, due, tries)
		begun += n
		if err != nil {
			return begun, err
		}
		if s.sender.after = ""; len(tenants) < tenantsRead {
			return begun, nil
		}
		s.sender.after = tenants[len(tenants)-1]
	}
	return begun, nil
}

// begin claims for each endpoint its share and begins the tries.
func (s *Service) begin(ctx context.Context, due []Endpoint, tries *sync.WaitGroup) (begun int, err error) {
	shares := s.sender.share(due)
	claimed := make([][]Delivery, len(due))
	if !slices.ContainsFunc(shares, func(n int) bool { return n > 0 }) {
		return 0, nil
	}
	sys := db.System(ctx)
	err = s.db.Tx(sys, func(tx *db.Tx) (err error) {
		until := db.NewTime(tx.Now().Add(leaseTime))
		for i := range due {
			if claimed[i] = nil; shares[i] > 0 {
				if claimed[i], err = claim(sys, tx, &due[i], until, shares[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("claim deliveries: %w", err)
	}
	for i := range due {
		for j := range claimed[i] {
			begun++
			s.sender.begin(&due[i])
			tries.Go(func() {
				defer s.sender.end(&due[i])
				if err := s.try(ctx, &due[i], &claimed[i][j]); err != nil {
					s.log.ErrorContext(ctx, "webhook: a delivery waits for its lease to end", "webhook", due[i].ID, "delivery", claimed[i][j].ID, "error", err)
				}
			})
		}
	}
	return begun, nil
}

// try makes one try and stores how it ended. On an error the delivery is due again when its
// lease ends.
func (s *Service) try(ctx context.Context, e *Endpoint, d *Delivery) error {
	entry, err := s.dir.ByID(ctx, e.Tenant)
	if fault.Is(err, "unknown_tenant") { // it was erased
		return s.settle(ctx, e, d, answer{Try: Try{At: db.NewTime(s.clock()), Error: "tenant_gone"}})
	}
	if ctx.Err() != nil { // nothing was sent yet
		return s.giveBack(ctx, e, d)
	}
	if err != nil {
		return err
	}
	body, err := message(d, s.base, entry.Slug)
	if err != nil {
		return err
	}
	now, header := s.clock(), http.Header{}
	var secrets []string
	for _, sealed := range e.signing(now) {
		secret, err := s.vault.open(e.Tenant, e.ID, sealed)
		if err != nil {
			return err
		}
		secrets = append(secrets, secret)
	}
	if err := sign(header, secrets, d.ID, now, body); err != nil {
		return err
	}
	a, err := s.post(ctx, e.URL, header, body)
	if err != nil {
		return s.giveBack(ctx, e, d)
	}
	return s.settle(ctx, e, d, a)
}

// settle stores how a try ended, also when the process stops: what was sent was sent.
func (s *Service) settle(ctx context.Context, e *Endpoint, d *Delivery, a answer) error {
	ctx = db.For(context.WithoutCancel(ctx), tenant.Tenant{ID: e.Tenant})
	chance := s.chance()
	var disabled string
	err := s.db.Tx(ctx, func(tx *db.Tx) error {
		disabled = ""
		after, now := *d, tx.Now()
		after.tried(now, a, chance)
		ours, err := finish(ctx, tx, &after)
		if err != nil || !ours {
			return err
		}
		if a.ok() {
			return worked(ctx, tx, e.ID)
		}
		was, err := lockEndpoint(ctx, tx, e.ID)
		if fault.Is(err, "unknown_webhook") { // deleted meanwhile
			return nil
		}
		if err != nil || !was.Enabled {
			return err
		}
		if !was.failed(now, a) {
			return nil
		}
		disabled = was.DisabledReason
		return saveEndpoint(ctx, tx, &was)
	})
	if err == nil && disabled != "" {
		s.log.WarnContext(ctx, "webhook disabled", "webhook", e.ID, "reason", disabled)
	}
	return err
}

// giveBack ends the lease of a try that nobody can say the outcome of.
func (s *Service) giveBack(ctx context.Context, e *Endpoint, d *Delivery) error {
	ctx = db.For(context.WithoutCancel(ctx), tenant.Tenant{ID: e.Tenant})
	return s.db.Tx(ctx, func(tx *db.Tx) error {
		again, now := *d, tx.Now()
		again.DueAt = &now
		_, err := finish(ctx, tx, &again)
		return err
	})
}

// Purge deletes the deliveries whose time is over.
func (s *Service) Purge(ctx context.Context) error {
	return s.chunks(ctx, func(ctx context.Context, tx *db.Tx) (int64, error) {
		return purge(ctx, tx, db.NewTime(tx.Now().Add(-keep)), chunk)
	})
}

// chunk bounds what one transaction deletes or revives.
const chunk = 1000

// chunks runs fn under db.System until it changed fewer rows than a chunk.
func (s *Service) chunks(ctx context.Context, fn func(context.Context, *db.Tx) (int64, error)) error {
	ctx = db.System(ctx)
	for {
		var n int64
		err := s.db.Tx(ctx, func(tx *db.Tx) (err error) {
			n, err = fn(ctx, tx)
			return err
		})
		if err != nil || n < chunk {
			return err
		}
	}
}
