package forms

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/login"
	"basisdienste/platform/page"
	"basisdienste/platform/tenantdir"
)

// Deps are what a Service needs; all of it.
type Deps struct {
	DB      *db.DB
	Dir     *tenantdir.Dir
	Clock   func() time.Time
	Log     *slog.Logger
	Cursors page.Signer
	Payment *http.Client // identifies itself to the service payment
	Notify  *http.Client // and to the service notify
	BaseURL string
	Config  Config
}

// Service holds the use cases. It is safe for concurrent use.
type Service struct {
	Deps
	catalogue *catalogue
	folder    *folder
	zone      *time.Location
}

// maxDrafts bounds what one citizen can pile up at one tenant.
const maxDrafts = 20

// today is the date at the municipality, as midnight UTC.
func (s *Service) today() time.Time {
	y, m, d := s.Clock().In(s.zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// entry is the tenant that the request acts for, with its settings.
func entry(ctx context.Context) (tenantdir.Entry, Settings, error) {
	e, ok := tenantdir.From(ctx)
	if !ok {
		return e, Settings{}, errors.New("forms: no tenant in the context")
	}
	settings, err := settingsOf(e)
	return e, settings, err
}

// offered returns the forms that the tenant offers, in the order of their slugs.
func (s *Service) offered(ctx context.Context) ([]*Definition, error) {
	_, settings, err := entry(ctx)
	if err != nil {
		return nil, err
	}
	var list []*Definition
	for _, slug := range s.catalogue.slugs {
		if settings.offers(slug) {
			list = append(list, s.catalogue.current[slug])
		}
	}
	return list, nil
}

// form returns the current version of a form that the tenant offers. Error: unknown_form.
func (s *Service) form(ctx context.Context, slug string) (*Definition, error) {
	_, settings, err := entry(ctx)
	if err != nil {
		return nil, err
	}
	if !settings.offers(slug) {
		return nil, unknownForm()
	}
	return s.catalogue.get(slug)
}

// open checks that the tenant takes new business.
func open(ctx context.Context) error {
	e, _, err := entry(ctx)
	if err != nil {
		return err
	}
	return e.Open()
}

func levelTooLow(level int) error {
	return fault.Forbidden("level_too_low", "this form needs a login of STORK level %d or higher", level)
}

// Start begins a draft with what the login knows of the person.
// Errors: unknown_form, level_too_low, too_many_drafts, tenant_suspended, tenant_closing.
func (s *Service) Start(ctx context.Context, who login.Session, slug, lang string) (*Application, error) {
	if err := open(ctx); err != nil {
		return nil, err
	}
	def, err := s.form(ctx, slug)
	if err != nil {
		return nil, err
	}
	if who.Principal.Level < def.Level {
		return nil, levelTooLow(def.Level)
	}
	a := &Application{
		ID: id.New(), Form: def.Form, FormVersion: def.Version, State: Draft, Subject: who.Principal.Subject, Level: who.Principal.Level,
		Language: lang, Answers: Answers{}, TakenOver: Answers{},
	}
	prefill(def, a, who)
	return a, s.DB.Tx(ctx, func(tx *db.Tx) error {
		n, err := countDrafts(ctx, tx, a.Subject)
		if err != nil {
			return err
		}
		if n >= maxDrafts {
			return fault.Conflict("too_many_drafts", "there are %d drafts already; finish or delete one first", n)
		}
		a.CreatedAt, a.EditedAt = tx.Now(), tx.Now()
		return insertApplication(ctx, tx, a)
	})
}

// prefill takes over what the login knows, and remembers what it was.
func prefill(def *Definition, a *Application, who login.Session) {
	street, house := splitStreet(who.Address.Street)
	known := map[string]string{
		"given_name": who.GivenName, "family_name": who.FamilyName, "email": who.Email, "birthdate": who.Birthdate,
		"street": street, "house": house, "postal_code": who.Address.PostalCode, "city": who.Address.City,
	}
	for _, p := range def.Pages {
		for i := range p.Fields {
			f := &p.Fields[i]
			v := f.value(known[f.Prefill])
			if f.Prefill == "" || p.Repeat != nil || v == nil {
				continue
			}
			a.Answers.set(f.Path, v)
			a.TakenOver[f.Path] = f.typed(v)
		}
	}
}

// splitStreet parts "Lange Straße 12 a" into street and house number.
func splitStreet(s string) (street, house string) {
	words := strings.Fields(s)
	for i := len(words) - 1; i > 0; i-- {
		if c := words[i][0]; c >= '0' && c <= '9' {
			return strings.Join(words[:i], " "), strings.Join(words[i:], " ")
		}
	}
	return strings.Join(words, " "), ""
}

// Mine lists the citizen's drafts and applications, the last edited first.
func (s *Service) Mine(ctx context.Context, subject string) (list []Application, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		list, err = applicationsOf(ctx, tx, subject)
		return err
	})
	return list, err
}

// Matter is an application with what belongs to it.
type Matter struct {
	*Application
	Def      *Definition
	Files    []File
	Payments []Payment
	Log      []LogEntry
}

// Payment is the last attempt to pay, nil if there was none.
func (m *Matter) Payment() *Payment {
	if len(m.Payments) == 0 {
		return nil
	}
	return &m.Payments[len(m.Payments)-1]
}

// Own returns the citizen's own draft or application. Error: application_not_found, also
// for one that belongs to somebody else.
func (s *Service) Own(ctx context.Context, subject string, appID id.ID) (*Matter, error) {
	m, err := s.matter(ctx, appID)
	if err != nil {
		return nil, err
	}
	if !m.ownedBy(subject) {
		return nil, notFound()
	}
	return m, nil
}

func (a *Application) ownedBy(subject string) bool { return subject != "" && a.Subject == subject }

// matter reads an application with all that belongs to it. Error: application_not_found.
func (s *Service) matter(ctx context.Context, appID id.ID) (*Matter, error) {
	return s.read(ctx, appID, func(tx *db.Tx, m *Matter) (err error) {
		if m.Files, err = filesOf(ctx, tx, appID); err != nil {
			return err
		}
		if m.Payments, err = paymentsOf(ctx, tx, appID); err != nil {
			return err
		}
		m.Log, err = logOf(ctx, tx, appID)
		return err
	})
}

// read reads an application with its definition, and by more what else is needed.
func (s *Service) read(ctx context.Context, appID id.ID, more func(tx *db.Tx, m *Matter) error) (*Matter, error) {
	var m Matter
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		if m.Application, err = getApplication(ctx, tx, appID); err != nil {
			return err
		}
		return more(tx, &m)
	})
	if err != nil {
		return nil, err
	}
	m.Def, err = s.catalogue.version(ctx, m.Form, m.FormVersion)
	return &m, err
}

// edit changes a citizen's draft and keeps it. Two edits at once both have their effect,
// each on the answers that it sets. Errors: application_not_found, not_a_draft.
func (s *Service) edit(ctx context.Context, subject string, appID id.ID, change func(tx *db.Tx, a *Application) error) (*Application, error) {
	var a *Application
	err := s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		if a, err = lockApplication(ctx, tx, appID); err != nil {
			return err
		}
		if !a.ownedBy(subject) {
			return notFound()
		}
		if a.State != Draft {
			return fault.Conflict("not_a_draft", "the application was submitted already and cannot be changed")
		}
		if err := change(tx, a); err != nil {
			return err
		}
		a.EditedAt = tx.Now()
		return saveApplication(ctx, tx, a)
	})
	return a, err
}

// Answer stores answers of a draft, by JSON pointer, as they are: nil removes one. Whether
// they are right is found out by Check. Errors: as edit.
func (s *Service) Answer(ctx context.Context, subject string, appID id.ID, lang string, pointers []string, values map[string]any) (*Application, error) {
	return s.edit(ctx, subject, appID, func(_ *db.Tx, a *Application) error {
		a.Language = lang
		for _, p := range pointers {
			a.Answers.set(p, values[p])
		}
		return nil
	})
}

// RemoveItem takes an item (from 0) out of a repeated group of a draft. Errors: as edit.
func (s *Service) RemoveItem(ctx context.Context, subject string, appID id.ID, list string, item int) error {
	_, err := s.edit(ctx, subject, appID, func(_ *db.Tx, a *Application) error {
		a.Answers.removeItem(list, item)
		return nil
	})
	return err
}

// AddFile streams a file to a draft's field. Nothing is kept after an error.
// Errors: as edit; too_many_files; what folder.receive says.
func (s *Service) AddFile(ctx context.Context, m *Matter, f *Field, pointer, name, claimed string, r io.Reader) (*File, error) {
	if m.State != Draft {
		return nil, fault.Conflict("not_a_draft", "the application was submitted already and cannot be changed")
	}
	file, err := s.folder.receive(tenantID(ctx), r, f.Files, name, claimed)
	if err != nil {
		return nil, err
	}
	file.ApplicationID, file.Field, file.Owner = m.ID, pointer, "citizen:"+m.Subject
	_, err = s.edit(ctx, m.Subject, m.ID, func(tx *db.Tx, a *Application) error {
		ids, _ := a.Answers.at(pointer).([]any)
		if len(ids) >= f.Files.Max {
			return fault.Conflict("too_many_files", "there may be at most %d files here; remove one first", f.Files.Max)
		}
		file.At = tx.Now()
		a.Answers.set(pointer, append(slices.Clone(ids), file.ID.String()))
		return insertFile(ctx, tx, &file)
	})
	if err != nil {
		return nil, errors.Join(err, s.folder.remove(tenantID(ctx), file.ID))
	}
	return &file, nil
}

// RemoveFile takes a file out of a draft. Errors: as edit.
func (s *Service) RemoveFile(ctx context.Context, subject string, appID id.ID, pointer string, fileID id.ID) error {
	_, err := s.edit(ctx, subject, appID, func(tx *db.Tx, a *Application) error {
		ids, _ := a.Answers.at(pointer).([]any)
		i := slices.Index(ids, any(fileID.String()))
		if i < 0 {
			return fileNotFound()
		}
		if len(ids) == 1 {
			a.Answers.set(pointer, nil)
		} else {
			a.Answers.set(pointer, slices.Delete(slices.Clone(ids), i, i+1))
		}
		return deleteFile(ctx, tx, fileID)
	})
	if err != nil {
		return err
	}
	return s.folder.remove(tenantID(ctx), fileID)
}

func fileNotFound() error {
	return fault.NotFound("file_not_found", "there is no such file in this application")
}

// Discard deletes a draft with its files. Errors: application_not_found, not_a_draft.
func (s *Service) Discard(ctx context.Context, subject string, appID id.ID) error {
	var files []File
	err := s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		a, err := lockApplication(ctx, tx, appID)
		if err != nil {
			return err
		}
		if !a.ownedBy(subject) {
			return notFound()
		}
		files, err = s.dropDraft(ctx, tx, appID)
		return err
	})
	if err != nil {
		return err
	}
	return s.folder.remove(tenantID(ctx), fileIDs(files)...)
}

// dropDraft deletes a draft's rows and returns the files whose bytes are to be removed
// after the commit.
func (s *Service) dropDraft(ctx context.Context, tx *db.Tx, appID id.ID) ([]File, error) {
	files, err := filesOf(ctx, tx, appID)
	if err != nil {
		return nil, err
	}
	gone, err := deleteDraft(ctx, tx, appID)
	if err == nil && !gone {
		err = fault.Conflict("not_a_draft", "the application was submitted already; withdraw it instead")
	}
	return files, err
}

func fileIDs(files []File) []id.ID {
	var ids []id.ID
	for _, f := range files {
		ids = append(ids, f.ID)
	}
	return ids
}

func tenantID(ctx context.Context) id.ID {
	e, _ := tenantdir.From(ctx)
	return e.ID
}

// deletedOn is when a draft will be deleted if it is not edited again.
func (s *Service) deletedOn(a *Application) time.Time {
	return a.EditedAt.Add(s.Config.DraftsKept)
}
