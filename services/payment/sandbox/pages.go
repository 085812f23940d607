package sandbox

import (
	"context"
	"embed"
	"io/fs"
	"net/http"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/run"
	"basisdienste/platform/web"
	"basisdienste/services/payment"
)

//go:embed templates/*.html
var templates embed.FS

// pages are the provider's own: where the payer pays.
type pages struct {
	p    *Provider
	site *web.Site
}

func (p *Provider) routes(h *run.Host) error {
	sub, err := fs.Sub(templates, "templates")
	if err != nil {
		return err
	}
	site, err := h.Site(sub, Texts)
	if err != nil {
		return err
	}
	g := &pages{p, site}
	h.Mux.Handle("GET /pay/sandbox/{session}", http.HandlerFunc(g.show))
	h.Mux.Handle("POST /pay/sandbox/{session}", site.Protect(http.HandlerFunc(g.act)))
	return nil
}

// outcome is what a button of the page does.
type outcome struct {
	state  payment.SessionState
	reason string
	late   bool // money on its way: state and reason come later
	shaky  bool // refunds come back
	// quiet: neither notification nor answer, for a while.
	quiet bool
	// stay: the browser does not go back.
	stay string // text key of what is shown instead
}

// outcomes by the value of the button.
var outcomes = map[string]outcome{
	"pay":            {state: payment.SessionPaid},
	"cancel":         {state: payment.SessionCanceled},
	"decline":        {state: payment.SessionDeclined, reason: "card_declined"},
	"funds":          {state: payment.SessionDeclined, reason: "insufficient_funds"},
	"authentication": {state: payment.SessionDeclined, reason: "authentication_failed"},
	"back":           {state: payment.SessionOpen},
	"close":          {state: payment.SessionPaid, stay: "closed"},
	"late":           {state: payment.SessionProcessing, late: true},
	"late-decline":   {state: payment.SessionProcessing, late: true, reason: "insufficient_funds"},
	"shaky":          {state: payment.SessionPaid, shaky: true},
	"timeout":        {state: payment.SessionPaid, quiet: true, stay: "timeout"},
}

// cases are the buttons behind "test cases", in their order.
var cases = []string{"decline", "funds", "authentication", "back", "close", "late", "late-decline", "shaky", "timeout"}

type pageView struct {
	Rows  []web.Row
	Open  bool
	Hold  bool
	Cases []web.Option
	Text  string
	Back  string
}

func (g *pages) show(w http.ResponseWriter, r *http.Request) {
	s, err := g.p.read(r.Context(), r.PathValue("session"))
	if err != nil {
		g.site.ErrorPage(w, r, unavailable(err))
		return
	}
	v := pageView{Open: s.State == payment.SessionOpen, Hold: s.Hold, Back: s.ReturnURL, Rows: []web.Row{
		{Key: g.site.T(r, "payee"), Value: s.Payee},
		{Key: g.site.T(r, "amount"), Value: s.Amount},
		{Key: g.site.T(r, "subject"), Value: s.Subject},
		{Key: g.site.T(r, "reference"), Value: s.Reference},
	}}
	for _, c := range cases {
		v.Cases = append(v.Cases, web.Option{Value: c, Label: g.site.T(r, "case."+c)})
	}
	g.site.Render(w, r, http.StatusOK, "session", web.Page{Title: g.site.T(r, "title"), FormAction: []string{s.ServiceURL}}, v)
}

// act does what the button says, once, and sends the browser back.
func (g *pages) act(w http.ResponseWriter, r *http.Request) {
	o, ok := outcomes[r.PostFormValue("act")]
	if !ok {
		g.site.ErrorPage(w, r, fault.Invalid("unknown_act", "press one of the buttons"))
		return
	}
	s, changed, err := g.p.act(r.Context(), r.PathValue("session"), o)
	if err != nil {
		g.site.ErrorPage(w, r, unavailable(err))
		return
	}
	if changed && !o.quiet {
		// Tell at once; what is not taken now is told again by the job.
		if err := g.p.Work(r.Context()); err != nil {
			g.p.log.WarnContext(r.Context(), "sandbox notifications wait", "error", err)
		}
	}
	if o.stay == "" {
		http.Redirect(w, r, s.ReturnURL, http.StatusSeeOther)
		return
	}
	status := http.StatusOK
	if o.quiet {
		status = http.StatusGatewayTimeout
	}
	g.site.Render(w, r, status, "stay", web.Page{Title: g.site.T(r, o.stay)}, pageView{Text: o.stay})
}

func unavailable(err error) error {
	if fault.From(err).Kind != fault.KindInternal {
		return err
	}
	return fault.Unavailable("sandbox_silent", "the sandbox does not answer at the moment").After(silentFor).Because(err)
}

// act books the outcome if the session is open.
func (p *Provider) act(ctx context.Context, sessionID string, o outcome) (s session, changed bool, err error) {
	err = p.tx(ctx, func(ctx context.Context, tx *db.Tx) error {
		changed = false
		if s, err = lock(ctx, tx, sessionID); err != nil {
			return err
		}
		if err := p.advance(ctx, tx, &s); err != nil || s.State != payment.SessionOpen || o.state == payment.SessionOpen {
			return err
		}
		changed = true
		s.State, s.Reason, s.Shaky = o.state, o.reason, o.shaky
		if o.state == payment.SessionPaid {
			s.State = s.arrived()
		}
		if o.late {
			at := db.NewTime(tx.Now().Add(settleAfter))
			s.SettlesAt = &at
		}
		if o.quiet {
			s.SilentUntil = db.NewTime(tx.Now().Add(silentFor))
		}
		if err := save(ctx, tx, &s); err != nil || o.quiet {
			return err
		}
		return announce(ctx, tx, &s)
	})
	return s, changed, err
}
