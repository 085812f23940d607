package payment

import (
	"context"
	"errors"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// taking reports whether the attempt's money is to be taken: the municipality asked for it, and
// nothing else has ended the transaction since.
func (a *Attempt) taking(t *Transaction) bool {
	return a.held() && a.CaptureAskedAt != nil && !t.Final()
}

// ask notes that the money that is held is to be taken, and reports whether that is new.
// Error: not_capturable.
func (a *Attempt) ask(now db.Time) (bool, error) {
	switch {
	case !a.held():
		return false, errNotHeld()
	case a.CaptureAskedAt != nil:
		return false, nil
	}
	a.CaptureAskedAt, a.Checks, a.CheckAt = &now, 0, db.NewTime(now.Add(pause(0)))
	return true, nil
}

func errNotHeld() error {
	return fault.Conflict("not_capturable", "no money is held for this transaction")
}

func errHeld() error {
	return fault.Conflict("payment_authorised", "the money is reserved; it is taken or released when the municipality decides")
}

// Capture takes the money that is held for the transaction. It is asked for once and durably,
// before the provider hears of it: where the provider does not answer, the sweep goes on asking.
// A transaction that a capture paid is answered again. If the provider needs time, the transaction
// in the answer is still INITIAL.
// Errors: unknown_transaction, not_capturable, transaction_final, provider_unavailable.
func (s *Service) Capture(ctx context.Context, txID id.ID) (Transaction, error) {
	if err := s.notHeld(ctx, txID); err != nil && !fault.Is(err, "payment_authorised") { // perhaps nobody has told us yet
		return Transaction{}, err
	}
	t, err := s.askCapture(ctx, txID)
	if err != nil || t.Final() {
		return t, err
	}
	if _, err := s.Refresh(ctx, txID); fault.Is(err, "provider_unavailable") {
		return t, fault.Unavailable("provider_unavailable", "the payment provider does not answer at the moment; the capture is noted and is asked for until it does").
			After(time.Minute).Because(err)
	} else if err != nil {
		return t, err
	}
	return s.askCapture(ctx, txID) // says what became of it: the hold may have lapsed
}

// askCapture stores that the money is to be taken, unless it was before.
func (s *Service) askCapture(ctx context.Context, txID id.ID) (t Transaction, err error) {
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		if t, err = lockTransaction(ctx, tx, txID); err != nil {
			return err
		}
		if t.Final() {
			return captured(ctx, tx, &t)
		}
		a, err := lastAttempt(ctx, tx, txID)
		if err != nil {
			return err
		}
		if fresh, err := a.ask(tx.Now()); err != nil || !fresh {
			return err
		}
		if err := saveAttempt(ctx, tx, a); err != nil {
			return err
		}
		return note(ctx, tx, &t, "capture_requested", "", a.ID)
	})
	return t, err
}

// captured returns nil if the final transaction was paid by money that was held and asked for.
// Error: transaction_final.
func captured(ctx context.Context, tx *db.Tx, t *Transaction) error {
	list, err := attemptsWithMoney(ctx, tx, t.ID)
	for _, a := range list {
		if a.State == attemptPaid && a.CaptureAskedAt != nil {
			return err
		}
	}
	return errors.Join(err, errFinal(t.State))
}

// notHeld returns nil if the payer's own acts may end the open attempt: no money is held by it,
// as the provider says now. What becomes of held money is for the municipality to decide.
// Errors: unknown_transaction, payment_authorised, provider_unavailable.
func (s *Service) notHeld(ctx context.Context, txID id.ID) error {
	t, a, err := s.current(ctx, txID)
	if err != nil || !t.Delayed || t.Final() || a == nil || a.State != attemptOpen {
		return err
	}
	if !a.held() {
		p, err := s.Refresh(ctx, txID)
		if err != nil {
			return err
		}
		a = p.Attempt
	}
	if a.held() {
		return errHeld()
	}
	return nil
}
