package payment

import (
	"context"

	"basisdienste/platform/db"
	"basisdienste/platform/kit"
)

// CaptureRequest names a transaction whose money is held and is to be taken.
type CaptureRequest struct {
	kit.NoBody
	GetRequest
}

func (s *Service) capture(ctx context.Context, q CaptureRequest) (TransactionView, error) {
	t, err := s.Capture(ctx, q.ID)
	return s.view(&t), err
}

// markCapturable sets Capturable of those whose money is held.
func (s *Service) markCapturable(ctx context.Context, list []TransactionView) error {
	var wait []*TransactionView
	for i := range list {
		if v := &list[i]; v.Delayed && v.State == Initial {
			wait = append(wait, v)
		}
	}
	if len(wait) == 0 {
		return nil
	}
	return s.db.Read(ctx, func(tx *db.Tx) error {
		for _, v := range wait {
			a, err := lastAttempt(ctx, tx, v.ID)
			if err != nil {
				return err
			}
			v.Capturable = a.held() && a.CaptureAskedAt == nil
		}
		return nil
	})
}
