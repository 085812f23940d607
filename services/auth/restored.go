package auth

import (
	"context"
	"fmt"

	"basisdienste/platform/db"
	"basisdienste/platform/tenant"
)

// leap is more than a client changes between a backup and its restore.
const leap = 1_000_000

// restored tells the operator's clients again, as newer than any that was told since the backup,
// and ends all logins: who logged out since the backup must not be logged in again.
func restored(ctx context.Context, tx *db.Tx) error {
	for _, query := range []string{`DELETE FROM sessions`, `DELETE FROM auth_requests`} {
		if _, err := tx.Exec(ctx, query); err != nil {
			return fmt.Errorf("end all logins: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE clients SET version = version + ?`, leap); err != nil {
		return fmt.Errorf("tell all clients again: %w", err)
	}
	return tx.For(tenant.Operator, func() error {
		const most = 500
		for after := ""; ; {
			clients, err := selectClients(ctx, tx, after, most)
			if err != nil {
				return err
			}
			for _, c := range clients {
				if err := tellClient(ctx, tx, c); err != nil {
					return err
				}
				after = c.ID
			}
			if len(clients) < most {
				return nil
			}
		}
	})
}
