package request

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
)

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	db       *db.DB
	dir      *tenantdir.Dir
	payments *payment.Service
	notify   *http.Client // reaches http://notify/…
	zone     *time.Location
	clock    func() time.Time
	log      *slog.Logger
}

// Ask promises that the payer is asked for an open transaction, once now and again on the wished
// days. Asking for the same again changes nothing and answers the same.
// Errors: unknown_transaction, transaction_final, payment_authorised, request_exists.
func (s *Service) Ask(ctx context.Context, q AskRequest) (View, error) {
	t, err := s.payments.Get(ctx, q.ID)
	if err != nil {
		return View{}, err
	}
	return idem.Tx(ctx, s.db, func(tx *db.Tx) (View, error) {
		now := tx.Now()
		r := Request{
			TransactionID: t.ID, Email: q.Email, Language: q.Language, Days: db.JSON[[]int]{V: q.Days}, DueAt: dueOf(&t),
			CreatedBy: audit.Actor(ctx), CreatedAt: now, PurgeAt: db.NewTime(t.ExpiresAt.Add(keepFor)),
		}
		state, held, err := lockState(ctx, tx, t.ID)
		switch {
		case err != nil:
			return View{}, err
		case state != payment.Initial:
			return View{}, fault.Conflict("transaction_final", "the transaction has ended; nobody can be asked for it any more")
		case held:
			return View{}, fault.Conflict("payment_authorised", "the payer has done all: the money is held, and taken by a capture")
		}
		was, err := request(ctx, tx, t.ID)
		switch {
		case err == nil && was.same(&r):
			mails, err := reminders(ctx, tx, t.ID)
			return view(&was, mails, s.zone), err
		case err == nil:
			return View{}, fault.Conflict("request_exists", "the payer is asked already, with another address, language or other days; DELETE that request first")
		case !fault.Is(err, "unknown_request"):
			return View{}, err
		}
		mails := r.plan(now, s.zone)
		if err := insertRequest(ctx, tx, &r, mails); err != nil {
			return View{}, err
		}
		return view(&r, mails, s.zone), audit.Record(ctx, tx, "payment_request.created", "transaction:"+t.ID.String(),
			map[string]any{"language": r.Language, "remind_days_before": r.Days.V})
	})
}

// dueOf is when the payer should have paid: the due date, else when the transaction ends.
func dueOf(t *payment.Transaction) db.Time {
	if t.DueAt != nil {
		return *t.DueAt
	}
	return t.ExpiresAt
}

// Get shows a request with its mails. Errors: unknown_transaction, unknown_request.
func (s *Service) Get(ctx context.Context, q payment.GetRequest) (v View, err error) {
	if _, err := s.payments.Get(ctx, q.ID); err != nil {
		return v, err
	}
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		r, err := request(ctx, tx, q.ID)
		if err != nil {
			return err
		}
		mails, err := reminders(ctx, tx, q.ID)
		v = view(&r, mails, s.zone)
		return err
	})
	return v, err
}

// Stop deletes a request: nobody is reminded any more, and the address is gone. A mail that is
// handed over at this moment may still go out. Errors: unknown_transaction, unknown_request.
func (s *Service) Stop(ctx context.Context, q payment.GetRequest) error {
	if _, err := s.payments.Get(ctx, q.ID); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *db.Tx) error {
		if err := deleteRequest(ctx, tx, q.ID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, "payment_request.deleted", "transaction:"+q.ID.String(), nil)
	})
}

// enter returns a context that acts for the tenant.
func (s *Service) enter(ctx context.Context, tenantID id.ID) (context.Context, error) {
	e, err := s.dir.ByID(ctx, tenantID)
	if err != nil {
		return ctx, err
	}
	return tenantdir.With(db.For(ctx, e.Tenant), e), nil
}
