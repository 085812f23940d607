// Package run turns services into a process: it opens what they need, starts them in order,
// serves them, and stops them in the opposite order.
//
//	func main() { run.Main("paymentd", payment.New(sandbox.Open)) }
package run

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"basisdienste/platform/authn"
	"basisdienste/platform/bus"
	"basisdienste/platform/config"
	"basisdienste/platform/db"
	"basisdienste/platform/discover"
	"basisdienste/platform/kit"
	"basisdienste/platform/limit"
	"basisdienste/platform/tenantdir"
)

// App is a service as main knows it.
type App struct {
	Name       string
	Migrations []db.Set // its own; the platform's tables are added
	Front      bool     // its handler serves the process's address; the others are reached through it
	Open       func(ctx context.Context, h *Host) (Unit, error)
}

// Services are the names of all apps of an installation: one configuration file has a section
// for each, and each process reads its own.
func Services() []string {
	return []string{"tenants", "auth", "notify", "payment", "forms", "booking", "console", "edge"}
}

// Unit is an opened service.
type Unit struct {
	Handler http.Handler
	Jobs    []Job
	// Seed makes the demo content, if it is not there yet, and adds what a client needs to
	// know to the demo description. It may call other services.
	Seed func(ctx context.Context, d Demo) error
	// Restored does, under db.System and once after the database was brought back from a backup,
	// what lets a service go on that is older than what others have of it: it tells again what
	// they keep copies of, as newer than any they could have, and gives out no number twice.
	Restored func(ctx context.Context, tx *db.Tx) error
	// Close gives back what Open took, after the last request and event.
	Close func() error
}

// Job is periodic work. Runs do not overlap within a process; several processes may run the
// same job at once, so it takes its work by row.
type Job struct {
	Name  string
	Every time.Duration
	Run   func(ctx context.Context) error
}

// Demo is what bin/basis --demo writes to demo.json: sections by name.
type Demo map[string]any

// Host is what a service gets.
type Host struct {
	Name     string
	Log      *slog.Logger
	Config   config.Section
	Metrics  prometheus.Registerer
	Clock    func() time.Time
	BaseURL  string // public, without a slash at the end
	DataDir  string
	Demo     bool // demo content is wanted
	Services discover.Services
	Limiter  *limit.Limiter
	Mux      *kit.Mux // resolves {tenant}; holds the service's operator routes already

	DB       *db.DB
	Bus      *bus.Router
	Dir      *tenantdir.Dir
	Verifier *authn.Verifier
	Tokens   *authn.Source

	// Secret returns 32 random bytes that stay the same for the installation.
	Secret func(name string) ([]byte, error)

	serviceKey func() ([]byte, error)
}

// ServiceKey is the key from which the clients of services and of their pages are derived:
// for auth, which has to know them.
func (h *Host) ServiceKey() ([]byte, error) { return h.serviceKey() }
