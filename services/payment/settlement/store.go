package settlement

import (
	"context"
	"strings"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/outbox"
	"basisdienste/services/payment/ledger"
)

const (
	settlementColumns = `provider, id, amount, currency, state, arrives_at, created_at, complete, arrived_in, arrived_as`
	lineColumns       = `n, id, kind, source, transaction_id, amount, fee, net, at`
)

// Save keeps how a settlement stands and books what is new: its lines, the payout, a payout
// that came back. It is an error if the lines do not sum up to the amount.
func Save(ctx context.Context, tx *db.Tx, s Settlement) error {
	if err := s.check(); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO settlements (tenant_id, provider, id, amount, currency, state, arrives_at, created_at, complete, arrived_in, arrived_as)
		VALUES (?, ?, ?, ?, ?, 'pending', ?, ?, false, '', 0) ON CONFLICT (tenant_id, provider, id) DO NOTHING`,
		tx.Tenant(), s.Provider, s.ID, s.Amount, s.Currency, s.ArrivesAt, s.CreatedAt); err != nil {
		return err
	}
	var known Settlement
	err := tx.Get(ctx, &known, `SELECT `+settlementColumns+` FROM settlements WHERE tenant_id = ? AND provider = ? AND id = ?`+tx.ForUpdate(),
		tx.Tenant(), s.Provider, s.ID)
	if err != nil {
		return err
	}
	n, err := known.follow(&s)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE settlements SET state = ?, arrives_at = ?, complete = ?, check_at = ? WHERE tenant_id = ? AND provider = ? AND id = ?`,
		known.State, known.ArrivesAt, known.Complete, known.nextCheck(tx.Now()), tx.Tenant(), s.Provider, s.ID); err != nil {
		return err
	}
	if n.lines {
		if err := insertLines(ctx, tx, &s); err != nil {
			return err
		}
	}
	if s.Currency == booksIn {
		if err := s.book(ctx, tx, n); err != nil {
			return err
		}
	}
	if !n.done {
		return nil
	}
	lines := int64(len(s.Lines))
	if !n.lines { // they came before
		if err := tx.Get(ctx, &lines, `SELECT count(*) FROM settlement_lines WHERE tenant_id = ? AND provider = ? AND settlement_id = ?`,
			tx.Tenant(), s.Provider, s.ID); err != nil {
			return err
		}
	}
	return outbox.Put(ctx, tx, events.SettlementCompleted{
		Provider: s.Provider, SettlementID: s.ID, Amount: int64(s.Amount), Currency: s.Currency, Lines: lines, At: tx.Now().Time,
	})
}

// book books what is new of a settlement.
func (s *Settlement) book(ctx context.Context, tx *db.Tx, n news) error {
	var list []ledger.Booking
	if n.lines {
		for i := range s.Lines {
			list = append(list, s.Lines[i].bookings(s.Provider)...)
		}
	}
	payout := moved(ledger.Bank, ledger.Clearing(s.Provider), s.Amount)
	if n.paid {
		list = append(list, ledger.Booking{Kind: ledger.Payout, Reference: reference(s.Provider, s.ID), Moves: payout})
	}
	if n.cameBack {
		list = append(list, ledger.Booking{Kind: ledger.PayoutFailed, Reference: reference(s.Provider, s.ID), Moves: ledger.Back(payout)})
	}
	for _, b := range list {
		if err := book(ctx, tx, b); err != nil {
			return err
		}
	}
	return nil
}

func insertLines(ctx context.Context, tx *db.Tx, s *Settlement) error {
	const columns, atOnce = 12, 50
	for left := s.Lines; len(left) > 0; {
		part := left[:min(len(left), atOnce)]
		left = left[len(part):]
		args := make([]any, 0, columns*len(part))
		for _, l := range part {
			args = append(args, tx.Tenant(), s.Provider, s.ID, l.N, l.ID, l.Kind, l.Source, l.Transaction, l.Amount, l.Fee, l.Net, l.At)
		}
		if err := tx.Send(ctx, `INSERT INTO settlement_lines (tenant_id, provider, settlement_id, `+lineColumns+`) VALUES `+
			strings.Repeat(`, (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, len(part))[2:], args...); err != nil {
			return err
		}
	}
	return nil
}

// Get reads a settlement without its lines. Error: db.ErrNoRows.
func Get(ctx context.Context, tx *db.Tx, provider, settlement string) (s Settlement, err error) {
	err = tx.Get(ctx, &s, `SELECT `+settlementColumns+` FROM settlements WHERE tenant_id = ? AND provider = ? AND id = ?`,
		tx.Tenant(), provider, settlement)
	return s, err
}

// Lines reads the lines of a settlement behind number after, in their order.
func Lines(ctx context.Context, tx *db.Tx, provider, settlement string, after int64, limit int) (list []Line, err error) {
	err = tx.Select(ctx, &list, `SELECT `+lineColumns+` FROM settlement_lines WHERE tenant_id = ? AND provider = ? AND settlement_id = ? AND n > ?
		ORDER BY n LIMIT ?`, tx.Tenant(), provider, settlement, after, limit)
	return list, err
}

// Sum of the lines of one kind.
type Sum struct {
	Kind    Kind         `db:"kind"`
	Lines   int64        `db:"lines"`
	Amount  money.Amount `db:"amount"`
	Fee     money.Amount `db:"fee"`
	Net     money.Amount `db:"net"`
	Foreign money.Amount `db:"foreign_net"` // of Net: payments, refunds and disputes of none of ours
}

// Sums adds up the lines of a settlement by kind.
func Sums(ctx context.Context, tx *db.Tx, provider, settlement string) (list []Sum, err error) {
	err = tx.Select(ctx, &list, `SELECT kind, count(*) AS lines, CAST(sum(amount) AS BIGINT) AS amount, CAST(sum(fee) AS BIGINT) AS fee,
			CAST(sum(net) AS BIGINT) AS net,
			CAST(sum(CASE WHEN transaction_id = '' AND kind NOT IN ('fee', 'other', 'payout_failed') THEN net ELSE 0 END) AS BIGINT) AS foreign_net
		FROM settlement_lines WHERE tenant_id = ? AND provider = ? AND settlement_id = ? GROUP BY kind ORDER BY kind`, tx.Tenant(), provider, settlement)
	return list, err
}

// Filter narrows a list of settlements or disputes; what is zero does not.
type Filter struct {
	Provider string
	State    string
	From     db.Time // when it was made
	Until    db.Time // excluded
	After    Place   // the last one of the page before
	Limit    int
}

// Place of a settlement or dispute in a list.
type Place struct {
	At       db.Time `json:"at"`
	Provider string  `json:"provider"`
	ID       string  `json:"id"`
}

// where is the condition, the order and the limit.
func (f *Filter) where(tx *db.Tx) (text string, args []any) {
	parts := []string{`tenant_id = ?`}
	args = []any{tx.Tenant()}
	add := func(wanted bool, part string, values ...any) {
		if wanted {
			parts, args = append(parts, part), append(args, values...)
		}
	}
	add(f.Provider != "", `provider = ?`, f.Provider)
	add(f.State != "", `state = ?`, f.State)
	add(!f.From.IsZero(), `created_at >= ?`, f.From)
	add(!f.Until.IsZero(), `created_at < ?`, f.Until)
	add(f.After.ID != "", `(created_at, provider, id) < (?, ?, ?)`, f.After.At, f.After.Provider, f.After.ID)
	return strings.Join(parts, ` AND `) + ` ORDER BY created_at DESC, provider DESC, id DESC LIMIT ?`, append(args, f.Limit)
}

// List lists settlements without their lines, the newest first.
func List(ctx context.Context, tx *db.Tx, f Filter) (list []Settlement, err error) {
	where, args := f.where(tx)
	err = tx.Select(ctx, &list, `SELECT `+settlementColumns+` FROM settlements WHERE `+where, args...)
	return list, err
}

// Due is a settlement that its provider has to be asked about.
type Due struct {
	Tenant id.ID  `db:"tenant_id"`
	ID     string `db:"id"`
}

// Claim returns settlements of a provider that are not complete, or not paid, and were not
// looked at for a while. Each is due again later, whatever becomes of this look. For db.System
// contexts; several processes may ask at once.
func Claim(ctx context.Context, tx *db.Tx, provider string, limit int) (list []Due, err error) {
	err = tx.Select(ctx, &list, `SELECT tenant_id, id FROM settlements WHERE check_at <= ? AND provider = ? ORDER BY check_at LIMIT ?`+tx.SkipLocked(),
		tx.Now(), provider, limit)
	for _, d := range list {
		if err := tx.Send(ctx, `UPDATE settlements SET check_at = ? WHERE tenant_id = ? AND provider = ? AND id = ?`,
			db.NewTime(tx.Now().Add(askEvery)), d.Tenant, provider, d.ID); err != nil {
			return nil, err
		}
	}
	return list, err
}
