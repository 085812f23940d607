// Command eventgen turns the event schemas in contracts/events into Go types and into
// contracts/asyncapi.yaml, so that a schema is the only place where an event is described.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

const usage = `eventgen turns the event schemas into Go types and an AsyncAPI document.

usage: eventgen [--root DIR]

reads   DIR/contracts/events/<service>.<thing>.<verb>.v<N>.schema.json
writes  DIR/contracts/gen/events/events.go
        DIR/contracts/asyncapi.yaml

exit codes: 0 written, 1 a schema breaks the rules, 2 wrong arguments
`

func main() {
	flags := flag.NewFlagSet("eventgen", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	root := flags.String("root", ".", "folder that holds go.mod")
	_ = flags.Parse(os.Args[1:]) // ExitOnError: never returns an error
	if flags.NArg() > 0 {
		flags.Usage()
		os.Exit(2)
	}
	if err := generate(*root); err != nil {
		fmt.Fprintln(os.Stderr, "eventgen:", err)
		os.Exit(1)
	}
}

// generate writes both files, or none if a schema breaks the rules.
func generate(root string) error {
	events, err := readEvents(os.DirFS(filepath.Join(root, "contracts", "events")))
	if err != nil {
		return err
	}
	code, err := renderGo(events)
	if err != nil {
		return err
	}
	doc, err := renderAsyncAPI(events)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(root, "contracts", "gen", "events", "events.go"), code); err != nil {
		return err
	}
	return write(filepath.Join(root, "contracts", "asyncapi.yaml"), doc)
}

// write leaves an unchanged file alone, so that build caches stay warm.
func write(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
