package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// readSpecs returns the operations of all documents in contracts/openapi, and an error for
// each document that is not valid OpenAPI or belongs to no service.
func readSpecs(root string) (operations []endpoint, errs []error) {
	names, err := filepath.Glob(filepath.Join(root, "contracts", "openapi", "*.yaml"))
	if err != nil {
		return nil, []error{err}
	}
	for _, name := range names {
		service, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(name), ".yaml"), "-")
		show := path.Join("contracts/openapi", filepath.Base(name))
		if _, err := os.Stat(filepath.Join(root, "services", service)); err != nil {
			errs = append(errs, fmt.Errorf("%s:1: there is no services/%s; name it <service>.yaml or <service>-<what>.yaml", show, service))
			continue
		}
		ops, err := readSpec(name, service, show)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:1: %w", show, err))
		}
		operations = append(operations, ops...)
	}
	return operations, errs
}

func readSpec(name, service, show string) ([]endpoint, error) {
	loader := openapi3.NewLoader()
	loader.IncludeOrigin = true
	loader.IsExternalRefsAllowed = true
	doc, err := loader.LoadFromFile(name)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	prefix, err := serverPath(doc)
	if err != nil {
		return nil, err
	}
	var operations []endpoint
	for _, p := range doc.Paths.Keys() {
		all := doc.Paths.Value(p).Operations()
		methods := make([]string, 0, len(all))
		for method := range all {
			methods = append(methods, method)
		}
		slices.Sort(methods)
		for _, method := range methods {
			line := 1
			if o := all[method].Origin; o != nil && o.Key != nil {
				line = o.Key.Line
			}
			operations = append(operations, endpoint{service, method, prefix + p, fmt.Sprintf("%s:%d", show, line)})
		}
	}
	return operations, nil
}

// serverPath returns the path of the first server: what stands before every path.
func serverPath(doc *openapi3.T) (string, error) {
	if len(doc.Servers) == 0 {
		return "", nil
	}
	text := doc.Servers[0].URL
	if host, rest, ok := strings.Cut(text, "}/"); ok && strings.HasPrefix(host, "{") { // {baseUrl}/path
		text = "/" + rest
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("servers[0].url: %w", err)
	}
	if strings.HasPrefix(u.Path, "{") { // {baseUrl}
		return "", nil
	}
	return strings.TrimSuffix(u.Path, "/"), nil
}
