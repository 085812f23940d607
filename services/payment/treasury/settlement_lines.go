package treasury

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/services/payment/settlement"
)

// settlementSums is what a settlement is made of: payments, refunds, disputes and payouts that
// came back, less fees, are net.
type settlementSums struct {
	Payments money.Amount `json:"payments"`
	Refunds  money.Amount `json:"refunds"`  // below zero; those that failed are taken off
	Disputes money.Amount `json:"disputes"` // below zero; what was won is taken off
	Returned money.Amount `json:"returned"` // earlier payouts that came back
	Fees     money.Amount `json:"fees"`     // what the provider kept
	Net      money.Amount `json:"net"`
	Foreign  money.Amount `json:"foreign"` // of Net: of payments that are none of ours
}

func sumsOf(list []settlement.Sum) (s settlementSums) {
	for _, k := range list {
		s.Net, s.Foreign, s.Fees = s.Net+k.Net, s.Foreign+k.Foreign, s.Fees+k.Fee
		switch k.Kind {
		case settlement.LinePayment:
			s.Payments += k.Amount
		case settlement.LineRefund, settlement.LineRefundFailed:
			s.Refunds += k.Amount
		case settlement.LineDispute, settlement.LineDisputeWon:
			s.Disputes += k.Amount
		case settlement.LinePayoutFailed:
			s.Returned += k.Amount
		case settlement.LineFee, settlement.LineOther:
			s.Fees -= k.Amount
		}
	}
	return s
}

// settlementHead is a settlement in the API, before its lines.
type settlementHead struct {
	settlementView
	Sums settlementSums `json:"sums"`
	// Difference is what the sums of a complete settlement lack to its amount: 0.
	Difference money.Amount `json:"difference"`
}

// settlementLine is one event in a settlement.
type settlementLine struct {
	Position      int64           `json:"position"`
	ID            string          `json:"id"`
	Kind          settlement.Kind `json:"kind"`
	At            string          `json:"at"`
	Kassenzeichen string          `json:"kassenzeichen,omitempty"`
	TransactionID string          `json:"transaction_id,omitempty"`
	Source        string          `json:"source,omitempty"`
	Amount        money.Amount    `json:"amount"`
	Fee           money.Amount    `json:"fee"`
	Net           money.Amount    `json:"net"`
}

// lineWriter is a format. Its errors are the client's: it went away.
type lineWriter interface {
	begin(settlementHead) error
	line(settlementLine) error
	end(count int64) error
}

// settlementFormats by format and separator.
var settlementFormats = map[string]struct {
	media, ending string
	open          func(w io.Writer, zone *time.Location) lineWriter
}{
	"csv/":          {"text/csv; charset=utf-8; header=present", "csv", openLines(',')},
	"csv/comma":     {"text/csv; charset=utf-8; header=present", "csv", openLines(',')},
	"csv/semicolon": {"text/csv; charset=utf-8; header=present", "csv", openLines(';')},
	"json/": {"application/json", "json", func(w io.Writer, _ *time.Location) lineWriter {
		return &settlementJSON{jsonWriter{w: bufio.NewWriter(w)}}
	}},
}

// settlement streams a settlement with its lines, as JSON or its lines alone as CSV. Lines never
// change, so the CSV is the same to the byte whenever it is asked for.
// Errors: unknown_format, unknown_settlement, settlement_not_complete.
func (s *service) settlement(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	format := q.Get("format")
	if format == "" {
		format = "json"
		if media, _, err := mime.ParseMediaType(r.Header.Get("Accept")); err == nil && media == "text/csv" {
			format = "csv"
		}
	}
	f, ok := settlementFormats[format+"/"+q.Get("separator")]
	if !ok {
		return fault.Invalid("unknown_format", "format is csv or json; separator, for csv alone, is comma or semicolon")
	}
	ctx, provider, of := r.Context(), r.PathValue("provider"), r.PathValue("settlement")
	head, err := s.settlementHead(ctx, provider, of)
	switch {
	case err != nil:
		return err
	case format == "csv" && !head.Complete:
		return fault.Conflict("settlement_not_complete", "the provider has not told yet what the settlement is made of; try again later")
	}
	h := w.Header()
	h.Set("Content-Type", f.media)
	if format == "csv" {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": "abrechnung-" + provider + "-" + of + "." + f.ending}))
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if err := s.writeLines(ctx, f.open(w, s.zone), head); err != nil {
		if ctx.Err() == nil {
			s.log.ErrorContext(ctx, "settlement broken off", "error", err)
		}
		panic(http.ErrAbortHandler) // what was sent must not look whole
	}
	return nil
}

// settlementHead reads a settlement and adds it up. Error: unknown_settlement.
func (s *service) settlementHead(ctx context.Context, provider, of string) (head settlementHead, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		found, err := settlement.Get(ctx, tx, provider, of)
		if errors.Is(err, db.ErrNoRows) {
			return fault.NotFound("unknown_settlement", "there is no such settlement here")
		}
		if err != nil {
			return err
		}
		sums, err := settlement.Sums(ctx, tx, provider, of)
		head.settlementView, head.Sums = settlementViewOf(&found), sumsOf(sums)
		return err
	})
	if n := head.Sums; head.Complete {
		head.Difference = head.Amount - (n.Payments + n.Refunds + n.Disputes + n.Returned - n.Fees)
	}
	return head, err
}

func (s *service) writeLines(ctx context.Context, w lineWriter, head settlementHead) error {
	if err := w.begin(head); err != nil {
		return err
	}
	var last int64
	for {
		var list []settlementLine
		err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
			list, err = settlementLines(ctx, tx, head.Provider, head.ID, last)
			return err
		})
		if err != nil {
			return err
		}
		for _, l := range list {
			if err := w.line(l); err != nil {
				return err
			}
			last = l.Position
		}
		if len(list) < rowsAtOnce {
			return w.end(last)
		}
	}
}

func settlementLines(ctx context.Context, tx *db.Tx, provider, its string, after int64) ([]settlementLine, error) {
	rows, err := settlement.Lines(ctx, tx, provider, its, after, rowsAtOnce)
	if err != nil {
		return nil, err
	}
	of := make([]id.ID, len(rows))
	for i := range rows {
		of[i] = rows[i].Transaction
	}
	signs, err := kassenzeichen(ctx, tx, of)
	list := make([]settlementLine, len(rows))
	for i, l := range rows {
		list[i] = settlementLine{
			Position: l.N, ID: l.ID, Kind: l.Kind, At: l.At.UTC().Format(time.RFC3339Nano), Kassenzeichen: signs[l.Transaction], TransactionID: l.Transaction.String(),
			Source: l.Source, Amount: l.Amount, Fee: l.Fee, Net: l.Net,
		}
	}
	return list, err
}

// settlementJSON writes one object with a line a line; the count at the end shows that it is whole.
type settlementJSON struct{ jsonWriter }

func (j *settlementJSON) begin(h settlementHead) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	_, err = j.w.WriteString(strings.TrimSuffix(string(text), "}") + ",\"lines\":[")
	return err
}

func (j *settlementJSON) line(l settlementLine) error { return j.item(l) }

func (j *settlementJSON) end(count int64) error {
	if _, err := j.w.WriteString("\n],\"count\":" + strconv.FormatInt(count, 10) + "}\n"); err != nil {
		return err
	}
	return j.w.Flush()
}

// settlementCSV writes the lines as csvWriter writes rows.
type settlementCSV struct {
	w    *csv.Writer
	zone *time.Location
	head settlementHead
}

func openLines(separator rune) func(w io.Writer, zone *time.Location) lineWriter {
	return func(w io.Writer, zone *time.Location) lineWriter {
		c := csv.NewWriter(w)
		c.UseCRLF, c.Comma = true, separator
		return &settlementCSV{w: c, zone: zone}
	}
}

func (c *settlementCSV) begin(h settlementHead) error {
	c.head = h
	return c.w.Write([]string{
		"provider", "settlement", "position", "booked_on", "kind", "kassenzeichen", "amount", "fee", "net", "transaction_id", "source", "line", "booked_at",
	})
}

func (c *settlementCSV) line(l settlementLine) error {
	at, err := time.Parse(time.RFC3339Nano, l.At)
	if err != nil {
		return err
	}
	amount := func(a money.Amount) string {
		if c.w.Comma == ';' {
			return strings.Replace(a.String(), ".", ",", 1)
		}
		return a.String()
	}
	return c.w.Write([]string{
		cell(c.head.Provider), cell(c.head.ID), strconv.FormatInt(l.Position, 10), at.In(c.zone).Format(time.DateOnly), cell(string(l.Kind)), cell(l.Kassenzeichen),
		amount(l.Amount), amount(l.Fee), amount(l.Net), cell(l.TransactionID), cell(l.Source), cell(l.ID), l.At,
	})
}

func (c *settlementCSV) end(int64) error {
	c.w.Flush()
	return c.w.Error()
}
