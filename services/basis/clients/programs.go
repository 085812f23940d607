package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Programs are commands of this module that a test binary builds when it first needs one. The
// environment's BASIS_PROGRAMS names a folder with programs that are built already. It is safe
// for concurrent use.
type Programs struct {
	Packages []string // basisdienste/services/basis

	once sync.Once
	dir  string
	err  error
}

// Path returns where the program of that name is, or fails the test.
func (p *Programs) Path(t testing.TB, name string) string {
	t.Helper()
	if dir := os.Getenv("BASIS_PROGRAMS"); dir != "" {
		return filepath.Join(dir, name)
	}
	p.once.Do(p.build)
	if p.err != nil {
		t.Fatal(p.err)
	}
	return filepath.Join(p.dir, name)
}

func (p *Programs) build() {
	if p.dir, p.err = os.MkdirTemp("", "basis-programs-"); p.err != nil {
		return
	}
	out, err := exec.Command("go", append([]string{"build", "-o", p.dir + "/"}, p.Packages...)...).CombinedOutput() //nolint:gosec,noctx // packages that the test names; bounded by its binary's time
	if err != nil {
		p.err = fmt.Errorf("go build: %w\n%s", err, out)
	}
}

// Remove deletes what was built; TestMain calls it after the tests.
func (p *Programs) Remove() {
	if p.dir == "" {
		return
	}
	if err := os.RemoveAll(p.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
