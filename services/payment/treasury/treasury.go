package treasury

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/page"
	"basisdienste/platform/run"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
)

// matchEvery is how often matching that was left behind is gone on with.
const matchEvery = 5 * time.Second

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the treasury's tables.
func Migrations() db.Set { return db.Set{Name: "treasury", FS: migrations} }

// Part adds the treasury to the service.
func Part() payment.Part {
	return payment.Part{Migrations: []db.Set{Migrations()}, Open: func(_ context.Context, h *run.Host, p *payment.Service) (payment.Opened, error) {
		key, err := h.Secret("payment-cursors")
		if err != nil {
			return payment.Opened{}, err
		}
		zone, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			return payment.Opened{}, fmt.Errorf("treasury: %w", err)
		}
		s := &service{db: h.DB, dir: h.Dir, payments: p, cursors: page.NewSigner(key), dataDir: h.DataDir, zone: zone, clock: h.Clock, log: h.Log}
		s.routes(h.Mux, h.Verifier)
		return payment.Opened{Jobs: []run.Job{{Name: "treasury-match", Every: matchEvery, Run: s.Match}}}, nil
	}}
}

// service is the use cases. It is safe for concurrent use.
type service struct {
	db       *db.DB
	dir      *tenantdir.Dir
	payments *payment.Service
	cursors  page.Signer
	dataDir  string
	zone     *time.Location // in which a day begins and ends
	clock    func() time.Time
	log      *slog.Logger
}

// Statement returns one that was imported. Error: unknown_statement.
func (s *service) Statement(ctx context.Context, statementID id.ID) (found statement, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		found, err = statementByID(ctx, tx, statementID)
		return err
	})
	return found, err
}
