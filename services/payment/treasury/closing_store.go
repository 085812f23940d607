package treasury

import (
	"context"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/money"
	"basisdienste/services/payment"
	"basisdienste/services/payment/ledger"
)

// closingOf returns the stored closing of a day. Error: db.ErrNoRows.
func closingOf(ctx context.Context, tx *db.Tx, day string) (body string, err error) {
	err = tx.Get(ctx, &body, `SELECT body FROM treasury_closings WHERE tenant_id = ? AND day = ?`, tx.Tenant(), day)
	return body, err
}

// nextClosing is the number of the next closing. Two that take the same fail at the insert.
func nextClosing(ctx context.Context, tx *db.Tx) (n int64, err error) {
	err = tx.Get(ctx, &n, `SELECT COALESCE(max(number), 0) + 1 FROM treasury_closings WHERE tenant_id = ?`, tx.Tenant())
	return n, err
}

func insertClosing(ctx context.Context, tx *db.Tx, c *Closing, body string) error {
	_, err := tx.Exec(ctx, `INSERT INTO treasury_closings (tenant_id, day, number, body, made_at) VALUES (?, ?, ?, ?, ?)`,
		tx.Tenant(), c.Day, c.Number, body, c.MadeAt)
	return err
}

// turnover is what one kind of booking moved between two accounts. A booking may have several
// moves: its first is counted.
type turnover struct {
	Kind   ledger.Kind    `db:"kind"`
	Debit  ledger.Account `db:"debit"`
	Credit ledger.Account `db:"credit"`
	sum
}

// turnovers sums up slice by slice: the database sorts what it groups, and a whole day of a
// large city would not fit into its memory.
func turnovers(ctx context.Context, tx *db.Tx, p period) ([]turnover, error) {
	type key struct {
		kind          ledger.Kind
		debit, credit ledger.Account
	}
	sums := map[key]*turnover{}
	var all []*turnover
	err := p.slices(func(p period) error {
		list, err := sliceTurnovers(ctx, tx, p)
		for _, t := range list {
			k := key{t.Kind, t.Debit, t.Credit}
			if sums[k] == nil {
				sums[k] = &turnover{Kind: t.Kind, Debit: t.Debit, Credit: t.Credit}
				all = append(all, sums[k])
			}
			sums[k].add(t.sum)
		}
		return err
	})
	list := make([]turnover, len(all))
	for i, t := range all {
		list[i] = *t
	}
	return list, err
}

func sliceTurnovers(ctx context.Context, tx *db.Tx, p period) (list []turnover, err error) {
	err = tx.Select(ctx, &list, `SELECT kind, debit, credit, CAST(sum(CASE WHEN n = 0 THEN 1 ELSE 0 END) AS BIGINT) AS count, CAST(sum(amount) AS BIGINT) AS amount
		FROM ledger WHERE tenant_id = ? AND at >= ? AND at < ? GROUP BY kind, debit, credit`, tx.Tenant(), db.NewTime(p.from), db.NewTime(p.until))
	return list, err
}

// paidShare is what the payments of a period by one method brought a budget line.
type paidShare struct {
	Method   payment.Method `db:"method"`
	Detail   string         `db:"method_detail"`
	Account  ledger.Account `db:"account"`
	Payments int64          `db:"payments"` // whose first budget line this is: each payment is in one share
	sum
}

// slice of a period in which the database sums up at once.
const slice = 15 * time.Minute

// slices calls f with the parts of the period, in their order.
func (p period) slices(f func(period) error) error {
	for from := p.from; from.Before(p.until); from = from.Add(slice) {
		part := period{from: from, until: from.Add(slice)}
		if part.until.After(p.until) {
			part.until = p.until
		}
		if err := f(part); err != nil {
			return err
		}
	}
	return nil
}

// paidShares splits each payment as its claim was booked.
func paidShares(ctx context.Context, tx *db.Tx, p period) (all []paidShare, err error) {
	sums := map[paidShare]int{} // where a share is, by what it is of
	err = p.slices(func(p period) error {
		list, err := slicePaidShares(ctx, tx, p)
		for _, s := range list {
			of := paidShare{Method: s.Method, Detail: s.Detail, Account: s.Account}
			at, known := sums[of]
			if !known {
				at, all = len(all), append(all, of)
				sums[of] = at
			}
			all[at].Payments += s.Payments
			all[at].add(s.sum)
		}
		return err
	})
	return all, err
}

func slicePaidShares(ctx context.Context, tx *db.Tx, p period) (list []paidShare, err error) {
	err = tx.Select(ctx, &list, `SELECT t.method, t.method_detail, c.credit AS account, count(*) AS count,
			CAST(sum(CASE WHEN c.n = 0 THEN 1 ELSE 0 END) AS BIGINT) AS payments, CAST(sum(c.amount) AS BIGINT) AS amount
		FROM ledger l
		JOIN transactions t ON t.tenant_id = l.tenant_id AND t.id = l.transaction_id
		JOIN ledger c ON c.tenant_id = l.tenant_id AND c.transaction_id = l.transaction_id AND c.kind = ?
		WHERE l.tenant_id = ? AND l.kind = ? AND l.at >= ? AND l.at < ? GROUP BY t.method, t.method_detail, c.credit`,
		ledger.Claim, tx.Tenant(), ledger.Paid, db.NewTime(p.from), db.NewTime(p.until))
	return list, err
}

// sumsOfTransactions is what the transactions themselves say.
type sumsOfTransactions struct {
	Paid money.Amount `db:"paid"` // in the period
	Open money.Amount `db:"still_open"`
}

// transactionSums reads the transactions in the order of time: the condition on the id keeps
// SQLite from taking another index, and so from jumping about in the file.
func transactionSums(ctx context.Context, tx *db.Tx, p period) (s sumsOfTransactions, err error) {
	from, until := db.NewTime(p.from), db.NewTime(p.until)
	err = tx.Get(ctx, &s, `SELECT
		CAST(COALESCE(sum(CASE WHEN state = 'PAYED' AND ended_at >= ? AND ended_at < ? THEN amount ELSE 0 END), 0) AS BIGINT) AS paid,
		CAST(COALESCE(sum(CASE WHEN ended_at IS NULL OR ended_at >= ? THEN amount ELSE 0 END), 0) AS BIGINT) AS still_open
		FROM transactions WHERE tenant_id = ? AND id > '' AND created_at < ?`, from, until, until, tx.Tenant(), until)
	return s, err
}

// unbooked sums up claims that were open at the end of the period and not in the books by then:
// a release before kept none, and they are booked when they end.
func unbooked(ctx context.Context, tx *db.Tx, p period) (amount money.Amount, err error) {
	until := db.NewTime(p.until)
	err = tx.Get(ctx, &amount, `SELECT CAST(COALESCE(sum(t.amount), 0) AS BIGINT) FROM transactions t
		WHERE t.tenant_id = ? AND t.created_at < ? AND (t.ended_at IS NULL OR t.ended_at >= ?) AND NOT EXISTS
		(SELECT 1 FROM ledger l WHERE l.tenant_id = t.tenant_id AND l.transaction_id = t.id AND l.kind = 'claim' AND l.at < ?)`,
		tx.Tenant(), until, until, until)
	return amount, err
}
