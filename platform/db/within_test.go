package db_test

import (
	"testing"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/id"
)

func TestTxForActsForOneTenantAtATime(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	a, b := id.New(), id.New()
	var seen []id.ID
	err := d.Tx(db.System(t.Context()), func(tx *db.Tx) error {
		seen = nil
		for _, want := range []id.ID{a, b} {
			if err := tx.For(want, func() error {
				seen = append(seen, tx.Tenant())
				return nil
			}); err != nil {
				return err
			}
		}
		seen = append(seen, tx.Tenant())
		return nil
	})
	if err != nil || len(seen) != 3 || seen[0] != a || seen[1] != b || seen[2] != "" {
		t.Errorf("Tx.For under System: error %v, tenants %q, want %q and then none", err, seen, []id.ID{a, b})
	}
	nothing := func() error { return nil }
	if err := d.Tx(dbtest.Tenant(t, "erfurt"), func(tx *db.Tx) error { return tx.For(b, nothing) }); err == nil {
		t.Error("Tx.For in a tenant's own transaction = nil, want an error")
	}
	err = d.Tx(db.System(t.Context()), func(tx *db.Tx) error {
		return tx.For(a, func() error { return tx.For(b, nothing) })
	})
	if err == nil {
		t.Error("Tx.For inside Tx.For = nil, want an error")
	}
}
