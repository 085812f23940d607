package main

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// goFile is what the rules need to know of one file.
type goFile struct {
	Path    string // services/payment/store.go
	Dir     string // services/payment
	Package string // name in the package clause
	Imports []imported
}

// imported is one import of a package of our module.
type imported struct {
	Dir  string // platform/db
	Line int
}

// Test reports whether the file is compiled for tests only.
func (f goFile) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// readTree parses the imports of all Go files of the module at root. Modules inside it,
// testdata and folders that the go command ignores are left out.
func readTree(root string) ([]goFile, error) {
	module, err := modulePath(root)
	if err != nil {
		return nil, err
	}
	var files []goFile
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && ignored(root, name):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		f, err := readFile(root, name, module)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed while we were reading
		}
		files = append(files, f)
		return err
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

func readFile(root, name, module string) (goFile, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, filepath.Join(root, name), nil, parser.ImportsOnly)
	if err != nil {
		return goFile{}, err
	}
	f := goFile{Path: name, Dir: path.Dir(name), Package: parsed.Name.Name}
	for _, spec := range parsed.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return goFile{}, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		if dir, ours := strings.CutPrefix(target, module+"/"); ours {
			f.Imports = append(f.Imports, imported{Dir: dir, Line: fset.Position(spec.Pos()).Line})
		}
	}
	return f, nil
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
