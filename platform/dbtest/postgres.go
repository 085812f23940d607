package dbtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/pgserver"
)

// shared is the one PostgreSQL server of this test binary. It ends with it.
var shared = sync.OnceValues(func() (*Server, error) {
	// fsync is off: these tests never cut the power.
	return StartServer("fsync=off", "full_page_writes=off", "max_connections=300", "shared_buffers=64MB")
})

// Server is a PostgreSQL server of our own on a fresh folder, with the database basis and the
// plain roles basis_owner and basis_app. It listens on a socket in its folder alone, unless
// its settings say otherwise. A watchdog ends it when this process ends, however it ends: the
// watchdog reads a pipe that only this process holds open.
type Server struct {
	bin, dir, data string
	attr           *syscall.SysProcAttr
	watchdog       *exec.Cmd
	hold           io.Closer // the watchdog's pipe
}

// NewServer starts a server that ends with the test.
func NewServer(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := StartServer(settings...)
	if err != nil {
		t.Fatalf("dbtest: PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("dbtest: stop PostgreSQL: %v", err)
		}
	})
	return s
}

// StartServer starts a server with lines of postgresql.conf. End it by Close.
func StartServer(settings ...string) (*Server, error) {
	bin, err := pgserver.Programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "basis-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, data: filepath.Join(dir, "data")}
	if s.attr, err = pgserver.Own(dir); err != nil {
		return nil, err
	}
	if err := s.run("initdb", "-D", s.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	// A server that ends is started again, until the pipe is closed.
	const watch = `bin=$1 data=$2 dir=$3; shift 3
		( while [ ! -e "$dir/stop" ]; do "$bin/postgres" -D "$data" -k "$dir" -c listen_addresses='' "$@" >>"$dir/log" 2>&1; sleep 0.1; done ) & loop=$!
		cat >/dev/null; touch "$dir/stop"; kill -QUIT "$(head -n 1 "$data/postmaster.pid")"; wait $loop; rm -rf "$dir"`
	args := []string{"-c", watch, "sh", bin, s.data, dir}
	for _, line := range settings {
		args = append(args, "-c", line)
	}
	s.watchdog = exec.Command("sh", args...) //nolint:noctx // the server outlives each test; the programs were found by us
	s.watchdog.Dir, s.watchdog.SysProcAttr = dir, s.attr
	if s.hold, err = s.watchdog.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.watchdog.Start(); err != nil {
		return nil, err
	}
	if err := s.ready(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	for _, sql := range []string{
		"CREATE ROLE basis_owner LOGIN NOSUPERUSER; CREATE ROLE basis_app LOGIN NOSUPERUSER NOBYPASSRLS;",
		"CREATE DATABASE basis OWNER basis_owner;",
	} {
		if err := s.Psql("-c", sql); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// URL is the database basis as the role sees it.
func (s *Server) URL(role string) string {
	return fmt.Sprintf("postgres://%s@/basis?host=%s", role, url.QueryEscape(s.dir))
}

// Config opens a schema of that name as basis_app, which basis_owner makes.
func (s *Server) Config(schema string) db.Config {
	return db.Config{URL: s.URL("basis_app"), OwnerURL: s.URL("basis_owner"), Schema: schema, Conns: 6}
}

// Psql runs psql as the superuser postgres with more arguments.
func (s *Server) Psql(args ...string) error {
	return s.run("psql", append([]string{"-h", s.dir, "-U", "postgres", "-q", "-v", "ON_ERROR_STOP=1"}, args...)...)
}

// Ask runs statements in the database basis as that role and returns the rows, a line each.
func (s *Server) Ask(role, statements string) (string, error) {
	return s.output("psql", "-h", s.dir, "-U", role, "-d", "basis", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-c", statements)
}

// Log is what the server has written so far.
func (s *Server) Log() (string, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text), err
}

// Restart ends the server as an operator would, by cutting its sessions off, and returns when
// it serves again.
func (s *Server) Restart() error { return s.restart(syscall.SIGINT) }

// Crash kills the server, which recovers from its log, and returns when it serves again.
func (s *Server) Crash() error { return s.restart(syscall.SIGKILL) }

func (s *Server) restart(signal syscall.Signal) error {
	before, err := s.PID()
	if err != nil {
		return err
	}
	if err := syscall.Kill(before, signal); err != nil {
		return fmt.Errorf("end the server: %w", err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		if now, err := s.PID(); err == nil && now != before {
			return s.ready()
		}
		if time.Now().After(deadline) {
			return errors.New("the server did not start again within 30 s")
		}
		if err := pause(); err != nil {
			return err
		}
	}
}

// PID is the id of the server's first process, the parent of all others.
func (s *Server) PID() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(line)
}

// Close ends the server and removes its folder.
func (s *Server) Close() error {
	return errors.Join(s.hold.Close(), s.watchdog.Wait())
}

func (s *Server) run(name string, args ...string) error {
	_, err := s.output(name, args...)
	return err
}

func (s *Server) output(name string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(s.bin, name), args...) //nolint:noctx // as above
	cmd.Dir, cmd.SysProcAttr = s.dir, s.attr
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return string(out), nil
}

func (s *Server) ready() error {
	var out bytes.Buffer
	for range 100 { // pg_isready waits up to a second each time
		cmd := exec.Command(filepath.Join(s.bin, "pg_isready"), "-h", s.dir, "-U", "postgres", "-t", "1") //nolint:noctx // as above
		cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = s.dir, s.attr, &out, &out
		if cmd.Run() == nil {
			return nil
		}
		if err := pause(); err != nil {
			return err
		}
	}
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	return errors.Join(fmt.Errorf("the server did not get ready: %s\n%s", out.String(), log), err)
}

func pause() error {
	return exec.Command("sleep", "0.1").Run() //nolint:noctx // bounded by itself
}
