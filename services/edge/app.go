package edge

import (
	"context"
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
	return run.App{Name: "edge", Front: true, Open: func(_ context.Context, h *run.Host) (run.Unit, error) {
		cfg := Config{RequestsPerMinute: 120_000, Burst: 20_000}
		if err := h.Config.Decode(&cfg); err != nil {
			return run.Unit{}, err
		}
		h.Limiter.Declare(operation, limit.Quota{PerMinute: cfg.RequestsPerMinute, Burst: cfg.Burst})
		https := strings.HasPrefix(h.BaseURL, "https://")
		return run.Unit{Handler: newEdge(h.Services, web.Static(), h.Dir, h.Limiter, https)}, nil
	}}
}
