// Command speccheck compares the routes in the source with the OpenAPI documents: each
// route is described, and each description has a route.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"

	"basisdienste/tools/internal/gofiles"
)

const usage = `speccheck compares the routes of each service with its OpenAPI documents.

usage: speccheck [--root DIR]

Routes of services/X, its adapters included:
  kit.Route(mux, "METHOD /path", …)   in every file
  mux.Handle("METHOD /path", …)       in transport_http.go; without METHOD or with a path
                                      that ends in / it stands for all operations below it
Pages (pages.go, pages_*.go) and tests are left out.

Operations of X: contracts/openapi/X.yaml and X-*.yaml. The path of the first server comes
before the paths of a document. Names of path parameters may differ.

exit codes: 0 they agree, 1 they do not or a document is not valid, 2 wrong arguments
`

func main() {
	flags := flag.NewFlagSet("speccheck", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	root := flags.String("root", ".", "folder that holds go.mod")
	_ = flags.Parse(os.Args[1:]) // ExitOnError: never returns an error
	if flags.NArg() > 0 {
		flags.Usage()
		os.Exit(2)
	}
	summary, err := check(*root)
	if err != nil {
		fmt.Println(err)
		fmt.Fprintln(os.Stderr, "speccheck: routes and OpenAPI differ")
		os.Exit(1)
	}
	fmt.Println("speccheck:", summary)
}

// check returns how much agrees, or an error with one line for each difference.
func check(root string) (summary string, err error) {
	files, err := gofiles.Parse(root, 0)
	if err != nil {
		return "", err
	}
	routes, routeErrs := findRoutes(files)
	operations, specErrs := readSpecs(root)
	errs := slices.Concat(routeErrs, specErrs)
	for _, r := range routes {
		if !r.described(operations) {
			errs = append(errs, fmt.Errorf("%s: route %s is in no contracts/openapi/%s*.yaml", r.where, r, r.service))
		}
	}
	for _, o := range operations {
		if !o.served(routes) {
			errs = append(errs, fmt.Errorf("%s: operation %s has no route in services/%s", o.where, o, o.service))
		}
	}
	return fmt.Sprintf("%d routes and %d operations agree", len(routes), len(operations)), errors.Join(errs...)
}
