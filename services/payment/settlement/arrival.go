package settlement

import (
	"context"

	"basisdienste/platform/db"
)

// Any reports whether there are settlements at all.
func Any(ctx context.Context, tx *db.Tx) (found bool, err error) {
	err = tx.Get(ctx, &found, `SELECT EXISTS (SELECT 1 FROM settlements WHERE tenant_id = ?)`, tx.Tenant())
	return found, err
}

// ByID finds the settlements that have one of the ids, of whatever provider, but for those
// that failed. A bank statement names the id alone.
func ByID(ctx context.Context, tx *db.Tx, ids []string) (found []Settlement, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	query, args, err := db.In(`SELECT `+settlementColumns+` FROM settlements WHERE tenant_id = ? AND id IN (?) AND state <> 'failed'`, tx.Tenant(), ids)
	if err != nil {
		return nil, err
	}
	err = tx.Select(ctx, &found, query, args...)
	return found, err
}

// Arrive notes that a movement of a bank statement is the settlement's money, and reports
// whether it is the first one that does.
func Arrive(ctx context.Context, tx *db.Tx, s *Settlement, statement string, movement int64) (first bool, err error) {
	n, err := tx.Exec(ctx, `UPDATE settlements SET arrived_in = ?, arrived_as = ? WHERE tenant_id = ? AND provider = ? AND id = ? AND arrived_in = ''`,
		statement, movement, tx.Tenant(), s.Provider, s.ID)
	return n == 1, err
}
