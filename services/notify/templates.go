package notify

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"basisdienste/platform/audit"
	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenantdir"
)

func errUnknownTemplate() error {
	return fault.NotFound("unknown_template", "there is no such template here; the list of templates shows all")
}

// findTemplate finds the newest version by name and language, or by id. Without a language
// it is the municipality's own. Error: unknown_template.
func (s *Service) findTemplate(ctx context.Context, tx *db.Tx, name, lang string) (*Template, error) {
	if tid, err := id.Parse(name); err == nil {
		return s.templateByID(ctx, tx, tid, 0)
	}
	if lang == "" {
		e, _ := tenantdir.From(ctx)
		settings, err := tenantdir.Settings(e, "notify", DefaultSettings())
		if err != nil {
			return nil, fmt.Errorf("settings of %s: %w", e.Slug, err)
		}
		lang = settings.Language
	}
	tid, version, err := ownVersion(ctx, tx, name, lang)
	if err != nil {
		return nil, err
	}
	if version > 0 {
		return s.own(ctx, tx, tid, version)
	}
	if t := s.catalogue.find(name, lang); t != nil {
		return t, nil
	}
	return nil, errUnknownTemplate()
}

// own reads a tenant's version; compiled ones are kept, for versions never change.
func (s *Service) own(ctx context.Context, tx *db.Tx, tid id.ID, version int64) (*Template, error) {
	key := fmt.Sprintf("%s/%s/%d", tx.Tenant(), tid, version)
	if t, ok := s.compiled.Get(key); ok && version > 0 {
		return t, nil
	}
	t, err := ownTemplate(ctx, tx, tid, version)
	if err == nil && t != nil {
		s.compiled.Add(fmt.Sprintf("%s/%s/%d", tx.Tenant(), tid, t.Version), t)
	}
	return t, err
}

// templateByID finds one version, the newest for 0: the tenant's own first.
// Error: unknown_template.
func (s *Service) templateByID(ctx context.Context, tx *db.Tx, tid id.ID, version int64) (*Template, error) {
	t, err := s.own(ctx, tx, tid, version)
	if err != nil || t != nil {
		return t, err
	}
	if t = s.catalogue.version(tid, version); t != nil {
		return t, nil
	}
	return nil, errUnknownTemplate()
}

// Template finds one version, the newest for 0, for another API on top of this service.
// Error: unknown_template.
func (s *Service) Template(ctx context.Context, tid id.ID, version int64) (t *Template, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		t, err = s.templateByID(ctx, tx, tid, version)
		return err
	})
	return t, err
}

// TemplateIn is Template within a transaction.
func (s *Service) TemplateIn(ctx context.Context, tx *db.Tx, tid id.ID) (*Template, error) {
	return s.templateByID(ctx, tx, tid, 0)
}

// Templates lists the newest version of each template: the catalogue's, and the tenant's own
// in their place or besides, in the order of names and languages.
func (s *Service) Templates(ctx context.Context) (out []*Template, err error) {
	var own []*Template
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		own, err = ownTemplates(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	for _, t := range own {
		taken[catalogueKey(t.Name, t.Language)] = true
	}
	out = own
	for _, t := range s.catalogue.all() {
		if !taken[catalogueKey(t.Name, t.Language)] {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b *Template) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Language, b.Language))
	})
	return out, nil
}

// ListTemplates shows the templates.
func (s *Service) ListTemplates(ctx context.Context, _ struct{}) (TemplateList, error) {
	all, err := s.Templates(ctx)
	views := make([]TemplateView, len(all))
	for i, t := range all {
		views[i] = templateView(t)
	}
	return TemplateList{Items: views}, err
}

// GetTemplate shows one template. Error: unknown_template.
func (s *Service) GetTemplate(ctx context.Context, q TemplateRequest) (out TemplateView, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		t, err := s.findTemplate(ctx, tx, q.Name, q.Language)
		if err == nil {
			out = templateView(t)
		}
		return err
	})
	return out, err
}

// PutTemplate adds a version of the tenant's own; it is used from now on. The same text as
// the newest version's adds nothing. Error: template_invalid.
func (s *Service) PutTemplate(ctx context.Context, q PutTemplateRequest) (out TemplateView, err error) {
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		tid, version, err := ownVersion(ctx, tx, q.Name, q.Language)
		if err != nil {
			return err
		}
		if shipped := s.catalogue.find(q.Name, q.Language); shipped != nil && version == 0 {
			tid, version = shipped.ID, shipped.Version
		}
		if tid == "" {
			tid = id.New()
		}
		t := &Template{
			ID: tid, Name: q.Name, Language: q.Language, Version: version + 1, Subject: q.Subject, Body: q.Body,
			Placeholders: slices.Clone(q.Placeholders), CreatedAt: tx.Now().Time, Own: true,
		}
		if err := t.Compile(); err != nil {
			return err
		}
		if version > 0 {
			old, err := s.templateByID(ctx, tx, tid, version)
			if err != nil {
				return err
			}
			if old.Own && old.Subject == t.Subject && old.Body == t.Body && slices.Equal(old.Placeholders, t.Placeholders) {
				out = templateView(old)
				return nil
			}
		}
		if err := insertTemplate(ctx, tx, t, audit.Actor(ctx)); err != nil {
			if db.IsUnique(err) {
				return fault.Conflict("template_changed_meanwhile", "somebody else just stored a version; read it and try again")
			}
			return err
		}
		out = templateView(t)
		return audit.Record(ctx, tx, "template.put", t.ID.String(), map[string]any{"name": t.Name, "language": t.Language, "version": t.Version})
	})
	return out, err
}

// Preview fills a template without sending it.
// Errors: unknown_template, placeholder_missing, placeholder_invalid.
func (s *Service) Preview(ctx context.Context, q PreviewRequest) (out PreviewAnswer, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		t, err := s.findTemplate(ctx, tx, q.Name, q.Language)
		if err != nil {
			return err
		}
		subject, _, l, err := s.Show(ctx, t, q.Personalisation)
		out = PreviewAnswer{Subject: subject, Text: l.Text, HTML: l.HTML, Version: t.Version}
		return err
	})
	return out, err
}

// Show makes what would be sent: the subject, the Markdown as its author wrote it, and both
// forms of the mail.
func (s *Service) Show(ctx context.Context, t *Template, v Values) (subject, markdown string, l Letter, err error) {
	f, err := t.Fill(v)
	if err != nil {
		return "", "", l, err
	}
	_, e, settings, err := s.entryOf(ctx, tenantOf(ctx))
	if err != nil {
		return "", "", l, err
	}
	l, err = s.render.mail(look{Lang: t.Language, From: senderName(e, settings)}, f.Subject, f.Body)
	return f.Subject, unescape(f.Body), l, err
}
