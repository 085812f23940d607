package payment

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"basisdienste/platform/db"
	"basisdienste/platform/money"
	"basisdienste/services/payment/ledger"
)

// noBudgetLine stands in the books for items whose booking data name none.
const noBudgetLine = "-"

// budgetLine joins the values of the booking data that name where the treasury books an item.
func budgetLine(data map[string]string, keys []string) string {
	var parts []string
	for _, k := range keys {
		if v := data[k]; v != "" {
			parts = append(parts, v)
		}
	}
	if len(parts) == 0 {
		return noBudgetLine
	}
	return strings.Join(parts, ".")
}

// claimMoves is the Sollstellung of items: each budget line earns what its items cost.
func claimMoves(items []Item, keys []string) []ledger.Move {
	var moves []ledger.Move
	for _, i := range items {
		amount, earns := i.TotalNet+i.TotalTax, ledger.Revenue(budgetLine(i.BookingData, keys))
		at := slices.IndexFunc(moves, func(m ledger.Move) bool { return m.Credit == earns })
		switch {
		case amount == 0:
		case at >= 0:
			moves[at].Amount += amount
		default:
			moves = append(moves, ledger.Move{Debit: ledger.Claims, Credit: earns, Amount: amount})
		}
	}
	return moves
}

// bookClaim books what the payer owes, once.
func bookClaim(ctx context.Context, tx *db.Tx, t *Transaction, items []Item, settings Settings) error {
	return ledger.Book(ctx, tx, ledger.Booking{Transaction: t.ID, Kind: ledger.Claim, Moves: claimMoves(items, settings.BudgetKeys)})
}

// claimed returns how the claim was booked. One of a release that kept no books is booked now.
func claimed(ctx context.Context, tx *db.Tx, t *Transaction, settings Settings) ([]ledger.Move, error) {
	rows, err := ledger.Of(ctx, tx, t.ID)
	if err != nil {
		return nil, err
	}
	var moves []ledger.Move
	for _, r := range rows {
		if r.Kind == ledger.Claim {
			moves = append(moves, ledger.Move{Debit: r.Debit, Credit: r.Credit, Amount: r.Amount})
		}
	}
	if len(moves) > 0 {
		return moves, nil
	}
	items, err := t.ItemList.Items()
	if err != nil {
		return nil, err
	}
	return claimMoves(items, settings.BudgetKeys), bookClaim(ctx, tx, t, items, settings)
}

// bookEnd books what a transaction's end means: money came in, or the claim is dropped.
func bookEnd(ctx context.Context, tx *db.Tx, t *Transaction, a *Attempt, settings Settings) error {
	owed, err := claimed(ctx, tx, t, settings)
	switch {
	case err != nil:
		return err
	case t.State != Payed:
		return ledger.Book(ctx, tx, ledger.Booking{Transaction: t.ID, Kind: ledger.Dropped, Moves: ledger.Back(owed)})
	case ledger.Sum(owed) != t.Amount:
		return fmt.Errorf("transaction %s: %s was claimed and %s paid", t.ID, ledger.Sum(owed), t.Amount)
	}
	return ledger.Book(ctx, tx, ledger.Booking{
		Transaction: t.ID, Kind: ledger.Paid, Reference: a.ID.String(),
		Moves: taken(a.Provider, ledger.Claims, t.Amount),
	})
}

// bookSurplus books money that came in for a transaction that had ended: it is owed back.
func bookSurplus(ctx context.Context, tx *db.Tx, t *Transaction, a *Attempt) error {
	return ledger.Book(ctx, tx, ledger.Booking{
		Transaction: t.ID, Kind: ledger.Overpaid, Reference: a.ID.String(),
		Moves: taken(a.Provider, ledger.Surplus, t.Amount),
	})
}

func taken(provider string, from ledger.Account, amount money.Amount) []ledger.Move {
	return []ledger.Move{{Debit: ledger.Clearing(provider), Credit: from, Amount: amount}}
}
