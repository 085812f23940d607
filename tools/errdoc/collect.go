package main

import (
	"fmt"
	"go/ast"
	"regexp"
	"strings"

	"basisdienste/platform/fault"
	"basisdienste/tools/internal/gofiles"
)

const faultDir = "platform/fault"

// use is one place where an error is made.
type use struct {
	Code string
	Kind string // Invalid
	Text string // format string
	File string
	Line int
}

// kinds maps the constructors of platform/fault to their kinds. TestKinds fails when one
// is missing.
func kinds() map[string]fault.Kind {
	return map[string]fault.Kind{
		"Internal":         fault.KindInternal,
		"Invalid":          fault.KindInvalid,
		"Unauthenticated":  fault.KindUnauthenticated,
		"Forbidden":        fault.KindForbidden,
		"NotFound":         fault.KindNotFound,
		"MethodNotAllowed": fault.KindMethodNotAllowed,
		"Conflict":         fault.KindConflict,
		"Gone":             fault.KindGone,
		"TooLarge":         fault.KindTooLarge,
		"Unsupported":      fault.KindUnsupported,
		"Unprocessable":    fault.KindUnprocessable,
		"RateLimited":      fault.KindRateLimited,
		"Unavailable":      fault.KindUnavailable,
		"TooSlow":          fault.KindTooSlow,
	}
}

var snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// collect returns the uses in the order of the files, and an error for every call whose
// code or text is not a literal.
func collect(files []gofiles.File) (uses []use, errs []error) {
	for _, f := range files {
		name := f.ImportName(faultDir)
		if f.Test() || (name == "" && f.Dir() != faultDir) {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			kind, args := constructor(call, name)
			if kind == "" && args == nil {
				return true
			}
			u := use{Kind: kind, File: f.Path, Line: f.Line(call)}
			if len(args) > 1 {
				u.Code, u.Text = gofiles.Literal(args[0]), gofiles.Literal(args[1])
			}
			_, known := kinds()[kind]
			switch {
			case f.Dir() == faultDir && u.Code == "": // the constructors themselves
			case !known:
				errs = append(errs, fmt.Errorf("%s:%d: the kind of fault.New must be a fault.Kind… constant", u.File, u.Line))
			case u.Code == "" || u.Text == "":
				errs = append(errs, fmt.Errorf("%s:%d: code and text of fault.%s must be string literals, or they cannot be documented", u.File, u.Line, kind))
			case !snake.MatchString(u.Code):
				errs = append(errs, fmt.Errorf("%s:%d: code %q must be snake_case", u.File, u.Line, u.Code))
			default:
				uses = append(uses, u)
			}
			return true
		})
	}
	return uses, errs
}

// constructor returns the kind that the call makes and the arguments from the code on; the
// kind is "" if the call makes no fault. pkg is the name of platform/fault in the file, ""
// inside platform/fault. A call of New with a kind that is no constant has an unknown kind.
func constructor(call *ast.CallExpr, pkg string) (kind string, args []ast.Expr) {
	fn, ok := qualified(call.Fun, pkg)
	if !ok {
		return "", nil
	}
	args = call.Args
	if fn == "New" && len(args) > 0 {
		name, _ := qualified(args[0], pkg)
		return strings.TrimPrefix(name, "Kind"), args[1:]
	}
	if _, known := kinds()[fn]; !known {
		return "", nil
	}
	return fn, args
}

// qualified returns Name of pkg.Name, or of plain Name where pkg is "".
func qualified(e ast.Expr, pkg string) (string, bool) {
	if pkg == "" {
		id, ok := e.(*ast.Ident)
		if !ok {
			return "", false
		}
		return id.Name, true
	}
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	x, ok := sel.X.(*ast.Ident)
	return sel.Sel.Name, ok && x.Name == pkg
}

// conflicts returns an error for every code that has two kinds.
func conflicts(uses []use) (errs []error) {
	first := map[string]use{}
	for _, u := range uses {
		before, seen := first[u.Code]
		switch {
		case !seen:
			first[u.Code] = u
		case before.Kind != u.Kind:
			errs = append(errs, fmt.Errorf("%s:%d: code %q is %s here and %s in %s:%d; a code means one thing",
				u.File, u.Line, u.Code, u.Kind, before.Kind, before.File, before.Line))
		}
	}
	return errs
}
