package payment

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
)

// reasonAway ends an attempt whose provider did not answer before anybody had the address of
// its pay page: no money can come in by it.
const reasonAway = "provider_away"

const (
	tripAfter = 5                // failures in a row, in this process
	restFor   = 10 * time.Second // until one request tries the provider again
	// stayAway is how long a transaction is not led to a provider again that did not answer it.
	stayAway = 15 * time.Minute
)

// lines leads to the providers. One that fails several times in a row is left alone for a
// moment, so that payers do not wait for it. The zero value is ready; it is safe for
// concurrent use.
type lines struct {
	mu       sync.Mutex
	breakers map[string]*gobreaker.CircuitBreaker[Session]
}

func (l *lines) to(provider string) *gobreaker.CircuitBreaker[Session] {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.breakers[provider]
	if !known {
		b = gobreaker.NewCircuitBreaker[Session](gobreaker.Settings{
			Name: provider, Timeout: restFor,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
			IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) || isAnswer(err) },
		})
		if l.breakers == nil {
			l.breakers = map[string]*gobreaker.CircuitBreaker[Session]{}
		}
		l.breakers[provider] = b
	}
	return b
}

// isAnswer reports whether the provider has answered, if not as hoped.
func isAnswer(err error) bool {
	var f *fault.Error
	return errors.As(err, &f) && f.Kind != fault.KindUnavailable
}

// ask calls the provider, unless it is left alone and this is about something new: of a session
// that there is, it is always asked what became of it.
func (l *lines) ask(provider string, isNew bool, call func() (Session, error)) (Session, error) {
	if !isNew {
		return call()
	}
	return l.to(provider).Execute(call)
}

// down reports whether the provider is left alone.
func (l *lines) down(provider string) bool { return l.to(provider).State() == gobreaker.StateOpen }

// works reports whether the offer can be used now: the settings say so, and one of its
// providers answers.
func (s *Service) works(settings Settings, o Offer) bool {
	return settings.works(o, s.clock()) && (!s.lines.down(o.Provider) || o.Fallback != "" && !s.lines.down(o.Fallback))
}

// offers lists what the amount can be paid with now; down are those that do not work.
func (s *Service) offers(settings Settings, t *Transaction) (up, down []Offer) {
	for _, o := range settings.Methods {
		switch {
		case !o.Takes(t.Amount, t.Delayed):
		case s.works(settings, o):
			up = append(up, o)
		default:
			down = append(down, o)
		}
	}
	return up, down
}

// route chooses the provider of the next attempt; last is the transaction's attempt before, or nil.
func (s *Service) route(o Offer, last *Attempt, now time.Time) string {
	missed := last != nil && last.Offer == o.Key && last.Provider == o.Provider && last.Reason == reasonAway && now.Sub(last.CreatedAt.Time) < stayAway
	if o.Fallback != "" && (missed || s.lines.down(o.Provider)) {
		return o.Fallback
	}
	return o.Provider
}

// leave ends an attempt whose provider did not answer, if another can take over and nobody
// knows of a session; it reports whether to go on.
func (s *Service) leave(ctx context.Context, a *Attempt) (bool, error) {
	settings, err := s.own(ctx)
	if err != nil {
		return false, err
	}
	offer, _ := settings.offer(a.Offer)
	if a.SessionID != "" || offer.Fallback == "" || a.Provider == offer.Fallback {
		return false, nil
	}
	err = s.db.Tx(ctx, func(tx *db.Tx) error {
		t, err := lockTransaction(ctx, tx, a.TransactionID)
		if err != nil {
			return err
		}
		now, err := attempt(ctx, tx, a.ID)
		if err != nil || now.State != attemptOpen || now.SessionID != "" { // another click was luckier
			return err
		}
		now.end(tx.Now(), attemptEnded, reasonAway)
		return s.keep(ctx, tx, &t, &now, "attempt_ended", settings.Settings)
	})
	return err == nil, err
}

// stillOpen reports whether the attempt is the one to pay by: another click may have left it
// for another provider while this one was waiting for the session.
func (s *Service) stillOpen(ctx context.Context, a *Attempt) (bool, error) {
	_, last, err := s.current(ctx, a.TransactionID)
	return err == nil && last != nil && last.ID == a.ID && last.State == attemptOpen, err
}
