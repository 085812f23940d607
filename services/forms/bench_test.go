package forms

import (
	"encoding/json"
	"os"
	"testing"
)

// BenchmarkCheck is the part of a submission that grows with the form.
func BenchmarkCheck(b *testing.B) {
	body, err := embedded.ReadFile("catalogue/hundesteuer.json")
	if err != nil {
		b.Fatal(err)
	}
	d, err := parseDefinition(body)
	if err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile("testdata/hundesteuer.json")
	if err != nil {
		b.Fatal(err)
	}
	var a Answers
	if err := json.Unmarshal(text, &a); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if wrong := d.check(a, testDay); len(wrong) > 0 {
			b.Fatal(wrong)
		}
	}
}
