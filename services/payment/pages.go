package payment

import (
	"io/fs"
	"net/http"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/kit"
	"basisdienste/platform/run"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

// pages are the payer's: no login, no script. Who has the link may pay, and see the result.
type pages struct {
	s    *Service
	site *web.Site
}

func newPages(s *Service, h *run.Host) (*pages, error) {
	sub, err := fs.Sub(templates, "templates")
	if err != nil {
		return nil, err
	}
	site, err := h.Site(sub, texts)
	return &pages{s, site}, err
}

func (p *pages) routes(m *kit.Mux) {
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request, id.ID){
		"GET /pay/{transaction}/{token}":         p.show,
		"POST /pay/{transaction}/{token}":        p.start,
		"POST /pay/{transaction}/{token}/cancel": p.cancel,
		"GET /pay/{transaction}/{token}/return":  p.back,
	} {
		m.Handle(pattern, p.site.Protect(p.linked(h)))
	}
}

// linked lets in who has the right link, and acts for the link's tenant from there on.
func (p *pages) linked(next func(http.ResponseWriter, *http.Request, id.ID)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tenantID, txID, err := p.s.links.read(r.PathValue("transaction"), r.PathValue("token"))
		if err != nil {
			p.site.ErrorPage(w, r, err)
			return
		}
		ctx, err := p.s.enter(r.Context(), tenantID)
		if err != nil {
			p.site.ErrorPage(w, r, err)
			return
		}
		next(w, r.WithContext(ctx), txID)
	})
}

// path is the address of the pay page of this request.
func path(r *http.Request) string {
	return "/pay/" + r.PathValue("transaction") + "/" + r.PathValue("token")
}

func (p *pages) show(w http.ResponseWriter, r *http.Request, txID id.ID) {
	progress, err := p.s.Refresh(r.Context(), txID)
	if err != nil && !fault.Is(err, "provider_unavailable") {
		p.site.ErrorPage(w, r, err)
		return
	}
	p.render(w, r, http.StatusOK, progress, nil, err)
}

// start leads to the provider, or shows the page again and says why not.
func (p *pages) start(w http.ResponseWriter, r *http.Request, txID id.ID) {
	address, err := p.s.Start(r.Context(), txID, r.PostFormValue("offer"), p.site.Lang(r))
	switch {
	case err == nil && address == "": // nothing to pay any more
		http.Redirect(w, r, path(r), http.StatusSeeOther) //nolint:gosec // the page that was asked for
	case err == nil:
		http.Redirect(w, r, address, http.StatusSeeOther) //nolint:gosec // the provider's page for this attempt
	default:
		p.again(w, r, txID, err)
	}
}

// cancel ends the transaction for the payer and sends the browser back to the service.
func (p *pages) cancel(w http.ResponseWriter, r *http.Request, txID id.ID) {
	t, err := p.s.Cancel(r.Context(), txID)
	if err != nil {
		p.again(w, r, txID, err)
		return
	}
	http.Redirect(w, r, after(r, &t), http.StatusSeeOther) //nolint:gosec // the client's own address, or the page that was asked for
}

// after is where the browser goes in the end: to the service, or to the result page if there is
// no service behind it.
func after(r *http.Request, t *Transaction) string {
	if t.RedirectURL == "" {
		return path(r)
	}
	return t.RedirectURL
}

// back is where the provider sends the browser. What the browser says counts for nothing:
// we ask the provider ourselves.
func (p *pages) back(w http.ResponseWriter, r *http.Request, txID id.ID) {
	progress, err := p.s.Refresh(r.Context(), txID)
	switch {
	case err != nil && !fault.Is(err, "provider_unavailable"):
		p.site.ErrorPage(w, r, err)
	case progress.Transaction.Final() || progress.Attempt.held(): // nothing more to do for the payer
		http.Redirect(w, r, after(r, &progress.Transaction), http.StatusSeeOther) //nolint:gosec // the client's own address, or the page that was asked for
	case err != nil || progress.Processing:
		progress.Processing = true // as far as the payer is concerned
		p.render(w, r, http.StatusOK, progress, nil, nil)
	default:
		http.Redirect(w, r, path(r), http.StatusSeeOther) //nolint:gosec // the page that was asked for
	}
}

// again shows the pay page after err.
func (p *pages) again(w http.ResponseWriter, r *http.Request, txID id.ID, err error) {
	t, a, gone := p.s.current(r.Context(), txID)
	if gone != nil {
		p.site.ErrorPage(w, r, gone)
		return
	}
	switch f := fault.From(err); f.Kind {
	case fault.KindInternal, fault.KindNotFound:
		p.site.ErrorPage(w, r, err)
	default:
		if f.Kind == fault.KindUnavailable && f.Cause != nil {
			p.s.log.WarnContext(r.Context(), "payment not started", "code", f.Code, "error", f.Cause)
		}
		progress := Progress{Transaction: t, Attempt: a, Processing: f.Code == "payment_processing"}
		p.render(w, r, f.Kind.Status(), progress, err, err)
	}
}

// payView is what the templates show.
type payView struct {
	T       *Transaction
	Rows    []web.Row
	Items   web.Table
	Form    web.Form
	Down    []string
	Notice  string
	Alert   string // text key of why the last try failed
	Action  string
	Service string // where the browser goes from here
	Result  string // text key of the end
	Kind    string // of the result: success, info, warning
}

// render shows the page that fits: the choice of a method, the wait, that the money is held, or the result. why is
// what went wrong just now, and formErr what belongs to a field of the form.
func (p *pages) render(w http.ResponseWriter, r *http.Request, status int, progress Progress, formErr, why error) {
	t := &progress.Transaction
	items, err := t.ItemList.Items()
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	v := payView{T: t, Rows: p.rows(r, t), Items: p.items(r, items), Action: path(r), Service: t.RedirectURL}
	page := web.Page{Self: v.Action, FormAction: []string{t.RedirectURL}}
	switch {
	case t.Final():
		v.Result, v.Kind = resultOf(t, progress.Attempt)
		page.Title = p.site.T(r, v.Result)
		p.site.Render(w, r, http.StatusOK, "result", page, v)
		return
	case progress.Attempt.held():
		page.Title = p.site.T(r, "reserved")
		v.Rows = append(v.Rows, web.Row{Key: p.site.T(r, "row.reserved"), Value: t.ExpiresAt.Time})
		p.site.Render(w, r, status, "reserved", page, v)
		return
	case progress.Processing:
		page.Title = p.site.T(r, "waiting")
		p.site.Render(w, r, status, "waiting", page, v)
		return
	}
	settings, err := p.s.settings(r.Context(), t.OriginatorID)
	if err != nil {
		p.site.ErrorPage(w, r, err)
		return
	}
	up, down := p.s.offers(settings, t)
	v.Notice = settings.Notice[p.site.Lang(r)]
	v.Form = web.Form{{Name: "offer", Kind: "radios", Label: p.site.T(r, "offer"), Required: true, Value: preselect(up, r.PostFormValue("offer"))}}
	for _, o := range up {
		v.Form[0].Options = append(v.Form[0].Options, web.Option{Value: o.Key, Label: p.label(r, o.Method, o.Detail)})
	}
	for _, o := range down {
		v.Down = append(v.Down, p.label(r, o.Method, o.Detail))
	}
	if len(up) == 0 {
		v.Form = nil
	}
	switch a := progress.Attempt; {
	case formErr != nil && p.site.Fail(r, v.Form, formErr) == nil:
	case why != nil:
		v.Alert = "try." + known(fault.From(why).Code, tryTexts, "provider_unavailable")
	case a != nil && a.State == attemptDeclined:
		v.Alert = "try." + known(a.Reason, declineReasons, "declined")
	}
	page.Title = p.site.T(r, "title")
	p.site.Render(w, r, status, "pay", page, v)
}

// tryTexts are the codes that the page explains in words of their own.
var tryTexts = map[string]bool{"provider_unavailable": true, "offer_down": true, "payment_processing": true, "transaction_expired": true}

func known(code string, codes map[string]bool, otherwise string) string {
	if codes[code] {
		return code
	}
	return otherwise
}

func preselect(up []Offer, chosen string) string {
	for _, o := range up {
		if o.Key == chosen {
			return chosen
		}
	}
	if len(up) == 1 {
		return up[0].Key
	}
	return ""
}

// resultOf is how the transaction ended; last is its newest attempt, if there is one.
func resultOf(t *Transaction, last *Attempt) (key, kind string) {
	switch t.State {
	case Payed:
		return "result.payed", "success"
	case Canceled:
		if t.Reason == ReasonService {
			return "result.withdrawn", "info"
		}
		return "result.canceled", "info"
	case Expired:
		if last != nil && last.AuthorisedAt != nil {
			return "result.released", "info"
		}
		return "result.expired", "warning"
	case Failed, Initial:
	}
	return "result.failed", "warning"
}

func (p *pages) rows(r *http.Request, t *Transaction) []web.Row {
	rows := []web.Row{{Key: p.site.T(r, "row.amount"), Value: t.Amount}, {Key: p.site.T(r, "row.subject"), Value: t.Description}}
	if e, ok := tenantdir.From(r.Context()); ok {
		rows = append(rows, web.Row{Key: p.site.T(r, "row.payee"), Value: e.Name})
	}
	rows = append(rows, web.Row{Key: p.site.T(r, "row.kassenzeichen"), Value: t.Kassenzeichen})
	if t.DueAt != nil && !t.Final() {
		rows = append(rows, web.Row{Key: p.site.T(r, "row.due"), Value: web.Day{Time: t.DueAt.Time}})
	}
	if t.State == Payed {
		rows = append(rows, web.Row{Key: p.site.T(r, "row.method"), Value: p.label(r, t.Method, t.MethodDetail)},
			web.Row{Key: p.site.T(r, "row.paid_at"), Value: t.EndedAt.Time})
	}
	return rows
}

// items is the list of positions, where there are several.
func (p *pages) items(r *http.Request, items []Item) web.Table {
	table := web.Table{Caption: p.site.T(r, "items"), Head: []string{p.site.T(r, "items.text"), p.site.T(r, "items.quantity"), p.site.T(r, "row.amount")}}
	if len(items) < 2 {
		return table
	}
	for _, i := range items {
		text := i.Description
		if text == "" {
			text = i.Reference
		}
		table.Rows = append(table.Rows, []any{text, i.Quantity, i.TotalNet + i.TotalTax})
	}
	return table
}

// label names a method in the reader's language.
func (p *pages) label(r *http.Request, m Method, detail string) string {
	switch m {
	case Giropay:
		return "giropay"
	case Paydirect:
		return "paydirekt"
	case PayPal:
		return "PayPal"
	case CreditCard:
		if detail != "" {
			return p.site.T(r, "method.card") + " (" + detail + ")"
		}
		return p.site.T(r, "method.card")
	case Other:
	}
	switch detail {
	case "SEPA":
		return p.site.T(r, "method.sepa")
	case transferDetail:
		return p.site.T(r, "method.transfer")
	case "":
		return p.site.T(r, "method.other")
	}
	return detail
}
