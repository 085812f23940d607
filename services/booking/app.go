package booking

import (
	"context"
	"embed"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/run"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed templates/*.html
var templates embed.FS

// Migrations makes the service's own tables.
func Migrations() db.Set { return db.Set{Name: "booking", FS: migrations} }

// OpenConference makes the adapter of a conference system; nil means there is none.
type OpenConference func(ctx context.Context, h *run.Host, cfg ConferenceConfig) (Conference, error)

// New returns the service: booking.New(jitsi.Open).
func New(conference OpenConference) run.App {
	return run.App{Name: "booking", Migrations: []db.Set{Migrations()}, Open: func(ctx context.Context, h *run.Host) (run.Unit, error) {
		return open(ctx, h, conference)
	}}
}

func open(ctx context.Context, h *run.Host, conference OpenConference) (run.Unit, error) {
	cfg := DefaultConfig()
	if err := h.Config.Decode(&cfg); err != nil {
		return run.Unit{}, err
	}
	key, err := h.Secret("booking-links")
	if err != nil {
		return run.Unit{}, err
	}
	s := &Service{
		db: h.DB, dir: h.Dir, limiter: h.Limiter, notify: h.Tokens.Client("notify"),
		cfg: cfg, baseURL: h.BaseURL, key: key, clock: h.Clock, log: h.Log,
	}
	if s.conference, err = conference(ctx, h, cfg.Conference); err != nil {
		return run.Unit{}, err
	}
	if s.conference == nil {
		h.Log.WarnContext(ctx, "no conference system is set up (booking.conference.domain): video appointments are not offered")
	}
	s.declareLimits()
	pages, err := newPages(s, h)
	if err != nil {
		return run.Unit{}, err
	}
	s.routes(h.Mux, h.Verifier)
	pages.routes(h.Mux)
	s.listen(h.Bus)
	return run.Unit{Seed: s.seed, Jobs: []run.Job{
		{Name: "expire-holds", Every: cfg.SweepEvery, Run: s.Sweep},
		{Name: "purge", Every: time.Hour, Run: s.Purge},
	}}, nil
}

// seed tells what a client needs. The content is the catalogue's: every tenant has it.
func (s *Service) seed(ctx context.Context, d run.Demo) error {
	e, err := s.dir.Await(ctx, "erfurt")
	if err != nil {
		return err
	}
	set, err := settingsOf(e)
	if err != nil || len(set.Services) == 0 || len(set.Offices) == 0 {
		return err
	}
	d["booking"] = map[string]string{
		"base_url": s.baseURL + "/t/" + e.Slug + "/booking", "service_id": set.Services[0].ID, "office_id": set.Offices[0].ID,
	}
	return nil
}
