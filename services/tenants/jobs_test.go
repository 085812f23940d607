package tenants

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
)

func TestCatalogueReachesAllTenants_AfterAStop(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		s := service(t, d)
		importCSV(t, s, string(thueringen), true)
		if _, err := s.PutCatalogue(operator(t), CatalogueRequest{Service: "payment", Document: Document(`{"a":1}`)}); err != nil {
			t.Fatalf("PutCatalogue: %v", err)
		}
		sys := db.System(t.Context())
		err := d.Tx(sys, func(tx *db.Tx) error { // one batch, and then the process ends
			n, err := tellSome(sys, tx)
			if n != batchSize {
				t.Errorf("tellSome = %d, %v, want %d", n, err, batchSize)
			}
			return err
		})
		if err != nil {
			t.Fatalf("tellSome: %v", err)
		}
		// Two processes go on with it, and tenants are changed meanwhile.
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if err := s.tellCatalogue(t.Context()); err != nil {
					t.Errorf("tellCatalogue: %v", err)
				}
			})
		}
		wg.Go(func() {
			for i := range 20 {
				if _, err := s.Patch(operator(t), PatchRequest{Slug: "jena", Hosts: &[]string{fmt.Sprintf("h%d.example", i)}}); err != nil {
					t.Errorf("Patch meanwhile: %v", err)
				}
			}
		})
		wg.Wait()
		if err := s.tellCatalogue(t.Context()); err != nil {
			t.Errorf("tellCatalogue with nothing to do: %v", err)
		}
		var left struct {
			Behind int   `db:"behind"`
			Told   int64 `db:"told"`
		}
		err = d.Read(sys, func(tx *db.Tx) error {
			return tx.Get(sys, &left, `SELECT told, (SELECT count(*) FROM tenants WHERE catalogue_revision <> 1) AS behind FROM registry`)
		})
		if err != nil || left.Behind != 0 || left.Told != 1 {
			t.Errorf("after tellCatalogue: %+v, %v, want none behind, revision 1 told", left, err)
		}
		// Jena may have got the catalogue by one of its own changes.
		f := countAll(t, d)
		if n := f.Events - 633; int64(f.Events) != f.Versions || n < 633+20-1 || n > 633+20 {
			t.Errorf("events told = %d, versions %d, want 633 new ones and 20 (or 19) of jena", n, f.Versions)
		}
	})
}

func TestEventsFitTheirSchema(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, sets()...)
	s := service(t, d)
	importCSV(t, s, string(thueringen), false)
	if _, err := s.PutLimits(operator(t), LimitsRequest{Slug: "jena", Document: Document(`{"payment.create":{"rate":1,"burst":2}}`)}); err != nil {
		t.Fatalf("PutLimits: %v", err)
	}
	if _, err := s.PutSettings(operator(t), SettingsRequest{Slug: "jena", Service: "payment", Document: Document(`{"a":{"b":1}}`)}); err != nil {
		t.Fatalf("PutSettings: %v", err)
	}
	text, ok := events.Schema("tenants.tenant.changed.v1")
	if !ok {
		t.Fatal("the event has no schema")
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("event.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("event.json")
	if err != nil {
		t.Fatal(err)
	}
	var payloads []string
	sys := db.System(t.Context())
	if err := d.Read(sys, func(tx *db.Tx) error { return tx.Select(sys, &payloads, `SELECT payload FROM outbox ORDER BY seq`) }); err != nil {
		t.Fatal(err)
	}
	for _, p := range payloads {
		var v any
		if err := json.Unmarshal([]byte(p), &v); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("event %s: %v", p, err)
		}
	}
	if len(payloads) != 192 {
		t.Errorf("events told = %d, want 192", len(payloads))
	}
}

func TestMigrateDownAndUp(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		if err := d.MigrateDown(t.Context(), Migrations()); err != nil {
			t.Fatalf("MigrateDown: %v", err)
		}
		if err := d.Migrate(t.Context(), Migrations()); err != nil {
			t.Fatalf("Migrate again: %v", err)
		}
	})
}
