package edge

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"basisdienste/platform/limit"
	"basisdienste/platform/run"
	"basisdienste/platform/web"
)

// Config of the edge.
type Config struct {
	// RequestsPerMinute and Burst of one tenant, all its services together, unless the
	// tenant's own limit for edge.request says otherwise.
	RequestsPerMinute int `config:"requests_per_minute_and_tenant"`
	Burst             int `config:"burst"`
}

// New returns the edge as an app; it serves the process's address.
func New() run.App {
	return run.App{Name: "edge", Front: true, Open: open}
}

func open(_ context.Context, h *run.Host) (run.Unit, error) {
	cfg := Config{RequestsPerMinute: 120_000, Burst: 20_000}
	if err := h.Config.Decode(&cfg); err != nil {
		return run.Unit{}, err
	}
	h.Limiter.Declare(operation, limit.Quota{PerMinute: cfg.RequestsPerMinute, Burst: cfg.Burst})
	base, err := url.Parse(h.BaseURL)
	if err != nil {
		return run.Unit{}, fmt.Errorf("public URL: %w", err)
	}
	site, err := h.Site(nil, texts)
	if err != nil {
		return run.Unit{}, err
	}
	e := &edge{
		base: h.BaseURL, origin: base.Scheme + "://" + base.Host, host: strings.ToLower(base.Hostname()), headers: securityHeaders(base.Scheme == "https"),
		static: web.Static(), site: site, dir: h.Dir, limiter: h.Limiter,
	}
	e.find(h.Services)
	return run.Unit{Handler: e}, nil
}
