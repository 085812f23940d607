package forms

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/login"
	"basisdienste/platform/page"
	"basisdienste/platform/run"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the tables of this service.
func Migrations() db.Set { return db.Set{Name: "forms", FS: migrations} }

// New returns the service with the login of platform/login.
func New() run.App {
	return newApp(func(h *run.Host, site *web.Site) (Login, error) {
		key, err := h.ServiceKey()
		if err != nil {
			return nil, err
		}
		return login.New(login.Config{
			Service: h.Name, BaseURL: h.BaseURL, ServiceKey: key, Services: h.Services, Verifier: h.Verifier, Site: site, Clock: h.Clock,
		}), nil
	})
}

// newApp returns the service with another login.
func newApp(logins func(*run.Host, *web.Site) (Login, error)) run.App {
	return run.App{
		Name: "forms", Migrations: []db.Set{Migrations()},
		Open: func(ctx context.Context, h *run.Host) (run.Unit, error) { return openUnit(ctx, h, logins) },
	}
}

func openUnit(ctx context.Context, h *run.Host, logins func(*run.Host, *web.Site) (Login, error)) (run.Unit, error) {
	cfg := defaults()
	if err := h.Config.Decode(&cfg); err != nil {
		return run.Unit{}, err
	}
	cursors, err := h.Secret("forms-cursors")
	if err != nil {
		return run.Unit{}, err
	}
	s := &Service{Deps: Deps{
		DB: h.DB, Dir: h.Dir, Clock: h.Clock, Log: h.Log, Cursors: page.NewSigner(cursors),
		Payment: h.Tokens.Client("payment"), Notify: h.Tokens.Client("notify"), BaseURL: h.BaseURL, Config: cfg,
	}}
	if s.zone, err = time.LoadLocation("Europe/Berlin"); err != nil {
		return run.Unit{}, err
	}
	if cfg.Files == "" {
		cfg.Files = filepath.Join(h.DataDir, "forms", "files")
	}
	if s.folder, err = newFolder(cfg.Files); err != nil {
		return run.Unit{}, err
	}
	catalogue, err := fs.Sub(embedded, "catalogue")
	if err != nil {
		return run.Unit{}, err
	}
	if s.catalogue, err = openCatalogue(ctx, h.DB, catalogue); err != nil {
		return run.Unit{}, err
	}
	site, err := newSite(h)
	if err != nil {
		return run.Unit{}, err
	}
	relyingParty, err := logins(h, site)
	if err != nil {
		return run.Unit{}, err
	}
	s.routes(h.Mux, h.Verifier)
	(&pages{s: s, site: site, login: relyingParty}).routes(h.Mux)
	s.listen(h.Bus)
	return run.Unit{Jobs: s.jobs(), Seed: s.seed, Close: s.folder.close}, nil
}

func newSite(h *run.Host) (*web.Site, error) {
	key, err := h.Secret("forms-pages")
	if err != nil {
		return nil, err
	}
	templates, err := templates()
	if err != nil {
		return nil, err
	}
	return web.New(web.Config{
		Service: "service", Templates: templates, Texts: texts, Key: key, Secure: strings.HasPrefix(h.BaseURL, "https:"), Demo: h.Demo,
		Clock: h.Clock, Log: h.Log, Look: look,
	})
}

// look reads how the tenant appears from its settings "web"; without any, by its name.
func look(ctx context.Context) web.Look {
	e, _ := tenantdir.From(ctx)
	l, err := tenantdir.Settings(e, "web", web.Look{})
	if err != nil {
		return web.Look{}
	}
	return l
}

// seed tells clients of the demo where the forms are.
func (s *Service) seed(ctx context.Context, d run.Demo) error {
	const slug = "erfurt"
	if _, err := s.Dir.Await(ctx, slug); err != nil {
		return fmt.Errorf("demo tenant: %w", err)
	}
	d["forms"] = map[string]any{"base_url": s.BaseURL + "/t/" + slug + "/forms", "forms": s.catalogue.slugs}
	return nil
}
