package main

import (
	"strings"
	"testing"
	"testing/fstest"
)

const good = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "urn:basisdienste:event:dogs.dog.barked.v1",
  "title": "DogBarked",
  "description": "A dog barked.",
  "x-subject": "dog_id",
  "type": "object",
  "additionalProperties": false,
  "required": ["dog_id", "at"],
  "properties": {
    "dog_id": {"type": "string", "description": "Id of the dog.", "examples": ["1"]},
    "at": {"type": "string", "format": "date-time", "description": "When.", "examples": ["2026-03-02T09:15:04Z"]},
    "heard_by": {"type": "array", "items": {"type": "string"}, "description": "Ids of who heard it. Absent: nobody.", "examples": [["a"]]},
    "volumes": {"type": "object", "additionalProperties": {"type": "integer"}, "description": "Decibel by id. Absent: none.", "examples": [{"a": 3}]},
    "last_url": {"type": "string", "description": "Where. Absent: nowhere.", "examples": ["x"]}
  }
}`

const file = "dogs.dog.barked.v1.schema.json"

func TestReadEvents_Good(t *testing.T) {
	t.Parallel()
	events, err := readEvents(fstest.MapFS{file: {Data: []byte(good)}})
	if err != nil {
		t.Fatalf("readEvents = %v, want no error", err)
	}
	code, err := renderGo(events)
	if err != nil {
		t.Fatalf("renderGo = %v, want no error", err)
	}
	doc, err := renderAsyncAPI(events)
	if err != nil {
		t.Fatalf("renderAsyncAPI = %v, want no error", err)
	}
	for _, want := range []string{
		"type DogBarked struct {",
		"DogID string `json:\"dog_id\"`",
		"At time.Time `json:\"at\"`",
		"HeardBy []string `json:\"heard_by,omitempty\"`",
		"Volumes map[string]json.RawMessage `json:\"volumes,omitempty\"`",
		"LastURL string `json:\"last_url,omitempty\"`",
		`func (DogBarked) EventType() string { return "dogs.dog.barked.v1" }`,
		"func (e DogBarked) Subject() string { return e.DogID }",
	} {
		if !strings.Contains(string(code), want) {
			t.Errorf("renderGo lacks %q:\n%s", want, code)
		}
	}
	if want := "$ref: ./events/" + file; !strings.Contains(string(doc), want) {
		t.Errorf("renderAsyncAPI lacks %q:\n%s", want, doc)
	}
}

func TestReadEvents_Refused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, old, new, want string }{
		{"file name", "dogs.barked.schema.json", "", "", "file name must be"},
		{"dialect", file, "2020-12", "2019-09", "$schema must be"},
		{"id", file, "event:dogs.dog.barked.v1", "event:cats", "$id must be urn:basisdienste:event:dogs.dog.barked.v1"},
		{"title", file, "DogBarked", "dog barked", "title must be"},
		{"description", file, "A dog barked.", "", "description is missing"},
		{"open object", file, `"additionalProperties": false`, `"additionalProperties": true`, "additionalProperties must be false"},
		{"unknown keyword", file, `"x-subject"`, `"x-object"`, `unknown field "x-object"`},
		{"subject unknown", file, `"x-subject": "dog_id"`, `"x-subject": "cat_id"`, `x-subject "cat_id" must name`},
		{"subject optional", file, `["dog_id", "at"]`, `["at"]`, `x-subject "dog_id" must name`},
		{"required unknown", file, `["dog_id", "at"]`, `["dog_id", "cat_id"]`, `required names "cat_id"`},
		{"required array", file, `["dog_id", "at"]`, `["dog_id", "heard_by"]`, "property heard_by: an array must not be required"},
		{"number", file, `"type": "integer"`, `"type": ""`, "property volumes: an object needs"},
		{"float", file, `"items": {"type": "string"}`, `"items": {"type": "number"}`, "property heard_by: type"},
		{"no example", file, `, "examples": ["x"]`, ``, "property last_url: examples is missing"},
		{"no field description", file, `"Id of the dog."`, `""`, "property dog_id: description is missing"},
		{"camel case", file, `"last_url"`, `"lastURL"`, "property lastURL: name must be snake_case"},
		{"not JSON", file, "{", "[", "invalid character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(good, tt.old, tt.new, 1)
			_, err := readEvents(fstest.MapFS{tt.file: {Data: []byte(text)}})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), tt.file) {
				t.Errorf("readEvents = %v, want %q and the name of the file", err, tt.want)
			}
		})
	}
}

func TestReadEvents_TitleTwice(t *testing.T) {
	t.Parallel()
	second := strings.ReplaceAll(good, "barked.v1", "barked.v2")
	_, err := readEvents(fstest.MapFS{file: {Data: []byte(good)}, strings.Replace(file, "v1", "v2", 1): {Data: []byte(second)}})
	if want := "title DogBarked is already taken by " + file; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("readEvents = %v, want %q", err, want)
	}
}
