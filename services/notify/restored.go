package notify

import (
	"context"
	"fmt"

	"basisdienste/platform/db"
)

// restored makes due what was being sent at the instant of the backup: whoever had claimed it is
// gone, perhaps together with its name.
func restored(ctx context.Context, tx *db.Tx) error {
	if _, err := tx.Exec(ctx, `UPDATE messages SET due_at = ? WHERE due_at IS NOT NULL AND status = ?`, tx.Now(), Sending); err != nil {
		return fmt.Errorf("send again what was being sent: %w", err)
	}
	return nil
}
