package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenantdir"
)

// Start lets the payer pay by the offer: it returns the address of the provider's pay page.
// There is at most one open attempt; the same offer again leads to the same session, and
// another closes the one before at its provider first, so that nobody pays twice. Where a
// provider does not answer, the offer's fallback takes over. An empty
// address means that there is nothing to pay any more: look at the transaction.
// Errors: unknown_transaction, unknown_offer, offer_down, payment_processing, payment_authorised,
// provider_unavailable.
func (s *Service) Start(ctx context.Context, txID id.ID, offerKey, language string) (string, error) {
	const switches = 3 // another click may open another attempt meanwhile
	for range switches {
		t, a, err := s.open(ctx, txID, offerKey)
		if err != nil || t.Final() {
			return "", err
		}
		if a.Offer != offerKey {
			if err := s.notHeld(ctx, txID); err != nil {
				return "", err
			}
			if err := s.finish(ctx, txID); err != nil {
				return "", err
			}
			continue
		}
		session, err := s.session(ctx, &t, a, language)
		if err != nil {
			left, lerr := s.leave(ctx, &a)
			if left {
				continue
			}
			return "", errors.Join(err, lerr)
		}
		if err := s.settle(ctx, a.ID, session); err != nil {
			return "", err
		}
		switch session.State {
		case SessionOpen:
			if open, err := s.stillOpen(ctx, &a); open || err != nil {
				return session.URL, err
			}
			continue
		case SessionDeclined, SessionCanceled, SessionEnded:
			continue // what was open is over; open another
		case SessionAuthorised:
			return "", errHeld()
		case SessionPaid, SessionProcessing:
			return "", nil
		}
	}
	return "", fault.Unavailable("provider_unavailable", "the payment cannot be started at the moment").After(time.Second)
}

// open returns the transaction's open attempt; without one it stores a new one, before the
// provider hears of it.
func (s *Service) open(ctx context.Context, txID id.ID, offerKey string) (t Transaction, a Attempt, err error) {
	settings, err := s.own(ctx)
	if err != nil {
		return t, a, err
	}
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		if t, err = lockTransaction(ctx, tx, txID); err != nil || t.Final() {
			return err
		}
		last, err := lastAttempt(ctx, tx, txID)
		if err != nil {
			return err
		}
		if last.held() {
			return errHeld()
		}
		if last != nil && last.State == attemptOpen {
			a = *last
			return nil
		}
		now := tx.Now()
		if !now.Before(t.ExpiresAt.Time) {
			return fault.Gone("transaction_expired", "the time to pay is over")
		}
		offer, err := s.usable(settings.Settings, &t, offerKey)
		if err != nil {
			return err
		}
		ends := now.Add(s.cfg.SessionTime)
		if t.ExpiresAt.Before(ends) {
			ends = t.ExpiresAt.Time
		}
		a = Attempt{
			ID: id.New(), TransactionID: txID, Offer: offer.Key, Method: offer.Method, Detail: offer.Detail, Provider: s.route(offer, last, now.Time),
			State: attemptOpen, CreatedAt: now, ExpiresAt: db.NewTime(ends), CheckAt: db.NewTime(now.Add(pause(0))),
		}
		if err := insertAttempt(ctx, tx, &a); err != nil {
			return err
		}
		return note(ctx, tx, &t, "started", "", a.ID)
	})
	return t, a, err
}

func (s *Service) usable(settings Settings, t *Transaction, key string) (Offer, error) {
	offer, ok := settings.offer(key)
	if !ok || !offer.Takes(t.Amount, t.Delayed) {
		return offer, fault.Invalid("unknown_offer", "choose one of the payment methods").
			With(fault.Field{Name: "offer", Code: "unknown_offer", Detail: "choose one of the payment methods"})
	}
	if !s.works(settings, offer) {
		return offer, fault.Unavailable("offer_down", "this payment method does not work at the moment; choose another")
	}
	return offer, nil
}

// session asks the provider for the attempt's session: makes it, or, after an answer that was
// lost, finds it again. Money that is held by it is taken, if that was asked for.
func (s *Service) session(ctx context.Context, t *Transaction, a Attempt, language string) (Session, error) {
	gateway, err := s.gateway(a.Provider)
	if err != nil {
		return Session{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ProviderTimeout)
	defer cancel()
	e, _ := tenantdir.From(ctx)
	session, err := s.lines.ask(a.Provider, a.SessionID == "", func() (Session, error) {
		if a.taking(t) {
			return gateway.Capture(ctx, a.SessionID)
		}
		if a.SessionID != "" {
			return gateway.Get(ctx, a.SessionID)
		}
		return gateway.Create(ctx, Checkout{
			Attempt: a.ID, Transaction: t.ID, Tenant: e.ID, Amount: t.Amount, Currency: t.Currency, Method: a.Method, Detail: a.Detail,
			Payee: e.Name, Reference: t.Kassenzeichen, Text: t.Description, Language: language,
			ReturnURL: s.links.url(e.ID, t.ID) + "/return", ServiceURL: t.RedirectURL, ExpiresAt: a.ExpiresAt.Time,
			Hold: t.Delayed,
		})
	})
	if err != nil {
		return Session{}, unavailable(err)
	}
	return session, nil
}

func (s *Service) gateway(provider string) (Gateway, error) {
	g, ok := s.gateways[provider]
	if !ok {
		return nil, fmt.Errorf("provider %q is not part of this installation", provider)
	}
	return g, nil
}

func unavailable(err error) error {
	return fault.Unavailable("provider_unavailable", "the payment provider does not answer at the moment; nothing was charged by this").
		After(5 * time.Second).Because(err)
}

// Progress is a transaction with its newest attempt, if there is one.
type Progress struct {
	Transaction Transaction
	Attempt     *Attempt
	// Processing: the payer did all; the money is on its way.
	Processing bool
}

// Refresh asks the provider what became of the open attempt, if there is one, and settles
// it. Notifications, the returning browser and the sweep all end here: none of them is
// believed, each only makes us look. Calling it often changes nothing more. With an error of
// the provider the Progress holds what we know.
// Errors: unknown_transaction, provider_unavailable.
func (s *Service) Refresh(ctx context.Context, txID id.ID) (Progress, error) {
	t, a, err := s.current(ctx, txID)
	p := Progress{Transaction: t, Attempt: a}
	if err != nil || a == nil || a.State != attemptOpen {
		return p, err
	}
	session, err := s.session(ctx, &t, *a, "de")
	if err != nil {
		return p, err
	}
	if session.State == SessionAuthorised && t.Final() { // nobody wants it any more
		err = s.finish(ctx, txID)
	} else {
		err = s.settle(ctx, a.ID, session)
	}
	if err != nil {
		return p, err
	}
	p.Transaction, p.Attempt, err = s.current(ctx, txID)
	p.Processing = session.State == SessionProcessing
	return p, err
}

// current reads a transaction and its newest attempt.
func (s *Service) current(ctx context.Context, txID id.ID) (t Transaction, a *Attempt, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		if t, err = transaction(ctx, tx, txID); err != nil {
			return err
		}
		a, err = lastAttempt(ctx, tx, txID)
		return err
	})
	return t, a, err
}

// settle books what the provider said of an attempt's session. State, history and event are
// one transaction, and only an open attempt is ever settled, so that saying it again, or in
// another order, changes nothing.
func (s *Service) settle(ctx context.Context, attemptID id.ID, session Session) error {
	settings, err := s.own(ctx)
	if err != nil {
		return err
	}
	surplus := false
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		surplus = false
		seen, err := attempt(ctx, tx, attemptID)
		if err != nil {
			return err
		}
		t, err := lockTransaction(ctx, tx, seen.TransactionID)
		if err != nil {
			return err
		}
		a, err := attempt(ctx, tx, attemptID) // under the lock
		if err != nil || a.State != attemptOpen {
			return err
		}
		what, err := t.settle(&a, session, tx.Now(), settings.MaxDeclined)
		if err != nil || what == "" {
			return err
		}
		surplus = a.State == attemptSurplus
		return s.keep(ctx, tx, &t, &a, what, settings.Settings)
	})
	if err == nil && surplus {
		s.log.ErrorContext(ctx, "money came in for a transaction that had ended; it must be given back", "attempt", attemptID)
	}
	return err
}

// keep stores what changed, books it, and tells a new state.
func (s *Service) keep(ctx context.Context, tx *db.Tx, t *Transaction, a *Attempt, what string, settings Settings) error {
	if err := saveAttempt(ctx, tx, a); err != nil {
		return err
	}
	if what == "session" {
		return nil
	}
	if err := note(ctx, tx, t, what, a.Reason, a.ID); err != nil {
		return err
	}
	if what == "authorised" {
		if err := saveExpiry(ctx, tx, t); err != nil {
			return err
		}
		return tellAuthorised(ctx, tx, t, a)
	}
	if a.State == attemptSurplus {
		return bookSurplus(ctx, tx, t, a)
	}
	if a.State == attemptEnded { // the transaction stays as it is
		return nil
	}
	if err := saveTransaction(ctx, tx, t); err != nil || !t.Final() {
		return err
	}
	if err := bookEnd(ctx, tx, t, a, settings); err != nil {
		return err
	}
	return tell(ctx, tx, t)
}

// finish closes the open attempt at its provider, releases money that is held by it, unless the
// municipality asked for that before, and settles what it had come to.
func (s *Service) finish(ctx context.Context, txID id.ID) error {
	t, a, err := s.current(ctx, txID)
	if err != nil || a == nil || a.State != attemptOpen {
		return err
	}
	gateway, err := s.gateway(a.Provider)
	if err != nil {
		return err
	}
	session, taking := Session{ID: a.SessionID}, a.taking(&t)
	if taking || a.SessionID == "" { // perhaps the provider has made it, and the answer was lost
		if session, err = s.session(ctx, &t, *a, "de"); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ProviderTimeout)
	defer cancel()
	if !taking {
		if session, err = gateway.End(ctx, session.ID); err != nil {
			return unavailable(err)
		}
	}
	if session.State == SessionProcessing || session.State == SessionAuthorised {
		return fault.Conflict("payment_processing", "a payment is on its way; wait until it has arrived")
	}
	return s.settle(ctx, a.ID, session)
}

// Cancel ends the transaction for the payer, unless it turns out to be paid.
// Errors: unknown_transaction, payment_processing, payment_authorised, provider_unavailable.
func (s *Service) Cancel(ctx context.Context, txID id.ID) (Transaction, error) {
	if err := s.notHeld(ctx, txID); err != nil {
		return Transaction{}, err
	}
	return s.close(ctx, txID, "canceled", (*Transaction).Cancel)
}

// Withdraw ends the transaction for the municipality, unless it turns out to be paid, and releases
// money that is held for it. Once more it changes nothing. Errors: unknown_transaction, transaction_final, payment_processing,
// provider_unavailable.
func (s *Service) Withdraw(ctx context.Context, txID id.ID) (Transaction, error) {
	t, err := s.close(ctx, txID, "withdrawn", (*Transaction).Withdraw)
	if err == nil && t.Reason != ReasonService {
		err = errFinal(t.State)
	}
	return t, err
}

// expire ends the transaction because its time is over, unless it turns out to be paid, or to be
// authorised in the last moment.
func (s *Service) expire(ctx context.Context, txID id.ID) error {
	t, a, err := s.current(ctx, txID)
	if err == nil && t.Delayed && !a.held() {
		if err = s.notHeld(ctx, txID); fault.Is(err, "payment_authorised") {
			return nil
		}
	}
	if err != nil {
		return err
	}
	_, err = s.close(ctx, txID, "expired", (*Transaction).Expire)
	return err
}

// close makes sure that no money can come in any more, and then ends the transaction.
func (s *Service) close(ctx context.Context, txID id.ID, what string, end func(*Transaction, db.Time) error) (t Transaction, err error) {
	settings, err := s.own(ctx)
	if err != nil {
		return t, err
	}
	if err := s.finish(ctx, txID); err != nil {
		return t, err
	}
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		if t, err = lockTransaction(ctx, tx, txID); err != nil || t.Final() {
			return err
		}
		a, err := lastAttempt(ctx, tx, txID)
		if err != nil {
			return err
		}
		if a != nil && a.State == attemptOpen {
			return fault.Conflict("payment_processing", "another payment was begun meanwhile")
		}
		if err := end(&t, tx.Now()); err != nil {
			return err
		}
		if err := saveTransaction(ctx, tx, &t); err != nil {
			return err
		}
		if err := note(ctx, tx, &t, what, t.Reason, ""); err != nil {
			return err
		}
		if err := bookEnd(ctx, tx, &t, a, settings.Settings); err != nil {
			return err
		}
		return tell(ctx, tx, &t)
	})
	return t, err
}
