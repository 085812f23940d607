package tenants

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

const (
	batchSize   = 200  // tenants of one transaction
	shownErrors = 1000 // rows of one answer
	importTime  = 10 * time.Minute
)

// Imported says what an import did. A tenant is counted once.
type Imported struct {
	Created   int `json:"created"`
	Updated   int `json:"updated"`
	Unchanged int `json:"unchanged"`
	// Refused rows; the first 1000 of them are in Errors.
	Refused int        `json:"refused"`
	Errors  []RowError `json:"errors"`
}

func (i *Imported) refuse(errs ...RowError) {
	i.Refused += len(errs)
	i.Errors = append(i.Errors, errs[:min(len(errs), max(0, shownErrors-len(i.Errors)))]...)
}

// Import makes tenants of municipalities: one for each administration (the first nine digits
// of the ARS), or, with each, one for each municipality. A row that cannot be used is
// reported and the rest goes in. Importing the same again changes and tells nothing.
//
// The file is read as it comes, and each 200 tenants are one transaction: after an error
// what came before is there, and importing the whole file again is safe.
//
// What it changes of tenants that are there: it adds keys, and a new name reaches a tenant
// whose name nobody changed by hand. It takes nothing away and leaves the status alone.
// Errors: import_header, body_too_large, body_unreadable, import_too_long.
func (s *Service) Import(ctx context.Context, q ImportRequest) (Imported, error) {
	// A long file takes longer than other requests may. Who hangs up ends it at the next read.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), importTime)
	defer cancel()
	done := Imported{Errors: []RowError{}}
	in, err := newReader(q.Body)
	if err != nil {
		return done, err
	}
	b := batch{service: s, status: q.Status, counted: map[id.ID]outcome{}}
	for {
		m, bad, err := in.row()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return done, err
		}
		if bad != nil {
			done.refuse(*bad)
			continue
		}
		if n := len(b.groups); n > 0 && b.groups[n-1].takes(m) {
			continue
		}
		if len(b.groups) == batchSize {
			if err := b.store(ctx, &done); err != nil {
				return done, err
			}
		}
		b.groups = append(b.groups, newGroup(m, q.Each))
	}
	if err := b.store(ctx, &done); err != nil {
		return done, err
	}
	for _, o := range b.counted {
		switch o {
		case created:
			done.Created++
		case updated:
			done.Updated++
		case unchanged:
			done.Unchanged++
		}
	}
	slices.SortStableFunc(done.Errors, func(a, b RowError) int { return a.Line - b.Line })
	return done, nil
}

type outcome int

const (
	unchanged outcome = iota
	updated
	created
)

// batch is the part of a file that is stored next.
type batch struct {
	service *Service
	status  Status
	groups  []group
	counted map[id.ID]outcome // of all batches
}

// store makes the batch's groups tenants, in one transaction, and empties it.
func (b *batch) store(ctx context.Context, done *Imported) error {
	if len(b.groups) == 0 {
		return nil
	}
	sys := db.System(ctx)
	var result map[id.ID]outcome
	var refused []RowError
	err := b.service.db.Tx(sys, func(tx *db.Tx) error {
		result, refused = map[id.ID]outcome{}, nil
		p, err := readPlan(sys, tx, b.groups)
		if err != nil {
			return err
		}
		for i := range b.groups {
			tenantID, o, bad, err := p.place(sys, tx, &b.groups[i], b.status)
			if err != nil {
				return err
			}
			refused = append(refused, bad...)
			if tenantID != "" {
				result[tenantID] = max(o, result[tenantID])
			}
		}
		return recordImport(sys, tx, result)
	})
	if err != nil {
		return err
	}
	for tenantID, o := range result {
		b.counted[tenantID] = max(o, b.counted[tenantID])
	}
	done.refuse(refused...)
	b.groups = b.groups[:0]
	return nil
}

// recordImport notes in the operator's audit log how many tenants a batch changed.
func recordImport(ctx context.Context, tx *db.Tx, result map[id.ID]outcome) error {
	counts := map[outcome]int{}
	for _, o := range result {
		counts[o]++
	}
	if counts[created]+counts[updated] == 0 {
		return nil
	}
	return tx.For(tenant.Operator, func() error {
		return audit.Record(ctx, tx, "tenants.imported", "tenants", map[string]int{"created": counts[created], "updated": counts[updated]})
	})
}

// plan is what the registry knows of a batch.
type plan struct {
	catalogue *Catalogue
	byKey     map[string]id.ID
	byArea    map[string][]id.ID
	tenants   map[id.ID]*Tenant
	slugs     map[string]bool
}

func readPlan(ctx context.Context, tx *db.Tx, groups []group) (*plan, error) {
	p := &plan{byKey: map[string]id.ID{}, slugs: map[string]bool{}}
	var err error
	if p.catalogue, err = enter(ctx, tx, alone); err != nil {
		return nil, err
	}
	var keys, areas, candidates []string
	for i := range groups {
		g := &groups[i]
		for _, k := range g.keys() {
			keys = append(keys, k.Key)
		}
		if !g.each {
			areas = append(areas, g.area)
		}
		candidates = append(candidates, slugs(g.name, g.place, g.area)...)
	}
	byKey, err := owners(ctx, tx, "tenant_keys", "key", keys)
	if err != nil {
		return nil, err
	}
	if p.byArea, err = owners(ctx, tx, "tenant_keys", "area", areas); err != nil {
		return nil, err
	}
	taken, err := owners(ctx, tx, "tenants", "slug", candidates)
	if err != nil {
		return nil, err
	}
	for slug := range taken {
		p.slugs[slug] = true
	}
	ids := map[id.ID]bool{}
	for key, who := range byKey {
		p.byKey[key] = who[0]
		ids[who[0]] = true
	}
	for _, who := range p.byArea {
		if len(who) == 1 {
			ids[who[0]] = true
		}
	}
	p.tenants, err = tenantsByID(ctx, tx, slices.Collect(maps.Keys(ids)))
	return p, err
}

// place makes the group a tenant, or part of one that is there, or refuses its rows.
func (p *plan) place(ctx context.Context, tx *db.Tx, g *group, status Status) (id.ID, outcome, []RowError, error) {
	t, refused := p.find(g)
	if len(g.rows) == 0 {
		return "", unchanged, refused, nil
	}
	if t == nil {
		t, bad, err := p.create(ctx, tx, g, status)
		return t, created, append(refused, bad...), err
	}
	before := t.clone()
	for _, k := range g.keys() {
		if t.addKey(k) {
			p.byKey[k.Key] = t.ID
		}
	}
	if t.ImportedName != "" && t.ImportedName != g.name {
		if t.Name == t.ImportedName {
			t.Name = g.name
		}
		t.ImportedName = g.name
	}
	if slices.Equal(before.Keys, t.Keys) && before.ImportedName == t.ImportedName {
		return t.ID, unchanged, refused, nil
	}
	return t.ID, updated, refused, tx.For(t.ID, func() error { return updateTenant(ctx, tx, before, t, p.catalogue) })
}

// find returns the tenant that the group belongs to, nil for a new one, and takes the rows
// out of the group that belong elsewhere.
func (p *plan) find(g *group) (*Tenant, []RowError) {
	var ids []id.ID
	for _, m := range g.rows {
		if o, ok := p.byKey[m.ars]; ok && !slices.Contains(ids, o) {
			ids = append(ids, o)
		}
	}
	if len(ids) == 0 && !g.each {
		ids = p.byArea[g.area]
	}
	if len(ids) > 1 {
		refused := g.refuse("several_tenants", "the administration %s has %d tenants; import with each=true, or give its keys to one of them", g.area, len(ids))
		g.rows = nil
		return nil, refused
	}
	var t *Tenant
	if len(ids) == 1 {
		t = p.tenants[ids[0]]
	}
	if t != nil && g.each && slices.ContainsFunc(t.Keys, func(k Key) bool { return k.IsARS() && !g.has(k.Key) }) {
		refused := g.refuse("shared_tenant", "%s belongs to %s, which administers other municipalities too; take the key away there first", g.rows[0].ars, t.Slug)
		g.rows = nil
		return nil, refused
	}
	var refused []RowError
	g.rows = slices.DeleteFunc(g.rows, func(m row) bool {
		o, ok := p.byKey[m.ags]
		if !ok || (t != nil && o == t.ID) {
			return false
		}
		refused = append(refused, *rowError(m.line, "key_taken", "ags %s belongs to %s; take the key away there first", m.ags, p.tenants[o].Slug))
		return true
	})
	return t, refused
}

func (p *plan) create(ctx context.Context, tx *db.Tx, g *group, status Status) (id.ID, []RowError, error) {
	t := &Tenant{ID: id.New(), Name: g.name, ImportedName: g.name, Kind: g.kind, Status: status, Keys: g.keys()}
	sortKeys(t.Keys)
	for _, slug := range slugs(g.name, g.place, g.area) {
		if !p.slugs[slug] && slug != tenant.OperatorSlug {
			t.Slug = slug
			break
		}
	}
	if t.Slug == "" { // an erased tenant keeps its slug
		return "", g.refuse("no_slug", "every slug for %s is taken; create the tenant with a slug of your choice, then import again", g.name), nil
	}
	if err := tx.For(t.ID, func() error { return insertTenant(ctx, tx, t, p.catalogue) }); err != nil {
		return "", nil, err
	}
	p.slugs[t.Slug], p.tenants[t.ID] = true, t
	for _, k := range t.Keys {
		p.byKey[k.Key] = t.ID
	}
	p.byArea[g.area] = append(p.byArea[g.area], t.ID)
	return t.ID, nil, nil
}
