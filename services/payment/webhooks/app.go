package webhooks

import (
	"context"
	"embed"
	"math/rand/v2"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/page"
	"basisdienste/platform/run"
	"basisdienste/services/payment"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the tables.
func Migrations() db.Set { return db.Set{Name: "webhooks", FS: migrations} }

// Part adds webhooks to the service. In a demonstration receivers may run on the same machine.
func Part() payment.Part {
	return part(options{limit: tryTime, chance: rand.Float64})
}

// options are what tests change.
type options struct {
	local  bool // receivers may be on this machine
	limit  time.Duration
	chance func() float64
	opened func(*Service)
}

func part(o options) payment.Part {
	return payment.Part{Migrations: []db.Set{Migrations()}, Open: func(_ context.Context, h *run.Host, _ *payment.Service) (payment.Opened, error) {
		sealKey, err := h.Secret("payment-webhooks")
		if err != nil {
			return payment.Opened{}, err
		}
		cursorKey, err := h.Secret("payment-cursors")
		if err != nil {
			return payment.Opened{}, err
		}
		v, err := newVault(sealKey)
		if err != nil {
			return payment.Opened{}, err
		}
		allowed, local := public, o.local || h.Demo
		if local {
			allowed = publicOrLocal
		}
		s := &Service{
			db: h.DB, dir: h.Dir, vault: v, cursors: page.NewSigner(cursorKey), client: newClient(allowed, o.limit), local: local, base: h.BaseURL,
			sender: newSender(), woken: h.DB.Woken(wakeName), chance: o.chance, clock: h.Clock, log: h.Log,
		}
		s.listen(h.Bus)
		s.routes(h.Mux, h.Verifier)
		if o.opened != nil {
			o.opened(s)
		}
		return payment.Opened{Jobs: []run.Job{
			{Name: "webhooks", Every: idle, Run: s.Deliver},
			{Name: "purge-webhooks", Every: time.Hour, Run: s.Purge},
		}}, nil
	}}
}
