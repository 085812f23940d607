package notify

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"basisdienste/platform/id"
)

// catalogueFiles are named NAME.LANGUAGE.VERSION.md. A version never changes: a new text is
// a new file, and the old ones stay for the messages that were made from them.
//
//go:embed catalogue/*.md
var catalogueFiles embed.FS

// Catalogue is what the operator ships to every tenant.
type Catalogue struct {
	newest map[string]*Template // by name and language
	byID   map[id.ID][]*Template
}

func catalogueKey(name, lang string) string { return name + "." + lang }

// loadCatalogue reads and compiles all of it.
func loadCatalogue(files fs.FS) (*Catalogue, error) {
	c := &Catalogue{newest: map[string]*Template{}, byID: map[id.ID][]*Template{}}
	names, err := fs.Glob(files, "catalogue/*.md")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		t, err := readTemplate(strings.TrimPrefix(name, "catalogue/"), string(text))
		if err == nil {
			err = t.Compile()
		}
		if err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", name, err)
		}
		key := catalogueKey(t.Name, t.Language)
		if known := c.newest[key]; known == nil || known.Version < t.Version {
			c.newest[key] = t
		}
		c.byID[t.ID] = append(c.byID[t.ID], t)
	}
	return c, nil
}

// readTemplate reads a file: front matter of lines "key: value" between two lines ---, then
// the body.
func readTemplate(file, text string) (*Template, error) {
	parts := strings.Split(file, ".")
	if len(parts) != 4 {
		return nil, errors.New("the file's name is NAME.LANGUAGE.VERSION.md")
	}
	version, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return nil, errors.New("the file's name is NAME.LANGUAGE.VERSION.md")
	}
	head, body, ok := strings.Cut(strings.TrimPrefix(text, "---\n"), "\n---\n")
	if !ok || !strings.HasPrefix(text, "---\n") {
		return nil, errors.New("the front matter stands between two lines ---")
	}
	t := &Template{Name: parts[0], Language: parts[1], Version: version, Body: body}
	for line := range strings.SplitSeq(head, "\n") {
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "id":
			if t.ID, err = id.Parse(value); err != nil {
				return nil, err
			}
		case "date":
			if t.CreatedAt, err = time.Parse(time.DateOnly, value); err != nil {
				return nil, err
			}
		case "subject":
			t.Subject = value
		case "placeholders":
			if t.Placeholders, err = readPlaceholders(value); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("unknown key %q in the front matter", key)
		}
	}
	if t.ID == "" {
		return nil, errors.New("the front matter has no id")
	}
	return t, nil
}

// readPlaceholders reads "name text, link url optional".
func readPlaceholders(s string) (out []Placeholder, err error) {
	for item := range strings.SplitSeq(s, ",") {
		words := strings.Fields(item)
		if len(words) < 2 || len(words) > 3 || (len(words) == 3 && words[2] != "optional") {
			return nil, fmt.Errorf("placeholders: %q is not NAME TYPE [optional]", item)
		}
		out = append(out, Placeholder{Name: words[0], Kind: Kind(words[1]), Optional: len(words) == 3})
	}
	return out, nil
}

// find returns the newest version, or nil.
func (c *Catalogue) find(name, lang string) *Template { return c.newest[catalogueKey(name, lang)] }

// version returns one version, or the newest for 0, or nil.
func (c *Catalogue) version(tid id.ID, version int64) *Template {
	var found *Template
	for _, t := range c.byID[tid] {
		if t.Version == version || (version == 0 && (found == nil || t.Version > found.Version)) {
			found = t
		}
	}
	return found
}

// all returns the newest version of each, in the order of names and languages.
func (c *Catalogue) all() []*Template {
	out := make([]*Template, 0, len(c.newest))
	for _, t := range c.newest {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *Template) int {
		return strings.Compare(catalogueKey(a.Name, a.Language), catalogueKey(b.Name, b.Language))
	})
	return out
}
