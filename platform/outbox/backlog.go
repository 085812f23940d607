package outbox

import (
	"context"
	"time"

	"basisdienste/platform/db"
)

// Backlog is what waits in a service's database, of all tenants.
type Backlog struct {
	Unsent int64
	Oldest time.Duration    // how long the oldest unsent event has waited
	Dead   map[string]int64 // dead letters that were not replayed, by consumer
}

// Waiting reads the backlog. Its cost grows with the backlog, not with what was sent.
func Waiting(ctx context.Context, d *db.DB) (b Backlog, err error) {
	ctx = db.System(ctx)
	err = d.Read(ctx, func(tx *db.Tx) error {
		var unsent struct {
			N  int64 `db:"n"`
			At int64 `db:"at"`
		}
		if err := tx.Get(ctx, &unsent, `SELECT count(*) AS n, COALESCE(min(at), 0) AS at FROM outbox WHERE sent_at IS NULL`); err != nil {
			return err
		}
		var dead []struct {
			Consumer string `db:"consumer"`
			N        int64  `db:"n"`
		}
		if err := tx.Select(ctx, &dead, `SELECT consumer, count(*) AS n FROM dead_letters WHERE replayed_at IS NULL GROUP BY consumer`); err != nil {
			return err
		}
		b = Backlog{Unsent: unsent.N, Dead: map[string]int64{}}
		if unsent.N > 0 {
			b.Oldest = max(0, tx.Now().Sub(time.UnixMicro(unsent.At)))
		}
		for _, d := range dead {
			b.Dead[d.Consumer] = d.N
		}
		return nil
	})
	return b, err
}
