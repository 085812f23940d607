package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"basisdienste/platform/db"
	"basisdienste/platform/outbox"
)

// Source is an archive to read.
type Source struct {
	Path       string
	Identities []age.Identity
	// Progress, or nil, is told how many bytes of the archive are read, and of how many.
	Progress func(done, total int64)
}

// Check reads the whole archive and fails, naming what is wrong, unless it is complete and every
// byte is as it was written. It writes nothing.
func Check(ctx context.Context, s Source) (*Manifest, error) {
	return s.read(ctx, func(string, io.Reader) error { return nil })
}

// Restore makes the data folder from the archive: all of it, or nothing. The folder must not be
// there yet, or be empty. Everything is checked before anything is written; what is written stands
// beside the folder until it is complete and on the disk. The services of the folder find a note
// of the restore when they start (outbox.NoteRestore).
func Restore(ctx context.Context, s Source, data string) (m *Manifest, err error) {
	if data, err = filepath.Abs(data); err != nil {
		return nil, err
	}
	if err := vacant(data); err != nil {
		return nil, err
	}
	if m, err = Check(ctx, s); err != nil {
		return nil, err
	}
	parent := filepath.Dir(data)
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return nil, err
	}
	beside, err := os.MkdirTemp(parent, "."+filepath.Base(data)+".restoring-") // 0700
	if err != nil {
		return nil, fmt.Errorf("%w; the folder is made beside %s, on the same file system", err, data)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(beside)) }()
	root, err := os.OpenRoot(beside)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	again, err := s.read(ctx, func(name string, r io.Reader) error { return place(root, name, r) })
	if err != nil {
		return nil, err
	}
	for name, want := range again.Databases {
		if err := wake(ctx, filepath.Join(beside, name+".db"), want); err != nil {
			return nil, err
		}
	}
	if err := flush(beside); err != nil {
		return nil, err
	}
	if err := vacant(data); err != nil { // somebody may have been faster
		return nil, err
	}
	if err := syscall.Rename(beside, data); err != nil { // onto nothing, or an empty folder
		return nil, fmt.Errorf("put %s in its place: %w; is it a mount point? Then restore into a folder below it", data, err)
	}
	return again, syncOne(parent)
}

// vacant refuses a folder in which something is, above all a running process.
func vacant(data string) error {
	if lock, err := os.OpenFile(filepath.Join(data, "events", "LOCK"), os.O_RDWR, 0); err == nil {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("a process runs on %s; stop it, and give a folder that is empty or not there yet", data)
		}
	}
	list, err := os.ReadDir(data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(list) > 0 {
		return fmt.Errorf("%s is not empty (%s is there, for one); move it away, or give another folder", data, list[0].Name())
	}
	return nil
}

// place writes one file below root, durably.
func place(root *os.Root, name string, r io.Reader) (err error) {
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o750); err != nil {
			return err
		}
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	return f.Sync()
}

// wake checks a database and leaves the note in it that it was restored.
func wake(ctx context.Context, file string, want db.Copied) (err error) {
	got, err := db.Inspect(ctx, file)
	if err != nil {
		return err
	}
	if !maps.Equal(got.Migrations, want.Migrations) {
		return fmt.Errorf("%s has the migrations %v, the manifest says %v", filepath.Base(file), got.Migrations, want.Migrations)
	}
	if got.Migrations["outbox"] == 0 {
		return nil // no service's
	}
	d, err := db.Open(ctx, db.Config{URL: "sqlite:" + file, Conns: 1})
	if err != nil {
		return err
	}
	return errors.Join(outbox.NoteRestore(ctx, d), d.Close())
}

// flush puts all files and names below dir on the disk.
func flush(dir string) error {
	return filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || (!e.IsDir() && !strings.HasSuffix(p, ".db")) { // other files are synced
			return err
		}
		return syncOne(p)
	})
}

func syncOne(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// read gives each entry but the manifest to each, in order, and checks everything.
func (s Source) read(ctx context.Context, each func(name string, r io.Reader) error) (m *Manifest, err error) {
	f, err := os.Open(s.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	plain, done, err := s.open(&meter{ctx: ctx, from: f, total: info.Size(), progress: s.Progress})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Path, err)
	}
	defer done()
	last := "its beginning"
	fail := func(err error) (*Manifest, error) {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = errors.New("the file ends too early")
		}
		return nil, fmt.Errorf("%s is damaged, after %s: %w", s.Path, last, err)
	}
	found := map[string]File{}
	archive := tar.NewReader(plain)
	for m == nil {
		h, err := archive.Next()
		if err != nil {
			return fail(err)
		}
		switch {
		case h.Typeflag != tar.TypeReg:
			return fail(fmt.Errorf("it has an entry %.200q that is no file", h.Name))
		case h.Name == manifestName:
			if m, err = readManifest(archive); err != nil {
				return fail(err)
			}
			continue
		}
		if err := belongs(h.Name); err != nil {
			return fail(err)
		}
		if _, twice := found[h.Name]; twice {
			return fail(fmt.Errorf("%s is in it twice", h.Name))
		}
		hash := sha256.New()
		size := int64(0)
		body := io.TeeReader(archive, io.MultiWriter(hash, sizer{&size}))
		if err := each(h.Name, body); err != nil {
			return fail(err)
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return fail(err)
		}
		found[h.Name] = File{Name: h.Name, Size: size, SHA256: hex.EncodeToString(hash.Sum(nil))}
		last = h.Name
	}
	last = manifestName
	if h, err := archive.Next(); err == nil {
		return fail(fmt.Errorf("%.200q follows", h.Name))
	} else if !errors.Is(err, io.EOF) {
		return fail(err)
	}
	if _, err := io.Copy(io.Discard, plain); err != nil { // check sums at the end
		return fail(err)
	}
	if err := m.matches(found); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Path, err)
	}
	return m, nil
}

var (
	ageMagic  = []byte("age-encryption.org/")
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	gzipMagic = []byte{0x1f, 0x8b}
)

// open takes encryption and compression off, which the content tells.
func (s Source) open(r io.Reader) (plain io.Reader, done func(), err error) {
	b := bufio.NewReader(r)
	if head, _ := b.Peek(len(ageMagic)); bytes.Equal(head, ageMagic) {
		if len(s.Identities) == 0 {
			return nil, nil, errors.New("it is encrypted: give the file with your age identity as --identity")
		}
		open, err := age.Decrypt(b, s.Identities...)
		if err != nil {
			return nil, nil, fmt.Errorf("decrypt: %w", err)
		}
		b = bufio.NewReader(open)
	}
	head, _ := b.Peek(len(zstdMagic))
	switch {
	case bytes.HasPrefix(head, zstdMagic):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case bytes.HasPrefix(head, gzipMagic):
		z, err := gzip.NewReader(b)
		return z, func() {}, err
	default:
		return nil, nil, errors.New("this is no backup: it is neither .tar.zst nor .tar.gz, nor encrypted with age")
	}
}

// sizer counts bytes.
type sizer struct{ n *int64 }

func (s sizer) Write(b []byte) (int, error) {
	*s.n += int64(len(b))
	return len(b), nil
}

// meter reads until the context ends, and tells how far it is.
type meter struct {
	ctx         context.Context
	from        io.Reader
	done, total int64
	progress    func(done, total int64)
}

func (m *meter) Read(b []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.from.Read(b)
	m.done += int64(n)
	if m.progress != nil {
		m.progress(m.done, m.total)
	}
	return n, err
}
