// Package webtest finds the texts that a service asks for in Go and its catalogue lacks.
// (package web itself refuses templates that ask for unknown texts.)
package webtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"basisdienste/platform/web"
)

// Texts fails the test for every call x.T(r, "key", …) in the Go files below dir whose key
// the catalogue lacks; of a key put together ("state."+s) the literal beginning is
// checked. Keys of the frame ("web.…") are the frame's own to check.
func Texts(t *testing.T, dir string, texts web.Texts) {
	t.Helper()
	missing, err := missing(os.DirFS(dir), texts)
	if err != nil {
		t.Fatalf("Texts(%s): %v", dir, err)
	}
	for _, m := range missing {
		t.Errorf("Texts(%s): %s", dir, m)
	}
}

func missing(fsys fs.FS, texts web.Texts) ([]string, error) {
	var found []string
	positions := token.NewFileSet()
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(positions, name, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "T" {
				return true
			}
			key, whole := literal(call.Args[1])
			if key != "" && !known(texts, key, whole) {
				found = append(found, fmt.Sprintf("%s: text %q is missing", positions.Position(call.Pos()), key))
			}
			return true
		})
		return nil
	})
	return found, err
}

// literal returns the string that e begins with, and whether it is all of e.
func literal(e ast.Expr) (text string, whole bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil {
			return "", false
		}
		return text, true
	case *ast.BinaryExpr:
		text, _ := literal(e.X)
		return text, false
	}
	return "", false
}

func known(texts web.Texts, key string, whole bool) bool {
	if whole || strings.HasPrefix(key, "web.") {
		_, ok := texts[key]
		return ok || strings.HasPrefix(key, "web.")
	}
	for k := range texts {
		if strings.HasPrefix(k, key) {
			return true
		}
	}
	return false
}
