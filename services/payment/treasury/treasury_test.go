package treasury_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"

	"basisdienste/platform/db"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment/camt/camttest"
	"basisdienste/services/payment/settlement"
	"basisdienste/services/payment/treasury"
)

func TestTreasury_OtherTenantSeesNothing(t *testing.T) {
	each(t, func(t *testing.T, g *rig) {
		claim := g.claim(1, 3070)
		jena := g.Tenant("jena", "160530000000")
		s := g.imported("camt.053.001.02", camttest.Statement{ID: "S", Entries: []camttest.Entry{in("fremd "+claim.Kassenzeichen, 3070)}})
		g.at(november.AddDate(0, 0, 1))
		g.Do("GET", base+"/closings/2026-11-20", g.token, nil)
		other := g.program(jena, treasury.Scope)
		at := func(path string) runtest.Answer {
			return g.Do("GET", strings.Replace(base, "erfurt", "jena", 1)+path, other, nil)
		}
		for _, path := range []string{"/statements/" + s.ID, "/statements/" + s.ID + "/entries"} {
			if a := at(path); a.Status != http.StatusNotFound || !strings.Contains(string(a.Body), "unknown_statement") {
				t.Errorf("GET %s as another tenant = %d %s, want 404 unknown_statement", path, a.Status, a.Body)
			}
		}
		if a := at("/statements"); string(a.Body) != "{\"items\":[]}\n" {
			t.Errorf("GET statements as another tenant = %s, want none", a.Body)
		}
		if a := at("/closings/2026-11-20"); !strings.Contains(string(a.Body), `"number":1`) || strings.Contains(string(a.Body), "30.7") {
			t.Errorf("GET closing as another tenant = %s, want its own first one, with nothing in it", a.Body)
		}
		if a := at("/exports/payments?from=2026-11-20&to=2026-11-20&format=json"); !strings.Contains(string(a.Body), `"count":0`) {
			t.Errorf("GET export as another tenant = %s, want nothing in it", a.Body)
		}
		// Its bank statement cannot pay another one's claim.
		a := g.Do("POST", strings.Replace(base, "erfurt", "jena", 1)+"/statements", other,
			camttest.String("camt.053.001.02", camttest.Statement{ID: "S", Entries: []camttest.Entry{in(claim.Kassenzeichen, 3070)}}), "Content-Type", "application/xml")
		if !strings.Contains(string(a.Body), `"matched":0`) {
			t.Errorf("import as another tenant = %s, want nothing matched", a.Body)
		}
	})
}

// Every answer is as the OpenAPI document says.
func TestContract(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	doc, err := openapi3.NewLoader().LoadFromFile("../../../contracts/openapi/payment-treasury.yaml")
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	paid := g.claim(1, 3070)
	text := camttest.String("camt.053.001.02", camttest.Statement{ID: "S", Entries: []camttest.Entry{in(paid.Kassenzeichen, 3070), in("unbekannt 12345", 1)}})
	g.save(g.erfurt, payout("po_1", paid))
	g.dispute(g.erfurt, settlement.Dispute{Provider: "stripe", ID: "dp_1", Transaction: paid.ID, Currency: "EUR", State: settlement.Lost, CreatedAt: db.NewTime(november), ReadAt: db.NewTime(november)})
	id := ""
	for _, q := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/statements", text, 201},
		{"POST", "/statements", text, 409},
		{"POST", "/statements", text[1:], 422},
		{"GET", "/statements", "", 200},
		{"GET", "/statements/{id}", "", 200},
		{"GET", "/statements/{id}/entries?matched=true", "", 200},
		{"GET", "/statements/{id}/entries?matched=false&limit=1", "", 200},
		{"GET", "/closings/2026-11-20", "", 200},
		{"GET", "/closings/2026-11-19", "", 200},
		{"GET", "/exports/payments?from=2026-11-20&to=2026-11-20&format=json", "", 409},
		{"GET", "/exports/claims?from=2026-11-18&to=2026-11-19&format=json", "", 200},
		{"GET", "/settlements?state=paid", "", 200},
		{"GET", "/settlements/stripe/po_1", "", 200},
		{"GET", "/settlements/stripe/po_2", "", 404},
		{"GET", "/disputes", "", 200},
	} {
		path := base + strings.Replace(q.path, "{id}", id, 1)
		a := g.Do(q.method, path, g.token, q.body, "Content-Type", "application/xml")
		r, err := http.NewRequestWithContext(t.Context(), q.method, path, strings.NewReader(q.body))
		if err != nil {
			t.Fatal(err)
		}
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Fatalf("%s %s is not in the document: %v", q.method, q.path, err)
		}
		out := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
			Status:                 a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body)),
		}
		if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil || a.Status != q.status {
			t.Errorf("%s %s = %d, want %d as in the document: %v\n%s", q.method, q.path, a.Status, q.status, err, a.Body)
		}
		if id == "" {
			var made struct{ Items []statement }
			a.JSON(t, &made)
			id = made.Items[0].ID
		}
	}
}
