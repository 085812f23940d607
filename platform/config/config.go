// Package config reads the settings of a process: the defaults in the code, then a YAML
// file, then the environment, then flags; the later one wins, key by key.
//
// One file serves every process of an installation and has a section for each service:
//
//	payment:
//	  result_timeout: 90s
//	  stripe:
//	    secret_key_file: /run/secrets/stripe
//
// The environment reaches the same keys: BASIS_PAYMENT__RESULT_TIMEOUT=90s, with two
// underscores for each level. A list is then written with commas.
//
// Nothing is ignored: a key that nobody knows is a mistake with its place and a suggestion,
// and all mistakes of a section are told at once. Secrets (fields tagged secret) may be kept
// in files and appear neither in errors nor in what Print writes.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"
)

const (
	envPrefix = "BASIS_"
	envNest   = "__"
	dot       = "."
)

// Config holds what file, environment and flags say. It is used while a process starts, by
// one goroutine.
type Config struct {
	tree    map[string]any
	origins map[string]origin
	decoded []section
}

// origin says who set a key. Of two layers the one with the higher rank was asked last.
type origin struct {
	rank int
	text string
}

// section is what Decode made of one section, for Print.
type section struct {
	name string
	node *yaml.Node
}

// Load reads the file (none if the name is empty), then env (as os.Environ gives it; what
// does not begin with BASIS_ is skipped), then overrides, whose keys are paths as
// "payment.result_timeout". It refuses what cannot be read; whether the keys mean
// something is found out by Section.Decode and Unused.
func Load(file string, environ []string, overrides map[string]any) (*Config, error) {
	c := &Config{origins: map[string]origin{}}
	k := koanf.New(dot)
	if file != "" {
		tree, err := c.readFile(file)
		if err != nil {
			return nil, err
		}
		if err := k.Load(confmap.Provider(tree, ""), nil); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	variables, err := c.readEnv(environ)
	if err != nil {
		return nil, err
	}
	if err := k.Load(confmap.Provider(variables, dot), nil); err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	for path, value := range overrides {
		c.note(2, "flag", path, value)
	}
	if err := k.Load(confmap.Provider(overrides, dot), nil); err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	c.tree = k.Raw()
	return c, nil
}

func (c *Config) readFile(file string) (map[string]any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	y := yamlReader{file: file, lines: map[string]int{}}
	tree, err := y.read(text)
	if err != nil {
		return nil, err
	}
	for path, line := range y.lines {
		c.origins[path] = origin{rank: 0, text: fmt.Sprintf("%s:%d", file, line)}
	}
	return tree, nil
}

// readEnv returns the values by path: BASIS_A__B_C is a.b_c. It refuses a pair of variables
// of which one is the section of the other: it would depend on chance which of them holds.
func (c *Config) readEnv(environ []string) (map[string]any, error) {
	values, names := map[string]any{}, map[string]string{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		path, ok := strings.CutPrefix(name, envPrefix)
		if !ok || path == "" {
			continue
		}
		path = strings.ToLower(strings.ReplaceAll(path, envNest, dot))
		values[path], names[path] = value, name
	}
	for path, name := range names {
		for end := strings.LastIndex(path, dot); end > 0; end = strings.LastIndex(path[:end], dot) {
			if parent, ok := names[path[:end]]; ok {
				return nil, fmt.Errorf("environment: %s and %s exclude each other: the first makes a value of what the second needs as a section", parent, name)
			}
		}
		c.origins[path] = origin{rank: 1, text: name}
	}
	return values, nil
}

func (c *Config) note(rank int, text, path string, value any) {
	if m, ok := value.(map[string]any); ok {
		for key, v := range m {
			c.note(rank, text, path+dot+key, v)
		}
		return
	}
	c.origins[path] = origin{rank: rank, text: text}
}

// Section returns the named section; one that nobody set is empty.
func (c *Config) Section(name string) Section { return Section{c: c, name: name} }

// Section is one service's part of the configuration.
type Section struct {
	c    *Config
	name string
}

// Decode writes the settings over the defaults in dst, a pointer to a struct whose fields
// carry the tag config:"key" or config:"key,secret" (yaml:"key" does too; fields with neither are
// left alone). Besides the plain types it understands durations ("90s", "30d"), Size
// ("10MiB"), url.URL (absolute), everything with UnmarshalText, lists, maps with string
// keys, and structs in each other. A secret field is also filled by KEY_file, which names
// a file; one trailing newline is cut off. Structs with a method Validate() error are asked
// once their own keys are in order.
//
// The error joins all mistakes of the section, one line each: key, value, where it was set,
// what is expected. dst must not be used after an error.
func (s Section) Decode(dst any) error {
	d := decoder{origins: s.c.origins}
	node, err := d.decode(s.name, s.c.tree[s.name], dst)
	if err != nil {
		return err
	}
	s.c.decoded = slices.DeleteFunc(s.c.decoded, func(old section) bool { return old.name == s.name })
	s.c.decoded = append(s.c.decoded, section{name: s.name, node: node})
	return errors.Join(d.mistakes...)
}

// Unused names the sections and keys that were set but that no Decode asked for. In a
// process that runs only some of the services, others names the sections of the rest.
func (c *Config) Unused(others ...string) error {
	known := slices.Clone(others)
	for _, s := range c.decoded {
		known = append(known, s.name)
	}
	var mistakes []error
	for name := range c.tree {
		if !slices.Contains(known, name) {
			mistakes = append(mistakes, fmt.Errorf("%s%s: there is no such section%s", name, where(c.origins, name), suggest(name, known)))
		}
	}
	slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(mistakes...)
}

// where tells who set the path: the list, if it is an item of one, or the first key of it,
// if it is a section.
func where(origins map[string]origin, path string) string {
	if o, ok := origins[path]; ok {
		return " (" + o.text + ")"
	}
	if item := strings.LastIndex(path, "["); item > 0 && strings.HasSuffix(path, "]") {
		return where(origins, path[:item])
	}
	var inside []string
	for p := range origins {
		if strings.HasPrefix(p, path+dot) {
			inside = append(inside, p)
		}
	}
	if len(inside) == 0 {
		return ""
	}
	sort.Strings(inside)
	return " (" + origins[inside[0]].text + ")"
}

// Print writes the settings in force of all sections decoded so far as YAML, each with a
// comment that says who set it unless it is a default. Secrets are shown as *** if they are set.
func (c *Config) Print(w io.Writer) error {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	sections := slices.Clone(c.decoded)
	slices.SortStableFunc(sections, func(a, b section) int { return strings.Compare(a.name, b.name) })
	for _, s := range sections {
		doc.Content = append(doc.Content, scalar(s.name), s.node)
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return enc.Close()
}
