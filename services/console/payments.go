package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/login"
	"basisdienste/platform/money"
	"basisdienste/platform/page"
	"basisdienste/platform/web"
)

// paymentView is what the service payment says of a transaction.
type paymentView struct {
	ID            string       `json:"id"`
	OriginatorID  string       `json:"originator_id"`
	RequestID     string       `json:"request_id"`
	Amount        money.Amount `json:"amount"`
	Purpose       string       `json:"purpose"`
	Description   string       `json:"description"`
	Kassenzeichen string       `json:"kassenzeichen"`
	State         string       `json:"state"`
	Reason        string       `json:"reason"`
	Method        string       `json:"method"`
	MethodDetail  string       `json:"method_detail"`
	CreatedAt     time.Time    `json:"created_at"`
	ExpiresAt     time.Time    `json:"expires_at"`
	EndedAt       *time.Time   `json:"ended_at"`
	DueOn         string       `json:"due_on"`     // a day in Germany
	Capturable    bool         `json:"capturable"` // the money is held, and nobody asked to take it
	PayURL        string       `json:"pay_url"`
	Items         []itemView   `json:"items"`
}

// itemView is one position of a claim.
type itemView struct {
	Reference   string       `json:"reference"`
	Description string       `json:"description"`
	TaxRate     string       `json:"tax_rate"`
	Quantity    int64        `json:"quantity"`
	TotalNet    money.Amount `json:"total_net"`
	TotalTax    money.Amount `json:"total_tax"`
}

// happenedView is an entry of a transaction's history.
type happenedView struct {
	What    string    `json:"what"`
	Reason  string    `json:"reason"`
	Attempt string    `json:"attempt_id"`
	Actor   string    `json:"actor"`
	At      time.Time `json:"at"`
}

// paymentStates in which staff looks for payments.
var paymentStates = []string{"INITIAL", "PAYED", "FAILED", "CANCELED", "EXPIRED"}

const (
	initial = "INITIAL" // nobody has paid yet
	payed   = "PAYED"
)

func paymentsBase(r *http.Request) string { return staffBase(r) + "/payments" }
func paymentAPI(r *http.Request) string   { return "/t/" + slugOf(r) + "/payment/v1" }

func transactionAPI(r *http.Request) string {
	return paymentAPI(r) + "/transactions/" + url.PathEscape(r.PathValue("id"))
}

// ownPayment is the page of the payment that the path names.
func ownPayment(r *http.Request) string {
	return paymentsBase(r) + "/" + url.PathEscape(r.PathValue("id"))
}

func (c *console) paymentFilter(r *http.Request) web.Form {
	state := web.Field{Name: "state", Kind: "select", Label: c.site.T(r, "payment.state")}
	for _, s := range paymentStates {
		state.Options = append(state.Options, web.Option{Value: s, Label: c.site.T(r, "payment.state."+s)})
	}
	form := web.Form{
		state,
		{Name: "kassenzeichen", Label: c.site.T(r, "payment.kassenzeichen"), MaxLength: 36},
		{Name: "request_id", Label: c.site.T(r, "payment.request"), Hint: c.site.T(r, "payment.request.hint"), MaxLength: 255},
		{Name: "from", Kind: "date", Label: c.site.T(r, "payment.from"), Hint: c.site.T(r, "payment.from.hint")},
		{Name: "to", Kind: "date", Label: c.site.T(r, "payment.to")},
	}
	form.Fill(r.URL.Query())
	return form
}

// payments lists the municipality's payments, the newest first.
func (c *console) payments(w http.ResponseWriter, r *http.Request) {
	form, status := c.paymentFilter(r), http.StatusOK
	t := web.Table{Caption: c.site.T(r, "staff.payments"), Empty: c.site.T(r, "payments.none"), Head: []string{
		c.site.T(r, "payment.kassenzeichen"), c.site.T(r, "payment.amount"), c.site.T(r, "payment.state"), c.site.T(r, "payment.created"), c.site.T(r, "payment.subject"),
	}}
	var next string
	if !c.site.Check(r, form) {
		status = http.StatusUnprocessableEntity
	} else {
		var list page.List[paymentView]
		if err := c.api.get(r.Context(), "payment", paymentAPI(r)+"/transactions?"+c.paymentQuery(r, form).Encode(), &list); err != nil {
			c.site.ErrorPage(w, r, err)
			return
		}
		for _, p := range list.Items {
			t.Rows = append(t.Rows, []any{
				web.Link{URL: paymentsBase(r) + "/" + url.PathEscape(p.ID), Text: p.Kassenzeichen}, p.Amount, c.paymentBadge(r, p.State), p.CreatedAt, p.subject(),
			})
		}
		next = nextPage(r, list.Next)
	}
	narrowed := status != http.StatusOK
	for _, f := range form {
		narrowed = narrowed || f.Value != ""
	}
	c.site.Render(w, r, status, "payments", c.staffPage(r, c.site.T(r, "staff.payments")), map[string]any{
		"Table": t, "Next": next, "Form": form, "Narrowed": narrowed, "All": paymentsBase(r), "New": paymentsBase(r) + "/new", "Asked": status == http.StatusOK,
	})
}

// paymentQuery is the filter in the words of the service.
func (c *console) paymentQuery(r *http.Request, form web.Form) url.Values {
	ask := url.Values{"limit": {"50"}}
	for _, k := range []string{"state", "kassenzeichen", "request_id"} {
		if v := form.Value(k); v != "" {
			ask.Set(k, v)
		}
	}
	for name, days := range map[string]int{"from": 0, "to": 1} { // the last day is included
		if day, err := time.ParseInLocation(time.DateOnly, form.Value(name), c.zone); err == nil {
			ask.Set(name, day.AddDate(0, 0, days).Format(time.RFC3339))
		}
	}
	goOn(r, ask)
	return ask
}

// goOn asks from the cursor on that the page before gave.
func goOn(r *http.Request, ask url.Values) {
	if cursor := r.URL.Query().Get("cursor"); cursor != "" {
		ask.Set("cursor", cursor)
	}
}

// nextPage is the address of the page that the cursor begins; "" on the last.
func nextPage(r *http.Request, cursor string) string {
	if cursor == "" {
		return ""
	}
	q := r.URL.Query()
	q.Set("cursor", cursor)
	return r.URL.EscapedPath() + "?" + q.Encode()
}

func (p *paymentView) subject() string {
	if p.Description != "" {
		return p.Description
	}
	return p.Purpose
}

func (c *console) paymentBadge(r *http.Request, state string) web.Badge {
	return c.badge(r, "payment.state.", state, map[string]string{"PAYED": "success", "FAILED": "danger", "CANCELED": "warning", "EXPIRED": "warning"})
}

// badge shows a state by its text; one that is new to us stays as it is.
func (c *console) badge(r *http.Request, texts, state string, kinds map[string]string) web.Badge {
	kind, ok := kinds[state]
	if !ok {
		kind = "info"
	}
	return web.Badge{Kind: kind, Text: c.word(r, texts, state)}
}

// word is the text of a service's word; one that is new to us stays as it is.
func (c *console) word(r *http.Request, prefix, word string) string {
	if _, known := texts[prefix+word]; !known {
		return word
	}
	return c.site.T(r, prefix+word)
}

// who says who an actor is, as far as staff may know: services keep pseudonymous ids alone.
func (c *console) who(r *http.Request, actor string) string {
	s, _ := login.From(r.Context())
	kind, of, _ := strings.Cut(actor, ":")
	switch {
	case actor == "":
		return "–"
	case actor == "staff:"+s.Principal.Subject:
		return c.site.T(r, "who.you")
	case kind == "staff" && len(of) > 8:
		return c.site.T(r, "who.staff", of[len(of)-8:])
	case kind == "client":
		return c.site.T(r, "who.client", of)
	}
	return actor
}

// facts is all that is known of one payment.
type facts struct {
	paymentView
	History []happenedView
	Refunds []refundView
}

// factsOf reads the payment that the path names, or answers with the reason why not.
func (c *console) factsOf(w http.ResponseWriter, r *http.Request) (f facts, ok bool) {
	var history page.List[happenedView]
	var refunds page.List[refundView]
	base := transactionAPI(r)
	err := c.api.get(r.Context(), "payment", base, &f.paymentView)
	if err == nil {
		err = errors.Join(c.api.get(r.Context(), "payment", base+"/events", &history), c.api.get(r.Context(), "payment", base+"/refunds", &refunds))
	}
	if err != nil {
		c.site.ErrorPage(w, r, err)
		return f, false
	}
	f.History, f.Refunds = history.Items, refunds.Items
	return f, true
}

func (c *console) payment(w http.ResponseWriter, r *http.Request) {
	c.showPayment(w, r, http.StatusOK, "")
}

// showPayment shows all that is known of a payment and what can be done; wrong says why what was
// asked for was not done.
func (c *console) showPayment(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	f, ok := c.factsOf(w, r)
	if !ok {
		return
	}
	open := f.State == initial && !f.Capturable
	var asked []web.Row
	if open {
		v, err := c.asked(r)
		if err != nil {
			c.site.ErrorPage(w, r, err)
			return
		}
		if v != nil && v.State == asking {
			asked = c.askedRows(r, v)
		}
	}
	own := ownPayment(r)
	p := c.staffPage(r, c.site.T(r, "payment.title", f.Kassenzeichen))
	p.Back, p.Self = paymentsBase(r), own
	c.site.Render(w, r, status, "payment", p, map[string]any{
		"Number": f.Kassenzeichen, "Wrong": wrong, "Rows": c.paymentRows(r, &f), "Items": c.itemTable(r, &f), "History": c.historyTable(r, &f),
		"Refunds": c.refundTable(r, &f), "Waiting": c.waitingOf(r, &f),
		"Capture": f.Capturable, "Actions": c.actions(r, &f, open, asked == nil), "Asked": asked, "Stop": own + "/request/stop",
	})
}

// action leads to what can be done with a payment.
type action struct{ Kind, URL, Text string }

// actions lists what can be done now: open is what can be paid, alone what nobody was asked for.
func (c *console) actions(r *http.Request, f *facts, open, alone bool) (list []action) {
	own := ownPayment(r)
	for _, a := range []struct {
		possible   bool
		kind, path string
		text       string
	}{
		{f.Capturable, "primary", "/capture", "payment.capture"},
		{open && alone, "secondary", "/request", "asked.ask"},
		{open, "secondary", "/qr", "payment.qr"},
		{f.State == payed, "secondary", "/receipt", "payment.receipt"},
		{len(f.sources()) > 0, "secondary", "/refund", "payment.refund"},
		{f.State == initial, "secondary", "/withdraw", "payment.withdraw"},
	} {
		if a.possible {
			list = append(list, action{a.kind, own + a.path, c.site.T(r, a.text)})
		}
	}
	return list
}

// when returns the address where it leads somewhere.
func when(possible bool, address string) string {
	if possible {
		return address
	}
	return ""
}

func (c *console) paymentRows(r *http.Request, f *facts) []web.Row {
	rows := []web.Row{
		{Key: c.site.T(r, "payment.amount"), Value: f.Amount},
		{Key: c.site.T(r, "payment.state"), Value: c.paymentBadge(r, f.State)},
	}
	if f.Reason != "" {
		rows = append(rows, web.Row{Key: c.site.T(r, "payment.reason"), Value: c.word(r, "reason.", f.Reason)})
	}
	if f.Method != "" {
		rows = append(rows, web.Row{Key: c.site.T(r, "payment.method"), Value: c.methodName(r, f.Method, f.MethodDetail)})
	}
	rows = append(
		rows,
		web.Row{Key: c.site.T(r, "payment.kassenzeichen"), Value: f.Kassenzeichen},
		web.Row{Key: c.site.T(r, "payment.subject"), Value: f.subject()},
		web.Row{Key: c.site.T(r, "payment.request"), Value: f.RequestID},
		web.Row{Key: c.site.T(r, "payment.originator"), Value: c.word(r, "originator.", f.OriginatorID)},
		web.Row{Key: c.site.T(r, "payment.created"), Value: f.CreatedAt},
	)
	if f.State == initial && !f.Capturable {
		rows = append(rows, web.Row{Key: c.site.T(r, "payment.link"), Value: web.Link{URL: f.PayURL, Text: f.PayURL}})
	}
	if f.DueOn != "" {
		rows = append(rows, web.Row{Key: c.site.T(r, "payment.due"), Value: c.dayOf(r, f.DueOn)})
	}
	if f.EndedAt != nil {
		return append(rows, web.Row{Key: c.site.T(r, "payment.ended"), Value: *f.EndedAt})
	}
	return append(rows, web.Row{Key: c.site.T(r, "payment.expires"), Value: f.ExpiresAt})
}

func (c *console) itemTable(r *http.Request, f *facts) web.Table {
	t := web.Table{Caption: c.site.T(r, "payment.items"), Empty: c.site.T(r, "payment.items.none"), Head: []string{
		c.site.T(r, "item.description"), c.site.T(r, "item.quantity"), c.site.T(r, "item.tax"), c.site.T(r, "item.total"),
	}}
	for _, i := range f.Items {
		name := i.Description
		if name == "" {
			name = i.Reference
		}
		tax := c.site.T(r, "item.tax.rate", i.TaxRate)
		t.Rows = append(t.Rows, []any{name, i.Quantity, tax, i.TotalNet + i.TotalTax})
	}
	return t
}

func (c *console) historyTable(r *http.Request, f *facts) web.Table {
	t := web.Table{Caption: c.site.T(r, "payment.history"), Empty: c.site.T(r, "application.log.none"), Head: []string{
		c.site.T(r, "application.log.at"), c.site.T(r, "application.log.event"), c.site.T(r, "payment.reason"), c.site.T(r, "payment.actor"),
	}}
	for _, h := range f.History {
		t.Rows = append(t.Rows, []any{h.At, c.word(r, "history.", h.What), c.word(r, "reason.", h.Reason), c.who(r, h.Actor)})
	}
	return t
}

// askWithdraw asks once more before a payment is ended.
func (c *console) askWithdraw(w http.ResponseWriter, r *http.Request) {
	f, ok := c.factsOf(w, r)
	switch {
	case !ok:
		return
	case f.State != initial:
		c.showPayment(w, r, http.StatusConflict, c.site.T(r, "error.transaction_final"))
		return
	}
	c.confirm(w, r, &f, "payment.withdraw", "/withdraw")
}

// confirm asks once more before something is done that cannot be undone; text begins the keys of
// what is asked.
func (c *console) confirm(w http.ResponseWriter, r *http.Request, f *facts, text, action string) {
	p := c.staffPage(r, c.site.T(r, text+".ask"))
	p.Back = ownPayment(r)
	c.site.Render(w, r, http.StatusOK, "confirm", p, map[string]any{
		"Title": c.site.T(r, text+".ask"), "Body": c.site.T(r, text+".body"), "Button": c.site.T(r, text), "Rows": c.paymentRows(r, f),
		"Own": ownPayment(r), "Action": ownPayment(r) + action,
	})
}

func (c *console) withdraw(w http.ResponseWriter, r *http.Request) {
	err := c.api.post(r.Context(), "payment", transactionAPI(r)+"/withdraw", nil)
	if fault.Is(err, "transaction_final") {
		c.showPayment(w, r, http.StatusConflict, c.site.T(r, "error.transaction_final"))
		return
	}
	c.done(w, r, err, "payment.withdraw.done", ownPayment(r))
}

// askCapture asks once more before money is taken that is held.
func (c *console) askCapture(w http.ResponseWriter, r *http.Request) {
	f, ok := c.factsOf(w, r)
	switch {
	case !ok:
		return
	case !f.Capturable:
		c.showPayment(w, r, http.StatusConflict, c.site.T(r, "error.not_capturable"))
		return
	}
	c.confirm(w, r, &f, "payment.capture", "/capture")
}

func (c *console) capture(w http.ResponseWriter, r *http.Request) {
	var now paymentView
	err := c.api.call(r.Context(), http.MethodPost, "payment", transactionAPI(r)+"/capture", nil, &now)
	switch {
	case fault.Is(err, "not_capturable"), fault.Is(err, "transaction_final"):
		c.showPayment(w, r, http.StatusConflict, c.site.T(r, "error.not_capturable"))
	case fault.Is(err, "provider_unavailable"), err == nil && now.State == initial:
		c.done(w, r, nil, "payment.capture.soon", ownPayment(r))
	default:
		c.done(w, r, err, "payment.capture.done", ownPayment(r))
	}
}

// done leads on after a post, with a word of success, or answers err.
func (c *console) done(w http.ResponseWriter, r *http.Request, err error, text, target string) {
	if err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	c.site.Flash(w, r, "success", c.site.T(r, text))
	http.Redirect(w, r, target, http.StatusSeeOther) //nolint:gosec // a path of our own, its parts looked up or escaped
}
