package forms

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"basisdienste/platform/db"
	"basisdienste/platform/fault"
	"basisdienste/platform/tenant"
)

//go:embed catalogue/*.json
var embedded embed.FS

// catalogue holds the operator's form definitions. This build's own ones are the current
// ones; older versions are read from the database when a draft or application names them.
// It is safe for concurrent use.
type catalogue struct {
	db      *db.DB
	current map[string]*Definition
	slugs   []string // in the order of the alphabet

	mu    sync.RWMutex
	known map[string]*Definition // by form and version
}

// openCatalogue reads the *.json files of fsys and stores those definitions that the
// database does not have yet, told apart by the hash of their content, as a new version.
func openCatalogue(ctx context.Context, d *db.DB, fsys fs.FS) (*catalogue, error) {
	c := &catalogue{db: d, current: map[string]*Definition{}, known: map[string]*Definition{}}
	files, err := fs.Glob(fsys, "*.json")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		def, err := parseDefinition(body)
		if err != nil {
			return nil, err
		}
		if def.Form != strings.TrimSuffix(path.Base(name), ".json") {
			return nil, fmt.Errorf("catalogue: %s holds the form %q", name, def.Form)
		}
		if def.Version, err = c.publish(ctx, def.Form, body); err != nil {
			return nil, fmt.Errorf("catalogue: publish %s: %w", def.Form, err)
		}
		c.current[def.Form], c.known[knownKey(def.Form, def.Version)] = def, def
		c.slugs = append(c.slugs, def.Form)
	}
	slices.Sort(c.slugs)
	return c, nil
}

// asOperator acts for the operator, whose tenant owns the catalogue.
func asOperator(ctx context.Context) context.Context {
	return db.For(ctx, tenant.Tenant{ID: tenant.Operator, Slug: tenant.OperatorSlug})
}

// publish returns the version that has this content, a new one if there is none. Processes
// that start at once agree on it.
func (c *catalogue) publish(ctx context.Context, form string, body []byte) (version int64, err error) {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	ctx = asOperator(ctx)
	for range 5 {
		err = c.db.Tx(ctx, func(tx *db.Tx) error {
			version, err = definitionVersion(ctx, tx, form, hash)
			if !errors.Is(err, db.ErrNoRows) {
				return err
			}
			version, err = insertDefinition(ctx, tx, form, hash, string(body))
			return err
		})
		if !db.IsUnique(err) {
			return version, err
		}
	}
	return 0, err
}

func knownKey(form string, version int64) string { return fmt.Sprintf("%s/%d", form, version) }

// get returns the current version of a form. Error: unknown_form.
func (c *catalogue) get(form string) (*Definition, error) {
	if d, ok := c.current[form]; ok {
		return d, nil
	}
	return nil, unknownForm()
}

func unknownForm() error {
	return fault.NotFound("unknown_form", "this municipality offers no such form; see its list of forms")
}

// version returns the version that a draft or an application was filled in with.
func (c *catalogue) version(ctx context.Context, form string, version int64) (*Definition, error) {
	key := knownKey(form, version)
	c.mu.RLock()
	d := c.known[key]
	c.mu.RUnlock()
	if d != nil {
		return d, nil
	}
	var body string
	ctx = asOperator(ctx)
	err := c.db.Read(ctx, func(tx *db.Tx) (err error) {
		body, err = definitionBody(ctx, tx, form, version)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("definition %s: %w", key, err)
	}
	if d, err = parseDefinition([]byte(body)); err != nil {
		return nil, err
	}
	d.Version = version
	c.mu.Lock()
	c.known[key] = d
	c.mu.Unlock()
	return d, nil
}
