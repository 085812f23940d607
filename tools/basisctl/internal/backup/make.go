package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"basisdienste/platform/db"
)

// Options of Make.
type Options struct {
	Data       string // the data folder
	Files      string // the folder of uploaded files; "" is the one in the data folder
	Temp       string // where copies of the databases stand until they are archived
	Gzip       bool   // instead of zstd
	Recipients []age.Recipient
	Clock      func() time.Time
	// Progress, or nil, is told how many bytes are copied, and of how many. The databases count
	// twice: they are copied first.
	Progress func(done, total int64)
}

// Made says what Make has done.
type Made struct {
	Manifest *Manifest
	Held     time.Duration // for which all writers waited
	Size     int64         // of the archive
	SHA256   string        // of the archive
}

// Make writes an archive of the data folder to out, while its services go on. It leaves nothing
// else behind. The archive is complete only if it returned no error.
func Make(ctx context.Context, o Options, out io.Writer) (made Made, err error) {
	if o.Files == "" {
		o.Files = filepath.Join(o.Data, filepath.FromSlash(filesDir))
	}
	paths, err := filepath.Glob(filepath.Join(o.Data, "*.db"))
	if err != nil {
		return made, err
	}
	if len(paths) == 0 {
		return made, fmt.Errorf("%s is no data folder: it has no databases", o.Data)
	}
	temp, err := os.MkdirTemp(o.Temp, ".backup-") // 0700
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	kept, err := newKept(o.Files, o.Data)
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, kept.close()) }()
	w := &writer{ctx: ctx, progress: o.Progress}

	if err := kept.all(ctx); err != nil { // most of them, while it may take its time
		return made, err
	}
	cut, err := db.OpenCut(ctx, paths...)
	if err != nil {
		return made, fmt.Errorf("take an instant of all databases: %w", err)
	}
	defer func() { err = errors.Join(err, cut.Close()) }()
	w.manifest = &Manifest{Format: format, Product: product(), At: o.Clock().UTC().Truncate(time.Millisecond), Databases: map[string]db.Copied{}}
	made.Manifest, made.Held = w.manifest, cut.Held()
	if err := kept.all(ctx); err != nil { // those that came meanwhile
		return made, err
	}
	var databases []entry
	for _, p := range paths {
		databases = append(databases, entry{name: filepath.Base(p), path: p})
		for _, file := range []string{p, p + "-wal"} { // about: a page may be in both
			if info, err := os.Stat(file); err == nil {
				w.total += 2 * info.Size()
			}
		}
	}
	uploads, secrets := []entry(nil), []entry(nil)
	for i, e := range databases {
		to := filepath.Join(temp, e.name)
		copied, err := cut.Copy(ctx, e.path, to, w.done)
		if err != nil {
			return made, err
		}
		w.manifest.Databases[strings.TrimSuffix(e.name, ".db")] = copied
		databases[i].path = to
		if e.name == "forms.db" {
			if uploads, err = kept.named(ctx, to, e.path); err != nil {
				return made, err
			}
			for _, u := range uploads {
				w.total += u.size
			}
		}
	}
	if err := cut.Close(); err != nil {
		return made, err
	}
	if secrets, err = secretsOf(o.Data); err != nil {
		return made, err
	}
	counted := &counter{to: out, hash: sha256.New()}
	if err := w.archive(counted, o, databases, secrets, uploads); err != nil {
		return made, err
	}
	made.Size, made.SHA256 = counted.n, hex.EncodeToString(counted.hash.Sum(nil))
	return made, nil
}

// product names the release that made an archive.
func product() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return "basisdienste " + info.Main.Version
	}
	return "basisdienste"
}

// entry is a file that goes into the archive.
type entry struct {
	name, path string
	size       int64
	sha256     string // what it has to be, if it is known
}

func secretsOf(data string) (out []entry, err error) {
	list, err := os.ReadDir(filepath.Join(data, secretsDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // they are derived from a configured key
	}
	for _, e := range list {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") { // those are being written
			out = append(out, entry{name: secretsDir + "/" + e.Name(), path: filepath.Join(data, secretsDir, e.Name())})
		}
	}
	return out, err
}

type writer struct {
	ctx        context.Context
	manifest   *Manifest
	tar        *tar.Writer
	now, total int64
	progress   func(done, total int64)
	buffer     [256 << 10]byte
}

func (w *writer) done(bytes int64) {
	w.now += bytes
	if w.progress != nil {
		w.progress(w.now, max(w.total, w.now))
	}
}

// archive writes everything through tar, compression and encryption, the manifest last.
func (w *writer) archive(out io.Writer, o Options, groups ...[]entry) (err error) {
	var closers []io.Closer // the innermost first
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i].Close())
		}
	}()
	if len(o.Recipients) > 0 {
		sealed, err := age.Encrypt(out, o.Recipients...)
		if err != nil {
			return fmt.Errorf("encrypt: %w", err)
		}
		closers, out = append(closers, sealed), sealed
	}
	if o.Gzip {
		z := gzip.NewWriter(out)
		closers, out = append(closers, z), z
	} else {
		z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(2))
		if err != nil {
			return err
		}
		closers, out = append(closers, z), z
	}
	w.tar = tar.NewWriter(out)
	closers = append(closers, w.tar)
	for _, group := range groups {
		for _, e := range group {
			if err := w.add(e); err != nil {
				return fmt.Errorf("archive %s: %w", e.name, err)
			}
		}
	}
	text, err := json.MarshalIndent(w.manifest, "", " ")
	if err != nil {
		return err
	}
	if err := w.tar.WriteHeader(w.header(manifestName, int64(len(text)))); err != nil {
		return err
	}
	_, err = io.Copy(w.tar, bytes.NewReader(text))
	return err
}

func (w *writer) header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: w.manifest.At, Format: tar.FormatPAX}
}

func (w *writer) add(e entry) (err error) {
	if err := belongs(e.name); err != nil {
		return err
	}
	f, err := os.Open(e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.tar.WriteHeader(w.header(e.name, info.Size())); err != nil {
		return err
	}
	hash := sha256.New()
	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(w.tar, hash, progressWriter{w})}, onlyReader{io.LimitReader(f, info.Size())}, w.buffer[:])
	if err != nil {
		return err
	}
	found := File{Name: e.name, Size: n, SHA256: hex.EncodeToString(hash.Sum(nil))}
	if e.sha256 != "" && e.sha256 != found.SHA256 {
		w.manifest.Damaged = append(w.manifest.Damaged, e.name)
	}
	w.manifest.Files = append(w.manifest.Files, found)
	return nil
}

// onlyWriter and onlyReader keep io.CopyBuffer to its buffer.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// progressWriter counts, and ends a long copy when the context does.
type progressWriter struct{ w *writer }

func (p progressWriter) Write(b []byte) (int, error) {
	p.w.done(int64(len(b)))
	return len(b), p.w.ctx.Err()
}

// counter counts and hashes what goes out.
type counter struct {
	to   io.Writer
	hash interface {
		io.Writer
		Sum([]byte) []byte
	}
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	_, _ = c.hash.Write(b[:n]) // never fails
	return n, err
}
