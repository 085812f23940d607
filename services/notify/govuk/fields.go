package govuk

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"basisdienste/platform/id"
	"basisdienste/platform/tenantdir"
	"basisdienste/services/notify"
)

// maxBody is what an e-mail of GOV.UK Notify may have at most, and some room.
const maxBody = 2_500_000

// fields is a JSON body of which the fields are read one by one; what breaks the schema is
// collected in wrong.
type fields struct {
	all   map[string]json.RawMessage
	wrong invalid
}

// readFields reads the body; fields that are not among the known ones break the schema.
func readFields(r *http.Request, known ...string) (*fields, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, refuse(http.StatusRequestEntityTooLarge, "BadRequestError", "Your message is too long")
		}
		return nil, badRequest("Invalid JSON supplied in POST data")
	}
	f := &fields{}
	if err := json.Unmarshal(body, &f.all); err != nil {
		return nil, badRequest("Invalid JSON supplied in POST data")
	}
	var extra []string
	for name := range f.all {
		if !slices.Contains(known, name) {
			extra = append(extra, clip(name))
		}
	}
	slices.Sort(extra)
	if n := len(extra); n > 0 {
		verb := " was unexpected)"
		if n > 1 {
			verb = " were unexpected)"
		}
		f.wrong.add("Additional properties are not allowed (" + strings.Join(extra, ", ") + verb)
	}
	return f, nil
}

// has reports whether the field has a value; null is none, as the Node client sends it.
func (f *fields) has(name string) bool {
	v, ok := f.all[name]
	return ok && string(v) != "null"
}

func (f *fields) text(name string, required bool) string {
	if !f.has(name) {
		if required {
			f.wrong.add(name + " is a required property")
		}
		return ""
	}
	var s string
	if json.Unmarshal(f.all[name], &s) != nil {
		f.wrong.add(name + " " + clip(string(f.all[name])) + " is not of type string")
	}
	return s
}

func (f *fields) uuid(name string, required bool) id.ID {
	s := f.text(name, required)
	if s == "" {
		if f.has(name) {
			f.wrong.add(name + " is not a valid UUID")
		}
		return ""
	}
	u, err := id.Parse(s)
	if err != nil {
		f.wrong.add(name + " is not a valid UUID")
	}
	return u
}

// personalisation reads the object of that name.
func (f *fields) personalisation() notify.Values {
	const name = "personalisation"
	values := notify.Values{}
	if f.has(name) && json.Unmarshal(f.all[name], &values) != nil {
		f.wrong.add(name + " " + clip(string(f.all[name])) + " is not of type object")
	}
	return values
}

func (f *fields) list(name string) (out []string) {
	if f.has(name) && json.Unmarshal(f.all[name], &out) != nil {
		f.wrong.add(name + " " + clip(string(f.all[name])) + " is not of type array, null")
	}
	return out
}

func tenantID(ctx context.Context) id.ID {
	e, _ := tenantdir.From(ctx)
	return e.ID
}

func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 32)
	return n, err == nil && n > 0
}
