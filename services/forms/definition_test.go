package forms

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/money"
)

var testDay = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// catalogueForms are the definitions of this build by slug.
func catalogueForms(t *testing.T) map[string]*Definition {
	t.Helper()
	entries, err := embedded.ReadDir("catalogue")
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]*Definition{}
	for _, e := range entries {
		body, err := embedded.ReadFile("catalogue/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		d, err := parseDefinition(body)
		if err != nil {
			t.Fatalf("parseDefinition(%s): %v", e.Name(), err)
		}
		d.Version = 1
		forms[d.Form] = d
	}
	return forms
}

func sample(t *testing.T, form string) Answers {
	t.Helper()
	body, err := os.ReadFile("testdata/" + form + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var a Answers
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCatalogue_samplesAreValid(t *testing.T) {
	t.Parallel()
	for form, d := range catalogueForms(t) {
		a := sample(t, form)
		if got := d.check(a, testDay); len(got) != 0 {
			t.Errorf("%s: check(sample): got %+v, want nothing wrong", form, got)
		}
		if got, want := mustJSON(t, d.clean(a)), mustJSON(t, a); got != want {
			t.Errorf("%s: clean(sample):\ngot  %s\nwant %s: a page asks for every member", form, got, want)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestCatalogue_missingIsReported takes each answer away in turn: one that is asked must be
// reported by its own pointer, by the pages and by the schema alike; an optional one not.
func TestCatalogue_missingIsReported(t *testing.T) {
	t.Parallel()
	for form, d := range catalogueForms(t) {
		full := sample(t, form)
		d.each(full, func(_ *Page, f *Field, pointer string) {
			a := full.clone()
			a.set(pointer, nil)
			got := d.check(a, testDay)
			reported := slices.ContainsFunc(got, func(w fault.Field) bool { return w.Name == pointer && w.Code == "missing" })
			if reported == f.Optional {
				t.Errorf("%s without %s: check reports it: %v, want %v (%+v)", form, pointer, reported, !f.Optional, got)
			}
			bySchema := d.schema.Validate(map[string]any(a)) != nil
			if bySchema == f.Optional {
				t.Errorf("%s without %s: schema refuses it: %v, want %v", form, pointer, bySchema, !f.Optional)
			}
		})
	}
}

func TestCatalogue_wrongAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		form, pointer string
		value         any
		wantName      string
		wantCode      string
	}{
		{"anwohnerparkausweis", "/vehicle/plate", "EFAB123", "/vehicle/plate", "wrong_format"},
		{"anwohnerparkausweis", "/vehicle/plate", "EF-AB 0123", "/vehicle/plate", "wrong_format"},
		{"anwohnerparkausweis", "/vehicle/plate", "EFGH-A 1", "/vehicle/plate", "wrong_format"},
		{"anwohnerparkausweis", "/residence/main", "no", "/residence/main", "unknown_choice"},
		{"anwohnerparkausweis", "/vehicle/owner", "self", "/vehicle/holder", "not_allowed"},
		{"anwohnerparkausweis", "/vehicle/owner", "nobody", "/vehicle/owner", "unknown_choice"},
		{"anwohnerparkausweis", "/vehicle/registration", []any{"no id"}, "/vehicle/registration/0", "wrong_format"},
		{"anwohnerparkausweis", "/vehicle/color", "red", "/vehicle/color", "unknown_field"},
		{"anwohnerparkausweis", "/permit/from", "2026-02-31", "/permit/from", "wrong_format"},
		{"anwohnerparkausweis", "/applicant/G60000086/F60000246", "9908", "/applicant/G60000086/F60000246", "wrong_format"},
		{"anwohnerparkausweis", "/applicant/F60000227", " ", "/applicant/F60000227", "wrong_format"},
		{"anwohnerparkausweis", "/applicant/G60000085/F60000242", "kim", "/applicant/G60000085/F60000242", "wrong_format"},
		{"anwohnerparkausweis", "/applicant/G60000083/F60000231", json.Number("31.5"), "/applicant/G60000083/F60000231", "wrong_type"},
		{"anwohnerparkausweis", "/applicant/G60000083/F60000233", json.Number("2027"), "/applicant/G60000083", "in_future"},
		{"hundesteuer", "/dogs/0/chip", "27609810612345", "/dogs/0/chip", "wrong_format"},
		{"hundesteuer", "/dogs/1/dangerous", "no", "/dogs/1/permission", "not_allowed"},
		{"hundesteuer", "/dogs/0/dangerous", "yes", "/dogs/0/permission", "missing"},
		{"hundesteuer", "/dogs/0/since", "2026-11-24", "/dogs/0/since", "in_future"},
		{"hundesteuer", "/dogs", nil, "/dogs", "missing"},
		{"meldebescheinigung", "/certificate/copies", json.Number("6"), "/certificate/copies", "too_large"},
		{"meldebescheinigung", "/certificate/copies", "1", "/certificate/copies", "wrong_type"},
		{"meldebescheinigung", "/certificate/kind", "simple", "/certificate/data", "not_allowed"},
	}
	forms := catalogueForms(t)
	for _, tt := range tests {
		a := sample(t, tt.form)
		a.set(tt.pointer, tt.value)
		got := forms[tt.form].check(a, testDay)
		if !slices.ContainsFunc(got, func(w fault.Field) bool { return w.Name == tt.wantName && w.Code == tt.wantCode }) {
			t.Errorf("check(%s with %s = %v): got %+v, want %s %s", tt.form, tt.pointer, tt.value, got, tt.wantName, tt.wantCode)
		}
	}
	dogs := sample(t, "hundesteuer")
	first := dogs.at("/dogs/0")
	for range 9 {
		dogs["dogs"] = append(dogs["dogs"].([]any), first)
	}
	if got := forms["hundesteuer"].check(dogs, testDay); len(got) != 1 || got[0].Name != "/dogs" || got[0].Code != "too_many" {
		t.Errorf("check(eleven dogs): got %+v, want /dogs too_many", got)
	}
}

func TestDefinition_birthdateMustExist(t *testing.T) {
	t.Parallel()
	a := sample(t, "hundesteuer")
	a.set("/applicant/G60000083/F60000231", json.Number("31"))
	a.set("/applicant/G60000083/F60000232", json.Number("2"))
	got := catalogueForms(t)["hundesteuer"].check(a, testDay)
	if len(got) != 1 || got[0].Name != "/applicant/G60000083" || got[0].Code != "wrong_format" {
		t.Errorf("check(born 31 February): got %+v, want /applicant/G60000083 wrong_format", got)
	}
}

func TestDefinition_cleanForgetsWhatIsNotAsked(t *testing.T) {
	t.Parallel()
	d := catalogueForms(t)["anwohnerparkausweis"]
	a := sample(t, "anwohnerparkausweis")
	a.set("/vehicle/owner", "self")
	clean := d.clean(a)
	if clean.at("/vehicle/holder") != nil || clean.at("/vehicle/permission") != nil {
		t.Errorf("clean(owner self): got %s, want neither holder nor permission", mustJSON(t, clean))
	}
	if got := d.check(clean, testDay); len(got) != 0 {
		t.Errorf("check(clean(owner self)): got %+v, want nothing wrong", got)
	}
}

func TestDefinition_amount(t *testing.T) {
	t.Parallel()
	forms := catalogueForms(t)
	tests := []struct {
		form, pointer string
		value         any
		want          money.Amount
	}{
		{"anwohnerparkausweis", "/permit/years", "1", 3070},
		{"anwohnerparkausweis", "/permit/years", "2", 6140},
		{"hundesteuer", "/dogs/0/name", "Bella", 0},
		{"meldebescheinigung", "/certificate/copies", json.Number("1"), 1000},
		{"meldebescheinigung", "/certificate/copies", json.Number("3"), 3000},
		{"meldebescheinigung", "/certificate/purpose", "pension", 0},
	}
	for _, tt := range tests {
		a := sample(t, tt.form)
		a.set(tt.pointer, tt.value)
		d := forms[tt.form]
		if got := d.amount(Settings{}.fee(d), a); got != tt.want {
			t.Errorf("amount(%s with %s = %v): got %s, want %s", tt.form, tt.pointer, tt.value, got, tt.want)
		}
	}
	own := Settings{Fees: map[string]money.Amount{"anwohnerparkausweis": 2000}}
	if got := own.fee(forms["anwohnerparkausweis"]); got != 2000 {
		t.Errorf("fee with the tenant's own rate: got %s, want 20.00", got)
	}
}

func TestField_value(t *testing.T) {
	t.Parallel()
	tests := []struct {
		field Field
		typed string
		want  string // as JSON
	}{
		{Field{Normalize: "plate"}, " ef ab 123 ", `"EF-AB 123"`},
		{Field{Normalize: "plate"}, "ef-ab123e", `"EF-AB 123E"`},
		{Field{Normalize: "plate"}, "mü - x 1", `"MÜ-X 1"`},
		{Field{Normalize: "plate"}, "EFAB123", `"EFAB123"`},
		{Field{Normalize: "digits"}, "276 098 106 123 456", `"276098106123456"`},
		{Field{Kind: "number"}, "3", `3`},
		{Field{Kind: "number"}, "three", `"three"`},
		{Field{Kind: "number"}, "03", `"03"`},
		{Field{Kind: "checkbox"}, "true", `true`},
		{Field{Kind: "text"}, "", `null`},
		{Field{Kind: "birthdate"}, "1980-05-15", `{"F60000231":15,"F60000232":5,"F60000233":1980}`},
		{Field{Kind: "birthdate"}, "1980-02-31", `"1980-02-31"`},
	}
	for _, tt := range tests {
		if got := mustJSON(t, tt.field.value(tt.typed)); got != tt.want {
			t.Errorf("value(%q) of %s%s: got %s, want %s", tt.typed, tt.field.Kind, tt.field.Normalize, got, tt.want)
		}
	}
}

func TestParseDefinition_namesTheAuthorsMistakes(t *testing.T) {
	t.Parallel()
	body, err := embedded.ReadFile("catalogue/hundesteuer.json")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, old, with, want string }{
		{"a language is missing", `"en": "Breed"`, `"en": ""`, "a language is missing"},
		{"unknown path", `"path": "/breed"`, `"path": "/race"`, "/dogs/0/race: the schema has no such member"},
		{"unknown kind", `"kind": "email"`, `"kind": "mail"`, `kind "mail" is none of`},
		{"options are not the enum", `"enum": ["no", "yes"]`, `"enum": ["no", "yes", "maybe"]`, "are not the schema's"},
		{"condition on nothing", `"path": "./dangerous", "is"`, `"path": "./danger", "is"`, "condition on /dogs/0/danger"},
		{"no such level", `"level": 1`, `"level": 2`, "no STORK level"},
		{"schema refers elsewhere", `"$ref": "#/$defs/dog"`, `"$ref": "https://example.org/dog"`, "other documents are not loaded"},
		{"unknown key", `"minutes"`, `"duration"`, "duration"},
	}
	for _, tt := range tests {
		changed := strings.Replace(string(body), tt.old, tt.with, 1)
		if changed == string(body) {
			t.Errorf("%s: %s is not in the definition", tt.name, tt.old)
			continue
		}
		if _, err := parseDefinition([]byte(changed)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: parseDefinition: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}
