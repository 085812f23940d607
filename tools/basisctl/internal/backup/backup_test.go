package backup_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
	"basisdienste/platform/outbox"
	"basisdienste/tools/basisctl/internal/backup"
)

// uploads is the table of services/forms that a backup reads.
var uploads = db.Set{Name: "forms", FS: fstest.MapFS{"migrations/00001_files.sql": &fstest.MapFile{Data: []byte(`-- +goose Up
CREATE TABLE files (tenant_id TEXT NOT NULL, id TEXT NOT NULL, size BIGINT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (tenant_id, id));
-- +goose Down
DROP TABLE files;
`)}}}

// folder is a data folder with two services, whose databases stay open, as of a running basis.
type folder struct {
	dir      string
	tenant   id.ID
	forms    *db.DB
	uploaded []string // paths below the folder
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	f := &folder{dir: t.TempDir(), tenant: id.New()}
	f.open(t, "tenants", outbox.Migrations())
	f.forms = f.open(t, "forms", outbox.Migrations(), uploads)
	write(t, filepath.Join(f.dir, "secrets", "service-key"), "sesame")
	write(t, filepath.Join(f.dir, "demo.json"), "{}")
	write(t, filepath.Join(f.dir, "events", "LOCK"), "")
	for i := range 3 {
		f.upload(t, fmt.Sprintf("proof %d", i))
	}
	return f
}

func (f *folder) open(t *testing.T, name string, sets ...db.Set) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), db.Config{URL: "sqlite:" + filepath.Join(f.dir, name+".db"), Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.Migrate(t.Context(), sets...); err != nil {
		t.Fatal(err)
	}
	return d
}

func (f *folder) upload(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join("forms", "files", f.tenant.String(), id.New().String())
	write(t, filepath.Join(f.dir, name), text)
	hash := sha256.Sum256([]byte(text))
	ctx := db.System(t.Context())
	err := f.forms.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO files (tenant_id, id, size, sha256) VALUES (?, ?, ?, ?)`, f.tenant, filepath.Base(name), len(text), hex.EncodeToString(hash[:]))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f.uploaded = append(f.uploaded, name)
	return name
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o750), os.WriteFile(name, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// archive makes a backup and returns its file.
func (f *folder) archive(t *testing.T, change func(*backup.Options)) string {
	t.Helper()
	o := backup.Options{Data: f.dir, Temp: t.TempDir(), Clock: time.Now}
	if change != nil {
		change(&o)
	}
	var out bytes.Buffer
	made, err := backup.Make(t.Context(), o, &out)
	if err != nil {
		t.Fatalf("Make = %v", err)
	}
	if hash := sha256.Sum256(out.Bytes()); made.Size != int64(out.Len()) || made.SHA256 != hex.EncodeToString(hash[:]) {
		t.Errorf("Make says %d bytes with SHA-256 %s, want %d with %x", made.Size, made.SHA256, out.Len(), hash)
	}
	name := filepath.Join(t.TempDir(), "backup")
	write(t, name, out.String())
	if list, err := os.ReadDir(o.Temp); err != nil || len(list) != 0 {
		t.Errorf("Make left %v in its temporary folder", list)
	}
	if _, err := os.Stat(filepath.Join(f.dir, ".backup")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Make left its links in the data folder: %v", err)
	}
	return name
}

// names lists the files below dir.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			list = append(list, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRestore_WhatWasBackedUp(t *testing.T) {
	t.Parallel()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change     func(*backup.Options)
		identities []age.Identity
	}{
		"zstd":      {nil, nil},
		"gzip":      {func(o *backup.Options) { o.Gzip = true }, nil},
		"encrypted": {func(o *backup.Options) { o.Recipients = []age.Recipient{key.Recipient()} }, []age.Identity{key}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			from := f.archive(t, tt.change)
			gone := f.upload(t, "came after the backup")
			dir := filepath.Join(t.TempDir(), "new", "data")
			m, err := backup.Restore(t.Context(), backup.Source{Path: from, Identities: tt.identities}, dir)
			if err != nil {
				t.Fatalf("Restore = %v", err)
			}
			want := append([]string{"forms.db", "secrets/service-key", "tenants.db"}, f.uploaded[:3]...)
			got := names(t, dir)
			if len(got) != len(want) || m.Uploads() != 3 {
				t.Errorf("restored %q, %d uploads, want %q", got, m.Uploads(), want)
			}
			for _, name := range f.uploaded[:3] {
				a, err1 := os.ReadFile(filepath.Join(f.dir, name))
				b, err2 := os.ReadFile(filepath.Join(dir, name))
				if !bytes.Equal(a, b) || err1 != nil || err2 != nil {
					t.Errorf("%s is %q, %v after the restore, was %q, %v", name, b, err2, a, err1)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, gone)); err == nil {
				t.Errorf("%s was uploaded after the backup and is there", gone)
			}
			for _, private := range []string{dir, filepath.Join(dir, "secrets/service-key"), filepath.Join(dir, "forms.db")} {
				if info, err := os.Stat(private); err != nil || info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s: %v, %v, want it readable by its owner alone", private, info, err)
				}
			}
			restored := (&folder{dir: dir}).open(t, "forms")
			acted := 0
			for range 2 {
				done, err := outbox.Recover(t.Context(), restored, nil)
				if err != nil {
					t.Fatal(err)
				}
				if done {
					acted++
				}
			}
			if acted != 1 {
				t.Errorf("the service acts %d times on the restore, want once", acted)
			}
		})
	}
}

// A file that a citizen deletes while the backup runs belongs to the instant all the same.
func TestMake_FileDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	victim := f.uploaded[1]
	from := f.archive(t, func(o *backup.Options) {
		o.Progress = func(int64, int64) { _ = os.Remove(filepath.Join(f.dir, victim)) } // first told while databases are copied
	})
	if _, err := os.Stat(filepath.Join(f.dir, victim)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("the file was not deleted: the test tests nothing")
	}
	m, err := backup.Check(t.Context(), backup.Source{Path: from})
	if err != nil || m.Uploads() != 3 {
		t.Errorf("Check = %+v, %v, want 3 uploads", m, err)
	}
}

func TestMake_Refuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, f *folder, o *backup.Options)
		want    string
	}{
		"no data folder":             {func(t *testing.T, _ *folder, o *backup.Options) { o.Data = t.TempDir() }, "no data folder"},
		"uploads are somewhere else": {func(t *testing.T, _ *folder, o *backup.Options) { o.Files = t.TempDir() }, "--files"},
		"another backup": {func(t *testing.T, f *folder, _ *backup.Options) {
			lock, err := os.Create(filepath.Join(f.dir, ".backup.lock"))
			if err == nil {
				err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { lock.Close() })
		}, "another backup"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			o := backup.Options{Data: f.dir, Temp: t.TempDir(), Clock: time.Now}
			tt.prepare(t, f, &o)
			if _, err := backup.Make(t.Context(), o, io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Make = %v, want an error with %q", err, tt.want)
			}
		})
	}
	t.Run("an end in the middle", func(t *testing.T) {
		t.Parallel()
		f := newFolder(t)
		ctx, cancel := context.WithCancel(t.Context())
		o := backup.Options{Data: f.dir, Temp: t.TempDir(), Clock: time.Now, Progress: func(int64, int64) { cancel() }}
		if _, err := backup.Make(ctx, o, io.Discard); !errors.Is(err, context.Canceled) {
			t.Errorf("Make = %v, want context.Canceled", err)
		}
		if left := names(t, o.Temp); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	t.Run("damage is named and kept", func(t *testing.T) {
		t.Parallel()
		f := newFolder(t)
		write(t, filepath.Join(f.dir, f.uploaded[0]), "PROOF 0")
		m, err := backup.Check(t.Context(), backup.Source{Path: f.archive(t, nil)})
		if err != nil || len(m.Damaged) != 1 || m.Damaged[0] != f.uploaded[0] {
			t.Errorf("Check = %+v, %v, want %s to be named as damaged", m, err, f.uploaded[0])
		}
	})
}

// item is an entry of an archive that a test changes.
type item struct {
	head tar.Header
	body []byte
}

func unpack(t *testing.T, file string) (items []item) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return items
		}
		body, rerr := io.ReadAll(r)
		if err := errors.Join(err, rerr); err != nil {
			t.Fatal(err)
		}
		items = append(items, item{*h, body})
	}
}

func pack(t *testing.T, items []item) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, it := range items {
		it.head.Size = int64(len(it.body))
		if err := w.WriteHeader(&it.head); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(it.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestRestore_NamesWhatIsWrong: whatever was done to an archive, nothing is written.
func TestRestore_NamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	good := f.archive(t, nil)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := os.ReadFile(f.archive(t, func(o *backup.Options) { o.Recipients = []age.Recipient{key.Recipient()} }))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func(items []item) []item) []byte { return pack(t, change(unpack(t, good))) }
	named := func(name string) []byte {
		return changed(func(items []item) []item {
			return append([]item{{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600}, []byte("x")}}, items...)
		})
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 0x40
	for name, tt := range map[string]struct {
		bytes []byte
		want  string
	}{
		"nothing":               {nil, "no backup"},
		"something else":        {[]byte("PK\x03\x04 and so on"), "no backup"},
		"cut off at the end":    {whole[:len(whole)-1], "damaged"},
		"cut off in the middle": {whole[:len(whole)/2], "damaged"},
		"a bit was turned":      {flipped, "damaged"},
		"encrypted for others":  {encrypted, "--identity"},
		"a database was changed": {changed(func(items []item) []item {
			items[0].body[5000] ^= 1
			return items
		}), items0(t, good) + " is damaged"},
		"a file is missing":     {changed(func(items []item) []item { return items[1:] }), items0(t, good) + " is missing"},
		"a file is there twice": {changed(func(items []item) []item { return append(items[:1:1], items...) }), "twice"},
		"no manifest":           {changed(func(items []item) []item { return items[:len(items)-1] }), "ends too early"},
		"something follows":     {changed(func(items []item) []item { return append(items, items[0]) }), "follows"},
		"one too many":          {named("secrets/more"), "secrets/more is not in its manifest"},
		"out of the folder":     {named("../../etc/cron.d/x"), "part of no data folder"},
		"out, further down":     {named("secrets/../../x"), "part of no data folder"},
		"from the root":         {named("/etc/passwd"), "part of no data folder"},
		"two dots as a secret":  {named("secrets/.."), "part of no data folder"},
		"the event store":       {named("events/jetstream/x"), "part of no data folder"},
		"a link": {changed(func(items []item) []item {
			return append([]item{{tar.Header{Typeflag: tar.TypeSymlink, Name: "secrets/link", Linkname: "/etc/passwd"}, nil}}, items...)
		}), "no file"},
		"a format to come": {changed(func(items []item) []item {
			var m map[string]any
			if err := json.Unmarshal(items[len(items)-1].body, &m); err != nil {
				t.Fatal(err)
			}
			m["format"] = 2
			items[len(items)-1].body, _ = json.Marshal(m)
			return items
		}), "its format is 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			file := filepath.Join(t.TempDir(), "changed")
			write(t, file, string(tt.bytes))
			s := backup.Source{Path: file}
			_, err := backup.Restore(t.Context(), s, filepath.Join(parent, "data"))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("Restore = %v, want an error with the file's name and %q", err, tt.want)
			}
			if list, err := os.ReadDir(parent); err != nil || len(list) != 0 {
				t.Errorf("Restore left %v", list)
			}
		})
	}
	for n := range 40 { // wherever it is cut off
		file := filepath.Join(t.TempDir(), "cut")
		write(t, file, string(whole[:len(whole)*n/40]))
		if _, err := backup.Check(t.Context(), backup.Source{Path: file}); err == nil {
			t.Errorf("Check of the first %d of %d bytes = nil, want an error", len(whole)*n/40, len(whole))
		}
	}
	for n := range 20 {
		file := filepath.Join(t.TempDir(), "cut")
		write(t, file, string(encrypted[:len(encrypted)*n/20]))
		if _, err := backup.Check(t.Context(), backup.Source{Path: file, Identities: []age.Identity{key}}); err == nil {
			t.Errorf("Check of the first %d of %d encrypted bytes = nil, want an error", len(encrypted)*n/20, len(encrypted))
		}
	}
}

// items0 is the name of the archive's first entry.
func items0(t *testing.T, file string) string {
	t.Helper()
	return unpack(t, file)[0].head.Name
}

func TestRestore_RefusesAFolderThatIsUsed(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	good := backup.Source{Path: f.archive(t, nil)}
	lock, err := os.OpenFile(filepath.Join(f.dir, "events", "LOCK"), os.O_RDWR, 0)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := backup.Restore(t.Context(), good, f.dir); err == nil || !strings.Contains(err.Error(), "a process runs") {
		t.Errorf("Restore over a running process = %v, want to be told that it runs", err)
	}
	full := t.TempDir()
	write(t, filepath.Join(full, "note"), "mine")
	if _, err := backup.Restore(t.Context(), good, full); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("Restore into a folder with a file = %v, want to be told", err)
	}
	if got := names(t, full); len(got) != 1 {
		t.Errorf("the folder has %q now, want it as it was", got)
	}
	if _, err := backup.Restore(t.Context(), good, t.TempDir()); err != nil {
		t.Errorf("Restore into an empty folder = %v, want nil", err)
	}
}
