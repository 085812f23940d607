package transfer

import (
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/run"
	"basisdienste/platform/web"
	"basisdienste/services/payment"
)

//go:embed templates/*.html
var templates embed.FS

// Part adds bank transfer to the service.
func Part() payment.Part {
	return payment.Part{Open: func(_ context.Context, h *run.Host, s *payment.Service) (payment.Opened, error) {
		sub, err := fs.Sub(templates, "templates")
		if err != nil {
			return payment.Opened{}, err
		}
		site, err := h.Site(sub, Texts)
		if err != nil {
			return payment.Opened{}, err
		}
		g := &gateway{service: s, site: site, base: h.BaseURL, clock: h.Clock}
		h.Mux.Handle("GET /pay/transfer/{session}", http.HandlerFunc(g.show))
		return payment.Opened{Gateways: map[string]payment.Gateway{payment.TransferProvider: g}}, nil
	}}
}

// gateway implements payment.Gateway without a provider. The id of a session is the link of its
// transaction, which cannot be guessed.
type gateway struct {
	service *payment.Service
	site    *web.Site
	base    string
	clock   func() time.Time
}

// Create opens the page, and keeps the transaction payable for as long as a transfer takes.
func (g *gateway) Create(ctx context.Context, c payment.Checkout) (payment.Session, error) {
	settings, err := settingsOf(ctx)
	if err != nil {
		return payment.Session{}, err
	}
	link, ok := strings.CutPrefix(strings.TrimSuffix(c.ReturnURL, "/return"), g.base+"/pay/")
	if !ok {
		return payment.Session{}, fmt.Errorf("transfer: %q is no pay page", c.ReturnURL)
	}
	if err := g.service.Await(ctx, c.Transaction, g.clock().AddDate(0, 0, settings.Days)); err != nil {
		return payment.Session{}, err
	}
	return g.session(strings.Replace(link, "/", ".", 1), payment.SessionOpen), nil
}

// Get implements payment.Gateway: whether the money has come, the import of statements tells.
func (g *gateway) Get(_ context.Context, session string) (payment.Session, error) {
	return g.session(session, payment.SessionOpen), nil
}

// End implements payment.Gateway as far as anybody can: see the package.
func (g *gateway) End(_ context.Context, session string) (payment.Session, error) {
	return g.session(session, payment.SessionEnded), nil
}

func (g *gateway) session(id string, state payment.SessionState) payment.Session {
	return payment.Session{ID: id, URL: g.base + "/pay/transfer/" + id, State: state}
}

// Capture implements payment.Gateway: a transfer is never held.
func (g *gateway) Capture(_ context.Context, session string) (payment.Session, error) {
	return payment.Session{}, fmt.Errorf("transfer: no money is held by %s", session)
}

// Refund implements payment.Gateway: nobody can send the money back for the treasury.
func (g *gateway) Refund(_ context.Context, r payment.RefundOrder) (payment.RefundResult, error) {
	return payment.RefundResult{ID: r.Refund.String(), State: payment.RefundFailed, Reason: "bank_transfer"}, nil
}

// GetRefund implements payment.Gateway.
func (g *gateway) GetRefund(_ context.Context, _, refund string) (payment.RefundResult, error) {
	return payment.RefundResult{ID: refund, State: payment.RefundFailed, Reason: "bank_transfer"}, nil
}

type pageView struct {
	Rows    []web.Row
	Code    template.HTML
	Until   time.Time
	Pay     string // the pay page, where another method can be chosen
	Service string
}

// show is the session's page. It can be opened often; afterwards it leads to the result.
func (g *gateway) show(w http.ResponseWriter, r *http.Request) {
	transaction, token, _ := strings.Cut(r.PathValue("session"), ".")
	ctx, txID, err := g.service.Linked(r.Context(), transaction, token)
	if err != nil {
		g.site.ErrorPage(w, r, err)
		return
	}
	r = r.WithContext(ctx)
	t, err := g.service.Get(ctx, txID)
	if err != nil {
		g.site.ErrorPage(w, r, err)
		return
	}
	pay := g.service.PayURL(ctx, txID)
	if t.Final() {
		http.Redirect(w, r, pay, http.StatusSeeOther) //nolint:gosec // our own pay page, by the link that was checked
		return
	}
	settings, err := settingsOf(ctx)
	if err != nil {
		g.site.ErrorPage(w, r, fault.Unavailable("transfer_not_set_up", "this municipality takes no bank transfers at the moment; choose another way to pay").Because(err))
		return
	}
	p := Payment{Holder: settings.Holder, IBAN: settings.IBAN, BIC: settings.BIC, Amount: t.Amount, Purpose: t.Kassenzeichen}
	code, err := p.SVG(g.site.T(r, "code.label"))
	if err != nil {
		g.site.ErrorPage(w, r, err)
		return
	}
	v := pageView{Code: code, Until: t.ExpiresAt.Time, Pay: pay, Service: t.RedirectURL, Rows: []web.Row{
		{Key: g.site.T(r, "holder"), Value: p.Holder}, {Key: g.site.T(r, "iban"), Value: grouped(p.IBAN)},
	}}
	if p.BIC != "" {
		v.Rows = append(v.Rows, web.Row{Key: g.site.T(r, "bic"), Value: p.BIC})
	}
	v.Rows = append(v.Rows, web.Row{Key: g.site.T(r, "amount"), Value: p.Amount}, web.Row{Key: g.site.T(r, "purpose"), Value: p.Purpose},
		web.Row{Key: g.site.T(r, "subject"), Value: t.Description})
	g.site.Render(w, r, http.StatusOK, "transfer", web.Page{Title: g.site.T(r, "title"), Back: pay}, v)
}

// grouped writes an IBAN as it is printed: four characters and a space.
func grouped(iban string) string {
	var b strings.Builder
	for i := range len(iban) {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(iban[i])
	}
	return b.String()
}
