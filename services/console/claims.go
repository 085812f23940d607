package console

import (
	"net/http"
	"strconv"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/web"
)

// askedView is what the service payment says of a payer who is asked by mail.
type askedView struct {
	State string `json:"state"`
	Email string `json:"email"` // masked
	Mails []struct {
		State  string     `json:"state"`
		SendAt time.Time  `json:"send_at"`
		SentAt *time.Time `json:"sent_at"`
	} `json:"mails"`
}

const asking = "ASKING"

// claimForm asks for a claim of the municipality's own. The key makes a form that is sent twice
// one claim.
func (c *console) claimForm(r *http.Request) web.Form {
	return web.Form{
		{Name: "description", Label: c.site.T(r, "claim.description"), Hint: c.site.T(r, "claim.description.hint"), Required: true, MaxLength: 250},
		{Name: "amount", Kind: "number", Label: c.site.T(r, "payment.amount"), Hint: c.site.T(r, "refund.amount.hint"), Required: true, MaxLength: 16},
		{Name: "due_on", Kind: "date", Label: c.site.T(r, "claim.due"), Hint: c.site.T(r, "claim.due.hint")},
		{Name: "line", Label: c.site.T(r, "closing.line"), Hint: c.site.T(r, "claim.line.hint"), MaxLength: 100},
		{Name: "key", Kind: "hidden", Value: id.New().String()},
	}
}

func (c *console) askClaim(w http.ResponseWriter, r *http.Request) {
	c.showClaim(w, r, http.StatusOK, c.claimForm(r), "")
}

func (c *console) showClaim(w http.ResponseWriter, r *http.Request, status int, form web.Form, wrong string) {
	p := c.staffPage(r, c.site.T(r, "claim.new"))
	p.Back, p.Self = paymentsBase(r), paymentsBase(r)+"/new"
	c.site.Render(w, r, status, "form", p, map[string]any{
		"Title": c.site.T(r, "claim.new"), "Intro": c.site.T(r, "claim.intro"), "Wrong": wrong, "Form": form, "Own": paymentsBase(r) + "/new", "Button": c.site.T(r, "claim.create"),
	})
}

func (c *console) createClaim(w http.ResponseWriter, r *http.Request) {
	if err := parseForm(w, r); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	form := c.claimForm(r)
	form.Fill(r.PostForm)
	key := form.Field("key")
	if _, err := id.Parse(key.Value); err != nil {
		key.Value = id.New().String()
	}
	ok := c.site.Check(r, form)
	field := form.Field("amount")
	amount, err := typedAmount(field.Value)
	if field.Error == "" && (err != nil || amount <= 0) {
		field.Error, ok = c.site.T(r, "field.invalid_amount", field.Label), false
	}
	if !ok {
		c.showClaim(w, r, http.StatusUnprocessableEntity, form, "")
		return
	}
	body := map[string]any{"amount": amount, "description": form.Value("description"), "due_on": form.Value("due_on")}
	if line := form.Value("line"); line != "" {
		body["booking_data"] = map[string]string{"haushaltsstelle": line}
	}
	var made paymentView
	err = c.api.call(r.Context(), http.MethodPost, "payment", paymentAPI(r)+"/transactions", body, &made, "Idempotency-Key", key.Value)
	switch e := fault.From(err); {
	case err == nil:
		c.done(w, r, nil, "claim.done", paymentsBase(r)+"/"+made.ID)
	case e.Code == "booking_data_missing", e.Code == "no_method_for_amount", e.Code == "tenant_suspended", e.Code == "idempotency_key_reused":
		c.showClaim(w, r, e.Kind.Status(), form, c.word(r, "error.", e.Code))
	case c.site.Fail(r, form, err) == nil:
		c.showClaim(w, r, e.Kind.Status(), form, "")
	default:
		c.site.ErrorPage(w, r, err)
	}
}

// linkCode passes on the picture that leads a phone to the pay page, for a letter.
func (c *console) linkCode(w http.ResponseWriter, r *http.Request) {
	c.passOn(w, r, "payment", transactionAPI(r)+"/qr.png", "image/png", "attachment; filename=qr.png")
}

// receipt passes on the proof of payment, in the reader's language.
func (c *console) receipt(w http.ResponseWriter, r *http.Request) {
	c.passOn(w, r, "payment", transactionAPI(r)+"/receipt.pdf?lang="+c.site.Lang(r), "application/pdf", "attachment; filename=zahlungsbeleg.pdf")
}

// asked reads whether the payer is asked by mail; nil: not.
func (c *console) asked(r *http.Request) (*askedView, error) {
	var v askedView
	err := c.api.get(r.Context(), "payment", transactionAPI(r)+"/request", &v)
	if fault.Is(err, "unknown_request") {
		return nil, nil
	}
	return &v, err
}

func (c *console) askedRows(r *http.Request, v *askedView) []web.Row {
	rows := []web.Row{{Key: c.site.T(r, "asked.email"), Value: v.Email}}
	for _, m := range v.Mails {
		at := m.SendAt
		if m.SentAt != nil {
			at = *m.SentAt
		}
		rows = append(rows, web.Row{Key: c.word(r, "asked.mail.", m.State), Value: at})
	}
	return rows
}

func (c *console) mailForm(r *http.Request) web.Form {
	language := web.Field{Name: "language", Kind: "radios", Label: c.site.T(r, "asked.language"), Value: "de", Required: true, Options: []web.Option{{Value: "de", Label: "Deutsch"}, {Value: "en", Label: "English"}}}
	days := web.Field{Name: "days", Kind: "checkboxes", Label: c.site.T(r, "asked.days"), Hint: c.site.T(r, "asked.days.hint"), Values: []string{"7", "1"}}
	for _, d := range []string{"14", "7", "3", "1"} {
		days.Options = append(days.Options, web.Option{Value: d, Label: c.site.T(r, "asked.days."+d)})
	}
	return web.Form{{Name: "email", Kind: "email", Label: c.site.T(r, "asked.email"), Required: true, MaxLength: 254}, language, days}
}

func (c *console) askMail(w http.ResponseWriter, r *http.Request) {
	c.showMail(w, r, http.StatusOK, c.mailForm(r), "")
}

func (c *console) showMail(w http.ResponseWriter, r *http.Request, status int, form web.Form, wrong string) {
	f, ok := c.factsOf(w, r)
	switch {
	case !ok:
		return
	case f.State != initial || f.Capturable:
		c.showPayment(w, r, http.StatusConflict, c.site.T(r, "error.nobody_to_ask"))
		return
	}
	p := c.staffPage(r, c.site.T(r, "asked.ask"))
	p.Back, p.Self = ownPayment(r), ownPayment(r)+"/request"
	c.site.Render(w, r, status, "form", p, map[string]any{
		"Title": c.site.T(r, "asked.ask"), "Intro": c.site.T(r, "asked.intro", f.Kassenzeichen), "Wrong": wrong, "Form": form, "Own": ownPayment(r) + "/request", "Button": c.site.T(r, "asked.ask"),
	})
}

// mailPayer asks the payer by mail. The address goes no further than the body of the request.
func (c *console) mailPayer(w http.ResponseWriter, r *http.Request) {
	if err := parseForm(w, r); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	form := c.mailForm(r)
	form.Fill(r.PostForm)
	if !c.site.Check(r, form) {
		c.showMail(w, r, http.StatusUnprocessableEntity, form, "")
		return
	}
	days := []int{}
	for _, text := range form.Field("days").Values {
		if n, err := strconv.Atoi(text); err == nil { // it is one of those offered
			days = append(days, n)
		}
	}
	body := map[string]any{"email": form.Value("email"), "language": form.Value("language"), "remind_days_before": days}
	err := c.api.post(r.Context(), "payment", transactionAPI(r)+"/request", body)
	switch e := fault.From(err); {
	case err == nil:
		c.done(w, r, nil, "asked.done", ownPayment(r))
	case e.Code == "request_exists":
		c.showMail(w, r, e.Kind.Status(), form, c.site.T(r, "error.request_exists"))
	case e.Code == "transaction_final", e.Code == "payment_authorised":
		c.showPayment(w, r, e.Kind.Status(), c.site.T(r, "error.nobody_to_ask"))
	case c.site.Fail(r, form, err) == nil:
		c.showMail(w, r, e.Kind.Status(), form, "")
	default:
		c.site.ErrorPage(w, r, err)
	}
}

func (c *console) stopMail(w http.ResponseWriter, r *http.Request) {
	err := c.api.call(r.Context(), http.MethodDelete, "payment", transactionAPI(r)+"/request", nil, nil)
	if fault.Is(err, "unknown_request") { // nobody is asked, as was wanted
		err = nil
	}
	c.done(w, r, err, "asked.stopped", ownPayment(r))
}
