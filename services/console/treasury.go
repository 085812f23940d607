package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/money"
	"basisdienste/platform/web"
)

// closingView is what the treasury says of a day.
type closingView struct {
	Final    bool         `json:"final"`
	Number   int64        `json:"number"`
	MadeAt   *time.Time   `json:"made_at"`
	Bookings []kindView   `json:"bookings"`
	Methods  []methodView `json:"methods"`
	Lines    []struct {
		Line    string       `json:"budget_line"`
		Claimed money.Amount `json:"claimed"`
		Dropped money.Amount `json:"dropped"`
		Paid    sumView      `json:"paid"`
		Back    money.Amount `json:"refunded"`
	} `json:"budget_lines"`
	Accounts []struct {
		Account string       `json:"account"`
		Opening money.Amount `json:"opening"`
		Debit   money.Amount `json:"debit"`
		Credit  money.Amount `json:"credit"`
		Closing money.Amount `json:"closing"`
	} `json:"accounts"`
	Checks []struct {
		What       string       `json:"what"`
		Ledger     money.Amount `json:"ledger"`
		Other      money.Amount `json:"transactions"`
		Explained  money.Amount `json:"explained"`
		Difference money.Amount `json:"difference"`
	} `json:"checks"`
	Difference money.Amount `json:"difference"`
}

type sumView struct {
	Count  int64        `json:"count"`
	Amount money.Amount `json:"amount"`
}

type kindView struct {
	Kind string `json:"kind"`
	sumView
}

type methodView struct {
	Method string `json:"method"`
	Detail string `json:"method_detail"`
	sumView
}

func treasuryBase(r *http.Request) string { return staffBase(r) + "/treasury" }
func treasuryAPI(r *http.Request) string  { return paymentAPI(r) + "/treasury" }

// yesterday in Germany, the day that a treasury closes.
func (c *console) yesterday() string {
	return c.clock().In(c.zone).AddDate(0, 0, -1).Format(time.DateOnly)
}

// filled takes the answers of a form that a GET sends; where it was not sent yet, its values stay.
func filled(r *http.Request, form web.Form, sent string) web.Form {
	if q := r.URL.Query(); q.Has(sent) {
		form.Fill(q)
	}
	return form
}

// closing shows the closing of a day.
func (c *console) closing(w http.ResponseWriter, r *http.Request) {
	form := filled(r, web.Form{{
		Name: "day", Kind: "date", Label: c.site.T(r, "closing.day"), Hint: c.site.T(r, "payment.from.hint"), Value: c.yesterday(), Required: true,
	}}, "day-day")
	var v closingView
	status := http.StatusOK
	if !c.site.Check(r, form) {
		status = http.StatusUnprocessableEntity
	} else if err := c.api.get(r.Context(), "payment", treasuryAPI(r)+"/closings/"+url.PathEscape(form.Value("day")), &v); err != nil {
		if !c.onField(r, form, "day", err, "invalid_day", "day_ahead") {
			c.site.ErrorPage(w, r, err)
			return
		}
		status = http.StatusUnprocessableEntity
	}
	data := map[string]any{"Form": form, "Shown": status == http.StatusOK, "Treasury": treasuryBase(r)}
	if status == http.StatusOK {
		day, err := time.ParseInLocation(time.DateOnly, form.Value("day"), c.zone)
		if err != nil {
			c.site.ErrorPage(w, r, err)
			return
		}
		data["Day"], data["V"], data["Verdict"] = day, v, c.verdict(r, &v)
		data["Tables"] = []web.Table{c.bookings(r, &v), c.methods(r, &v), c.budgetLines(r, &v), c.accounts(r, &v), c.checks(r, &v)}
	}
	c.site.Render(w, r, status, "closing", c.staffPage(r, c.site.T(r, "staff.treasury")), data)
}

// onField puts the text of an error with one of the codes beside the field.
func (c *console) onField(r *http.Request, form web.Form, name string, err error, codes ...string) bool {
	for _, code := range codes {
		if fault.Is(err, code) {
			field := form.Field(name)
			field.Error = c.site.T(r, "field."+code, field.Label)
			return true
		}
	}
	return false
}

// verdict is the difference in words.
func (c *console) verdict(r *http.Request, v *closingView) map[string]string {
	switch {
	case v.Difference != 0:
		return map[string]string{"Kind": "danger", "Title": c.site.T(r, "closing.wrong", c.typed(r, v.Difference)), "Body": c.site.T(r, "closing.wrong.body")}
	case !v.Final:
		return map[string]string{"Kind": "info", "Title": c.site.T(r, "closing.open"), "Body": c.site.T(r, "closing.open.body")}
	}
	return map[string]string{"Kind": "success", "Title": c.site.T(r, "closing.right"), "Body": c.site.T(r, "closing.right.body", v.Number)}
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// table begins one with a heading, what it says without rows, and its columns.
func (c *console) table(r *http.Request, caption, none string, head ...string) web.Table {
	t := web.Table{Caption: c.site.T(r, caption), Empty: c.site.T(r, none)}
	for _, h := range head {
		t.Head = append(t.Head, c.site.T(r, h))
	}
	return t
}

func (c *console) bookings(r *http.Request, v *closingView) web.Table {
	t := c.table(r, "closing.bookings", "closing.bookings.none", "closing.kind", "closing.count", "closing.amount")
	for _, b := range v.Bookings {
		if b.Count > 0 {
			t.Rows = append(t.Rows, []any{c.word(r, "booking.", b.Kind), b.Count, b.Amount})
		}
	}
	return t
}

func (c *console) methods(r *http.Request, v *closingView) web.Table {
	t := c.table(r, "closing.methods", "closing.methods.none", "payment.method", "closing.count", "closing.amount")
	for _, m := range v.Methods {
		t.Rows = append(t.Rows, []any{c.methodName(r, m.Method, m.Detail), m.Count, m.Amount})
	}
	return t
}

func (c *console) methodName(r *http.Request, method, detail string) string {
	if detail == "" {
		return c.word(r, "payment.method.", method)
	}
	return c.word(r, "payment.method.", method) + " (" + detail + ")"
}

func (c *console) budgetLines(r *http.Request, v *closingView) web.Table {
	t := c.table(r, "closing.lines", "closing.lines.none", "closing.line", "closing.claimed", "closing.dropped", "closing.count", "closing.paid", "closing.back")
	for _, l := range v.Lines {
		t.Rows = append(t.Rows, []any{c.lineName(r, l.Line), l.Claimed, l.Dropped, l.Paid.Count, l.Paid.Amount, l.Back})
	}
	return t
}

func (c *console) lineName(r *http.Request, line string) string {
	if line == "-" {
		return c.site.T(r, "closing.line.none")
	}
	return line
}

func (c *console) accounts(r *http.Request, v *closingView) web.Table {
	t := c.table(r, "closing.accounts", "closing.accounts.none", "closing.account", "closing.opening", "closing.debit", "closing.credit", "closing.closing")
	for _, a := range v.Accounts {
		t.Rows = append(t.Rows, []any{c.accountName(r, a.Account), a.Opening, a.Debit, a.Credit, a.Closing})
	}
	return t
}

// accountName says what an account of the ledger holds; the part behind a slash is a budget line
// or a provider.
func (c *console) accountName(r *http.Request, account string) string {
	name, of, divided := strings.Cut(account, "/")
	if !divided {
		return c.word(r, "account.", account)
	}
	return c.word(r, "account.", name) + ": " + c.lineName(r, of)
}

func (c *console) checks(r *http.Request, v *closingView) web.Table {
	t := c.table(r, "closing.checks", "closing.checks.none", "closing.check", "closing.ledger", "closing.other", "closing.explained", "closing.difference")
	for _, k := range v.Checks {
		t.Rows = append(t.Rows, []any{c.word(r, "check.", k.What), k.Ledger, k.Other, k.Explained, k.Difference})
	}
	return t
}

// exportFormats by what the form offers: format and separator of the treasury.
var exportFormats = map[string][2]string{"csv-de": {"csv", "semicolon"}, "csv": {"csv", "comma"}, "json": {"json", ""}, "xml": {"xml", ""}}

func (c *console) exportForm(r *http.Request) web.Form {
	day := c.yesterday()
	options := func(prefix string, values ...string) (list []web.Option) {
		for _, v := range values {
			list = append(list, web.Option{Value: v, Label: c.site.T(r, prefix+v)})
		}
		return list
	}
	return filled(r, web.Form{
		{Name: "what", Kind: "radios", Label: c.site.T(r, "export.what"), Value: "payments", Required: true, Options: options("export.", "claims", "payments")},
		{Name: "from", Kind: "date", Label: c.site.T(r, "export.from"), Hint: c.site.T(r, "payment.from.hint"), Value: day, Required: true},
		{Name: "to", Kind: "date", Label: c.site.T(r, "export.to"), Hint: c.site.T(r, "export.to.hint"), Value: day, Required: true},
		{Name: "format", Kind: "radios", Label: c.site.T(r, "export.format"), Value: "csv-de", Required: true, Options: options("export.format.", "csv-de", "csv", "json", "xml")},
	}, "what")
}

func (c *console) exports(w http.ResponseWriter, r *http.Request) {
	c.showExports(w, r, http.StatusOK, c.exportForm(r))
}

func (c *console) showExports(w http.ResponseWriter, r *http.Request, status int, form web.Form) {
	p := c.staffPage(r, c.site.T(r, "export.title"))
	p.Back, p.Self = treasuryBase(r), treasuryBase(r)+"/exports"
	c.site.Render(w, r, status, "exports", p, map[string]any{"Form": form, "Download": treasuryBase(r) + "/exports/download"})
}

// export passes the file on that the form asks for.
func (c *console) export(w http.ResponseWriter, r *http.Request) {
	form := c.exportForm(r)
	if !c.site.Check(r, form) {
		c.showExports(w, r, http.StatusUnprocessableEntity, form)
		return
	}
	format := exportFormats[form.Value("format")]
	ask := url.Values{"from": {form.Value("from")}, "to": {form.Value("to")}, "format": {format[0]}}
	if format[1] != "" {
		ask.Set("separator", format[1])
	}
	resp, err := c.api.do(r.Context(), http.MethodGet, "payment", treasuryAPI(r)+"/exports/"+form.Value("what")+"?"+ask.Encode(), nil)
	switch {
	case err == nil:
		send(w, resp, "", "")
	case c.onField(r, form, "from", err, "invalid_day"), c.onField(r, form, "to", err, "invalid_period", "day_not_over"):
		c.showExports(w, r, http.StatusUnprocessableEntity, form)
	default:
		c.site.ErrorPage(w, r, err)
	}
}
