package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const hidden = "***"

// decoder writes one section into a struct and, on the way, renders what is then in force.
type decoder struct {
	origins  map[string]origin
	mistakes []error
}

// field is a struct field that is a setting.
type field struct {
	key    string
	secret bool
	value  reflect.Value
}

type validator interface{ Validate() error }

var (
	durationType = reflect.TypeFor[time.Duration]()
	urlType      = reflect.TypeFor[url.URL]()
	bytesType    = reflect.TypeFor[[]byte]()
)

// decode returns the rendered section. Its error is a mistake in the program, not in the settings.
func (d *decoder) decode(name string, raw, dst any) (*yaml.Node, error) {
	p := reflect.ValueOf(dst)
	if p.Kind() != reflect.Pointer || p.IsNil() || p.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("config: section %s is decoded into %T, want a pointer to a struct", name, dst)
	}
	return d.structure(name, raw, p.Elem()), nil
}

func (d *decoder) wrong(path, value, format string, args ...any) {
	if value != "" {
		value = fmt.Sprintf(" = %q", redact(value))
	}
	d.mistakes = append(d.mistakes, fmt.Errorf("%s%s%s: %s", path, value, where(d.origins, path), fmt.Sprintf(format, args...)))
}

// value decodes raw (nil: not set) into v and returns how v is printed.
func (d *decoder) value(path string, raw any, v reflect.Value, secret bool) *yaml.Node {
	if v.Kind() == reflect.Pointer {
		if raw == nil && v.IsNil() {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.value(path, raw, v.Elem(), secret)
	}
	if !isText(v) {
		switch v.Kind() {
		case reflect.Struct:
			return d.structure(path, raw, v)
		case reflect.Map:
			return d.dictionary(path, raw, v, secret)
		case reflect.Slice:
			return d.list(path, raw, v, secret)
		}
	}
	if raw != nil {
		d.scalar(path, raw, v, secret)
	}
	return d.render(path, v, secret)
}

// isText reports whether v is written as one scalar although its kind is a composite.
func isText(v reflect.Value) bool {
	if v.Type() == urlType || v.Type() == bytesType {
		return true
	}
	_, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok
}

func (d *decoder) structure(path string, raw any, v reflect.Value) *yaml.Node {
	node := &yaml.Node{Kind: yaml.MappingNode}
	tree, ok := raw.(map[string]any)
	if raw != nil && !ok {
		d.wrong(path, "", "this is a section with keys of its own, not a value")
	}
	before := len(d.mistakes)
	fields := fieldsOf(v)
	rest := maps.Clone(tree)
	keys := make([]string, 0, len(fields))
	for _, f := range fields {
		sub := path + dot + f.key
		raw := rest[f.key]
		delete(rest, f.key)
		keys = append(keys, f.key)
		if file := f.key + "_file"; f.secret && !slices.ContainsFunc(fields, func(g field) bool { return g.key == file }) {
			raw = d.secret(sub, raw, rest[file])
			delete(rest, file)
		}
		node.Content = append(node.Content, scalar(f.key), d.value(sub, raw, f.value, f.secret))
	}
	for _, key := range slices.Sorted(maps.Keys(rest)) {
		d.wrong(path+dot+key, "", "there is no such key%s", suggest(key, keys))
	}
	if check, ok := v.Addr().Interface().(validator); ok && len(d.mistakes) == before {
		for _, err := range flatten(check.Validate()) {
			d.mistakes = append(d.mistakes, fmt.Errorf("%s: %w", path, err))
		}
	}
	return node
}

// fieldsOf returns the settings of a struct; an embedded struct's are its own.
func fieldsOf(v reflect.Value) []field {
	var fields []field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag, tagged := f.Tag.Lookup("config")
		if !tagged {
			tag = f.Tag.Get("yaml")
		}
		key, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous && key == "" && f.Type.Kind() == reflect.Struct:
			fields = append(fields, fieldsOf(v.Field(i))...)
		case f.IsExported() && key != "" && key != "-":
			fields = append(fields, field{key: key, secret: slices.Contains(strings.Split(options, ","), "secret"), value: v.Field(i)})
		}
	}
	return fields
}

// secret chooses between a secret set directly and one kept in a file: the later layer
// wins, and both in one layer is a mistake.
func (d *decoder) secret(path string, direct, file any) any {
	if file == nil {
		return direct
	}
	filePath := path + "_file"
	if direct != nil {
		switch a, b := d.origins[path].rank, d.origins[filePath].rank; {
		case a > b:
			return direct
		case a == b:
			d.wrong(filePath, "", "set either this or %s, not both", path)
			return nil
		}
	}
	name, ok := text(file)
	if !ok {
		d.wrong(filePath, "", "want the name of a file")
		return nil
	}
	content, err := os.ReadFile(name)
	if err != nil {
		d.wrong(filePath, name, "cannot be read: %s", cause(err))
		return nil
	}
	d.origins[path] = d.origins[filePath]
	secret := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if secret == "" {
		d.wrong(filePath, name, "the file is empty")
		return nil
	}
	return secret
}

// cause is err without the path, which the message has already.
func cause(err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// text returns a scalar as it was written. Flags may be typed.
func text(raw any) (string, bool) {
	switch raw.(type) {
	case nil, map[string]any, []any:
		return "", false
	}
	if s, ok := raw.(string); ok {
		return s, true
	}
	if k := reflect.TypeOf(raw).Kind(); k == reflect.Slice || k == reflect.Map || k == reflect.Struct {
		return "", false
	}
	return fmt.Sprint(raw), true
}

func (d *decoder) scalar(path string, raw any, v reflect.Value, secret bool) {
	s, ok := text(raw)
	if !ok {
		d.wrong(path, "", "want one value, not a list or section")
		return
	}
	if want := set(v, s); want != "" {
		if secret {
			s, want = hidden, "this secret has not the form that is expected"
		}
		d.wrong(path, s, "%s", want)
	}
}

// set parses s into v; it returns what is expected if s is not that.
func set(v reflect.Value, s string) (want string) {
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := t.UnmarshalText([]byte(s)); err != nil {
			return err.Error()
		}
		return ""
	}
	var err error
	switch {
	case v.Type() == durationType:
		d, ok := parseDuration(s)
		v.SetInt(int64(d))
		if !ok {
			return "want a duration such as 90s, 5m, 2h or 30d"
		}
	case v.Type() == urlType:
		u, err := url.Parse(s)
		if err != nil || u.Scheme == "" || u.Host == "" {
			return "want a URL such as https://example.org/path"
		}
		v.Set(reflect.ValueOf(*u))
	case v.Type() == bytesType:
		v.SetBytes([]byte(s))
	case v.Kind() == reflect.String:
		v.SetString(s)
	case v.Kind() == reflect.Bool:
		if s != "true" && s != "false" {
			return "want true or false"
		}
		v.SetBool(s == "true")
	case v.CanInt():
		var n int64
		n, err = strconv.ParseInt(s, 10, v.Type().Bits())
		v.SetInt(n)
		want = "want a whole number"
	case v.CanUint():
		var n uint64
		n, err = strconv.ParseUint(s, 10, v.Type().Bits())
		v.SetUint(n)
		want = "want a whole number that is not negative"
	case v.CanFloat():
		var n float64
		n, err = strconv.ParseFloat(s, v.Type().Bits())
		v.SetFloat(n)
		want = "want a number"
	default:
		return fmt.Sprintf("the program cannot read settings of type %s", v.Type())
	}
	if errors.Is(err, strconv.ErrRange) {
		return want + "; this one is too large"
	}
	if err != nil {
		return want
	}
	return ""
}

// list replaces the default as a whole. From the environment it comes as one value with commas.
func (d *decoder) list(path string, raw any, v reflect.Value, secret bool) *yaml.Node {
	items, ok := raw.([]any)
	if s, isText := text(raw); isText {
		ok = true
		for item := range strings.SplitSeq(s, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
	} else if r := reflect.ValueOf(raw); !ok && r.Kind() == reflect.Slice {
		ok = true
		for i := range r.Len() {
			items = append(items, r.Index(i).Interface())
		}
	}
	switch {
	case raw != nil && !ok:
		d.wrong(path, "", "want a list")
	case raw != nil:
		v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	}
	node := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range v.Len() {
		var item any
		if i < len(items) {
			item = items[i]
		}
		node.Content = append(node.Content, d.value(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i), secret))
	}
	return node
}

// dictionary adds to the default, key by key.
func (d *decoder) dictionary(path string, raw any, v reflect.Value, secret bool) *yaml.Node {
	tree, ok := raw.(map[string]any)
	if raw != nil && !ok {
		d.wrong(path, "", "want a section with keys and values")
	}
	node := &yaml.Node{Kind: yaml.MappingNode}
	if v.Type().Key().Kind() != reflect.String {
		d.wrong(path, "", "the program cannot read settings of type %s", v.Type())
		return node
	}
	if v.IsNil() && len(tree) > 0 {
		v.Set(reflect.MakeMap(v.Type()))
	}
	keys := slices.Collect(maps.Keys(tree))
	for _, k := range v.MapKeys() {
		if _, set := tree[k.String()]; !set {
			keys = append(keys, k.String())
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		k := reflect.ValueOf(key).Convert(v.Type().Key())
		item := reflect.New(v.Type().Elem()).Elem()
		if old := v.MapIndex(k); old.IsValid() {
			item.Set(old)
		}
		node.Content = append(node.Content, scalar(key), d.value(path+dot+key, tree[key], item, secret))
		v.SetMapIndex(k, item)
	}
	return node
}

// flatten returns the single errors of a joined one.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}

func scalar(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

// render returns v as Print writes it, with its origin as a comment.
func (d *decoder) render(path string, v reflect.Value, secret bool) *yaml.Node {
	n := &yaml.Node{}
	switch {
	case secret && v.IsZero(), v.Type() == bytesType && v.Len() == 0:
		n.SetString("")
	case secret, v.Type() == bytesType:
		n.SetString(hidden)
	case v.Type() == durationType:
		n.SetString(formatDuration(time.Duration(v.Int())))
	case v.Type() == urlType:
		u, _ := v.Addr().Interface().(*url.URL)
		n.SetString(u.Redacted())
	case v.Kind() == reflect.String:
		n.SetString(redact(v.String()))
	default:
		n.Kind, n.Value = yaml.ScalarNode, fmt.Sprint(v.Interface())
		if t, ok := v.Interface().(encoding.TextMarshaler); ok {
			b, err := t.MarshalText()
			if err != nil {
				d.wrong(path, "", "cannot be printed: %s", err)
			}
			n.SetString(string(b))
		}
	}
	if o, ok := d.origins[path]; ok {
		n.LineComment = o.text
	}
	return n
}
