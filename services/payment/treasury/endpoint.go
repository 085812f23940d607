package treasury

import (
	"context"
	"io"
	"mime"
	"net/http"
	"strconv"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/money"
	"basisdienste/platform/page"
	"basisdienste/platform/tenant"
)

const (
	defaultLimit = 50
	maxLimit     = 200
)

// importRequest is a file, read from the wire while it is taken.
type importRequest struct {
	kit.NoBody
	body io.Reader
}

// FromHTTP looks at what was announced. Errors: xml_expected, statement_too_large.
func (q *importRequest) FromHTTP(r *http.Request) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/xml" && media != "text/xml" {
		return fault.Unsupported("xml_expected", "send the statement as application/xml")
	}
	if r.ContentLength > maxFile {
		return fault.TooLarge("statement_too_large", "a file of statements has at most %d bytes", maxFile)
	}
	q.body = r.Body
	return nil
}

// statementView is a statement in the API.
type statementView struct {
	ID          id.ID         `json:"id"`
	Kind        string        `json:"kind"`
	IBAN        string        `json:"iban"`
	StatementID string        `json:"statement_id"`
	Sequence    int64         `json:"sequence"`
	Page        int64         `json:"page"`
	State       string        `json:"state"`
	Opening     *money.Amount `json:"opening,omitempty"`
	Closing     *money.Amount `json:"closing,omitempty"`
	Credits     money.Amount  `json:"credits"`
	Debits      money.Amount  `json:"debits"`
	Entries     int64         `json:"entries"`
	Movements   int64         `json:"movements"`
	Matched     *int64        `json:"matched,omitempty"` // when all were looked at
	ImportedBy  string        `json:"imported_by,omitempty"`
	ImportedAt  db.Time       `json:"imported_at"`
}

func viewOf(s *statement) statementView {
	v := statementView{
		ID: s.ID, Kind: string(s.Kind), IBAN: s.IBAN, StatementID: s.StatementID, Sequence: s.Sequence, Page: s.Page, State: s.State,
		Opening: s.Opening, Closing: s.Closing, Credits: s.Credits, Debits: s.Debits, Entries: s.Entries, Movements: s.Moves,
		ImportedBy: s.ImportedBy, ImportedAt: s.ImportedAt,
	}
	if s.State == "done" {
		v.Matched = &s.Matched
	}
	return v
}

// imported is what a file held.
type imported page.List[statementView]

// StatusCode of an import.
func (imported) StatusCode() int { return http.StatusCreated }

func (s *service) importFile(ctx context.Context, q importRequest) (imported, error) {
	answer := imported{Items: []statementView{}}
	list, err := s.Import(ctx, q.body)
	for i := range list {
		answer.Items = append(answer.Items, viewOf(&list[i]))
	}
	return answer, err
}

// listRequest asks for statements.
type listRequest struct {
	limit  int
	cursor string
}

// FromHTTP reads the query. Error: invalid_limit.
func (q *listRequest) FromHTTP(r *http.Request) (err error) {
	q.cursor = r.URL.Query().Get("cursor")
	q.limit, err = page.Limit(r.URL.Query().Get("limit"), defaultLimit, maxLimit)
	return err
}

func (s *service) list(ctx context.Context, q listRequest) (answer page.List[statementView], err error) {
	t, _ := tenant.From(ctx)
	signer := s.cursors.For("treasury-statements", t.ID.String())
	var before id.ID
	if err := signer.Decode(q.cursor, &before); err != nil {
		return answer, err
	}
	var rows []statement
	err = s.db.Read(ctx, func(tx *db.Tx) (err error) {
		rows, err = statements(ctx, tx, before, q.limit+1)
		return err
	})
	if err != nil {
		return answer, err
	}
	views := make([]statementView, len(rows))
	for i := range rows {
		views[i] = viewOf(&rows[i])
	}
	return page.Cut(signer, views, q.limit, func(last statementView) any { return last.ID })
}

// statementRequest names a statement.
type statementRequest struct{ id id.ID }

// FromHTTP reads the path. Error: unknown_statement.
func (q *statementRequest) FromHTTP(r *http.Request) (err error) {
	if q.id, err = id.Parse(r.PathValue("statement")); err != nil {
		return errUnknownStatement()
	}
	return nil
}

func (s *service) get(ctx context.Context, q statementRequest) (statementView, error) {
	found, err := s.Statement(ctx, q.id)
	return viewOf(&found), err
}

// entriesRequest asks for movements of a statement.
type entriesRequest struct {
	statementRequest
	listRequest
	matched *bool
}

// FromHTTP reads path and query. Errors: unknown_statement, invalid_limit, invalid_matched.
func (q *entriesRequest) FromHTTP(r *http.Request) error {
	if err := q.statementRequest.FromHTTP(r); err != nil {
		return err
	}
	if text := r.URL.Query().Get("matched"); text != "" {
		which, err := strconv.ParseBool(text)
		if err != nil || text != "true" && text != "false" {
			return fault.Invalid("invalid_matched", "matched is true or false").
				With(fault.Field{Name: "matched", Code: "invalid_matched", Detail: "true or false"})
		}
		q.matched = &which
	}
	return q.listRequest.FromHTTP(r)
}

// entryView is a movement in the API.
type entryView struct {
	Number        int64        `json:"number"`
	Entry         int64        `json:"entry"`
	Part          int64        `json:"part,omitempty"`
	Line          int64        `json:"line"`
	Amount        money.Amount `json:"amount"`
	Credit        bool         `json:"credit"`
	BookedOn      string       `json:"booked_on,omitempty"`
	ValueOn       string       `json:"value_on,omitempty"`
	EndToEnd      string       `json:"end_to_end_id,omitempty"`
	Creditor      string       `json:"creditor_reference,omitempty"`
	BankReference string       `json:"bank_reference,omitempty"`
	Text          string       `json:"text,omitempty"`
	Matched       bool         `json:"matched"`
	Outcome       outcome      `json:"outcome"`
	Surplus       bool         `json:"surplus"`
	TransactionID id.ID        `json:"transaction_id,omitempty"`
	Kassenzeichen string       `json:"kassenzeichen,omitempty"`
	Settlement    string       `json:"settlement,omitempty"` // provider/id
}

func (s *service) entries(ctx context.Context, q entriesRequest) (answer page.List[entryView], err error) {
	t, _ := tenant.From(ctx)
	which := "all"
	if q.matched != nil {
		which = strconv.FormatBool(*q.matched)
	}
	signer := s.cursors.For("treasury-entries", t.ID.String(), q.id.String(), which)
	var after int64
	if err := signer.Decode(q.cursor, &after); err != nil {
		return answer, err
	}
	var rows []entry
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		if _, err := statementByID(ctx, tx, q.id); err != nil {
			return err
		}
		rows, err = entries(ctx, tx, q.id, q.matched, after, q.limit+1)
		return err
	})
	if err != nil {
		return answer, err
	}
	views := make([]entryView, len(rows))
	for i, e := range rows {
		views[i] = entryView{
			Number: e.N, Entry: e.Entry, Part: e.Part, Line: e.Line, Amount: e.Amount, Credit: e.Credit, BookedOn: e.BookedOn, ValueOn: e.ValueOn,
			EndToEnd: e.EndToEnd, Creditor: e.Creditor, BankReference: e.Reference, Text: e.Text,
			Matched: e.Outcome.found(), Outcome: e.Outcome, Surplus: e.Surplus, TransactionID: e.TransactionID, Kassenzeichen: e.Kassenzeichen,
			Settlement: e.Settlement,
		}
	}
	return page.Cut(signer, views, q.limit, func(last entryView) any { return last.Number })
}
