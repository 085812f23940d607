package booking

import (
	"context"
	"errors"
	"fmt"

	"basisdienste/platform/db"
	"basisdienste/platform/tenant"
)

// Sweep clears holds away whose time is over: they stop existing for good, with the name and
// address behind them. Others can book the time before that.
func (s *Service) Sweep(ctx context.Context) error {
	system := db.System(ctx)
	for {
		var rows []work
		err := s.db.Read(system, func(tx *db.Tx) (err error) {
			rows, err = lapsedWork(system, tx, s.cfg.SweepBatch)
			return err
		})
		if err != nil {
			return fmt.Errorf("list lapsed holds: %w", err)
		}
		for _, w := range rows {
			if err := s.expire(db.For(ctx, tenant.Tenant{ID: w.Tenant}), w); err != nil {
				return fmt.Errorf("expire hold %s: %w", w.ID, err)
			}
		}
		if len(rows) < s.cfg.SweepBatch {
			return nil
		}
	}
}

// expire takes one hold; another process may have been faster.
func (s *Service) expire(ctx context.Context, w work) error {
	return s.db.Tx(ctx, func(tx *db.Tx) error {
		a, err := lockAppointment(ctx, tx, w.ID)
		if errors.Is(err, db.ErrNoRows) {
			return nil
		}
		if err != nil || a.StateAt(tx.Now().Time) != Expired || a.State == Expired {
			return err
		}
		book, err := openBook(ctx, tx, a.OfficeID, daysOf(a.place()))
		if err != nil {
			return err
		}
		if err := book.expire(ctx, tx, []Appointment{a}); err != nil {
			return err
		}
		return book.save(ctx, tx)
	})
}

// Purge deletes appointments, days and closures that ended longer ago than Config.Keep.
func (s *Service) Purge(ctx context.Context) error {
	system := db.System(ctx)
	return s.db.Tx(system, func(tx *db.Tx) error {
		return purge(system, tx, db.NewTime(tx.Now().Add(-s.cfg.Keep)), s.cfg.SweepBatch)
	})
}
