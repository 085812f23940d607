package treasury

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
	"basisdienste/services/payment/camt"
)

const (
	maxFile     = 64 << 20 // bytes
	loadAtOnce  = 500      // movements stored in one transaction
	matchAtOnce = 200      // movements looked at before they are stored
	payAtOnce   = 16       // claims paid at a time: they share the commits of SQLite
	matchInCall = 1000     // movements matched before the upload is answered; the job does the rest
	// givenUp is how old a statement is whose process is taken for dead while it loaded.
	givenUp = 15 * time.Minute
)

// statement as it is stored.
type statement struct {
	ID          id.ID         `db:"id"`
	Kind        camt.Kind     `db:"kind"`
	IBAN        string        `db:"iban"`
	StatementID string        `db:"statement_id"`
	Sequence    int64         `db:"sequence"`
	Page        int64         `db:"page"`
	State       string        `db:"state"`
	Opening     *money.Amount `db:"opening"`
	Closing     *money.Amount `db:"closing"`
	Credits     money.Amount  `db:"credits"`
	Debits      money.Amount  `db:"debits"`
	Entries     int64         `db:"entries"`
	Moves       int64         `db:"moves"`
	Matched     int64         `db:"matched"`
	ImportedBy  string        `db:"imported_by"`
	ImportedAt  db.Time       `db:"imported_at"`
}

// entry is a movement as it is stored.
type entry struct {
	N             int64        `db:"n"`
	Line          int64        `db:"line"`
	Entry         int64        `db:"entry"`
	Part          int64        `db:"part"`
	Amount        money.Amount `db:"amount"`
	Credit        bool         `db:"credit"`
	BookedOn      string       `db:"booked_on"`
	ValueOn       string       `db:"value_on"`
	EndToEnd      string       `db:"end_to_end"`
	Creditor      string       `db:"creditor"`
	Reference     string       `db:"reference"`
	Text          string       `db:"text"`
	Outcome       outcome      `db:"outcome"`
	Surplus       bool         `db:"surplus"`
	TransactionID id.ID        `db:"transaction_id"`
	Kassenzeichen string       `db:"kassenzeichen"`
	Settlement    string       `db:"settlement"` // provider/id
}

// Import takes a file of statements. It is read to its end before anything is stored.
// Errors: statement_too_large, statement_refused, statement_exists, statement_loading.
func (s *service) Import(ctx context.Context, body io.Reader) ([]statement, error) {
	file, err := s.receive(body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	moves, err := s.spool()
	if err != nil {
		return nil, err
	}
	defer func() { _ = moves.Close() }() // nothing of it is kept
	read, err := camt.Read(file, maxFile, moves.put)
	var refused *camt.Error
	if errors.As(err, &refused) {
		return nil, fault.Unprocessable("statement_refused", "line %d: %s; nothing was imported", refused.Line, refused.Reason)
	}
	if err != nil {
		return nil, err
	}
	stored, err := s.begin(ctx, read)
	if err != nil {
		return nil, err
	}
	if err := s.load(ctx, moves, stored); err != nil {
		return nil, err
	}
	left := matchInCall
	for i := range stored {
		n, err := s.match(ctx, &stored[i], left)
		if err != nil {
			s.log.WarnContext(ctx, "a statement is matched later", "statement", stored[i].ID, "error", err)
			break
		}
		if left -= n; left <= 0 {
			break
		}
	}
	for i := range stored {
		if stored[i], err = s.Statement(ctx, stored[i].ID); err != nil {
			return nil, err
		}
	}
	return stored, nil
}

// nameless makes a file without a name, which ends with the process at the latest.
func (s *service) nameless() (*os.File, error) {
	file, err := os.CreateTemp(s.dataDir, "statement-*")
	if err != nil {
		return nil, fmt.Errorf("receive statement: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// receive keeps the body in a file.
func (s *service) receive(body io.Reader) (*os.File, error) {
	file, err := s.nameless()
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(file, io.LimitReader(source{body}, maxFile+1))
	if err == nil && n > maxFile {
		err = fault.TooLarge("statement_too_large", "a file of statements has at most %d bytes", maxFile)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// source tells a sender that went away from a disk that is full.
type source struct{ r io.Reader }

func (s source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	var own *fault.Error
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &own) {
		err = fault.Invalid("body_unreadable", "the body ended early").Because(err)
	}
	return n, err
}

// begin stores the statements without their movements. Another process that died while it
// loaded one of them is succeeded. Errors: statement_exists, statement_loading.
func (s *service) begin(ctx context.Context, read []camt.Statement) ([]statement, error) {
	stored := make([]statement, len(read))
	err := s.db.Tx(ctx, func(tx *db.Tx) error {
		for i := range read {
			r := &read[i]
			stored[i] = statement{
				ID: id.New(), Kind: r.Kind, IBAN: r.IBAN, StatementID: r.ID, Sequence: r.Sequence, Page: r.Page, State: "loading",
				Opening: r.Opening, Closing: r.Closing, Credits: r.Credits, Debits: r.Debits, Entries: r.Entries, Moves: r.Moves,
				ImportedBy: audit.Actor(ctx), ImportedAt: tx.Now(),
			}
			was, err := same(ctx, tx, &stored[i])
			switch {
			case errors.Is(err, db.ErrNoRows):
			case err != nil:
				return err
			case slices.ContainsFunc(stored[:i], func(s statement) bool { return s.ID == was.ID }):
				return fault.Conflict("statement_exists", "the statement %q, number %d, stands twice in the file; nothing was imported", was.StatementID, was.Sequence)
			case was.State != "loading":
				return fault.Conflict("statement_exists", "the statement %q, number %d, of this account was imported at %s; nothing was imported now",
					was.StatementID, was.Sequence, was.ImportedAt.Format(time.RFC3339))
			case tx.Now().Sub(was.ImportedAt.Time) < givenUp:
				return fault.Conflict("statement_loading", "the statement %q, number %d, of this account is being imported at this moment", was.StatementID, was.Sequence).
					After(time.Minute)
			default:
				if err := forget(ctx, tx, was.ID); err != nil {
					return err
				}
			}
			if err := insertStatement(ctx, tx, &stored[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if db.IsUnique(err) { // somebody else was faster
		err = fault.Conflict("statement_exists", "a statement of the file was imported at this moment; nothing was imported now")
	}
	return stored, err
}

// load stores the movements and lets the statements be seen.
func (s *service) load(ctx context.Context, moves *spool, stored []statement) error {
	if err := moves.rewind(); err != nil {
		return err
	}
	var list []entry
	at := 0
	flush := func() error {
		if len(list) == 0 {
			return nil
		}
		err := s.sift(ctx, list)
		if err == nil {
			err = s.db.Tx(ctx, func(tx *db.Tx) error { return insertEntries(ctx, tx, stored[at].ID, list) })
		}
		list = list[:0]
		return err
	}
	err := moves.each(func(m *spooled) error {
		if m.Statement != at || len(list) == loadAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
		at, list = m.Statement, append(list, m.Entry)
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = s.db.Tx(ctx, func(tx *db.Tx) error {
			for i := range stored {
				if err := show(ctx, tx, stored[i].ID); err != nil {
					return err
				}
				if err := audit.Record(ctx, tx, "statement.imported", "statement:"+stored[i].ID.String(), map[string]any{"kind": stored[i].Kind, "moves": stored[i].Moves}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil {
		return nil
	}
	// Nothing is to be left of it, also when the caller is gone.
	ctx = context.WithoutCancel(ctx)
	return errors.Join(err, s.db.Tx(ctx, func(tx *db.Tx) error {
		for i := range stored {
			if err := forget(ctx, tx, stored[i].ID); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Match goes on with statements whose matching has not ended, of all tenants.
func (s *service) Match(ctx context.Context) error {
	sys := db.System(ctx)
	var list []struct {
		Tenant id.ID `db:"tenant_id"`
		statement
	}
	err := s.db.Read(sys, func(tx *db.Tx) error {
		return tx.Select(sys, &list, `SELECT tenant_id, `+statementColumns+` FROM treasury_statements WHERE state = 'matching' ORDER BY imported_at LIMIT 100`)
	})
	if err != nil {
		return err
	}
	var errs []error
	for i := range list {
		e, err := s.dir.ByID(ctx, list[i].Tenant)
		if err == nil {
			inTenant := tenantdir.With(db.For(ctx, e.Tenant), e)
			for n := matchAtOnce; err == nil && n > 0; {
				n, err = s.match(inTenant, &list[i].statement, matchInCall)
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// match looks at up to most movements of a statement that nobody has looked at, and returns at
// how many it did. Doing it twice at once, or again after a crash, changes nothing more.
func (s *service) match(ctx context.Context, of *statement, most int) (done int, err error) {
	for done < most {
		var list []entry
		err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
			list, err = openEntries(ctx, tx, of.ID, matchAtOnce)
			return err
		})
		if err != nil {
			return done, err
		}
		if len(list) == 0 {
			return done, s.db.Tx(ctx, func(tx *db.Tx) error { return finish(ctx, tx, of.ID) })
		}
		if err := s.judge(ctx, of, list); err != nil {
			return done, err
		}
		done += len(list)
	}
	return done, nil
}

// sift decides about the movements, before anybody sees them, that name nothing of ours: most of
// an account's, as a rule. The others are left open.
func (s *service) sift(ctx context.Context, list []entry) error {
	wordsOf, claims, err := s.claims(ctx, list)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].Outcome == open {
			_, list[i].Outcome = named(wordsOf[i], claims)
		}
	}
	return s.db.Read(ctx, func(tx *db.Tx) error {
		payouts, err := payoutsOf(ctx, tx, list, wordsOf)
		for i := range list {
			if list[i].Outcome == unknown && slices.ContainsFunc(wordsOf[i], func(w string) bool { _, is := payouts[w]; return is }) {
				list[i].Outcome = open
			}
		}
		return err
	})
}

// claims finds the claims that open movements name, by their Kassenzeichen, and gives the words
// of each movement.
func (s *service) claims(ctx context.Context, list []entry) (wordsOf [][]string, claims map[string]payment.Claim, err error) {
	var all []string
	wordsOf = make([][]string, len(list))
	for i, e := range list {
		if e.Outcome == open {
			wordsOf[i] = words(e.Text, e.Creditor, e.EndToEnd)
			all = append(all, wordsOf[i]...)
		}
	}
	found, err := s.payments.ClaimsByKassenzeichen(ctx, all)
	claims = make(map[string]payment.Claim, len(found))
	for _, c := range found {
		claims[c.Kassenzeichen] = c
	}
	return wordsOf, claims, err
}

// judge decides about open movements, and pays what they pay, several claims at once. What is
// decided about one is stored in the transaction that books it.
func (s *service) judge(ctx context.Context, of *statement, list []entry) error {
	wordsOf, claims, err := s.claims(ctx, list)
	if err != nil {
		return err
	}
	var rest []entry
	var restWords [][]string
	paying := map[id.ID][]entry{}
	for i := range list {
		e := list[i]
		claim, why := named(wordsOf[i], claims)
		if why != open {
			e.Outcome = why
			rest, restWords = append(rest, e), append(restWords, wordsOf[i])
			continue
		}
		e.TransactionID, e.Kassenzeichen = claim.ID, claim.Kassenzeichen
		paying[claim.ID] = append(paying[claim.ID], e)
	}
	if err := s.payAll(ctx, of, paying); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *db.Tx) error {
		payouts, err := payoutsOf(ctx, tx, rest, restWords)
		if err != nil {
			return err
		}
		for i := range rest {
			e := rest[i]
			if err := arrived(ctx, tx, of, &e, restWords[i], payouts); err != nil {
				return err
			}
			if err := saveEntry(ctx, tx, of.ID, &e); err != nil {
				return err
			}
		}
		return nil
	})
}

// payAll pays claims, each by its movements in their order.
func (s *service) payAll(ctx context.Context, of *statement, paying map[id.ID][]entry) error {
	claims := slices.Collect(maps.Values(paying))
	errs := make([]error, min(payAtOnce, len(claims)))
	var workers sync.WaitGroup
	for w := range errs {
		workers.Go(func() {
			for i := w; i < len(claims) && errs[w] == nil; i += len(errs) {
				for _, e := range claims[i] {
					if errs[w] = s.pay(ctx, of, e); errs[w] != nil {
						break
					}
				}
			}
		})
	}
	workers.Wait()
	return errors.Join(errs...)
}

// pay pays the claim that the movement names. The claim's lock keeps other files that tell of
// the same money from being looked at meanwhile.
func (s *service) pay(ctx context.Context, of *statement, e entry) error {
	return s.payments.PaidByTransfer(ctx, e.TransactionID, payment.Transfer{
		Amount: e.Amount, Reference: fmt.Sprintf("%s.%d", of.ID, e.N),
		Wanted: func(ctx context.Context, tx *db.Tx) (bool, error) {
			if is, err := isOpen(ctx, tx, of.ID, e.N); err != nil || !is {
				return false, err
			}
			here, there, err := told(ctx, tx, of, &e)
			if err != nil || there <= here {
				return err == nil, err
			}
			twin := e
			twin.Outcome = reportedBefore
			return false, saveEntry(ctx, tx, of.ID, &twin)
		},
		Done: func(ctx context.Context, tx *db.Tx, did payment.Transferred, was payment.State) error {
			end := e
			if end.Outcome, end.Surplus = became(was, did); end.Outcome == matched {
				end.Text = "" // it has served
			}
			return saveEntry(ctx, tx, of.ID, &end)
		},
	})
}
