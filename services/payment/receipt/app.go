package receipt

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"time"

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
		s := &service{p, site, zone}
		s.routes(h.Mux, h.Verifier)
		s.pages(h.Mux)
		return payment.Opened{}, nil
	}}
}
