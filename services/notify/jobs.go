package notify

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"sync"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/platform/tenantdir"
)

const (
	// leaseTime is how long a claimed message is ours. It is longer than one round can take:
	// perWorker messages of smtp.timeout each.
	leaseTime = 10 * time.Minute
	perWorker = 8
	// localRound is the round without a server to wait for, and settleMost bounds how many
	// results are stored in one transaction.
	localRound = 256
	settleMost = 64
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
	work := make(chan *Message, len(batch))
	for i := range batch {
		work <- &batch[i]
	}
	close(work)
	results := make(chan outcome, len(batch))
	var wg sync.WaitGroup
	for range min(s.Config.Workers, len(batch)) {
		wg.Go(func() {
			for m := range work {
				results <- s.try(ctx, m)
			}
		})
	}
	go func() {
		wg.Wait()
		close(results)
	}()
	var failed []error
	for first := range results {
		group := []outcome{first}
	more: // while one transaction runs, the results for the next gather
		for len(group) < settleMost {
			select {
			case next, ok := <-results:
				if !ok {
					break more
				}
				group = append(group, next)
			default:
				break more
			}
		}
		failed = append(failed, s.settle(ctx, group))
	}
	return len(batch), errors.Join(failed...)
}

// claimRound takes an equal share of each tenant that waits.
func (s *Service) claimRound(ctx context.Context) (batch []Message, err error) {
	sys, size := db.System(ctx), s.Config.Workers*perWorker
	if s.Mailer == nil {
		size = localRound
	}
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

// outcome is how one try ended.
type outcome struct {
	m        *Message
	untried  bool   // the lease is given back
	failure  error  // nil: the next system has the message
	source   []byte // for the local outbox
	internal error  // nothing can be said about the message; its lease runs out
}

// try makes one try to hand a message over. It stores nothing.
func (s *Service) try(ctx context.Context, m *Message) outcome {
	if ctx.Err() != nil {
		return outcome{m: m, untried: true}
	}
	tctx, entry, settings, err := s.entryOf(ctx, m.Tenant)
	if fault.Is(err, "unknown_tenant") {
		return outcome{m: m, failure: Failure{Kind: Broken, Reason: "tenant_gone"}}
	}
	if err != nil {
		return outcome{m: m, internal: err}
	}
	if m.Channel == Mailbox {
		return outcome{m: m}
	}
	source, from, err := s.compose(tctx, m, entry, settings)
	if err != nil {
		s.Log.ErrorContext(tctx, "mail cannot be made", "message", m.ID, "error", err)
		return outcome{m: m, failure: Failure{Kind: Broken, Reason: "cannot_be_composed"}}
	}
	if s.Mailer == nil {
		return outcome{m: m, source: source}
	}
	if s.down.left(s.Clock()) > 0 {
		return outcome{m: m, untried: true}
	}
	err = s.Mailer.Send(tctx, from, m.Recipient, source)
	switch {
	case err == nil:
		s.down.worked()
		return outcome{m: m}
	case ctx.Err() != nil: // the process stops; whether the server took it is not known
		return outcome{m: m, untried: true}
	case failureOf(err).ServerDown:
		s.down.failed(s.Clock())
	}
	return outcome{m: m, failure: err}
}

// settle stores how tries ended, tells it, and puts mails into the local outbox: of each
// message all or nothing. It does so also when the process stops, for what was sent was sent.
func (s *Service) settle(ctx context.Context, group []outcome) error {
	sys := db.System(context.WithoutCancel(ctx))
	var failed []error
	all := func(group []outcome) error {
		return s.DB.Tx(sys, func(tx *db.Tx) error {
			for _, o := range group {
				if err := tx.For(o.m.Tenant, func() error { return s.settleOne(sys, tx, o) }); err != nil {
					return fmt.Errorf("store the result of message %s: %w", o.m.ID, err)
				}
			}
			return nil
		})
	}
	for _, o := range group {
		if o.internal != nil {
			failed = append(failed, fmt.Errorf("message %s: %w", o.m.ID, o.internal))
		}
	}
	err := all(group)
	if err != nil && len(group) > 1 { // the others must not suffer for one
		err = nil
		for i := range group {
			failed = append(failed, all(group[i:i+1]))
		}
	}
	return errors.Join(append(failed, err)...)
}

// settleOne changes nothing for a try that is no longer ours.
func (s *Service) settleOne(ctx context.Context, tx *db.Tx, o outcome) error {
	if o.internal != nil {
		return nil
	}
	if o.untried {
		return giveBack(ctx, tx, o.m, max(0, s.down.left(s.Clock())))
	}
	m, now := *o.m, tx.Now()
	m.History.V = slices.Clone(o.m.History.V)
	var err error
	if o.failure == nil {
		err = m.Deliver(now)
	} else {
		err = m.Fail(now, failureOf(o.failure))
	}
	if err != nil {
		return err
	}
	ours, err := finish(ctx, tx, &m)
	if err != nil || !ours {
		return err
	}
	if o.source != nil {
		if err := insertLocalMail(ctx, tx, &m, o.source); err != nil {
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
