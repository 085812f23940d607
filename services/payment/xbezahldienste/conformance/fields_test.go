package conformance

import (
	"testing"
	"time"
)

// What the mutants expect is what the schema says of them.
func TestMutants(t *testing.T) {
	t.Parallel()
	schemas, err := loadSchemas()
	if err != nil {
		t.Fatal(err)
	}
	s := &session{Target: Target{Clock: time.Now}, schemas: schemas, prefix: "check-0123456789abcdef"}
	for name, body := range map[string]object{"individual": s.plain(), "organization": s.ofOrganization(), "legacy": s.ofLegacy()} {
		if wrong := fits(schemas, "PaymentRequest", edited(body, func(object) {})); wrong != "" {
			t.Errorf("the request of an %s breaks the schema at %s", name, wrong)
		}
	}
	all := s.mutants()
	seen := map[string]bool{}
	for _, m := range all {
		wrong := fits(schemas, "PaymentRequest", edited(m.body(), func(object) {}))
		if m.valid != (wrong == "") {
			t.Errorf("%s (%s): valid = %t, the schema says %q", m.id, m.what, m.valid, wrong)
		}
		if seen[m.id] {
			t.Errorf("%s is there twice", m.id)
		}
		seen[m.id] = true
	}
	if len(all) < 150 {
		t.Errorf("%d mutants, want 150 or more", len(all))
	}
	for _, want := range []string{"request.requestId.missing", "item.quantity.fraction", "legacyAddress.country.longer", "organization.name.longest"} {
		if !seen[want] {
			t.Errorf("no mutant %s", want)
		}
	}
}
