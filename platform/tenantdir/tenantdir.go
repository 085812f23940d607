// Package tenantdir is a service's own copy of who is there: the tenants, under which slugs,
// regional keys and hosts they are found, with which settings, and which of the operator's
// clients may act for them. It is fed by tenants.tenant.changed.v1 and
// auth.client.changed.v1, and answers while the services that own the facts are away.
package tenantdir

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"regexp"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the tables of the directory.
func Migrations() db.Set { return db.Set{Name: "tenantdir", FS: migrations} }

// Status of a tenant.
type Status string

// The lifecycle: trial → active ⇄ suspended → closing → erased.
const (
	Trial     Status = "trial"
	Active    Status = "active"
	Suspended Status = "suspended"
	Closing   Status = "closing"
	Erased    Status = "erased"
)

// Entry is what a service knows of a tenant.
type Entry struct {
	tenant.Tenant
	Status   Status                     `json:"status"`
	Keys     []string                   `json:"keys"`     // ARS (12 digits) and AGS (8 digits)
	Hosts    []string                   `json:"hosts"`    // own host names
	Settings map[string]json.RawMessage `json:"settings"` // by service, defaults of the catalogue merged in
	Limits   map[string]json.RawMessage `json:"limits"`   // by operation
	Version  int64                      `json:"version"`
}

// Open returns nil while the tenant takes new business.
// Errors: tenant_suspended, tenant_closing.
func (e Entry) Open() error {
	switch e.Status {
	case Trial, Active:
		return nil
	case Suspended:
		return fault.Forbidden("tenant_suspended", "this municipality takes no new business at the moment; what is under way goes on")
	case Closing, Erased:
	}
	return fault.Gone("tenant_closing", "this municipality has left; it takes no new business")
}

// Settings returns the settings of a service for the tenant, over its defaults.
func Settings[T any](e Entry, service string, defaults T) (T, error) {
	raw, ok := e.Settings[service]
	if !ok || len(raw) == 0 {
		return defaults, nil
	}
	err := json.Unmarshal(raw, &defaults)
	return defaults, err
}

// Dir finds tenants. It is safe for concurrent use. What it found may be up to Stale old,
// or older while the service's database is away.
type Dir struct {
	db     *db.DB
	clock  func() time.Time
	found  *lru.Cache[string, fresh[Entry]]
	hosts  *lru.Cache[string, fresh[Entry]] // the zero Entry for a host of nobody
	grants *lru.Cache[string, fresh[grants]]
	change atomic.Int64 // counts the changes that this process heard
}

// remember caches what was read while change was at seen. A read that began before a change
// must not outlive it: either it is not added, or the change, which counts first and empties
// then, removes it.
func remember[T any](d *Dir, c *lru.Cache[string, fresh[T]], key string, value T, seen int64) {
	c.Add(key, fresh[T]{value, d.clock().Add(Stale)})
	if d.change.Load() != seen {
		c.Remove(key)
	}
}

// forget empties the caches after a change was committed.
func (d *Dir) forget() {
	d.change.Add(1)
	d.found.Purge()
	d.hosts.Purge()
	d.grants.Purge()
}

// fresh is a value that may be used until a time.
type fresh[T any] struct {
	value T
	until time.Time
}

// Stale bounds how long another process's change goes unnoticed; a change that this process
// hears is seen at once.
const Stale = 2 * time.Second

const (
	cacheSize = 4096
	maxHost   = 253 // characters (RFC 1035)
)

type grants struct {
	Enabled bool           `json:"enabled"`
	All     bool           `json:"all_tenants"`
	Tenants map[id.ID]bool `json:"tenants"`
}

// New returns the directory that lives in d.
func New(d *db.DB, clock func() time.Time) *Dir {
	return &Dir{db: d, clock: clock, found: newCache[Entry](), hosts: newCache[Entry](), grants: newCache[grants]()}
}

func newCache[T any]() *lru.Cache[string, fresh[T]] {
	c, err := lru.New[string, fresh[T]](cacheSize)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	return c
}

var (
	slugShape = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	keyShape  = regexp.MustCompile(`^[0-9]{8}([0-9]{4})?$`)
)

// Operator is the entry of the operator itself.
func Operator() Entry {
	return Entry{Tenant: tenant.Tenant{ID: tenant.Operator, Slug: tenant.OperatorSlug, Name: "Betreiber"}, Status: Active}
}

// BySlug finds a tenant by its slug. Error: unknown_tenant.
func (d *Dir) BySlug(ctx context.Context, slug string) (Entry, error) {
	if slug == tenant.OperatorSlug {
		return Operator(), nil
	}
	if !slugShape.MatchString(slug) {
		return Entry{}, unknown(slug)
	}
	return d.find(ctx, "slug:"+slug, slug, `SELECT entry FROM tenant_directory WHERE slug = ? AND NOT erased ORDER BY tenant_id LIMIT 1`)
}

// ByID finds a tenant by its id. Error: unknown_tenant.
func (d *Dir) ByID(ctx context.Context, tenantID id.ID) (Entry, error) {
	if tenantID == tenant.Operator {
		return Operator(), nil
	}
	return d.find(ctx, "id:"+tenantID.String(), tenantID.String(), `SELECT entry FROM tenant_directory WHERE tenant_id = ? AND NOT erased`)
}

// ByKey finds a tenant by the ARS (12 digits) or AGS (8 digits) of one of its
// municipalities. Error: unknown_tenant.
func (d *Dir) ByKey(ctx context.Context, key string) (Entry, error) {
	if !keyShape.MatchString(key) {
		return Entry{}, unknown(key)
	}
	return d.find(ctx, "key:"+key, key, `SELECT d.entry FROM tenant_directory_keys k
		JOIN tenant_directory d ON d.tenant_id = k.tenant_id WHERE k.key = ? AND NOT d.erased ORDER BY k.tenant_id LIMIT 1`)
}

// ByHost finds a tenant by one of its own host names: in lower case, without port. That a host
// is nobody's is remembered as well, for as long as Stale. Error: unknown_tenant.
func (d *Dir) ByHost(ctx context.Context, host string) (Entry, error) {
	if len(host) > maxHost {
		return Entry{}, unknown(host)
	}
	if known, ok := d.hosts.Get(host); ok && d.clock().Before(known.until) {
		if known.value.ID == "" {
			return Entry{}, unknown(host)
		}
		return known.value, nil
	}
	seen := d.change.Load()
	e, err := d.read(ctx, host, `SELECT d.entry FROM tenant_directory_hosts h
		JOIN tenant_directory d ON d.tenant_id = h.tenant_id WHERE h.host = ? AND NOT d.erased ORDER BY h.tenant_id LIMIT 1`)
	if err != nil && !fault.Is(err, "unknown_tenant") {
		return Entry{}, err
	}
	remember(d, d.hosts, host, e, seen)
	return e, err
}

func unknown(name string) error {
	if len(name) > 64 {
		name = name[:64]
	}
	return fault.NotFound("unknown_tenant", "no municipality is known here as %q", name)
}

func (d *Dir) find(ctx context.Context, cacheKey, name, query string) (Entry, error) {
	if e, ok := d.found.Get(cacheKey); ok && d.clock().Before(e.until) {
		return e.value, nil
	}
	seen := d.change.Load()
	e, err := d.read(ctx, name, query)
	if err == nil {
		remember(d, d.found, cacheKey, e, seen)
	}
	return e, err
}

// read returns the entry that the query finds by the name. Error: unknown_tenant.
func (d *Dir) read(ctx context.Context, name, query string) (Entry, error) {
	var row db.JSON[Entry]
	sys := db.System(ctx)
	err := d.db.Read(sys, func(tx *db.Tx) error { return tx.Get(sys, &row, query, name) })
	if errors.Is(err, db.ErrNoRows) {
		return Entry{}, unknown(name)
	}
	return row.V, err
}

// Each calls f for every tenant that is not erased, in the order of their slugs, until f
// returns false. For jobs.
func (d *Dir) Each(ctx context.Context, f func(Entry) bool) error {
	sys := db.System(ctx)
	var after Entry
	for {
		var rows []db.JSON[Entry]
		err := d.db.Read(sys, func(tx *db.Tx) error {
			return tx.Select(sys, &rows, `SELECT entry FROM tenant_directory
				WHERE NOT erased AND (slug, tenant_id) > (?, ?) ORDER BY slug, tenant_id LIMIT 500`, after.Slug, after.ID)
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			if !f(r.V) {
				return nil
			}
		}
		after = rows[len(rows)-1].V
	}
}

// Apply takes over a tenant's snapshot; an older one than is known changes nothing. Its
// transaction acts for that tenant.
func (d *Dir) Apply(ctx context.Context, tx *db.Tx, e Entry) error {
	n, err := tx.Exec(ctx, `INSERT INTO tenant_directory (tenant_id, slug, entry, version, erased) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (tenant_id) DO UPDATE SET slug = excluded.slug, entry = excluded.entry, version = excluded.version, erased = excluded.erased
		WHERE tenant_directory.version < excluded.version`, e.ID, e.Slug, db.JSON[Entry]{V: e}, e.Version, e.Status == Erased)
	if err != nil || n == 0 {
		return err
	}
	for _, list := range []struct {
		empty, fill string
		values      []string
	}{
		{`DELETE FROM tenant_directory_keys WHERE tenant_id = ?`, `INSERT INTO tenant_directory_keys (tenant_id, key) VALUES (?, ?)`, e.Keys},
		{`DELETE FROM tenant_directory_hosts WHERE tenant_id = ?`, `INSERT INTO tenant_directory_hosts (tenant_id, host) VALUES (?, ?)`, e.Hosts},
	} {
		if _, err := tx.Exec(ctx, list.empty, e.ID); err != nil {
			return err
		}
		for _, v := range list.values {
			if _, err := tx.Exec(ctx, list.fill, e.ID, v); err != nil {
				return err
			}
		}
	}
	tx.OnCommit(d.forget)
	return nil
}

// ApplyGrants takes over which tenants a client may act for.
func (d *Dir) ApplyGrants(ctx context.Context, tx *db.Tx, clientID string, enabled, all bool, tenants []string, version int64) error {
	g := grants{Enabled: enabled, All: all, Tenants: make(map[id.ID]bool, len(tenants))}
	for _, t := range tenants {
		g.Tenants[id.ID(t)] = true
	}
	_, err := tx.Exec(ctx, `INSERT INTO tenant_grants (client_id, grants, version) VALUES (?, ?, ?)
		ON CONFLICT (client_id) DO UPDATE SET grants = excluded.grants, version = excluded.version
		WHERE tenant_grants.version < excluded.version`, clientID, db.JSON[grants]{V: g}, version)
	tx.OnCommit(d.forget)
	return err
}

// Granted reports whether the operator's client may act for the tenant.
func (d *Dir) Granted(ctx context.Context, clientID string, tenantID id.ID) (bool, error) {
	known, ok := d.grants.Get(clientID)
	g := known.value
	if !ok || !d.clock().Before(known.until) {
		seen := d.change.Load()
		var row db.JSON[grants]
		sys := db.System(ctx)
		err := d.db.Read(sys, func(tx *db.Tx) error {
			return tx.Get(sys, &row, `SELECT grants FROM tenant_grants WHERE client_id = ?`, clientID)
		})
		if err != nil && !errors.Is(err, db.ErrNoRows) {
			return false, err
		}
		g = row.V
		remember(d, d.grants, clientID, g, seen)
	}
	return g.Enabled && (g.All || g.Tenants[tenantID]), nil
}

// Await returns the tenant as soon as it is known here, for demo content that is made right
// after the tenant. Error: unknown_tenant, once ctx ended.
func (d *Dir) Await(ctx context.Context, slug string) (Entry, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		e, err := d.BySlug(ctx, slug)
		if err == nil || !fault.Is(err, "unknown_tenant") {
			return e, err
		}
		select {
		case <-ctx.Done():
			return e, err
		case <-tick.C:
		}
	}
}
