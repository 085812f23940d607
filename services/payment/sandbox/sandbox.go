// Package sandbox is a payment provider that moves no money: for tests, trials and demos.
//
// It stands for another company's system. It keeps its own books, in tables with its own
// prefix; it has its own pay page, below /pay/sandbox/; it knows of the payment service what
// a checkout tells it and tells it by notifications, which are repeated until they are
// taken. The service asks it through payment.Gateway and never looks into its tables.
//
// On its page a tester chooses what happens: pay, be declined, cancel, go back, pay and close
// the browser, pay with money that arrives later or is refused later, pay and get no answer, pay by
// a means to which refunds come back. Money of a checkout that wants it held is held on the same page,
// until it is captured or released; a hold does not lapse by itself.
package sandbox

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/run"
	"basisdienste/services/payment"
)

// Name of the provider in a municipality's offers.
const Name = "sandbox"

const (
	settleAfter = 20 * time.Second // money that is on its way
	silentFor   = 20 * time.Second // no answers after a time-out
	notifyEvery = 2 * time.Second
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the provider's tables.
func Migrations() db.Set { return db.Set{Name: "sandbox", FS: migrations} }

// Part adds the provider to the service.
func Part() payment.Part {
	return payment.Part{Migrations: []db.Set{Migrations()}, Open: func(_ context.Context, h *run.Host, s *payment.Service) (payment.Opened, error) {
		p := New(h.DB, h.BaseURL, h.Log)
		p.notify, p.refunded = s.Notified, s.RefundNotified
		if err := p.routes(h); err != nil {
			return payment.Opened{}, err
		}
		return payment.Opened{
			Gateways: map[string]payment.Gateway{Name: p},
			Jobs:     []run.Job{{Name: "sandbox", Every: notifyEvery, Run: p.Work}},
		}, nil
	}}
}

// Provider implements payment.Gateway. It is safe for concurrent use.
type Provider struct {
	db   *db.DB
	base string
	// notify and refunded tell what happened to a transaction, or to a refund.
	notify, refunded func(ctx context.Context, tenant, subject id.ID) error
	log              *slog.Logger
}

// New returns the provider over its books in d, without pages and notifications.
func New(d *db.DB, baseURL string, log *slog.Logger) *Provider {
	nobody := func(context.Context, id.ID, id.ID) error { return nil }
	return &Provider{db: d, base: baseURL, log: log, notify: nobody, refunded: nobody}
}

// errSilent is what the API answers during a time-out.
var errSilent = errors.New("sandbox: no answer in time")

// session is a row of the provider's books.
type session struct {
	Tenant      id.ID                `db:"tenant_id"`
	ID          string               `db:"id"`
	Attempt     id.ID                `db:"attempt_id"`
	Transaction id.ID                `db:"transaction_id"`
	Amount      money.Amount         `db:"amount"`
	Currency    string               `db:"currency"`
	Method      payment.Method       `db:"method"`
	Detail      string               `db:"detail"`
	Payee       string               `db:"payee"`
	Reference   string               `db:"reference"`
	Subject     string               `db:"subject"`
	ReturnURL   string               `db:"return_url"`
	ServiceURL  string               `db:"service_url"`
	State       payment.SessionState `db:"state"`
	Reason      string               `db:"reason"`
	ExpiresAt   db.Time              `db:"expires_at"`
	SettlesAt   *db.Time             `db:"settles_at"`
	SilentUntil db.Time              `db:"silent_until"`
	Hold        bool                 `db:"hold"`
	Shaky       bool                 `db:"shaky"`
}

// arrived is the state of a session when the bank has said yes.
func (s *session) arrived() payment.SessionState {
	if s.Hold {
		return payment.SessionAuthorised
	}
	return payment.SessionPaid
}

// never names the session of an attempt whose time was over before it was asked for.
const never = "sbx_never"

// Create implements payment.Gateway.
func (p *Provider) Create(ctx context.Context, c payment.Checkout) (payment.Session, error) {
	var s session
	err := p.tx(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		s = session{
			Tenant: c.Tenant, ID: "sbx_" + id.Secret(16), Attempt: c.Attempt, Transaction: c.Transaction, Amount: c.Amount, Currency: c.Currency,
			Method: c.Method, Detail: c.Detail, Payee: c.Payee, Reference: c.Reference, Subject: c.Text,
			ReturnURL: c.ReturnURL, ServiceURL: c.ServiceURL, State: payment.SessionOpen, ExpiresAt: db.NewTime(c.ExpiresAt),
			Hold: c.Hold,
		}
		over := !tx.Now().Before(c.ExpiresAt)
		if !over {
			if err := insert(ctx, tx, &s); err != nil {
				return err
			}
		}
		found, err := byAttempt(ctx, tx, c.Tenant, c.Attempt)
		if over && errors.Is(err, db.ErrNoRows) {
			s.ID, s.State = never, payment.SessionEnded
			return nil
		}
		if s = found; err != nil {
			return err
		}
		return p.advance(ctx, tx, &s)
	})
	return p.answer(s, err)
}

// Get implements payment.Gateway.
func (p *Provider) Get(ctx context.Context, sessionID string) (payment.Session, error) {
	s, err := p.read(ctx, sessionID)
	return p.answer(s, err)
}

// End implements payment.Gateway.
func (p *Provider) End(ctx context.Context, sessionID string) (payment.Session, error) {
	s, err := p.change(ctx, sessionID, func(s *session) {
		if s.State == payment.SessionOpen || s.State == payment.SessionAuthorised {
			s.State = payment.SessionEnded
		}
	})
	return p.answer(s, err)
}

// Capture implements payment.Gateway.
func (p *Provider) Capture(ctx context.Context, sessionID string) (payment.Session, error) {
	s, err := p.change(ctx, sessionID, func(s *session) {
		if s.State == payment.SessionAuthorised {
			s.State = payment.SessionPaid
		}
	})
	return p.answer(s, err)
}

// answer is what the API says of a session.
func (p *Provider) answer(s session, err error) (payment.Session, error) {
	if err != nil {
		return payment.Session{}, err
	}
	return payment.Session{
		ID: s.ID, URL: p.base + "/pay/sandbox/" + s.ID, State: s.State, Reason: s.Reason, Amount: s.Amount, Currency: s.Currency,
		Detail: brand(s.Method, s.Detail),
	}, nil
}

func brand(m payment.Method, detail string) string {
	if m == payment.CreditCard {
		return "Visa"
	}
	return detail
}

// tx runs fn over the provider's books, which are not one tenant's.
func (p *Provider) tx(ctx context.Context, fn func(ctx context.Context, tx *db.Tx) error) error {
	ctx = db.System(ctx)
	return p.db.Tx(ctx, func(tx *db.Tx) error { return fn(ctx, tx) })
}

// read returns a session as it is by now.
func (p *Provider) read(ctx context.Context, sessionID string) (s session, err error) {
	return p.change(ctx, sessionID, nil)
}

// change lets time pass for a session and then act on it; within a time-out nobody is
// answered, though act has its effect.
func (p *Provider) change(ctx context.Context, sessionID string, act func(s *session)) (s session, err error) {
	if sessionID == never {
		return session{ID: never, State: payment.SessionEnded}, nil
	}
	var now db.Time
	err = p.tx(ctx, func(ctx context.Context, tx *db.Tx) error {
		now = tx.Now()
		if s, err = lock(ctx, tx, sessionID); err != nil {
			return err
		}
		if err := p.advance(ctx, tx, &s); err != nil {
			return err
		}
		if act == nil || now.Before(s.SilentUntil.Time) {
			return nil
		}
		act(&s)
		return save(ctx, tx, &s)
	})
	if err == nil && now.Before(s.SilentUntil.Time) {
		return s, errSilent
	}
	return s, err
}

// advance books what time alone has changed.
func (p *Provider) advance(ctx context.Context, tx *db.Tx, s *session) error {
	now := tx.Now()
	switch {
	case s.State == payment.SessionOpen && !now.Before(s.ExpiresAt.Time):
		s.State = payment.SessionEnded
		return save(ctx, tx, s)
	case s.State == payment.SessionProcessing && s.SettlesAt != nil && !now.Before(s.SettlesAt.Time):
		s.State, s.SettlesAt = s.arrived(), nil
		if s.Reason != "" {
			s.State = payment.SessionDeclined
		}
		if err := save(ctx, tx, s); err != nil {
			return err
		}
		return announce(ctx, tx, s)
	}
	return nil
}

// Work lets money that was on its way arrive, and delivers notifications.
func (p *Provider) Work(ctx context.Context) error {
	const batch = 200
	var due []notice
	err := p.tx(ctx, func(ctx context.Context, tx *db.Tx) error {
		arriving, err := settling(ctx, tx, batch)
		if err != nil {
			return err
		}
		for i := range arriving {
			if err := p.advance(ctx, tx, &arriving[i]); err != nil {
				return err
			}
		}
		due, err = notices(ctx, tx, batch)
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range due {
		if err := p.deliver(ctx, n); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "sandbox notification not taken", "tries", n.Tries, "error", err)
		}
	}
	return errors.Join(p.settleRefunds(ctx, batch), ctx.Err())
}

// deliver notifies once; a notification that is taken is forgotten.
func (p *Provider) deliver(ctx context.Context, n notice) error {
	if err := p.notify(ctx, n.Tenant, n.Transaction); err != nil {
		return err
	}
	return p.tx(ctx, func(ctx context.Context, tx *db.Tx) error { return forget(ctx, tx, n) })
}
