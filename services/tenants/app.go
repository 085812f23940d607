package tenants

import (
	"context"
	"embed"
	"fmt"
	"time"
	_ "time/tzdata" // months are counted in Europe/Berlin, also where no time zones are installed

	"basisdienste/platform/db"
	"basisdienste/platform/page"
	"basisdienste/platform/run"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the tables of the service.
func Migrations() db.Set { return db.Set{Name: "tenants", FS: migrations} }

// New returns the service.
func New() run.App {
	return run.App{Name: "tenants", Migrations: []db.Set{Migrations()}, Open: open}
}

func open(_ context.Context, h *run.Host) (run.Unit, error) {
	cfg := DefaultConfig()
	if err := h.Config.Decode(&cfg); err != nil {
		return run.Unit{}, err
	}
	key, err := h.Secret("cursor-key")
	if err != nil {
		return run.Unit{}, err
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return run.Unit{}, fmt.Errorf("time zone of the months: %w", err)
	}
	s := &Service{db: h.DB, cfg: cfg, cursors: page.NewSigner(key), clock: h.Clock, berlin: berlin}
	s.routes(h.Mux, h.Verifier.Operator(), h.Verifier.Guard())
	s.listen(h.Bus)
	return run.Unit{
		Jobs: []run.Job{{Name: "tell-catalogue", Every: cfg.CatalogueEvery, Run: s.tellCatalogue}},
		Seed: s.seed, Restored: restored,
	}, nil
}
