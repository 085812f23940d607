package tenants

import (
	"cmp"
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/page"
	"basisdienste/platform/tenant"
)

// Service is the control plane: it alone decides who is a tenant, and with which settings.
// It is safe for concurrent use.
type Service struct {
	db      *db.DB
	cfg     Config
	cursors page.Signer
	clock   func() time.Time
	berlin  *time.Location
}

// Create makes a tenant. Called again with the same Idempotency-Key it returns the same one.
// Errors: invalid_tenant, tenant_conflict.
func (s *Service) Create(ctx context.Context, q CreateRequest) (Created, error) {
	t := &Tenant{ID: id.New(), Slug: q.Slug, Name: q.Name, Kind: q.Kind, Status: q.Status, Keys: q.keys, Hosts: q.hosts}
	sys := db.System(ctx)
	v, err := idem.Tx(sys, s.db, func(tx *db.Tx) (TenantView, error) {
		c, err := enter(sys, tx, share)
		if err != nil {
			return TenantView{}, err
		}
		err = tx.For(t.ID, func() error {
			if err := insertTenant(sys, tx, t, c); err != nil {
				return err
			}
			return audit.Record(sys, tx, "tenant.created", "tenant:"+t.ID.String(), map[string]any{"slug": t.Slug, "status": t.Status})
		})
		if err != nil {
			return TenantView{}, err
		}
		return view(t, c)
	})
	if db.IsUnique(err) {
		err = s.conflict(ctx, t)
	}
	return Created{v}, err
}

// conflict says what of t another tenant has. Error: tenant_conflict.
func (s *Service) conflict(ctx context.Context, t *Tenant) error {
	sys := db.System(ctx)
	var fields []fault.Field
	err := s.db.Read(sys, func(tx *db.Tx) error {
		fields = nil
		for _, look := range []struct {
			table, column, field string
			values               []string
		}{
			{"tenants", "slug", "/slug", []string{t.Slug}},
			{"tenant_keys", "key", "/keys", t.keyStrings()},
			{"tenant_hosts", "host", "/hosts", t.Hosts},
		} {
			found, err := owners(sys, tx, look.table, look.column, look.values)
			if err != nil {
				return err
			}
			for _, v := range look.values {
				if who := found[v]; len(who) > 0 && who[0] != t.ID {
					fields = append(fields, fault.Field{Name: look.field, Code: look.column + "_taken", Detail: v + " belongs to another tenant"})
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return fault.Conflict("tenant_conflict", "slug, keys and hosts belong to one tenant each; take them away from the other tenant first").With(fields...)
}

// List returns tenants in the order of their slugs.
func (s *Service) List(ctx context.Context, q ListRequest) (l page.List[ListItem], err error) {
	cursors := s.cursors.For("tenants", string(q.Status), q.Query)
	after := ""
	if err := cursors.Decode(q.Cursor, &after); err != nil {
		return l, err
	}
	sys := db.System(ctx)
	var items []ListItem
	err = s.db.Read(sys, func(tx *db.Tx) (err error) {
		items, err = list(sys, tx, after, q.Status, q.Query, q.Limit+1)
		return err
	})
	if err != nil {
		return l, err
	}
	return page.Cut(cursors, items, q.Limit, func(last ListItem) any { return last.Slug })
}

// Show returns one tenant with everything. Errors: unknown_tenant, wrong_tenant.
func (s *Service) Show(ctx context.Context, q TenantRequest) (v TenantView, err error) {
	ctx, err = s.as(ctx, q.Slug)
	if err != nil {
		return v, err
	}
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		t, err := tenantOf(ctx, tx, "")
		if err != nil {
			return err
		}
		c := Catalogue{Settings: map[string]json.RawMessage{}}
		if err := readCatalogue(ctx, tx, &c); err != nil {
			return err
		}
		v, err = view(t, &c)
		return err
	})
	return v, err
}

// Resolve finds the tenant that a slug, key or host stands for, for everybody.
// Error: unknown_tenant.
func (s *Service) Resolve(ctx context.Context, q ResolveRequest) (a Resolved, err error) {
	sys := db.System(ctx)
	err = s.db.Read(sys, func(tx *db.Tx) error {
		found, err := owners(sys, tx, q.table, q.column, []string{q.value})
		if err != nil {
			return err
		}
		if len(found[q.value]) == 0 {
			return unknownTenant(q.value)
		}
		return tx.For(found[q.value][0], func() error {
			t, err := tenantOf(sys, tx, "")
			if err != nil {
				return err
			}
			if t.Status == Erased {
				return unknownTenant(q.value)
			}
			a = Resolved{ID: t.ID, Slug: t.Slug, Name: t.Name, Kind: t.Kind, Status: t.Status, Keys: t.Keys}
			return nil
		})
	})
	return a, err
}

// Patch changes name, keys or hosts. Errors: unknown_tenant, invalid_tenant, tenant_conflict.
func (s *Service) Patch(ctx context.Context, q PatchRequest) (TenantView, error) {
	return s.change(ctx, q.Slug, "tenant.changed", q.audited(), func(t *Tenant) error {
		return q.apply(t)
	})
}

// Move leads a tenant through its life. Errors: unknown_tenant, wrong_status.
func (s *Service) Move(ctx context.Context, q MoveRequest) (TenantView, error) {
	return s.change(ctx, q.Slug, "tenant."+q.done, map[string]any{"reason": q.Reason}, func(t *Tenant) error {
		return q.move(t)
	})
}

// PutSettings replaces what the tenant has of its own for a service; PatchSettings amends it.
// A tenant's admin may change the members that the operator left to tenants.
// Errors: unknown_tenant, wrong_tenant, settings_no_object, settings_too_large,
// setting_not_yours.
func (s *Service) PutSettings(ctx context.Context, q SettingsRequest) (TenantView, error) {
	return s.settings(ctx, q, func(_ json.RawMessage) (json.RawMessage, error) { return json.RawMessage(q.Document), nil })
}

// PatchSettings merges the request into what the tenant has of its own; a null takes a
// member back to the catalogue's default. Errors: see PutSettings.
func (s *Service) PatchSettings(ctx context.Context, q SettingsRequest) (TenantView, error) {
	return s.settings(ctx, q, func(own json.RawMessage) (json.RawMessage, error) {
		return amend(own, q.Document)
	})
}

func (s *Service) settings(ctx context.Context, q SettingsRequest, next func(own json.RawMessage) (json.RawMessage, error)) (TenantView, error) {
	return s.change(ctx, q.Slug, "tenant.settings_changed", map[string]any{"service": q.Service}, func(t *Tenant) error {
		doc, err := next(t.Settings[q.Service])
		if err != nil {
			return err
		}
		if doc, err = checkDocument(doc); err != nil {
			return err
		}
		if !isOperator(ctx) {
			changed, err := changedMembers(t.Settings[q.Service], doc)
			if err != nil {
				return err
			}
			if err := s.cfg.settable(q.Service, changed); err != nil {
				return err
			}
		}
		switch {
		case doc == nil:
			delete(t.Settings, q.Service)
		case t.Settings == nil:
			t.Settings = map[string]json.RawMessage{q.Service: doc}
		default:
			t.Settings[q.Service] = doc
		}
		return nil
	})
}

// PutLimits replaces the tenant's own limits. Errors: unknown_tenant, invalid_limits.
func (s *Service) PutLimits(ctx context.Context, q LimitsRequest) (TenantView, error) {
	return s.change(ctx, q.Slug, "tenant.limits_changed", nil, func(t *Tenant) (err error) {
		t.Limits, err = checkLimits(json.RawMessage(q.Document), true)
		return err
	})
}

// PatchLimits merges the request into the tenant's own limits; a null takes an operation
// back to the catalogue's limit. Errors: unknown_tenant, invalid_limits.
func (s *Service) PatchLimits(ctx context.Context, q LimitsRequest) (TenantView, error) {
	return s.change(ctx, q.Slug, "tenant.limits_changed", nil, func(t *Tenant) error {
		merged, err := amend(t.Limits, q.Document)
		if err != nil {
			return err
		}
		t.Limits, err = checkLimits(merged, true)
		return err
	})
}

// amend merges the patch into what a tenant has of its own.
func amend(own json.RawMessage, patch Document) (json.RawMessage, error) {
	if len(own) == 0 {
		own = json.RawMessage("{}")
	}
	return merge(own, json.RawMessage(patch))
}

// change is one change of one tenant: lock, decide, store, tell and record in a transaction.
// A decision that changes nothing leaves no trace.
func (s *Service) change(ctx context.Context, slug, action string, detail any, decide func(*Tenant) error) (TenantView, error) {
	ctx, err := s.as(ctx, slug)
	if err != nil {
		return TenantView{}, err
	}
	var t *Tenant
	v, err := idem.Tx(ctx, s.db, func(tx *db.Tx) (TenantView, error) {
		c, err := enter(ctx, tx, share)
		if err != nil {
			return TenantView{}, err
		}
		if t, err = tenantOf(ctx, tx, tx.ForUpdate()); err != nil {
			return TenantView{}, err
		}
		before := t.clone()
		if err := decide(t); err != nil {
			return TenantView{}, err
		}
		if reflect.DeepEqual(before, t) {
			return view(t, c)
		}
		if err := updateTenant(ctx, tx, before, t, c); err != nil {
			return TenantView{}, err
		}
		if err := audit.Record(ctx, tx, action, "tenant:"+t.ID.String(), detail); err != nil {
			return TenantView{}, err
		}
		return view(t, c)
	})
	if db.IsUnique(err) {
		err = s.conflict(ctx, t)
	}
	return v, err
}

// as returns a context that acts for the tenant with the slug, if the caller may: the
// operator, or the tenant's own admin. Errors: unknown_tenant, wrong_tenant, role_missing.
func (s *Service) as(ctx context.Context, slug string) (context.Context, error) {
	sys := db.System(ctx)
	var tenantID id.ID
	err := s.db.Read(sys, func(tx *db.Tx) (err error) {
		tenantID, err = idBySlug(sys, tx, slug)
		return err
	})
	if p, _ := authn.From(ctx); !isOperator(ctx) {
		if err := p.NeedRole(authn.RoleTenantAdmin); err != nil {
			return ctx, err
		}
		if err != nil || p.TenantID != tenantID {
			return ctx, fault.Forbidden("wrong_tenant", "the access token is of another municipality")
		}
	}
	if err != nil {
		return ctx, err
	}
	return db.For(ctx, tenant.Tenant{ID: tenantID, Slug: slug}), nil
}

// isOperator reports whether the operator's staff, a client of it with the scope "operator",
// or one of our services calls.
func isOperator(ctx context.Context) bool {
	p, _ := authn.From(ctx)
	return p.IsOperator() || (p.TenantID == tenant.Operator && p.HasScope("operator"))
}

// Catalogue returns the operator's default settings of a service.
func (s *Service) Catalogue(ctx context.Context, q CatalogueRequest) (Document, error) {
	var c Catalogue
	err := s.readAll(ctx, &c)
	return Document(c.Settings[q.Service]), err
}

// CatalogueLimits returns the operator's default limits.
func (s *Service) CatalogueLimits(ctx context.Context, _ CatalogueRequest) (Document, error) {
	var c Catalogue
	err := s.readAll(ctx, &c)
	return Document(c.Limits), err
}

// Services lists the services that have defaults in the catalogue.
func (s *Service) Services(ctx context.Context, _ CatalogueRequest) (l page.List[string], err error) {
	var c Catalogue
	err = s.readAll(ctx, &c)
	for service := range c.Settings {
		l.Items = append(l.Items, service)
	}
	slices.Sort(l.Items)
	return l, err
}

func (s *Service) readAll(ctx context.Context, c *Catalogue) error {
	c.Settings = map[string]json.RawMessage{}
	sys := db.System(ctx)
	return s.db.Read(sys, func(tx *db.Tx) error { return readCatalogue(sys, tx, c) })
}

// PutCatalogue replaces the operator's default settings of a service. Every tenant's
// snapshot follows soon, by the job tellCatalogue.
// Errors: settings_no_object, settings_too_large.
func (s *Service) PutCatalogue(ctx context.Context, q CatalogueRequest) (Document, error) {
	doc, err := checkDocument(json.RawMessage(q.Document))
	if err != nil {
		return nil, err
	}
	return s.replace(ctx, q.Service, doc)
}

// PutCatalogueLimits replaces the operator's default limits. Errors: invalid_limits.
func (s *Service) PutCatalogueLimits(ctx context.Context, q CatalogueRequest) (Document, error) {
	doc, err := checkLimits(json.RawMessage(q.Document), false)
	if err != nil {
		return nil, err
	}
	return s.replace(ctx, "", doc)
}

func (s *Service) replace(ctx context.Context, service string, doc json.RawMessage) (Document, error) {
	sys := db.System(ctx)
	err := s.db.Tx(sys, func(tx *db.Tx) error {
		c, err := enter(sys, tx, alone)
		if err != nil {
			return err
		}
		before := c.Settings[service]
		if service == "" {
			before = c.Limits
		}
		if string(before) == string(doc) {
			return nil
		}
		if err := putCatalogue(sys, tx, service, doc); err != nil {
			return err
		}
		return tx.For(tenant.Operator, func() error {
			return audit.Record(sys, tx, "catalogue.changed", "catalogue:"+cmp.Or(service, "limits"), map[string]any{"revision": c.Revision + 1})
		})
	})
	return Document(doc), err
}
