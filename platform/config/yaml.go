package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlReader turns a file into nested maps whose leaves are the scalars as they were
// written: prefix: 007 stays "007" and version: 1.10 stays "1.10" until a field's type
// says what they are. It remembers the line of every key.
type yamlReader struct {
	file  string
	lines map[string]int
}

func (y *yamlReader) read(text []byte) (map[string]any, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return map[string]any{}, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %s", y.file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: the file must hold one YAML document", y.file)
	}
	root := doc.Content[0]
	if root.Tag == "!!null" {
		return map[string]any{}, nil
	}
	v, err := y.value("", root)
	if err != nil {
		return nil, err
	}
	tree, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s:%d: the file must hold sections, as \"payment:\"", y.file, root.Line)
	}
	return tree, nil
}

func (y *yamlReader) value(path string, n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		return y.mapping(path, n)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			v, err := y.value(fmt.Sprintf("%s[%d]", path, i), item)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return nil, nil
		}
		return n.Value, nil
	case yaml.AliasNode, yaml.DocumentNode:
	}
	return nil, fmt.Errorf("%s:%d: anchors and aliases are not supported; write the value out", y.file, n.Line)
}

func (y *yamlReader) mapping(path string, n *yaml.Node) (map[string]any, error) {
	m := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			return nil, fmt.Errorf("%s:%d: a key must be a plain word", y.file, key.Line)
		}
		sub := key.Value
		if path != "" {
			sub = path + dot + key.Value
		}
		if _, twice := m[key.Value]; twice {
			return nil, fmt.Errorf("%s:%d: %s is set a second time", y.file, key.Line, sub)
		}
		v, err := y.value(sub, n.Content[i+1])
		if err != nil {
			return nil, err
		}
		m[key.Value] = v
		y.lines[sub] = key.Line
	}
	return m, nil
}
