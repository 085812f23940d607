package forms

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/web"
)

// read takes the posted form. Files are streamed to the draft as they come; refused holds,
// by field name, why one was not taken. Errors: form_unreadable, body_too_large, upload_cut_off.
func (v *visit) read(ctx context.Context, w http.ResponseWriter) (values url.Values, refused map[string]error, err error) {
	refused = map[string]error{}
	if !strings.HasPrefix(v.r.Header.Get("Content-Type"), "multipart/form-data") {
		if err := readForm(w, v.r); err != nil {
			return nil, nil, err
		}
		return v.r.PostForm, refused, nil
	}
	limit := int64(maxFormBody)
	for _, f := range v.page.Fields {
		if f.Files != nil {
			limit += f.Files.MaxBytes * int64(f.Files.Max+1)
		}
	}
	v.r.Body = http.MaxBytesReader(w, v.r.Body, limit)
	parts, err := v.r.MultipartReader()
	if err != nil {
		return nil, nil, formError(err)
	}
	values = url.Values{}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return values, refused, nil
		}
		if err != nil {
			return nil, nil, formError(err)
		}
		if err := v.readPart(ctx, part, values, refused); err != nil {
			return nil, nil, err
		}
	}
}

func (v *visit) readPart(ctx context.Context, part *multipart.Part, values url.Values, refused map[string]error) error {
	name := part.FormName()
	if part.FileName() == "" {
		text, err := io.ReadAll(io.LimitReader(part, maxFormBody+1))
		if err != nil {
			return formError(err)
		}
		if len(text) > maxFormBody {
			return fault.TooLarge("body_too_large", "a form here has at most %d bytes", maxFormBody)
		}
		values.Add(name, string(text))
		return nil
	}
	var target *question
	for _, q := range v.questions() {
		if q.Name == name && q.field.Files != nil {
			target = &q
			break
		}
	}
	if target == nil {
		return fault.Invalid("unknown_file_field", "the form has no such question for a file")
	}
	// The upload may take longer than a request may; a sender who went away ends it anyway.
	_, err := v.p.s.AddFile(context.WithoutCancel(ctx), v.m, target.field, target.pointer, part.FileName(), part.Header.Get("Content-Type"), part)
	f := fault.From(err)
	switch {
	case err == nil:
		return nil
	case f.Kind == fault.KindInternal, f.Code == "upload_cut_off", f.Code == "not_a_draft":
		return err
	}
	refused[name] = err
	return nil
}

// store keeps what was typed into the questions that were asked.
func (v *visit) store(ctx context.Context, subject string, values url.Values, asked []string) error {
	var form web.Form
	var fields []*Field
	for i := range v.page.Fields {
		f := &v.page.Fields[i]
		if f.Kind == "file" || !slices.Contains(asked, fieldName(f)) {
			continue
		}
		kind := f.Kind
		if kind == "birthdate" {
			kind = "date"
		}
		form, fields = append(form, web.Field{Name: fieldName(f), Kind: kind}), append(fields, f)
	}
	if len(form) == 0 {
		return nil
	}
	form.Fill(values)
	var pointers []string
	answers := map[string]any{}
	for i, f := range fields {
		pointer := v.page.prefix(v.item) + f.Path
		pointers = append(pointers, pointer)
		answers[pointer] = f.value(form[i].Value)
	}
	_, err := v.p.s.Answer(ctx, subject, v.m.ID, v.lang, pointers, answers)
	return err
}

func (v *visit) removeFile(ctx context.Context, subject, file string) error {
	fileID, err := id.Parse(file)
	if err != nil {
		return fileNotFound()
	}
	for _, f := range v.m.Files {
		if f.ID == fileID {
			return v.p.s.RemoveFile(ctx, subject, v.m.ID, f.Field, fileID)
		}
	}
	return fileNotFound()
}

// judge writes what is wrong on the questions and reports whether anything is.
func (v *visit) judge(qs []question, refused map[string]error) bool {
	wrong := false
	faults := v.p.s.Check(v.m)
	for i := range qs {
		q := &qs[i]
		if err, ok := refused[q.Name]; ok {
			q.Error, wrong = v.refusal(q, fault.From(err)), true
			continue
		}
		for _, f := range faults {
			if f.Name == q.pointer || strings.HasPrefix(f.Name, q.pointer+"/") {
				q.Error, wrong = v.p.complaint(v.r, q.field, f.Code, v.lang), true
				break
			}
		}
	}
	return wrong
}

// complaint says in the citizen's words what to change in an answer.
func (p *pages) complaint(r *http.Request, f *Field, code, lang string) string {
	label := f.Label.In(lang)
	choice := f.Kind == "select" || f.Kind == "radios"
	switch {
	case f.Kind == "file":
		return p.site.T(r, "field.file_missing", label)
	case code == "missing" && choice:
		return p.site.T(r, "web.choose_missing", label)
	case code == "missing":
		return p.site.T(r, "web.missing", label)
	case code == "in_future":
		return p.site.T(r, "field.in_future", label)
	case code == "too_long" && f.MaxLength > 0:
		return p.site.T(r, "web.too_long", label, f.MaxLength)
	case !f.Error.empty():
		return f.Error.In(lang)
	case choice:
		return p.site.T(r, "web.choice_unknown", label)
	case f.Kind == "date", f.Kind == "birthdate":
		return p.site.T(r, "web.date_wrong", label)
	case f.Kind == "tel":
		return p.site.T(r, "web.tel_wrong", label)
	}
	return p.site.T(r, "web.field_wrong", label)
}

// refusal says why a file was not taken.
func (v *visit) refusal(q *question, f *fault.Error) string {
	p, r := v.p, v.r
	switch f.Code {
	case "file_too_large":
		return p.site.T(r, "field.file_too_large", q.Label, q.field.Files.MaxBytes>>20)
	case "file_type", "file_type_mismatch":
		return p.site.T(r, "field.file_type", q.Label)
	case "file_empty":
		return p.site.T(r, "field.file_empty", q.Label)
	case "too_many_files":
		return p.site.T(r, "field.too_many_files", q.Label, q.field.Files.Max)
	}
	return p.site.T(r, "web.field_wrong", q.Label)
}
