package pgserver

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPrograms(t *testing.T) {
	t.Parallel()
	dir, err := Programs()
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"initdb", "postgres", "pg_ctl"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			t.Errorf("Programs() = %s, which has no %s: %v", dir, program, err)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{
		"/usr/lib/postgresql/9/bin/initdb": 9, "/usr/lib/postgresql/17/bin/initdb": 17, "/usr/lib/postgresql/9.6/bin/initdb": 0,
	} {
		if got := version(path); got != want {
			t.Errorf("version(%s) = %d, want %d", path, got, want)
		}
	}
}

// Who is root starts the server as somebody else, to whom the folder belongs then.
func TestOwn(t *testing.T) {
	t.Parallel()
	attr, err := Own(t.TempDir())
	if err != nil || (attr != nil) != (os.Geteuid() == 0) {
		t.Fatalf("Own as user %d = %+v, %v", os.Geteuid(), attr, err)
	}
	if attr != nil && attr.Credential.Uid == 0 {
		t.Error("Own as root = root, which PostgreSQL refuses")
	}
}
