package webtest

import (
	"slices"
	"testing"
	"testing/fstest"

	"basisdienste/platform/web"
)

func TestMissing(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"pages.go": {Data: []byte(`package p

func f() {
	s.T(r, "title")
	s.T(r, "nope", 1)
	p.site.T(r, "state."+x)
	s.T(r, "stage."+x+".y")
	s.T(r, key)
	s.T(r, "web.back")
	s.Other(r, "nope")
}`)},
		"sub/more.go":   {Data: []byte("package sub\n\nvar _ = s.T(r, `gone`)\n")},
		"pages_test.go": {Data: []byte("package p\n\nvar _ = s.T(r, \"only in a test\")\n")},
	}
	got, err := missing(fsys, web.Texts{"title": {"a", "b"}, "state.paid": {"a", "b"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`pages.go:5:2: text "nope" is missing`,
		`pages.go:7:2: text "stage." is missing`,
		`sub/more.go:3:9: text "gone" is missing`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("missing: got %q, want %q", got, want)
	}
}
