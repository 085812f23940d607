package forms

import (
	"encoding/json"
	"testing"
)

func TestAnswers_set(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, before, pointer string
		value                 any
		want                  string
	}{
		{"makes objects on the way", `{}`, "/a/b/c", "x", `{"a":{"b":{"c":"x"}}}`},
		{"replaces", `{"a":{"b":1,"c":2}}`, "/a/b", "x", `{"a":{"b":"x","c":2}}`},
		{"removes", `{"a":{"b":1,"c":2}}`, "/a/b", nil, `{"a":{"c":2}}`},
		{"removes what became empty", `{"a":{"b":{"c":1}}}`, "/a/b/c", "", `{}`},
		{"removing nothing makes nothing", `{}`, "/a/b", nil, `{}`},
		{"removing from no list makes none", `{}`, "/a/0/b", nil, `{}`},
		{"begins a list", `{}`, "/a/0/b", "x", `{"a":[{"b":"x"}]}`},
		{"adds to a list", `{"a":[{"b":"x"}]}`, "/a/1/b", "y", `{"a":[{"b":"x"},{"b":"y"}]}`},
		{"leaves no gaps", `{"a":[{"b":"x"}]}`, "/a/3/b", "y", `{"a":[{"b":"x"}]}`},
		{"keeps big numbers", `{"a":12345678901234567890}`, "/b", "x", `{"a":12345678901234567890,"b":"x"}`},
	}
	for _, tt := range tests {
		var a Answers
		if err := json.Unmarshal([]byte(tt.before), &a); err != nil {
			t.Fatal(err)
		}
		a.set(tt.pointer, tt.value)
		if got := mustJSON(t, a); got != tt.want {
			t.Errorf("%s: set(%s, %v) of %s: got %s, want %s", tt.name, tt.pointer, tt.value, tt.before, got, tt.want)
		}
	}
}

func TestAnswers_removeItem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		index int
		want  string
	}{{0, `{"a":["y"]}`}, {1, `{"a":["x"]}`}, {2, `{"a":["x","y"]}`}, {-1, `{"a":["x","y"]}`}} {
		a := Answers{"a": []any{"x", "y"}}
		a.removeItem("/a", tt.index)
		if got := mustJSON(t, a); got != tt.want {
			t.Errorf("removeItem(%d): got %s, want %s", tt.index, got, tt.want)
		}
	}
	one := Answers{"a": []any{"x"}}
	one.removeItem("/a", 0)
	if got := mustJSON(t, one); got != `{}` {
		t.Errorf("removing the last item: got %s, want {}", got)
	}
}

// FuzzCheck: whatever a client sends as answers is checked or refused, never a panic; what
// is found to be right stays right when only what is asked is kept.
func FuzzCheck(f *testing.F) {
	body, err := embedded.ReadFile("catalogue/hundesteuer.json")
	if err != nil {
		f.Fatal(err)
	}
	d, err := parseDefinition(body)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{`{}`, `{"dogs":[{"name":"Bello","dangerous":"yes"}]}`, `{"dogs":{"0":1}}`, `{"applicant":{"G60000083":[1,2,3]}}`, `{"dogs":[[],null,7]}`} {
		f.Add(seed, "/dogs/0/name", "x")
	}
	f.Fuzz(func(t *testing.T, text, pointer, value string) {
		var a Answers
		if json.Unmarshal([]byte(text), &a) != nil || a == nil {
			return
		}
		if len(d.check(a, testDay)) == 0 && len(d.check(d.clean(a), testDay)) != 0 {
			t.Errorf("answers %s are right, cleaned they are not", text)
		}
		a.set(pointer, value)
		_ = a.text(pointer)
		m := Matter{Application: &Application{Answers: a}, Def: d}
		_ = m.sections("de")
		_ = d.amount(1, a)
		_ = d.contact(a)
	})
}
