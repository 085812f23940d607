package notify

import (
	"context"
	"embed"
	"os"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/page"
	"basisdienste/platform/run"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the tables of the service.
func Migrations() db.Set { return db.Set{Name: "notify", FS: migrations} }

// OpenMailer connects to the SMTP server of the configuration. It is only called with one.
type OpenMailer func(cfg SMTP, clock func() time.Time) (Mailer, error)

// Face speaks another API on top of the service: it registers its routes on h.Mux.
type Face func(s *Service, h *run.Host) error

// New returns the service.
func New(open OpenMailer, faces ...Face) run.App {
	return run.App{
		Name: "notify", Migrations: []db.Set{Migrations()},
		Open: func(ctx context.Context, h *run.Host) (run.Unit, error) { return start(ctx, h, open, faces) },
	}
}

func start(ctx context.Context, h *run.Host, open OpenMailer, faces []Face) (run.Unit, error) {
	cfg := DefaultConfig()
	if err := h.Config.Decode(&cfg); err != nil {
		return run.Unit{}, err
	}
	cursorKey, err := h.Secret("cursor-key")
	if err != nil {
		return run.Unit{}, err
	}
	keyKey, err := h.Secret("notify-api-keys")
	if err != nil {
		return run.Unit{}, err
	}
	machine, err := os.Hostname()
	if err != nil {
		return run.Unit{}, err
	}
	d := Deps{
		DB: h.DB, Dir: h.Dir, Clock: h.Clock, Log: h.Log, Limiter: h.Limiter, Cursors: page.NewSigner(cursorKey),
		KeyKey: keyKey, BaseURL: h.BaseURL, Holder: machine + ":" + h.DataDir, Config: cfg,
	}
	if cfg.SMTP.Host != "" {
		if d.Mailer, err = open(cfg.SMTP, h.Clock); err != nil {
			return run.Unit{}, err
		}
	}
	s, err := NewService(d)
	if err != nil {
		return run.Unit{}, err
	}
	sys := db.System(ctx)
	if err := h.DB.Tx(sys, func(tx *db.Tx) error { return releaseLeases(sys, tx, d.Holder) }); err != nil {
		return run.Unit{}, err
	}
	s.routes(h.Mux, h.Verifier)
	p, err := newPages(s, h)
	if err != nil {
		return run.Unit{}, err
	}
	p.routes(h.Mux)
	for _, face := range faces {
		if err := face(s, h); err != nil {
			return run.Unit{}, err
		}
	}
	return run.Unit{
		Jobs: []run.Job{
			{Name: "send", Every: idle, Run: s.sendLoop},
			{Name: "forget-old-messages", Every: time.Hour, Run: s.forgetOld},
		},
		Seed: s.seed, Restored: restored,
		Close: func() error {
			if s.Mailer == nil {
				return nil
			}
			return s.Mailer.Close()
		},
	}, nil
}
