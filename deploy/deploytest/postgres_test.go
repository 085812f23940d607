package deploytest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"basisdienste/platform/pgserver"
)

// database is PostgreSQL with the files of deploy/postgres on loopback.
type database struct {
	host, port, ca string
	env            []string // for psql on the machine itself
}

func startPostgres(t *testing.T) database {
	t.Helper()
	bin, err := pgserver.Programs()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "basis-deploy-pg-") // t.TempDir's parents are closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	attr, err := pgserver.Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.SysProcAttr = dir, attr
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	data, certs := filepath.Join(dir, "data"), newAuthority(t)
	run(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
	// Files of the other user are written through a copy, with its rights.
	for to, text := range map[string]string{
		"data/server.crt": read(t, certs.cert), "data/server.key": read(t, certs.key), "basis.conf": read(t, shipped(t, "postgres/postgresql.conf")),
		// The superuser of the test has another name than the system's user.
		"pg_hba.conf": "local all postgres trust\n" + read(t, shipped(t, "postgres/pg_hba.conf")),
	} {
		path := write(t, filepath.Join(dir, to), text)
		if attr != nil {
			if err := os.Chown(path, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	host, port, _ := strings.Cut(freeAddress(t), ":")
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "config_file="+filepath.Join(dir, "basis.conf"),
		"-c", "hba_file="+filepath.Join(dir, "pg_hba.conf"), "-c", "port="+port, "-c", "listen_addresses="+host,
		"-c", "shared_buffers=32MB", "-c", "fsync=off")
	var said lines
	cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = dir, attr, &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("postgres said:\n%s", said.String())
		}
	})
	d := database{host: host, port: port, ca: certs.ca, env: []string{"PGHOST=" + dir, "PGPORT=" + port}}
	eventually(t, "PostgreSQL answers", func() bool {
		_, err := output(t, d.env, "psql", "-U", "postgres", "-c", "SELECT 1")
		return err == nil
	})
	return d
}

// ask connects over the network and runs a statement.
func (d database) ask(t *testing.T, role, password, name, tls, sql string) (string, error) {
	t.Helper()
	url := fmt.Sprintf("postgres://%s:%s@%s:%s/%s?sslmode=%s&sslrootcert=%s&connect_timeout=10", role, password, d.host, d.port, name, tls, d.ca)
	return output(t, nil, "psql", "-At", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql)
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	d := startPostgres(t)
	secrets := t.TempDir()
	write(t, secrets+"/owner_url", "postgres://basis_owner:pOwner@postgres:5432/basis?sslmode=verify-full\n")
	for _, s := range slices.Concat(owners, readers) {
		write(t, secrets+"/"+s+"_database_url", "postgres://basis_"+s+":p"+s+"@postgres:5432/basis?sslmode=verify-full\n")
	}
	env := append([]string{"SECRETS=" + secrets, "ROLES=" + shipped(t, "postgres/roles.sql")}, d.env...)
	for range 2 { // a second run changes passwords and harms nothing
		if out, err := output(t, env, shipped(t, "compose/init-roles.sh")); err != nil {
			t.Fatalf("init-roles.sh = %v\n%s", err, out)
		}
	}
	const who = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
	for _, s := range append(slices.Concat(owners, readers), "owner") {
		password := "p" + s
		if s == "owner" {
			password = "pOwner"
		}
		if out, err := d.ask(t, "basis_"+s, password, "basis", "verify-full", who); err != nil || strings.TrimSpace(out) != "t" {
			t.Errorf("%s with TLS and password = %q, %v, want t", s, out, err)
		}
	}
	if _, err := output(t, d.env, "psql", "-U", "postgres", "-c", "ALTER ROLE postgres PASSWORD 'secret'"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, role, password, name, tls, want string }{
		{"without TLS", "basis_payment", "ppayment", "basis", "disable", "no encryption"},
		{"wrong password", "basis_payment", "pforms", "basis", "verify-full", "password authentication failed"},
		{"superuser over the network", "postgres", "secret", "basis", "verify-full", "pg_hba.conf rejects"},
		{"another database", "basis_payment", "ppayment", "postgres", "verify-full", "pg_hba.conf rejects"},
	} {
		if out, err := d.ask(t, c.role, c.password, c.name, c.tls, "SELECT 1"); err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: psql = %v, %s, want refused: %s", c.what, err, out, c.want)
		}
	}
	sql := "CREATE TABLE forms.thing (id int); CREATE TABLE payment.thing (id int)"
	if out, err := d.ask(t, "basis_owner", "pOwner", "basis", "verify-full", sql); err != nil {
		t.Fatalf("the owner makes tables: %v\n%s", err, out)
	}
	for sql, want := range map[string]string{
		"INSERT INTO payment.thing VALUES (1)": "", "SELECT * FROM forms.thing": "permission denied", "CREATE TABLE payment.other ()": "permission denied",
	} {
		if out, err := d.ask(t, "basis_payment", "ppayment", "basis", "verify-full", sql); (err == nil) != (want == "") || !strings.Contains(out, want) {
			t.Errorf("payment runs %s: %v, %s, want %q", sql, err, out, want)
		}
	}
}
