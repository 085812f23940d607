package payment

import (
	"context"
	"net/http"
	"slices"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/money"
	"basisdienste/platform/page"
)

// TransactionView is a transaction in our own API.
type TransactionView struct {
	ID            id.ID        `json:"id"`
	OriginatorID  string       `json:"originator_id"`
	EndPointID    string       `json:"end_point_id"`
	RequestID     string       `json:"request_id"`
	Amount        money.Amount `json:"amount"`
	Currency      string       `json:"currency"`
	Purpose       string       `json:"purpose,omitempty"`
	Description   string       `json:"description,omitempty"`
	Kassenzeichen string       `json:"kassenzeichen"`
	State         State        `json:"state"`
	Status        State        `json:"status"` // in the words of XBezahldienste
	Reason        string       `json:"reason,omitempty"`
	Method        Method       `json:"method,omitempty"`
	MethodDetail  string       `json:"method_detail,omitempty"`
	CreatedAt     db.Time      `json:"created_at"`
	ExpiresAt     db.Time      `json:"expires_at"`
	EndedAt       *db.Time     `json:"ended_at,omitempty"`
	DueOn         string       `json:"due_on,omitempty"` // a day in Germany
	Delayed       bool         `json:"delayed_capture,omitempty"`
	Capturable    bool         `json:"capturable,omitempty"` // the money is held, and nobody asked to take it
	Metadata      Metadata     `json:"metadata,omitempty"`
	PayURL        string       `json:"pay_url,omitempty"`
	Items         []Item       `json:"items,omitempty"`
}

func (s *Service) view(t *Transaction) TransactionView {
	var due string
	if t.DueAt != nil {
		due = t.DueAt.In(s.zone).Format(time.DateOnly)
	}
	return TransactionView{
		ID: t.ID, OriginatorID: t.OriginatorID, EndPointID: t.EndPointID, RequestID: t.RequestID,
		Amount: t.Amount, Currency: t.Currency, Purpose: t.Purpose, Description: t.Description,
		Kassenzeichen: t.Kassenzeichen, State: t.State, Status: t.State.Told(), Reason: t.Reason,
		Method: t.Method, MethodDetail: t.MethodDetail, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, EndedAt: t.EndedAt,
		DueOn: due, Delayed: t.Delayed, Metadata: t.Metadata,
	}
}

// ListRequest asks for transactions.
type ListRequest struct {
	Filter
	Cursor string
}

const (
	defaultLimit = 50
	maxLimit     = 200
)

// FromHTTP reads the query.
// Errors: invalid_limit, invalid_state, invalid_method, invalid_time, invalid_amount.
func (q *ListRequest) FromHTTP(r *http.Request) (err error) {
	v := r.URL.Query()
	q.State, q.Kassenzeichen, q.RequestID, q.Cursor = State(v.Get("state")), v.Get("kassenzeichen"), v.Get("request_id"), v.Get("cursor")
	if q.State != "" && !slices.Contains([]State{Initial, Payed, Failed, Canceled, Expired}, q.State) {
		return fault.Invalid("invalid_state", "state is INITIAL, PAYED, FAILED, CANCELED or EXPIRED").
			With(fault.Field{Name: "state", Code: "invalid_state", Detail: "unknown state"})
	}
	q.Originator, q.Method = v.Get("originator_id"), Method(v.Get("method"))
	if q.Method != "" && !slices.Contains(methods, q.Method) {
		return fault.Invalid("invalid_method", "method is one of %v", methods).
			With(fault.Field{Name: "method", Code: "invalid_method", Detail: "unknown method"})
	}
	for name, dst := range map[string]*money.Amount{"min_amount": &q.Min, "max_amount": &q.Max} {
		if text := v.Get(name); text != "" {
			if *dst, err = money.Parse(text); err != nil {
				return fault.Invalid("invalid_amount", "%s is an amount in euros such as 12.50", name).
					With(fault.Field{Name: name, Code: "invalid_amount", Detail: "euros with at most two places"}).Because(err)
			}
		}
	}
	for name, dst := range map[string]*time.Time{"from": &q.From, "to": &q.Until} {
		if text := v.Get(name); text != "" {
			if *dst, err = time.Parse(time.RFC3339, text); err != nil {
				return fault.Invalid("invalid_time", "%s is a time such as 2026-11-23T00:00:00Z", name).
					With(fault.Field{Name: name, Code: "invalid_time", Detail: "use RFC 3339"}).Because(err)
			}
		}
	}
	q.Limit, err = page.Limit(v.Get("limit"), defaultLimit, maxLimit)
	return err
}

func (s *Service) list(ctx context.Context, q ListRequest) (page.List[TransactionView], error) {
	answer := page.List[TransactionView]{Items: []TransactionView{}}
	if err := s.cursors.Decode(q.Cursor, &q.Before); err != nil {
		return answer, err
	}
	limit := q.Limit
	q.Limit++
	found, err := s.List(ctx, q.Filter)
	if err != nil {
		return answer, err
	}
	if len(found) > limit {
		found = found[:limit]
		if answer.Next, err = s.cursors.Encode(found[limit-1].ID); err != nil {
			return answer, err
		}
	}
	for i := range found {
		answer.Items = append(answer.Items, s.view(&found[i]))
	}
	return answer, s.markCapturable(ctx, answer.Items)
}

// GetRequest names a transaction.
type GetRequest struct{ ID id.ID }

// FromHTTP reads the path. Error: unknown_transaction.
func (q *GetRequest) FromHTTP(r *http.Request) (err error) {
	if q.ID, err = id.Parse(r.PathValue("transaction")); err != nil {
		return errUnknown()
	}
	return nil
}

func (s *Service) get(ctx context.Context, q GetRequest) (TransactionView, error) {
	t, err := s.Get(ctx, q.ID)
	if err != nil {
		return TransactionView{}, err
	}
	v := s.view(&t)
	v.PayURL = s.PayURL(ctx, t.ID)
	if v.Items, err = t.ItemList.Items(); err != nil {
		return v, err
	}
	one := []TransactionView{v}
	err = s.markCapturable(ctx, one)
	return one[0], err
}

// WithdrawRequest names a transaction that the municipality does not want any more.
type WithdrawRequest struct {
	kit.NoBody
	GetRequest
}

func (s *Service) withdraw(ctx context.Context, q WithdrawRequest) (TransactionView, error) {
	t, err := s.Withdraw(ctx, q.ID)
	return s.view(&t), err
}

// HistoryView is one entry of a transaction's history in our own API.
type HistoryView struct {
	What    string  `json:"what"`
	State   State   `json:"state"`
	Reason  string  `json:"reason,omitempty"`
	Attempt id.ID   `json:"attempt_id,omitempty"`
	Actor   string  `json:"actor,omitempty"`
	At      db.Time `json:"at"`
}

func (s *Service) events(ctx context.Context, q GetRequest) (page.List[HistoryView], error) {
	answer := page.List[HistoryView]{Items: []HistoryView{}}
	list, err := s.History(ctx, q.ID)
	for _, h := range list {
		answer.Items = append(answer.Items, HistoryView{h.What, h.State, h.Reason, h.Attempt, h.Actor, h.At})
	}
	return answer, err
}
