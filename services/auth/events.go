package auth

import (
	"context"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenant"
)

// tellClient tells the services which municipalities a client of the operator may act for.
// Clients of a municipality carry their tenant in the token; nobody needs to know them.
func tellClient(ctx context.Context, tx *db.Tx, c *Client) error {
	if c.TenantID != tenant.Operator {
		return nil
	}
	e := events.ClientChanged{ClientID: c.ID, Enabled: c.Enabled, AllTenants: c.AllTenants, Version: c.Version}
	for after := id.ID(""); !c.AllTenants; {
		ids, err := selectTargets(ctx, tx, c.ID, after, 1000)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		for _, t := range ids {
			e.Tenants = append(e.Tenants, t.String())
		}
		after = ids[len(ids)-1]
	}
	return outbox.Put(ctx, tx, e)
}
