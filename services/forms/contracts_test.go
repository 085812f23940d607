package forms

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"basisdienste/contracts/gen/events"
	"basisdienste/platform/db"
	"basisdienste/platform/runtest"
)

// apiDocument is the OpenAPI document, read once.
var apiDocument = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("../../contracts/openapi/forms.yaml")
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc)
})

// Do is runtest's, and holds every answer of the API against the document.
func (n *town) Do(t *testing.T, method, path, token string, body any, headers ...string) runtest.Answer {
	t.Helper()
	a := n.Env.Do(method, path, token, body, headers...)
	if !strings.Contains(path, "/forms/v1/") {
		return a
	}
	router, err := apiDocument()
	if err != nil {
		t.Fatalf("OpenAPI document: %v", err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	route, params, err := router.FindRoute(r)
	if err != nil {
		t.Errorf("%s %s is not in the document: %v", method, path, err)
		return a
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body))}
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil && !strings.Contains(path, "/files/") { // bytes have no schema
		t.Errorf("%s %s: answer %d breaks the document: %v\n%s", method, path, a.Status, err, a.Body)
	}
	return a
}

// told counts the events of the application in the outbox, by type. Each is held against its
// schema, and none may say who the applicant is.
func (n *town) told(t *testing.T, appID string) map[string]int {
	t.Helper()
	ctx := runtest.Context(t, n.erfurt)
	var rows []struct {
		Type    string `db:"type"`
		Payload string `db:"payload"`
	}
	err := n.Process.Host("forms").DB.Read(ctx, func(tx *db.Tx) error {
		return tx.Select(ctx, &rows, `SELECT type, payload FROM outbox WHERE tenant_id = ? AND subject = ?`, tx.Tenant(), appID)
	})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, r := range rows {
		counts[strings.TrimSuffix(strings.TrimPrefix(r.Type, "forms.application."), ".v1")]++
		schema, ok := events.Schema(r.Type)
		if !ok {
			t.Errorf("event %s has no schema", r.Type)
			continue
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource(r.Type, doc); err != nil {
			t.Fatal(err)
		}
		payload, err := jsonschema.UnmarshalJSON(strings.NewReader(r.Payload))
		if err == nil {
			err = c.MustCompile(r.Type).Validate(payload)
		}
		if err != nil {
			t.Errorf("event %s breaks its schema: %v\n%s", r.Type, err, r.Payload)
		}
		if strings.Contains(r.Payload, "Kim") || strings.Contains(r.Payload, "kim") || strings.Contains(r.Payload, "EF-AB") {
			t.Errorf("event %s holds personal data: %s", r.Type, r.Payload)
		}
	}
	return counts
}
