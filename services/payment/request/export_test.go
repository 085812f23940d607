package request

import (
	"context"

	"basisdienste/platform/db"
)

// count counts the rows of each table, and the addresses that are stored.
func (s *Service) count(ctx context.Context, found map[string]int) error {
	sys := db.System(ctx)
	return s.db.Read(sys, func(tx *db.Tx) error {
		for name, query := range map[string]string{
			"requests": `SELECT count(*) FROM payment_requests`, "reminders": `SELECT count(*) FROM payment_reminders`,
			"addresses": `SELECT count(*) FROM payment_requests WHERE email <> ''`,
		} {
			var n int
			if err := tx.Get(sys, &n, query); err != nil {
				return err
			}
			found[name] = n
		}
		return nil
	})
}
