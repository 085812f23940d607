// Command archtest checks who may import whom (DESIGN, section 3). It parses the files
// instead of asking `go list`, so it sees every file whatever its build tags, and its
// answer is never a cached one.
package main

import (
	"flag"
	"fmt"
	"go/parser"
	"os"

	"basisdienste/tools/internal/gofiles"
)

const usage = `archtest checks who may import whom.

usage: archtest [--root DIR]

  - a service imports its own packages, platform and contracts/gen, never another service
  - an adapter (a package below services/X) imports its service, never the reverse
  - platform imports neither services nor contracts; inside it imports go down only
  - contracts import nothing of ours but contracts
  - nothing imports tools or loadtest
  - test helpers are imported by tests only

exit codes: 0 all keep the rules, 1 somebody breaks one, 2 wrong arguments
`

func main() {
	flags := flag.NewFlagSet("archtest", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	root := flags.String("root", ".", "folder that holds go.mod")
	_ = flags.Parse(os.Args[1:]) // ExitOnError: never returns an error
	if flags.NArg() > 0 {
		flags.Usage()
		os.Exit(2)
	}
	files, err := gofiles.Parse(*root, parser.ImportsOnly)
	if err != nil {
		fmt.Fprintln(os.Stderr, "archtest:", err)
		os.Exit(1)
	}
	var broken int
	for _, f := range files {
		for _, v := range check(f) {
			fmt.Println(v)
			broken++
		}
	}
	if broken > 0 {
		fmt.Fprintf(os.Stderr, "archtest: %d imports break a rule\n", broken)
		os.Exit(1)
	}
	fmt.Printf("archtest: %d files keep the rules\n", len(files))
}
