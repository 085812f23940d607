package auth

import (
	"context"
	"embed"

	"basisdienste/platform/db"
	"basisdienste/platform/run"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the tables of auth.
func Migrations() db.Set { return db.Set{Name: "auth", FS: migrations} }

// New returns the service with the identity providers that citizens log in by.
func New(providers ...OpenProvider) run.App {
	return run.App{
		Name: "auth", Migrations: []db.Set{Migrations()},
		Open: func(ctx context.Context, h *run.Host) (run.Unit, error) { return open(ctx, h, providers) },
	}
}

func open(ctx context.Context, h *run.Host, providers []OpenProvider) (run.Unit, error) {
	cfg := DefaultConfig()
	if err := h.Config.Decode(&cfg); err != nil {
		return run.Unit{}, err
	}
	master := []byte(cfg.MasterKey)
	if len(master) == 0 {
		var err error
		if master, err = h.Secret("auth"); err != nil {
			return run.Unit{}, err
		}
	}
	key, err := h.ServiceKey()
	if err != nil {
		return run.Unit{}, err
	}
	s, err := NewService(Deps{
		DB: h.DB, Dir: h.Dir, Log: h.Log, Clock: h.Clock, BaseURL: h.BaseURL, Config: cfg, Demo: h.Demo, Master: master, ServiceKey: key,
	})
	if err != nil {
		return run.Unit{}, err
	}
	for _, openProvider := range providers {
		p, err := openProvider(ProviderDeps{Broker: &Broker{s}, Sandbox: cfg.sandbox(h.Demo), Site: s.newSite})
		if err != nil {
			return run.Unit{}, err
		}
		if p != nil {
			s.providers = append(s.providers, p)
		}
	}
	s.routes(h.Mux, h.Verifier)
	if err := s.pages(h.Mux, h.Limiter); err != nil {
		return run.Unit{}, err
	}
	if err := s.firstClient(ctx, h.Secret); err != nil {
		return run.Unit{}, err
	}
	return run.Unit{Jobs: s.jobs(), Seed: func(ctx context.Context, d run.Demo) error { return s.seed(ctx, h.Secret, d) }, Restored: restored}, nil
}
