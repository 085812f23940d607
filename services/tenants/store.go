package tenants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
)

// tenantRow is a row of tenants.
type tenantRow struct {
	ID           id.ID                               `db:"tenant_id"`
	Slug         string                              `db:"slug"`
	Name         string                              `db:"name"`
	Kind         Kind                                `db:"kind"`
	Status       Status                              `db:"status"`
	ImportedName string                              `db:"imported_name"`
	Settings     db.JSON[map[string]json.RawMessage] `db:"settings"`
	Limits       string                              `db:"limits"`
	Version      int64                               `db:"version"`
	Revision     int64                               `db:"catalogue_revision"`
	CreatedAt    db.Time                             `db:"created_at"`
	ChangedAt    db.Time                             `db:"changed_at"`
}

const tenantColumns = `tenant_id, slug, name, kind, status, imported_name, settings, limits, version, catalogue_revision, created_at, changed_at`

func (r tenantRow) tenant() *Tenant {
	t := &Tenant{
		ID: r.ID, Slug: r.Slug, Name: r.Name, Kind: r.Kind, Status: r.Status, ImportedName: r.ImportedName,
		Settings: r.Settings.V, Version: r.Version, Revision: r.Revision, CreatedAt: r.CreatedAt, ChangedAt: r.ChangedAt,
	}
	if r.Limits != "" {
		t.Limits = json.RawMessage(r.Limits)
	}
	return t
}

// lock says how a transaction takes its place among the registry's changes.
type lock int

const (
	share lock = iota // changes of single tenants, side by side
	alone             // imports and changes of the catalogue
)

// enter takes the transaction's place and returns the catalogue, which then stays as it is
// until the commit. On SQLite there is one writer anyway. Call it before tenants are locked.
func enter(ctx context.Context, tx *db.Tx, l lock) (*Catalogue, error) {
	suffix := tx.ForUpdate()
	if tx.Postgres() && l == share {
		suffix = " FOR SHARE"
	}
	c := &Catalogue{Settings: map[string]json.RawMessage{}}
	if err := tx.Get(ctx, &c.Revision, `SELECT revision FROM registry WHERE id = 1`+suffix); err != nil {
		return nil, fmt.Errorf("enter the registry: %w", err)
	}
	return c, readCatalogue(ctx, tx, c)
}

func readCatalogue(ctx context.Context, tx *db.Tx, c *Catalogue) error {
	var rows []struct {
		Service  string `db:"service"`
		Document string `db:"document"`
	}
	if err := tx.Select(ctx, &rows, `SELECT service, document FROM catalogue ORDER BY service`); err != nil {
		return fmt.Errorf("read the catalogue: %w", err)
	}
	for _, r := range rows {
		if r.Service == "" {
			c.Limits = json.RawMessage(r.Document)
		} else {
			c.Settings[r.Service] = json.RawMessage(r.Document)
		}
	}
	return nil
}

// putCatalogue replaces one document (service "": the limits); nil takes it away.
func putCatalogue(ctx context.Context, tx *db.Tx, service string, doc json.RawMessage) error {
	var err error
	if doc == nil {
		_, err = tx.Exec(ctx, `DELETE FROM catalogue WHERE service = ?`, service)
	} else {
		_, err = tx.Exec(ctx, `INSERT INTO catalogue (service, document, changed_at) VALUES (?, ?, ?)
			ON CONFLICT (service) DO UPDATE SET document = excluded.document, changed_at = excluded.changed_at`,
			service, string(doc), tx.Now())
	}
	if err != nil {
		return fmt.Errorf("put into the catalogue: %w", err)
	}
	_, err = tx.Exec(ctx, `UPDATE registry SET revision = revision + 1 WHERE id = 1`)
	return err
}

// idBySlug works across tenants. Error: unknown_tenant.
func idBySlug(ctx context.Context, tx *db.Tx, slug string) (tenantID id.ID, err error) {
	if !slugShape.MatchString(slug) {
		return "", unknownTenant(slug)
	}
	err = tx.Get(ctx, &tenantID, `SELECT tenant_id FROM tenants WHERE slug = ? AND status <> ?`, slug, Erased)
	if errors.Is(err, db.ErrNoRows) {
		return "", unknownTenant(slug)
	}
	return tenantID, err
}

func unknownTenant(name string) error {
	return fault.NotFound("unknown_tenant", "no municipality is known here as %q", clip(name))
}

// tenantOf returns the tenant of the transaction; forUpdate is "" or tx.ForUpdate().
// Error: unknown_tenant.
func tenantOf(ctx context.Context, tx *db.Tx, forUpdate string) (*Tenant, error) {
	var r tenantRow
	err := tx.Get(ctx, &r, `SELECT `+tenantColumns+` FROM tenants WHERE tenant_id = ?`+forUpdate, tx.Tenant())
	if errors.Is(err, db.ErrNoRows) {
		return nil, unknownTenant(tx.Tenant().String())
	}
	if err != nil {
		return nil, fmt.Errorf("read tenant: %w", err)
	}
	t := r.tenant()
	return t, addKeysAndHosts(ctx, tx, map[id.ID]*Tenant{t.ID: t})
}

// tenantsByID works across tenants.
func tenantsByID(ctx context.Context, tx *db.Tx, ids []id.ID) (map[id.ID]*Tenant, error) {
	found := map[id.ID]*Tenant{}
	if len(ids) == 0 {
		return found, nil
	}
	query, args, err := db.In(`SELECT `+tenantColumns+` FROM tenants WHERE tenant_id IN (?) ORDER BY tenant_id`+tx.ForUpdate(), ids)
	if err != nil {
		return nil, err
	}
	var rows []tenantRow
	if err := tx.Select(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("read tenants: %w", err)
	}
	for _, r := range rows {
		found[r.ID] = r.tenant()
	}
	return found, addKeysAndHosts(ctx, tx, found)
}

func addKeysAndHosts(ctx context.Context, tx *db.Tx, tenants map[id.ID]*Tenant) error {
	var ids []id.ID
	for i := range tenants {
		ids = append(ids, i)
	}
	query, args, err := db.In(`SELECT tenant_id, key, name FROM tenant_keys WHERE tenant_id IN (?)`, ids)
	if err != nil {
		return err
	}
	var keys []struct {
		Tenant id.ID  `db:"tenant_id"`
		Key    string `db:"key"`
		Name   string `db:"name"`
	}
	if err := tx.Select(ctx, &keys, query, args...); err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	for _, k := range keys {
		t := tenants[k.Tenant]
		t.Keys = append(t.Keys, Key{Key: k.Key, Name: k.Name})
	}
	if query, args, err = db.In(`SELECT tenant_id, host FROM tenant_hosts WHERE tenant_id IN (?) ORDER BY host`, ids); err != nil {
		return err
	}
	var hosts []struct {
		Tenant id.ID  `db:"tenant_id"`
		Host   string `db:"host"`
	}
	if err := tx.Select(ctx, &hosts, query, args...); err != nil {
		return fmt.Errorf("read hosts: %w", err)
	}
	for _, h := range hosts {
		t := tenants[h.Tenant]
		t.Hosts = append(t.Hosts, h.Host)
	}
	for _, t := range tenants {
		sortKeys(t.Keys)
	}
	return nil
}

// insertTenant stores a new tenant and tells it, for the transaction's tenant.
// A slug, key or host of another fails with db.IsUnique.
func insertTenant(ctx context.Context, tx *db.Tx, t *Tenant, c *Catalogue) error {
	t.Version, t.Revision, t.CreatedAt, t.ChangedAt = 1, c.Revision, tx.Now(), tx.Now()
	_, err := tx.Exec(ctx, `INSERT INTO tenants (`+tenantColumns+`, search) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), t.Slug, t.Name, t.Kind, t.Status, t.ImportedName, db.JSON[map[string]json.RawMessage]{V: t.Settings},
		string(t.Limits), t.Version, t.Revision, t.CreatedAt, t.ChangedAt, searchText(t))
	if err != nil {
		return fmt.Errorf("insert tenant: %w", err)
	}
	if err := insertKeysAndHosts(ctx, tx, t.Keys, t.Hosts); err != nil {
		return err
	}
	return tell(ctx, tx, t, c)
}

// updateTenant stores and tells the next version of the transaction's tenant.
// A key or host of another fails with db.IsUnique.
func updateTenant(ctx context.Context, tx *db.Tx, before, t *Tenant, c *Catalogue) error {
	t.Version, t.Revision, t.ChangedAt = before.Version+1, c.Revision, tx.Now()
	_, err := tx.Exec(ctx, `UPDATE tenants SET name = ?, kind = ?, status = ?, imported_name = ?, settings = ?, limits = ?,
		search = ?, version = ?, catalogue_revision = ?, changed_at = ? WHERE tenant_id = ?`,
		t.Name, t.Kind, t.Status, t.ImportedName, db.JSON[map[string]json.RawMessage]{V: t.Settings}, string(t.Limits),
		searchText(t), t.Version, t.Revision, t.ChangedAt, tx.Tenant())
	if err != nil {
		return fmt.Errorf("update tenant: %w", err)
	}
	if !slices.Equal(before.Keys, t.Keys) || !slices.Equal(before.Hosts, t.Hosts) {
		for _, query := range []string{`DELETE FROM tenant_keys WHERE tenant_id = ?`, `DELETE FROM tenant_hosts WHERE tenant_id = ?`} {
			if _, err := tx.Exec(ctx, query, tx.Tenant()); err != nil {
				return fmt.Errorf("replace keys and hosts: %w", err)
			}
		}
		if err := insertKeysAndHosts(ctx, tx, t.Keys, t.Hosts); err != nil {
			return err
		}
	}
	return tell(ctx, tx, t, c)
}

func insertKeysAndHosts(ctx context.Context, tx *db.Tx, keys []Key, hosts []string) error {
	if len(keys) > 0 {
		var args []any
		for _, k := range keys {
			args = append(args, tx.Tenant(), k.Key, area(k.Key), k.Name)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO tenant_keys (tenant_id, key, area, name) VALUES (?, ?, ?, ?)`+
			strings.Repeat(`, (?, ?, ?, ?)`, len(keys)-1), args...); err != nil {
			return fmt.Errorf("insert keys: %w", err)
		}
	}
	for _, h := range hosts {
		if _, err := tx.Exec(ctx, `INSERT INTO tenant_hosts (tenant_id, host) VALUES (?, ?)`, tx.Tenant(), h); err != nil {
			return fmt.Errorf("insert host %s: %w", h, err)
		}
	}
	return nil
}

func tell(ctx context.Context, tx *db.Tx, t *Tenant, c *Catalogue) error {
	e, err := snapshot(t, c)
	if err != nil {
		return err
	}
	return outbox.Put(ctx, tx, e)
}

// ListItem is a tenant in a list.
type ListItem struct {
	ID             id.ID   `db:"tenant_id" json:"id"`
	Slug           string  `db:"slug" json:"slug"`
	Name           string  `db:"name" json:"name"`
	Kind           Kind    `db:"kind" json:"kind"`
	Status         Status  `db:"status" json:"status"`
	Municipalities int     `db:"municipalities" json:"municipalities"` // how many ARS
	Version        int64   `db:"version" json:"version"`
	ChangedAt      db.Time `db:"changed_at" json:"changed_at"`
}

// list works across tenants: those after the slug, in its order, with the status and with q
// in slug, name, a municipality's name or at the beginning of a key.
func list(ctx context.Context, tx *db.Tx, after string, status Status, q string, limit int) (items []ListItem, err error) {
	query := `SELECT t.tenant_id, t.slug, t.name, t.kind, t.status, t.version, t.changed_at,
		(SELECT count(*) FROM tenant_keys k WHERE k.tenant_id = t.tenant_id AND k.area <> '') AS municipalities
		FROM tenants t WHERE t.slug > ?`
	args := []any{after}
	if status != "" {
		query, args = query+` AND t.status = ?`, append(args, status)
	}
	if f := fold(q); f != "" {
		query += ` AND (t.search LIKE ? OR EXISTS (SELECT 1 FROM tenant_keys k WHERE k.tenant_id = t.tenant_id AND k.key LIKE ?))`
		args = append(args, "%"+f+"%", f+"%") // folded text holds no % and no _
	}
	return items, tx.Select(ctx, &items, query+` ORDER BY t.slug LIMIT ?`, append(args, limit)...)
}

// owners works across tenants: who has the values of a column of a table.
func owners(ctx context.Context, tx *db.Tx, table, column string, values []string) (map[string][]id.ID, error) {
	found := map[string][]id.ID{}
	if len(values) == 0 {
		return found, nil
	}
	query, args, err := db.In(`SELECT DISTINCT `+column+` AS value, tenant_id FROM `+table+` WHERE `+column+` IN (?) ORDER BY 1, 2`, values)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Value  string `db:"value"`
		Tenant id.ID  `db:"tenant_id"`
	}
	if err := tx.Select(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("look up owners by %s: %w", column, err)
	}
	for _, r := range rows {
		found[r.Value] = append(found[r.Value], r.Tenant)
	}
	return found, nil
}
