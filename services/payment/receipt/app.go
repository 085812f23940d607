package receipt

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/run"
	"basisdienste/platform/web"
	"basisdienste/services/payment"
)

//go:embed templates/*.html
var templates embed.FS

// service is the use cases. It is safe for concurrent use.
type service struct {
	payments *payment.Service
	site     *web.Site
	zone     *time.Location
	writing  chan struct{} // holds a value for each PDF that is being written
}

// atOnce bounds the PDFs that are being written: each takes up to 50 MB meanwhile.
const atOnce = 4

// pdf writes the receipt when it is its turn.
func (s *service) pdf(ctx context.Context, r *Receipt) ([]byte, error) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
		return r.PDF(s.zone)
	case <-ctx.Done():
		return nil, fault.Unavailable("too_many_receipts", "too many receipts are being written; try again in a moment").After(time.Second).Because(ctx.Err())
	}
}

// Part adds receipts to the service.
func Part() payment.Part {
	return payment.Part{Open: func(_ context.Context, h *run.Host, p *payment.Service) (payment.Opened, error) {
		zone, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			return payment.Opened{}, fmt.Errorf("receipts: %w", err)
		}
		sub, err := fs.Sub(templates, "templates")
		if err != nil {
			return payment.Opened{}, err
		}
		site, err := h.Site(sub, Texts)
		if err != nil {
			return payment.Opened{}, err
		}
		s := &service{p, site, zone, make(chan struct{}, atOnce)}
		s.routes(h.Mux, h.Verifier)
		s.pages(h.Mux)
		return payment.Opened{}, nil
	}}
}
