package run

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestSecret_IsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := &Process{settings: Settings{DataDir: dir}}
	var wg sync.WaitGroup
	got := make([][]byte, 16)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = p.secret("cursor"); err != nil {
				t.Errorf("secret = %v", err)
			}
		})
	}
	wg.Wait()
	again, err := (&Process{settings: Settings{DataDir: dir}}).secret("cursor")
	for _, g := range append(got, again) {
		if err != nil || len(g) != secretSize || !bytes.Equal(g, got[0]) {
			t.Errorf("secret = %x, %v, want the same 32 bytes each time", g, err)
		}
	}
	if other, err := p.secret("other"); err != nil || bytes.Equal(other, again) {
		t.Errorf("another secret = %x, %v, want another", other, err)
	}
	for path, want := range map[string]os.FileMode{"secrets": 0o700, "secrets/cursor": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s = %v, %v, want %o", path, info.Mode(), err, want)
		}
	}
	file := filepath.Join(dir, "secrets", "cursor")
	for _, damage := range []string{"", "xyz", strings.Repeat("ab", 31)} {
		if err := os.WriteFile(file, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := p.secret("cursor"); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("secret with the file %q = %v, want an error that names it", damage, err)
		}
	}
}

func TestSecret_DerivedFromTheServiceKey(t *testing.T) {
	t.Parallel()
	of := func(key, name string) string {
		t.Helper()
		p := &Process{settings: Settings{DataDir: t.TempDir(), ServiceSecret: key}}
		b, err := p.secret(name)
		if err != nil || len(b) != secretSize {
			t.Fatalf("secret = %x, %v", b, err)
		}
		return string(b)
	}
	a, b := strings.Repeat("a", 32), strings.Repeat("b", 32)
	if first, second := of(a, "x"), of(a, "x"); first != second {
		t.Error("two processes with one service key have different secrets")
	}
	if of(a, "x") == of(a, "y") || of(a, "x") == of(b, "x") {
		t.Error("two names or two keys have one secret")
	}
}
