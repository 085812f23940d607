package forms

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// folder keeps the bytes of uploaded files: TENANT/ID, and incoming/ID while they arrive. A
// file exists for everybody else once its row is in the database, which is written last:
// what a crash leaves behind has no row, is never served, and is swept away. Nothing
// outside the folder can be reached, whatever an id looks like.
type folder struct{ root *os.Root }

const (
	incoming    = "incoming"
	sniffed     = 3072 // bytes that tell the type
	maxFileName = 100  // characters
)

func newFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(filepath.Join(dir, incoming), 0o750); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	return &folder{root}, err
}

func (d *folder) close() error { return d.root.Close() }

func stored(tenantID, fileID id.ID) string { return tenantID.String() + "/" + fileID.String() }

// receive stores what r gives, while it hashes and counts, and returns what it found. The
// type is read from the content; it must be allowed and be the claimed one. Nothing is left
// behind after an error.
// Errors: file_too_large, file_type, file_type_mismatch, file_empty, upload_cut_off.
func (d *folder) receive(tenantID id.ID, r io.Reader, rule *FileRule, name, claimed string) (_ File, err error) {
	f := File{ID: id.New(), Name: fileName(name)}
	r = source{r}
	head := make([]byte, sniffed)
	n, err := io.ReadFull(r, head)
	switch {
	case errors.Is(err, io.EOF):
		return f, fault.Invalid("file_empty", "the file is empty; choose another one")
	case err != nil && err != io.ErrUnexpectedEOF: //nolint:errorlint // the same value: wrapped it would be the sender's
		return f, err
	}
	head = head[:n]
	if f.Type, err = typeOf(head, claimed, rule); err != nil {
		return f, err
	}
	name = incoming + "/" + f.ID.String()
	tmp, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return f, fmt.Errorf("store upload: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(d.root.Remove(name)))
		}
	}()
	hash := sha256.New()
	f.Size, err = io.Copy(io.MultiWriter(tmp, hash), io.LimitReader(io.MultiReader(bytes.NewReader(head), r), rule.MaxBytes+1))
	if err == nil && f.Size > rule.MaxBytes {
		err = fault.TooLarge("file_too_large", "a file here may have at most %d bytes", rule.MaxBytes)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return f, err
	}
	f.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return f, d.place(name, tenantID, f.ID)
}

// source tells a sender that went away from a disk that is full.
type source struct{ r io.Reader }

func (s source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fault.Invalid("upload_cut_off", "the upload ended early; send the file again").Because(err)
	}
	return n, err
}

// place moves a complete file to where it stays, durably.
func (d *folder) place(tmp string, tenantID, fileID id.ID) error {
	if err := d.root.MkdirAll(tenantID.String(), 0o750); err != nil {
		return fmt.Errorf("store upload: %w", err)
	}
	if err := d.root.Rename(tmp, stored(tenantID, fileID)); err != nil {
		return fmt.Errorf("store upload: %w", err)
	}
	parent, err := d.root.Open(tenantID.String())
	if err != nil {
		return fmt.Errorf("store upload: %w", err)
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// typeOf returns the allowed type that the content has.
func typeOf(head []byte, claimed string, rule *FileRule) (string, error) {
	found := mimetype.Detect(head)
	i := slices.IndexFunc(rule.Types, found.Is)
	if i < 0 {
		return "", fault.Unsupported("file_type", "this file is %s; allowed are %s", found.String(), strings.Join(rule.Types, ", "))
	}
	media, _, err := mime.ParseMediaType(claimed)
	switch {
	case err != nil, media == "application/octet-stream":
		// The sender does not know; the content decides.
	case media == "image/jpg" && found.Is("image/jpeg"), found.Is(media):
	default:
		return "", fault.Unsupported("file_type_mismatch", "the file is said to be %s, but it is %s", media, found.String())
	}
	return rule.Types[i], nil
}

// fileName keeps the last part of a name, without what could harm a terminal or a header.
func fileName(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune(`"<>|:*?`, r) {
			return '_'
		}
		return r
	}, strings.TrimSpace(name))
	if runes := []rune(name); len(runes) > maxFileName {
		ext := filepath.Ext(name)
		if len(ext) > 6 {
			ext = ""
		}
		name = string(runes[:maxFileName-len(ext)]) + ext
	}
	if name == "" || name == "." || name == ".." {
		return "file"
	}
	return name
}

func (d *folder) open(tenantID, fileID id.ID) (*os.File, error) {
	return d.root.Open(stored(tenantID, fileID))
}

// remove deletes the bytes of files whose rows are gone.
func (d *folder) remove(tenantID id.ID, files ...id.ID) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, ignoreMissing(d.root.Remove(stored(tenantID, f))))
	}
	return errors.Join(errs...)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sweep removes what was left by uploads that began longer than age ago and never got a
// row: known tells whether a file has one. Age is by the clock of the disk.
func (d *folder) sweep(age time.Duration, known func(tenantID, fileID id.ID) (bool, error)) error {
	now, err := d.now()
	if err != nil {
		return err
	}
	return fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return ignoreMissing(err)
		}
		info, err := e.Info()
		if err != nil || info.ModTime().After(now.Add(-age)) {
			return ignoreMissing(err)
		}
		if owner := path.Dir(name); owner != incoming {
			ok, err := known(id.ID(owner), id.ID(e.Name()))
			if err != nil || ok {
				return err
			}
		}
		return ignoreMissing(d.root.Remove(name))
	})
}

// now is the time that the disk gives to a new file.
func (d *folder) now() (time.Time, error) {
	name := incoming + "/" + id.New().String()
	f, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return time.Time{}, err
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close(), d.root.Remove(name)); err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
