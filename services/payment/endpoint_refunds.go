package payment

import (
	"context"
	"net/http"
	"strconv"
	"unicode/utf8"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/money"
	"basisdienste/platform/page"
	"basisdienste/platform/tenant"
)

// RefundView is a refund in our own API.
type RefundView struct {
	ID            id.ID        `json:"id"`
	TransactionID id.ID        `json:"transaction_id"`
	AttemptID     id.ID        `json:"attempt_id"`
	Amount        money.Amount `json:"amount"`
	Note          string       `json:"note,omitempty"`
	State         RefundState  `json:"state"`
	Reason        string       `json:"reason,omitempty"`
	RequestedBy   string       `json:"requested_by"`
	DecidedBy     string       `json:"decided_by,omitempty"`
	CreatedAt     db.Time      `json:"created_at"`
	EndedAt       *db.Time     `json:"ended_at,omitempty"`
}

func viewRefund(r *Refund) RefundView {
	return RefundView{r.ID, r.TransactionID, r.AttemptID, r.Amount, r.Note, r.State, r.Reason, r.RequestedBy, r.DecidedBy, r.CreatedAt, r.EndedAt}
}

const maxNote = 250 // characters

// RefundRequest is a POST of a refund.
type RefundRequest struct {
	GetRequest
	Amount  money.Amount `json:"amount"`
	Note    string       `json:"note"`
	Attempt string       `json:"attempt_id"`
}

// Validate implements the check of package kit. Errors: invalid_amount, invalid_note, not_refundable.
func (q *RefundRequest) Validate() error {
	if q.Amount <= 0 {
		return fault.Invalid("invalid_amount", "the amount is above zero").
			With(fault.Field{Name: "amount", Code: "invalid_amount", Detail: "must be above zero"})
	}
	if utf8.RuneCountInString(q.Note) > maxNote {
		return fault.Invalid("invalid_note", "a note has %d characters at most", maxNote).
			With(fault.Field{Name: "note", Code: "invalid_note", Detail: "too long"})
	}
	return nil
}

func (s *Service) requestRefund(ctx context.Context, q RefundRequest) (RefundView, error) {
	w := RefundWanted{Amount: q.Amount, Note: q.Note}
	if q.Attempt != "" {
		var err error
		if w.Attempt, err = id.Parse(q.Attempt); err != nil {
			return RefundView{}, fault.Conflict("not_refundable", "no money came in that could be given back")
		}
	}
	r, err := s.RequestRefund(ctx, q.ID, w)
	return viewRefund(&r), err
}

func (s *Service) refunds(ctx context.Context, q GetRequest) (page.List[RefundView], error) {
	answer := page.List[RefundView]{Items: []RefundView{}}
	list, err := s.Refunds(ctx, q.ID)
	for i := range list {
		answer.Items = append(answer.Items, viewRefund(&list[i]))
	}
	return answer, err
}

// ListedRefundView is a refund in a list over all transactions, with the number that people
// know its transaction by.
type ListedRefundView struct {
	RefundView
	Kassenzeichen string `json:"kassenzeichen"`
}

// RefundsRequest asks for the refunds of all transactions.
type RefundsRequest struct {
	Waiting bool // only those that wait for a second person
	Cursor  string
	Limit   int
}

// FromHTTP reads the query. Errors: invalid_refund_state, invalid_limit.
func (q *RefundsRequest) FromHTTP(r *http.Request) (err error) {
	v := r.URL.Query()
	state := RefundState(v.Get("state"))
	if state != "" && state != RefundWaiting {
		return fault.Invalid("invalid_refund_state", "state is WAITING, or absent for all").
			With(fault.Field{Name: "state", Code: "invalid_refund_state", Detail: "WAITING or absent"})
	}
	q.Waiting, q.Cursor = state == RefundWaiting, v.Get("cursor")
	q.Limit, err = page.Limit(v.Get("limit"), defaultLimit, maxLimit)
	return err
}

func (s *Service) listRefunds(ctx context.Context, q RefundsRequest) (answer page.List[ListedRefundView], err error) {
	t, _ := tenant.From(ctx)
	signer, before := s.cursors.For("refunds", t.ID.String(), strconv.FormatBool(q.Waiting)), id.ID("")
	if err := signer.Decode(q.Cursor, &before); err != nil {
		return answer, err
	}
	var rows []ListedRefund
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		rows, err = refundsListed(ctx, tx, q.Waiting, before, q.Limit+1)
		return err
	})
	if err != nil {
		return answer, err
	}
	views := make([]ListedRefundView, len(rows))
	for i := range rows {
		views[i] = ListedRefundView{viewRefund(&rows[i].Refund), rows[i].Kassenzeichen}
	}
	return page.Cut(signer, views, q.Limit, func(last ListedRefundView) any { return last.ID })
}

// DecideRequest approves or rejects a refund.
type DecideRequest struct {
	kit.NoBody
	GetRequest
	Refund id.ID
}

// FromHTTP reads the path. Errors: unknown_transaction, unknown_refund.
func (q *DecideRequest) FromHTTP(r *http.Request) (err error) {
	if err := q.GetRequest.FromHTTP(r); err != nil {
		return err
	}
	if q.Refund, err = id.Parse(r.PathValue("refund")); err != nil {
		return fault.NotFound("unknown_refund", "there is no such refund here")
	}
	return nil
}

func (s *Service) approveRefund(ctx context.Context, q DecideRequest) (RefundView, error) {
	r, err := s.DecideRefund(ctx, q.ID, q.Refund, true)
	return viewRefund(&r), err
}

func (s *Service) rejectRefund(ctx context.Context, q DecideRequest) (RefundView, error) {
	r, err := s.DecideRefund(ctx, q.ID, q.Refund, false)
	return viewRefund(&r), err
}
