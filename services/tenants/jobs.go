package tenants

import (
	"context"
	"fmt"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

// tellCatalogue gives every tenant a snapshot with the newest catalogue, 200 in a
// transaction. What is done is a column of the tenant, so it goes on where it was
// interrupted, and several processes share the work.
func (s *Service) tellCatalogue(ctx context.Context) error {
	sys := db.System(ctx)
	for {
		var left int
		var n int
		err := s.db.Read(sys, func(tx *db.Tx) error {
			return tx.Get(sys, &left, `SELECT revision - told FROM registry WHERE id = 1`)
		})
		if err != nil || left == 0 {
			return err
		}
		err = s.db.Tx(sys, func(tx *db.Tx) (err error) {
			n, err = tellSome(sys, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("tell the catalogue: %w", err)
		}
		if n > 0 {
			continue
		}
		if err := s.db.Tx(sys, func(tx *db.Tx) error { return closeRevision(sys, tx) }); err != nil {
			return fmt.Errorf("tell the catalogue: %w", err)
		}
	}
}

// tellSome returns how many tenants got a snapshot.
func tellSome(ctx context.Context, tx *db.Tx) (int, error) {
	c, err := enter(ctx, tx, share)
	if err != nil {
		return 0, err
	}
	var ids []id.ID
	query := `SELECT tenant_id FROM tenants WHERE catalogue_revision < ? AND status <> ? ORDER BY tenant_id LIMIT ?` + tx.ForUpdate()
	if tx.Postgres() {
		query += ` SKIP LOCKED`
	}
	if err := tx.Select(ctx, &ids, query, c.Revision, Erased, batchSize); err != nil {
		return 0, err
	}
	tenants, err := tenantsByID(ctx, tx, ids)
	if err != nil {
		return 0, err
	}
	for _, tenantID := range ids {
		t := tenants[tenantID]
		if err := tx.For(tenantID, func() error { return updateTenant(ctx, tx, t.clone(), t, c) }); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// closeRevision notes that all tenants have the newest catalogue, if they have. It waits for
// changes of tenants under way, which may have read an older one.
func closeRevision(ctx context.Context, tx *db.Tx) error {
	c, err := enter(ctx, tx, alone)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE registry SET told = ? WHERE id = 1
		AND NOT EXISTS (SELECT 1 FROM tenants WHERE catalogue_revision < ? AND status <> ?)`, c.Revision, c.Revision, Erased)
	return err
}
