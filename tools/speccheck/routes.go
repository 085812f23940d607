package main

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"strings"

	"basisdienste/tools/internal/gofiles"
)

// endpoint is a route in the source or an operation of a document.
type endpoint struct {
	service string
	method  string // "": every method
	path    string // as written
	where   string // file:line
}

func (e endpoint) String() string { return strings.TrimSpace(e.method + " " + e.path) }

var parameter = regexp.MustCompile(`\{[^{}]*\}`)

// shape is the path without the names of its parameters.
func (e endpoint) shape() string {
	return parameter.ReplaceAllString(strings.TrimSuffix(e.path, "{$}"), "{}")
}

// covers reports whether the route answers the operation.
func (e endpoint) covers(op endpoint) bool {
	if e.service != op.service || (e.method != "" && e.method != op.method && (e.method != "GET" || op.method != "HEAD")) {
		return false
	}
	shape := e.shape()
	return shape == op.shape() || (strings.HasSuffix(e.path, "/") && strings.HasPrefix(op.shape(), shape))
}

func (e endpoint) described(operations []endpoint) bool {
	for _, op := range operations {
		if e.covers(op) {
			return true
		}
	}
	return false
}

func (e endpoint) served(routes []endpoint) bool {
	for _, r := range routes {
		if r.covers(e) {
			return true
		}
	}
	return false
}

// findRoutes returns the routes of all services, and an error for each pattern that cannot
// be read without running the program.
func findRoutes(files []gofiles.File) (routes []endpoint, errs []error) {
	constants := map[string]map[string]string{} // by folder
	for _, f := range files {
		if constants[f.Dir()] == nil {
			constants[f.Dir()] = map[string]string{}
		}
		f.Constants(constants[f.Dir()])
	}
	for _, f := range files {
		service, isService := serviceOf(f)
		if !isService {
			continue
		}
		kit := f.ImportName("platform/kit")
		ast.Inspect(f.AST, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			arg := patternArgument(call, kit, path.Base(f.Path) == "transport_http.go")
			if arg == nil {
				return true
			}
			r := endpoint{service: service, where: fmt.Sprintf("%s:%d", f.Path, f.Line(call))}
			pattern := gofiles.Eval(arg, constants[f.Dir()])
			r.path = pattern
			if method, rest, ok := strings.Cut(pattern, " "); ok {
				r.method, r.path = method, strings.TrimSpace(rest)
			}
			if !strings.HasPrefix(r.path, "/") {
				errs = append(errs, fmt.Errorf(`%s: write the pattern as "METHOD /path", with constants of the package at most`, r.where))
				return true
			}
			routes = append(routes, r)
			return true
		})
	}
	return routes, errs
}

// serviceOf returns X for a file of services/X that may hold routes of its API.
func serviceOf(f gofiles.File) (string, bool) {
	parts := strings.Split(f.Path, "/")
	base := strings.TrimSuffix(path.Base(f.Path), ".go")
	if len(parts) < 3 || parts[0] != "services" || f.Test() || base == "pages" || strings.HasPrefix(base, "pages_") {
		return "", false
	}
	return parts[1], true
}

// patternArgument returns the argument that holds the pattern, or nil if the call
// registers no route.
func patternArgument(call *ast.CallExpr, kit string, transport bool) ast.Expr {
	fun := call.Fun
	switch generic := fun.(type) { // kit.Route[Q, R](…)
	case *ast.IndexExpr:
		fun = generic.X
	case *ast.IndexListExpr:
		fun = generic.X
	}
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	x, _ := sel.X.(*ast.Ident)
	switch {
	case sel.Sel.Name == "Route" && x != nil && kit != "" && x.Name == kit && len(call.Args) > 1:
		return call.Args[1]
	case sel.Sel.Name == "Handle" && transport && len(call.Args) == 2:
		return call.Args[0]
	}
	return nil
}
