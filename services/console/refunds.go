package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/login"
	"basisdienste/platform/money"
	"basisdienste/platform/page"
	"basisdienste/platform/web"
)

// refundView is what the service payment says of a refund.
type refundView struct {
	ID            string       `json:"id"`
	TransactionID string       `json:"transaction_id"`
	AttemptID     string       `json:"attempt_id"`
	Amount        money.Amount `json:"amount"`
	Note          string       `json:"note"`
	State         string       `json:"state"`
	Reason        string       `json:"reason"`
	RequestedBy   string       `json:"requested_by"`
	DecidedBy     string       `json:"decided_by"`
	Kassenzeichen string       `json:"kassenzeichen"` // in lists over all payments
	CreatedAt     time.Time    `json:"created_at"`
}

// source is money that came in for a payment and can be given back.
type source struct {
	Attempt string
	Surplus bool // it came after the payment had ended
	Left    money.Amount
}

// sources lists what of the payment's money is left. The service checks it again.
func (f *facts) sources() []source {
	var list []source
	for _, h := range f.History {
		if h.Attempt == "" || h.What != "payed" && h.What != "surplus" {
			continue
		}
		s := source{h.Attempt, h.What == "surplus", f.Amount}
		for _, r := range f.Refunds {
			if r.AttemptID == h.Attempt && r.State != "FAILED" && r.State != "REJECTED" {
				s.Left -= r.Amount
			}
		}
		if s.Left > 0 {
			list = append(list, s)
		}
	}
	return list
}

func (c *console) refundBadge(r *http.Request, state string) web.Badge {
	return c.badge(r, "refund.state.", state, map[string]string{"WAITING": "warning", "SUCCEEDED": "success", "FAILED": "danger", "REJECTED": "danger"})
}

func (c *console) refundTable(r *http.Request, f *facts) web.Table {
	t := web.Table{Caption: c.site.T(r, "staff.refunds"), Empty: c.site.T(r, "payment.refunds.none"), Head: []string{
		c.site.T(r, "refund.created"), c.site.T(r, "refund.amount"), c.site.T(r, "refund.state"), c.site.T(r, "refund.note"), c.site.T(r, "refund.by"), c.site.T(r, "refund.decided"),
	}}
	for _, v := range f.Refunds {
		t.Rows = append(t.Rows, []any{v.CreatedAt, v.Amount, c.refundBadge(r, v.State), v.Note, c.who(r, v.RequestedBy), c.who(r, v.DecidedBy)})
	}
	return t
}

// waiting is a refund to decide about.
type waiting struct {
	Rows            []web.Row
	Approve, Reject string // addresses of the forms; Approve is empty for who asked
}

func (c *console) waitingOf(r *http.Request, f *facts) []waiting {
	s, _ := login.From(r.Context())
	var list []waiting
	for _, v := range f.Refunds {
		if v.State != "WAITING" {
			continue
		}
		own := ownPayment(r) + "/refunds/" + url.PathEscape(v.ID)
		list = append(list, waiting{
			Approve: when(v.RequestedBy != "staff:"+s.Principal.Subject, own+"/approve"), Reject: own + "/reject",
			Rows: []web.Row{
				{Key: c.site.T(r, "refund.amount"), Value: v.Amount},
				{Key: c.site.T(r, "refund.note"), Value: v.Note},
				{Key: c.site.T(r, "refund.by"), Value: c.who(r, v.RequestedBy)},
				{Key: c.site.T(r, "refund.created"), Value: v.CreatedAt},
			},
		})
	}
	return list
}

// refundForm asks how much is to be given back, and why. The key makes a form that is sent twice
// one refund.
func (c *console) refundForm(r *http.Request, from []source) web.Form {
	form := web.Form{
		{Name: "amount", Kind: "number", Label: c.site.T(r, "refund.amount"), Hint: c.site.T(r, "refund.amount.hint"), Value: c.typed(r, from[0].Left), Required: true, MaxLength: 16},
		{Name: "note", Kind: "textarea", Label: c.site.T(r, "refund.note"), Hint: c.site.T(r, "refund.note.hint"), Required: true, MaxLength: 250},
		{Name: "key", Kind: "hidden", Value: id.New().String()},
	}
	if len(from) == 1 {
		return append(form, web.Field{Name: "attempt", Kind: "hidden", Value: from[0].Attempt})
	}
	choose := web.Field{Name: "attempt", Kind: "radios", Label: c.site.T(r, "refund.source"), Value: from[0].Attempt, Required: true}
	for _, s := range from {
		text := "refund.source.paid"
		if s.Surplus {
			text = "refund.source.surplus"
		}
		choose.Options = append(choose.Options, web.Option{Value: s.Attempt, Label: c.site.T(r, text), Hint: c.site.T(r, "refund.left", c.typed(r, s.Left))})
	}
	return append(web.Form{choose}, form...)
}

// typed writes an amount as the reader would type it.
func (c *console) typed(r *http.Request, a money.Amount) string {
	if c.site.Lang(r) == "de" {
		return strings.Replace(a.String(), ".", ",", 1)
	}
	return a.String()
}

// typedAmount reads what people type: 12,50 and 12.50. Error: invalid_amount.
func typedAmount(text string) (money.Amount, error) {
	if !strings.Contains(text, ".") {
		text = strings.Replace(text, ",", ".", 1)
	}
	return money.Parse(text)
}

// refundable reads the payment and what can be given back, or says that nothing can.
func (c *console) refundable(w http.ResponseWriter, r *http.Request) (f facts, from []source, ok bool) {
	if f, ok = c.factsOf(w, r); !ok {
		return f, nil, false
	}
	if from = f.sources(); len(from) == 0 {
		c.showPayment(w, r, http.StatusConflict, c.site.T(r, "error.not_refundable"))
		return f, nil, false
	}
	return f, from, true
}

func (c *console) askRefund(w http.ResponseWriter, r *http.Request) {
	if f, from, ok := c.refundable(w, r); ok {
		c.showRefund(w, r, http.StatusOK, &f, c.refundForm(r, from), "")
	}
}

func (c *console) showRefund(w http.ResponseWriter, r *http.Request, status int, f *facts, form web.Form, wrong string) {
	p := c.staffPage(r, c.site.T(r, "payment.refund"))
	p.Back, p.Self = ownPayment(r), ownPayment(r)+"/refund"
	var left money.Amount
	for _, s := range f.sources() {
		left += s.Left
	}
	c.site.Render(w, r, status, "payment-refund", p, map[string]any{"Form": form, "Wrong": wrong, "Rows": []web.Row{
		{Key: c.site.T(r, "payment.kassenzeichen"), Value: f.Kassenzeichen},
		{Key: c.site.T(r, "payment.subject"), Value: f.subject()},
		{Key: c.site.T(r, "payment.amount"), Value: f.Amount},
		{Key: c.site.T(r, "refund.left.key"), Value: left},
	}})
}

func (c *console) requestRefund(w http.ResponseWriter, r *http.Request) {
	if err := parseForm(w, r); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	f, from, ok := c.refundable(w, r)
	if !ok {
		return
	}
	form := c.refundForm(r, from)
	form.Fill(r.PostForm)
	key := form.Field("key")
	if _, err := id.Parse(key.Value); err != nil {
		key.Value = id.New().String()
	}
	amount, ok := c.checkRefund(r, form, from)
	if !ok {
		c.showRefund(w, r, http.StatusUnprocessableEntity, &f, form, "")
		return
	}
	var made refundView
	body := map[string]any{"amount": amount, "note": form.Value("note"), "attempt_id": form.Value("attempt")}
	err := c.api.call(r.Context(), http.MethodPost, "payment", transactionAPI(r)+"/refunds", body, &made, "Idempotency-Key", key.Value)
	switch e := fault.From(err); {
	case err == nil:
	case fault.Is(err, "refund_above_balance"): // somebody else was faster
		form.Field("amount").Error = c.site.T(r, "field.refund_above_balance")
		c.showRefund(w, r, http.StatusConflict, &f, form, "")
		return
	case slices.Contains([]string{"not_refundable", "too_many_refunds", "idempotency_key_reused"}, e.Code):
		c.showRefund(w, r, e.Kind.Status(), &f, form, c.word(r, "error.", e.Code))
		return
	default:
		c.site.ErrorPage(w, r, err)
		return
	}
	kind := "success"
	if made.State == "FAILED" {
		kind = "danger"
	}
	c.site.Flash(w, r, kind, c.word(r, "refund.done.", made.State))
	http.Redirect(w, r, ownPayment(r), http.StatusSeeOther) //nolint:gosec // a path of our own, its parts looked up or escaped
}

// checkRefund puts what is wrong beside the fields.
func (c *console) checkRefund(r *http.Request, form web.Form, from []source) (amount money.Amount, ok bool) {
	ok = c.site.Check(r, form)
	at := slices.IndexFunc(from, func(s source) bool { return s.Attempt == form.Value("attempt") })
	field := form.Field("amount")
	if field.Error != "" {
		return 0, false
	}
	amount, err := typedAmount(field.Value)
	switch {
	case err != nil || amount <= 0:
		field.Error = c.site.T(r, "field.invalid_amount", field.Label)
	case at >= 0 && amount > from[at].Left:
		field.Error = c.site.T(r, "refund.above", c.typed(r, from[at].Left))
	case at < 0: // gone meanwhile
		field.Error = c.site.T(r, "field.refund_above_balance")
	}
	return amount, ok && field.Error == ""
}

func (c *console) approveRefund(w http.ResponseWriter, r *http.Request) {
	c.decideRefund(w, r, "approve")
}

func (c *console) rejectRefund(w http.ResponseWriter, r *http.Request) {
	c.decideRefund(w, r, "reject")
}

func (c *console) decideRefund(w http.ResponseWriter, r *http.Request, decision string) {
	path := transactionAPI(r) + "/refunds/" + url.PathEscape(r.PathValue("refund")) + "/" + decision
	err := c.api.post(r.Context(), "payment", path, nil)
	if fault.Is(err, "second_person_needed") || fault.Is(err, "refund_decided") {
		e := fault.From(err)
		c.showPayment(w, r, e.Kind.Status(), c.site.T(r, "error."+e.Code))
		return
	}
	c.done(w, r, err, "refund."+decision+".done", ownPayment(r))
}

// waitingRefunds lists the refunds of all payments that wait for a second person.
func (c *console) waitingRefunds(w http.ResponseWriter, r *http.Request) {
	ask := url.Values{"limit": {"50"}, "state": {"WAITING"}}
	goOn(r, ask)
	var list page.List[refundView]
	if err := c.api.get(r.Context(), "payment", paymentAPI(r)+"/refunds?"+ask.Encode(), &list); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	t := web.Table{Caption: c.site.T(r, "refunds.waiting"), Empty: c.site.T(r, "refunds.none"), Head: []string{
		c.site.T(r, "payment.kassenzeichen"), c.site.T(r, "refund.amount"), c.site.T(r, "refund.note"), c.site.T(r, "refund.by"), c.site.T(r, "refund.created"),
	}}
	for _, v := range list.Items {
		t.Rows = append(t.Rows, []any{
			web.Link{URL: paymentsBase(r) + "/" + url.PathEscape(v.TransactionID), Text: v.Kassenzeichen}, v.Amount, v.Note, c.who(r, v.RequestedBy), v.CreatedAt,
		})
	}
	c.site.Render(w, r, http.StatusOK, "refunds", c.staffPage(r, c.site.T(r, "staff.refunds")), map[string]any{"Table": t, "Next": nextPage(r, list.Next)})
}
