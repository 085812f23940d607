package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"basisdienste/platform/money"
	"basisdienste/platform/page"
	"basisdienste/platform/web"
)

// settlementView is what the treasury says of a payout of a provider.
type settlementView struct {
	Provider  string       `json:"provider"`
	ID        string       `json:"id"`
	Amount    money.Amount `json:"amount"`
	State     string       `json:"state"`
	Complete  bool         `json:"complete"`
	CreatedAt time.Time    `json:"created_at"`
	ArrivesAt time.Time    `json:"arrives_at"`
	Arrived   *struct {
		Statement string `json:"statement"`
	} `json:"arrived"`
	Sums struct {
		Payments money.Amount `json:"payments"`
		Refunds  money.Amount `json:"refunds"`
		Disputes money.Amount `json:"disputes"`
		Returned money.Amount `json:"returned"`
		Fees     money.Amount `json:"fees"`
		Foreign  money.Amount `json:"foreign"`
	} `json:"sums"`
	Difference money.Amount `json:"difference"`
	Lines      []lineView   `json:"-"` // the first ones
	More       bool         `json:"-"`
}

// lineView is one event in a settlement.
type lineView struct {
	Kind          string       `json:"kind"`
	At            time.Time    `json:"at"`
	Kassenzeichen string       `json:"kassenzeichen"`
	TransactionID string       `json:"transaction_id"`
	Amount        money.Amount `json:"amount"`
	Fee           money.Amount `json:"fee"`
	Net           money.Amount `json:"net"`
}

// disputeView is a payment that a payer's bank wants back.
type disputeView struct {
	TransactionID string       `json:"transaction_id"`
	Kassenzeichen string       `json:"kassenzeichen"`
	Provider      string       `json:"provider"`
	ID            string       `json:"id"`
	Amount        money.Amount `json:"amount"`
	Taken         money.Amount `json:"taken"`
	Fee           money.Amount `json:"fee"`
	State         string       `json:"state"`
	CreatedAt     time.Time    `json:"created_at"`
}

// maxLines of a settlement are shown; the download has all.
const maxLines = 200

func settlementPage(r *http.Request, provider, of string) string {
	return treasuryBase(r) + "/settlements/" + url.PathEscape(provider) + "/" + url.PathEscape(of)
}

func settlementAPI(r *http.Request) string {
	return treasuryAPI(r) + "/settlements/" + url.PathEscape(r.PathValue("provider")) + "/" + url.PathEscape(r.PathValue("id"))
}

// stateFilter is a form that narrows a list by one of the states, and what to ask the service.
func (c *console) stateFilter(r *http.Request, texts string, states ...string) (web.Form, url.Values) {
	choose := web.Field{Name: "state", Kind: "select", Label: c.site.T(r, "payment.state")}
	for _, s := range states {
		choose.Options = append(choose.Options, web.Option{Value: s, Label: c.word(r, texts, s)})
	}
	form, ask := filled(r, web.Form{choose}, "state"), url.Values{"limit": {"50"}}
	if s := form.Value("state"); slices.Contains(states, s) {
		ask.Set("state", s)
	}
	goOn(r, ask)
	return form, ask
}

func (c *console) settlements(w http.ResponseWriter, r *http.Request) {
	form, ask := c.stateFilter(r, "settlement.state.", "pending", "paid", "failed")
	var list page.List[settlementView]
	if err := c.api.get(r.Context(), "payment", treasuryAPI(r)+"/settlements?"+ask.Encode(), &list); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	t := c.table(r, "settlements", "settlements.none", "settlement.id", "closing.amount", "payment.state", "settlement.created", "settlement.bank")
	for _, s := range list.Items {
		t.Rows = append(t.Rows, []any{web.Link{URL: settlementPage(r, s.Provider, s.ID), Text: s.ID}, s.Amount, c.settlementBadge(r, s.State), s.CreatedAt, c.arrivedOf(r, &s)})
	}
	c.showList(w, r, "settlements", treasuryBase(r)+"/settlements", form, t, list.Next)
}

// showList shows a list of the treasury with a filter of its own.
func (c *console) showList(w http.ResponseWriter, r *http.Request, title, own string, form web.Form, t web.Table, cursor string) {
	p := c.staffPage(r, c.site.T(r, title))
	p.Back = treasuryBase(r)
	c.site.Render(w, r, http.StatusOK, "settlements", p, map[string]any{
		"Title": c.site.T(r, title), "Intro": c.site.T(r, title+".intro"), "Form": form, "Own": own, "Table": t, "Next": nextPage(r, cursor),
	})
}

func (c *console) settlementBadge(r *http.Request, state string) web.Badge {
	return c.badge(r, "settlement.state.", state, map[string]string{"paid": "success", "failed": "danger"})
}

// arrivedOf leads to the bank statement with the money.
func (c *console) arrivedOf(r *http.Request, s *settlementView) any {
	if s.Arrived == nil {
		return c.site.T(r, "settlement.bank.none")
	}
	return web.Link{URL: statementsBase(r) + "/" + url.PathEscape(s.Arrived.Statement) + "?show=all", Text: c.site.T(r, "settlement.bank.seen")}
}

func (c *console) settlement(w http.ResponseWriter, r *http.Request) {
	s, err := c.readSettlement(r)
	if err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	t := c.table(r, "settlement.lines", "settlement.lines.none", "closing.kind", "closing.amount", "settlement.fee", "settlement.net", "payment.kassenzeichen", "application.log.at")
	for _, l := range s.Lines {
		m := movementView{TransactionID: l.TransactionID, Kassenzeichen: l.Kassenzeichen}
		t.Rows = append(t.Rows, []any{c.word(r, "settlement.line.", l.Kind), l.Amount, l.Fee, l.Net, c.claimOf(r, &m), l.At})
	}
	own := settlementPage(r, s.Provider, s.ID)
	p := c.staffPage(r, c.site.T(r, "settlement.title", s.ID))
	p.Back, p.Self = treasuryBase(r)+"/settlements", own
	c.site.Render(w, r, http.StatusOK, "settlement", p, map[string]any{
		"Title": s.ID, "Rows": c.settlementRows(r, &s), "Verdict": c.settled(r, &s), "Table": t, "Download": when(s.Complete, own+"/download"),
		"More": s.More, "Most": maxLines,
	})
}

func (c *console) settlementRows(r *http.Request, s *settlementView) []web.Row {
	rows := []web.Row{
		{Key: c.site.T(r, "closing.amount"), Value: s.Amount},
		{Key: c.site.T(r, "payment.state"), Value: c.settlementBadge(r, s.State)},
		{Key: c.site.T(r, "settlement.bank"), Value: c.arrivedOf(r, s)},
		{Key: c.site.T(r, "settlement.provider"), Value: s.Provider},
		{Key: c.site.T(r, "settlement.created"), Value: s.CreatedAt},
		{Key: c.site.T(r, "settlement.arrives"), Value: s.ArrivesAt},
	}
	if !s.Complete {
		return rows
	}
	for _, part := range []struct {
		key    string
		amount money.Amount
	}{
		{"settlement.payments", s.Sums.Payments},
		{"settlement.refunds", s.Sums.Refunds},
		{"settlement.disputes", s.Sums.Disputes},
		{"settlement.returned", s.Sums.Returned},
		{"settlement.fees", -s.Sums.Fees},
		{"settlement.foreign", s.Sums.Foreign},
	} {
		rows = append(rows, web.Row{Key: c.site.T(r, part.key), Value: part.amount})
	}
	return rows
}

// settled is the difference in words.
func (c *console) settled(r *http.Request, s *settlementView) map[string]string {
	switch {
	case !s.Complete:
		return map[string]string{"Kind": "info", "Title": c.site.T(r, "settlement.open"), "Body": c.site.T(r, "settlement.open.body")}
	case s.Difference != 0:
		return map[string]string{"Kind": "danger", "Title": c.site.T(r, "closing.wrong", c.typed(r, s.Difference)), "Body": c.site.T(r, "settlement.wrong.body")}
	}
	return map[string]string{"Kind": "success", "Title": c.site.T(r, "settlement.right"), "Body": c.site.T(r, "settlement.right.body")}
}

// readSettlement reads a settlement and its first lines; the rest is left where it is.
func (c *console) readSettlement(r *http.Request) (s settlementView, err error) {
	resp, err := c.api.do(r.Context(), http.MethodGet, "payment", settlementAPI(r), nil)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if err := s.read(json.NewDecoder(resp.Body)); err != nil {
		return s, fmt.Errorf("payment answered what cannot be read: %w", err)
	}
	return s, nil
}

// read takes an object member by member, of which "lines" has as many elements as there are.
func (s *settlementView) read(d *json.Decoder) error {
	head := map[string]json.RawMessage{}
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() && !s.More {
		name, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := name.(string)
		if key == "lines" {
			if err := s.readLines(d); err != nil {
				return err
			}
			continue
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		head[key] = value
	}
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, s)
}

func (s *settlementView) readLines(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		if len(s.Lines) == maxLines {
			s.More = true // what stands behind the lines is not needed
			return nil
		}
		var l lineView
		if err := d.Decode(&l); err != nil {
			return err
		}
		s.Lines = append(s.Lines, l)
	}
	_, err := d.Token()
	return err
}

// downloadSettlement passes a settlement's lines on as CSV for German spreadsheets.
func (c *console) downloadSettlement(w http.ResponseWriter, r *http.Request) {
	resp, err := c.api.do(r.Context(), http.MethodGet, "payment", settlementAPI(r)+"?format=csv&separator=semicolon", nil)
	if err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	send(w, resp, "", "")
}

func (c *console) disputes(w http.ResponseWriter, r *http.Request) {
	form, ask := c.stateFilter(r, "dispute.state.", "needs_response", "under_review", "warning", "won", "lost", "closed")
	var list page.List[disputeView]
	if err := c.api.get(r.Context(), "payment", treasuryAPI(r)+"/disputes?"+ask.Encode(), &list); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	t := c.table(r, "disputes", "disputes.none", "payment.kassenzeichen", "closing.amount", "payment.state", "dispute.taken", "settlement.fee", "dispute.created", "dispute.id")
	for _, d := range list.Items {
		m := movementView{TransactionID: d.TransactionID, Kassenzeichen: d.Kassenzeichen}
		t.Rows = append(t.Rows, []any{
			c.claimOf(r, &m), d.Amount, c.badge(r, "dispute.state.", d.State, map[string]string{"needs_response": "warning", "won": "success", "lost": "danger"}),
			d.Taken, d.Fee, d.CreatedAt, d.ID,
		})
	}
	c.showList(w, r, "disputes", treasuryBase(r)+"/disputes", form, t, list.Next)
}
