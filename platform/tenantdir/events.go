package tenantdir

import (
	"context"

	"basisdienste/platform/bus"
	"basisdienste/platform/db"
)

// TenantChanged is how the directory reads tenants.tenant.changed.v1: a snapshot.
type TenantChanged struct{ Entry }

// EventType implements outbox.Event.
func (TenantChanged) EventType() string { return "tenants.tenant.changed.v1" }

// Subject implements outbox.Event.
func (e TenantChanged) Subject() string { return e.ID.String() }

// ClientChanged is how the directory reads auth.client.changed.v1: a snapshot.
type ClientChanged struct {
	ClientID   string   `json:"client_id"`
	Enabled    bool     `json:"enabled"`
	AllTenants bool     `json:"all_tenants"`
	Tenants    []string `json:"tenants"`
	Version    int64    `json:"version"`
}

// EventType implements outbox.Event.
func (ClientChanged) EventType() string { return "auth.client.changed.v1" }

// Subject implements outbox.Event.
func (e ClientChanged) Subject() string { return e.ClientID }

// Listen keeps the directory up to date by the service's router.
func (d *Dir) Listen(r *bus.Router) {
	bus.Handle(r, "tenant-directory", func(ctx context.Context, tx *db.Tx, _ bus.Meta, e TenantChanged) error {
		return d.Apply(ctx, tx, e.Entry)
	})
	bus.Handle(r, "client-grants", func(ctx context.Context, tx *db.Tx, _ bus.Meta, e ClientChanged) error {
		return d.ApplyGrants(ctx, tx, e.ClientID, e.Enabled, e.AllTenants, e.Tenants, e.Version)
	})
}
