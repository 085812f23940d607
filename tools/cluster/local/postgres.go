package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"basisdienste/platform/pgserver"
	"basisdienste/platform/run"
)

// openPostgres makes the server with a role for each service and one that owns everything.
func (c *Cluster) openPostgres(ctx context.Context) error {
	bin, err := pgserver.Programs()
	if err != nil {
		return err
	}
	address, err := c.ports.next(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(c.opts.Dir, "postgres")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	as, err := pgserver.User()
	if err != nil {
		return err
	}
	if as != nil {
		// The server's user has to reach its folder.
		if err := errors.Join(os.Chown(dir, int(as.Uid), int(as.Gid)), os.Chmod(c.opts.Dir, 0o711)); err != nil {
			return err
		}
		if err := reachable(c.opts.Dir); err != nil {
			return err
		}
	}
	data := filepath.Join(dir, "data")
	command := func(name string, args ...string) error {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: as}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", name, err, out)
		}
		return nil
	}
	_, err = os.Stat(data)
	fresh := errors.Is(err, os.ErrNotExist)
	if fresh {
		if err := command("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"); err != nil {
			return err
		}
	}
	c.Postgres = &Process{
		Name: "postgres", Program: filepath.Join(bin, "postgres"), Dir: dir, As: as, Quit: syscall.SIGINT, // without waiting for clients to leave
		Args: []string{
			"-D", data, "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + port(address),
			"-c", "max_connections=300", "-c", "shared_buffers=256MB", "-c", "jit=off", // as in deploy/postgres/postgresql.conf
		},
		Ready: func(context.Context) error {
			return command("psql", "-h", dir, "-p", port(address), "-U", "postgres", "-q", "-c", "SELECT 1")
		},
	}
	if err := c.begin(ctx, c.Postgres); err != nil {
		return err
	}
	c.postgresAddress = address
	c.sql = func(ctx context.Context, statement string) (string, error) {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "psql"), "-h", dir, "-p", port(address), "-U", "postgres", "-d", "basis", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement)
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: as}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("psql: %w\n%s", err, out)
		}
		return strings.TrimSpace(string(out)), nil
	}
	if !fresh {
		return nil
	}
	// As an operator makes them: deploy/postgres/roles.sql. Passwords are not asked for on loopback.
	roles, err := os.Open(filepath.Join(c.opts.Root, "deploy/postgres/roles.sql"))
	if err != nil {
		return err
	}
	defer func() { _ = roles.Close() }() // it was only read
	psql := exec.CommandContext(ctx, filepath.Join(bin, "psql"), "-h", dir, "-p", port(address), "-U", "postgres", "-q", "-f", "-")
	psql.Dir, psql.SysProcAttr, psql.Stdin = dir, &syscall.SysProcAttr{Credential: as}, roles
	for _, role := range append([]string{"owner"}, run.Services()...) {
		psql.Args = append(psql.Args, "-v", role+"_password=local")
	}
	if out, err := psql.CombinedOutput(); err != nil {
		return fmt.Errorf("roles.sql: %w\n%s", err, out)
	}
	return nil
}

// SQL runs a statement as the database's superuser, whom row-level security does not bind, and
// returns its rows, fields apart by |.
func (c *Cluster) SQL(ctx context.Context, statement string) (string, error) {
	return c.sql(ctx, statement)
}

// DatabaseURL is how a service's role reaches the database.
func (c *Cluster) DatabaseURL(service string) string {
	return databaseURL("basis_"+service, c.postgresAddress)
}

// reachable refuses a folder that other users cannot get to.
func reachable(dir string) error {
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("PostgreSQL does not run as root, and its user cannot get through %s: chmod o+x it, or choose another folder", dir)
		}
	}
	return nil
}

// databaseURL is how a role reaches the database at that address.
func databaseURL(role, address string) string {
	return "postgres://" + role + "@" + address + "/basis?sslmode=disable"
}
