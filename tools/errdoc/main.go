// Command errdoc writes docs/errors.md: every error code that may reach a client, found by
// parsing the calls of platform/fault.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"basisdienste/tools/internal/gofiles"
)

const usage = `errdoc writes docs/errors.md, the list of all error codes, from the source.

usage: errdoc [--root DIR]

It reads the calls fault.<Kind>("code", "text", …) and fault.New(fault.Kind<Kind>, "code",
"text", …) of all packages, tests aside. A code is snake_case, a literal, and has one kind
everywhere.

exit codes: 0 written, 1 a call breaks a rule (nothing is written), 2 wrong arguments
`

func main() {
	flags := flag.NewFlagSet("errdoc", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	root := flags.String("root", ".", "folder that holds go.mod")
	_ = flags.Parse(os.Args[1:]) // ExitOnError: never returns an error
	if flags.NArg() > 0 {
		flags.Usage()
		os.Exit(2)
	}
	if err := generate(*root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		fmt.Fprintln(os.Stderr, "errdoc: nothing written")
		os.Exit(1)
	}
}

// generate writes the document, or nothing if a call breaks a rule.
func generate(root string) error {
	files, err := gofiles.Parse(root, 0)
	if err != nil {
		return err
	}
	uses, errs := collect(files)
	if err := errors.Join(append(errs, conflicts(uses)...)...); err != nil {
		return err
	}
	doc := render(uses)
	name := filepath.Join(root, "docs", "errors.md")
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, doc) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, doc, 0o644)
}
