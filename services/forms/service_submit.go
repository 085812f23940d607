package forms

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/idem"
	"basisdienste/platform/money"
	"basisdienste/platform/outbox"
)

// Check returns what keeps a draft from being submitted, in the order of the pages.
func (s *Service) Check(m *Matter) []fault.Field {
	return m.Def.check(m.Def.clean(m.Answers), s.today())
}

// invalid is the fault for answers that break a rule.
func invalid(wrong []fault.Field) error {
	return fault.Unprocessable("answers_invalid", "%d of the answers are missing or not possible; each is named", len(wrong)).With(wrong...)
}

// Submit closes the citizen's draft. Doing it twice submits once: the second call returns
// the same application. What follows, payment and mails, comes after the commit.
// Errors: application_not_found, answers_invalid, level_too_low, tenant_suspended.
func (s *Service) Submit(ctx context.Context, subject string, level int, appID id.ID, lang string) (*Application, error) {
	if err := open(ctx); err != nil {
		return nil, err
	}
	var a *Application
	err := s.withReference(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if a, err = lockApplication(ctx, tx, appID); err != nil {
			return err
		}
		if !a.ownedBy(subject) {
			return notFound()
		}
		if a.State != Draft {
			return nil
		}
		def, err := s.catalogue.version(ctx, a.Form, a.FormVersion)
		if err != nil {
			return err
		}
		if a.Level = level; level < def.Level {
			return levelTooLow(def.Level)
		}
		a.Answers, a.Language = def.clean(a.Answers), lang
		if wrong := def.check(a.Answers, s.today()); len(wrong) > 0 {
			return invalid(wrong)
		}
		if err := s.checkFiles(ctx, tx, def, a); err != nil {
			return err
		}
		return s.submit(ctx, tx, def, a, saveApplication)
	})
	return a, err
}

// withReference runs fn in a transaction, again with another reference number in the case
// of one in a million million that two applications drew the same.
func (s *Service) withReference(ctx context.Context, fn func(ctx context.Context, tx *db.Tx) error) error {
	var err error
	for range 3 {
		if err = s.DB.Tx(ctx, func(tx *db.Tx) error { return fn(ctx, tx) }); !db.IsUnique(err) {
			return err
		}
	}
	return err
}

// checkFiles makes sure that the files named in the answers are the application's own, and
// deletes the rows of those that an earlier answer made superfluous.
func (s *Service) checkFiles(ctx context.Context, tx *db.Tx, def *Definition, a *Application) error {
	files, err := filesOf(ctx, tx, a.ID)
	if err != nil {
		return err
	}
	unused := map[string]File{}
	for _, f := range files {
		unused[f.Field+"/"+f.ID.String()] = f
	}
	var wrong []fault.Field
	for name, fileID := range fileRefs(def, a.Answers) {
		key := fileID.pointer + "/" + fileID.id.String()
		if _, ok := unused[key]; !ok {
			wrong = append(wrong, fault.Field{Name: name, Code: "unknown_file", Detail: "was not uploaded for this field"})
		}
		delete(unused, key)
	}
	if len(wrong) > 0 {
		return invalid(wrong)
	}
	for _, f := range unused {
		if err := deleteFile(ctx, tx, f.ID); err != nil {
			return err
		}
	}
	return nil
}

type fileRef struct {
	pointer string
	id      id.ID
}

// fileRefs lists the files that the answers name, by the JSON pointer of the mention.
func fileRefs(def *Definition, a Answers) map[string]fileRef {
	refs := map[string]fileRef{}
	def.each(a, func(_ *Page, f *Field, pointer string) {
		if f.Kind != "file" {
			return
		}
		ids, _ := a.at(pointer).([]any)
		for i, v := range ids {
			refs[fmt.Sprintf("%s/%d", pointer, i)] = fileRef{pointer, id.ID(textOf(v))}
		}
	})
	return refs
}

// submit gives the application its number and its fee, stores it by save, and tells. One
// without a fee is delivered at once.
func (s *Service) submit(ctx context.Context, tx *db.Tx, def *Definition, a *Application, save func(context.Context, *db.Tx, *Application) error) error {
	_, settings, err := entry(ctx)
	if err != nil {
		return err
	}
	now := tx.Now()
	fee := def.amount(settings.fee(def), a.Answers)
	if err := a.Submit(now, newReference(def.Prefix, now.In(s.zone)), fee); err != nil {
		return err
	}
	a.Contact, a.EditedAt = dbJSON{V: def.contact(a.Answers)}, now
	if fee == 0 {
		if err := a.Deliver(); err != nil {
			return err
		}
	}
	if err := save(ctx, tx, a); err != nil {
		return err
	}
	if err := addLog(ctx, tx, a.ID, "submitted", "applicant", ""); err != nil {
		return err
	}
	if err := outbox.Put(ctx, tx, events.ApplicationSubmitted(a.event(now, ""))); err != nil {
		return err
	}
	if a.State == AwaitingPayment {
		// The page that follows asks the payment service at once; the job takes over if it cannot.
		return insertPayment(ctx, tx, &Payment{
			RequestID: a.ID.String(), ApplicationID: a.ID, Attempt: 1, State: PaymentWanted, Amount: fee,
			NextTryAt: db.NewTime(now.Add(grace)), At: now,
		})
	}
	return s.tellDelivered(ctx, tx, a)
}

func (s *Service) tellDelivered(ctx context.Context, tx *db.Tx, a *Application) error {
	if err := addLog(ctx, tx, a.ID, "delivered", "system", ""); err != nil {
		return err
	}
	return outbox.Put(ctx, tx, events.ApplicationDelivered(a.event(tx.Now(), "")))
}

// event is the payload that the events of an application share.
func (a *Application) event(at db.Time, transactionID string) events.ApplicationPaid {
	return events.ApplicationPaid{
		ApplicationID: a.ID.String(), Form: a.Form, FormVersion: a.FormVersion, Amount: int64(a.Amount), TransactionID: transactionID, At: at.Time,
	}
}

// Withdraw takes the citizen's application back before it was decided.
// Errors: application_not_found, not_withdrawable.
func (s *Service) Withdraw(ctx context.Context, subject string, appID id.ID) (*Application, error) {
	var a *Application
	err := s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		if a, err = lockApplication(ctx, tx, appID); err != nil {
			return err
		}
		if !a.ownedBy(subject) {
			return notFound()
		}
		now := tx.Now()
		if err := a.Withdraw(now); err != nil {
			return err
		}
		a.EditedAt = now
		if err := saveApplication(ctx, tx, a); err != nil {
			return err
		}
		if err := addLog(ctx, tx, a.ID, "withdrawn", "applicant", ""); err != nil {
			return err
		}
		e := events.ApplicationWithdrawn(a.event(now, ""))
		e.ReasonCode = "withdrawn_by_applicant"
		return outbox.Put(ctx, tx, e)
	})
	return a, err
}

// FileSent is an uploaded file as a client sees it.
type FileSent struct {
	ID     id.ID  `json:"id"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// StatusCode is 201.
func (FileSent) StatusCode() int { return 201 }

// SendFile takes a file ahead of the application that will name it. It is kept for a day.
// Errors: unknown_form, unknown_file_field, tenant_suspended, what folder.receive says.
func (s *Service) SendFile(ctx context.Context, q SendFileRequest) (FileSent, error) {
	if err := open(ctx); err != nil {
		return FileSent{}, err
	}
	def, err := s.form(ctx, q.Form)
	if err != nil {
		return FileSent{}, err
	}
	_, field := def.field(q.Field)
	if field == nil || field.Kind != "file" {
		return FileSent{}, fault.Invalid("unknown_file_field", "field names a question for files by its JSON pointer, for example /vehicle/registration")
	}
	file, err := s.folder.receive(tenantID(ctx), q.body, field.Files, q.Name, q.contentType)
	if err != nil {
		return FileSent{}, err
	}
	file.Field, file.Owner = looseField(def.Form, q.Field), owner(ctx)
	// The upload may have taken longer than a request may.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterUpload)
	defer cancel()
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		file.At = tx.Now()
		return insertFile(ctx, tx, &file)
	})
	if err != nil {
		return FileSent{}, errors.Join(err, s.folder.remove(tenantID(ctx), file.ID))
	}
	return FileSent{ID: file.ID, Name: file.Name, Type: file.Type, Size: file.Size, SHA256: file.SHA256}, nil
}

// owner is the client that calls.
func owner(ctx context.Context) string {
	p, _ := authn.From(ctx)
	return "client:" + p.ClientID
}

// Receipt is what a client gets for an application.
type Receipt struct {
	ID         id.ID        `json:"id"`
	Reference  string       `json:"reference"`
	State      State        `json:"state"`
	Amount     money.Amount `json:"amount"`
	PaymentURL string       `json:"payment_url,omitempty"` // absent while the payment service is away; the link then comes by mail
}

// StatusCode is 201.
func (Receipt) StatusCode() int { return 201 }

// SubmitFor takes a whole application from a client (an EfA service that has its own pages
// and login). The same Idempotency-Key submits once.
// Errors: unknown_form, answers_invalid, level_too_low, tenant_suspended, those of idem.Tx.
func (s *Service) SubmitFor(ctx context.Context, q SubmitRequest) (Receipt, error) {
	if err := open(ctx); err != nil {
		return Receipt{}, err
	}
	def, err := s.form(ctx, q.Form)
	if err != nil {
		return Receipt{}, err
	}
	if q.Level < def.Level {
		return Receipt{}, levelTooLow(def.Level)
	}
	if wrong := def.check(q.Answers, s.today()); len(wrong) > 0 {
		for i := range wrong {
			wrong[i].Name = "/answers" + wrong[i].Name
		}
		return Receipt{}, invalid(wrong)
	}
	p, _ := authn.From(ctx)
	r, err := idem.Tx(ctx, s.DB, func(tx *db.Tx) (Receipt, error) {
		now := tx.Now()
		a := &Application{
			ID: id.New(), Form: def.Form, FormVersion: def.Version, State: Draft, ClientID: p.ClientID, Level: q.Level, Language: q.Language,
			Answers: q.Answers, TakenOver: Answers{}, ReturnURL: q.ReturnURL, CreatedAt: now, EditedAt: now,
		}
		var wrong []fault.Field
		for name, ref := range fileRefs(def, a.Answers) {
			ok, err := claimFile(ctx, tx, ref.id, a.ID, owner(ctx), def.Form, ref.pointer)
			if err != nil {
				return Receipt{}, err
			}
			if !ok {
				wrong = append(wrong, fault.Field{Name: "/answers" + name, Code: "unknown_file", Detail: "was not uploaded for this field, or is used already"})
			}
		}
		if len(wrong) > 0 {
			return Receipt{}, invalid(wrong)
		}
		err := s.submit(ctx, tx, def, a, insertApplication)
		return Receipt{ID: a.ID, Reference: a.Ref(), State: a.State, Amount: a.Amount}, err
	})
	if err != nil || r.State != AwaitingPayment {
		return r, err
	}
	r.PaymentURL, err = s.payURL(ctx, r.ID)
	return r, err
}

// payURL returns where to pay for an application that was just submitted, "" while the
// payment service is away.
func (s *Service) payURL(ctx context.Context, appID id.ID) (string, error) {
	m, err := s.matter(ctx, appID)
	if err != nil {
		return "", err
	}
	p := m.Payment()
	if m.State != AwaitingPayment || p == nil {
		return "", nil // paid meanwhile: the request is a repeated one
	}
	if p.State == PaymentWanted {
		if p, err = s.ask(ctx, m, p, false); err != nil {
			s.Log.WarnContext(ctx, "payment not asked for yet", "application", m.ID, "error", err)
			return "", nil
		}
	}
	return p.PayURL, nil
}

// absolute reports a URL that a browser may be sent to.
func absolute(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}
