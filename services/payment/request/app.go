package request

import (
	"context"
	"embed"
	"fmt"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/run"
	"basisdienste/services/payment"
)

const (
	sweepEvery = 5 * time.Second
	purgeEvery = time.Hour
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the tables.
func Migrations() db.Set { return db.Set{Name: "request", FS: migrations} }

// Part adds requests for payment, and codes for letters, to the service.
func Part() payment.Part { return part(func(*Service) {}) }

func part(opened func(*Service)) payment.Part {
	return payment.Part{Migrations: []db.Set{Migrations()}, Open: func(_ context.Context, h *run.Host, p *payment.Service) (payment.Opened, error) {
		zone, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			return payment.Opened{}, fmt.Errorf("requests: %w", err)
		}
		s := &Service{db: h.DB, dir: h.Dir, payments: p, notify: h.Tokens.Client("notify"), zone: zone, clock: h.Clock, log: h.Log}
		s.listen(h.Bus)
		s.routes(h.Mux, h.Verifier)
		opened(s)
		return payment.Opened{Jobs: []run.Job{
			{Name: "requests", Every: sweepEvery, Run: s.Sweep},
			{Name: "purge-requests", Every: purgeEvery, Run: s.Purge},
		}}, nil
	}}
}
