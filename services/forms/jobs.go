package forms

import (
	"context"
	"errors"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/run"
	"basisdienste/platform/tenantdir"
)

const (
	chunk     = 100
	looseKept = 24 * time.Hour // a file that a client sent ahead
	sweptAge  = time.Hour      // older than any upload under way
)

func (s *Service) jobs() []run.Job {
	return []run.Job{
		{Name: "ask-for-payments", Every: s.Config.Retry, Run: s.askForPayments},
		{Name: "delete-old-drafts", Every: s.Config.Purge, Run: s.deleteOldDrafts},
		{Name: "delete-loose-files", Every: s.Config.Purge, Run: s.deleteLooseFiles},
		{Name: "sweep-uploads", Every: 6 * s.Config.Purge, Run: s.sweepUploads},
	}
}

// askForPayments asks the payment service for transactions that it could not give at once,
// and sends the link by mail. One tenant's failure stops no other's.
func (s *Service) askForPayments(ctx context.Context) error {
	return s.eachRow(ctx, func(ctx context.Context, tx *db.Tx) ([]row, error) { return duePayments(ctx, tx, chunk) },
		func(ctx context.Context, e tenantdir.Entry, requestID id.ID) error {
			var p *Payment
			err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
				p, err = readPayment(ctx, tx, requestID.String())
				return err
			})
			if err != nil {
				return err
			}
			m, err := s.matter(ctx, p.ApplicationID)
			if err != nil {
				return err
			}
			if m.State != AwaitingPayment {
				return s.postpone(ctx, p.RequestID, func(p *Payment, _ db.Time) { p.State = PaymentCanceled })
			}
			if p.State == PaymentWanted {
				if p, err = s.ask(ctx, m, p, true); err != nil {
					return err
				}
			}
			if p.State != PaymentOpen || !p.ByMail || p.MailedAt != nil {
				return nil
			}
			return s.mailLink(ctx, e, m, p)
		})
}

// mailLink sends the address to pay at. The link leads to the application's own page: the
// attempt behind it may end before the mail is read.
func (s *Service) mailLink(ctx context.Context, e tenantdir.Entry, m *Matter, p *Payment) error {
	link := p.PayURL
	if m.Subject != "" {
		link = s.BaseURL + applicationPath(e.Slug, m.ID)
	}
	err := s.tell(ctx, e, m, "payment-link", p.RequestID+"-link", map[string]string{"amount": p.Amount.String(), "link": link})
	return errors.Join(err, s.postpone(ctx, p.RequestID, func(p *Payment, now db.Time) {
		if err != nil {
			p.Failed(now)
			return
		}
		p.MailedAt = &now
	}))
}

func (s *Service) postpone(ctx context.Context, requestID string, change func(p *Payment, now db.Time)) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		p, err := lockPayment(ctx, tx, requestID)
		if err != nil {
			return err
		}
		change(p, tx.Now())
		return savePayment(ctx, tx, p)
	})
}

// deleteOldDrafts deletes drafts that nobody has edited for Config.DraftsKept (§ 8a OZG).
func (s *Service) deleteOldDrafts(ctx context.Context) error {
	return s.eachRow(ctx, func(ctx context.Context, tx *db.Tx) ([]row, error) {
		return oldDrafts(ctx, tx, db.NewTime(tx.Now().Add(-s.Config.DraftsKept)), chunk)
	}, func(ctx context.Context, e tenantdir.Entry, appID id.ID) error {
		var files []File
		err := s.DB.Tx(ctx, func(tx *db.Tx) error {
			a, err := lockApplication(ctx, tx, appID)
			if err != nil {
				return err
			}
			files = nil
			if a.State != Draft || !a.EditedAt.Before(tx.Now().Add(-s.Config.DraftsKept)) {
				return nil // taken up again meanwhile
			}
			files, err = s.dropDraft(ctx, tx, appID)
			return err
		})
		if err != nil {
			return err
		}
		return s.folder.remove(e.ID, fileIDs(files)...)
	})
}

// deleteLooseFiles deletes files that a client sent ahead and named in no application.
func (s *Service) deleteLooseFiles(ctx context.Context) error {
	return s.eachRow(ctx, func(ctx context.Context, tx *db.Tx) ([]row, error) {
		return looseFiles(ctx, tx, db.NewTime(tx.Now().Add(-looseKept)), chunk)
	}, func(ctx context.Context, e tenantdir.Entry, fileID id.ID) error {
		err := s.DB.Tx(ctx, func(tx *db.Tx) error { return deleteFile(ctx, tx, fileID) })
		if err != nil {
			return err
		}
		return s.folder.remove(e.ID, fileID)
	})
}

// sweepUploads removes bytes that no row names: of uploads that a crash cut off between
// file and row, and of files whose row was deleted right before a crash.
func (s *Service) sweepUploads(ctx context.Context) error {
	sys := db.System(ctx)
	return s.folder.sweep(sweptAge, func(tenantID, fileID id.ID) (known bool, err error) {
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		err = s.DB.Read(sys, func(tx *db.Tx) (err error) {
			known, err = fileExists(sys, tx, tenantID, fileID)
			return err
		})
		return known, err
	})
}

// eachRow acts on rows of all tenants, each in the context of its tenant. A row that fails
// does not stop the others; a chunk without any success ends the run.
func (s *Service) eachRow(ctx context.Context, list func(context.Context, *db.Tx) ([]row, error), act func(context.Context, tenantdir.Entry, id.ID) error) error {
	sys := db.System(ctx)
	for {
		var rows []row
		err := s.DB.Read(sys, func(tx *db.Tx) (err error) {
			rows, err = list(sys, tx)
			return err
		})
		if err != nil {
			return err
		}
		var errs []error
		for _, r := range rows {
			e, err := s.Dir.ByID(ctx, r.Tenant)
			if err == nil {
				err = act(actFor(ctx, e), e, r.ID)
			}
			if err != nil {
				errs = append(errs, err)
			}
		}
		if len(rows) < chunk || len(errs) == len(rows) || ctx.Err() != nil {
			return errors.Join(errs...)
		}
	}
}
