package payment

import (
	"context"
	"errors"
	"slices"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/money"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment/ledger"
)

// maxRefunds of one transaction.
const maxRefunds = 100

// RefundWanted asks for money to go back.
type RefundWanted struct {
	Amount money.Amount
	Note   string // why, for the staff
	// Attempt by which the money came in; empty means the one that paid the transaction. A
	// surplus is given back by naming its attempt.
	Attempt id.ID
}

// RequestRefund gives money back, at once or after a second person has approved it: if what went
// back of the transaction without one would come above the tenant's limit (Refunds.FourEyesAbove),
// so that asking in parts does not help. Several refunds of one payment together never
// exceed it, however many ask at once. With an Idempotency-Key it may be repeated.
// Errors: unknown_transaction, not_refundable, refund_above_balance, too_many_refunds.
func (s *Service) RequestRefund(ctx context.Context, txID id.ID, w RefundWanted) (Refund, error) {
	settings, err := s.own(ctx)
	if err != nil {
		return Refund{}, err
	}
	r, err := idem.Tx(ctx, s.db, func(tx *db.Tx) (Refund, error) {
		t, a, before, err := s.forRefund(ctx, tx, txID, w.Attempt)
		if err != nil {
			return Refund{}, err
		}
		left := refundable(t.Amount, of(before, a.ID))
		switch {
		case len(before) >= maxRefunds:
			return Refund{}, fault.Conflict("too_many_refunds", "a transaction has at most %d refunds", maxRefunds)
		case w.Amount <= 0 || w.Amount > left:
			return Refund{}, fault.Conflict("refund_above_balance", "%s EUR can be given back, and not %s", left, w.Amount).
				With(fault.Field{Name: "amount", Code: "refund_above_balance", Detail: "at most " + left.String()})
		}
		now := tx.Now()
		r := Refund{
			ID: id.New(), TransactionID: txID, AttemptID: a.ID, Amount: w.Amount, Note: w.Note, State: RefundSubmitted,
			RequestedBy: audit.Actor(ctx), CreatedAt: now, CheckAt: now,
		}
		if limit := settings.Refunds.FourEyesAbove; limit != nil && w.Amount+byOne(before) > *limit {
			r.State = RefundWaiting
		}
		if err := insertRefund(ctx, tx, &r); err != nil {
			return r, err
		}
		return r, s.tellRefund(ctx, tx, &t, &r, "refund_requested")
	})
	if err != nil || r.State != RefundSubmitted {
		return r, err
	}
	return s.pursue(ctx, r)
}

// DecideRefund lets a second person approve or reject a refund that waits for one.
// Errors: unknown_refund, refund_decided, second_person_needed.
func (s *Service) DecideRefund(ctx context.Context, txID, refundID id.ID, approve bool) (r Refund, err error) {
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		t, err := lockTransaction(ctx, tx, txID)
		if err != nil {
			return err
		}
		if r, err = refund(ctx, tx, refundID); err != nil {
			return err
		}
		if r.TransactionID != txID {
			return fault.NotFound("unknown_refund", "there is no such refund here")
		}
		if err := r.decide(tx.Now(), audit.Actor(ctx), approve); err != nil {
			return err
		}
		if err := saveRefund(ctx, tx, &r); err != nil {
			return err
		}
		what := "refund_rejected"
		if approve {
			what = "refund_approved"
		}
		return s.tellRefund(ctx, tx, &t, &r, what)
	})
	if err != nil || r.State != RefundSubmitted {
		return r, err
	}
	return s.pursue(ctx, r)
}

// pursue tells the provider at once. If it does not answer, the refund stays submitted, and
// the job tells it again; that is no error of who asked.
func (s *Service) pursue(ctx context.Context, r Refund) (Refund, error) {
	now, err := s.RefreshRefund(ctx, r.ID)
	if err != nil {
		s.log.WarnContext(ctx, "refund waits for its provider", "refund", r.ID, "error", err)
		return r, nil
	}
	return now, nil
}

// RefreshRefund tells the provider of a submitted refund, or asks what became of one that
// succeeded, and books what it says. Notifications and the job end here; calling it often
// changes nothing more. Errors: unknown_refund, provider_unavailable.
func (s *Service) RefreshRefund(ctx context.Context, refundID id.ID) (r Refund, err error) {
	e, ok := tenantdir.From(ctx)
	if !ok {
		return r, errors.New("refund: no tenant")
	}
	var t Transaction
	var a Attempt
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		if r, err = refund(ctx, tx, refundID); err != nil {
			return err
		}
		if a, err = attempt(ctx, tx, r.AttemptID); err != nil {
			return err
		}
		t, err = transaction(ctx, tx, r.TransactionID)
		return err
	})
	if err != nil || r.State != RefundSubmitted && r.State != RefundSucceeded {
		return r, err
	}
	gateway, err := s.gateway(a.Provider)
	if err != nil {
		return r, err
	}
	result, err := s.askRefund(ctx, gateway, &a, &r, RefundOrder{Refund: r.ID, Session: a.SessionID, Tenant: e.ID, Amount: r.Amount, Currency: t.Currency})
	if err != nil {
		return r, unavailable(err)
	}
	return s.settleRefund(ctx, r.ID, result)
}

func (s *Service) askRefund(ctx context.Context, g Gateway, a *Attempt, r *Refund, order RefundOrder) (RefundResult, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ProviderTimeout)
	defer cancel()
	if r.ProviderID != "" {
		return g.GetRefund(ctx, a.SessionID, r.ProviderID)
	}
	return g.Refund(ctx, order)
}

// settleRefund books what a provider said of a refund.
func (s *Service) settleRefund(ctx context.Context, refundID id.ID, result RefundResult) (r Refund, err error) {
	settings, err := s.own(ctx)
	if err != nil {
		return r, err
	}
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		seen, err := refund(ctx, tx, refundID)
		if err != nil {
			return err
		}
		t, err := lockTransaction(ctx, tx, seen.TransactionID)
		if err != nil {
			return err
		}
		if r, err = refund(ctx, tx, refundID); err != nil { // under the lock
			return err
		}
		known := r.ProviderID
		what := r.settle(tx.Now(), result)
		if what == "" && r.ProviderID == known {
			return nil
		}
		if err := saveRefund(ctx, tx, &r); err != nil || what == "" {
			return err
		}
		if err := bookRefund(ctx, tx, &t, &r, settings.Settings); err != nil {
			return err
		}
		return s.tellRefund(ctx, tx, &t, &r, what)
	})
	return r, err
}

// bookRefund books a refund that succeeded, and books it back if it failed after that.
func bookRefund(ctx context.Context, tx *db.Tx, t *Transaction, r *Refund, settings Settings) error {
	rows, err := ledger.Of(ctx, tx, t.ID)
	if err != nil {
		return err
	}
	booked := slices.DeleteFunc(slices.Clone(rows), func(x ledger.Row) bool { return x.Kind != ledger.Refund || x.Reference != r.ID.String() })
	if r.State == RefundFailed {
		if len(booked) == 0 {
			return nil // it never went out
		}
		return ledger.Book(ctx, tx, ledger.Booking{Transaction: t.ID, Kind: ledger.RefundFailed, Reference: r.ID.String(), Moves: ledger.Back(movesOf(booked))})
	}
	a, err := attempt(ctx, tx, r.AttemptID)
	if err != nil {
		return err
	}
	b := ledger.Booking{Transaction: t.ID, Kind: ledger.Refund, Reference: r.ID.String()}
	if a.State == attemptSurplus {
		b.Moves = []ledger.Move{{Debit: ledger.Surplus, Credit: ledger.Clearing(a.Provider), Amount: r.Amount}}
		return ledger.Book(ctx, tx, b)
	}
	earned, err := claimed(ctx, tx, t, settings)
	if err != nil {
		return err
	}
	var before []ledger.Row // what earlier refunds took from the budget lines, and what came back
	for _, x := range rows {
		if x.Kind == ledger.Refund || x.Kind == ledger.RefundFailed {
			before = append(before, x)
		}
	}
	b.Moves = refundMoves(earned, movesOf(before), a.Provider, r.Amount)
	return ledger.Book(ctx, tx, b)
}

func movesOf(rows []ledger.Row) []ledger.Move {
	moves := make([]ledger.Move, len(rows))
	for i, r := range rows {
		moves[i] = ledger.Move{Debit: r.Debit, Credit: r.Credit, Amount: r.Amount}
	}
	return moves
}

// tellRefund writes the refund's new state into the history, the audit log and the outbox.
func (s *Service) tellRefund(ctx context.Context, tx *db.Tx, t *Transaction, r *Refund, what string) error {
	if err := note(ctx, tx, t, what, r.Reason, r.AttemptID); err != nil {
		return err
	}
	if err := tellRefund(ctx, tx, t, r); err != nil {
		return err
	}
	return audit.Record(ctx, tx, "refund."+what, "refund:"+r.ID.String(), map[string]any{"transaction": t.ID, "amount": r.Amount, "state": r.State})
}

// forRefund locks a transaction and returns the attempt whose money can be given back.
func (s *Service) forRefund(ctx context.Context, tx *db.Tx, txID, attemptID id.ID) (t Transaction, a Attempt, before []Refund, err error) {
	if t, err = lockTransaction(ctx, tx, txID); err != nil {
		return t, a, nil, err
	}
	list, err := attemptsWithMoney(ctx, tx, txID)
	if err != nil {
		return t, a, nil, err
	}
	i := slices.IndexFunc(list, func(a Attempt) bool {
		return a.ID == attemptID || attemptID == "" && a.State == attemptPaid
	})
	if i < 0 {
		return t, a, nil, fault.Conflict("not_refundable", "no money came in that could be given back")
	}
	before, err = refundsOf(ctx, tx, txID)
	return t, list[i], before, err
}

// of are the refunds of one attempt's money.
func of(refunds []Refund, attempt id.ID) []Refund {
	return slices.DeleteFunc(slices.Clone(refunds), func(r Refund) bool { return r.AttemptID != attempt })
}

// Refunds lists a transaction's refunds, the first first. Error: unknown_transaction.
func (s *Service) Refunds(ctx context.Context, txID id.ID) (list []Refund, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		if _, err := transaction(ctx, tx, txID); err != nil {
			return err
		}
		list, err = refundsOf(ctx, tx, txID)
		return err
	})
	return list, err
}

// SweepRefunds tells providers of the refunds that are due. Several processes may sweep at once.
func (s *Service) SweepRefunds(ctx context.Context) error {
	sys := db.System(ctx)
	var errs []error
	for {
		var list []dueRefund
		err := s.db.Tx(sys, func(tx *db.Tx) (err error) {
			list, err = dueRefunds(sys, tx, s.cfg.SweepBatch)
			return err
		})
		if err != nil {
			return err
		}
		for _, d := range list {
			errs = keepFew(errs, s.RefundNotified(ctx, d.Tenant, d.Refund))
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if len(list) < s.cfg.SweepBatch {
			return errors.Join(errs...)
		}
	}
}

// RefundNotified is told by a provider's notification that something happened to a refund. It
// makes us look, and no more. Errors: unknown_tenant, unknown_refund, provider_unavailable.
func (s *Service) RefundNotified(ctx context.Context, tenantID, refundID id.ID) error {
	ctx, err := s.enter(ctx, tenantID)
	if err != nil {
		return err
	}
	_, err = s.RefreshRefund(ctx, refundID)
	return err
}
