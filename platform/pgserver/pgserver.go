// Package pgserver finds what a PostgreSQL server of one's own needs on this machine, for tests
// and trials: its programs, and a user that may run them.
package pgserver

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// Programs is the folder of the newest server's programs: Debian's, else that of initdb in PATH.
func Programs() (dir string, err error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(found[len(found)-1]), nil
	}
	program, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("PostgreSQL's server programs are missing: run make setup, or install them (Debian: apt-get install postgresql)")
	}
	return filepath.Dir(program), nil
}

func version(initdb string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	if err != nil {
		return 0
	}
	return n
}

// User is the user to run PostgreSQL as, which refuses to run as root: postgres or nobody, and nil
// for the user that we are. It has to reach the server's folder.
func User() (*syscall.Credential, error) {
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
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// Own gives dir to User, and returns how to start programs as that one: nil as we are.
func Own(dir string) (*syscall.SysProcAttr, error) {
	as, err := User()
	if err != nil || as == nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: as}, os.Chown(dir, int(as.Uid), int(as.Gid))
}
