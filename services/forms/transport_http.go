package forms

import (
	"context"
	"io"
	"mime"
	"net/http"
	"strconv"

	"basisdienste/platform/authn"
	"basisdienste/platform/kit"
	"basisdienste/platform/page"
	"basisdienste/platform/problem"
)

const apiBase = "/t/{tenant}/forms/v1"

// routes registers the API. Pages are in pages.go.
func (s *Service) routes(m *kit.Mux, v *authn.Verifier) {
	staff := v.Role(authn.RoleClerk, authn.RoleTenantAdmin)

	kit.Route(m, "GET "+apiBase+"/forms", kit.Public, s.Forms)
	kit.Route(m, "GET "+apiBase+"/forms/{form}", kit.Public, s.Form)
	kit.Route(m, "POST "+apiBase+"/forms/{form}/files", v.Guard("forms:write"), s.SendFile)
	kit.Route(m, "POST "+apiBase+"/forms/{form}/applications", v.Guard("forms:write"), s.SubmitFor)

	kit.Route(m, "GET "+apiBase+"/applications", staff, s.List)
	kit.Route(m, "GET "+apiBase+"/applications/{id}", staff, s.Show)
	kit.Route(m, "GET "+apiBase+"/applications/{id}/events", staff, s.Events)
	m.Handle("GET "+apiBase+"/applications/{id}/files/{file}", guarded(staff, s.download))
	kit.Route(m, "POST "+apiBase+"/applications/{id}/accept", staff, s.Accept)
	kit.Route(m, "POST "+apiBase+"/applications/{id}/reject", staff, s.Reject)
}

// guarded puts a guard before a handler that streams.
func guarded(guard kit.Guard, h func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := guard(func(ctx context.Context, _ any) (any, error) { return nil, h(w, r.WithContext(ctx)) })(r.Context(), r)
		if err != nil {
			problem.Write(w, r, err)
		}
	})
}

func (s *Service) download(w http.ResponseWriter, r *http.Request) error {
	appID, err := pathID(r, "id")
	if err != nil {
		return err
	}
	fileID, err := pathID(r, "file")
	if err != nil {
		return err
	}
	f, content, err := s.OpenFile(r.Context(), appID, fileID)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // it was only read
	serveFile(w, r, f, content)
	return nil
}

// serveFile sends an upload so that a browser saves it and runs nothing of it.
func serveFile(w http.ResponseWriter, r *http.Request, f *File, content io.ReadSeeker) {
	h := w.Header()
	h.Set("Content-Type", f.Type)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, no-store")
	h.Set("Etag", strconv.Quote(f.SHA256))
	http.ServeContent(w, r, "", f.At.Time, content)
}

// Forms lists what the municipality offers.
func (s *Service) Forms(ctx context.Context, q FormsRequest) (page.List[FormEntry], error) {
	out := page.List[FormEntry]{Items: []FormEntry{}}
	list, err := s.offered(ctx)
	if err != nil {
		return out, err
	}
	for _, d := range list {
		e, err := s.formEntry(ctx, d, q.Lang)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, e)
	}
	return out, nil
}

// Form shows one form with its schema. Error: unknown_form.
func (s *Service) Form(ctx context.Context, q FormsRequest) (FormDetail, error) {
	d, err := s.form(ctx, q.Form)
	if err != nil {
		return FormDetail{}, err
	}
	e, err := s.formEntry(ctx, d, q.Lang)
	return FormDetail{FormEntry: e, LegalBasis: d.LegalBasis.In(q.Lang), Schema: d.Schema}, err
}

func (s *Service) formEntry(ctx context.Context, d *Definition, lang string) (FormEntry, error) {
	e, settings, err := entry(ctx)
	if err != nil {
		return FormEntry{}, err
	}
	return FormEntry{
		Form: d.Form, Version: d.Version, Title: d.Title.In(lang), Summary: d.Summary.In(lang), Level: d.Level, Fee: settings.fee(d),
		URL: s.BaseURL + "/t/" + e.Slug + "/forms/" + d.Form,
	}, nil
}
