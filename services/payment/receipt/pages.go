package receipt

import (
	"fmt"
	"net/http"
	"strings"

	"basisdienste/platform/fault"
	"basisdienste/platform/kit"
	"basisdienste/platform/web"
)

func (s *service) pages(m *kit.Mux) {
	m.Handle("GET /pay/{transaction}/{token}/receipt", s.linked(s.show))
	m.Handle("GET /pay/{transaction}/{token}/receipt.pdf", s.linked(s.download))
}

// pageView is what the templates show.
type pageView struct {
	Rows    []web.Row
	Items   web.Table
	Rates   web.Table
	Refunds web.Table
	PDF     string
	Pay     string
}

// linked lets in who has the right link, and shows the receipt, or that there is none.
func (s *service) linked(next func(http.ResponseWriter, *http.Request, *Receipt)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, txID, err := s.payments.Linked(r.Context(), r.PathValue("transaction"), r.PathValue("token"))
		if err != nil {
			s.site.ErrorPage(w, r, err)
			return
		}
		r = r.WithContext(ctx)
		found, err := s.read(ctx, txID, s.site.Lang(r))
		switch {
		case fault.Is(err, "not_paid") && web.WantsHTML(r):
			s.site.Render(w, r, http.StatusConflict, "unpaid", web.Page{Title: s.site.T(r, "unpaid"), Self: path(r) + "/receipt", Back: path(r)}, pageView{Pay: path(r)})
		case err != nil:
			s.site.ErrorPage(w, r, err)
		default:
			next(w, r, found)
		}
	})
}

// path is the address of the pay page of this request.
func path(r *http.Request) string {
	return "/pay/" + r.PathValue("transaction") + "/" + r.PathValue("token")
}

func (s *service) show(w http.ResponseWriter, r *http.Request, found *Receipt) {
	v := pageView{PDF: path(r) + "/receipt.pdf?lang=" + found.Language, Pay: path(r)}
	for _, f := range found.Facts {
		v.Rows = append(v.Rows, web.Row{Key: f.Key, Value: f.Value})
	}
	v.Items = web.Table{Caption: s.site.T(r, "items"), Head: []string{s.site.T(r, "items.text"), s.site.T(r, "items.quantity"), s.site.T(r, "net"), s.site.T(r, "tax"), s.site.T(r, "gross")}}
	for _, i := range found.Items {
		v.Items.Rows = append(v.Items.Rows, []any{i.Description, i.Quantity, i.TotalNet, i.TotalTax, i.TotalNet + i.TotalTax})
	}
	v.Rates = web.Table{Caption: s.site.T(r, "rates"), Head: []string{s.site.T(r, "rate"), s.site.T(r, "net"), s.site.T(r, "tax"), s.site.T(r, "gross")}}
	for _, x := range found.Rates {
		v.Rates.Rows = append(v.Rates.Rows, []any{found.percent(x.Percent), x.Net, x.Tax, x.Net + x.Tax})
	}
	v.Refunds = web.Table{Caption: s.site.T(r, "refunds"), Head: []string{s.site.T(r, "refunds.at"), s.site.T(r, "amount")}}
	for _, x := range found.Refunds {
		v.Refunds.Rows = append(v.Refunds.Rows, []any{x.EndedAt.Time, x.Amount})
	}
	s.site.Render(w, r, http.StatusOK, "receipt", web.Page{Title: s.site.T(r, "title"), Self: path(r) + "/receipt", Back: path(r)}, v)
}

func (s *service) download(w http.ResponseWriter, r *http.Request, found *Receipt) {
	body, err := s.pdf(r.Context(), found)
	if err != nil {
		s.site.ErrorPage(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/pdf")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", strings.ReplaceAll(found.text("title"), " ", "-")+"-"+found.Number+".pdf"))
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) //nolint:gosec // a PDF that was made here; a reader who went away cannot be told
}
