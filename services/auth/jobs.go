package auth

import (
	"context"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/run"
)

// jobs of the service. Every process may run them at once.
func (s *Service) jobs() []run.Job {
	return []run.Job{{Name: "purge-expired", Every: 5 * time.Minute, Run: s.Purge}}
}

// Purge deletes what has expired: logins under way, codes, sessions, revocations, used
// assertions, keys that are gone, old failures.
func (s *Service) Purge(ctx context.Context) error {
	ctx = db.System(ctx)
	return s.db.Tx(ctx, func(tx *db.Tx) error {
		return purge(ctx, tx, db.NewTime(tx.Now().Add(-failureWindow)))
	})
}
