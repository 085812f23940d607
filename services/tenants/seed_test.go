package tenants

import (
	"encoding/json"
	"testing"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/run"
	"basisdienste/platform/tenantdir"
)

func TestSeed(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, sets()...)
	s := service(t, d)
	var first string
	for range 2 {
		demo := run.Demo{}
		if err := s.seed(t.Context(), demo); err != nil {
			t.Fatalf("seed: %v", err)
		}
		text, err := json.Marshal(demo["tenants"])
		if err != nil {
			t.Fatal(err)
		}
		var list []struct {
			Slug, Name, ARS string
			Keys            []string
		}
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		if len(list) != 4 || list[0].Slug != "erfurt" || list[0].ARS != "160510000000" || list[1].Slug != "jena" ||
			len(list[2].Keys) != 12 || len(list[3].Keys) != 6 {
			t.Errorf("seed told %s, want erfurt, jena, 6 municipalities, 3 municipalities", text)
		}
		if first != "" && first != string(text) {
			t.Errorf("seed again told %s, want %s", text, first)
		}
		first = string(text)
	}
	if f, want := countAll(t, d), (facts{4, 11, 11, 4, 4}); f != want {
		t.Errorf("after two seeds: %+v, want %+v", f, want)
	}
	if x := show(t, s, "kranichfeld"); x.Status != Active {
		t.Errorf("status of a demo tenant = %s, want active", x.Status)
	}
}

// What this service tells is what the directory of every service reads.
func TestDirectoryReadsWhatIsTold(t *testing.T) {
	t.Parallel()
	x := &Tenant{
		ID: "0199b7c2-7d3a-7c11-8e55-2f6f0c9d4a01", Slug: "erfurt", Name: "Erfurt, Stadt", Status: Suspended,
		Keys: []Key{{Key: "160510000000"}, {Key: "16051000"}}, Hosts: []string{"erfurt.example"},
		Settings: map[string]json.RawMessage{"payment": []byte(`{"a":1}`)}, Limits: []byte(`{"payment.create":{"burst":1,"rate":2}}`), Version: 7,
	}
	told, err := snapshot(x, &Catalogue{Settings: map[string]json.RawMessage{"payment": []byte(`{"a":0,"b":2}`)}})
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	text, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	var heard tenantdir.TenantChanged
	if err := json.Unmarshal(text, &heard); err != nil {
		t.Fatalf("the directory reads %s: %v", text, err)
	}
	if heard.EventType() != told.EventType() || heard.Subject() != told.Subject() || (events.TenantChanged{}).EventType() != heard.EventType() {
		t.Errorf("type and subject heard = %s %s, want %s %s", heard.EventType(), heard.Subject(), told.EventType(), told.Subject())
	}
	if heard.ID != x.ID || heard.Slug != x.Slug || heard.Name != x.Name || heard.Status != tenantdir.Suspended || len(heard.Keys) != 2 ||
		len(heard.Hosts) != 1 || heard.Version != 7 || string(heard.Settings["payment"]) != `{"a":1,"b":2}` ||
		string(heard.Limits["payment.create"]) != `{"burst":1,"rate":2}` {
		t.Errorf("heard %+v, want all of %s", heard.Entry, text)
	}
}
