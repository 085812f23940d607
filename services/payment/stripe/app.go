package stripe

import (
	"context"
	"embed"
	"fmt"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/run"
	"basisdienste/services/payment"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the adapter's tables.
func Migrations() db.Set { return db.Set{Name: "stripe", FS: migrations} }

const (
	workEvery  = 5 * time.Second
	purgeEvery = time.Hour
	// longestTime of an attempt, while which an idempotency key is surely known.
	longestTime = 23 * time.Hour
)

// Part adds Stripe to the service, if a key is configured.
func Part() payment.Part {
	return payment.Part{Migrations: []db.Set{Migrations()}, Open: func(_ context.Context, h *run.Host, s *payment.Service) (payment.Opened, error) {
		cfg := payment.DefaultConfig()
		if err := h.Config.Decode(&cfg); err != nil {
			return payment.Opened{}, err
		}
		if cfg.Stripe.SecretKey == "" {
			(&onboarding{}).routes(h.Mux, h.Verifier) // which says so
			return payment.Opened{}, nil
		}
		if cfg.SessionTime > longestTime {
			return payment.Opened{}, fmt.Errorf("session_time: %s is too long for Stripe, want at most %s: after a day it forgets what it was told", cfg.SessionTime, longestTime)
		}
		g := NewGateway(cfg, h.Clock)
		g.db = h.DB
		(&onboarding{gateway: g, db: h.DB}).routes(h.Mux, h.Verifier)
		v := &events{gateway: g, db: h.DB, dir: h.Dir, payments: s, livemode: cfg.Stripe.Livemode, clock: h.Clock, log: h.Log}
		v.routes(h.Mux, cfg.Stripe.AccountWebhookSecrets, cfg.Stripe.ConnectWebhookSecrets)
		return payment.Opened{
			Gateways: map[string]payment.Gateway{Name: g},
			Jobs: []run.Job{
				{Name: "stripe-events", Every: workEvery, Run: v.Work},
				{Name: "stripe-payouts", Every: workEvery, Run: v.Unfinished},
				{Name: "stripe-daily", Every: workEvery, Run: v.Daily},
				{Name: "stripe-purge", Every: purgeEvery, Run: v.Purge},
			},
		}, nil
	}}
}
