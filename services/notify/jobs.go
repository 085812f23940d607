package notify

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"sync"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenant"
	"basisdienste/platform/tenantdir"
)

const (
	// leaseTime is how long a claimed message is ours. It is longer than one round can take:
	// perWorker messages of smtp.timeout each.
	leaseTime = 10 * time.Minute
	perWorker = 4
	// idle is the longest time without a look into the queue.
	idle = time.Second
)

// pauser keeps us away from a server that does not answer.
type pauser struct {
	mu    sync.Mutex
	until time.Time
	last  time.Duration
}

func (p *pauser) failed(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.until) {
		return
	}
	p.last = min(max(2*p.last, time.Second), 30*time.Second)
	p.until = now.Add(p.last)
}

func (p *pauser) worked() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.until = 0, time.Time{}
}

func (p *pauser) left(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until.Sub(now)
}

// sendLoop sends until ctx ends: at once when a message was accepted in this process, and
// by looking every second for those that are due again or were accepted elsewhere.
func (s *Service) sendLoop(ctx context.Context) error {
	woken := s.DB.Woken(sendWake)
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		n, err := s.SendDue(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		timer.Reset(max(idle, s.down.left(s.Clock())))
		select {
		case <-ctx.Done():
			return nil
		case <-woken:
		case <-timer.C:
		}
	}
}

// SendDue sends one round of what is due and returns how many messages it took. Tenants take
// turns: each gets an equal share of a round, however much waits of another.
func (s *Service) SendDue(ctx context.Context) (int, error) {
	batch, err := s.claimRound(ctx)
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	work := make(chan *Message)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	var back []Message
	for range min(s.Config.Workers, len(batch)) {
		wg.Go(func() {
			for m := range work {
				err := s.deliver(ctx, m)
				if errors.Is(err, errNotTried) {
					mu.Lock()
					back = append(back, *m)
					mu.Unlock()
				} else if err != nil {
					mu.Lock()
					failed = append(failed, fmt.Errorf("message %s: %w", m.ID, err))
					mu.Unlock()
				}
			}
		})
	}
	for i := range batch {
		work <- &batch[i]
	}
	close(work)
	wg.Wait()
	if len(back) > 0 {
		// Not the round's context: leases are given back also when the process stops.
		sys := db.System(context.WithoutCancel(ctx))
		failed = append(failed, s.DB.Tx(sys, func(tx *db.Tx) error {
			return giveBack(sys, tx, back, max(0, s.down.left(s.Clock())))
		}))
	}
	return len(batch), errors.Join(failed...)
}

// claimRound takes an equal share of each tenant that waits.
func (s *Service) claimRound(ctx context.Context) (batch []Message, err error) {
	sys, size := db.System(ctx), s.Config.Workers*perWorker
	var tenants []id.ID
	err = s.DB.Read(sys, func(tx *db.Tx) error {
		tenants, err = tenantsWith(sys, tx, waiting)
		return err
	})
	if err != nil || len(tenants) == 0 {
		return nil, err
	}
	share := max(1, size/len(tenants))
	err = s.DB.Tx(sys, func(tx *db.Tx) error {
		batch = batch[:0]
		for _, t := range s.turn(tenants) {
			if len(batch) >= size {
				break
			}
			taken, err := claim(sys, tx, t, s.Holder, leaseTime, min(share, size-len(batch)))
			if err != nil {
				return err
			}
			batch = append(batch, taken...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim messages: %w", err)
	}
	return batch, nil
}

// turn begins with another tenant each second, so that of more tenants than fit into a round
// none is always left out.
func (s *Service) turn(tenants []id.ID) []id.ID {
	n := int(s.Clock().Unix() % int64(len(tenants)))
	return append(tenants[n:len(tenants):len(tenants)], tenants[:n]...)
}

// errNotTried: the message was not looked at; its lease is given back.
var errNotTried = errors.New("not tried")

// deliver makes one try and stores how it ended.
func (s *Service) deliver(ctx context.Context, m *Message) error {
	if ctx.Err() != nil {
		return errNotTried
	}
	tctx, entry, settings, err := s.entryOf(ctx, m.Tenant)
	if fault.Is(err, "unknown_tenant") {
		return s.close(db.For(ctx, tenant.Tenant{ID: m.Tenant}), m, Failure{Kind: Broken, Reason: "tenant_gone"}, nil)
	}
	if err != nil {
		return err
	}
	if m.Channel == Mailbox {
		return s.close(tctx, m, nil, nil)
	}
	source, from, err := s.compose(tctx, m, entry, settings)
	if err != nil {
		s.Log.ErrorContext(tctx, "mail cannot be made", "message", m.ID, "error", err)
		return s.close(tctx, m, Failure{Kind: Broken, Reason: "cannot_be_composed"}, nil)
	}
	if s.Mailer == nil {
		return s.close(tctx, m, nil, source)
	}
	if s.down.left(s.Clock()) > 0 {
		return errNotTried
	}
	err = s.Mailer.Send(tctx, from, m.Recipient, source)
	if err == nil {
		s.down.worked()
		return s.close(tctx, m, nil, nil)
	}
	if ctx.Err() != nil {
		return errNotTried // the process stops; whether the server took it is not known
	}
	f := failureOf(err)
	if f.ServerDown {
		s.down.failed(s.Clock())
	}
	return s.close(tctx, m, f, nil)
}

// close stores how the try ended, tells it, and with a source puts the mail into the local
// outbox: all or nothing. A try that is no longer ours changes nothing.
func (s *Service) close(ctx context.Context, claimed *Message, failure error, source []byte) error {
	ctx = context.WithoutCancel(ctx) // what was sent is noted also when the process stops
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		m, now := *claimed, tx.Now()
		m.History.V = append([]Step(nil), claimed.History.V...)
		var err error
		if failure == nil {
			err = m.Deliver(now)
		} else {
			err = m.Fail(now, failureOf(failure))
		}
		if err != nil {
			return err
		}
		ours, err := finish(ctx, tx, &m)
		if err != nil || !ours {
			return err
		}
		if source != nil {
			if err := insertLocalMail(ctx, tx, &m, source); err != nil {
				return err
			}
		}
		switch m.Status {
		case Delivered:
			return outbox.Put(ctx, tx, events.MessageDelivered(factOf(&m, now)))
		case PermanentFailure, TechnicalFailure:
			return outbox.Put(ctx, tx, events.MessageFailed(factOf(&m, now)))
		case Created, Sending, TemporaryFailure:
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store the result: %w", err)
	}
	return nil
}

// compose makes the mail. The same message always gives the same bytes.
func (s *Service) compose(ctx context.Context, m *Message, e tenantdir.Entry, settings Settings) (source []byte, from string, err error) {
	var attached []Attachment
	if m.Attachments > 0 {
		err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
			attached, err = files(ctx, tx, m.ID)
			return err
		})
		if err != nil {
			return nil, "", err
		}
	}
	sender, err := mail.ParseAddress(s.Config.From)
	if err != nil {
		return nil, "", err
	}
	sender.Name = senderName(e, settings)
	l, err := s.render.mail(look{Lang: m.Language, From: sender.Name}, m.Title, m.Body)
	if err != nil {
		return nil, "", err
	}
	source, err = compose(envelope{
		MessageID: m.ID.String() + "@" + s.Config.Domain, From: *sender, ReplyTo: settings.ReplyTo, To: m.Recipient,
		Date: m.CreatedAt.Time, Lang: m.Language, Subject: m.Title, Unsubscribe: m.Unsubscribe, Letter: l, Attachments: attached,
	})
	return source, sender.Address, err
}

// forgetOld deletes the personal data of messages whose retention time is over.
func (s *Service) forgetOld(ctx context.Context) error {
	const chunk = 200
	sys, now := db.System(ctx), s.Clock()
	times := map[Channel]db.Time{
		Email: db.NewTime(now.Add(-s.Config.Retention)), Mailbox: db.NewTime(now.Add(-s.Config.MailboxRetention)),
	}
	var tenants []id.ID
	err := s.DB.Read(sys, func(tx *db.Tx) (err error) {
		tenants, err = tenantsWith(sys, tx, withText)
		return err
	})
	if err != nil {
		return err
	}
	for _, t := range tenants {
		for channel, before := range times {
			for n := chunk; n == chunk; {
				err := s.DB.Tx(sys, func(tx *db.Tx) (err error) {
					n, err = forget(sys, tx, t, channel, before, chunk)
					return err
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}
