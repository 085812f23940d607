package request

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/bus"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/payment"
)

const (
	batch = 20 // mails that are claimed at once: their tries together end within the lease
	// tryTime bounds one try.
	tryTime = 10 * time.Second
	// hearWithin is how long an event may wait for others.
	hearWithin = 20 * time.Millisecond
)

// errAway: notify does not answer, so that all mails wait.
var errAway = errors.New("notify does not answer")

// listen hears of transactions that end, or whose money is held: then the payer has done all.
// Those of a moment are handled together, and of those that nobody was asked for nothing is kept.
func (s *Service) listen(r *bus.Router) {
	g := bus.Gather(r, hearWithin, endRequests).Only(asked)
	bus.Into(g, "requests-authorised", func(m bus.Meta, e events.TransactionAuthorised) claim { return claim{m.Tenant, id.ID(e.TransactionID)} })
	bus.Into(g, "requests-payed", func(m bus.Meta, e events.TransactionPayed) claim { return claim{m.Tenant, id.ID(e.TransactionID)} })
	bus.Into(g, "requests-failed", func(m bus.Meta, e events.TransactionFailed) claim { return claim{m.Tenant, id.ID(e.TransactionID)} })
	bus.Into(g, "requests-canceled", func(m bus.Meta, e events.TransactionCanceled) claim { return claim{m.Tenant, id.ID(e.TransactionID)} })
	bus.Into(g, "requests-expired", func(m bus.Meta, e events.TransactionExpired) claim { return claim{m.Tenant, id.ID(e.TransactionID)} })
}

// Sweep hands the mails that are due to notify. One that is refused does not stop the others; when
// notify is away the rest waits for the next time. Several processes may sweep at once.
func (s *Service) Sweep(ctx context.Context) error {
	sys := db.System(ctx)
	var errs []error
	for {
		var list []due
		err := s.db.Tx(sys, func(tx *db.Tx) (err error) {
			list, err = claimDue(sys, tx, batch)
			return err
		})
		if err != nil {
			return err
		}
		for i := range list {
			err := s.deliver(ctx, &list[i])
			if errors.Is(err, errAway) || ctx.Err() != nil {
				return errors.Join(append(errs, err)...)
			}
			if err != nil && len(errs) < 3 {
				errs = append(errs, err)
			}
		}
		if len(list) < batch {
			return errors.Join(errs...)
		}
	}
}

// deliver sends one claimed mail, if it is still wanted. After errAway all others wait too.
func (s *Service) deliver(ctx context.Context, d *due) error {
	ctx, err := s.enter(ctx, d.Tenant)
	if err != nil {
		return err
	}
	var r Request
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		r, err = request(ctx, tx, d.TransactionID)
		return err
	})
	if fault.Is(err, "unknown_request") || err == nil && r.EndedAt != nil {
		return nil // stopped meanwhile
	}
	if err != nil {
		return err
	}
	t, err := s.payments.Get(ctx, d.TransactionID)
	if err != nil {
		return err
	}
	if t.Final() {
		return s.db.Tx(ctx, func(tx *db.Tx) error { return endRequest(ctx, tx, claim{tx.Tenant(), t.ID}) })
	}
	m := &d.Reminder
	if m.State, m.Reason = m.over(&r, s.clock()); m.State == "" {
		if err := s.send(ctx, &t, &r, m); err != nil {
			return err
		}
	}
	return s.db.Tx(ctx, func(tx *db.Tx) error {
		if m.State == Sent {
			m.SentAt = new(tx.Now())
		}
		return finish(ctx, tx, m)
	})
}

// message is what notify takes.
type message struct {
	Template        string            `json:"template"`
	Language        string            `json:"language"`
	Channel         string            `json:"channel"`
	To              map[string]string `json:"to"`
	Personalisation map[string]string `json:"personalisation"`
	Reference       string            `json:"reference"`
}

// send hands the mail to notify and says what became of it: SENT, or FAILED if notify will never take it.
// An error means that it can be tried again.
func (s *Service) send(ctx context.Context, t *payment.Transaction, r *Request, m *Reminder) (err error) {
	e, ok := tenantdir.From(ctx)
	if !ok {
		return errors.New("send: no tenant")
	}
	template := "payment-request"
	if m.N > 0 {
		template = "payment-reminder"
	}
	body, err := json.Marshal(message{
		Template: template, Language: r.Language, Channel: "email", To: map[string]string{"email": r.Email}, Reference: t.ID.String(),
		Personalisation: map[string]string{
			"subject": t.Description, "amount": t.Amount.String(), "kassenzeichen": t.Kassenzeichen, "due_on": r.DueAt.In(s.zone).Format(time.DateOnly),
			"link": s.payments.PayURL(ctx, t.ID), "municipality": e.Name,
		},
	})
	if err != nil {
		return fmt.Errorf("marshal message: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://notify/t/"+e.Slug+"/notify/v1/messages", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(idem.Header, m.ID.String())
	resp, err := s.notify.Do(req)
	if err != nil {
		return fmt.Errorf("send %s: %w: %w", template, errAway, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	switch code := codeOf(resp); {
	case resp.StatusCode/100 == 2:
		m.State = Sent
		return nil
	case resp.StatusCode == http.StatusUnprocessableEntity || resp.StatusCode == http.StatusBadRequest:
		s.log.WarnContext(ctx, "notify does not take a mail", "template", template, "transaction", t.ID, "code", code)
		m.State, m.Reason = Failed, reasonRefused
		return nil
	default:
		return fmt.Errorf("send %s: status %d, %s", template, resp.StatusCode, code)
	}
}

// codeOf reads the code of a problem document: no values of the message stand in it.
func codeOf(resp *http.Response) string {
	var p struct {
		Code string `json:"code"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&p); err != nil {
		return "no problem document"
	}
	return p.Code
}

// Purge deletes what is not needed any more.
func (s *Service) Purge(ctx context.Context) error {
	const limit = 500
	sys := db.System(ctx)
	for {
		var n int
		err := s.db.Tx(sys, func(tx *db.Tx) (err error) {
			n, err = purge(sys, tx, limit)
			return err
		})
		if err != nil || n < limit {
			return err
		}
	}
}
