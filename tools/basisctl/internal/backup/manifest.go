// Package backup copies the data folder of a running basis into one archive, and makes a data
// folder from an archive.
//
// # What is in an archive
//
// The SQLite database of each service, all of one and the same instant (db.Cut); the uploaded
// files that the applications of that instant name; the installation's secrets; and, as the last
// entry, manifest.json with size and SHA-256 of each. The event store is not in it: what the
// services have to tell stands in their databases (package outbox), and is told again.
//
// An archive is a tar file, compressed with zstd or gzip, and encrypted for age recipients if
// that was asked for. Without encryption it holds secrets and personal data in the clear.
package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"time"

	"basisdienste/platform/db"
)

// Manifest describes an archive.
type Manifest struct {
	Format    int                  `json:"format"`
	Product   string               `json:"product"`
	At        time.Time            `json:"at"` // the instant whose state this is
	Databases map[string]db.Copied `json:"databases"`
	Files     []File               `json:"files"` // in the order of the archive
	// Damaged are uploaded files whose bytes are not those that were uploaded.
	Damaged []string `json:"damaged,omitempty"`
}

// File is one entry.
type File struct {
	Name   string `json:"name"` // below the data folder
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const (
	format       = 1
	manifestName = "manifest.json"
	maxManifest  = 1 << 30
	secretsDir   = "secrets"
	filesDir     = "forms/files"
)

// Bytes is the size of everything in the archive, before compression.
func (m *Manifest) Bytes() (sum int64) {
	for _, f := range m.Files {
		sum += f.Size
	}
	return sum
}

// Uploads counts the uploaded files.
func (m *Manifest) Uploads() (n int) {
	for _, f := range m.Files {
		if strings.HasPrefix(f.Name, filesDir+"/") {
			n++
		}
	}
	return n
}

var layout = regexp.MustCompile(`^([a-z]+\.db|` + secretsDir + `/[A-Za-z0-9._-]+|` + filesDir + `/[0-9a-f-]{36}/[0-9a-f-]{36})$`)

// belongs refuses names that no data folder has, and with them all that lead out of it.
func belongs(name string) error {
	if !layout.MatchString(name) || path.Clean(name) != name || strings.Contains(name, "..") {
		return fmt.Errorf("it has an entry %.200q, which is part of no data folder", name)
	}
	return nil
}

func readManifest(r io.Reader) (*Manifest, error) {
	var m Manifest
	d := json.NewDecoder(io.LimitReader(r, maxManifest))
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("its manifest cannot be read: %w", err)
	}
	if m.Format != format {
		return nil, fmt.Errorf("its format is %d; this program reads %d: take the one of its release, %s", m.Format, format, m.Product)
	}
	return &m, nil
}

// matches reports whether exactly what the manifest says was found.
func (m *Manifest) matches(found map[string]File) error {
	var errs []error
	for _, want := range m.Files {
		got, ok := found[want.Name]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("%s is missing", want.Name))
		case got != want:
			errs = append(errs, fmt.Errorf("%s is damaged: %d bytes with SHA-256 %s, the manifest says %d bytes with %s", want.Name, got.Size, got.SHA256, want.Size, want.SHA256))
		}
		delete(found, want.Name)
	}
	for name := range found {
		errs = append(errs, fmt.Errorf("%s is not in its manifest", name))
	}
	if len(m.Databases) == 0 {
		errs = append(errs, errors.New("it has no databases"))
	}
	const most = 10
	if len(errs) > most {
		errs = append(errs[:most], fmt.Errorf("and %d more", len(errs)-most))
	}
	return errors.Join(errs...)
}
