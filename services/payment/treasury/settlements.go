package treasury

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/page"
	"basisdienste/platform/tenant"
	"basisdienste/services/payment/settlement"
)

// settledRequest asks for settlements or disputes.
type settledRequest struct {
	listRequest
	provider, state, from, to string
}

// FromHTTP reads the query. Error: invalid_limit.
func (q *settledRequest) FromHTTP(r *http.Request) error {
	v := r.URL.Query()
	q.provider, q.state, q.from, q.to = v.Get("provider"), v.Get("state"), v.Get("from"), v.Get("to")
	return q.listRequest.FromHTTP(r)
}

// filter is what is asked for, with one more than fits on the page.
// Errors: invalid_state, invalid_day, invalid_cursor.
func (s *service) filter(q *settledRequest, signer page.Signer, states []string) (f settlement.Filter, err error) {
	f = settlement.Filter{Provider: q.provider, State: q.state, Limit: q.limit + 1}
	if q.state != "" && !slices.Contains(states, q.state) {
		return f, fault.Invalid("invalid_state", "state is one of %s", strings.Join(states, ", ")).
			With(fault.Field{Name: "state", Code: "invalid_state", Detail: "one of " + strings.Join(states, ", ")})
	}
	if q.from != "" {
		p, err := s.periodOf(q.from, q.from)
		if err != nil {
			return f, err
		}
		f.From = db.NewTime(p.from)
	}
	if q.to != "" {
		p, err := s.periodOf(q.to, q.to)
		if err != nil {
			return f, err
		}
		f.Until = db.NewTime(p.until)
	}
	return f, signer.Decode(q.cursor, &f.After)
}

// signer of one list with its filters.
func (s *service) settledSigner(ctx context.Context, list string, q *settledRequest) page.Signer {
	t, _ := tenant.From(ctx)
	return s.cursors.For(list, t.ID.String(), q.provider, q.state, q.from, q.to)
}

// settlementView is a settlement in the API.
type settlementView struct {
	Provider  string           `json:"provider"`
	ID        string           `json:"id"`
	Amount    money.Amount     `json:"amount"`
	Currency  string           `json:"currency"`
	State     settlement.State `json:"state"`
	Complete  bool             `json:"complete"`
	CreatedAt db.Time          `json:"created_at"`
	ArrivesAt db.Time          `json:"arrives_at"`
	Arrived   *arrivedView     `json:"arrived,omitempty"`
}

// arrivedView names the movement of a bank statement that is the settlement's money.
type arrivedView struct {
	Statement id.ID `json:"statement"`
	Number    int64 `json:"number"`
}

func settlementViewOf(s *settlement.Settlement) settlementView {
	v := settlementView{
		Provider: s.Provider, ID: s.ID, Amount: s.Amount, Currency: s.Currency, State: s.State, Complete: s.Complete, CreatedAt: s.CreatedAt, ArrivesAt: s.ArrivesAt,
	}
	if s.Arrived != "" {
		v.Arrived = &arrivedView{id.ID(s.Arrived), s.ArrivedAs}
	}
	return v
}

func (s *service) settlements(ctx context.Context, q settledRequest) (answer page.List[settlementView], err error) {
	signer := s.settledSigner(ctx, "treasury-settlements", &q)
	f, err := s.filter(&q, signer, []string{string(settlement.Pending), string(settlement.Paid), string(settlement.Failed)})
	if err != nil {
		return answer, err
	}
	var rows []settlement.Settlement
	err = s.db.Read(ctx, func(tx *db.Tx) (err error) {
		rows, err = settlement.List(ctx, tx, f)
		return err
	})
	if err != nil {
		return answer, err
	}
	views := make([]settlementView, len(rows))
	for i := range rows {
		views[i] = settlementViewOf(&rows[i])
	}
	return page.Cut(signer, views, q.limit, func(last settlementView) any {
		return settlement.Place{At: last.CreatedAt, Provider: last.Provider, ID: last.ID}
	})
}

// disputeView is a dispute in the API.
type disputeView struct {
	Provider      string                  `json:"provider"`
	ID            string                  `json:"id"`
	TransactionID id.ID                   `json:"transaction_id,omitempty"`
	Kassenzeichen string                  `json:"kassenzeichen,omitempty"`
	Amount        money.Amount            `json:"amount"`
	Taken         money.Amount            `json:"taken"`
	Fee           money.Amount            `json:"fee"`
	Currency      string                  `json:"currency"`
	Reason        string                  `json:"reason,omitempty"`
	State         settlement.DisputeState `json:"state"`
	CreatedAt     db.Time                 `json:"created_at"`
	ReadAt        db.Time                 `json:"read_at"`
}

func disputeStates() []string {
	list := []settlement.DisputeState{settlement.Warning, settlement.Closed, settlement.NeedsResponse, settlement.UnderReview, settlement.Won, settlement.Lost}
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = string(s)
	}
	return names
}

func (s *service) disputes(ctx context.Context, q settledRequest) (answer page.List[disputeView], err error) {
	signer := s.settledSigner(ctx, "treasury-disputes", &q)
	f, err := s.filter(&q, signer, disputeStates())
	if err != nil {
		return answer, err
	}
	var rows []settlement.Dispute
	var signs map[id.ID]string
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		if rows, err = settlement.Disputes(ctx, tx, f); err != nil {
			return err
		}
		of := make([]id.ID, len(rows))
		for i := range rows {
			of[i] = rows[i].Transaction
		}
		signs, err = kassenzeichen(ctx, tx, of)
		return err
	})
	if err != nil {
		return answer, err
	}
	views := make([]disputeView, len(rows))
	for i, d := range rows {
		views[i] = disputeView{
			Provider: d.Provider, ID: d.ID, TransactionID: d.Transaction, Kassenzeichen: signs[d.Transaction], Amount: d.Amount, Taken: d.Taken, Fee: d.Fee,
			Currency: d.Currency, Reason: d.Reason, State: d.State, CreatedAt: d.CreatedAt, ReadAt: d.ReadAt,
		}
	}
	return page.Cut(signer, views, q.limit, func(last disputeView) any {
		return settlement.Place{At: last.CreatedAt, Provider: last.Provider, ID: last.ID}
	})
}

// kassenzeichen of transactions, those that are ours.
func kassenzeichen(ctx context.Context, tx *db.Tx, of []id.ID) (map[id.ID]string, error) {
	const atOnce = 200
	wanted := slices.DeleteFunc(slices.Clone(of), func(i id.ID) bool { return i == "" })
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	found := make(map[id.ID]string, len(wanted))
	for part := range slices.Chunk(wanted, atOnce) {
		query, args, err := db.In(`SELECT id, kassenzeichen FROM transactions WHERE tenant_id = ? AND id IN (?)`, tx.Tenant(), part)
		if err != nil {
			return nil, err
		}
		var rows []struct {
			ID            id.ID  `db:"id"`
			Kassenzeichen string `db:"kassenzeichen"`
		}
		if err := tx.Select(ctx, &rows, query, args...); err != nil {
			return nil, err
		}
		for _, r := range rows {
			found[r.ID] = r.Kassenzeichen
		}
	}
	return found, nil
}
