package payment

import (
	"context"
	"strings"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment/ledger"
)

// TransferProvider names bank transfers among the providers of attempts and offers. The money
// goes straight to the municipality's account.
const TransferProvider = "transfer"

// transferDetail is what is told of a bank transfer, which XBezahldienste calls OTHER.
const transferDetail = "transfer"

// Transferred is what became of money that came by bank transfer.
type Transferred string

// The outcomes.
const (
	TransferPaid    Transferred = "paid"           // it paid the claim
	TransferSurplus Transferred = "surplus"        // the claim had ended: it is owed back
	TransferDiffers Transferred = "amount_differs" // nothing was booked
)

// Transfer is money that arrived on the municipality's account for a claim.
type Transfer struct {
	Amount    money.Amount
	Reference string // names the money: the same is booked once
	// Wanted decides under the claim's lock whether to book; false leaves everything as it is.
	Wanted func(ctx context.Context, tx *db.Tx) (bool, error)
	// Done stores, in the transaction that books, what became of it. was is the claim's state
	// before, which is PAYED if the same reference was booked before.
	Done func(ctx context.Context, tx *db.Tx, did Transferred, was State) error
}

// PaidByTransfer books money that arrived on the municipality's account for a claim, as an
// attempt like any other. Asking again with the same reference gives the same answer. An amount
// that is not the claim's is not booked: somebody has to look. An attempt that is open at a
// provider is closed there first, if the provider answers; should it be paid all the same,
// that money is the surplus. Error: unknown_transaction.
func (s *Service) PaidByTransfer(ctx context.Context, txID id.ID, m Transfer) error {
	settings, err := s.own(ctx)
	if err != nil {
		return err
	}
	if err := s.finishElsewhere(ctx, txID); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *db.Tx) error {
		t, err := lockTransaction(ctx, tx, txID)
		if err != nil {
			return err
		}
		if wanted, err := m.Wanted(ctx, tx); err != nil || !wanted {
			return err
		}
		was := t.State
		did, err := s.payByTransfer(ctx, tx, &t, m, settings.Settings)
		if err != nil {
			return err
		}
		return m.Done(ctx, tx, did, was)
	})
}

func (s *Service) payByTransfer(ctx context.Context, tx *db.Tx, t *Transaction, m Transfer, settings Settings) (Transferred, error) {
	before, err := attemptsWithMoney(ctx, tx, t.ID)
	if err != nil {
		return "", err
	}
	for _, a := range before {
		if a.Provider == TransferProvider && a.SessionID == m.Reference {
			return transferred(&a), nil
		}
	}
	if m.Amount != t.Amount {
		return TransferDiffers, nil
	}
	last, err := lastAttempt(ctx, tx, t.ID)
	if err != nil {
		return "", err
	}
	now := tx.Now()
	a := Attempt{
		ID: id.New(), TransactionID: t.ID, Offer: TransferProvider, Method: Other, Detail: transferDetail, Provider: TransferProvider,
		State: attemptOpen, CreatedAt: now, ExpiresAt: now, CheckAt: now,
	}
	chosen := last != nil && last.State == attemptOpen && last.Provider == TransferProvider
	if chosen {
		a = *last
	}
	a.SessionID = m.Reference
	what, err := t.settle(&a, Session{ID: m.Reference, State: SessionPaid, Amount: m.Amount, Currency: t.Currency}, now, settings.MaxDeclined)
	if err != nil {
		return "", err
	}
	if !chosen {
		if err := insertAttempt(ctx, tx, &a); err != nil {
			return "", err
		}
	}
	if err := s.keep(ctx, tx, t, &a, what, settings); err != nil {
		return "", err
	}
	return transferred(&a), ledger.Book(ctx, tx, ledger.Booking{
		Transaction: t.ID, Kind: ledger.Payout, Reference: a.ID.String(),
		Moves: []ledger.Move{{Debit: ledger.Bank, Credit: ledger.Clearing(TransferProvider), Amount: m.Amount}},
	})
}

func transferred(a *Attempt) Transferred {
	if a.State == attemptSurplus {
		return TransferSurplus
	}
	return TransferPaid
}

// finishElsewhere closes the attempt that is open at a provider. A provider that does not
// answer, or has money on its way, does not keep a transfer from being booked.
func (s *Service) finishElsewhere(ctx context.Context, txID id.ID) error {
	_, a, err := s.current(ctx, txID)
	if err != nil || a == nil || a.State != attemptOpen || a.Provider == TransferProvider {
		return err
	}
	if err := s.finish(ctx, txID); err != nil {
		s.log.WarnContext(ctx, "a transfer came in while an attempt was open that could not be closed", "attempt", a.ID, "error", err)
	}
	return ctx.Err()
}

// Await keeps the claim payable until then, if it ends before: who chose to transfer the money
// needs the time. A final transaction stays as it is.
func (s *Service) Await(ctx context.Context, txID id.ID, until time.Time) error {
	return s.db.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE transactions SET expires_at = ? WHERE tenant_id = ? AND id = ? AND state = 'INITIAL' AND expires_at < ?`,
			db.NewTime(until), tx.Tenant(), txID, db.NewTime(until))
		return err
	})
}

// Claim is what money on an account is matched with.
type Claim struct {
	ID            id.ID        `db:"id"`
	Kassenzeichen string       `db:"kassenzeichen"`
	Amount        money.Amount `db:"amount"`
	State         State        `db:"state"`
}

// claimsAtOnce bounds a question for claims; the text of a statement is the same for all. With 512
// PostgreSQL takes longer.
const claimsAtOnce = 64

// ClaimsByKassenzeichen finds the tenant's claims by their exact Kassenzeichen, final or not.
// What is none is left out.
func (s *Service) ClaimsByKassenzeichen(ctx context.Context, wanted []string) (found []Claim, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		found = nil
		for rest := wanted; len(rest) > 0; {
			n := min(len(rest), claimsAtOnce)
			args := make([]any, 1+claimsAtOnce)
			args[0] = tx.Tenant()
			for i := range claimsAtOnce {
				args[1+i] = rest[min(i, n-1)]
			}
			rest = rest[n:]
			var list []Claim
			if err := tx.Select(ctx, &list, `SELECT id, kassenzeichen, amount, state FROM transactions
				WHERE tenant_id = ? AND kassenzeichen IN (`+strings.Repeat(", ?", claimsAtOnce)[2:]+`)`, args...); err != nil {
				return err
			}
			found = append(found, list...)
		}
		return nil
	})
	return found, err
}

// Linked returns a context that acts for the tenant of a pay page, and the transaction, if the
// link is right: for pages of a part. Errors: unknown_payment, unknown_tenant.
func (s *Service) Linked(ctx context.Context, transaction, token string) (context.Context, id.ID, error) {
	tenantID, txID, err := s.links.read(transaction, token)
	if err != nil {
		return ctx, "", err
	}
	ctx, err = s.enter(ctx, tenantID)
	return ctx, txID, err
}
