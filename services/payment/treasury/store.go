package treasury

import (
	"context"
	"errors"
	"strings"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/services/payment/camt"
)

const statementColumns = `id, kind, iban, statement_id, sequence, page, state, opening, closing, credits, debits, entries, moves, matched,
	imported_by, imported_at`

const entryColumns = `n, line, entry, part, amount, credit, booked_on, value_on, end_to_end, creditor, reference, text,
	outcome, surplus, transaction_id, kassenzeichen, settlement`

func insertStatement(ctx context.Context, tx *db.Tx, s *statement) error {
	_, err := tx.Exec(ctx, `INSERT INTO treasury_statements (tenant_id, `+statementColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.Tenant(), s.ID, s.Kind, s.IBAN, s.StatementID, s.Sequence, s.Page, s.State, s.Opening, s.Closing, s.Credits, s.Debits, s.Entries, s.Moves,
		s.Matched, s.ImportedBy, s.ImportedAt)
	return err
}

// same finds the statement that was imported before. Error: db.ErrNoRows.
func same(ctx context.Context, tx *db.Tx, s *statement) (was statement, err error) {
	err = tx.Get(ctx, &was, `SELECT `+statementColumns+` FROM treasury_statements
		WHERE tenant_id = ? AND kind = ? AND iban = ? AND statement_id = ? AND sequence = ? AND page = ?`,
		tx.Tenant(), s.Kind, s.IBAN, s.StatementID, s.Sequence, s.Page)
	return was, err
}

// forget takes away a statement that was not loaded to its end.
func forget(ctx context.Context, tx *db.Tx, statementID id.ID) error {
	if _, err := tx.Exec(ctx, `DELETE FROM treasury_entries WHERE tenant_id = ? AND statement IN
		(SELECT id FROM treasury_statements WHERE tenant_id = ? AND id = ? AND state = 'loading')`, tx.Tenant(), tx.Tenant(), statementID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM treasury_statements WHERE tenant_id = ? AND id = ? AND state = 'loading'`, tx.Tenant(), statementID)
	return err
}

// show ends loading. Error: statement_loading, if somebody else took the statement over.
func show(ctx context.Context, tx *db.Tx, statementID id.ID) error {
	n, err := tx.Exec(ctx, `UPDATE treasury_statements SET state = 'matching' WHERE tenant_id = ? AND id = ? AND state = 'loading'`, tx.Tenant(), statementID)
	if err == nil && n != 1 {
		err = fault.Conflict("statement_taken_over", "the import took too long, and the same statement was sent again meanwhile")
	}
	return err
}

// finish ends matching and counts what matched.
func finish(ctx context.Context, tx *db.Tx, statementID id.ID) error {
	_, err := tx.Exec(ctx, `UPDATE treasury_statements SET state = 'done', matched =
		(SELECT count(*) FROM treasury_entries e WHERE e.tenant_id = ? AND e.statement = ? AND e.outcome IN ('matched', 'settlement'))
		WHERE tenant_id = ? AND id = ? AND state = 'matching'`, tx.Tenant(), statementID, tx.Tenant(), statementID)
	return err
}

func insertEntries(ctx context.Context, tx *db.Tx, statementID id.ID, list []entry) error {
	const columns, atOnce = 19, 50
	for len(list) > 0 {
		part := list[:min(len(list), atOnce)]
		list = list[len(part):]
		args := make([]any, 0, columns*len(part))
		for _, e := range part {
			args = append(args, tx.Tenant(), statementID, e.N, e.Line, e.Entry, e.Part, e.Amount, e.Credit, e.BookedOn, e.ValueOn, e.EndToEnd, e.Creditor,
				e.Reference, e.Text, e.Outcome, e.Surplus, e.TransactionID, e.Kassenzeichen, e.Settlement)
		}
		if err := tx.Send(ctx, `INSERT INTO treasury_entries (tenant_id, statement, `+entryColumns+`) VALUES `+
			strings.Repeat(`, (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, len(part))[2:], args...); err != nil {
			return err
		}
	}
	return nil
}

// saveEntry writes what was decided about a movement.
func saveEntry(ctx context.Context, tx *db.Tx, statementID id.ID, e *entry) error {
	_, err := tx.Exec(ctx, `UPDATE treasury_entries SET outcome = ?, surplus = ?, transaction_id = ?, kassenzeichen = ?, settlement = ?, text = ?
		WHERE tenant_id = ? AND statement = ? AND n = ? AND outcome = 'open'`,
		e.Outcome, e.Surplus, e.TransactionID, e.Kassenzeichen, e.Settlement, e.Text, tx.Tenant(), statementID, e.N)
	return err
}

func openEntries(ctx context.Context, tx *db.Tx, statementID id.ID, limit int) (list []entry, err error) {
	err = tx.Select(ctx, &list, `SELECT `+entryColumns+` FROM treasury_entries WHERE tenant_id = ? AND statement = ? AND outcome = 'open' ORDER BY n LIMIT ?`,
		tx.Tenant(), statementID, limit)
	return list, err
}

// isOpen reports whether nobody has decided about the movement yet.
func isOpen(ctx context.Context, tx *db.Tx, statementID id.ID, n int64) (bool, error) {
	var is outcome
	err := tx.Get(ctx, &is, `SELECT outcome FROM treasury_entries WHERE tenant_id = ? AND statement = ? AND n = ?`, tx.Tenant(), statementID, n)
	return is == open, err
}

// told counts how often files of the same kind and of the other one have told, before this
// movement, of money for its claim: the same amount on the same account.
func told(ctx context.Context, tx *db.Tx, of *statement, e *entry) (here, there int, err error) {
	var rows []struct {
		Kind   camt.Kind `db:"kind"`
		Number int       `db:"number"`
	}
	err = tx.Select(ctx, &rows, `SELECT s.kind, count(*) AS number FROM treasury_entries e
		JOIN treasury_statements s ON s.tenant_id = e.tenant_id AND s.id = e.statement
		WHERE e.tenant_id = ? AND e.transaction_id = ? AND e.transaction_id <> '' AND e.amount = ? AND s.iban = ?
		AND (e.statement <> ? OR e.n < ?) GROUP BY s.kind`, tx.Tenant(), e.TransactionID, e.Amount, of.IBAN, of.ID, e.N)
	for _, r := range rows {
		if r.Kind == of.Kind {
			here += r.Number
		} else {
			there += r.Number
		}
	}
	return here, there, err
}

// statements lists the newest first; those that are loading are left out.
func statements(ctx context.Context, tx *db.Tx, before id.ID, limit int) (list []statement, err error) {
	if before == "" {
		before = "g" // behind every id, in every collation
	}
	err = tx.Select(ctx, &list, `SELECT `+statementColumns+` FROM treasury_statements WHERE tenant_id = ? AND id < ? AND state <> 'loading'
		ORDER BY id DESC LIMIT ?`, tx.Tenant(), before, limit)
	return list, err
}

// statementByID reads one. Error: unknown_statement.
func statementByID(ctx context.Context, tx *db.Tx, statementID id.ID) (s statement, err error) {
	err = tx.Get(ctx, &s, `SELECT `+statementColumns+` FROM treasury_statements WHERE tenant_id = ? AND id = ? AND state <> 'loading'`, tx.Tenant(), statementID)
	if errors.Is(err, db.ErrNoRows) {
		return s, errUnknownStatement()
	}
	return s, err
}

func errUnknownStatement() error {
	return fault.NotFound("unknown_statement", "there is no such statement here")
}

// entries lists the movements of a statement behind n: all, those that matched, or the others.
func entries(ctx context.Context, tx *db.Tx, statementID id.ID, which *bool, after int64, limit int) (list []entry, err error) {
	narrow := ""
	if which != nil && *which {
		narrow = ` AND outcome IN ('matched', 'settlement')`
	} else if which != nil {
		narrow = ` AND outcome NOT IN ('matched', 'settlement')`
	}
	err = tx.Select(ctx, &list, `SELECT `+entryColumns+` FROM treasury_entries WHERE tenant_id = ? AND statement = ? AND n > ?`+narrow+` ORDER BY n LIMIT ?`,
		tx.Tenant(), statementID, after, limit)
	return list, err
}
