package payment

import (
	"context"
	"fmt"

	"basisdienste/platform/db"
)

// numbersLeft is more than a municipality's range gives out between a backup and its restore.
const numbersLeft = 10_000

// restored leaves out the Kassenzeichen that were given out since the backup: they stand in
// transfers, and must not name another claim.
func restored(ctx context.Context, tx *db.Tx) error {
	if _, err := tx.Exec(ctx, `UPDATE numbers SET last = last + ?`, numbersLeft); err != nil {
		return fmt.Errorf("leave out numbers: %w", err)
	}
	return nil
}
