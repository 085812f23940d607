package treasury

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment"
	"basisdienste/services/payment/ledger"
)

const (
	// rowsAtOnce are read from the database together, and then sent.
	rowsAtOnce = 2000
	// bookingsAtOnce are read with their budget lines, of which most have one or two.
	bookingsAtOnce = 1000
)

// exported says which bookings an export holds, and with what sign: those that add to what is
// claimed or was paid, and those that take away.
type exported struct {
	name  string // of the file
	plus  []ledger.Kind
	minus []ledger.Kind
}

// exports by the last part of their path: what the treasury books as Soll and as Ist.
var exports = map[string]exported{
	"claims":   {"sollstellungen", []ledger.Kind{ledger.Claim}, []ledger.Kind{ledger.Dropped}},
	"payments": {"istbuchungen", []ledger.Kind{ledger.Paid, ledger.Overpaid, ledger.RefundFailed, ledger.DisputeWon}, []ledger.Kind{ledger.Refund, ledger.Dispute}},
}

// Row of an export: a booking's share of one budget line. Its key is Transaction, Kind,
// Reference and Position. There is nothing of the payer in it.
type Row struct {
	Transaction   string       `json:"transaction_id" xml:"transactionId"`
	Kind          string       `json:"kind" xml:"kind"`
	Reference     string       `json:"reference" xml:"reference"`
	Position      int64        `json:"position" xml:"position"` // from 1 on
	BookedOn      string       `json:"booked_on" xml:"bookedOn"`
	BookedAt      string       `json:"booked_at" xml:"bookedAt"`
	Kassenzeichen string       `json:"kassenzeichen" xml:"kassenzeichen"`
	BudgetLine    string       `json:"budget_line" xml:"budgetLine"` // empty where none is named
	Amount        money.Amount `json:"amount" xml:"-"`
	Originator    string       `json:"originator_id" xml:"originatorId"`
	Method        string       `json:"method" xml:"method,omitempty"`
	MethodDetail  string       `json:"method_detail" xml:"methodDetail,omitempty"`
	Provider      string       `json:"provider" xml:"provider,omitempty"`
}

// booked is a row as it is read, and where the next ones begin.
type booked struct {
	At            db.Time        `db:"at"`
	Transaction   id.ID          `db:"transaction_id"`
	Kind          ledger.Kind    `db:"kind"`
	Reference     string         `db:"reference"`
	N             int64          `db:"n"`
	Part          int64          `db:"part"`
	Debit         ledger.Account `db:"debit"`
	Credit        ledger.Account `db:"credit"`
	Share         ledger.Account `db:"share"` // of a payment: the budget line that the claim was booked to
	Amount        money.Amount   `db:"amount"`
	Kassenzeichen string         `db:"kassenzeichen"`
	Originator    string         `db:"originator_id"`
	Method        payment.Method `db:"method"`
	MethodDetail  string         `db:"method_detail"`
}

// row is what is exported of it.
func (b *booked) row(zone *time.Location, minus bool) Row {
	r := Row{
		Transaction: b.Transaction.String(), Kind: string(b.Kind), Reference: b.Reference, Position: b.N + b.Part + 1,
		BookedOn: b.At.In(zone).Format(time.DateOnly), BookedAt: b.At.UTC().Format(time.RFC3339Nano),
		Kassenzeichen: b.Kassenzeichen, Amount: b.Amount, Originator: b.Originator,
	}
	if minus {
		r.Amount = -b.Amount
	}
	for _, a := range []ledger.Account{b.Share, b.Debit, b.Credit} {
		if line, ok := a.BudgetLine(); ok && line != "-" { // "-" stands for none
			r.BudgetLine = line
		}
		if provider, ok := a.Provider(); ok {
			r.Provider = provider
		}
	}
	if b.Kind != ledger.Claim && b.Kind != ledger.Dropped {
		r.Method, r.MethodDetail = string(b.Method), b.MethodDetail
	}
	return r
}

// writer is a format. Its errors are the client's: it went away.
type writer interface {
	begin(head) error
	row(Row) error
	end(count int64, sum money.Amount) error
}

// head is what an export says of itself.
type head struct {
	What  string `json:"what"`
	First string `json:"from"`
	Last  string `json:"to"`
}

// export streams what was booked on days that are over. Errors: unknown_export,
// unknown_format, invalid_day, invalid_period, day_not_over.
func (s *service) export(w http.ResponseWriter, r *http.Request) error {
	what := r.PathValue("what")
	which, ok := exports[what]
	if !ok {
		return fault.NotFound("unknown_export", "there are the exports claims and payments")
	}
	q := r.URL.Query()
	p, err := s.periodOf(q.Get("from"), q.Get("to"))
	if err != nil {
		return err
	}
	if !s.over(p) {
		return fault.Conflict("day_not_over", "%s is not over; an export is about days that will not change", p.last)
	}
	f, ok := formats[q.Get("format")+"/"+q.Get("separator")]
	if !ok {
		return fault.Invalid("unknown_format", "format is csv, json or xml; separator, for csv alone, is comma or semicolon")
	}
	h := w.Header()
	h.Set("Content-Type", f.media)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fmt.Sprintf("%s-%s-%s.%s", which.name, p.first, p.last, f.ending)}))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if err := s.write(r.Context(), f.open(w), head{what, p.first, p.last}, p, which); err != nil {
		if r.Context().Err() == nil {
			s.log.ErrorContext(r.Context(), "export broken off", "error", err)
		}
		panic(http.ErrAbortHandler) // what was sent must not look whole
	}
	return nil
}

func (s *service) write(ctx context.Context, w writer, h head, p period, which exported) error {
	if err := w.begin(h); err != nil {
		return err
	}
	minus := map[ledger.Kind]bool{}
	for _, k := range which.minus {
		minus[k] = true
	}
	var count int64
	var total money.Amount
	after, more := booked{At: db.NewTime(p.from), N: -1}, true
	for more {
		var list []booked
		err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
			list, more, err = bookedRows(ctx, tx, p, append(which.plus[:len(which.plus):len(which.plus)], which.minus...), after)
			return err
		})
		if err != nil {
			return err
		}
		for i := range list {
			row := list[i].row(s.zone, minus[list[i].Kind])
			count, total = count+1, total+row.Amount
			if err := w.row(row); err != nil {
				return err
			}
		}
		if more {
			after = list[len(list)-1]
		}
	}
	return w.end(count, total)
}

// bookedRows reads on from after, in the order of time, and reports whether there may be more. A
// payment is one booking and has a row for each budget line of its claim; all are read together.
// The bookings are chosen before anything is joined to them, so that a page costs the same on
// whatever day it is.
func bookedRows(ctx context.Context, tx *db.Tx, p period, kinds []ledger.Kind, after booked) (list []booked, more bool, err error) {
	query, args, err := db.In(`SELECT l.at, l.transaction_id, l.kind, l.reference, l.n, COALESCE(c.n, 0) AS part, l.debit, l.credit,
			COALESCE(c.credit, '') AS share, COALESCE(c.amount, l.amount) AS amount, t.kassenzeichen, t.originator_id, t.method, t.method_detail
		FROM (SELECT at, transaction_id, kind, reference, n, debit, credit, amount FROM ledger
			WHERE tenant_id = ? AND at >= ? AND at < ? AND kind IN (?) AND transaction_id <> ''
				AND (at, transaction_id, kind, reference, n) > (?, ?, ?, ?, ?)
			ORDER BY at, transaction_id, kind, reference, n LIMIT ?) l
		JOIN transactions t ON t.tenant_id = ? AND t.id = l.transaction_id
		LEFT JOIN ledger c ON l.kind = 'paid' AND c.tenant_id = ? AND c.transaction_id = l.transaction_id AND c.kind = 'claim'
		ORDER BY l.at, l.transaction_id, l.kind, l.reference, l.n, COALESCE(c.n, 0)`,
		tx.Tenant(), after.At, db.NewTime(p.until), kinds, after.At, after.Transaction, after.Kind, after.Reference, after.N, bookingsAtOnce,
		tx.Tenant(), tx.Tenant())
	if err != nil {
		return nil, false, err
	}
	err = tx.Select(ctx, &list, query, args...)
	bookings := 0
	for i := range list {
		if i == 0 || !list[i].sameBooking(&list[i-1]) {
			bookings++
		}
	}
	return list, bookings == bookingsAtOnce, err
}

func (b *booked) sameBooking(as *booked) bool {
	return b.At.Equal(as.At.Time) && b.Transaction == as.Transaction && b.Kind == as.Kind && b.Reference == as.Reference && b.N == as.N
}
