package runtest

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// Spec is an OpenAPI document that answers are held against.
type Spec struct {
	router routers.Router
}

// LoadSpec reads a document of contracts/openapi.
func LoadSpec(t testing.TB, file string) *Spec {
	t.Helper()
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromFile(file)
	if err != nil {
		t.Fatalf("runtest: %s: %v", file, err)
	}
	router, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation())
	if err != nil {
		t.Fatalf("runtest: %s: %v", file, err)
	}
	return &Spec{router}
}

// Check fails the test unless the document describes the operation and this answer to it:
// status, media type and body.
func (s *Spec) Check(t testing.TB, method, path string, a Answer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, path, nil)
	if err != nil {
		t.Fatalf("runtest: %v", err)
	}
	route, params, err := s.router.FindRoute(req)
	if err != nil {
		t.Errorf("%s %s is not described: %v", method, path, err)
		return
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	if err := openapi3filter.ValidateResponse(t.Context(), in); err != nil {
		t.Errorf("%s %s: the answer %d is not as described: %v\n%s", method, path, a.Status, err, a.Body)
	}
}
