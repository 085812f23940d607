package payment

import (
	"context"
	"embed"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/page"
	"basisdienste/platform/run"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed templates/*.html
var templates embed.FS

// Part stands around the service: a standard spoken on top of it, or a provider behind it.
// main hands the parts in.
type Part struct {
	Migrations []db.Set
	Open       func(ctx context.Context, h *run.Host, s *Service) (Opened, error)
}

// Opened is what a part brings.
type Opened struct {
	Gateways map[string]Gateway // by the name that Offer.Provider uses
	Jobs     []run.Job
	Seed     func(ctx context.Context, d run.Demo) error
}

// Migrations makes the service's own tables.
func Migrations() db.Set { return db.Set{Name: "payment", FS: migrations} }

// New returns the service with its parts:
//
//	payment.New(xbezahldienste.Part(), sandbox.Part())
func New(parts ...Part) run.App {
	sets := []db.Set{Migrations()}
	for _, p := range parts {
		sets = append(sets, p.Migrations...)
	}
	return run.App{Name: "payment", Migrations: sets, Open: func(ctx context.Context, h *run.Host) (run.Unit, error) {
		return open(ctx, h, parts)
	}}
}

func open(ctx context.Context, h *run.Host, parts []Part) (run.Unit, error) {
	cfg := DefaultConfig()
	if err := h.Config.Decode(&cfg); err != nil {
		return run.Unit{}, err
	}
	linkKey, err := h.Secret("payment-links")
	if err != nil {
		return run.Unit{}, err
	}
	cursorKey, err := h.Secret("payment-cursors")
	if err != nil {
		return run.Unit{}, err
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return run.Unit{}, err
	}
	s := &Service{
		db: h.DB, zone: zone, dir: h.Dir, links: links{base: h.BaseURL, key: linkKey}, cursors: page.NewSigner(cursorKey),
		gateways: map[string]Gateway{}, cfg: cfg, known: &knownSettings{}, numbers: &numbers{}, lines: &lines{}, clock: h.Clock, log: h.Log,
	}
	p, err := newPages(s, h)
	if err != nil {
		return run.Unit{}, err
	}
	s.routes(h.Mux, h.Verifier)
	p.routes(h.Mux)
	unit := run.Unit{Restored: restored, Jobs: []run.Job{
		{Name: "sweep", Every: cfg.SweepEvery, Run: s.Sweep},
		{Name: "refunds", Every: cfg.SweepEvery, Run: s.SweepRefunds},
		{Name: "expire", Every: cfg.SweepEvery, Run: s.Expire},
	}}
	var seeds []func(context.Context, run.Demo) error
	for _, p := range parts {
		o, err := p.Open(ctx, h, s)
		if err != nil {
			return unit, err
		}
		for name, g := range o.Gateways {
			s.gateways[name] = g
		}
		unit.Jobs = append(unit.Jobs, o.Jobs...)
		if o.Seed != nil {
			seeds = append(seeds, o.Seed)
		}
	}
	unit.Seed = func(ctx context.Context, d run.Demo) error {
		for _, seed := range seeds {
			if err := seed(ctx, d); err != nil {
				return err
			}
		}
		return nil
	}
	return unit, nil
}
