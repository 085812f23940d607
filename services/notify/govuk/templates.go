package govuk

import (
	"context"
	"net/http"
	"slices"

	"basisdienste/platform/id"
	"basisdienste/services/notify"
)

// template is one as it is shown; every key is always there.
type template struct {
	ID              id.ID             `json:"id"`
	Name            string            `json:"name"`
	Type            string            `json:"type"`
	CreatedAt       string            `json:"created_at"`
	UpdatedAt       *string           `json:"updated_at"`
	CreatedBy       string            `json:"created_by"`
	Version         int64             `json:"version"`
	Body            string            `json:"body"`
	Subject         string            `json:"subject"`
	Postage         *string           `json:"postage"`
	ContactBlock    *string           `json:"letter_contact_block"`
	Personalisation map[string]needed `json:"personalisation"`
}

type needed struct {
	Required bool `json:"required"`
}

func show(t *notify.Template) template {
	v := template{
		ID: t.ID, Name: t.Name + " (" + t.Language + ")", Type: "email", CreatedAt: stamp(t.CreatedAt), CreatedBy: "operator",
		Version: t.Version, Body: t.Body, Subject: t.Subject, Personalisation: map[string]needed{},
	}
	if t.Own {
		v.CreatedBy = "municipality"
	}
	if t.Version > 1 {
		v.UpdatedAt = optional(stamp(t.CreatedAt))
	}
	for _, p := range t.Placeholders {
		v.Personalisation[p.Name] = needed{!p.Optional}
	}
	return v
}

func (a *api) listTemplates(r *http.Request) (int, any, error) {
	ctx := r.Context()
	kind := r.URL.Query().Get("type")
	if kind != "" && !slices.Contains([]string{"sms", "email", "letter"}, kind) {
		return 0, nil, refuse(http.StatusBadRequest, "ValidationError", "type "+clip(kind)+" is not one of [sms, email, letter]")
	}
	out := struct {
		Templates []template `json:"templates"`
	}{[]template{}}
	if kind == "" || kind == "email" {
		all, err := a.service.Templates(ctx)
		if err != nil {
			return 0, nil, err
		}
		for _, t := range all {
			out.Templates = append(out.Templates, show(t))
		}
	}
	return http.StatusOK, out, nil
}

func (a *api) template(ctx context.Context, r *http.Request) (*notify.Template, error) {
	tid, err := id.Parse(r.PathValue("id"))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "ValidationError", "id is not a valid UUID")
	}
	var version int64
	if text := r.PathValue("version"); text != "" {
		var ok bool
		if version, ok = number(text); !ok {
			return nil, refuse(http.StatusBadRequest, "ValidationError", "version "+clip(text)+" is not of type integer, null")
		}
	}
	return a.service.Template(ctx, tid, version)
}

func (a *api) getTemplate(r *http.Request) (int, any, error) {
	ctx := r.Context()
	t, err := a.template(ctx, r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, show(t), nil
}

// preview is a filled template.
type preview struct {
	ID      id.ID   `json:"id"`
	Type    string  `json:"type"`
	Version int64   `json:"version"`
	Body    string  `json:"body"`
	HTML    string  `json:"html"`
	Subject string  `json:"subject"`
	Postage *string `json:"postage"`
}

func (a *api) previewTemplate(r *http.Request) (int, any, error) {
	ctx := r.Context()
	f, err := readFields(r, "personalisation", "id")
	if err != nil {
		return 0, nil, err
	}
	values := f.personalisation()
	if err := f.wrong.err(); err != nil {
		return 0, nil, err
	}
	t, err := a.template(ctx, r)
	if err != nil {
		return 0, nil, err
	}
	subject, markdown, letter, err := a.service.Show(ctx, t, values)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, preview{ID: t.ID, Type: "email", Version: t.Version, Body: markdown, HTML: letter.HTML, Subject: subject}, nil
}
