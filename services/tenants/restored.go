package tenants

import (
	"context"
	"fmt"

	"basisdienste/platform/db"
)

// leap is more than a tenant changes between a backup and its restore.
const leap = 1_000_000

// restored makes every tenant's snapshot follow, by the job tellCatalogue, with a version that is
// newer than any that was told since the backup: whoever has one of those takes ours over, and a
// broker that begins empty has them all again.
func restored(ctx context.Context, tx *db.Tx) error {
	for _, query := range []string{
		`UPDATE tenants SET version = version + ?`,
		`UPDATE registry SET revision = revision + ?`,
	} {
		if _, err := tx.Exec(ctx, query, leap); err != nil {
			return fmt.Errorf("tell all tenants again: %w", err)
		}
	}
	return nil
}
