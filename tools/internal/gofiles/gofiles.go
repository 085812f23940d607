// Package gofiles finds and parses the Go files of a module without the go command, so
// that no build tag hides a file and no cache answers for it.
package gofiles

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// File is one parsed file.
type File struct {
	Path   string // from the root, with slashes: services/payment/store.go
	Module string // module path of the root
	AST    *ast.File
	fset   *token.FileSet
}

// Dir is the folder of the file, which names its package.
func (f File) Dir() string { return path.Dir(f.Path) }

// Test reports whether the file is compiled for tests only.
func (f File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Line returns the line where the node begins.
func (f File) Line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

// ImportName returns the name by which the file knows the package of our module in the
// folder dir, and "" if it does not import it. Our packages are named as their folders.
func (f File) ImportName(dir string) string {
	for _, spec := range f.AST.Imports {
		switch {
		case Literal(spec.Path) != f.Module+"/"+dir:
		case spec.Name != nil:
			return spec.Name.Name
		default:
			return path.Base(dir)
		}
	}
	return ""
}

// Literal returns the text of a string literal, or of several joined by +, and "" for
// everything else.
func Literal(e ast.Expr) string { return Eval(e, nil) }

// Eval is Literal that also knows the constants.
func Eval(e ast.Expr, constants map[string]string) string {
	switch e := e.(type) {
	case *ast.Ident:
		return constants[e.Name]
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return s
		}
	case *ast.BinaryExpr:
		x, y := Eval(e.X, constants), Eval(e.Y, constants)
		if e.Op == token.ADD && x != "" && y != "" {
			return x + y
		}
	}
	return ""
}

// Constants adds the string constants that the file declares outside functions to all.
func (f File) Constants(all map[string]string) {
	for _, decl := range f.AST.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			values, _ := spec.(*ast.ValueSpec) // in a const group there is nothing else
			for i, v := range values.Values {
				if s := Eval(v, all); s != "" {
					all[values.Names[i].Name] = s
				}
			}
		}
	}
}

// Parse returns the Go files below root in the order of their paths. Modules inside it,
// testdata and folders that the go command ignores are left out. Comments are dropped.
func Parse(root string, mode parser.Mode) ([]File, error) {
	module, err := modulePath(root)
	if err != nil {
		return nil, err
	}
	var files []File
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && ignored(root, name):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		f := File{Path: name, Module: module, fset: token.NewFileSet()}
		if f.AST, err = parser.ParseFile(f.fset, filepath.Join(root, name), nil, mode); err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

func ignored(root, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if base[0] == '.' || base[0] == '_' || base == "testdata" || dir == "data" || dir == "bin" {
		return true
	}
	_, err := os.Stat(filepath.Join(root, dir, "go.mod"))
	return err == nil
}

func modulePath(root string) (string, error) {
	data, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if module, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(module), nil
		}
	}
	return "", errors.New("go.mod has no module line")
}
