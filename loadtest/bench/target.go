package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"basisdienste/platform/db"
	"basisdienste/tools/cluster/local"
)

// target is one installation under test: basis, and its PostgreSQL if it has one.
type target struct {
	name, database string
	p              *process
	cluster        *local.Cluster // nil on SQLite
	sessions       *db.DB         // nil on SQLite; sees what PostgreSQL's sessions do
	places         []place        // whose requests are made in turn; none: the demo's own
	operations     []operation
}

// open starts the installations to compare: on each database a fresh one, and with --tenants
// one of many tenants beside it. Those that it returns have to be stopped, after an error too.
func (r *report) open(ctx context.Context, o options, dir string) (targets []*target, err error) {
	databases := []string{o.Database}
	if o.Database == "both" {
		databases = []string{"sqlite", "postgres"}
	}
	for _, database := range databases {
		for _, file := range slices.Compact([]string{"", o.Tenants}) {
			t := &target{name: database, database: database}
			targets = append(targets, t)
			if err := r.fill(ctx, o, t, filepath.Join(dir, fmt.Sprintf("%s-%d", database, len(targets))), file); err != nil {
				return targets, fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	return targets, nil
}

// fill starts the target's programs in dir and imports municipalities from file, if it names one.
func (r *report) fill(ctx context.Context, o options, t *target, dir, file string) (err error) {
	if err := os.MkdirAll(dir, 0o711); err != nil { // PostgreSQL's user has to get through
		return err
	}
	var env []string
	if t.database == "postgres" {
		if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // PostgreSQL's user has to get through
			return err
		}
		if env, err = t.openPostgres(ctx, dir); err != nil {
			return err
		}
	}
	if t.p, err = startBasis(ctx, o.Basis, filepath.Join(dir, "data"), env...); err != nil {
		return err
	}
	r.note("start", "%s: %d ms to ready on a fresh folder, RSS %d MB", t.name, t.p.started.Milliseconds(), t.p.rssMB())
	if file != "" {
		if err := r.importTenants(ctx, o, t, file, env); err != nil {
			return err
		}
	}
	t.operations, err = operations(ctx, t.p, t.places)
	return err
}

// openPostgres starts a server with the roles and schemas of deploy/postgres, and returns the
// environment of a basis that keeps its tables there. All services are in that process, so that
// it serves as a role of its own, which is not superuser either; the migrations let it in.
func (t *target) openPostgres(ctx context.Context, dir string) (env []string, err error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if t.cluster, err = local.StartPostgres(ctx, local.Options{Dir: filepath.Join(dir, "postgres"), Root: root}); err != nil {
		return nil, err
	}
	for _, sql := range []string{
		"CREATE ROLE basis_one LOGIN NOSUPERUSER NOBYPASSRLS", "GRANT CONNECT ON DATABASE basis TO basis_one",
		"CREATE ROLE basis_watch LOGIN NOSUPERUSER NOBYPASSRLS IN ROLE pg_monitor", "GRANT CONNECT ON DATABASE basis TO basis_watch",
	} {
		if _, err := t.cluster.SQL(ctx, sql); err != nil {
			return nil, err
		}
	}
	if t.sessions, err = db.Open(ctx, db.Config{URL: t.cluster.DatabaseURL("watch"), Schema: "public", Conns: 1}); err != nil {
		return nil, err
	}
	return []string{"BASIS_SERVER__DATABASE__URL=" + t.cluster.DatabaseURL("one"), "BASIS_SERVER__DATABASE__OWNER_URL=" + t.cluster.DatabaseURL("owner")}, nil
}

// importTenants imports municipalities and starts the process again: with all of them, its
// start and its memory are what counts.
func (r *report) importTenants(ctx context.Context, o options, t *target, file string, env []string) (err error) {
	if file, t.places, err = municipalities(file, filepath.Dir(t.p.data)); err != nil {
		return err
	}
	began := time.Now()
	demo := filepath.Join(t.p.data, "demo.json")
	out, err := exec.CommandContext(ctx, o.Basisctl, "--demo", demo, "tenants", "import", "--each", "--active", file).CombinedOutput()
	// Status 1 with lines that name rows: the demo's shared tenants keep their municipalities.
	var refused *exec.ExitError
	if err != nil && (!errors.As(err, &refused) || refused.ExitCode() != 1 || !bytes.Contains(out, []byte("shared_tenant"))) {
		return fmt.Errorf("import: %w\n%s", err, out)
	}
	imported := time.Since(began)
	if out, err := exec.CommandContext(ctx, o.Basisctl, "--demo", demo, "clients", "enable", "efa-demo", "--all").CombinedOutput(); err != nil {
		return fmt.Errorf("enable the demo's client: %w\n%s", err, out)
	}
	t.name += fmt.Sprintf(", %d municipalities", len(t.places))
	r.note("import", "%s: %s, %d rows refused", t.name, imported.Round(time.Millisecond), bytes.Count(out, []byte("shared_tenant")))
	if err := t.p.settle(ctx); err != nil {
		return err
	}
	if err := t.p.stop(); err != nil {
		return err
	}
	if t.p, err = startBasis(ctx, o.Basis, t.p.data, env...); err != nil {
		return err
	}
	r.note("all tenants", "%s: %d ms to ready, RSS %d MB right after it", t.name, t.p.started.Milliseconds(), t.p.rssMB())
	return nil
}

func (t *target) stop() error {
	var errs []error
	if t.p != nil {
		errs = append(errs, t.p.stop())
	}
	if t.sessions != nil {
		errs = append(errs, t.sessions.Close())
	}
	if t.cluster != nil {
		errs = append(errs, t.cluster.Stop())
	}
	return errors.Join(errs...)
}
