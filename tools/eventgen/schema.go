package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// event is one schema, ready to be rendered.
type event struct {
	Type        string // payment.transaction.payed.v1
	Name        string // TransactionPayed
	Description string
	Fields      []field
	Subject     field // the field that names what the event is about
}

// Service is the first part of the type: who publishes the event.
func (e event) Service() string { return e.Type[:strings.IndexByte(e.Type, '.')] }

type field struct {
	JSON        string // transaction_id
	Name        string // TransactionID
	GoType      string
	Description string
	Required    bool
}

// Tag is the json tag. An optional field that is empty is left out; the schemas say what
// its absence means.
func (f field) Tag() string {
	switch {
	case f.Required:
		return f.JSON
	case f.GoType == "time.Time":
		return f.JSON + ",omitzero"
	default:
		return f.JSON + ",omitempty"
	}
}

// schema is the part of JSON Schema 2020-12 that an event may use at its top.
type schema struct {
	Schema               string          `json:"$schema"`
	ID                   string          `json:"$id"`
	Title                string          `json:"title"`
	Description          string          `json:"description"`
	Subject              string          `json:"x-subject"`
	Type                 string          `json:"type"`
	AdditionalProperties *bool           `json:"additionalProperties"`
	Required             []string        `json:"required"`
	Properties           json.RawMessage `json:"properties"`
}

type property struct {
	Type                 string            `json:"type"`
	Format               string            `json:"format"`
	Description          string            `json:"description"`
	Items                *property         `json:"items"`
	AdditionalProperties json.RawMessage   `json:"additionalProperties"`
	Examples             []json.RawMessage `json:"examples"`
}

const suffix = ".schema.json"

var (
	typePattern = regexp.MustCompile(`^[a-z]+(\.[a-z]+){2}\.v[1-9][0-9]*$`)
	namePattern = regexp.MustCompile(`^[A-Z][A-Za-z]+(V[2-9][0-9]*)?$`)
	jsonPattern = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
)

// readEvents returns the events in the order of their types. Errors name the file and what
// to change; all files are looked at.
func readEvents(dir fs.FS) ([]event, error) {
	files, err := fs.Glob(dir, "*"+suffix)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("no *" + suffix + " found")
	}
	var (
		events []event
		errs   []error
		byName = map[string]string{}
	)
	for _, file := range files {
		data, err := fs.ReadFile(dir, file)
		if err != nil {
			return nil, err
		}
		e, err := parse(strings.TrimSuffix(file, suffix), data)
		if err == nil && byName[e.Name] != "" {
			err = fmt.Errorf("title %s is already taken by %s", e.Name, byName[e.Name])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			continue
		}
		byName[e.Name] = file
		events = append(events, e)
	}
	return events, errors.Join(errs...)
}

// parse checks the rules that every event schema keeps.
func parse(eventType string, data []byte) (event, error) {
	var s schema
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return event{}, err
	}
	switch {
	case !typePattern.MatchString(eventType):
		return event{}, errors.New("file name must be <service>.<thing>.<verb>.v<N>" + suffix)
	case s.Schema != "https://json-schema.org/draft/2020-12/schema":
		return event{}, errors.New("$schema must be https://json-schema.org/draft/2020-12/schema")
	case s.ID != "urn:basisdienste:event:"+eventType:
		return event{}, errors.New("$id must be urn:basisdienste:event:" + eventType)
	case !namePattern.MatchString(s.Title):
		return event{}, errors.New("title must be the name of the Go type")
	case s.Description == "":
		return event{}, errors.New("description is missing")
	case s.Type != "object":
		return event{}, errors.New("type must be object")
	case s.AdditionalProperties == nil || *s.AdditionalProperties:
		return event{}, errors.New("additionalProperties must be false")
	}
	e := event{Type: eventType, Name: s.Title, Description: s.Description}
	var err error
	if e.Fields, err = fields(s); err != nil {
		return event{}, err
	}
	i := slices.IndexFunc(e.Fields, func(f field) bool { return f.JSON == s.Subject })
	if i < 0 || e.Fields[i].GoType != "string" || !e.Fields[i].Required {
		return event{}, fmt.Errorf("x-subject %q must name a required string property", s.Subject)
	}
	e.Subject = e.Fields[i]
	return e, nil
}

// fields returns the properties in the order of the file.
func fields(s schema) ([]field, error) {
	var all []field
	dec := json.NewDecoder(bytes.NewReader(s.Properties))
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("properties: %w", err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := key.(string) // a key of an object is a string
		var p property
		if err := dec.Decode(&p); err != nil {
			return nil, fmt.Errorf("property %s: %w", name, err)
		}
		f := field{JSON: name, Name: goName(name), Description: p.Description, Required: slices.Contains(s.Required, name)}
		if f.GoType, err = goType(p); err != nil {
			return nil, fmt.Errorf("property %s: %w", name, err)
		}
		switch {
		case !jsonPattern.MatchString(name):
			return nil, fmt.Errorf("property %s: name must be snake_case", name)
		case p.Description == "":
			return nil, fmt.Errorf("property %s: description is missing", name)
		case len(p.Examples) == 0:
			return nil, fmt.Errorf("property %s: examples is missing", name)
		case f.Required && (p.Type == "array" || p.Type == "object"):
			return nil, fmt.Errorf("property %s: an %s must not be required: say what its absence means", name, p.Type)
		}
		all = append(all, f)
	}
	for _, name := range s.Required {
		if !slices.ContainsFunc(all, func(f field) bool { return f.JSON == name }) {
			return nil, fmt.Errorf("required names %q, which is no property", name)
		}
	}
	return all, nil
}

func goType(p property) (string, error) {
	switch {
	case p.Type == "string" && p.Format == "date-time":
		return "time.Time", nil
	case p.Type == "string":
		return "string", nil
	case p.Type == "integer":
		return "int64", nil
	case p.Type == "boolean":
		return "bool", nil
	case p.Type == "array" && p.Items != nil && p.Items.Type == "string" && p.Items.Format != "date-time":
		return "[]string", nil
	case p.Type == "object":
		var values property
		if err := json.Unmarshal(p.AdditionalProperties, &values); err != nil || values.Type == "" {
			return "", errors.New("an object needs additionalProperties with a type")
		}
		if values.Type == "string" {
			return "map[string]string", nil
		}
		return "map[string]json.RawMessage", nil
	}
	return "", fmt.Errorf("type %q is not one of string, integer, boolean, array of string, object", p.Type)
}

// goName turns end_point_id into EndPointID.
func goName(name string) string {
	words := strings.Split(name, "_")
	for i, w := range words {
		switch w {
		case "id", "url":
			words[i] = strings.ToUpper(w)
		case "":
		default:
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}
