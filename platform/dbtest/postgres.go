package dbtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// server starts one PostgreSQL server for this test binary and returns its socket folder.
// It listens on no port. A watchdog ends it when the test binary ends, however it ends:
// the watchdog reads a pipe that only this process holds open.
var server = sync.OnceValues(startServer)

type running struct {
	socket string
	hold   io.Closer // the watchdog's pipe, open until the process ends
}

func startServer() (*running, error) {
	bin, err := serverPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "basis-pg-")
	if err != nil {
		return nil, err
	}
	attr, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	run := func(name string, args ...string) error {
		cmd := exec.Command(filepath.Join(bin, name), args...) //nolint:noctx // the server outlives each test; the programs were found by us
		cmd.Dir, cmd.SysProcAttr = dir, attr
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", name, err, out)
		}
		return nil
	}
	data := filepath.Join(dir, "data")
	if err := run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	// fsync is off: these tests never cut the power.
	const watch = `"$1/postgres" -D "$2" -k "$3" -c listen_addresses='' -c fsync=off -c full_page_writes=off ` +
		`-c max_connections=300 -c shared_buffers=64MB >"$3/log" 2>&1 & pid=$!; ` +
		`cat >/dev/null; kill -INT $pid; wait $pid; rm -rf "$3"`
	watchdog := exec.Command("sh", "-c", watch, "sh", bin, data, dir) //nolint:noctx // as above
	watchdog.Dir, watchdog.SysProcAttr = dir, attr
	hold, err := watchdog.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := watchdog.Start(); err != nil {
		return nil, err
	}
	roles := "CREATE ROLE basis_owner LOGIN NOSUPERUSER; CREATE ROLE basis_app LOGIN NOSUPERUSER NOBYPASSRLS;"
	if err := ready(bin, dir, attr); err != nil {
		return nil, err
	}
	for _, sql := range []string{roles, "CREATE DATABASE basis OWNER basis_owner;"} {
		if err := run("psql", "-h", dir, "-U", "postgres", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql); err != nil {
			return nil, err
		}
	}
	return &running{socket: dir, hold: hold}, nil
}

func ready(bin, dir string, attr *syscall.SysProcAttr) error {
	var out bytes.Buffer
	for range 30 { // pg_isready waits up to a second each time
		cmd := exec.Command(filepath.Join(bin, "pg_isready"), "-h", dir, "-U", "postgres", "-t", "1") //nolint:noctx // as above
		cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = dir, attr, &out, &out
		if cmd.Run() == nil {
			return nil
		}
		wait := exec.Command("sleep", "0.1") //nolint:noctx // bounded by the loop
		if err := wait.Run(); err != nil {
			return err
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	return errors.Join(fmt.Errorf("the server did not get ready: %s\n%s", out.String(), log), err)
}

func serverPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		sort.Slice(found, func(i, j int) bool { return version(found[i]) > version(found[j]) })
		return filepath.Dir(found[0]), nil
	}
	p, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("no server programs found; install them, on Debian: apt-get install postgresql")
	}
	return filepath.Dir(p), nil
}

func version(path string) int {
	n, err := strconv.Atoi(strings.Split(path, "/")[4])
	if err != nil {
		return 0
	}
	return n
}

// unprivileged gives dir to the user "postgres" (or "nobody") when the tests run as root,
// as which PostgreSQL refuses to run.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}
