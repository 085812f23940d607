// Command basisctl is the operator's command line: tenants, clients, events and keys of an
// installation, over its HTTP API; and backup and restore of a data folder on this machine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := start(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

const description = `The operator's command line for Basisdienste.

Which installation, and as whom, is said in one of three ways: --demo FILE; --profile NAME;
or --url, --client-id and the secret. Without any, the default profile holds. Profiles stand in
~/.config/basisctl/profiles.yaml:

  default: kiv
  profiles:
    kiv:
      url: https://basisdienste.example.de
      client_id: operations
      client_secret_file: /run/secrets/basisctl

Exit codes: 0 done, 1 refused or failed, 2 wrong arguments.

Examples:

  basisctl --demo data/demo.json tenants import thueringen.csv
  basisctl tenants list --status suspended
  basisctl tenants show 160510000000
  basisctl --json tenants usage erfurt --month 2026-11 | jq .counters
  basisctl backup --data /var/lib/basis --to /backup/basis-$(date +%F).tar.zst`

// commands is what kong parses.
type commands struct {
	access

	JSON     bool   `help:"Print what the service answered, as JSON."`
	Progress string `help:"Show progress of long work: auto (on a terminal), always, never." enum:"auto,always,never" default:"auto"`

	Tenants   tenantsCmd   `cmd:"" help:"Who is a tenant, with which settings, and what it used."`
	Catalogue catalogueCmd `cmd:"" help:"Default settings and limits of all tenants."`
	Clients   clientsCmd   `cmd:"" help:"Clients of the operator, and the tenants that they may act for."`
	Events    eventsCmd    `cmd:"" help:"Events that a service could not handle."`
	Keys      keysCmd      `cmd:"" help:"Signing keys of the issuers."`
	Backup    backupCmd    `cmd:"" help:"Copy the data folder of basis into one file, while basis runs."`
	Restore   restoreCmd   `cmd:"" help:"Make a data folder from a backup, or check one."`

	XBezahldienste xbezahldiensteCmd `cmd:"" name:"xbezahldienste" help:"Payment services of the federal standard."`
}

// app is what a command gets.
type app struct {
	ctx      context.Context
	api      *client
	access   access // for commands that find their own way
	in       io.Reader
	out, err io.Writer
	json     bool
	progress bool
}

// usageError is a mistake in the arguments: exit code 2.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSaid ends with exit code 1 after everything was said.
var errSaid = errors.New("already said")

func start(ctx context.Context, args []string, in io.Reader, out, stderr io.Writer) int {
	var c commands
	parser, err := kong.New(&c, kong.Name("basisctl"), kong.Description(description), kong.Writers(out, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}))
	if err != nil {
		fmt.Fprintln(stderr, "basisctl:", err)
		return 1
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "basisctl: %v\n  see basisctl --help\n", err)
		return 2
	}
	var api *client
	if !local(command.Command()) {
		api, err = c.open()
	}
	if err == nil {
		a := &app{ctx: ctx, api: api, access: c.access, in: in, out: out, err: stderr, json: c.JSON}
		a.progress = c.Progress == "always" || (c.Progress == "auto" && isTerminal(stderr))
		err = command.Run(a)
	}
	return report(err, c.JSON, stderr)
}

// local commands speak to no operator's API: they work on files of this machine, or find
// their own way.
func local(command string) bool {
	return command == "backup" || command == "restore" || command == "xbezahldienste check"
}

// report says what went wrong and returns the exit code.
func report(err error, asJSON bool, stderr io.Writer) int {
	var wrong usageError
	var p *problem
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSaid):
		return 1
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "basisctl: %v\n", wrong.error)
		return 2
	case errors.As(err, &p) && asJSON:
		_ = json.NewEncoder(stderr).Encode(p) // nowhere to report that stderr is gone
		return 1
	case errors.As(err, &p):
		fmt.Fprintf(stderr, "basisctl: %v\n", err)
		p.explain(stderr)
		return 1
	default:
		fmt.Fprintf(stderr, "basisctl: %v\n", err)
		return 1
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
