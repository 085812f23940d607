package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestGenerate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, want, wantErr string }{
		{
			"named", `_ = fault.NotFound("unknown_dog", "there is no dog %q", "Rex")`,
			"## services/dogs\n\n| code | status | text | where |\n| --- | --- | --- | --- |\n" +
				"| `unknown_dog` | 404 Not Found | there is no dog %q | dogs.go |\n", "",
		},
		{
			"new", `_ = fault.New(fault.KindConflict, "dog_taken", "the dog has an owner")`,
			"| `dog_taken` | 409 Conflict | the dog has an owner | dogs.go |\n", "",
		},
		{
			"joined text", `_ = fault.Invalid("bad_dog", "the dog " + "is | bad")`,
			"| `bad_dog` | 400 Bad Request | the dog is \\| bad | dogs.go |\n", "",
		},
		{
			"twice", `_ = fault.Gone("dog_gone", "ran"); _ = fault.Gone("dog_gone", "flew")`,
			"| `dog_gone` | 410 Gone | flew<br>ran | dogs.go |\n", "",
		},
		{"not ours", `_ = errors.New("x")`, "# Error codes", ""},
		{"two kinds", `_ = fault.Gone("dog_gone", "ran"); _ = fault.NotFound("dog_gone", "ran")`, "", `dogs.go:7: code "dog_gone" is NotFound here and Gone in services/dogs/dogs.go:7`},
		{"variable code", `code := "x"; _ = fault.Invalid(code, "text")`, "", "dogs.go:7: code and text of fault.Invalid must be string literals"},
		{"variable text", `text := "x"; _ = fault.New(fault.KindGone, "code", text)`, "", "dogs.go:7: code and text of fault.Gone must be string literals"},
		{"variable kind", `kind := fault.KindGone; _ = fault.New(kind, "code", "text")`, "", "dogs.go:7: the kind of fault.New must be a fault.Kind… constant"},
		{"camel case", `_ = fault.Invalid("badDog", "text")`, "", `dogs.go:7: code "badDog" must be snake_case`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			plant(t, root, "go.mod", "module example\n")
			plant(t, root, "services/dogs/dogs.go", "package dogs\n\nimport \"errors\"\nimport \"example/platform/fault\"\n\nfunc f() {\n\t"+tt.body+"\n}\n")
			plant(t, root, "services/dogs/dogs_test.go", "package dogs\n\nimport \"example/platform/fault\"\n\nvar _ = fault.Invalid(\"Only Tests\", \"text\")\n")
			err := generate(root)
			doc, readErr := os.ReadFile(filepath.Join(root, "docs", "errors.md"))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) || !os.IsNotExist(readErr) {
					t.Errorf("generate = %v, want %q; document: %v, want none", err, tt.wantErr, readErr)
				}
				return
			}
			if err != nil || readErr != nil || !strings.Contains(string(doc), tt.want) {
				t.Errorf("generate = %v, %v, want no error and\n%s\ngot\n%s", err, readErr, tt.want, doc)
			}
		})
	}
}

// TestKinds fails when platform/fault has a constructor or a kind that kinds does not know:
// its codes would be missing from the document.
func TestKinds(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../platform/fault/fault.go")
	if err != nil {
		t.Fatal(err)
	}
	var found int
	for _, pattern := range []string{`(?m)^func (\w+)\(code, format string`, `(?m)^\tKind(\w+) .*//`} {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1) {
			found++
			if _, known := kinds()[m[1]]; !known {
				t.Errorf("kinds() lacks %s", m[1])
			}
		}
	}
	if found < len(kinds()) {
		t.Errorf("found %d constructors and kinds in platform/fault, want at least %d", found, len(kinds()))
	}
}

func plant(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
