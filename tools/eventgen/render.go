package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"go/format"
	"strings"
	"text/template"
)

//go:embed events.go.tmpl
var goTemplate string

//go:embed asyncapi.yaml.tmpl
var asyncTemplate string

// renderGo returns the Go file, formatted as gofumpt formats.
func renderGo(events []event) ([]byte, error) {
	code, err := render(goTemplate, struct {
		Events     []event
		Time, JSON bool
	}{events, uses(events, "time."), uses(events, "json.")})
	if err != nil {
		return nil, err
	}
	return format.Source(code)
}

// renderAsyncAPI returns the AsyncAPI 3.0 document.
func renderAsyncAPI(events []event) ([]byte, error) {
	return render(asyncTemplate, events)
}

func render(text string, data any) ([]byte, error) {
	t, err := template.New("").Funcs(template.FuncMap{"comment": comment, "quote": quote}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	var buf bytes.Buffer
	if err := t.Execute(&buf, data); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	return buf.Bytes(), nil
}

func uses(events []event, prefix string) bool {
	for _, e := range events {
		for _, f := range e.Fields {
			if strings.Contains(f.GoType, prefix) {
				return true
			}
		}
	}
	return false
}

// comment breaks text into comment lines of about ninety characters.
func comment(indent, text string) string {
	var b strings.Builder
	line := indent + "//"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 92 && line != indent+"//" {
			b.WriteString(line + "\n")
			line = indent + "//"
		}
		line += " " + word
	}
	return b.String() + line
}

// quote makes a YAML string: YAML takes JSON strings as they are.
func quote(s string) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(s)
	return strings.TrimSpace(b.String()), err
}
