package forms

import (
	"context"
	"errors"
	"fmt"
	"os"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/money"
	"basisdienste/platform/outbox"
	"basisdienste/platform/page"
)

// Listed is an application in the staff's list.
type Listed struct {
	ID          id.ID        `json:"id"`
	Reference   string       `json:"reference"`
	Form        string       `json:"form"`
	FormTitle   string       `json:"form_title"`
	State       State        `json:"state"`
	SubmittedAt *db.Time     `json:"submitted_at"`
	Amount      money.Amount `json:"amount"`
}

func listed(a *Application, def *Definition, lang string) Listed {
	return Listed{
		ID: a.ID, Reference: a.Ref(), Form: a.Form, FormTitle: def.Title.In(lang), State: a.State, SubmittedAt: a.SubmittedAt, Amount: a.Amount,
	}
}

// List shows submitted applications, the newest first. Drafts are never shown.
// Errors: invalid_cursor.
func (s *Service) List(ctx context.Context, q ListRequest) (page.List[Listed], error) {
	out := page.List[Listed]{Items: []Listed{}}
	var after position
	if err := s.Cursors.Decode(q.Cursor, &after); err != nil {
		return out, err
	}
	var apps []Application
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		apps, err = listApplications(ctx, tx, q.State, after, q.Limit+1)
		return err
	})
	if err != nil {
		return out, err
	}
	if len(apps) > q.Limit {
		apps = apps[:q.Limit]
		last := apps[q.Limit-1]
		if out.Next, err = s.Cursors.Encode(position{At: last.SubmittedAt.UnixMicro(), ID: last.ID}); err != nil {
			return out, err
		}
	}
	for i := range apps {
		def, err := s.catalogue.version(ctx, apps[i].Form, apps[i].FormVersion)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, listed(&apps[i], def, q.Lang))
	}
	return out, nil
}

// Detail is an application as the staff sees it.
type Detail struct {
	Listed
	FormVersion int64         `json:"form_version"`
	Language    string        `json:"language"`
	Level       int           `json:"level"`
	ClientID    string        `json:"client_id,omitempty"`
	Applicant   Contact       `json:"applicant"`
	Reason      string        `json:"reason,omitempty"`
	PaidAt      *db.Time      `json:"paid_at,omitempty"`
	DecidedAt   *db.Time      `json:"decided_at,omitempty"`
	Answers     Answers       `json:"answers"`
	Sections    []Section     `json:"sections"` // the answers with their questions, in the order of the pages
	TakenOver   []string      `json:"taken_over"`
	Files       []FileEntry   `json:"files"`
	Payments    []PaymentView `json:"payments"`
	Events      []LogEntry    `json:"events"`
}

// FileEntry is an uploaded file of an application.
type FileEntry struct {
	FileSent
	Field string `json:"field"`
}

// PaymentView is one attempt to pay.
type PaymentView struct {
	State         PaymentState `json:"state"`
	Amount        money.Amount `json:"amount"`
	TransactionID string       `json:"transaction_id,omitempty"`
	Kassenzeichen string       `json:"kassenzeichen,omitempty"`
	Method        string       `json:"method,omitempty"`
	At            db.Time      `json:"at"`
}

// Show returns an application and records who looked at it. Error: application_not_found.
func (s *Service) Show(ctx context.Context, q OneRequest) (Detail, error) {
	m, err := s.submitted(ctx, q.ID)
	if err != nil {
		return Detail{}, err
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error { return audit.Record(ctx, tx, "application.read", object(m.ID), nil) })
	if err != nil {
		return Detail{}, err
	}
	return s.detail(m, q.Lang), nil
}

func object(appID id.ID) string { return "application:" + appID.String() }

// submitted is matter without drafts, which are their citizen's alone (§ 9b EGovG).
func (s *Service) submitted(ctx context.Context, appID id.ID) (*Matter, error) {
	m, err := s.matter(ctx, appID)
	if err == nil && m.State == Draft {
		return nil, notFound()
	}
	return m, err
}

func (s *Service) detail(m *Matter, lang string) Detail {
	d := Detail{
		Listed: listed(m.Application, m.Def, lang), FormVersion: m.FormVersion, Language: m.Language, Level: m.Level, ClientID: m.ClientID,
		Applicant: m.Contact.V, Reason: m.Reason, PaidAt: m.PaidAt, DecidedAt: m.DecidedAt, Answers: m.Answers, Sections: m.sections(lang),
		TakenOver: []string{}, Files: []FileEntry{}, Payments: []PaymentView{}, Events: m.Log,
	}
	for _, pointer := range m.Def.order(m.Answers) {
		if m.takenOver(pointer) {
			d.TakenOver = append(d.TakenOver, pointer)
		}
	}
	for _, f := range m.Files {
		d.Files = append(d.Files, FileEntry{FileSent{f.ID, f.Name, f.Type, f.Size, f.SHA256}, f.Field})
	}
	for _, p := range m.Payments {
		d.Payments = append(d.Payments, PaymentView{p.State, p.Amount, p.TransactionID, p.Kassenzeichen, p.Method, p.At})
	}
	return d
}

// takenOver reports whether the answer is still the one that came from the login.
func (a *Application) takenOver(pointer string) bool {
	was, ok := a.TakenOver[pointer].(string)
	v := a.Answers.at(pointer)
	if m, isMap := v.(map[string]any); isMap {
		return ok && birthText(m) == was
	}
	return ok && textOf(v) == was
}

// Events returns the event log of an application. Error: application_not_found.
func (s *Service) Events(ctx context.Context, q OneRequest) (page.List[LogEntry], error) {
	m, err := s.submitted(ctx, q.ID)
	if err != nil {
		return page.List[LogEntry]{}, err
	}
	return page.List[LogEntry]{Items: m.Log}, nil
}

// Accept is the municipality's yes; the applicant is told.
// Errors: application_not_found, not_decidable.
func (s *Service) Accept(ctx context.Context, q AcceptRequest) (Listed, error) {
	return s.decide(ctx, q.ID, q.Lang, q.Note, func(tx *db.Tx, a *Application) (outbox.Event, error) {
		return events.ApplicationAccepted(a.event(tx.Now(), "")), a.Accept(tx.Now())
	})
}

// Reject is the municipality's no; the applicant is told the reason.
// Errors: application_not_found, not_decidable.
func (s *Service) Reject(ctx context.Context, q RejectRequest) (Listed, error) {
	return s.decide(ctx, q.ID, q.Lang, q.Reason, func(tx *db.Tx, a *Application) (outbox.Event, error) {
		e := events.ApplicationRejected(a.event(tx.Now(), ""))
		e.ReasonCode = "rejected_by_clerk"
		return e, a.Reject(tx.Now(), q.Reason)
	})
}

func (s *Service) decide(ctx context.Context, appID id.ID, lang, note string, decision func(*db.Tx, *Application) (outbox.Event, error)) (Listed, error) {
	var a *Application
	err := s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		if a, err = lockApplication(ctx, tx, appID); err != nil {
			return err
		}
		if a.State == Draft {
			return notFound()
		}
		event, err := decision(tx, a)
		if err != nil {
			return err
		}
		a.EditedAt = tx.Now()
		if err := saveApplication(ctx, tx, a); err != nil {
			return err
		}
		if err := addLog(ctx, tx, a.ID, string(a.State), audit.Actor(ctx), note); err != nil {
			return err
		}
		if err := outbox.Put(ctx, tx, event); err != nil {
			return err
		}
		return audit.Record(ctx, tx, "application."+string(a.State), object(a.ID), nil)
	})
	if err != nil {
		return Listed{}, err
	}
	def, err := s.catalogue.version(ctx, a.Form, a.FormVersion)
	if err != nil {
		return Listed{}, err
	}
	return listed(a, def, lang), nil
}

// OpenFile opens a file of a submitted application for the staff, and records it. The
// caller closes it. Errors: application_not_found, file_not_found.
func (s *Service) OpenFile(ctx context.Context, appID, fileID id.ID) (*File, *os.File, error) {
	m, err := s.submitted(ctx, appID)
	if err != nil {
		return nil, nil, err
	}
	f, content, err := s.openFile(ctx, m, fileID)
	if err != nil {
		return nil, nil, err
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		return audit.Record(ctx, tx, "application.file_read", object(appID), map[string]string{"file": fileID.String()})
	})
	if err != nil {
		return nil, nil, errors.Join(err, content.Close())
	}
	return f, content, nil
}

func (s *Service) openFile(ctx context.Context, m *Matter, fileID id.ID) (*File, *os.File, error) {
	for i := range m.Files {
		if m.Files[i].ID == fileID {
			content, err := s.folder.open(tenantID(ctx), fileID)
			if err != nil {
				return nil, nil, fmt.Errorf("open file %s: %w", fileID, err)
			}
			return &m.Files[i], content, nil
		}
	}
	return nil, nil, fileNotFound()
}
