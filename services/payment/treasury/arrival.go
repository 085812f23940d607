package treasury

import (
	"context"
	"slices"

	"basisdienste/platform/db"
	"basisdienste/services/payment/settlement"
)

// payoutsOf finds the settlements that movements name which name no claim, by their ids.
func payoutsOf(ctx context.Context, tx *db.Tx, list []entry, wordsOf [][]string) (map[string]settlement.Settlement, error) {
	const atOnce = 1000
	if some, err := settlement.Any(ctx, tx); err != nil || !some {
		return nil, err
	}
	var all []string
	for i := range list {
		if list[i].Outcome == unknown {
			all = append(all, wordsOf[i]...)
		}
	}
	found := map[string]settlement.Settlement{}
	for part := range slices.Chunk(all, atOnce) {
		list, err := settlement.ByID(ctx, tx, part)
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			found[s.ID] = s
		}
	}
	return found, nil
}

// arrived decides about a movement that names no claim: if it names a settlement and has its
// amount, it is that money. A second one is the other kind of file that tells of it.
func arrived(ctx context.Context, tx *db.Tx, of *statement, e *entry, words []string, payouts map[string]settlement.Settlement) error {
	if e.Outcome != unknown {
		return nil
	}
	for _, w := range words {
		s, named := payouts[w]
		if !named || s.Amount != e.Amount {
			continue
		}
		first, err := settlement.Arrive(ctx, tx, &s, of.ID.String(), e.N)
		if err != nil {
			return err
		}
		e.Outcome, e.Settlement, e.Text = paidOut, s.Provider+"/"+s.ID, "" // the text has served
		if !first {
			e.Outcome = reportedBefore
		}
		return nil
	}
	return nil
}
